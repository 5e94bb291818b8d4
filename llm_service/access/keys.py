"""The store of keys.

A key is `llms_` and 256 random bits. Because nobody can guess or enumerate that much,
one SHA-256 is the right hash: a slow password hash protects secrets that people choose,
and would cost every request its time. Only the hash is stored. A key is found by its
hash, through an index, and compared once more in constant time; what the index gives
away by its timing is about the hash of a guess, which tells nothing about a real one.

It does not handle bearer tokens: see `authentication.py`.
"""

import hmac
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
from anyio import to_thread
from pydantic import SecretStr
from sqlalchemy import Connection, exists, insert, literal, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from llm_service.access.api_key import ADMIN_NAME, RESERVED_NAMES, ApiKey, Scope, digest_of
from llm_service.access.database import Database, default_url
from llm_service.access.key_rows import (
    OVERLAP,
    KeyChanges,
    changed_columns,
    check_changes,
    check_name,
    check_overlap,
    find_key,
    keep_old_secret,
    key_of,
    leaves_an_admin,
    new_row,
    new_secret,
    secret_columns,
    select_keys,
    takes_admin,
)
from llm_service.access.static_keys import StaticKey, parse_static_keys
from llm_service.access.tables import is_live, keys
from llm_service.errors import AuthenticationFailed, Conflict, NotFound, Unavailable

__all__ = ["ApiKey", "KeyChanges", "KeyStore", "KeyStoreUnavailable", "Scope"]

CACHE_SECONDS = 1.0
_LOOKUP_SECONDS = 2.0
_CALL_SECONDS = 10.0  # longer than SQLite waits for another writer
_NUM_THREADS = 4
_MAX_CACHED = 1024

_log = logging.getLogger(__name__)
T = TypeVar("T")


class KeyStoreUnavailable(Unavailable):
    """The database of keys or usage does not work now."""

    code = "key_store_unavailable"


