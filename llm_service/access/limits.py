"""Who may do how much: `Limiter.admit` charges a request, or refuses it and charges nothing.

Requests per minute and key are exact: a sliding window in Redis, shared by all processes,
or one in this process where there is no Redis. Each process also keeps its own admissions,
so that it goes on with them when Redis goes away, and hands them over when Redis is back.
Tokens and concurrency join here: their charge is carried by `Permit` already.
"""

import asyncio
import contextlib
import itertools
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llm_service.access.keys import ApiKey
from llm_service.access.observer import LimitObserver, NullLimitObserver
from llm_service.access.redis import DataLost, RedisAway, RedisLink
from llm_service.access.window import (
    ADMIT,
    CLOCK,
    COUNT,
    MERGE,
    WINDOW_SECONDS,
    Decision,
    SlidingWindow,
)
from llm_service.errors import RateLimited

StorageState = Literal["redis", "in-process", "in-process (redis is away)"]
_MERGE_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit as the caller sees it. `reset_seconds`: until `remaining` next grows."""

    limit: int
    remaining: int
    reset_seconds: float

    def headers(self) -> dict[str, str]:
        """OpenAI's names and its way to write durations."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{math.ceil(self.reset_seconds)}s",
        }


class RequestLimitExceeded(RateLimited):
    """The key's requests per minute are spent. `retry_after` is in whole seconds, rounded up."""

    def __init__(self, key: ApiKey, limit_state: LimitState) -> None:
        seconds = max(1, math.ceil(limit_state.reset_seconds))
        super().__init__(
            f"The key '{key.name}' has used its {key.rpm} requests per minute."
            f" The next one is accepted in {seconds} {'second' if seconds == 1 else 'seconds'}.",
            retry_after=seconds,
        )
        self.limit_state = limit_state


class Permit:
    """The right to do one request, already charged. Ends once: settled or refunded.

    Neither waits nor raises, so that both may stand in a `finally` of a cancelled task.
    `snapshot` is None where the key has no limit.
    """

    def __init__(
        self, key: ApiKey, cost: int, snapshot: LimitState | None, give_back: Callable[[], None]
    ) -> None:
        self.key = key
        self.cost = cost
        self.snapshot = snapshot
        self._give_back = give_back
        self._is_open = True

    def settle(self, usage_tokens: int) -> None:
        """The request was served with `usage_tokens` of its `cost`; it stays counted."""
        assert usage_tokens >= 0
        self._is_open = False

    def refund(self) -> None:
        """The request was not served: as if it had never been admitted."""
        if self._is_open:
            self._is_open = False
            self._give_back()


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
        self._windows = defaultdict[str, SlidingWindow](lambda: SlidingWindow(window_seconds))
        process = secrets.token_hex(8)
        self._entries = (f"{process}:{number}" for number in itertools.count())
        self._shared = None if link is None else _SharedWindows(link, window_seconds)
        # Refunds that Redis has not confirmed; after a window's time it no longer matters.
        self._owed = defaultdict[str, SlidingWindow](lambda: SlidingWindow(window_seconds))
        self._not_merged: set[str] = set()  # names with admissions that Redis doesn't know
        self._is_merged = asyncio.Event()
        self._is_merged.set()
        self._writes: set[asyncio.Task[None]] = set()
        if link is not None:
            link.before_recovery = self._merge_all

    @property
    def storage(self) -> StorageState:
        return storage_state(self._link)

    async def admit(self, key: ApiKey, cost: int) -> Permit:
        """Charge one request and `cost` tokens to `key`, or raise RateLimited, charging nothing.

        `cost` is the worst case, prompt plus max_tokens; `Permit.settle` returns what the
        answer did not use. Tokens are carried but not yet limited.
        """
        assert cost >= 0
        if key.rpm == 0:
            return Permit(key, cost, None, lambda: None)
        entry = next(self._entries)
        decision = await self._decide(key, entry)
        state = LimitState(key.rpm, max(0, key.rpm - decision.count), decision.wait_seconds)
        if not decision.is_admitted:
            self._observer.rejected(key.name, "requests")
            raise RequestLimitExceeded(key, state)
        return Permit(key, cost, state, lambda: self._remove(key.name, entry))

    async def peek(self, key: ApiKey) -> LimitState | None:
        """What `key` could still do now, charging nothing; None where it has no limit."""
        if key.rpm == 0:
            return None
        count, wait_seconds = await self._count(key)
        return LimitState(key.rpm, max(0, key.rpm - count), wait_seconds)

    async def aclose(self) -> None:
        """Let refunds that are on their way arrive."""
        if self._writes:
            await asyncio.wait(self._writes)

    async def _count(self, key: ApiKey) -> tuple[int, float]:
        """Admissions in the window and seconds until there is more room."""
        if self._shared is not None and self._shared.is_up:
            with contextlib.suppress(RedisAway):
                return await self._shared.count(key)
        if key.name not in self._windows:
            return 0, 0.0
        return self._windows[key.name].count(key.rpm, self._clock())

    async def _decide(self, key: ApiKey, entry: str) -> Decision:
        if self._shared is None:
            return self._decide_here(key, entry)
        await self._is_merged.wait()
        if not self._shared.is_up:
            return self._decide_here(key, entry)
        window = self._windows[key.name]
        try:
            decision = await self._shared.admit(key, entry, window, self._clock())
        except RedisAway:
            decision = self._decide_here(key, entry)
            if not decision.is_admitted:  # Redis may have counted it all the same
                self._owed[key.name].record(entry, self._clock())
        else:
            if decision.is_admitted:
                window.record(entry, self._clock())
        return decision

    def _decide_here(self, key: ApiKey, entry: str) -> Decision:
        decision = self._windows[key.name].admit(entry, key.rpm, self._clock())
        if decision.is_admitted:
            self._not_merged.add(key.name)
        return decision

    def _remove(self, name: str, entry: str) -> None:
        self._windows[name].remove(entry)
        if self._shared is not None:
            self._owed[name].record(entry, self._clock())
            if self._shared.is_up:
                write = asyncio.get_running_loop().create_task(self._pay(name, entry))
                self._writes.add(write)
                write.add_done_callback(self._writes.discard)

    async def _pay(self, name: str, entry: str) -> None:
        assert self._shared is not None
        with contextlib.suppress(RedisAway):  # then it is paid on recovery
            await self._shared.remove(name, entry)
            self._owed[name].remove(entry)

    async def _merge_all(self) -> None:
        """Tell Redis all that this process knows: it may have missed it, or lost its memory."""
        self._not_merged.update(self._windows)
        await self._merge_changed()
        # Little is left, what came meanwhile. Those who come now wait for it, or it would not end.
        self._is_merged.clear()
        try:
            await self._merge_changed()
        finally:
            self._is_merged.set()

    async def _merge_changed(self) -> None:
        assert self._shared is not None
        for name in tuple(self._not_merged):
            self._not_merged.discard(name)
            await self._shared.merge(name, self._windows[name].ages(self._clock()))
        for name, refunds in tuple(self._owed.items()):
            for entry in refunds.ages(self._clock()):
                await self._shared.remove(name, entry)
                refunds.remove(entry)


