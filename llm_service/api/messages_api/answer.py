"""The answer of POST /v1/messages: a message, whole or as a stream of events."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from llm_service.api.choice import Choice, Parts
from llm_service.api.envelopes import messages_envelope
from llm_service.api.messages_api.request import MessagesRequest
from llm_service.api.responses import UsageOut
from llm_service.api.sse import WireFormat, event
from llm_service.engine import FinishReason
from llm_service.engine.answer import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llm_service.errors import ServiceError
from llm_service.observability.record import RequestRecord

# Clients drop thinking without a signature from the conversation. This service does not check it.
SIGNATURE = "unsigned"


class MessagesFormat(WireFormat):
    """Content blocks are numbered; one begins with the first delta of its kind."""

    def __init__(self, record: RequestRecord, body: MessagesRequest) -> None:
        self._record = record
        self._max_tokens = body.max_tokens
        self._has_thinking = body.shows_thinking
        self._message: dict[str, Any] = {
            "id": f"msg_{record.request_id}",
            "type": "message",
            "role": "assistant",
            "model": record.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        self._num_blocks = 0
        self._open: tuple[str, int] | None = None  # the open block's type, and its call's index

    def opening(self, num_choices: int) -> Iterable[bytes]:
        usage = _usage(self._record.prompt_tokens, 0, 0)
        yield _event("message_start", message={**self._message, "usage": usage})
        yield self.keep_alive()

    def increment(self, index: int, deltas: list[Delta]) -> Iterable[bytes]:
        for delta in deltas:
            match delta:
                case TextDelta(text=text) if text:
                    yield from self._enter("text", text="")
                    yield self._delta("text_delta", text=text)
                case ReasoningDelta(text=text) if text and self._has_thinking:
                    yield from self._enter("thinking", thinking="", signature="")
                    yield self._delta("thinking_delta", thinking=text)
                case ToolCallDelta():
                    begin = {"id": delta.call_id, "name": delta.name, "input": dict[str, Any]()}
                    yield from self._enter("tool_use", delta.index, **begin)
                    if delta.arguments:
                        yield self._delta("input_json_delta", partial_json=delta.arguments)

    def closing(self, choices: list[Choice], usage: UsageOut) -> Iterable[bytes]:
        if self._num_blocks == 0 and self._open is None:
            yield from self._enter("text", text="")  # clients expect a block, even an empty one
        yield from self._leave()
        yield _event(
            "message_delta",
            delta=self._stop(choices[0].parts, usage),
            usage=_usage_of(usage),
        )
        yield _event("message_stop")

    def failure(self, error: ServiceError) -> Iterable[bytes]:
        yield event(messages_envelope(error, self._record.request_id), "error")

    def keep_alive(self) -> bytes:
        return _event("ping")

    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        parts = choices[0].parts
        return {
            **self._message,
            "content": list(self._blocks(parts)) or [{"type": "text", "text": ""}],
            **self._stop(parts, usage),
            "usage": _usage_of(usage),
        }

    def _blocks(self, parts: Parts) -> Iterator[dict[str, Any]]:
        if parts.reasoning and self._has_thinking:
            yield {"type": "thinking", "thinking": parts.reasoning, "signature": SIGNATURE}
        if parts.text:
            yield {"type": "text", "text": parts.text}
        for call in parts.tool_calls.values():
            yield {
                "type": "tool_use",
                "id": call.call_id,
                "name": call.name,
                "input": _input(call.arguments),
            }

    def _enter(self, kind: str, call: int = 0, **fields: Any) -> Iterator[bytes]:
        """Begin a block, unless it is open already."""
        if self._open == (kind, call):
            return
        yield from self._leave()
        self._open = (kind, call)
        block = {"type": kind, **fields}
        yield _event("content_block_start", index=self._num_blocks, content_block=block)

    def _leave(self) -> Iterator[bytes]:
        """End the open block, if there is one."""
        if self._open is None:
            return
        if self._open[0] == "thinking":
            yield self._delta("signature_delta", signature=SIGNATURE)
        yield _event("content_block_stop", index=self._num_blocks)
        self._num_blocks += 1
        self._open = None

    def _delta(self, kind: str, **fields: Any) -> bytes:
        delta = {"type": kind, **fields}
        return _event("content_block_delta", index=self._num_blocks, delta=delta)

    def _stop(self, parts: Parts, usage: UsageOut) -> dict[str, str | None]:
        return {"stop_reason": self._stop_reason(parts, usage), "stop_sequence": parts.stop}

    def _stop_reason(self, parts: Parts, usage: UsageOut) -> str:
        if parts.finish_reason is FinishReason.TOOL_CALLS:
            return "tool_use"
        if parts.finish_reason is FinishReason.LENGTH:
            is_limit = usage.completion_tokens >= self._max_tokens
            return "max_tokens" if is_limit else "model_context_window_exceeded"
        return "end_turn" if parts.stop is None else "stop_sequence"


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


def _usage_of(usage: UsageOut) -> dict[str, Any]:
    cached = usage.prompt_tokens_details.cached_tokens
    return _usage(usage.prompt_tokens, cached, usage.completion_tokens) | {
        "output_tokens_details": {
            "thinking_tokens": usage.completion_tokens_details.reasoning_tokens
        }
    }


def _usage(prompt_tokens: int, cached_tokens: int, output_tokens: int) -> dict[str, int]:
    """Return the usage as Anthropic counts: the cached tokens are not among the input tokens."""
    return {
        "input_tokens": prompt_tokens - cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached_tokens,
        "output_tokens": output_tokens,
    }


def _input(arguments: str) -> dict[str, Any]:
    """Return the arguments as an object; of arguments that were cut off, what is complete."""
    try:
        value = from_json(arguments, allow_partial=True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
