"""A choice turns the engine's chunks into typed deltas, and keeps what they add up to."""

from dataclasses import dataclass

from llm_service.api.chat import ChatFormat
from llm_service.api.choice import Choice, Delta, FinishDelta, Logprobs, PlainText, TextDelta
from llm_service.engine import (
    FinishReason,
    GenerationChunk,
    PositionLogprobs,
    Timings,
    TokenLogprob,
    Usage,
)
from llm_service.observability.record import RequestRecord


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

    def feed(self, text: str, logprobs: Logprobs) -> list[Delta]:
        *lines, self._held = (self._held + text).split("\n")
        return [TextDelta(f"{line}\n") for line in lines]

    def finish(self) -> list[Delta]:
        return [TextDelta(self._held)] if self._held else []


def choice(parser: PlainText | Lines) -> Choice:
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
    assert plain.logprobs == [first, second]


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
    record = RequestRecord("r", 0.0, "alice", "chat", "pocket", stream=True)
    wire = ChatFormat(record, includes_usage=False, includes_logprobs=False)
    deltas: list[Delta] = [TextDelta("one\n"), TextDelta("two"), FinishDelta(FinishReason.STOP)]
    (event,) = wire.increment(3, deltas)["choices"]
    assert event == {
        "index": 3,
        "delta": {"content": "one\ntwo"},
        "logprobs": None,
        "finish_reason": "stop",
    }
