"""Turns every error into the envelope of its path, with its status and headers."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from llm_service.api.body import NOT_JSON
from llm_service.api.dependencies import get_services
from llm_service.api.envelopes import envelope
from llm_service.api.wire import SHAPE_ERROR
from llm_service.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestCancelled,
    ServiceError,
)

# The middleware adds these to every answer, but some errors never pass through it.
NEVER_KEPT = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
MAX_NAME = 64  # an error quotes so many characters of a name in the request

_SUBJECT = re.compile(r"^[A-Z][a-z]+ should")
_WORDS = {
    "missing": "is required",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "int_parsing_size": "must be an integer of fewer digits",
    "extra_forbidden": "is not a field of this request",
}


def error_response(error: ServiceError, scope: Scope | None) -> Response:
    """Return the answer; `scope` is that of the request, or None if its path is not known yet."""
    # ASCII, because a message may quote half of a surrogate pair, which no encoding can write.
    body = json.dumps(envelope(error, scope))
    return Response(
        body,
        status_code=error.status,
        headers={**NEVER_KEPT, **error_headers(error)},
        media_type="application/json",
    )


def error_headers(error: ServiceError) -> dict[str, str]:
    """`Retry-After` in whole seconds, rounded up so that waiting that long is enough."""
    state = getattr(error, "limit_state", None)
    headers: dict[str, str] = {} if state is None else state.headers()
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def install_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)


def record_early_end(request: Request, error: Exception) -> None:
    """Count the request if it asked for inference and was not submitted to an engine."""
    services = get_services(request)
    model = services.models.default
    services.recorder.ended_early(request, error, "other" if model is None else model.info.model_id)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    record_early_end(request, error)
    return error_response(error, request.scope)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _service_error(request, from_validation(error.errors()[0]))


async def _http_error(request: Request, error: Exception) -> Response:
    """Routing errors, and bodies that could not be read."""
    assert isinstance(error, HTTPException)
    response = await _service_error(request, _from_status(request, error))
    response.headers.update(error.headers or {})
    return response


async def _client_left(request: Request, error: Exception) -> Response:
    return await _service_error(request, RequestCancelled("The client left."))


def _from_status(request: Request, error: HTTPException) -> ServiceError:
    if error.status_code == 404:
        return NotFound(f"There is no route {request.method} {request.url.path[:200]}.")
    if error.status_code == 405:
        return MethodNotAllowed(f"{request.method} is not allowed on {request.url.path[:200]}.")
    return InvalidRequest("The body could not be read.")


def from_validation(error: Mapping[str, Any]) -> InvalidRequest:
    """Describe the error by the name of the field; the value that was sent is never repeated."""
    if error["type"] == "json_invalid":
        reason = error.get("ctx", {}).get("error", "it does not parse")
        return InvalidRequest(f"The body is not valid JSON: {reason}.")
    param = _param(error["loc"][1:])
    if not param:
        return InvalidRequest(NOT_JSON)
    return InvalidRequest(f"{param} {_words(error)}.", param=param)


def _param(location: Sequence[int | str]) -> str:
    """Join the steps of a field's name with dots. A step may be any key that the caller sent."""
    steps = [str(step)[:MAX_NAME] for step in location if not _is_type(step)]
    return ".".join(steps)


def _is_type(step: int | str) -> bool:
    """Return whether the step names a type that pydantic tried, like `list[ContentPart]`."""
    return isinstance(step, str) and (step in ("str", "int", "float", "bool") or "[" in step)


def _words(error: Mapping[str, Any]) -> str:
    """Return what is wrong, to follow the field's name; JSON types have their JSON names."""
    if (words := _WORDS.get(error["type"])) is not None:
        return words
    message = str(error["msg"]).replace(" after validation", "")
    if error["type"] in ("value_error", SHAPE_ERROR):
        return message.removeprefix("Value error, ")
    is_usual = _SUBJECT.match(message)
    return _SUBJECT.sub("must", message) if is_usual else f"is wrong: {message}"
