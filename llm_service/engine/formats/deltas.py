"""Splits chunks at their markers, and collects deltas."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from llm_service.engine.answer import Delta, Logprobs, ReasoningDelta, TextDelta, ToolCallDelta
from llm_service.engine.request import GenerationChunk


@dataclass(frozen=True, slots=True)
class Piece:
    """Text without a marker, its tokens, and the marker after it, if there is one."""

    text: str
    num_tokens: int
    logprobs: Logprobs
    marker: int | None


def pieces(chunk: GenerationChunk) -> Iterator[Piece]:
    """Yield the parts of `chunk`; the last one has no marker."""
    start, token_ids, logprobs = 0, chunk.token_ids, chunk.logprobs
    for marker in chunk.markers:
        num_tokens = _index(token_ids, marker.token_id)
        num_logprobs = _index([each.chosen.token_id for each in logprobs], marker.token_id)
        text = chunk.text[start : marker.offset]
        yield Piece(text, num_tokens, logprobs[:num_logprobs], marker.token_id)
        start = marker.offset
        token_ids, logprobs = token_ids[num_tokens + 1 :], logprobs[num_logprobs + 1 :]
    yield Piece(chunk.text[start:], len(token_ids), logprobs, None)


def _index(ids: "list[int] | tuple[int, ...]", token_id: int) -> int:
    return ids.index(token_id) if token_id in ids else len(ids)


class Deltas:
    """Collects deltas in order and joins neighbours of the same kind."""

    def __init__(self) -> None:
        self.list: list[Delta] = []

    def text(self, text: str, logprobs: Logprobs = ()) -> None:
        match self.list:
            case [*_, TextDelta() as last]:
                self.list[-1] = TextDelta(last.text + text, last.logprobs + logprobs)
            case _ if text or logprobs:
                self.list.append(TextDelta(text, logprobs))

    def reasoning(self, text: str, num_tokens: int = 0) -> None:
        match self.list:
            case [*_, ReasoningDelta() as last]:
                total = last.num_tokens + num_tokens
                self.list[-1] = ReasoningDelta(last.text + text, total)
            case _ if text or num_tokens:
                self.list.append(ReasoningDelta(text, num_tokens))

    def call(self, index: int, call_id: str, name: str) -> None:
        self.list.append(ToolCallDelta(index, call_id=call_id, name=name))

    def arguments(self, index: int, arguments: str) -> None:
        match self.list:
            case [*_, ToolCallDelta() as last] if last.index == index:
                self.list[-1] = replace(last, arguments=last.arguments + arguments)
            case _ if arguments:
                self.list.append(ToolCallDelta(index, arguments))
