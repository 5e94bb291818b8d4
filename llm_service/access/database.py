"""Where durable things live: SQLite under the state folder, or the database of a URL.

Owns the schema, the engine and the modes of the SQLite file (0600, in a folder made
0700). Any number of processes may open the same database for the first time at once.
It knows nothing of what its tables mean.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

_SQLITE_BUSY_SECONDS = 5

metadata = MetaData()

api_keys = Table(
    "api_keys",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the secret, hex
    Column("scopes", String(100), nullable=False),  # comma-separated
    Column("rpm", Integer, nullable=False),
    Column("cache_salt", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),  # seconds since 1970, like all times here
    Column("expires_at", BigInteger),
)


def default_url(state_dir: Path) -> str:
    """SQLAlchemy URL of the database that the service makes for itself."""
    return f"sqlite:///{state_dir.absolute() / 'service.sqlite'}"


class Database:
    """A lazily opened engine: nothing is touched before the first `begin`."""

    def __init__(self, url: str) -> None:
        """Raises ValueError, without the URL in it, when no engine can be made from `url`."""
        try:
            self._url = make_url(url)
            # Statements' parameters stay out of error messages and logs: digests are among them.
            self._engine = create_engine(self._url, hide_parameters=True, pool_pre_ping=True)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise ValueError(f"LLM_DATABASE_URL cannot be used: {_why(error)}.") from None
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _set_pragmas)
        self._lock = threading.Lock()
        self._is_prepared = False

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block."""
        self._prepare()
        with self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self) -> None:
        with self._lock:
            if not self._is_prepared:
                with _private_file(self._sqlite_path()):
                    _create_tables(self._engine)
                self._is_prepared = True

    def _sqlite_path(self) -> Path | None:
        path = self._url.database
        is_file = self._engine.dialect.name == "sqlite" and path and path != ":memory:"
        return Path(path) if is_file and path else None


@contextlib.contextmanager
def _private_file(path: Path | None) -> Iterator[None]:
    """Make `path` for its owner alone and hold other processes back meanwhile.

    Switching a new file to WAL fails at once, without waiting, when two do it together.
    The folder is locked rather than the file: closing a locked SQLite file drops SQLite's locks.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        path.touch(mode=0o600)
        with contextlib.suppress(PermissionError):  # not ours: whoever owns it has chosen
            path.chmod(0o600)
        yield
    finally:
        os.close(folder)


def _create_tables(engine: Engine) -> None:
    create = [CreateTable(table, if_not_exists=True) for table in metadata.sorted_tables]
    try:
        with engine.begin() as connection:
            for statement in create:
                connection.execute(statement)
    except IntegrityError:
        # PostgreSQL: two processes that create a table together, one of which has now done it.
        with engine.begin() as connection:
            for statement in create:
                connection.execute(statement)


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _why(error: Exception) -> str:
    if isinstance(error, NoSuchModuleError):
        return "SQLAlchemy has no dialect of that name"
    if isinstance(error, ImportError):
        return f"the driver '{error.name}' is not installed"
    return "it is not an SQLAlchemy URL"
