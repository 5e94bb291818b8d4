"""Finds the key of a bearer token, and checks that a key has a scope.

It reads no headers: the web layer hands it the token.
"""

from llm_service.access.api_key import ANONYMOUS, ApiKey, Scope
from llm_service.access.keys import KeyStore
from llm_service.access.usage import UsageLog
from llm_service.errors import AuthenticationFailed, PermissionDenied


class Authenticator:
    """One per service. With `require_keys` off, callers without a valid key are ANONYMOUS."""

    def __init__(
        self, keys: KeyStore, usage: UsageLog | None = None, *, require_keys: bool = True
    ) -> None:
        self.requires_keys = require_keys
        self._keys = keys
        self._usage = usage

    async def authenticate(self, bearer: str | None) -> ApiKey:
        """The key of a bearer token. Raises AuthenticationFailed or KeyStoreUnavailable."""
        key = await self._keys.find(bearer) if bearer else None
        if key is not None:
            if self._usage is not None:
                self._usage.seen(key.id)
            return key
        if not self.requires_keys:
            return ANONYMOUS
        if not bearer:
            raise AuthenticationFailed(
                "No API key was sent. Send it in the header 'Authorization: Bearer <key>'."
            )
        raise AuthenticationFailed("This API key is not valid here, or no longer.")


def require(key: ApiKey, scope: Scope) -> None:
    """Raise PermissionDenied unless `key` has `scope`."""
    if scope not in key.scopes:
        raise PermissionDenied(
            f"The key '{key.name}' lacks the scope '{scope}' that this needs; it has"
            f" {', '.join(sorted(key.scopes))}."
        )
