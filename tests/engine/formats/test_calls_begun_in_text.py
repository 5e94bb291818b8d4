"""What the grammar of free text with calls accepts in formats without a token that begins one."""

import pytest

from llm_service.engine.formats import ModelFormat, Tool, ToolChoice
from llm_service.engine.formats.choice import choose_format
from llm_service.engine.formats.declarations import LLAMA_JSON
from tests.engine import tokenizers
from tests.engine.formats.answers import schema
from tests.engine.formats.families import family_tokenizer
from tests.engine.formats.matching import accepts

WEATHER = Tool("weather", "", {**schema(days={"type": "integer"}), "required": ["days"]})
NOW = Tool("now", "", {"type": "object", "properties": {}, "additionalProperties": False})
CALL = '<tool_call>\n{"name": "weather", "arguments": {"days": 2}}\n</tool_call>'
BARE = '{"name": "weather", "parameters": {"days": 2}}'


def is_accepted(family: str, answer: str, *, is_parallel: bool = True) -> bool:
    tokenizer = family_tokenizer(family)
    source = choose_format(tokenizer, "").grammar(
        (WEATHER, NOW), ToolChoice(is_parallel=is_parallel), None, in_reasoning=False
    )
    return accepts(tokenizer, source, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Hello",
        "a < b and <tool",
        CALL,
        f"Let me see. {CALL}",
        f"{CALL}\n{CALL}",
        f"{CALL} Done.",
        f"<think>\nHm\n</think>\n\n{CALL}",
    ],
)
def test_text_and_calls_that_fit_their_schemas_are_accepted(answer: str) -> None:
    assert is_accepted("hermes, as text", answer)


@pytest.mark.parametrize(
    "answer",
    [
        CALL.replace("2", '"2"'),
        CALL.replace("weather", "nothing"),
        f"Hello {CALL.removesuffix('</tool_call>')}",
        f"{CALL}\n{CALL.replace('2', 'null')}",
        "<tool_call>",
    ],
)
def test_a_call_begun_by_text_must_fit_its_schema(answer: str) -> None:
    assert not is_accepted("hermes, as text", answer)


def test_calls_begun_by_text_that_are_not_parallel_are_one() -> None:
    assert is_accepted("hermes, as text", f"Well. {CALL} Done.", is_parallel=False)
    assert not is_accepted("hermes, as text", f"{CALL}\n{CALL}", is_parallel=False)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Hello",
        '{"answer": 1}',
        '{"name": "Anna"}',
        f"As {BARE} says",
        BARE,
        f"<|python_tag|>{BARE}",
        f"{BARE}; {BARE}",
        '{"name": "now", "parameters": {}}',
    ],
)
def test_an_answer_that_does_not_begin_as_a_call_is_free(answer: str) -> None:
    assert is_accepted("llama_json", answer)


@pytest.mark.parametrize(
    "answer",
    [
        BARE.replace("2", '"2"'),
        BARE.removesuffix("}"),
        '{"name": "now", "parameters": {"a": 1}}',
        "<|python_tag|>Hello",
        f"<|python_tag|>{BARE.replace('2', 'null')}",
    ],
)
def test_an_answer_that_begins_as_a_call_must_fit_its_schema(answer: str) -> None:
    assert not is_accepted("llama_json", answer)


def test_a_call_after_reasoning_that_text_begins_must_fit_its_schema() -> None:
    source = ModelFormat(LLAMA_JSON).grammar((WEATHER, NOW), ToolChoice(), None, in_reasoning=False)
    thought = "<think>\nHm\n</think>\n\n"
    for rest, is_right in ((BARE, True), ("Hello", True), (BARE.replace("2", "null"), False)):
        assert accepts(tokenizers.pocket(), source, thought + rest) == is_right
