"""One choice of an answer: the deltas that its parser finds, and what they add up to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_service.engine import (
    FinishReason,
    GenerationChunk,
    PositionLogprobs,
    SequenceProgress,
)
from llm_service.engine.answer import (
    Delta,
    FinishDelta,
    Parser,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)


@dataclass(slots=True)
class ToolCall:
    """A call that the model makes; `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str = ""


@dataclass(slots=True)
class Parts:
    """What some deltas add up to. A call that began in earlier deltas has no name here."""

    text: str = ""
    reasoning: str = ""
    tool_calls: dict[int, ToolCall] = field(default_factory=dict)  # by index
    logprobs: list[PositionLogprobs] = field(default_factory=list)
    num_reasoning_tokens: int = 0
    finish_reason: FinishReason | None = None
    stop: str | None = None  # the stop string that ended it

    def add(self, delta: Delta) -> None:
        match delta:
            case TextDelta():
                self.text += delta.text
                self.logprobs += delta.logprobs
            case ReasoningDelta():
                self.reasoning += delta.text
                self.num_reasoning_tokens += delta.num_tokens
            case ToolCallDelta():
                call = self.tool_calls.setdefault(
                    delta.index, ToolCall(delta.call_id or "", delta.name or "")
                )
                call.arguments += delta.arguments
            case FinishDelta():
                self.finish_reason = delta.reason
                self.stop = delta.stop

    def deltas(self) -> list[Delta]:
        """Return deltas that add up to these parts, with one for each part, in the usual order."""
        deltas: list[Delta] = []
        if self.reasoning:
            deltas.append(ReasoningDelta(self.reasoning, self.num_reasoning_tokens))
        if self.text:
            deltas.append(TextDelta(self.text, tuple(self.logprobs)))
        for index, call in self.tool_calls.items():
            deltas.append(ToolCallDelta(index, call.arguments, call.call_id, call.name))
        if self.finish_reason is not None:
            deltas.append(FinishDelta(self.finish_reason, self.stop))
        return deltas

    @classmethod
    def of(cls, deltas: Sequence[Delta]) -> "Parts":
        parts = cls()
        for delta in deltas:
            parts.add(delta)
        return parts


class Choice:
    """One of a request's answers: how far its sequence is, and all that it has said so far."""

    def __init__(self, sequence: SequenceProgress, parser: Parser) -> None:
        self.sequence = sequence
        self.parts = Parts()
        self.embedding = b""  # `GenerationChunk.embedding`
        self._parser = parser

    @property
    def text(self) -> str:
        return self.parts.text

    @property
    def tool_calls(self) -> list[ToolCall]:
        return list(self.parts.tool_calls.values())

    @property
    def finish_reason(self) -> FinishReason | None:
        return self.parts.finish_reason

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        """Return what `chunk` adds to the choice; empty if it adds nothing that a caller sees."""
        self.embedding += chunk.embedding
        deltas = self._parser.feed(chunk)
        if chunk.finish_reason is not None:
            deltas += self._parser.finish()
        for delta in deltas:
            self.parts.add(delta)
        if chunk.finish_reason is not None:
            end = FinishDelta(self._reason(chunk.finish_reason), chunk.stop)
            self.parts.add(end)
            deltas.append(end)
        return deltas

    def _reason(self, reason: FinishReason) -> FinishReason:
        """An answer that ends by itself after calls waits for the results of these."""
        is_waiting = reason is FinishReason.STOP and bool(self.parts.tool_calls)
        return FinishReason.TOOL_CALLS if is_waiting else reason
