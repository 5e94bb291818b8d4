"""Usage: nothing counted twice, nothing lost, nobody waits, whatever becomes of the database."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from llm_service.access import database as database_module
from llm_service.access import usage as usage_module
from llm_service.access.database import Database, default_url
from llm_service.access.keys import KeyStoreUnavailable
from llm_service.access.usage import UsageLog

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY = 86400


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(default_url(tmp_path))
    yield made
    made.close()


@pytest.fixture
def log(database: Database, clock: Clock) -> UsageLog:
    return UsageLog(database, clock=clock)


def totals(log: UsageLog, key_id: str = "alice") -> tuple[int, int, int]:
    total = log.read()[key_id].total
    return total.requests, total.prompt_tokens, total.output_tokens


def written(database: Database, clock: Clock) -> UsageLog:
    """Sees only what stands in the database, as a process started later does."""
    return UsageLog(database, clock=clock)


@contextmanager
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another program holds the file for writing."""
    monkeypatch.setattr(database_module, "_SQLITE_BUSY_SECONDS", 0)
    other = sqlite3.connect(tmp_path / "service.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def test_what_is_counted_shows_before_and_after_it_is_written(
    log: UsageLog, database: Database, clock: Clock
) -> None:
    log.add("alice", 10, 3)
    log.add("alice", 5, 2)
    log.add("settings:bob", 1, 1)
    assert totals(log) == (2, 15, 5)
    log.write()
    log.add("alice", 1, 0)
    assert totals(log) == (3, 16, 5)
    assert totals(written(database, clock)) == (2, 15, 5)
    assert totals(log, "settings:bob") == (1, 1, 1)


def test_days_begin_at_midnight_utc_and_the_last_seven_are_told(
    log: UsageLog, clock: Clock
) -> None:
    clock.now = NOON - 7 * DAY
    log.add("alice", 1, 1)
    clock.now = NOON - DAY / 2 - 1
    log.add("alice", 10, 0)
    clock.now = NOON - DAY / 2
    log.add("alice", 100, 0)
    log.write()
    log.add("alice", 1000, 0)
    usage = log.read()["alice"]
    assert usage.total.prompt_tokens == 1111
    tokens = {day: counts.prompt_tokens for day, counts in usage.days.items()}
    assert tokens == {date(2026, 11, 20): 10, date(2026, 11, 21): 1100}
    assert usage.on(date(2026, 11, 19)).requests == 0


def test_several_processes_add_up(database: Database, clock: Clock) -> None:
    logs = [UsageLog(database, clock=clock) for _ in range(4)]

    def count(log: UsageLog) -> None:
        for _ in range(5):
            log.add("alice", 2, 1)
            log.write()

    with ThreadPoolExecutor() as pool:
        list(pool.map(count, logs))
    assert totals(logs[0]) == (20, 40, 20)


def test_the_last_use_is_told_at_once_and_written_once_a_minute(
    log: UsageLog, database: Database, clock: Clock
) -> None:
    statements: list[Any] = []
    event.listen(database._engine, "before_cursor_execute", lambda *args: statements.append(args))
    log.seen("alice")
    log.write()
    num_statements = len(statements)
    for _ in range(11):
        clock.now += 5
        log.seen("alice")
        log.write()
    assert len(statements) == num_statements
    assert log.read()["alice"].total.last_used_at == NOON + 55
    assert written(database, clock).read()["alice"].total.last_used_at == NOON
    clock.now += 5  # not seen again: it is written all the same
    log.write()
    assert written(database, clock).read()["alice"].total.last_used_at == NOON + 55


def test_a_locked_database_loses_nothing_and_is_logged_once(
    log: UsageLog,
    database: Database,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(database_module, "_SQLITE_BUSY_SECONDS", 0)
    log.add("alice", 10, 3)
    log.write()
    with locked(tmp_path, monkeypatch):
        for _ in range(3):
            log.add("alice", 1, 1)
            log.write()
        assert totals(log) == (4, 13, 6)
        assert caplog.text.count("It is kept in memory") == 1
        assert "database is locked" in caplog.text
    log.write()
    log.write()
    assert totals(written(database, clock)) == totals(log) == (4, 13, 6)
    assert caplog.text.count("The usage of keys is written again") == 1


def test_a_full_disk_loses_nothing(log: UsageLog, database: Database, clock: Clock) -> None:
    log.add("alice", 1, 1)
    log.write()
    limit = {"max_page_count": 1}  # SQLite takes the pages that there are

    def limit_pages(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit['max_page_count']}")

    event.listen(database._engine, "checkout", limit_pages)
    names = [f"key-{number:040d}" for number in range(300)]
    for name in names:
        log.add(name, 1, 1)
    log.write()
    assert log.problem
    assert written(database, clock).read().keys() == {"alice"}
    assert totals(log, names[0]) == (1, 1, 1)
    limit["max_page_count"] = 10**6
    log.write()
    assert written(database, clock).read().keys() == {"alice", *names}
    assert not log._pending


def test_a_read_only_database_can_be_read_and_counting_goes_on(
    log: UsageLog, tmp_path: Path, clock: Clock
) -> None:
    log.add("alice", 1, 1)
    log.write()
    read_only = Database(f"sqlite:///file:{tmp_path}/service.sqlite?mode=ro&uri=true")
    reader = UsageLog(read_only, clock=clock)
    reader.add("alice", 1, 1)
    reader.write()
    assert reader.problem
    assert totals(reader) == (2, 2, 2)
    read_only.close()


def test_a_database_that_cannot_be_read_is_503_and_counting_goes_on(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_text("not a folder")
    log = UsageLog(Database(default_url(tmp_path / "file")), clock=clock)
    log.add("alice", 1, 1)
    log.write()
    with pytest.raises(KeyStoreUnavailable, match="usage of keys cannot be read"):
        log.read()
    assert log._pending["alice", date(2026, 11, 21)].requests == 1


async def test_the_end_writes_what_is_left_and_waits_for_no_hanging_database(
    log: UsageLog, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add("alice", 1, 1)
    log.seen("bob")
    await log.aclose()
    assert totals(written(database, clock)) == (1, 1, 1)
    assert written(database, clock).read()["bob"].total.last_used_at == NOON
    release = threading.Event()
    monkeypatch.setattr(usage_module, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(log, "write", lambda **_: release.wait(60))
    async with asyncio.timeout(20):
        await log.aclose()
    release.set()


async def test_counting_never_waits_for_a_write(
    log: UsageLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, release = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        writing.set()
        release.wait(60)

    monkeypatch.setattr(log, "_write_row", hang)
    log.add("alice", 1, 1)
    thread = threading.Thread(target=log.write)
    thread.start()
    assert await asyncio.to_thread(writing.wait, 30)
    log.add("alice", 1, 1)  # on the event loop, which a lock would stop here
    assert thread.is_alive()  # it still writes: `add` has not waited for it
    release.set()
    await asyncio.to_thread(thread.join, 30)
    assert log._pending["alice", date(2026, 11, 21)].requests == 1
