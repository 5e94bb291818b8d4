"""One choice of an answer: the engine's chunks as typed deltas, and what they add up to.

A `Parser` turns text into deltas. A new kind of delta, such as one for tool calls, comes with a
parser that makes it and with the wire formats that shape it; `Choice` stays the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_service.engine import (
    FinishReason,
    GenerationChunk,
    PositionLogprobs,
    SequenceProgress,
)

Logprobs = tuple[PositionLogprobs, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer, which may be empty, and `logprobs` of the tokens since the last delta."""

    text: str
    logprobs: Logprobs = ()


@dataclass(frozen=True, slots=True)
class FinishDelta:
    """The end of the choice, and its last delta."""

    reason: FinishReason


Delta = TextDelta | FinishDelta


class Parser(Protocol):
    """Turns the text of one choice into deltas. It may hold text back until it knows its kind."""

    def feed(self, text: str, logprobs: Logprobs) -> list[Delta]:
        """Take the next text, which may be empty, and the logprobs of its tokens."""

    def finish(self) -> list[Delta]:
        """Return what is still held back: no more text comes."""


class PlainText:
    """The parser of answers that consist of text alone."""

    def feed(self, text: str, logprobs: Logprobs) -> list[Delta]:
        return [TextDelta(text, logprobs)] if text or logprobs else []

    def finish(self) -> list[Delta]:
        return []


class Choice:
    """One of a request's answers: how far its sequence is, and all that it has said so far."""

    def __init__(self, sequence: SequenceProgress, parser: Parser) -> None:
        self.sequence = sequence
        self.logprobs: list[PositionLogprobs] = []
        self.finish_reason: FinishReason | None = None
        self._texts: list[str] = []
        self._parser = parser

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        """Return what `chunk` adds to the choice; empty if it adds nothing that a caller sees."""
        deltas = self._parser.feed(chunk.text, chunk.logprobs)
        if chunk.finish_reason is not None:
            deltas += [*self._parser.finish(), FinishDelta(chunk.finish_reason)]
        text, logprobs, reason = joined(deltas)
        self._texts.append(text)
        self.logprobs += logprobs
        self.finish_reason = reason or self.finish_reason
        return deltas


def joined(
    deltas: Sequence[Delta],
) -> tuple[str, list[PositionLogprobs], FinishReason | None]:
    """Return the text, the logprobs and the finish reason that `deltas` have together."""
    text, logprobs = "", list[PositionLogprobs]()
    reason: FinishReason | None = None
    for delta in deltas:
        match delta:
            case TextDelta():
                text += delta.text
                logprobs += delta.logprobs
            case FinishDelta():
                reason = delta.reason
    return text, logprobs, reason
