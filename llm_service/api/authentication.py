"""Authentication. Every route needs a key unless it is listed here as open.

Pure ASGI and in front of the router, so that a body is never read, nor a route
looked up, for a caller who has no key.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llm_service.access.authentication import Authenticator
from llm_service.access.ip_guard import IpGuard
from llm_service.api.handlers import error_response
from llm_service.errors import AuthenticationFailed, RateLimited, ServiceError, Unavailable

KEY_HEADERS = ("x-api-key", "api-key")
OPEN_PATHS = frozenset({"/", "/health", "/healthz", "/readyz", "/api/health", "/openapi.json"})


class Authentication:
    """Puts the caller's ApiKey into the request's state as `key`, or refuses.

    Callers without a valid key, also on open paths, are limited by address.
    `open_paths` are exact. `files` are the dashboard's: open, and not counted either, because a
    page needs dozens of them and they come from memory.
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
                await error_response(error, scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _identify(self, scope: Scope) -> None:
        if scope["path"] in self._files:
            return
        sent = sent_keys(Headers(scope=scope))
        if scope["path"] in self._open_paths:
            await self._let_in(scope, sent)
            return
        try:
            scope["state"]["key"] = await self._authenticator.authenticate(_only(sent))
        except AuthenticationFailed:
            await self._ip_guard.check(scope)
            raise

    async def _let_in(self, scope: Scope, sent: set[str]) -> None:
        """Let a request for an open path in, also while keys cannot be looked up.

        A key is therefore looked up only if the address has spent its limit.
        """
        try:
            await self._ip_guard.check(scope)
        except RateLimited as refusal:
            if not sent:
                raise
            try:
                scope["state"]["key"] = await self._authenticator.authenticate(_only(sent))
            except (AuthenticationFailed, Unavailable):
                raise refusal from None


def sent_keys(headers: Headers) -> set[str]:
    """Every key that a request carries, as a bearer token or in one of KEY_HEADERS."""
    bearers = (value.partition(" ") for value in headers.getlist("authorization"))
    keys = [token.strip() for scheme, _, token in bearers if scheme.lower() == "bearer"]
    keys += [value.strip() for name in KEY_HEADERS for value in headers.getlist(name)]
    return {key for key in keys if key}


def _only(keys: set[str]) -> str | None:
    if len(keys) > 1:
        raise AuthenticationFailed(
            "Several different API keys were sent in Authorization, x-api-key or api-key. Send one."
        )
    return next(iter(keys), None)
