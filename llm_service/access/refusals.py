"""What refused requests cost: a budget per key, so that a flood of them is not free.

A request that is refused as wrong consumes nothing of the key's limit, yet reading it took
work. So each costs its key one unit, and one more per 64 KiB of its body; a key has as many
units a minute as requests, but at least 60. A key without a limit has a budget, too, a large one:
requests that are served share the engine fairly, but reading and refusing happens before that,
on the event loop that all keys share. Each process counts alone: it protects itself.
"""

import math
import time
from collections.abc import Callable

from llm_service.access.api_key import ApiKey
from llm_service.access.observer import LimitObserver, NullLimitObserver
from llm_service.errors import RateLimited

MIN_UNITS = 60
# For keys without a limit. Reading and refusing so much takes about a quarter of one core.
UNLIMITED_UNITS = 6000
BYTES_PER_UNIT = 65_536


class RefusalBudget:
    """A leaky bucket per key."""

    def __init__(
        self,
        observer: LimitObserver | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer or NullLimitObserver()
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}  # by key id: units, and when

    def check(self, key: ApiKey) -> None:
        """Raise RateLimited when `key` has spent its budget; `retry_after` is then true."""
        excess = self._level(key) - _capacity(key)
        if excess < 0:
            return
        seconds = math.floor(excess * 60 / _capacity(key)) + 1
        self._observer.rejected(key.name, "refused")
        raise RateLimited(
            f"Too many requests of the key '{key.name}' were refused as wrong in the last minute."
            f" The next one is looked at in {seconds} {'second' if seconds == 1 else 'seconds'}.",
            retry_after=seconds,
        )

    def charge(self, key: ApiKey, num_bytes: int) -> None:
        """One request with a body of `num_bytes` was refused. It never costs over a minute."""
        level = self._level(key) + 1 + num_bytes // BYTES_PER_UNIT
        self._levels[key.id] = (min(level, 2 * _capacity(key)), self._clock())

    def _level(self, key: ApiKey) -> float:
        units, then = self._levels.get(key.id, (0.0, 0.0))
        left = units - (self._clock() - then) * _capacity(key) / 60
        if left <= 0:
            self._levels.pop(key.id, None)
            return 0.0
        return left


def _capacity(key: ApiKey) -> int:
    return max(MIN_UNITS, key.rpm) if key.rpm else UNLIMITED_UNITS