class KeyStore:
    """All keys. `find` and `call` are for the event loop; the rest blocks and goes through `call`.

    Everything raises KeyStoreUnavailable when the database fails: a key is never accepted,
    nor called wrong, without having been looked up.
    """

    def __init__(
        self, database: Database, static_keys: Sequence[StaticKey] = (), *, default_rpm: int = 0
    ) -> None:
        self.database = database  # usage is written into the same
        self.problem = ""  # why stored keys cannot be looked up now, in a sentence; empty: they can
        self._static_keys = tuple(static_keys)
        self._default_rpm = default_rpm
        self._cache: dict[str, tuple[ApiKey, float]] = {}  # by digest, with the time to forget
        self._version = 0  # counts changes, so that a lookup that overlapped one isn't cached
        # A database that hangs may hold these threads, but no other, and no lookup behind a call.
        self._lookup_threads = anyio.CapacityLimiter(_NUM_THREADS)
        self._call_threads = anyio.CapacityLimiter(_NUM_THREADS)

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        database_url: SecretStr | None = None,
        admin_key: SecretStr | None = None,
        metrics_key: SecretStr | None = None,
        api_keys: SecretStr | None = None,
        default_rpm: int = 0,
    ) -> Self:
        """The store that the settings of these names describe.

        Raises ValueError in words, secrets left out, where one of them is malformed.
        """
        url = default_url(state_dir) if database_url is None else database_url.get_secret_value()
        static_keys = parse_static_keys(admin_key, metrics_key, api_keys, default_rpm)
        return cls(Database(url), static_keys, default_rpm=default_rpm)

    def __repr__(self) -> str:
        return f"KeyStore({len(self._static_keys)} static)"

    async def find(self, secret: str) -> ApiKey | None:
        """Return the key with this secret, or None. Raises AuthenticationFailed if it has expired.

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

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """`work`, which blocks on the database, in a thread. Raises KeyStoreUnavailable in time."""
        return await _in_thread(partial(work, *args), self._call_threads, _CALL_SECONDS)

    def bootstrap(self) -> str | None:
        """Make the first admin key and return its secret; None if a stored key lives.

        None as well where the settings provide an admin key. Of several processes that
        start at once, one gets the secret.
        """
        # First, so that a database with keys that can only be read is good enough.
        if self.list_stored() or self._settings_have_admin:
            return None
        secret = new_secret()
        values = new_row(ADMIN_NAME, frozenset(Scope), self._default_rpm, None, secret)
        # One statement, so that there is no moment between looking and inserting.
        row = select(*(literal(value, keys.c[name].type) for name, value in values.items()))
        row = row.where(~exists(select(keys.c.id).where(is_live)))
        try:
            return secret if self._write(insert(keys).from_select(list(values), row)) else None
        except IntegrityError:
            return None  # another process was first

    def create(
        self,
        name: str,
        scopes: frozenset[Scope],
        rpm: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a key; return it with its secret, which is never shown again.

        Raises InvalidRequest and Conflict."""
        rpm = self._default_rpm if rpm is None else rpm
        check_name(name)
        check_changes({"scopes": scopes, "rpm": rpm, "expires_at": expires_at})
        if any(static.key.name == name for static in self._static_keys):
            raise Conflict(f"The settings have a key named '{name}'.", param="name")
        secret = new_secret()
        row = new_row(name, scopes, rpm, expires_at, secret)
        try:
            self._write(insert(keys).values(row))
        except IntegrityError:
            raise Conflict(f"There is a key named '{name}' already.", param="name") from None
        return self.get(row["id"]), secret

    def list_keys(self) -> list[ApiKey]:
        """Return keys that are not revoked, by name, expired ones included."""
        return sorted(
            (key for key in self.all_keys() if key.revoked_at is None), key=lambda key: key.name
        )

    def all_keys(self) -> list[ApiKey]:
        """Return every key that ever existed, newest first; keys from the settings come last."""
        newest_first = select_keys().order_by(keys.c.created_at.desc(), keys.c.name)
        rows = self._read(lambda db: db.execute(newest_first).mappings().all())
        return [key_of(row) for row in rows] + [static.key for static in self._static_keys]

    def list_stored(self) -> list[ApiKey]:
        """Return keys in the database that are not revoked, expired ones included."""
        return [key for key in self.list_keys() if key.source == "database"]

    def name_conflicts(self) -> list[str]:
        """A sentence for each name that a key of the database should not have."""
        static_names = {static.key.name for static in self._static_keys}
        sentences = []
        for key in self.list_stored():
            if key.name in RESERVED_NAMES:
                sentences.append(
                    f"The stored key '{key.name}' has a name that stands for no key in metrics:"
                    " make one of another name and revoke it."
                )
            if key.name in static_names:
                sentences.append(
                    f"The name '{key.name}' belongs to a stored key and to one of the settings:"
                    " each has its own limit, but metrics and logs show them as one."
                )
        return sentences

    def get(self, key_id: str) -> ApiKey:
        """Return the key with this id, revoked or not. Raises NotFound."""
        for static in self._static_keys:
            if static.key.id == key_id:
                return static.key
        query = select_keys().where(keys.c.id == key_id)
        row = self._read(lambda db: db.execute(query).mappings().first())
        if row is None:
            raise NotFound(f"There is no key with the id '{key_id[:50]}'.")
        return key_of(row)

    def named(self, name: str) -> ApiKey:
        """Return the valid key with this name; a stored key wins over one from the settings.

        Raises NotFound."""
        found = [key for key in self.list_keys() if key.name == name]
        if found:
            return min(found, key=lambda key: key.source != "database")
        raise NotFound(f"There is no key named '{name[:50]}'.")

    def change(self, key_id: str, changes: KeyChanges) -> ApiKey:
        """Give a stored key other scopes, another limit or expiry.

        Raises NotFound, InvalidRequest, and Conflict like `revoke`.
        """
        check_changes(changes)
        return self._update(key_id, changed_columns(changes), takes_admin=takes_admin(changes))

    def revoke(self, key_id: str) -> ApiKey:
        """End the validity of a stored key now.

        Raises NotFound. Raises Conflict for a key from the settings, for one that is revoked,
        and for the last admin key.
        """
        # Its old secrets end with it: they are looked up together with their living key.
        return self._update(key_id, {"revoked_at": int(time.time())}, takes_admin=True)

    def rotate(self, key_id: str, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
        """Give a stored key a new secret; everything else stays. Old ones stay valid for `overlap`.

        The overlap protects callers from being locked out if the new secret is lost in transit. An
        old secret that ends earlier keeps its end. Without an overlap, all old secrets end now.
        """
        check_overlap(overlap)
        secret = new_secret()
        statements = keep_old_secret(key_id, overlap)
        columns = secret_columns(secret)
        return self._update(key_id, columns, statements, takes_admin=False), secret

    def close(self) -> None:
        self.database.close()

    @property
    def has_static_inference_key(self) -> bool:
        """Whether somebody can use the model without the database."""
        return any(Scope.INFERENCE in static.key.scopes for static in self._static_keys)

    @property
    def _settings_have_admin(self) -> bool:
        return any(Scope.ADMIN in static.key.scopes for static in self._static_keys)

    def _find_static(self, digest: str) -> ApiKey | None:
        # All of them, so that the time taken doesn't tell which one was near.
        found = [s.key for s in self._static_keys if hmac.compare_digest(s.digest, digest)]
        return found[0] if found else None

    def _find_cached(self, digest: str) -> ApiKey | None:
        key, forget_at = self._cache.get(digest, (None, 0.0))
        return key if time.monotonic() < forget_at else None

    async def _look_up(self, digest: str) -> ApiKey | None:
        version = self._version
        select_key = partial(self._select, digest)
        try:
            key = await _in_thread(select_key, self._lookup_threads, _LOOKUP_SECONDS)
        except KeyStoreUnavailable as error:
            self.problem = error.message
            raise
        if key is not None and version == self._version:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[digest] = (key, time.monotonic() + CACHE_SECONDS)
        return key

    def _select(self, digest: str) -> ApiKey | None:
        return self._read(lambda db: find_key(db, digest))

    def _update(
        self,
        key_id: str,
        values: dict[str, Any],
        first: Sequence[Any] = (),
        *,
        takes_admin: bool,
    ) -> ApiKey:
        """Change a living stored key, after the statements `first` in the same transaction."""
        change = update(keys).where(keys.c.id == key_id, is_live).values(values)
        if takes_admin and not self._settings_have_admin:
            change = change.where(leaves_an_admin(key_id))
        # Two admins who take the door from each other come one after the other: in SQLite
        # because a statement is alone, in PostgreSQL because of the lock.
        lock = select(keys.c.id).where(is_live).order_by(keys.c.id).with_for_update()
        num_changed = self._write(lock, *first, change)
        key = self.get(key_id)
        if not num_changed:
            raise Conflict(_why_not(key))
        return key

    def _write(self, *statements: Any) -> int:
        """Number of rows that the last one changed. Raises IntegrityError as well."""
        try:
            with self.database.begin() as db:
                return [_num_rows(db, each) for each in statements][-1]
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            sentence = self._sentence(error, "written")
            raise KeyStoreUnavailable(f"{sentence} Nothing was changed.") from None
        finally:
            self._version += 1
            self._cache.clear()

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self.database.begin() as db:
                found = work(db)
        except (SQLAlchemyError, OSError) as error:
            self.problem = self._sentence(error, "read")
            raise KeyStoreUnavailable(self.problem) from None
        if self.problem:
            self.problem = ""
            _log.warning("The key database can be read again")
        return found

    def _sentence(self, error: Exception, done: str) -> str:
        """What failed and why; in the log, once, also with the driver's own words."""
        sentence = f"The key database cannot be {done}: {self.database.cause_of(error)}."
        if sentence != self.problem:
            cause = error.orig if isinstance(error, DBAPIError) else error
            _log.error("%s %s: %s", sentence, type(cause).__name__, cause)
        return sentence


async def _in_thread(work: Callable[[], T], threads: anyio.CapacityLimiter, seconds: float) -> T:
    try:
        with anyio.fail_after(seconds):
            return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=threads)
    except TimeoutError:
        sentence = f"The key database did not answer within {seconds:g} s."
        _log.error(sentence)
        raise KeyStoreUnavailable(sentence) from None


def _num_rows(db: Connection, statement: Any) -> int:
    # SQLAlchemy forgets how many rows an INSERT made unless told not to.
    return db.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _why_not(key: ApiKey) -> str:
    """Why a key could not be changed."""
    if key.source == "settings":
        return f"The key '{key.name}' is in the settings: change it there."
    if key.revoked_at is not None:
        return f"The key '{key.name}' was revoked on {key.revoked_at:%Y-%m-%d %H:%M} UTC."
    return (
        f"The key '{key.name}' is the last one with the scope '{Scope.ADMIN}': without it nobody"
        " could manage keys here. Create another one first."
    )
