"""Tools, structured output and reasoning in chat, on the bundled model and a scripted engine."""

import asyncio
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema_rs
import openai
import pytest

from llm_service.api.prompts import Prompts
from llm_service.api.questions import chat_question
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.engine import Conversation
from llm_service.engine.formats import ModelFormat
from llm_service.engine.formats.declarations import HERMES
from llm_service.engine.grammar import GrammarSource
from llm_service.engine.served import ServedModel
from tests.support.fake_engine import ByteTokenizer, FakeEngine, NoGrammars
from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
WEATHER: dict[str, Any] = {
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
TIMER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "set_timer",
        "parameters": {
            "type": "object",
            "properties": {"minutes": {"type": "integer"}, "loud": {"type": "boolean"}},
            "required": ["minutes", "loud"],
            "additionalProperties": False,
        },
    },
}
ASKED = [{"role": "user", "content": "What is the weather in Rome?"}]
SUM = [{"role": "user", "content": "What is 7 plus 5?"}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(service: RunningService, messages: Any = ASKED, **fields: Any) -> Any:
    body = {"model": "pocket", "messages": messages, "temperature": 0, "max_tokens": 100, **fields}
    with service.client() as http:
        return http.post(CHAT, json=body)


def choice(service: RunningService, messages: Any = ASKED, **fields: Any) -> Any:
    response = ask(service, messages, **fields)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def calls(found: Any) -> list[tuple[str, Any]]:
    functions = [call["function"] for call in found["message"].get("tool_calls", ())]
    return [(each["name"], json.loads(each["arguments"])) for each in functions]


@pytest.mark.parametrize("tool_choice", [None, "auto", "required"])
def test_the_model_calls_a_tool_and_answers_with_its_result(
    service: RunningService, tool_choice: str | None
) -> None:
    calling = choice(service, tools=[WEATHER], tool_choice=tool_choice)
    assert calls(calling) == [("get_weather", {"city": "Rome"})]
    assert calling["finish_reason"] == "tool_calls"
    assert calling["message"]["content"] is None
    (call,) = calling["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"condition": "sunny"}'}
    answer = choice(service, [*ASKED, calling["message"], result], tools=[WEATHER])
    assert answer["finish_reason"] == "stop"
    assert "sunny" in answer["message"]["content"]


def test_a_named_tool_is_called_whatever_was_asked(service: RunningService) -> None:
    named = {"type": "function", "function": {"name": "set_timer"}}
    ((name, arguments),) = calls(choice(service, tools=[WEATHER, TIMER], tool_choice=named))
    assert name == "set_timer"
    assert set(arguments) == {"minutes", "loud"}
    assert (type(arguments["minutes"]), type(arguments["loud"])) == (int, bool)


def test_without_need_no_tool_is_called_and_none_is_no_call(service: RunningService) -> None:
    for tool_choice in ("auto", "none"):
        answer = choice(service, SUM, tools=[WEATHER], tool_choice=tool_choice)
        assert "12" in answer["message"]["content"]
        assert "tool_calls" not in answer["message"]


def test_the_older_fields_mean_the_same(service: RunningService) -> None:
    function = WEATHER["function"]
    by_name = {"functions": [function], "function_call": {"name": "get_weather"}}
    assert calls(choice(service, SUM, **by_name))[0][0] == "get_weather"
    history = [
        *ASKED,
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
        },
        {"role": "function", "name": "get_weather", "content": '{"condition": "sunny"}'},
    ]
    assert "sunny" in choice(service, history, functions=[function])["message"]["content"]


def test_calls_are_streamed_in_pieces_with_one_name_and_the_same_result(
    client: openai.OpenAI,
) -> None:
    options: dict[str, Any] = {"model": "pocket", "messages": ASKED, "tools": [WEATHER]}
    chunks = list(client.chat.completions.create(**options, temperature=0, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    found: list[Any] = [call for delta in deltas for call in delta.tool_calls or ()]
    assert all(len(delta.tool_calls or ()) <= 1 for delta in deltas)
    assert {call.index for call in found} == {0}
    assert [call.function.name for call in found if call.function.name] == ["get_weather"]
    assert [call.id for call in found if call.id] == [found[0].id]
    assert len(found) > 2
    pieces = [call.function.arguments for call in found if call.function.arguments]
    assert json.loads("".join(pieces)) == {"city": "Rome"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not any(delta.content for delta in deltas)


def test_choices_of_one_request_have_calls_of_their_own(service: RunningService) -> None:
    response = ask(service, tools=[WEATHER], tool_choice="required", n=3, temperature=1, seed=4)
    found = response.json()["choices"]
    assert [calls(each)[0][0] for each in found] == ["get_weather"] * 3
    assert len({each["message"]["tool_calls"][0]["id"] for each in found}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": PERSON}}},
        {"structured_outputs": {"json": PERSON}},
        {"guided_json": json.dumps(PERSON)},
        {"json_schema": PERSON, "n": 2, "temperature": 1},
        {"guided_json": PERSON, "logprobs": True, "frequency_penalty": 1, "min_tokens": 5},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_answer_fits_its_schema(service: RunningService, fields: dict[str, Any]) -> None:
    response = ask(service, SUM, **fields)
    assert response.status_code == 200, response.text
    for found in response.json()["choices"]:
        assert found["finish_reason"] == "stop"
        assert jsonschema_rs.is_valid(PERSON, json.loads(found["message"]["content"]))


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"guided_choice": ["yes", "no"]}, {"yes", "no"}),
        ({"guided_regex": "(a/b|c)d"}, {"a/bd", "cd"}),
        ({"grammar": 'root ::= "x" | "y"'}, {"x", "y"}),
        ({"guided_grammar": 'start: "x" | "y"'}, {"x", "y"}),
        ({"structured_outputs": {"choice": ['"', "\n"]}}, {'"', "\n"}),
    ],
    ids=["choice", "regex", "GBNF", "Lark", "quotes"],
)
def test_an_answer_keeps_to_its_grammar_in_chat_and_in_completions(
    service: RunningService, fields: dict[str, Any], allowed: set[str]
) -> None:
    assert choice(service, SUM, **fields)["message"]["content"] in allowed
    with service.client() as http:
        body = {"model": "pocket", "prompt": "One, two,", **fields}
        answer = http.post("/v1/completions", json=body)
    assert answer.json()["choices"][0]["text"] in allowed


class _AsksNothing(NoGrammars, ByteTokenizer):
    """Takes every grammar, and keeps the conversation that it is asked to encode."""

    async def compile(self, source: GrammarSource) -> Any:
        return None

    def encode_chat(self, conversation: Conversation, *, max_tokens: int | None = None) -> Any:
        self.conversation = conversation
        return [1]


@pytest.mark.parametrize(
    ("fields", "schema"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": PERSON}}}, PERSON),
        ({"response_format": {"type": "json_object"}}, {"type": "object"}),
        ({"guided_json": json.dumps(PERSON)}, PERSON),
        ({"guided_regex": "a+"}, None),
        ({}, None),
    ],
)
def test_a_template_is_given_the_schema_of_the_answer(fields: Any, schema: Any) -> None:
    engine, double = FakeEngine(), _AsksNothing()
    engine.tokenizer = engine.grammars = double
    body = ChatCompletionRequest.model_validate({"model": "pocket", "messages": SUM, **fields})
    prompts = Prompts(images=Mock(), cache_salt="")
    asyncio.run(chat_question(prompts, None, ServedModel.of(engine), body))
    assert double.conversation.answer_schema == schema


def test_an_answer_that_is_cut_off_says_so(service: RunningService) -> None:
    found = choice(service, SUM, guided_json=PERSON, max_tokens=3)
    assert found["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format", "schema is required"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            "response_format",
            "type",
        ),
        ({"guided_json": "{"}, "guided_json", "JSON"),
        ({"guided_regex": "(("}, "guided_regex", "regex"),
        ({"guided_choice": []}, "guided_choice", "at least 1"),
        ({"guided_json": {}, "guided_regex": "a"}, "guided_regex", "both constrain"),
        ({"tools": [WEATHER, WEATHER]}, "tools", "Two tools"),
        (
            {"tools": [WEATHER], "tool_choice": {"function": {"name": "none"}}},
            "tool_choice",
            "No tool",
        ),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice", "must be"),
        ({"tools": [{"type": "function"}]}, "tools.0.function", "is required"),
        ({"chat_template_kwargs": {"a": "<|im_end|>"}}, "chat_template_kwargs", "letters"),
        ({"continue_final_message": True}, "continue_final_message", "assistant"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_refused_by_its_field(
    service: RunningService, fields: dict[str, Any], param: str, words: str
) -> None:
    response = ask(service, **fields)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"].startswith(param)
    assert words in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_json": "[" * 100_000},
        {"grammar": "".join(f"r{i} ::= r{i + 1}\n" for i in range(4_000))},
        {"grammar": 'root ::= "' + "a" * 40_000 + '"'},
    ],
    ids=["deep", "many rules of GBNF", "long GBNF"],
)
def test_what_would_take_too_long_to_read_is_refused(
    service: RunningService, fields: dict[str, Any]
) -> None:
    response = ask(service, SUM, **fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == next(iter(fields))


def test_arguments_in_the_history_may_be_any_text(service: RunningService) -> None:
    """They are what a model has written."""
    for arguments in ("", "{", "[" * 100, "[" * 100_000, "7"):
        function = {"name": "get_weather", "arguments": arguments}
        calling = {"role": "assistant", "tool_calls": [{"id": "1", "function": function}]}
        result = {"role": "tool", "tool_call_id": "1", "content": "sunny"}
        response = ask(service, [*ASKED, calling, result], max_tokens=2)
        is_too_long = len(arguments) > 10_000
        assert response.status_code == (400 if is_too_long else 200), response.text


def test_a_tool_choice_without_tools_is_no_constraint(service: RunningService) -> None:
    assert "12" in choice(service, SUM, tool_choice="required")["message"]["content"]


def test_tools_count_as_tokens_of_the_prompt(service: RunningService) -> None:
    with service.client() as http:
        counted = http.post("/tokenize", json={"messages": ASKED, "tools": [WEATHER]}).json()
    answer = ask(service, tools=[WEATHER]).json()
    assert counted["count"] == answer["usage"]["prompt_tokens"]


def test_the_assistants_last_message_is_continued(service: RunningService) -> None:
    begun = [*SUM, {"role": "assistant", "content": "7 + 5 = 1"}]
    answer = choice(service, begun, continue_final_message=True)
    assert answer["message"]["content"].startswith("2")


def test_reasoning_comes_apart_from_the_answer(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.says = "<think>\nHm, hm.\n</think>\n\nHello"
    engine.format = ModelFormat(HERMES)
    with RunningService(tmp_path, engine=engine) as service:
        whole = ask(service, SUM).json()
        with service.client() as http:
            body = {"model": "pocket", "messages": SUM, "stream": True}
            lines = [line[6:] for line in http.post(CHAT, json=body).text.split("\n\n")]
    message = whole["choices"][0]["message"]
    assert message["content"] == "Hello"
    assert message["reasoning_content"] == message["reasoning"] == "Hm, hm."
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] > 5
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines if line.startswith("{")]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm, hm."
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello"
