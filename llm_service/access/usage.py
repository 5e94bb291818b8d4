"""What each key used, by day: counted in memory, written to the database every few seconds.

Nobody's request waits for it, or fails because of it. While the database is away the counts
stay in memory, where `read` finds them too, and are written when it is back. What a process
that is killed had not written yet, at most WRITE_SECONDS of it, is lost.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import anyio
from anyio import to_thread
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from llm_service.access.database import Database
from llm_service.access.keys import KeyStoreUnavailable
from llm_service.access.tables import usage

WRITE_SECONDS = 5.0
CLOSE_SECONDS = 5.0
NUM_DAYS = 7
# A key that only looks, as a dashboard does every two seconds, is not worth a write each time.
_SEEN_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """Inference requests that were admitted, and their tokens, whoever hung up."""

    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    last_used_at: int = 0  # seconds since 1970; 0: never

    def add(self, other: "Counts") -> None:
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.output_tokens += other.output_tokens
        self.last_used_at = max(self.last_used_at, other.last_used_at)


@dataclass(slots=True)
class KeyUsage:
    """What one key used in total, and by day (UTC) what it used lately."""

    total: Counts = field(default_factory=Counts)
    days: dict[date, Counts] = field(default_factory=dict)

    def on(self, day: date) -> Counts:
        return self.days.get(day, Counts())


Pending = dict[tuple[str, date], Counts]


class UsageLog:
    """One per process. `seen` and `add` never wait; `write` and `read` block."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._pending = _no_counts()
        self._written_at: dict[str, float] = {}  # by key
        self._writing = threading.Lock()
        self.problem = ""  # why counts stay in memory now, in a sentence; empty: they do not

    def seen(self, key_id: str) -> None:
        """The key was used, for whatever."""
        self._count(key_id, Counts())

    def add(self, key_id: str, prompt_tokens: int, output_tokens: int) -> None:
        """Count one request at its end."""
        self._count(key_id, Counts(1, prompt_tokens, output_tokens))

    async def run(self) -> None:
        """Write every WRITE_SECONDS, until cancelled."""
        while True:
            await anyio.sleep(WRITE_SECONDS)
            await to_thread.run_sync(self.write, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Write what is left, unless the database keeps us waiting."""
        with anyio.move_on_after(CLOSE_SECONDS):
            await to_thread.run_sync(lambda: self.write(is_last=True), abandon_on_cancel=True)

    def write(self, *, is_last: bool = False) -> None:
        """Write what has been counted; if that fails, keep it and say so once."""
        with self._writing:
            counts = self._take(is_last)
            if not counts:
                return
            try:
                with self._database.begin() as db:
                    for (key_id, day), count in counts.items():
                        self._write_row(db, key_id, day, count)
            except Exception as error:  # whatever it is, the counts must not be lost
                self._put_back(counts)
                self._report(error)
            else:
                self._report(None)

    def read(self) -> dict[str, KeyUsage]:
        """By key, what is written and what is not yet. Raises KeyStoreUnavailable."""
        first = self._today() - timedelta(days=NUM_DAYS - 1)
        found = defaultdict[str, KeyUsage](KeyUsage)
        # No write comes between the two, or it would be counted twice or not at all.
        with self._writing:
            try:
                with self._database.begin() as db:
                    for key_id, count in _totals(db):
                        found[key_id].total.add(count)
                    for key_id, day, count in _days(db, first):
                        found[key_id].days[day] = count
            except (SQLAlchemyError, OSError) as error:
                why = self._database.cause_of(error)
                _log.error("The usage of keys cannot be read: %s: %s", why, _cause(error))
                raise KeyStoreUnavailable(f"The usage of keys cannot be read: {why}.") from None
            for (key_id, day), count in self._copy().items():
                found[key_id].total.add(count)
                found[key_id].days.setdefault(day, Counts()).add(count)
        return found

    def _count(self, key_id: str, counts: Counts) -> None:
        counts.last_used_at = int(self._clock())
        with self._lock:
            self._pending[key_id, self._today()].add(counts)

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()

    def _take(self, is_last: bool) -> Pending:
        """Remove from what is counted that which is worth a write now."""
        now = self._clock()
        with self._lock:
            counts = {
                (key_id, day): count
                for (key_id, day), count in self._pending.items()
                if is_last
                or count.requests
                or now - self._written_at.get(key_id, 0) >= _SEEN_SECONDS
            }
            for key_id, day in counts:
                del self._pending[key_id, day]
                self._written_at[key_id] = now
        return counts

    def _put_back(self, counts: Pending) -> None:
        with self._lock:
            for place, count in counts.items():
                self._pending[place].add(count)

    def _copy(self) -> Pending:
        with self._lock:
            return dict(self._pending)

    def _write_row(self, db: Connection, key_id: str, day: date, count: Counts) -> None:
        row = self._database.insert(usage).values(
            key_id=key_id,
            day=day.isoformat(),
            requests=count.requests,
            prompt_tokens=count.prompt_tokens,
            output_tokens=count.output_tokens,
            last_used_at=count.last_used_at,
        )
        sums = {
            name: usage.c[name] + row.excluded[name]
            for name in ("requests", "prompt_tokens", "output_tokens")
        }
        # A clock may have been set back.
        latest = {"last_used_at": row.excluded.last_used_at}
        db.execute(
            row.on_conflict_do_update(index_elements=["key_id", "day"], set_={**sums, **latest})
        )

    def _report(self, error: Exception | None) -> None:
        """Say once that writing fails, and once that it works again."""
        had = self.problem
        why = "" if error is None else self._database.cause_of(error)
        self.problem = f"The usage of keys cannot be written: {why}." if why else ""
        if self.problem == had:
            return
        if error is None:
            _log.warning("The usage of keys is written again")
        else:
            _log.warning("%s It is kept in memory. %s", self.problem, _cause(error))


def _cause(error: Exception) -> str:
    """What the driver says, without the statement."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}"


def _no_counts() -> defaultdict[tuple[str, date], Counts]:
    return defaultdict(Counts)


def _totals(db: Connection) -> Iterator[tuple[str, Counts]]:
    sums: list[Any] = [func.sum(usage.c[name]) for name in _SUMMED]
    query = select(usage.c.key_id, *sums, func.max(usage.c.last_used_at))
    for key_id, *numbers in db.execute(query.group_by(usage.c.key_id)):
        yield key_id, Counts(*map(int, numbers))


def _days(db: Connection, first: date) -> Iterator[tuple[str, date, Counts]]:
    query = select(usage).where(usage.c.day >= first.isoformat())
    for key_id, day, *numbers in db.execute(query):
        yield key_id, date.fromisoformat(day), Counts(*numbers)


_SUMMED = ("requests", "prompt_tokens", "output_tokens")
