"""The route of every endpoint that takes a JSON body: `Bodies` reads it before FastAPI sees it."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from llm_service.access.api_key import ApiKey
from llm_service.access.limits import RequestLimitExceeded
from llm_service.api.body import SMALL_BYTES
from llm_service.api.dependencies import Services, get_services
from llm_service.errors import ServiceError

# Refusals that are the caller's fault and count against its budget: see access/refusals.py.
# A client that leaves in the middle of its body is charged for what it sent.
_CHARGED = frozenset({400, 403, 404, 408, 413, 415})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRoute(APIRoute):
    """A route whose body, if it has one, is read by `Bodies`; FastAPI gets the finished model."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        return handle if self.body_field is None else self._with_body(handle)

    def _with_body(self, handle: Handler) -> Handler:
        async def handle_with_body(request: Request) -> Response:
            services = get_services(request)
            key: ApiKey = request.scope["state"]["key"]
            services.refusals.check(key)
            with services.bodies.hold() as body:
                try:
                    await _refuse_spent_key(services, key, request)
                    await services.bodies.read(request, body)
                    parsed = await services.bodies.parse(self, body)
                    return await handle(_ParsedRequest(request, parsed))
                except (ServiceError, RequestValidationError, ClientDisconnect) as error:
                    if getattr(error, "status", 400) in _CHARGED:
                        services.refusals.charge(key, len(body.content))
                    raise

        return handle_with_body


class _ParsedRequest(Request):
    """The request from which FastAPI reads the body: it gets the finished model."""

    def __init__(self, request: Request, parsed: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._parsed = parsed

    async def body(self) -> bytes:
        return b"" if self._parsed is None else b"read already"

    async def json(self) -> Any:
        return self._parsed


async def _refuse_spent_key(services: Services, key: ApiKey, request: Request) -> None:
    """Refuse a key without requests left before its large body is read.

    `Limiter.admit` checks all requests later.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) <= SMALL_BYTES:
        return
    state = await services.limiter.peek(key)
    if state is not None and state.remaining == 0:
        services.metrics.rejected(key.name, "requests")
        raise RequestLimitExceeded(key, state)
