"""Limits per key: `Limiter.admit` charges a request, or refuses it and charges nothing.

Requests per minute and key are exact: a sliding window in Redis, shared by all processes,
or one in this process where there is no Redis. Each process also keeps its own admissions,
so that it goes on with them when Redis goes away, and hands them over when Redis is back or
has lost its data. Choices of a key that wait or run are bounded per process.
`Permit` carries a charge in tokens already, which nothing limits yet.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from llm_service.access.concurrency import Choices
from llm_service.access.keys import ApiKey
from llm_service.access.observer import LimitObserver, NullLimitObserver
from llm_service.access.permit import LimitState, Permit, RequestLimitExceeded
from llm_service.access.redis import RedisAway, RedisLink
from llm_service.access.shared_windows import DataLost, SharedWindows
from llm_service.access.window import WINDOW_SECONDS, Decision, SlidingWindow

__all__ = ["LimitState", "Limiter", "Permit", "RequestLimitExceeded", "StorageState"]

StorageState = Literal["redis", "in-process", "in-process (redis is away)"]
CHANNEL = "llm:generations"
_MAX_JOINS = 4
ANSWER_SECONDS = 0.5  # requests wait that long for processes that stay silent

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Limiter:
    """One per service. Without a `link`, limits are counted in this process alone."""

    def __init__(
        self,
        link: RedisLink | None = None,
        observer: LimitObserver | None = None,
        *,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._observer = observer or NullLimitObserver()
        self._clock = clock
        self._choices = Choices(clock)
        # By key id, like all that follows.
        self._windows = defaultdict[str, SlidingWindow](lambda: SlidingWindow(window_seconds))
        process = secrets.token_hex(8)
        self._entries = (f"{process}:{number}" for number in itertools.count())
        self._shared = None if link is None else SharedWindows(link, window_seconds)
        # Refunds that Redis has not confirmed; after a window's time it no longer matters.
        self._owed = defaultdict[str, SlidingWindow](lambda: SlidingWindow(window_seconds))
        self._not_merged: set[str] = set()  # those with admissions that Redis doesn't know
        self._is_merged = asyncio.Event()
        self._is_merged.set()
        self._writes: set[asyncio.Task[None]] = set()
        self._answers: dict[str, asyncio.Queue[None]] = {}  # by question
        if link is not None:
            link.before_recovery = self._join

    @property
    def storage(self) -> StorageState:
        return storage_state(self._link)

    async def admit(
        self, key: ApiKey, cost: int, *, num_choices: int = 1, max_choices: int | None = None
    ) -> Permit:
        """Charge a request of `cost` tokens to `key`, or raise RateLimited, charging nothing.

        `cost` is the worst case, prompt plus max_tokens; `Permit.settle` returns what the
        answer did not use. Tokens are carried but not yet limited. Of the key's choices no more
        than `max_choices` wait or run at once; the permit holds its `num_choices` until it ends.
        Raises InvalidRequest where `num_choices` alone is more than that.
        """
        assert cost >= 0
        release = self._choices.take(key, num_choices, max_choices, self._observer)
        try:
            return await self._charge(key, cost, release)
        except BaseException:
            release()
            raise

    async def peek(self, key: ApiKey) -> LimitState | None:
        """Return what `key` has left now, without a charge; None if it has no limit."""
        if key.rpm == 0:
            return None
        count, wait_seconds = await self._count(key)
        return LimitState(key.rpm, max(0, key.rpm - count), wait_seconds)

    async def run(self) -> None:
        """Until cancelled, send Redis this process' admissions whenever another one asks for them.

        Also at the start and after each lost connection.
        """
        if self._link is not None:
            await self._link.hear(CHANNEL, self._hear, before=self._rejoin)

    async def aclose(self) -> None:
        """Wait for refunds that are being sent."""
        if self._writes:
            await asyncio.wait(self._writes)

    async def _charge(self, key: ApiKey, cost: int, release: Callable[[], None]) -> Permit:
        if key.rpm == 0:
            return Permit(key, cost, None, lambda: None, release)
        entry = next(self._entries)
        decision = await self._decide(key, entry)
        state = LimitState(key.rpm, max(0, key.rpm - decision.count), decision.wait_seconds)
        if not decision.is_admitted:
            self._observer.rejected(key.name, "requests")
            raise RequestLimitExceeded(key, state)
        return Permit(key, cost, state, lambda: self._remove(key.id, entry), release)

    async def _count(self, key: ApiKey) -> tuple[int, float]:
        """Return the admissions in the window, and the seconds until there is more room."""
        shared = self._shared
        if shared is not None and shared.is_up:
            with contextlib.suppress(RedisAway):
                return await self._joined(shared, lambda: shared.count(key))
        if key.id not in self._windows:
            return 0, 0.0
        return self._windows[key.id].count(key.rpm, self._clock())

    async def _decide(self, key: ApiKey, entry: str) -> Decision:
        shared, window = self._shared, self._windows[key.id]
        if shared is not None:
            await self._is_merged.wait()
        if shared is None or not shared.is_up:
            return self._decide_here(key, entry)

        async def admit() -> Decision:
            generation = shared.generation
            decision = await shared.admit(key, entry, window.newest(self._clock()))
            if not shared.is_up:  # others count in this process by now, and so must this one
                raise RedisAway("the answer came late")
            if decision.is_admitted:
                window.record(entry, self._clock())
                if generation != shared.generation:  # lost while the answer was on its way
                    self._not_merged.add(key.id)
                    await self._rejoin()
            return decision

        try:
            return await self._joined(shared, admit)
        except RedisAway:
            if entry in window:
                return Decision(True, *window.count(key.rpm, self._clock()))
            decision = self._decide_here(key, entry)
            if not decision.is_admitted:  # Redis may have counted it all the same
                self._owed[key.id].record(entry, self._clock())
            return decision

    def _decide_here(self, key: ApiKey, entry: str) -> Decision:
        decision = self._windows[key.id].admit(entry, key.rpm, self._clock())
        if decision.is_admitted:
            self._not_merged.add(key.id)
        return decision

    def _remove(self, key_id: str, entry: str) -> None:
        self._windows[key_id].remove(entry)
        if self._shared is not None:
            self._owed[key_id].record(entry, self._clock())
            if self._shared.is_up:
                write = asyncio.get_running_loop().create_task(self._pay(key_id, entry))
                self._writes.add(write)
                write.add_done_callback(self._writes.discard)

    async def _pay(self, key_id: str, entry: str) -> None:
        shared = self._shared
        assert shared is not None
        with contextlib.suppress(RedisAway):  # then it is paid on recovery
            await self._joined(shared, lambda: shared.remove(shared.generation, key_id, entry))
            self._owed[key_id].remove(entry)

    # Redis that has lost its data

    async def _joined(self, shared: SharedWindows, call: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `call`; if Redis has lost its data, our data is sent first."""
        if not shared.generation:
            await self._rejoin()
        for _ in range(_MAX_JOINS):
            try:
                return await call()
            except DataLost:
                await self._rejoin()
        try:
            return await call()
        except DataLost:
            raise shared.give_up() from None

    async def _rejoin(self) -> None:
        """Send Redis this process' data while requests wait; once for all that wait."""
        if not self._is_merged.is_set():
            await self._is_merged.wait()
        elif self._shared is not None and self._shared.is_up:
            self._is_merged.clear()
            try:
                await self._join()
            except DataLost:  # again, meanwhile: whoever needs Redis comes back here
                pass
            finally:
                self._is_merged.set()

    async def _join(self) -> None:
        """Merge all data of this process into Redis, and join its generation."""
        shared = self._shared
        assert shared is not None
        had, shared.generation = shared.generation, ""
        generation, is_merging = await shared.begin()
        if had and generation != had:
            _log.warning("Redis has lost its data: this process tells it its own admissions again")
        await self._merge_all(shared, generation)
        # If Redis was away, requests have come meanwhile. Those who come now wait, or it would
        # not end.
        self._is_merged.clear()
        try:
            while self._not_merged:
                await self._merge_changed(shared, generation)
            if is_merging:
                await self._ask_others()
                await shared.finish(generation)
            shared.generation = generation
        finally:
            self._is_merged.set()

    async def _merge_all(self, shared: SharedWindows, generation: str) -> None:
        self._not_merged.update(self._windows)
        await self._merge_changed(shared, generation)

    async def _merge_changed(self, shared: SharedWindows, generation: str) -> None:
        for key_id in tuple(self._not_merged):
            self._not_merged.discard(key_id)
            await shared.merge(generation, key_id, self._windows[key_id].ages(self._clock()))
        for key_id, refunds in tuple(self._owed.items()):
            for entry in refunds.ages(self._clock()):
                await shared.remove(generation, key_id, entry)
                refunds.remove(entry)

    async def _ask_others(self) -> None:
        """Ask every process that listens to merge its data, and wait until they have."""
        assert self._link is not None
        question = secrets.token_hex(8)
        answers = self._answers[question] = asyncio.Queue()
        try:
            num_hearers = await self._link.publish(CHANNEL, json.dumps({"merge": question}))
            async with asyncio.timeout(ANSWER_SECONDS):
                for _ in range(num_hearers):
                    await answers.get()
        except TimeoutError:
            _log.warning("A process has not told Redis its admissions in time")
        finally:
            del self._answers[question]

    async def _hear(self, message: bytes) -> None:
        shared, link = self._shared, self._link
        assert shared is not None
        assert link is not None
        try:
            heard = json.loads(message)
        except ValueError:
            return
        match heard:
            case {"merge": str(question)}:
                if question not in self._answers:  # else it is our own
                    # Lost again meanwhile: whoever asked will notice, and ask again.
                    with contextlib.suppress(DataLost):
                        generation, _ = await shared.begin()
                        await self._merge_all(shared, generation)
                await link.publish(CHANNEL, json.dumps({"merged": question}))
            case {"merged": str(question)} if question in self._answers:
                self._answers[question].put_nowait(None)


def storage_state(link: RedisLink | None) -> StorageState:
    if link is None:
        return "in-process"
    return "redis" if link.is_up else "in-process (redis is away)"
