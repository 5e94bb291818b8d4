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
from llm_service.errors import AuthenticationFailed, RateLimited, ServiceError, Unavailable

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
        token = credentials.credentials if credentials else None
        if scope["path"] in self._open_paths:
            await self._let_in(scope, token)
            return
        try:
            scope["state"]["key"] = await self._authenticator.authenticate(token)
        except AuthenticationFailed:
            await self._ip_guard.check(scope)
            raise

    async def _let_in(self, scope: Scope, token: str | None) -> None:
        """An open path, which answers also while no key can be looked up.

        So a key is only looked up for an address that has spent its limit.
        """
        try:
            await self._ip_guard.check(scope)
        except RateLimited as refusal:
            try:
                if token is None:
                    raise refusal
                scope["state"]["key"] = await self._authenticator.authenticate(token)
            except (AuthenticationFailed, Unavailable):
                raise refusal from None
