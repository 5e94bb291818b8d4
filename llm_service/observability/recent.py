"""The latest observations of a histogram, each with its time: what exact quantiles are made of.

A histogram knows only how many observations fell into each bucket. It knows no metric by name.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from llm_service.observability.rates import Floats, Rows

KEPT_OBSERVATIONS = 16_384  # a quarter of an hour at 18 a second


@dataclass(frozen=True, slots=True)
class Observations:
    """`values[i]` was observed at `times[i]`, ascending. None after `since` is missing."""

    times: Floats
    values: Floats
    since: float

    def covers(self, at: Floats, window: float) -> np.ndarray:
        """Whether all observations of (at - window, at] are here."""
        return np.asarray(at - window >= self.since)

    def count(self, at: Floats, window: float) -> Rows:
        """How many lie in (at - window, at]."""
        first, end = self._range(at, window)
        return end - first

    def quantiles(self, quantiles: Sequence[float], at: Floats, window: float) -> Floats:
        """The smallest value that at least this share of each window does not exceed.

        (quantiles, times); NaN where nothing was observed.
        """
        result = np.full((len(quantiles), len(at)), np.nan)
        for i, (first, end) in enumerate(zip(*self._range(at, window), strict=True)):
            if end > first:
                ordered = np.sort(self.values[first:end])
                # Less a little, because 0.95 * 20 may come out above 19.
                ranks = np.ceil(np.asarray(quantiles) * (end - first) - 1e-9).astype(int)
                result[:, i] = ordered[np.maximum(ranks, 1) - 1]
        return result

    def _range(self, at: Floats, window: float) -> tuple[Rows, Rows]:
        first = np.searchsorted(self.times, at - window, side="right")
        return first, np.searchsorted(self.times, at, side="right")


class Recent:
    """A ring of observations, 256 KB, taken at the start and never more. For any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._times = np.zeros(KEPT_OBSERVATIONS)
        self._values = np.zeros(KEPT_OBSERVATIONS)
        self._num_taken = 0
        self._lock = threading.Lock()
        self._since = -np.inf  # everything since the process began

    @property
    def num_bytes(self) -> int:
        return self._times.nbytes + self._values.nbytes

    def observe(self, value: float) -> None:
        with self._lock:
            now, index = self.clock(), self._num_taken % KEPT_OBSERVATIONS
            if self._num_taken and now < self._times[index - 1]:
                # The clock was set back: what was kept would lie in the future.
                self._num_taken, index, self._since = 0, 0, now
            if self._num_taken >= KEPT_OBSERVATIONS:
                self._since = self._times[index]
            self._times[index], self._values[index] = now, value
            self._num_taken += 1

    def observations(self) -> Observations:
        """A copy of what is kept."""
        with self._lock:
            size = min(self._num_taken, KEPT_OBSERVATIONS)
            order = np.arange(self._num_taken - size, self._num_taken) % KEPT_OBSERVATIONS
            return Observations(self._times[order], self._values[order], float(self._since))
