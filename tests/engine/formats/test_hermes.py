"""Answers in the Hermes format: calls as JSON between tags, after reasoning."""

import json
from typing import Any

import pytest

from llm_service.engine.answer import TextDelta, ToolCallDelta
from llm_service.engine.formats import Tool
from tests.engine.formats.answers import (
    TOOLS,
    Answer,
    Call,
    all_cuts,
    cut,
    items,
    model_format,
    read,
    schema,
)

WEATHER_CALL = '«<tool_call>»\n{"name": "weather", "arguments": {"city": "Rome"}}\n«</tool_call>»'
NOW_CALL = '«<tool_call>»\n{"name": "now", "arguments": {}}\n«</tool_call>»'
ROME = Call("weather", '{"city": "Rome"}')

CASES: dict[str, tuple[str, Answer]] = {
    "text": ("Hello\n\nworld. \n", Answer("Hello\n\nworld. \n", order="t")),
    "a call": (WEATHER_CALL, Answer(calls=[ROME], order="c")),
    "text, then a call": (
        f"Let me see.\n\n{WEATHER_CALL}",
        Answer("Let me see.", calls=[ROME], order="tc"),
    ),
    "whitespace, then a call": (f"\n {WEATHER_CALL}\n", Answer(calls=[ROME], order="c")),
    "two calls": (
        f"{WEATHER_CALL}\n{NOW_CALL}",
        Answer(calls=[ROME, Call("now", "{}")], order="c"),
    ),
    "a call, then text": (
        f"{WEATHER_CALL}\n\nThat is all.\n",
        Answer("That is all.\n", calls=[ROME], order="ct"),
    ),
    "reasoning, then text": (
        "«<think>»\nHm.\n\nYes.\n«</think>»\n\n  Hello",
        Answer("  Hello", "Hm.\n\nYes.", 11, order="rt"),
    ),
    "reasoning, then a call": (
        f"«<think>»\nRome?\n«</think>»\n\n{WEATHER_CALL}",
        Answer("", "Rome?", 7, [ROME], "rc"),
    ),
    "empty reasoning": ("«<think>»\n\n«</think>»\n\nHi", Answer("Hi", "", 2, order="t")),
    "a call in reasoning": (
        f"«<think>»\nI ask.\n{WEATHER_CALL}\nDone",
        Answer("Done", "I ask.", 8, [ROME], "rct"),
    ),
    "reasoning that does not end": ("«<think>»\nHm\n", Answer("", "Hm", 4, order="r")),
    "nested values": (
        '«<tool_call>»{"name":"weather","arguments":{"a":[{"b":"}]\\"{"},[]],"c":null}}«</tool_call>»',
        Answer(calls=[Call("weather", '{"a":[{"b":"}]\\"{"},[]],"c":null}')], order="c"),
    ),
    "arguments before the name": (
        '«<tool_call>»{"arguments": {"city": "Rome"}, "name": "weather"}«</tool_call>»',
        Answer(calls=[ROME], order="c"),
    ),
    "no arguments": (
        '«<tool_call>»{"name": "now"}«</tool_call>»',
        Answer(calls=[Call("now", "{}")], order="c"),
    ),
    "other keys": (
        '«<tool_call>»{"id": "x}", "name": "now", "arguments": {}, "n": 1}«</tool_call>»',
        Answer(calls=[Call("now", "{}")], order="c"),
    ),
    "unicode": (
        '«<tool_call>»\n{"name": "weather", "arguments": {"city": "Zürich 🙂 字"}}\n«</tool_call>»',
        Answer(calls=[Call("weather", '{"city": "Zürich 🙂 字"}')], order="c"),
    ),
    "a bracket is missing": (
        '«<tool_call>»\n{"name": "weather", "arguments": {"city": "Rome"}\n«</tool_call>»\nHi',
        Answer("Hi", calls=[ROME], order="ct"),
    ),
    "a bracket too many": (
        '«<tool_call>»\n{"name": "weather", "arguments": {"city": "Rome"}}}\n«</tool_call>»',
        Answer(calls=[ROME], order="c"),
    ),
    "the end is missing": (
        '«<tool_call>»\n{"name": "weather", "arguments": {"city": "Rome"}}\nThat is all.',
        Answer("That is all.", calls=[ROME], order="ct"),
    ),
    "a call in a call": (
        f'«<tool_call>»\n{{"name": "now", "arguments": {{}}{WEATHER_CALL}',
        Answer(calls=[Call("now", "{}"), ROME], order="c"),
    ),
    "cut in the arguments": (
        'Hi\n«<tool_call>»\n{"name": "weather", "arguments": {"city": "Ro',
        Answer("Hi", calls=[Call("weather", '{"city": "Ro')], order="tc"),
    ),
}
# These are no calls, so nothing of them may be lost.
MALFORMED = {
    "a tool that does not exist": '«<tool_call>»\n{"name": "no", "arguments": {}}\n«</tool_call>»!',
    "no object": "«<tool_call>»\nweather(Rome)\n«</tool_call>» Well.",
    "no name": '«<tool_call>»{"arguments": {}}«</tool_call>»',
    "a name that is no text": '«<tool_call>»{"name": 7, "arguments": {}}«</tool_call>»',
    "arguments that are no object": '«<tool_call>»{"arguments": [1], "name": "now"}«</tool_call>»',
    "cut before the name": 'Hi \n«<tool_call>»\n{"name": "wea',
    "cut at the beginning": "Hi \n«<tool_call>»",
    "an end without a beginning": "Hi «</tool_call>» you",
    "broken JSON": '«<tool_call>»{name: "now"}«</tool_call>»',
    "empty": "«<tool_call>»«</tool_call>»",
}


