"""The bound on requests that wait for an engine, and when a place in it will be free.

Any engine may use it. It counts sequences and knows nothing of how they are computed.
"""

import time
from collections import deque
from collections.abc import Callable

from llm_service.errors import Overloaded

_RATE_WINDOW_SECONDS = 60.0


class AdmissionQueue:
    """Refuses requests while more sequences wait than may. Used on the event loop only."""

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

        `num_waiting` sequences have been submitted and do not run; those that the next step lets
        in do not count, unless the last step left some outside (`is_blocked`). A request enters
        with all its sequences or not at all. The bound is checked before it is added, so that the
        size of the queue never forbids what an idle engine could answer.
        """
        num_free_slots = 0 if is_blocked else self._num_slots - num_running
        if num_waiting - num_free_slots >= self._max_waiting:
            raise Overloaded(
                f"{num_waiting} requests are waiting already; the queue is full.",
                retry_after=max(1.0, self.mean_interval()),
            )

    def became_busy(self) -> None:
        """The engine was idle until now, so the old rate of finishes says nothing."""
        self.busy_since = self._clock()
        self._finish_times.clear()

    def finished(self) -> None:
        """A sequence has ended."""
        self._finish_times.append(self._clock())

    def mean_interval(self) -> float:
        """Seconds between finishes over the last minute, or since the engine became busy."""
        now = self._clock()
        start = max(self.busy_since, now - _RATE_WINDOW_SECONDS)
        num_recent = sum(moment >= start for moment in self._finish_times)
        return (now - start) / max(1, num_recent)
