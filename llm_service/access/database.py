"""The database of keys and usage: SQLite under the state folder, or one given by a URL.

Owns the engine and the modes of the SQLite file (0600, in a folder made
0700). Any number of processes may open the same database for the first time at once.
It does not know what the tables mean.
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from llm_service.access.migrations import MIGRATIONS, Migration, NewerSchema, migrate

_SQLITE_BUSY_SECONDS = 5
# How long to wait for a PostgreSQL that does not answer. The URL can override it.
_POSTGRESQL_OPTIONS = {"connect_timeout": "5", "tcp_user_timeout": "10000"}
_DIALECTS = ("sqlite", "postgresql")
_NO_DRIVER = (
    "the driver '{name}' is not installed; `pip install 'psycopg[binary]'` brings the one for"
    " postgresql+psycopg://"
)

_OS_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "the service lacks the permission",
    errno.EPERM: "the service lacks the permission",
}
# By how sqlite3's name of an error begins.
_SQLITE_CAUSES = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "the file or its folder is read-only",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_BUSY": "another process keeps it locked",
    "SQLITE_IOERR": "the disk has an I/O error",
    "SQLITE_NOTADB": "the file is not an SQLite database",
    "SQLITE_CORRUPT": "the file is damaged",
}
# By how a SQLSTATE begins; without one there was no answer.
_POSTGRESQL_CAUSES = {
    "28": "the database server refuses the user or the password",
    "3D": "the database server has no such database",
    "42501": "the database user lacks the permission",
    "25006": "the database is read-only",
    "53100": "the disk of the database server is full",
    "": "the database server does not answer",
}

Insert = sqlite.Insert | postgresql.Insert


def default_url(state_dir: Path) -> str:
    """SQLAlchemy URL of the database that the service makes for itself."""
    return f"sqlite:///{state_dir.absolute() / 'service.sqlite'}"


class Database:
    """A database that is opened by the first `begin`, and not before."""

    def __init__(self, url: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        """Raises ValueError, without the URL in it, when no engine can be made from `url`."""
        try:
            self._url = make_url(url)
            if self._url.get_backend_name() not in _DIALECTS:
                raise ValueError
            if self._url.get_backend_name() == "postgresql":
                self._url = self._url.set(query={**_POSTGRESQL_OPTIONS, **self._url.query})
            # Statements' parameters stay out of error messages and logs: digests are among them.
            self._engine = create_engine(self._url, hide_parameters=True, pool_pre_ping=True)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise ValueError(f"LLM_DATABASE_URL cannot be used: {_why(error)}.") from None
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _set_pragmas)
        self._migrations = migrations
        self._lock = threading.Lock()
        self._is_prepared = False

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block."""
        try:
            self._prepare()
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError):
            # The next connection may reach another file or server, so its version is checked again.
            self._is_prepared = False
            self._engine.dispose()
            raise

    def cause_of(self, error: Exception) -> str:
        """Why the database does not work, without addresses or names."""
        if isinstance(error, NewerSchema):
            return str(error)
        cause = error.orig if isinstance(error, DBAPIError) else error
        path = self._sqlite_path()
        if path is not None and _is_full(path.parent):
            return "the disk is full"
        if isinstance(cause, OSError):
            return _OS_CAUSES.get(cause.errno or 0, "the file cannot be opened")
        if self._engine.dialect.name == "sqlite":
            name = getattr(cause, "sqlite_errorname", "")
            found = (words for code, words in _SQLITE_CAUSES.items() if name.startswith(code))
        else:
            state = getattr(cause, "sqlstate", None) or ""
            found = (words for code, words in _POSTGRESQL_CAUSES.items() if state.startswith(code))
        return next(found, "it failed")

    def insert(self, table: Table) -> Insert:
        """An INSERT that can define what happens if the row exists."""
        is_sqlite = self._engine.dialect.name == "sqlite"
        return sqlite.insert(table) if is_sqlite else postgresql.insert(table)

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self) -> None:
        with self._lock:
            if not self._is_prepared:
                with _private_file(self._sqlite_path()):
                    migrate(self._engine, self._migrations)
                self._is_prepared = True

    def _sqlite_path(self) -> Path | None:
        path = self._url.database
        if (
            self._engine.dialect.name != "sqlite"
            or not path
            or path.startswith((":memory:", "file:"))
        ):
            return None
        return Path(path)


@contextlib.contextmanager
def _private_file(path: Path | None) -> Iterator[None]:
    """Create `path` with access for its owner only; other processes wait until the block ends.

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
        if not path.exists():
            path.touch(mode=0o600)
        # Not ours, whose owner has chosen, or on a read-only file system.
        with contextlib.suppress(OSError):
            path.chmod(0o600)
        yield
    finally:
        os.close(folder)


def _is_full(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.statvfs(folder).f_bavail == 0
    return False


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _why(error: Exception) -> str:
    if isinstance(error, ImportError):
        return _NO_DRIVER.format(name=error.name or "psycopg")
    return "it is not like sqlite:///path or postgresql+psycopg://user:password@host/database"
