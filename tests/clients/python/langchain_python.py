# /// script
# dependencies = ["langchain-openai==1.7.4"]
# ///
"""LangChain: invoke, stream, bind_tools, with_structured_output, batch of completions."""

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

OPTIONS = {
    "base_url": os.environ["LLM_BASE_URL"] + "/v1",
    "api_key": os.environ["LLM_API_KEY"],
    "model": os.environ["LLM_MODEL"],
    "temperature": 0,
}
model = ChatOpenAI(**OPTIONS)


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return '{"temperature": 21, "condition": "sunny"}'


class Person(BaseModel):
    name: str
    age: int


assert "12" in model.invoke("What is 7 plus 5?").content
assert "12" in "".join(chunk.text for chunk in model.stream("What is 7 plus 5?"))

question = HumanMessage("What is the weather in Rome?")
with_tools = model.bind_tools([get_weather])
calling = with_tools.invoke([question])
(call,) = calling.tool_calls
assert call["name"] == "get_weather", call
assert call["args"] == {"city": "Rome"}, call
result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
assert "sunny" in with_tools.invoke([question, calling, result]).content

streamed = None
for chunk in with_tools.stream([question]):
    streamed = chunk if streamed is None else streamed + chunk
assert streamed.tool_calls[0]["args"] == {"city": "Rome"}, streamed

for method in ("json_schema", "function_calling"):
    structured = ChatOpenAI(**OPTIONS, max_tokens=80).with_structured_output(Person, method=method)
    assert isinstance(structured.invoke("Ada is 36 years old."), Person), method

answers = OpenAI(**OPTIONS, max_tokens=3).batch(["One, two,"] * 20)
assert len(answers) == 20
