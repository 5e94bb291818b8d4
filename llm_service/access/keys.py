"""Keys: who may use the service, and for what.

A key is `llms_` and 256 random bits. Because nobody can guess or enumerate that much,
one SHA-256 is the right hash: a slow password hash protects secrets that people choose,
and would cost every request its time. Only the hash is stored. A key is found by its
hash, through an index, and compared once more in constant time; what the index gives
away by its timing is about the hash of a guess, which tells nothing about a real one.

It knows no bearer tokens: see `authentication.py`.
"""

import hmac
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
from anyio import to_thread
from pydantic import SecretStr
from sqlalchemy import Connection, RowMapping, delete, insert, literal, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from llm_service.access.api_key import (
    ADMIN_NAME,
    KEY_NAME,
    ApiKey,
    Scope,
    digest_of,
)
from llm_service.access.database import Database, api_keys, default_url
from llm_service.access.static_keys import StaticKey, parse_static_keys
from llm_service.errors import AuthenticationFailed, InvalidRequest, NotFound, Unavailable

__all__ = ["ApiKey", "KeyStore", "KeyStoreUnavailable", "Scope"]

KEY_PREFIX = "llms_"
CACHE_SECONDS = 1.0
_LOOKUP_SECONDS = 2.0
_NUM_LOOKUP_THREADS = 4
_MAX_CACHED = 1024

_log = logging.getLogger(__name__)
T = TypeVar("T")


class KeyStoreUnavailable(Unavailable):
    """The keys cannot be read now, so nobody can be let in or turned away."""

    code = "key_store_unavailable"


