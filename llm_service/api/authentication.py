"""Default deny: every route wants a key unless it is named here as open.

Pure ASGI and in front of the router, so that a body is never read, nor a route
looked up, for a caller who has no key.
"""

from fastapi.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from llm_service.access.authentication import Authenticator
from llm_service.access.ip_guard import IpGuard
from llm_service.api.dependencies import bearer
from llm_service.api.handlers import error_response
from llm_service.errors import AuthenticationFailed, ServiceError

OPEN_PATHS = frozenset({"/", "/health", "/healthz", "/readyz", "/openapi.json"})


class Authentication:
    """Puts the caller's ApiKey into the request's state as `key`, or refuses.

    Callers without a valid key, also on open paths, are limited by address.
    `open_paths` are exact. `files`, the dashboard's own, are open and not even counted: one page
    is dozens of them, from memory.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        ip_guard: IpGuard,
        open_paths: frozenset[str],
        files: frozenset[str],
    ) -> None:
        self.app = app
        self._authenticator = authenticator
        self._ip_guard = ip_guard
        self._open_paths = open_paths
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._identify(scope)
            except ServiceError as error:
                await error_response(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _identify(self, scope: Scope) -> None:
        if scope["path"] in self._files:
            return
        credentials = await bearer(Request(scope))
        is_open = scope["path"] in self._open_paths
        if not (is_open and credentials is None):
            try:
                token = credentials.credentials if credentials else None
                scope["state"]["key"] = await self._authenticator.authenticate(token)
                return
            except AuthenticationFailed:
                if not is_open:
                    await self._ip_guard.check(scope)
                    raise
        await self._ip_guard.check(scope)
