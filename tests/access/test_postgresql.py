"""Keys and usage in a real PostgreSQL: what SQLite does, and what two processes do at once.

Needs PostgreSQL's own programs: `pytest -m slow tests/access/test_postgresql.py`.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from llm_service.access.api_key import ApiKey
from llm_service.access.database import Database
from llm_service.access.keys import KeyStore, KeyStoreUnavailable, Scope
from llm_service.access.migrations import MIGRATIONS
from llm_service.access.tables import metadata
from llm_service.access.usage import UsageLog
from llm_service.errors import Conflict
from tests.access.test_migrations import add_column, fail, shape

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

ALL = frozenset(Scope)
INFERENCE = frozenset({Scope.INFERENCE})


class PostgreSQL:
    """One server on a free port, that trusts whoever connects. It refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = "postgres" if os.geteuid() == 0 else None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "-A", "trust", "-U", "llm", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -F"
        self._run("pg_ctl", "start", "--wait", "-l", str(self._folder / "log"), "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--mode", "immediate")

    @property
    def url(self) -> SecretStr:
        return SecretStr(f"postgresql+psycopg://llm@127.0.0.1:{self._port}/postgres")

    def url_of_schema(self, name: str) -> str:
        """The URL of a new, empty schema beside the one of `url`."""
        engine = create_engine(self.url.get_secret_value())
        with engine.begin() as db:
            db.exec_driver_sql(f"CREATE SCHEMA {name}")
        engine.dispose()
        return f"{self.url.get_secret_value()}?options=-csearch_path%3D{name}"

    def _run(self, program: str, *args: str) -> None:
        path = shutil.which(program) or next(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
        command = [str(path), *args, "-D", str(self._folder / "data")]
        subprocess.run(
            command, user=self._user, cwd=self._folder, check=True, stdout=subprocess.DEVNULL
        )


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        server = PostgreSQL(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def stores(server: PostgreSQL, tmp_path: Path) -> Iterator[list[KeyStore]]:
    """Two, as two processes have; the tables are empty."""
    opened = [KeyStore.open(tmp_path, database_url=server.url) for _ in range(2)]
    with opened[0].database.begin() as db:
        db.exec_driver_sql("TRUNCATE keys, usage, former_secrets")
    yield opened
    for store in opened:
        store.close()


def test_first_starts_at_once_make_the_tables_and_one_admin_key(
    server: PostgreSQL, tmp_path: Path
) -> None:
    num_starts = 6
    for _ in range(10):
        stores = [KeyStore.open(tmp_path, database_url=server.url) for _ in range(num_starts)]
        together = threading.Barrier(num_starts)

        def start(store: KeyStore, together: threading.Barrier = together) -> str | None:
            together.wait()
            return store.bootstrap()

        with ThreadPoolExecutor(num_starts) as threads:
            secrets = list(threads.map(start, stores))
        with stores[0].database.begin() as db:
            db.exec_driver_sql("DROP TABLE keys, usage, former_secrets, schema_version")
        for store in stores:
            store.close()
        assert [secret is not None for secret in secrets].count(True) == 1


def test_of_starts_at_once_each_migration_runs_in_one(server: PostgreSQL) -> None:
    num_starts = 6
    together = threading.Barrier(num_starts)
    url = server.url_of_schema("migrated")

    def start(_: int) -> None:
        database = Database(url, (*MIGRATIONS, add_column))
        together.wait()
        with database.begin():
            pass
        database.close()

    with ThreadPoolExecutor(num_starts) as threads:
        list(threads.map(start, range(num_starts)))
    database = Database(url, (*MIGRATIONS, add_column))
    with database.begin() as db:
        versions = db.exec_driver_sql("SELECT version FROM schema_version").all()
    database.close()
    assert [tuple(row) for row in versions] == [(len(MIGRATIONS) + 1,)]


def test_the_migrations_make_the_tables_that_the_service_uses(server: PostgreSQL) -> None:
    database = Database(server.url_of_schema("made"))
    with database.begin() as db:
        made = shape(db)
    database.close()
    plain = create_engine(server.url_of_schema("plain"))
    metadata.create_all(plain)
    with plain.connect() as db:
        assert made == shape(db)
    plain.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(server: PostgreSQL) -> None:
    url = server.url_of_schema("failed")
    database = Database(url, (*MIGRATIONS, add_column, fail))
    for _ in range(2):
        with pytest.raises(SQLAlchemyError, match="nowhere"), database.begin():
            pass
    database.close()
    plain = create_engine(url)
    with plain.connect() as db:
        assert inspect(db).get_table_names() == []
    plain.dispose()


async def test_a_newer_database_is_refused_in_words(server: PostgreSQL, tmp_path: Path) -> None:
    url = server.url_of_schema("newer")
    newer = Database(url, (*MIGRATIONS, add_column))
    with newer.begin():
        pass
    newer.close()
    store = KeyStore.open(tmp_path, database_url=SecretStr(url))
    with pytest.raises(KeyStoreUnavailable, match="its schema has version 2"):
        await store.find("llms_some-stored-key")
    store.close()


async def test_the_life_of_a_key(stores: list[KeyStore]) -> None:
    here, there = stores
    made, secret = here.create("alice", INFERENCE, 7)
    assert await there.find(secret) == made
    with pytest.raises(Conflict):
        there.create("alice", INFERENCE)
    changed = there.change(made.id, {"rpm": 9})
    assert await there.find(secret) == changed
    rotated, new = here.rotate(made.id)
    assert await here.find(secret) == rotated
    assert await here.find(new) == rotated
    rotated, new = there.rotate(made.id, timedelta(0))
    assert await there.find(secret) is None
    assert await there.find(new) == rotated
    there.revoke(made.id)
    assert await there.find(new) is None
    assert here.create("alice", INFERENCE)[0].id != made.id
    assert len(here.all_keys()) == 2


def test_of_two_admins_who_shut_each_other_out_one_remains(stores: list[KeyStore]) -> None:
    together = threading.Barrier(2)

    def revoke(pair: tuple[KeyStore, ApiKey]) -> bool:
        store, key = pair
        together.wait()
        try:
            store.revoke(key.id)
        except Conflict:
            return False
        return True

    (last, _) = stores[0].create("admin-0", ALL)
    with ThreadPoolExecutor(2) as threads:
        for number in range(1, 40):
            other, _ = stores[0].create(f"admin-{number}", ALL)
            outcomes = list(threads.map(revoke, zip(stores, (last, other), strict=True)))
            assert sorted(outcomes) == [False, True]
            last = other if outcomes[0] else last


def test_usage_of_several_processes_adds_up(stores: list[KeyStore]) -> None:
    logs = [UsageLog(store.database) for store in stores]

    def count(log: UsageLog) -> None:
        for _ in range(50):
            log.add("alice", 2, 1)
            log.write()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(count, logs))
    total = logs[0].read()["alice"].total
    assert (total.requests, total.prompt_tokens, total.output_tokens) == (100, 200, 100)


async def test_a_server_that_is_away_is_503_and_nothing_is_lost(
    server: PostgreSQL, stores: list[KeyStore]
) -> None:
    store = stores[0]
    log = UsageLog(store.database)
    _, secret = store.create("alice", INFERENCE)
    log.add("alice", 2, 1)
    log.write()
    server.stop()
    log.add("alice", 2, 1)
    log.write()
    with pytest.raises(KeyStoreUnavailable, match="the database server does not answer"):
        await store.find(secret + "x")
    with pytest.raises(KeyStoreUnavailable):
        log.read()
    server.start()
    log.write()
    assert log.read()["alice"].total.requests == 2
    assert await store.find(secret) is not None
