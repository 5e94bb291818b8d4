"""The parts of an answer, as deltas, and the parser that finds them in what an engine generates.

`TextDelta`, `ReasoningDelta` and `ToolCallDelta` are increments; `FinishDelta` is the last delta.
`formats` has the parsers of models that reason or call tools; `PlainText` is for all others.
"""

from dataclasses import dataclass
from typing import Protocol

from llm_service.engine.request import FinishReason, GenerationChunk, PositionLogprobs

Logprobs = tuple[PositionLogprobs, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer, which may be empty, and `logprobs` of the tokens since the last delta."""

    text: str
    logprobs: Logprobs = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Text that the model wrote before its answer, and the number of tokens that it consists of."""

    text: str
    num_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the `arguments`, which are JSON text, of the call number `index`.

    `call_id` and `name` come with the first delta of a call, and only with that one.
    """

    index: int
    arguments: str = ""
    call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class FinishDelta:
    """The end of the choice, and its last delta. `stop` is the stop string that ended it."""

    reason: FinishReason
    stop: str | None = None


Delta = TextDelta | ReasoningDelta | ToolCallDelta | FinishDelta


class Parser(Protocol):
    """Turns the chunks of one choice into deltas. It may hold text back until it knows its kind.

    It never raises: text that is not in the model's format is a `TextDelta`.
    """

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        """Take the next chunk. Its finish reason is none of the parser's business."""

    def finish(self) -> list[Delta]:
        """Return what is still held back: no more chunks come."""


class PlainText:
    """The parser of answers that consist of text alone."""

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        return [TextDelta(chunk.text, chunk.logprobs)] if chunk.text or chunk.logprobs else []

    def finish(self) -> list[Delta]:
        return []
