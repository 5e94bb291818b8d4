"""Every error leaves in OpenAI's envelope, with the status and headers that go with it."""

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from llm_service.api.dependencies import get_services
from llm_service.api.records import record_rejection
from llm_service.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestCancelled,
    ServiceError,
)

# As the middleware gives every answer; some errors are made in front of it.
NEVER_KEPT = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


NOT_JSON = "The body must be a JSON object, sent as application/json."


def error_response(error: ServiceError) -> Response:
    # ASCII, because a message may quote what no encoding can write (half a surrogate pair).
    body = json.dumps(error.envelope())
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


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    record_rejection(get_services(request), request, error)
    return error_response(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Of a field that may have several types there is a complaint for each; the deepest is
    # about the one that was meant.
    deepest = max(error.errors(), key=lambda problem: len(problem["loc"]))
    return await _service_error(request, _from_validation(deepest))


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


def _from_validation(error: Mapping[str, Any]) -> InvalidRequest:
    """The complaint, by the name of the field, never echoing what was sent."""
    param = ".".join(str(part)[:80] for part in error["loc"][1:] if not _is_type(part))
    if not param:
        return InvalidRequest(NOT_JSON)
    return InvalidRequest(f"{param}: {error['msg']}.", param=param)


def _is_type(part: int | str) -> bool:
    """Whether a step of the location is a type that was tried, like `list[TextPart]`."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)
