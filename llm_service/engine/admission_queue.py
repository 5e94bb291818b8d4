"""Bounds the requests that wait for an engine, and estimates when a place will be free.

Every engine can use it. It counts sequences and does not know how they are computed.
"""

import time
from collections import deque
from collections.abc import Callable

from llm_service.errors import Overloaded

_RATE_WINDOW_SECONDS = 60.0


class AdmissionQueue:
    """Refuses requests while too many sequences wait. Used on the event loop only."""

    def __init__(
        self, max_waiting: int, num_slots: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`num_slots` sequences run at once; `max_waiting` more may wait."""
        self._max_waiting = max_waiting
        self._num_slots = num_slots
        self._clock = clock
        self._finish_times: deque[float] = deque(maxlen=1024)
        self.busy_since = clock()

    def refuse_overload(self, num_waiting: int, num_running: int, *, is_blocked: bool) -> None:
        """Raise Overloaded if the queue is full.

        `num_waiting` sequences are submitted but not running. Those that fit the free slots do not
        count, unless the last step could not admit all of them (`is_blocked`). All sequences of a
        request are admitted, or none. The check does not count the new request, so that a request
        with more sequences than the queue has places can still be answered by an idle engine.
        """
        num_free_slots = 0 if is_blocked else self._num_slots - num_running
        if num_waiting - num_free_slots >= self._max_waiting:
            raise Overloaded(
                f"{num_waiting} requests are waiting already; the queue is full.",
                retry_after=max(1.0, self.mean_interval()),
            )

    def became_busy(self) -> None:
        """The engine was idle until now, so the earlier finish times no longer give the rate."""
        self.busy_since = self._clock()
        self._finish_times.clear()

    def finished(self) -> None:
        """Record that a sequence has ended."""
        self._finish_times.append(self._clock())

    def mean_interval(self) -> float:
        """Seconds between finishes over the last minute, or since the engine became busy."""
        now = self._clock()
        start = max(self.busy_since, now - _RATE_WINDOW_SECONDS)
        num_recent = sum(moment >= start for moment in self._finish_times)
        return (now - start) / max(1, num_recent)
