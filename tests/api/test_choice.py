"""A choice turns the engine's chunks into typed deltas, and keeps what they add up to."""

import json
from dataclasses import dataclass
from typing import Any

from llm_service.api.chat import ChatFormat
from llm_service.api.chat_messages import Message
from llm_service.api.choice import Choice
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.engine import (
    FinishReason,
    GenerationChunk,
    PositionLogprobs,
    Timings,
    TokenLogprob,
    Usage,
)
from llm_service.engine.answer import (
    Delta,
    FinishDelta,
    Parser,
    PlainText,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from llm_service.observability.record import RequestRecord
from tests.support.fake_engine import INFO


@dataclass
class Progress:
    """Implements `SequenceProgress`."""

    timings: Timings
    usage: Usage
    num_computed_tokens: int = 0


class Lines:
    """A parser that gives whole lines, and so holds back the last one."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        *lines, self._held = (self._held + chunk.text).split("\n")
        return [TextDelta(f"{line}\n") for line in lines]

    def finish(self) -> list[Delta]:
        return [TextDelta(self._held)] if self._held else []


class Scripted:
    """A parser that gives the same deltas for every chunk."""

    def __init__(self, *deltas: Delta) -> None:
        self._deltas = deltas

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        return [*self._deltas]

    def finish(self) -> list[Delta]:
        return []


def choice(parser: Parser) -> Choice:
    return Choice(Progress(Timings(submitted=0.0), Usage(num_prompt_tokens=1)), parser)


def chunk(text: str, reason: FinishReason | None = None) -> GenerationChunk:
    return GenerationChunk(text, (1,), finish_reason=reason)


def position(text: str) -> PositionLogprobs:
    return PositionLogprobs(TokenLogprob(1, text, text.encode(), -0.5))


def test_plain_text_is_one_delta_for_each_chunk_that_has_any() -> None:
    plain = choice(PlainText())
    assert plain.feed(chunk("Hel")) == [TextDelta("Hel")]
    assert plain.feed(chunk("")) == []  # half a character, held back by the detokenizer
    assert (plain.text, plain.finish_reason) == ("Hel", None)
    assert plain.feed(chunk("lo", FinishReason.STOP)) == [
        TextDelta("lo"),
        FinishDelta(FinishReason.STOP),
    ]
    assert (plain.text, plain.finish_reason) == ("Hello", FinishReason.STOP)


def test_a_chunk_with_nothing_but_its_end_is_one_delta() -> None:
    plain = choice(PlainText())
    assert plain.feed(chunk("", FinishReason.STOP)) == [FinishDelta(FinishReason.STOP)]
    assert plain.text == ""


def test_logprobs_of_tokens_without_text_yet_are_a_delta() -> None:
    plain = choice(PlainText())
    first, second = position("a"), position("b")
    assert plain.feed(GenerationChunk("", (1,), (first,))) == [TextDelta("", (first,))]
    assert plain.feed(GenerationChunk("ab", (2,), (second,))) == [TextDelta("ab", (second,))]
    assert plain.parts.logprobs == [first, second]


def test_a_parser_may_hold_text_back_and_give_several_deltas_for_one_chunk() -> None:
    lines = choice(Lines())
    assert lines.feed(chunk("one")) == []
    assert lines.feed(chunk("\ntwo\nthr")) == [TextDelta("one\n"), TextDelta("two\n")]
    assert lines.text == "one\ntwo\n"
    assert lines.feed(chunk("ee", FinishReason.LENGTH)) == [
        TextDelta("three"),
        FinishDelta(FinishReason.LENGTH),
    ]
    assert (lines.text, lines.finish_reason) == ("one\ntwo\nthree", FinishReason.LENGTH)


def test_several_text_deltas_of_one_chunk_are_one_event_with_all_of_the_text() -> None:
    deltas: list[Delta] = [TextDelta("one\n"), TextDelta("two"), FinishDelta(FinishReason.STOP)]
    (event,) = events(deltas)
    assert event == {
        "index": 3,
        "delta": {"content": "one\ntwo"},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_an_answer_that_ends_by_itself_after_a_call_waits_for_its_result() -> None:
    call = ToolCallDelta(0, "{}", "call_1", "now")
    for end, reason in (
        (FinishReason.STOP, FinishReason.TOOL_CALLS),
        (FinishReason.LENGTH, FinishReason.LENGTH),
    ):
        calling = choice(Scripted(call))
        assert calling.feed(chunk("", end)) == [call, FinishDelta(reason)]
        assert calling.finish_reason is reason


def test_pieces_of_calls_and_of_reasoning_add_up() -> None:
    calling = choice(Scripted(ReasoningDelta("Hm. ", 2), ToolCallDelta(0, "[")))
    calling.parts.add(ToolCallDelta(0, "", "call_1", "now"))
    calling.feed(chunk(""))
    calling.feed(chunk(""))
    assert (calling.parts.reasoning, calling.parts.num_reasoning_tokens) == ("Hm. Hm. ", 4)
    (call,) = calling.tool_calls
    assert (call.call_id, call.name, call.arguments) == ("call_1", "now", "[[")


def test_each_piece_of_a_call_is_an_event_and_only_the_first_names_it() -> None:
    deltas: list[Delta] = [
        TextDelta("Wait. "),
        ToolCallDelta(0, "", "call_1", "now"),
        ToolCallDelta(0, "{}"),
        ToolCallDelta(1, "", "call_2", "then"),
        FinishDelta(FinishReason.TOOL_CALLS),
    ]
    found = [(event["delta"], event["finish_reason"]) for event in events(deltas)]
    named = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": ""}}
    other = {"id": "call_2", "type": "function", "function": {"name": "then", "arguments": ""}}
    assert found == [
        ({"content": "Wait. "}, None),
        ({"tool_calls": [{"index": 0, **named}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, None),
        ({"tool_calls": [{"index": 1, **other}]}, None),
        ({}, "tool_calls"),
    ]


def events(deltas: list[Delta]) -> list[dict[str, Any]]:
    record = RequestRecord("r", 0.0, "alice", "chat", "pocket", stream=True)
    body = ChatCompletionRequest(
        model="pocket", messages=[Message(role="user", content="Hi")], stream=True
    )
    blocks = ChatFormat(record, body, INFO).increment(3, deltas)
    return [json.loads(block.removeprefix(b"data: "))["choices"][0] for block in blocks]
