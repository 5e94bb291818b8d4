"""Streams of named events, checked against the types of the official clients."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args
from unittest.mock import patch

from anthropic.types import RawMessageStreamEvent
from openai.types.responses import ResponseStreamEvent

from llm_service.api import inference
from llm_service.api.questions import chat_question
from llm_service.api.running import Question
from llm_service.engine import GenerationChunk
from llm_service.engine.answer import Delta


def _by_type(union: Any) -> dict[str, Any]:
    return {
        get_args(event.model_fields["type"].annotation)[0]: event
        for event in get_args(get_args(union)[0])
    }


OPENAI = _by_type(ResponseStreamEvent)
ANTHROPIC = _by_type(RawMessageStreamEvent)
Events = list[tuple[str, dict[str, Any]]]


def events(text: str) -> Events:
    """The events of a stream: their names and data."""
    found: Events = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def check_openai(stream: Events) -> None:
    """Each event is named by its type, numbered in order, and has what the client's type has."""
    assert [data["sequence_number"] for _, data in stream] == list(range(len(stream)))
    for name, data in stream:
        assert data["type"] == name
        OPENAI[name].model_validate(data)


def check_anthropic(stream: Events) -> None:
    for name, data in stream:
        assert data["type"] == name
        if name != "ping":
            ANTHROPIC[name].model_validate(data)


class Scripted:
    """A parser that gives the next deltas of a script for each chunk."""

    def __init__(self, script: list[list[Delta]]) -> None:
        self._script = iter(script)

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        return next(self._script)

    def finish(self) -> list[Delta]:
        return []


@contextmanager
def scripted(*script: list[Delta]) -> Iterator[None]:
    """Let answers to conversations be read as `script`, one item per chunk."""

    async def question(*args: Any) -> Question:
        return replace(
            await chat_question(*args), make_parser=lambda: Scripted(list(script)), grammar=None
        )

    with patch.object(inference, "chat_question", question):
        yield
