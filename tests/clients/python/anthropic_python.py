# /// script
# dependencies = ["anthropic==2.14.0"]
# ///
"""Anthropic's client: messages, streams, tools, counting."""

import json
import os

import anthropic

client = anthropic.Anthropic(base_url=os.environ["LLM_BASE_URL"], api_key=os.environ["LLM_API_KEY"])
MODEL = os.environ["LLM_MODEL"]
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
QUESTION = [{"role": "user", "content": "What is the weather in Rome?"}]

answer = client.messages.create(
    model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "What is 7 plus 5?"}]
)
assert "12" in answer.content[0].text, answer
assert answer.stop_reason == "end_turn", answer
assert answer.usage.input_tokens > 5

with client.messages.stream(
    model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "What is 7 plus 5?"}]
) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
assert "12" in text, text
assert final.usage.output_tokens > 1

counted = client.messages.count_tokens(model=MODEL, messages=QUESTION, tools=[WEATHER])
assert counted.input_tokens > 50, counted

with client.messages.stream(
    model=MODEL, max_tokens=100, messages=QUESTION, tools=[WEATHER], tool_choice={"type": "any"}
) as stream:
    final = stream.get_final_message()
(call,) = [block for block in final.content if block.type == "tool_use"]
assert final.stop_reason == "tool_use", final
assert call.input == {"city": "Rome"}, call
result = json.dumps({"temperature": 21, "condition": "sunny"})
answer = client.messages.create(
    model=MODEL,
    max_tokens=100,
    tools=[WEATHER],
    messages=[
        *QUESTION,
        {"role": "assistant", "content": final.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": result}],
        },
    ],
)
assert "sunny" in answer.content[0].text, answer

try:
    client.messages.create(model="none", max_tokens=5, messages=QUESTION)
except anthropic.NotFoundError as error:
    assert error.body["type"] == "error", error.body
    assert error.body["error"]["type"] == "not_found_error", error.body
else:
    raise AssertionError("a model that is not served was accepted")
