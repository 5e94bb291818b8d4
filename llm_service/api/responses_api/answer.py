"""The answer of POST /v1/responses: a response object, whole or as a stream of events."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm_service.api.choice import Choice
from llm_service.api.responses import UsageOut
from llm_service.api.responses_api.output import Event, Output
from llm_service.api.responses_api.request import FunctionTool, ResponsesRequest
from llm_service.api.sse import WireFormat, event
from llm_service.engine import FinishReason, ModelInfo
from llm_service.engine.answer import Delta
from llm_service.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    Overloaded,
    RateLimited,
    RequestCancelled,
    ServiceError,
)
from llm_service.observability.record import RequestRecord


class ResponsesFormat(WireFormat):
    """Numbers its events. The last one has the whole response, so the output is kept."""

    def __init__(self, record: RequestRecord, body: ResponsesRequest, info: ModelInfo) -> None:
        self._response = {
            "id": f"resp_{record.request_id}",
            "object": "response",
            "created_at": int(time.time()),
            **_request_fields(body, info),
            **_fixed_fields(),
            "model": record.model,
        }
        self._output = Output(record.request_id, has_summary=body.has_summary)
        self._num_events = 0

    def opening(self, num_choices: int) -> Iterable[bytes]:
        for name in ("created", "in_progress"):
            yield self._response_event(name, self._present("in_progress"))

    def increment(self, index: int, deltas: list[Delta]) -> Iterable[bytes]:
        for delta in deltas:
            for each in self._output.add(delta):
                yield self._event(*each)

    def closing(self, choices: list[Choice], usage: UsageOut) -> Iterable[bytes]:
        response = self._finished(choices[0], usage)
        yield self._response_event(response["status"], response)

    def failure(self, error: ServiceError) -> Iterable[bytes]:
        response = self._present("failed") | {"error": _error(error)}
        yield self._response_event("failed", response)

    def keep_alive(self) -> bytes:
        """A real event: clients that measure idle time count events, and not comments."""
        return self._response_event("in_progress", self._present("in_progress"))

    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        for delta in choices[0].parts.deltas():
            _pass_over(self._output.add(delta))
        return self._finished(choices[0], usage)

    def _finished(self, choice: Choice, usage: UsageOut) -> dict[str, Any]:
        is_complete = choice.finish_reason is not FinishReason.LENGTH
        response = self._present("completed" if is_complete else "incomplete")
        response["usage"] = _usage(usage)
        response["completed_at"] = int(time.time())
        if not is_complete:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        return response

    def _present(self, status: str) -> dict[str, Any]:
        return {**self._response, "status": status, "output": self._output.items}

    def _response_event(self, name: str, response: dict[str, Any]) -> bytes:
        return self._event(f"response.{name}", {"response": response})

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        data = {"type": kind, "sequence_number": self._num_events, **fields}
        self._num_events += 1
        return event(data, kind)


def _request_fields(body: ResponsesRequest, info: ModelInfo) -> dict[str, Any]:
    """The request's settings, with the values that were used for those that it left out."""
    defaults = dict(info.default_sampling)
    text, reasoning = body.text, body.reasoning
    format_ = None if text is None or text.format is None else text.format
    choice = body.tool_choice
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata,
        "parallel_tool_calls": body.parallel_tool_calls,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {
            "effort": None if reasoning is None else reasoning.effort,
            "summary": None if reasoning is None else reasoning.summary,
        },
        "safety_identifier": body.safety_identifier,
        "temperature": _first(body.temperature, defaults.get("temperature"), 1.0),
        "text": {
            "format": {"type": "text"} if format_ is None else _format(format_),
            "verbosity": "medium" if text is None else text.verbosity or "medium",
        },
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [_tool(tool) for tool in body.functions],
        "top_p": _first(body.top_p, defaults.get("top_p"), 1.0),
        "presence_penalty": body.presence_penalty or 0.0,
        "frequency_penalty": body.frequency_penalty or 0.0,
        "truncation": body.truncation,
        "user": body.user,
    }


def _fixed_fields() -> dict[str, Any]:
    """The fields that have the same value in every answer, or a value only at its end."""
    return {
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "max_tool_calls": None,
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "top_logprobs": 0,
        "usage": None,
    }


def _format(format_: Any) -> dict[str, Any]:
    if format_.type != "json_schema":
        return {"type": format_.type}
    return {
        "type": "json_schema",
        "name": format_.name or "answer",
        "description": format_.description,
        "schema": format_.json_schema,
        "strict": bool(format_.strict),
    }


def _tool(tool: FunctionTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }


def _usage(usage: UsageOut) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.prompt_tokens_details.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {
            "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens
        },
        "total_tokens": usage.total_tokens,
    }


def _error(error: ServiceError) -> dict[str, str]:
    """Return the error with a code by which clients decide whether to try again."""
    message = error.message
    if isinstance(error, RateLimited | Overloaded):
        if error.retry_after is not None:
            # Codex waits for as long as these words say.
            message = f"{message} Please try again in {error.retry_after:.1f}s."
        return {"code": "rate_limit_exceeded", "message": message}
    if isinstance(error, ContextLengthExceeded):
        return {"code": "context_length_exceeded", "message": message}
    # What was refused or cancelled must not be tried again; clients try other codes again.
    is_final = isinstance(error, InvalidRequest | RequestCancelled)
    return {"code": "invalid_prompt" if is_final else "server_error", "message": message}


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _pass_over(events: Iterator[Event]) -> None:
    for _ in events:
        pass
