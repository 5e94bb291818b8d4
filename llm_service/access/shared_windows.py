"""The windows in Redis, and the generation that shows whether Redis still has all of them.

Redis may lose its data while the connection lives: FLUSHALL, a quick restart without
persistence, a failover to an empty replica. The logs of admissions are then gone, and so is
the generation, a random string beside them. Every script compares it with the one that its
process has joined, in the same atomic step, and does nothing if they differ.

A process joins a generation by merging what it knows into the logs. The first one that finds
none begins one as `merging:<generation>`, asks all other processes to merge what they know,
and finishes it when they have answered; until then nobody is admitted through Redis. A process
that finds a finished generation merges and joins it.

The generation does not show that a single log was evicted, or that Redis came back with data
that is a little older. `admit` therefore also names an admission that the log must contain.
"""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from llm_service.access.keys import ApiKey
from llm_service.access.redis import RedisAway, RedisLink
from llm_service.access.window import (
    ADMIT,
    BEGIN,
    CLOCK,
    COUNT,
    FINISH,
    IF_JOINED,
    IF_JOINING,
    MERGE,
    REMOVE,
    Decision,
)

GENERATION_KEY = "llm:generation"
_MERGING = "merging:"
_MERGE_ENTRIES = 1000

Script = Callable[[list[str], list[Any]], Awaitable[Any]]


class DataLost(RedisAway):
    """Redis lacks admissions that it had: join again, then repeat the call, which did nothing."""


class SharedWindows:
    """One per process. Every method raises RedisAway, and DataLost where a generation is gone."""

    def __init__(self, link: RedisLink, window_seconds: float) -> None:
        self.generation = ""  # the one that this process has joined; empty: none
        self._link = link
        self._window = round(window_seconds * 1e6)
        self._admit = link.script(IF_JOINED + CLOCK + ADMIT)
        self._count = link.script(IF_JOINED + CLOCK + COUNT)
        self._merge = link.script(IF_JOINING + CLOCK + MERGE)
        self._remove = link.script(IF_JOINING + REMOVE)
        self._begin = link.script(BEGIN)
        self._finish = link.script(FINISH)

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    async def admit(self, key: ApiKey, entry: str, known: str) -> Decision:
        """`known`: an admission that the log must contain, or the empty string."""
        args = [self.generation, key.rpm, self._window, entry, known]
        is_admitted, count, wait = await self._run("admit", self._admit, _keys_of(key.id), args)
        return Decision(bool(is_admitted), count, wait / 1e6)

    async def count(self, key: ApiKey) -> tuple[int, float]:
        args = [self.generation, key.rpm, self._window]
        count, wait = await self._run("count", self._count, _keys_of(key.id), args)
        return count, wait / 1e6

    async def merge(self, generation: str, key_id: str, ages: dict[str, float]) -> None:
        """Add admissions (entry to seconds ago) that Redis may not know."""
        pairs = [(entry, round(age * 1e6)) for entry, age in ages.items()]
        for start in range(0, len(pairs), _MERGE_ENTRIES):
            batch = pairs[start : start + _MERGE_ENTRIES]
            args = [generation, self._window, *itertools.chain.from_iterable(batch)]
            await self._run("merge", self._merge, _keys_of(key_id), args)

    async def remove(self, generation: str, key_id: str, entry: str) -> None:
        await self._run("remove", self._remove, _keys_of(key_id), [generation, entry])

    async def begin(self) -> tuple[str, bool]:
        """The generation there is, or a new one, and whether it is still being merged."""
        args = [secrets.token_hex(8)]
        found = (await self._run("join", self._begin, [GENERATION_KEY], args)).decode()
        return found.removeprefix(_MERGING), found.startswith(_MERGING)

    async def finish(self, generation: str) -> None:
        """All processes have merged what they know."""
        await self._run("join", self._finish, [GENERATION_KEY], [generation])

    def give_up(self) -> RedisAway:
        """Redis keeps losing its data: count without it until a later recovery."""
        return self._link.report_failure(DataLost())

    async def _run(self, op: str, script: Script, keys: list[str], args: list[Any]) -> Any:
        answer = await self._link.call(op, script(keys, args))
        if answer is None:
            raise DataLost
        return answer


def _keys_of(key_id: str) -> list[str]:
    return [f"llm:requests:{{{key_id}}}", GENERATION_KEY]
