"""The grammar of the Hermes format, for the bundled model, as llguidance reads it."""

import json
from functools import cache
from typing import Any

import pytest

from llm_service.engine.formats import ModelFormat, Tool, ToolChoice, json_value
from llm_service.engine.formats.choice import choose_format
from llm_service.engine.grammar import GrammarSource
from llm_service.engine.tokenization import SealedTokenizer
from tests.engine import tokenizers
from tests.engine.formats.answers import schema
from tests.engine.formats.matching import accepts, ids_accepted, ids_of

WEATHER = Tool(
    "weather",
    "",
    {**schema(city={"type": "string"}, days={"type": "integer"}), "required": ["city"]},
)
NOW = Tool("now", "", {})
TOOLS = (WEATHER, NOW)
REQUIRED = ToolChoice("required")


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@cache
def pocket_format() -> ModelFormat:
    return choose_format(tokenizers.pocket(), "pocket")


def grammar(
    choice: ToolChoice = REQUIRED, content: str | None = None, **how: Any
) -> GrammarSource | None:
    model = pocket_format()
    asked: dict[str, Any] = {"tools": TOOLS, "in_reasoning": False} | how
    return model.grammar(choice=choice, content=content, **asked)


def is_accepted(answer: str, *args: Any, **how: Any) -> bool:
    return accepts(tokenizers.pocket(), grammar(*args, **how), answer)


ROME = call("weather", '{"city": "Rome", "days": 2}')
ANY_OBJECT = call("now", '{"a": [1, {"b": null}]}')


@pytest.mark.parametrize(
    "answer",
    [ROME, call("weather", '{"city": "a\\"}</tool"}'), ANY_OBJECT, f"{ROME}\n{ANY_OBJECT}"],
)
def test_a_required_call_fits_its_schema(answer: str) -> None:
    assert is_accepted(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Hello",
        "",
        f"Hello {ROME}",
        f"{ROME} Hello",
        call("weather", "{}"),
        call("weather", '{"city": 7}'),
        call("nothing", "{}"),
        ROME.replace("\n", ""),
        ROME.replace(": ", ":"),
        ROME.removesuffix("</tool_call>"),
    ],
)
def test_a_required_call_leaves_no_room_for_anything_else(answer: str) -> None:
    assert not is_accepted(answer)


def test_a_named_tool_is_the_only_one() -> None:
    choice = ToolChoice(name="now")
    assert is_accepted(ANY_OBJECT, choice)
    assert not is_accepted(ROME, choice)


def test_calls_that_are_not_parallel_are_one() -> None:
    for one in (ToolChoice(is_parallel=False), ToolChoice("required", is_parallel=False)):
        assert is_accepted(ROME, one)
        assert not is_accepted(f"{ROME}\n{ROME}", one)


def test_calls_that_may_be_made_are_free_until_the_token_that_begins_one() -> None:
    source = grammar(ToolChoice())
    assert source is not None
    begin = tokenizers.pocket().convert_tokens_to_ids("<tool_call>")
    assert source.begins_after == {begin}
    assert source.repeats
    assert accepts(tokenizers.pocket(), source, f"Hello {ROME}")
    assert not accepts(tokenizers.pocket(), source, f"Hello {call('weather', '{}')}")
    one = grammar(ToolChoice(is_parallel=False))
    assert one is not None
    assert not one.repeats


def test_content_of_a_form_stands_alone_or_beside_calls() -> None:
    content = json_value({"type": "object"})
    assert is_accepted('{"a": 1}', ToolChoice(), content, tools=())
    assert is_accepted('{"a": 1}', ToolChoice("none"), content)
    assert not is_accepted(ROME, ToolChoice("none"), content)
    assert is_accepted('{"a": 1}', ToolChoice(), content)
    assert is_accepted(ROME, ToolChoice(), content)
    assert not is_accepted('{"a": 1}', REQUIRED, content)
    assert not is_accepted("Hello", ToolChoice(), content)


def test_without_a_form_or_tools_there_is_no_grammar() -> None:
    assert grammar(ToolChoice(), tools=()) is None
    assert grammar(REQUIRED, tools=()) is None
    assert grammar(ToolChoice("none")) is None


@pytest.mark.parametrize("name", ['say "hi"', "a\nb", "}", "</tool_call>", "ünï", "a\\b", "/x/i"])
def test_any_text_can_be_a_name(name: str) -> None:
    tokenizer = tokenizers.pocket()
    before, after = call("@", "{}").split("@")
    spelled = json.dumps(name, ensure_ascii=False)[1:-1]
    ids = ids_of(tokenizer, before)
    ids += SealedTokenizer(tokenizer).encode_text(spelled)  # delimiters in it are text
    ids += ids_of(tokenizer, after)
    source = grammar(tools=(Tool(name, "", {}),))
    assert source is not None
    assert ids_accepted(tokenizer, source, ids)


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({}, '{"any": 1}'),
        ({"properties": {}}, "{}"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "T"}, "{}"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "{}"),
        (
            {"$defs": {"N": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/N"}}},
            '{"n": 3}',
        ),
    ],
)
def test_parameters_may_be_declared_loosely(parameters: dict[str, Any], arguments: str) -> None:
    assert is_accepted(call("f", arguments), tools=(Tool("f", "", parameters),))
