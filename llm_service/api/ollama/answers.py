"""The shapes of Ollama's answers: whole, or as lines of JSON."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from llm_service.api.choice import Choice, Parts, ToolCall
from llm_service.api.envelopes import ollama_envelope
from llm_service.api.responses import UsageOut, rfc3339
from llm_service.api.sse import WireFormat
from llm_service.engine import FinishReason
from llm_service.engine.answer import Delta
from llm_service.errors import ServiceError
from llm_service.observability.record import RequestRecord


class FunctionOut(BaseModel):
    name: str
    arguments: dict[str, Any]


class CallOut(BaseModel):
    function: FunctionOut


class MessageOut(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    thinking: str | None = None
    tool_calls: list[CallOut] | None = None


class AnswerOut(BaseModel):
    """Durations are in nanoseconds. The counts and durations come at the end of an answer."""

    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load"] | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class ChatOut(AnswerOut):
    message: MessageOut


class GenerateOut(AnswerOut):
    response: str
    thinking: str | None = None


class OllamaFormat(WireFormat):
    """An answer of `/api/chat`. Calls come whole, at the end: a line has no pieces of them."""

    media_type = "application/x-ndjson"

    def __init__(self, record: RequestRecord, name: str) -> None:
        """`name` is the model's name as the caller wrote it."""
        self._record = record
        self._name = name

    def increment(self, index: int, deltas: list[Delta]) -> Iterable[bytes]:
        parts = Parts.of(deltas)
        if parts.text or parts.reasoning:
            yield self._line(self.part(parts.text, parts.reasoning), done=False)

    def closing(self, choices: list[Choice], usage: UsageOut) -> Iterable[bytes]:
        (choice,) = choices
        if choice.tool_calls:
            yield self._line(self.part("", "", choice.tool_calls), done=False)
        yield self._line({**self.part("", ""), **self._end(choice, usage)}, done=True)

    def failure(self, error: ServiceError) -> Iterable[bytes]:
        return (_encoded(ollama_envelope(error)),)

    def keep_alive(self) -> bytes:
        return self._line(self.part("", ""), done=False)

    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        (choice,) = choices
        part = self.part(choice.text, choice.parts.reasoning, choice.tool_calls)
        return {**head(self._name), **part, "done": True, **self._end(choice, usage)}

    def part(self, text: str, thinking: str, calls: Iterable[ToolCall] = ()) -> dict[str, Any]:
        """Return the fields of a piece of the answer."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if found := [_call(call) for call in calls]:
            message["tool_calls"] = found
        return {"message": message}

    def _line(self, fields: Mapping[str, Any], *, done: bool) -> bytes:
        return _encoded({**head(self._name), **fields, "done": done})

    def _end(self, choice: Choice, usage: UsageOut) -> dict[str, Any]:
        timings = choice.sequence.timings
        is_cut = choice.finish_reason is FinishReason.LENGTH
        return {
            "done_reason": "length" if is_cut else "stop",
            "total_duration": nanoseconds(time.time() - self._record.started_at),
            "load_duration": 0,
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": nanoseconds(timings.prefill_seconds),
            "eval_count": usage.completion_tokens,
            "eval_duration": nanoseconds(timings.decode_seconds),
        }


class OllamaGenerateFormat(OllamaFormat):
    """An answer of `/api/generate`."""

    def part(self, text: str, thinking: str, calls: Iterable[ToolCall] = ()) -> dict[str, Any]:
        return {"response": text, **({"thinking": thinking} if thinking else {})}


def head(name: str) -> dict[str, str]:
    return {"model": name, "created_at": rfc3339(time.time())}


def _encoded(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _call(call: ToolCall) -> dict[str, Any]:
    """Arguments are an object here. A model's text that is none is passed on as one argument."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}
    return {"function": {"name": call.name, "arguments": arguments}}


def nanoseconds(seconds: float | None) -> int:
    return round((seconds or 0.0) * 1e9)
