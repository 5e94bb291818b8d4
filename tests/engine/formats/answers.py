"""Answers as an engine reports them, cut in any way, and what a parser makes of them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_service.engine.answer import (
    Delta,
    Parser,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from llm_service.engine.formats import ModelFormat, Tool
from llm_service.engine.formats.declarations import BY_NAME
from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.request import GenerationChunk, Marker

_FIRST_TEXT_ID = 1000
_SMALL = 6


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


WEATHER = Tool("weather", "Tell the weather.", schema(city={"type": "string"}))
TOOLS = (WEATHER, Tool("now", "Tell the time.", {}))


def model_format(name: str, *, has_tokens: bool = True) -> ModelFormat:
    """Return a declared format whose delimiters are tokens, or are none."""
    declaration = BY_NAME[name]
    ids = {each: i for i, each in enumerate(sorted(declaration.delimiters))} if has_tokens else {}
    return ModelFormat(declaration, Delimiters(ids))


@dataclass(frozen=True)
class Item:
    """A character of text, or a delimiter that was generated as its own token."""

    char: str
    token_id: int
    is_marker: bool = False


def items(model: ModelFormat, answer: str) -> list[Item]:
    """Read `answer`, where `«...»` is a delimiter, as a token if the format has it as one."""
    found = []
    for part in re.split("(«.*?»)", answer):
        name = part.strip("«»")
        token_id = model.delimiters.token_id(name)
        if part.startswith("«") and token_id is not None:
            found.append(Item("", token_id, is_marker=True))
        else:
            found += [Item(char, _FIRST_TEXT_ID + ord(char)) for char in name]
    return found


def chunk(part: Sequence[Item]) -> GenerationChunk:
    """Return one chunk of these tokens."""
    text, markers = "", []
    for item in part:
        if item.is_marker:
            markers.append(Marker(len(text), item.token_id))
        text += item.char
    return GenerationChunk(text, tuple(item.token_id for item in part), markers=tuple(markers))


def cut(
    all_items: Sequence[Item], size: int, first: int | None = None
) -> Iterator[GenerationChunk]:
    """Yield chunks of `size` items; the first one has `first`."""
    start = 0
    end = size if first is None else first
    while start < len(all_items):
        yield chunk(all_items[start:end])
        start, end = end, end + size


def all_cuts(all_items: Sequence[Item]) -> Iterator[Iterator[GenerationChunk]]:
    """Yield chunks of each size, and those of small sizes with a first one of each size."""
    for size in range(1, len(all_items) + 1):
        for first in range(1, size + 1) if size <= _SMALL else (size,):
            yield cut(all_items, size, first)


@dataclass
class Call:
    name: str
    arguments: str = ""


@dataclass
class Answer:
    """What a client has at the end."""

    text: str = ""
    reasoning: str = ""
    num_reasoning_tokens: int = 0
    calls: list[Call] = field(default_factory=list)
    order: str = ""  # first letters of the kinds, in order: t, r, c


def read(parser: Parser, chunks: Iterator[GenerationChunk]) -> tuple[Answer, list[Delta]]:
    """Feed `chunks`, and return the whole answer and the deltas."""
    deltas = [delta for each in chunks for delta in parser.feed(each)] + parser.finish()
    answer, ids = Answer(), set()
    for delta in deltas:
        kind = "t"
        match delta:
            case TextDelta():
                answer.text += delta.text
            case ReasoningDelta():
                kind = "r"
                answer.reasoning += delta.text
                answer.num_reasoning_tokens += delta.num_tokens
            case ToolCallDelta():
                kind = "c"
                if delta.name is not None:
                    assert delta.call_id is not None
                    assert delta.index == len(answer.calls)
                    ids.add(delta.call_id)
                    answer.calls.append(Call(delta.name))
                assert delta.index == len(answer.calls) - 1
                answer.calls[-1].arguments += delta.arguments
        is_empty = isinstance(delta, ReasoningDelta) and not delta.text
        if not answer.order.endswith(kind) and not is_empty:
            answer.order += kind
    assert len(ids) == len(answer.calls)
    return answer, deltas