class KeyStore:
    """All keys. `find` is for the event loop; the rest blocks and belongs in a thread.

    Everything raises KeyStoreUnavailable when the database fails: a key is never accepted,
    nor called wrong, without having been looked up.
    """

    def __init__(
        self, database: Database, static_keys: Sequence[StaticKey] = (), *, default_rpm: int = 0
    ) -> None:
        self._database = database
        self._static_keys = tuple(static_keys)
        self._default_rpm = default_rpm
        self._cache: dict[str, tuple[ApiKey, float]] = {}  # by digest, with the time to forget
        self._version = 0  # counts changes, so that a lookup that overlapped one isn't cached
        self._threads = anyio.CapacityLimiter(_NUM_LOOKUP_THREADS)

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        database_url: SecretStr | None = None,
        admin_key: SecretStr | None = None,
        api_keys: SecretStr | None = None,
        default_rpm: int = 0,
    ) -> Self:
        """The store that the settings of these names describe.

        Raises ValueError in words, secrets left out, where one of them is malformed.
        """
        url = default_url(state_dir) if database_url is None else database_url.get_secret_value()
        static_keys = parse_static_keys(admin_key, api_keys, default_rpm)
        return cls(Database(url), static_keys, default_rpm=default_rpm)

    def __repr__(self) -> str:
        return f"KeyStore({len(self._static_keys)} static)"

    async def find(self, secret: str) -> ApiKey | None:
        """The key whose secret this is, or None. Raises AuthenticationFailed if it has expired.

        A key found in the database is remembered for CACHE_SECONDS, so it may take that
        long until another process' revocation is noticed here.
        """
        digest = digest_of(secret)
        key = self._find_static(digest) or self._find_cached(digest) or await self._look_up(digest)
        if key is not None and key.expires_at is not None and key.is_expired:
            raise AuthenticationFailed(
                f"The key '{key.name}' has expired on {key.expires_at:%Y-%m-%d %H:%M} UTC."
            )
        return key

    def bootstrap(self) -> str | None:
        """Make the first admin key and return its secret; None unless the store is empty.

        None as well where the settings provide an admin key. Of several processes that
        start at once, one gets the secret.
        """
        if any(Scope.ADMIN in static.key.scopes for static in self._static_keys):
            return None
        secret = _new_secret()
        values = _values(ADMIN_NAME, frozenset(Scope), self._default_rpm, None, secret)
        # One statement, so that there is no moment between looking and inserting.
        row = select(*(literal(value, api_keys.c[name].type) for name, value in values.items()))
        row = row.where(~select(api_keys.c.name).exists())
        try:
            return secret if self._write(insert(api_keys).from_select(list(values), row)) else None
        except IntegrityError:
            return None  # another process was first

    def create(
        self,
        name: str,
        scopes: frozenset[Scope],
        rpm: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is told only here. Raises InvalidRequest."""
        _check_new(name, scopes, rpm, expires_at)
        if any(static.key.name == name for static in self._static_keys):
            raise InvalidRequest(f"The settings have a key named '{name}'.", param="name")
        secret = _new_secret()
        rpm = self._default_rpm if rpm is None else rpm
        try:
            self._write(insert(api_keys).values(_values(name, scopes, rpm, expires_at, secret)))
        except IntegrityError:
            raise InvalidRequest(f"There is a key named '{name}' already.", param="name") from None
        return self._get(name), secret

    def list_keys(self) -> list[ApiKey]:
        """All keys by name, expired ones too, without their secrets."""
        rows = self._transact(lambda db: db.execute(select(api_keys)).mappings().all())
        keys = [static.key for static in self._static_keys] + [_key_of(row) for row in rows]
        return sorted(keys, key=lambda key: key.name)

    def revoke(self, name: str) -> None:
        """Delete a stored key: it opens nothing from now on. Raises NotFound."""
        self._must_match(name, self._write(delete(api_keys).where(api_keys.c.name == name)))

    def rotate(self, name: str) -> tuple[ApiKey, str]:
        """A new secret for a stored key, all else unchanged; the old one stops now."""
        secret = _new_secret()
        change = update(api_keys).where(api_keys.c.name == name).values(digest=digest_of(secret))
        self._must_match(name, self._write(change))
        return self._get(name), secret

    def close(self) -> None:
        self._database.close()

    def _find_static(self, digest: str) -> ApiKey | None:
        # All of them, so that the time taken doesn't tell which one was near.
        found = [s.key for s in self._static_keys if hmac.compare_digest(s.digest, digest)]
        return found[0] if found else None

    def _find_cached(self, digest: str) -> ApiKey | None:
        key, forget_at = self._cache.get(digest, (None, 0.0))
        return key if time.monotonic() < forget_at else None

    async def _look_up(self, digest: str) -> ApiKey | None:
        version = self._version
        try:
            with anyio.fail_after(_LOOKUP_SECONDS):
                key = await to_thread.run_sync(
                    self._select, digest, abandon_on_cancel=True, limiter=self._threads
                )
        except TimeoutError:
            _log.error("The key database did not answer within %g s", _LOOKUP_SECONDS)
            raise _unavailable() from None
        if key is not None and version == self._version:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[digest] = (key, time.monotonic() + CACHE_SECONDS)
        return key

    def _select(self, digest: str) -> ApiKey | None:
        query = select(api_keys).where(api_keys.c.digest == digest)
        row = self._transact(lambda db: db.execute(query).mappings().first())
        is_found = row is not None and hmac.compare_digest(row["digest"], digest)
        return _key_of(row) if row is not None and is_found else None

    def _get(self, name: str) -> ApiKey:
        query = select(api_keys).where(api_keys.c.name == name)
        row = self._transact(lambda db: db.execute(query).mappings().first())
        if row is None:
            raise _not_found(name)
        return _key_of(row)

    def _must_match(self, name: str, num_changed: int) -> None:
        if num_changed:
            return
        if any(static.key.name == name for static in self._static_keys):
            raise InvalidRequest(f"The key '{name}' is in the settings: change it there.")
        raise _not_found(name)

    def _write(self, statement: Any) -> int:
        """Number of rows changed. Raises IntegrityError as well."""
        try:
            return self._transact(lambda db: db.execute(statement).rowcount)
        finally:
            self._version += 1
            self._cache.clear()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._database.begin() as connection:
                return work(connection)
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            _log.error("The key database failed: %s: %s", type(cause).__name__, cause)
            raise _unavailable() from None


def _check_new(
    name: str, scopes: frozenset[Scope], rpm: int | None, expires_at: datetime | None
) -> None:
    if not KEY_NAME.fullmatch(name):
        raise InvalidRequest("A name is 1 to 32 of a-z, 0-9, _ and -.", param="name")
    if not scopes:
        raise InvalidRequest(f"Give at least one scope of {', '.join(Scope)}.", param="scopes")
    if rpm is not None and not 0 <= rpm <= 10**6:
        raise InvalidRequest("rpm is 0 (unlimited) to 1000000.", param="rpm")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidRequest("The expiry is in the past.", param="expires_at")


def _values(
    name: str, scopes: frozenset[Scope], rpm: int, expires_at: datetime | None, secret: str
) -> dict[str, Any]:
    return {
        "name": name,
        "digest": digest_of(secret),
        "scopes": ",".join(scope for scope in Scope if scope in scopes),
        "rpm": rpm,
        "cache_salt": secrets.token_hex(8),
        "created_at": int(time.time()),
        "expires_at": None if expires_at is None else int(expires_at.timestamp()),
    }


def _key_of(row: RowMapping) -> ApiKey:
    return ApiKey(
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"].split(",")),
        rpm=row["rpm"],
        source="stored",
        cache_salt=row["cache_salt"],
        created_at=_time_of(row["created_at"]),
        expires_at=_time_of(row["expires_at"]),
    )


def _time_of(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _new_secret() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def _not_found(name: str) -> NotFound:
    return NotFound(f"There is no stored key named '{name}'.")


def _unavailable() -> KeyStoreUnavailable:
    return KeyStoreUnavailable(
        "The key database cannot be read, so no key can be checked. Try again shortly."
    )
