"""The output items of an answer, and the events of a stream that tell of them.

An item begins with the first delta of its kind and ends before the next item begins.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

from llm_service.engine import FinishReason
from llm_service.engine.answer import (
    Delta,
    FinishDelta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)

Status = Literal["in_progress", "completed", "incomplete"]
Event = tuple[str, dict[str, Any]]  # type, and fields apart from type and sequence number


class OutputItem(ABC):
    def __init__(self, item_id: str, index: int) -> None:
        self.item_id = item_id
        self._index = index

    def begin(self) -> Iterator[Event]:
        item = self.as_dict("in_progress") | self.not_begun()
        yield "response.output_item.added", {"output_index": self._index, "item": item}
        yield from self.begin_parts()

    def end(self, status: Status) -> Iterator[Event]:
        yield from self.end_parts()
        item = self.as_dict(status)
        yield "response.output_item.done", {"output_index": self._index, "item": item}

    @abstractmethod
    def as_dict(self, status: Status) -> dict[str, Any]:
        """Return the item with what it has so far."""

    @abstractmethod
    def not_begun(self) -> dict[str, Any]:
        """Return the fields that the item has before its parts begin."""

    @abstractmethod
    def begin_parts(self) -> Iterator[Event]: ...

    @abstractmethod
    def add(self, text: str) -> Iterator[Event]: ...

    @abstractmethod
    def end_parts(self) -> Iterator[Event]: ...

    def _event(self, kind: str, /, **fields: Any) -> Event:
        where = {"item_id": self.item_id, "output_index": self._index}
        return f"response.{kind}", where | fields

    def _part_event(self, kind: str, /, **fields: Any) -> Event:
        """An event about the item's only content part."""
        return self._event(kind, content_index=0, **fields)


class MessageItem(OutputItem):
    """Text of the answer."""

    def __init__(self, prefix: str, index: int) -> None:
        super().__init__(f"msg_{prefix}_{index}", index)
        self._text = ""

    def as_dict(self, status: Status) -> dict[str, Any]:
        return {
            "id": self.item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [self._part()],
        }

    def not_begun(self) -> dict[str, Any]:
        return {"content": []}

    def begin_parts(self) -> Iterator[Event]:
        yield self._part_event("content_part.added", part=self._part())

    def add(self, text: str) -> Iterator[Event]:
        self._text += text
        yield self._part_event("output_text.delta", delta=text, logprobs=[])

    def end_parts(self) -> Iterator[Event]:
        yield self._part_event("output_text.done", text=self._text, logprobs=[])
        yield self._part_event("content_part.done", part=self._part())

    def _part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self._text, "annotations": [], "logprobs": []}


class ReasoningItem(OutputItem):
    """What the model wrote before its answer; also as the summary, if one was asked for."""

    def __init__(self, prefix: str, index: int, *, has_summary: bool) -> None:
        super().__init__(f"rs_{prefix}_{index}", index)
        self._text = ""
        self._has_summary = has_summary

    def as_dict(self, status: Status) -> dict[str, Any]:
        return {
            "id": self.item_id,
            "type": "reasoning",
            "status": status,
            "summary": [self._summary()] if self._has_summary else [],
            "content": [self._part()],
            "encrypted_content": None,
        }

    def not_begun(self) -> dict[str, Any]:
        return {"summary": [], "content": []}

    def begin_parts(self) -> Iterator[Event]:
        if self._has_summary:
            yield self._summary_event("part.added", part=self._summary())
        yield self._part_event("content_part.added", part=self._part())

    def add(self, text: str) -> Iterator[Event]:
        self._text += text
        if self._has_summary:
            yield self._summary_event("text.delta", delta=text)
        yield self._part_event("reasoning_text.delta", delta=text)

    def end_parts(self) -> Iterator[Event]:
        if self._has_summary:
            yield self._summary_event("text.done", text=self._text)
            yield self._summary_event("part.done", part=self._summary())
        yield self._part_event("reasoning_text.done", text=self._text)
        yield self._part_event("content_part.done", part=self._part())

    def _part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": self._text}

    def _summary(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": self._text}

    def _summary_event(self, kind: str, /, **fields: Any) -> Event:
        return self._event(f"reasoning_summary_{kind}", summary_index=0, **fields)


class FunctionCallItem(OutputItem):
    def __init__(self, prefix: str, index: int, delta: ToolCallDelta) -> None:
        super().__init__(f"fc_{prefix}_{index}", index)
        self.call_index = delta.index
        self._call_id = delta.call_id
        self._name = delta.name
        self._arguments = ""

    def as_dict(self, status: Status) -> dict[str, Any]:
        return {
            "id": self.item_id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": self._arguments,
        }

    def not_begun(self) -> dict[str, Any]:
        return {"arguments": ""}

    def begin_parts(self) -> Iterator[Event]:
        return iter(())

    def add(self, text: str) -> Iterator[Event]:
        if text:
            self._arguments += text
            yield self._event("function_call_arguments.delta", delta=text)

    def end_parts(self) -> Iterator[Event]:
        arguments = {"arguments": self._arguments, "name": self._name}
        yield self._event("function_call_arguments.done", **arguments)


class Output:
    """The items of one answer, from its deltas."""

    def __init__(self, prefix: str, *, has_summary: bool) -> None:
        """`prefix` begins the items' ids, after their kind."""
        self.items: list[dict[str, Any]] = []  # those that have ended
        self._prefix = prefix
        self._has_summary = has_summary
        self._open: OutputItem | None = None

    def add(self, delta: Delta) -> Iterator[Event]:
        """Add the delta and yield the events that tell of it."""
        match delta:
            case TextDelta(text=text) if text:
                if not isinstance(self._open, MessageItem):
                    yield from self._begin(MessageItem)
                yield from self._add_text(text)
            case ReasoningDelta(text=text) if text:
                if not isinstance(self._open, ReasoningItem):
                    make = partial(ReasoningItem, has_summary=self._has_summary)
                    yield from self._begin(make)
                yield from self._add_text(text)
            case ToolCallDelta():
                if not self._is_open_call(delta.index):
                    yield from self._begin(partial(FunctionCallItem, delta=delta))
                yield from self._add_text(delta.arguments)
            case FinishDelta():
                yield from self._finish(delta.reason)

    def _add_text(self, text: str) -> Iterator[Event]:
        assert self._open is not None
        return self._open.add(text)

    def _is_open_call(self, index: int) -> bool:
        return isinstance(self._open, FunctionCallItem) and self._open.call_index == index

    def _finish(self, reason: FinishReason) -> Iterator[Event]:
        if self._open is None and not self.items:
            yield from self._begin(MessageItem)  # clients expect one, even if it is empty
        yield from self._end("incomplete" if reason is FinishReason.LENGTH else "completed")

    def _begin(self, make: Callable[[str, int], OutputItem]) -> Iterator[Event]:
        yield from self._end("completed")
        self._open = make(self._prefix, len(self.items))
        yield from self._open.begin()

    def _end(self, status: Status) -> Iterator[Event]:
        if self._open is not None:
            yield from self._open.end(status)
            self.items.append(self._open.as_dict(status))
            self._open = None