def each_cut(answer: str, *, has_tokens: bool, **how: Any) -> list[Answer]:
    """Return what is read of `answer`, for each way to cut it."""
    model = model_format("hermes", has_tokens=has_tokens)
    parts = items(model, answer)
    asked: dict[str, Any] = {"tools": TOOLS, "in_reasoning": False} | how
    return [read(model.parser(**asked), chunks)[0] for chunks in all_cuts(parts)]


@pytest.mark.parametrize("has_tokens", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_the_same_however_it_is_cut(case: str, has_tokens: bool) -> None:
    text, expected = CASES[case]
    for answer in each_cut(text, has_tokens=has_tokens):
        if not has_tokens:  # the tokens of the delimiters cannot be told from the others
            answer.num_reasoning_tokens = expected.num_reasoning_tokens
        assert answer == expected


@pytest.mark.parametrize("has_tokens", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_call_comes_back_whole(case: str, has_tokens: bool) -> None:
    text = MALFORMED[case].replace("«", "").replace("»", "")
    for answer in each_cut(MALFORMED[case], has_tokens=has_tokens):
        assert answer == Answer(text, order="t")


@pytest.mark.parametrize("has_tokens", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_call_in_reasoning_stays_there(case: str, has_tokens: bool) -> None:
    text = MALFORMED[case].replace("«", "").replace("»", "")
    for answer in each_cut(MALFORMED[case], has_tokens=has_tokens, in_reasoning=True):
        assert (answer.text, answer.reasoning, answer.calls) == ("", text, [])


def test_spelled_delimiters_are_content() -> None:
    spelled = "<think>a</think> <tool_call>{}</tool_call>"
    for answer in each_cut(spelled, has_tokens=True):
        assert answer == Answer(spelled, order="t")


def test_spelled_delimiters_in_arguments_are_text() -> None:
    arguments = '{"city": "</tool_call>\\n<tool_call>"}'
    call = f'«<tool_call>»\n{{"name": "weather", "arguments": {arguments}}}\n«</tool_call>»'
    for has_tokens in (True, False):
        for answer in each_cut(call, has_tokens=has_tokens):
            assert answer == Answer(calls=[Call("weather", arguments)], order="c")


def test_a_close_without_an_open_is_dropped() -> None:
    for answer in each_cut("Hi«</think>»\nyou", has_tokens=True):
        assert answer == Answer("Hi\nyou", order="t")


def test_without_tools_calls_are_content() -> None:
    text = WEATHER_CALL.replace("«", "").replace("»", "")
    for answer in each_cut(WEATHER_CALL, has_tokens=True, tools=()):
        assert answer == Answer(text, order="t")


def test_reasoning_that_the_template_opened_needs_no_delimiter() -> None:
    for answer in each_cut("\nHm.\n«</think>»\n\nHi", has_tokens=True, in_reasoning=True):
        assert answer == Answer("Hi", "Hm.", 5, order="rt")


def test_arguments_are_given_out_as_they_arrive() -> None:
    model = model_format("hermes")
    parts = items(model, f"Hi.{WEATHER_CALL}")
    parser = model.parser(TOOLS, in_reasoning=False)
    fed = [(item, parser.feed(next(cut([item], 1)))) for item in parts]
    with_arguments = [
        item.char
        for item, deltas in fed
        for delta in deltas
        if isinstance(delta, ToolCallDelta) and delta.arguments == item.char
    ]
    assert "".join(with_arguments) == '{"city": "Rome"}'
    assert [deltas[0].text for _, deltas in fed[:3] if isinstance(deltas[0], TextDelta)] == [*"Hi."]


@pytest.mark.parametrize("name", ['say "hi"', "a\nb", "}", "</tool_call>", "ünï", "a\\b"])
def test_any_text_can_be_a_name(name: str) -> None:
    tools = (Tool(name, "", schema()),)
    spelled = json.dumps(name, ensure_ascii=False)
    call = f'«<tool_call>»\n{{"name": {spelled}, "arguments": {{}}}}\n«</tool_call>»'
    for has_tokens in (True, False):
        for answer in each_cut(call, has_tokens=has_tokens, tools=tools):
            assert answer == Answer(calls=[Call(name, "{}")], order="c")
