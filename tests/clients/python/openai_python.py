# /// script
# dependencies = ["openai==3.57.0"]
# ///
"""The official client: chat, streamed tools, parse, responses, embeddings."""

import json
import os

import openai
from pydantic import BaseModel

client = openai.OpenAI(
    base_url=os.environ["LLM_BASE_URL"] + "/v1", api_key=os.environ["LLM_API_KEY"]
)
MODEL = os.environ["LLM_MODEL"]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
QUESTION = [{"role": "user", "content": "What is the weather in Rome?"}]


class Person(BaseModel):
    name: str
    age: int


def chat() -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "What is 7 plus 5?"}], temperature=0
    )
    assert "12" in answer.choices[0].message.content, answer


def tools() -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[WEATHER], temperature=0, tool_choice="required"
    )
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Rome"}, call
    messages = [
        *QUESTION,
        answer.choices[0].message,
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": json.dumps({"temperature": 21, "condition": "sunny"}),
        },
    ]
    answer = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[WEATHER], temperature=0
    )
    assert "sunny" in answer.choices[0].message.content, answer


def streamed_tools() -> None:
    pieces, name, reason = [], "", None
    with client.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[WEATHER], temperature=0, stream=True
    ) as stream:
        for chunk in stream:
            choice = chunk.choices[0]
            for call in choice.delta.tool_calls or []:
                assert call.index == 0
                name += call.function.name or ""
                pieces.append(call.function.arguments or "")
            reason = choice.finish_reason or reason
    assert name == "get_weather", name
    assert reason == "tool_calls", reason
    assert json.loads("".join(pieces)) == {"city": "Rome"}, pieces
    assert len(pieces) > 2, pieces  # while they are generated, and not at the end


def accumulated_stream() -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=QUESTION, tools=[WEATHER], temperature=0
    ) as stream:
        for _ in stream:
            pass
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert call.function.name == "get_weather"


def parse() -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Ada is 36 years old. Answer in JSON."}],
        response_format=Person,
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, Person), answer


def responses() -> None:
    answer = client.responses.create(model=MODEL, input="What is 7 plus 5?", temperature=0)
    assert "12" in answer.output_text, answer
    flat = {"type": "function", "strict": False, **WEATHER["function"]}
    answer = client.responses.create(
        model=MODEL, input=QUESTION, tools=[flat], tool_choice="required", temperature=0
    )
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Rome"}, call
    items = [
        *QUESTION,
        call,
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": json.dumps({"temperature": 21, "condition": "sunny"}),
        },
    ]
    with client.responses.stream(model=MODEL, input=items, tools=[flat], temperature=0) as stream:
        kinds = [event.type for event in stream]
        assert "sunny" in stream.get_final_response().output_text
    assert kinds[0] == "response.created", kinds
    assert kinds[-1] == "response.completed", kinds


chat()
tools()
streamed_tools()
accumulated_stream()
parse()
responses()
