# /// script
# dependencies = ["litellm==1.110.2"]
# ///
"""litellm: completion, stream, tools, and a context overflow that it knows."""

import json
import os

import litellm

OPTIONS = {
    "model": "openai/" + os.environ["LLM_MODEL"],
    "api_base": os.environ["LLM_BASE_URL"] + "/v1",
    "api_key": os.environ["LLM_API_KEY"],
    "temperature": 0,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SUM = [{"role": "user", "content": "What is 7 plus 5?"}]

assert "12" in litellm.completion(messages=SUM, **OPTIONS).choices[0].message.content
pieces = [
    c.choices[0].delta.content or ""
    for c in litellm.completion(messages=SUM, stream=True, **OPTIONS)
]
assert "12" in "".join(pieces)
answer = litellm.completion(
    messages=[{"role": "user", "content": "What is the weather in Rome?"}],
    tools=[WEATHER],
    tool_choice={"type": "function", "function": {"name": "get_weather"}},
    **OPTIONS,
)
(call,) = answer.choices[0].message.tool_calls
assert json.loads(call.function.arguments) == {"city": "Rome"}
try:
    litellm.completion(messages=[{"role": "user", "content": "word " * 5000}], **OPTIONS)
except litellm.ContextWindowExceededError:
    pass
else:
    raise AssertionError("a prompt that is too long was accepted")
answer = litellm.responses(input="What is 7 plus 5?", **OPTIONS)
assert "12" in answer.output[-1].content[0].text
