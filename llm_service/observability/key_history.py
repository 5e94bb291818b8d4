"""The last hour of each key: what it asked for and how long its first tokens took.

Counts in slots of SLOT_SECONDS, at most 52 keys (as in the metrics; others share `other`). A key
takes its memory with its first request. Prometheus has the same requests and tokens by key for
longer, but no times to first token and no reasons of refusals: these would be thousands of series.
"""

import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from llm_service.observability.buckets import FIRST_TOKEN
from llm_service.observability.families import KeyNames
from llm_service.observability.rates import Floats
from llm_service.observability.record import ERROR_KINDS, OUTCOMES, RequestRecord

SLOT_SECONDS = 10
KEPT_SLOTS = 3600 // SLOT_SECONDS
TOKENS = ("computed", "cached", "output")
COLUMNS = {
    name: index
    for index, name in enumerate(
        [
            *(f"outcome:{name}" for name in OUTCOMES),
            *(f"error:{name}" for name in ERROR_KINDS),
            *(f"tokens:{name}" for name in TOKENS),
            *(f"ttft:{bucket}" for bucket in range(len(FIRST_TOKEN) + 1)),
        ]
    )
}
FIRST_TOKENS = [f"ttft:{bucket}" for bucket in range(len(FIRST_TOKEN) + 1)]


class KeyHistory:
    """About 60 KB per key that was used, 3.5 MB at most."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._first_slot = math.ceil(clock() / SLOT_SECONDS)
        self._names = KeyNames()
        self._lock = threading.Lock()
        self._counts: dict[str, _Slots] = {}

    @property
    def num_bytes(self) -> int:
        return sum(slots.num_bytes for slots in self._counts.values())

    def add(self, record: RequestRecord) -> None:
        """Count a request at its end."""
        changes = {f"outcome:{record.outcome}": 1.0}
        if record.error_kind is not None:
            changes[f"error:{record.error_kind}"] = 1.0
        changes["tokens:computed"] = record.prompt_tokens - record.cached_tokens
        changes["tokens:cached"] = record.cached_tokens
        changes["tokens:output"] = record.output_tokens
        if record.outcome == "rejected":
            # Its prompt was not computed.
            changes["tokens:computed"] = 0.0
        if record.ttft_seconds is not None:
            changes[f"ttft:{bisect_left(FIRST_TOKEN, record.ttft_seconds)}"] = 1.0
        name = self._names.label(record.key_name)
        slot = int(self._clock() // SLOT_SECONDS)
        with self._lock:
            counts = self._counts.get(name)
            if counts is None:
                counts = self._counts[name] = _Slots()
            counts.add(slot, changes)

    def names(self) -> list[str]:
        """The keys that have sent requests to this process; `other` stands for several."""
        return sorted(self._counts.copy())

    def counts(
        self, key_name: str, columns: Sequence[str], at: Floats, window: float
    ) -> tuple[Floats, Floats]:
        """What fell into each window (times, columns), and how many seconds of it are known.

        Only whole slots count: those in (at - window, at]. NaN where none is known.
        """
        now = int(self._clock() // SLOT_SECONDS)
        oldest = max(self._first_slot, now - KEPT_SLOTS + 1)
        with self._lock:
            slots = self._counts.get(key_name)
            rows = _nothing(now - oldest) if slots is None else slots.rows(oldest, now)
        total = np.zeros((len(rows) + 1, len(columns)))
        np.cumsum(rows[:, [COLUMNS[name] for name in columns]], axis=0, out=total[1:])
        last = np.clip(np.floor(at / SLOT_SECONDS).astype(int) - oldest, 0, len(rows))
        first = np.floor((at - window) / SLOT_SECONDS).astype(int) - oldest
        first = np.clip(first, 0, len(rows))
        is_known = (last > first)[:, None]
        seconds = (last - first) * float(SLOT_SECONDS)
        return np.where(is_known, total[last] - total[first], np.nan), seconds

    def since(self) -> float:
        """When the oldest slot that is kept began."""
        now = int(self._clock() // SLOT_SECONDS)
        return float(max(self._first_slot, now - KEPT_SLOTS + 1) * SLOT_SECONDS)


class _Slots:
    """The counts of one key: a ring of slots, each with the number of the slot it now holds."""

    def __init__(self) -> None:
        self._numbers = np.zeros(KEPT_SLOTS, dtype=np.int64)
        self._rows = np.zeros((KEPT_SLOTS, len(COLUMNS)), dtype=np.float32)

    @property
    def num_bytes(self) -> int:
        return self._numbers.nbytes + self._rows.nbytes

    def add(self, slot: int, changes: dict[str, float]) -> None:
        place = slot % KEPT_SLOTS
        if self._numbers[place] != slot:
            self._numbers[place], self._rows[place] = slot, 0
        for name, amount in changes.items():
            if name in COLUMNS:  # an outcome that is on no list must not end a request
                self._rows[place, COLUMNS[name]] += amount

    def rows(self, first: int, end: int) -> Floats:
        """A row for each slot from `first` until before `end`; 0 where nothing happened."""
        numbers = np.arange(first, max(first, end))
        places = numbers % KEPT_SLOTS
        rows = self._rows[places].astype(np.float64)
        rows[self._numbers[places] != numbers] = 0
        return rows


def _nothing(num_slots: int) -> Floats:
    return np.zeros((max(0, num_slots), len(COLUMNS)))
