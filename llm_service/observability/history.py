"""The last hour of the service, in memory: what its dashboard draws without Prometheus.

Keeps a ring of snapshots of the metrics, the latest requests (`request_ring.py`) and counts by key
(`key_history.py`), numbers and names only. It computes nothing: `series.py` does. A restart begins
a new history, and a process that stalls leaves a gap.
"""

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
import structlog

from llm_service.observability.key_history import KeyHistory
from llm_service.observability.metrics import Metrics
from llm_service.observability.rates import Floats, Samples
from llm_service.observability.recent import Observations
from llm_service.observability.record import RequestRecord
from llm_service.observability.request_ring import (
    KEPT_REQUESTS,
    Refusals,
    RequestRing,
    TimeWindow,
)
from llm_service.observability.snapshot import COLUMNS, read_row

__all__ = ["KEPT_REQUESTS", "KEPT_SECONDS", "RESOLUTION_SECONDS", "History"]

log = structlog.get_logger()

RESOLUTION_SECONDS = 2
KEPT_SECONDS = 3600


class History:
    """1,800 snapshots of 173 floats, and the observations that the metrics keep beside them.

    3 MB (`num_bytes`), taken at the start and never more.
    """

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.time) -> None:
        self._registry = metrics.registry
        self._recent = metrics.recent
        self._clock = clock
        num_rows = KEPT_SECONDS // RESOLUTION_SECONDS
        self._times = np.zeros(num_rows)
        self._rows = np.zeros((num_rows, len(COLUMNS)))
        self._num_taken = 0
        self._requests = RequestRing(clock())
        self.keys = KeyHistory(clock=clock)
        # Snapshots are taken and read in worker threads.
        self._lock = threading.Lock()
        self.sample()

    @property
    def num_bytes(self) -> int:
        kept = sum(recent.num_bytes for recent in self._recent.values())
        return self._times.nbytes + self._rows.nbytes + kept

    async def run(self) -> None:
        """Take a snapshot every RESOLUTION_SECONDS, on whole multiples, until cancelled."""
        while True:
            await asyncio.sleep(RESOLUTION_SECONDS - self._clock() % RESOLUTION_SECONDS)
            try:
                # Off the loop: reading /proc takes milliseconds when the machine is busy.
                await asyncio.to_thread(self.sample)
            except Exception:
                log.exception("a snapshot of the metrics failed")

    def sample(self) -> None:
        row, now = read_row(self._registry), self._clock()
        with self._lock:
            if self._num_taken and now <= self._times[(self._num_taken - 1) % len(self._times)]:
                # The clock was set back: what was kept would lie in the future.
                self._num_taken = 0
            index = self._num_taken % len(self._times)
            self._times[index], self._rows[index] = now, row
            self._num_taken += 1

    def samples(self) -> Samples:
        """A copy of what is kept, oldest first."""
        with self._lock:
            size = min(self._num_taken, len(self._times))
            order = np.arange(self._num_taken - size, self._num_taken) % len(self._times)
            return Samples(self._times[order], self._rows[order])

    def observations(self) -> dict[str, Observations]:
        """The latest observations, by the name of their histogram."""
        return {name: recent.observations() for name, recent in self._recent.items()}

    def moment(self) -> tuple[Samples, Floats, float]:
        """What is kept, a snapshot of this moment that is not kept, and its time."""
        row, now = read_row(self._registry), self._clock()
        return self.samples(), row, now

    def request_finished(self, record: RequestRecord) -> None:
        self._requests.add(record)
        self.keys.add(record)

    def recent_requests(self, limit: int, window: TimeWindow | None = None) -> list[RequestRecord]:
        """Newest first, without those that were refused; with a window, those that ran in it."""
        return self._requests.recent(limit, window)

    def requests_complete_since(self) -> float:
        """All requests that ended later, but for refused ones, are among the recent requests."""
        return self._requests.complete_since()

    def refusals(self, window: TimeWindow | None = None) -> list[Refusals]:
        """Refused requests by key and reason, the latest first."""
        return self._requests.refusals(window)

    def find_request(self, request_id: str) -> RequestRecord | None:
        """The latest request with this id that ended or was refused, or None if none is kept."""
        return self._requests.find(request_id)
