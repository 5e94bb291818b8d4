"""The key database gets the newest schema: in order, wholly or not at all, and never backwards."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from llm_service.access.database import Database, default_url
from llm_service.access.keys import KeyStore, KeyStoreUnavailable, Scope
from llm_service.access.migrations import MIGRATIONS
from llm_service.access.tables import metadata
from llm_service.access.usage import UsageLog

INFERENCE = frozenset({Scope.INFERENCE})
STATIC = "a-static-key-for-tests-0123"


def add_column(db: Connection) -> None:
    """Fails if the column is there already."""
    db.exec_driver_sql("ALTER TABLE keys ADD COLUMN note VARCHAR(20)")


def fill_column(db: Connection) -> None:
    db.exec_driver_sql("UPDATE keys SET note = 'filled'")


def fail(db: Connection) -> None:
    db.exec_driver_sql("DELETE FROM keys")
    db.exec_driver_sql("SELECT nothing FROM nowhere")


def shape(db: Connection) -> dict[str, object]:
    """Columns, keys and indexes of our tables, whatever made them."""
    found = inspect(db)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(str(index["name"]) for index in found.get_indexes(name)),
            [each["column_names"] for each in found.get_unique_constraints(name)],
        )
        for name in metadata.tables
    }


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        rows = db.execute(statement).fetchall()
    db.close()
    return rows


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        lines = list(db.iterdump())
    db.close()
    return lines


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "service.sqlite"


@pytest.fixture
def version_1(tmp_path: Path, file: Path) -> Path:
    """A database with a key, as it was before it had a version."""
    store = KeyStore.open(tmp_path)
    store.create("alice", INFERENCE)
    store.close()
    query(file, "DROP TABLE schema_version")
    return file


def open_with(path: Path, *more: object) -> Database:
    return Database(default_url(path.parent), (*MIGRATIONS, *more))  # type: ignore[arg-type]


def test_the_migrations_make_the_tables_that_the_service_uses(file: Path) -> None:
    database = Database(default_url(file.parent))
    with database.begin() as db:
        made = shape(db)
    database.close()
    plain = create_engine("sqlite://")
    metadata.create_all(plain)
    with plain.connect() as db:
        assert made == shape(db)
    plain.dispose()
    assert query(file, "SELECT version FROM schema_version") == [(len(MIGRATIONS),)]


def test_a_database_without_a_version_has_version_1_and_is_not_written_to(version_1: Path) -> None:
    before = dump(version_1)
    store = KeyStore.open(version_1.parent)
    assert [key.name for key in store.list_stored()] == ["alice"]
    store.close()
    assert dump(version_1) == before


def test_migrations_run_in_order_and_once(version_1: Path) -> None:
    for _ in range(2):
        database = open_with(version_1, add_column, fill_column)
        with database.begin():
            pass
        database.close()
    assert query(version_1, "SELECT name, note FROM keys") == [("alice", "filled")]
    assert query(version_1, "SELECT version FROM schema_version") == [(len(MIGRATIONS) + 2,)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(version_1: Path) -> None:
    before = dump(version_1)
    database = open_with(version_1, add_column, fail)
    for _ in range(2):  # the second try meets what the first has left
        with pytest.raises(SQLAlchemyError, match="nowhere"), database.begin():
            pass
    database.close()
    assert dump(version_1) == before


def test_of_starts_at_once_each_migration_runs_in_one(version_1: Path) -> None:
    num_starts = 6
    together = threading.Barrier(num_starts)

    def start(_: int) -> None:
        database = open_with(version_1, add_column, fill_column)
        together.wait()
        with database.begin():
            pass
        database.close()

    with ThreadPoolExecutor(num_starts) as threads:
        list(threads.map(start, range(num_starts)))
    assert query(version_1, "SELECT version FROM schema_version") == [(len(MIGRATIONS) + 2,)]


@pytest.mark.anyio
async def test_a_newer_database_is_refused_in_words_and_static_keys_work(version_1: Path) -> None:
    newer = open_with(version_1, add_column)
    with newer.begin():
        pass
    newer.close()
    before = dump(version_1)
    store = KeyStore.open(version_1.parent, api_keys=SecretStr(f"bob:{STATIC}"))
    words = (
        "The key database cannot be read: its schema has version 2 and this release knows"
        " versions up to 1: run the release that made it"
    )
    with pytest.raises(KeyStoreUnavailable, match=words):
        await store.find("llms_some-stored-key")
    with pytest.raises(KeyStoreUnavailable, match="written: its schema has version 2"):
        store.create("carol", INFERENCE)
    assert words in store.problem
    found = await store.find(STATIC)
    assert found is not None
    assert found.name == "bob"
    log = UsageLog(store.database)
    log.add("bob", 2, 1)
    log.write()
    assert "its schema has version 2" in log.problem
    store.close()
    assert dump(version_1) == before