class _SharedWindows:
    """The windows in Redis. Every method raises RedisAway."""

    def __init__(self, link: RedisLink, window_seconds: float) -> None:
        self._link = link
        self._window = round(window_seconds * 1e6)
        self._admit = link.script(CLOCK + ADMIT)
        self._merge = link.script(CLOCK + MERGE)
        self._count = link.script(CLOCK + COUNT)
        self._remove = link.script("redis.call('ZREM', KEYS[1], ARGV[1])")

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    async def admit(self, key: ApiKey, entry: str, window: SlidingWindow, now: float) -> Decision:
        """`window`: what this process knows, which Redis must know too if it has kept its data."""
        known = window.newest(now)
        answer = self._admit([_log_of(key.name)], [key.rpm, self._window, entry, known])
        is_admitted, count, wait, is_complete = await self._link.call("admit", answer)
        # If it was refunded meanwhile, Redis is right not to know it.
        if not is_complete and known in window:
            raise self._link.report_failure(DataLost())
        return Decision(bool(is_admitted), count, wait / 1e6)

    async def count(self, key: ApiKey) -> tuple[int, float]:
        answer = self._count([_log_of(key.name)], [key.rpm, self._window])
        count, wait = await self._link.call("count", answer)
        return count, wait / 1e6

    async def merge(self, name: str, ages: dict[str, float]) -> None:
        """Add admissions (entry to seconds ago) that Redis may not know."""
        pairs = [(entry, round(age * 1e6)) for entry, age in ages.items()]
        for start in range(0, len(pairs), _MERGE_ENTRIES):
            batch = pairs[start : start + _MERGE_ENTRIES]
            args = [self._window, *itertools.chain.from_iterable(batch)]
            await self._link.call("merge", self._merge([_log_of(name)], args))

    async def remove(self, name: str, entry: str) -> None:
        await self._link.call("remove", self._remove([_log_of(name)], [entry]))


def storage_state(link: RedisLink | None) -> StorageState:
    if link is None:
        return "in-process"
    return "redis" if link.is_up else "in-process (redis is away)"


def _log_of(name: str) -> str:
    return f"llm:requests:{{{name}}}"
