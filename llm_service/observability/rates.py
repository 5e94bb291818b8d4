"""PromQL's arithmetic on rows of samples: `rate`, instant values, `histogram_quantile`.

The results are those of Prometheus for the same samples; a test lets promtool say so.
It knows no metric by name. Times are wall-clock seconds, NaN means: no samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Samples:
    """`values[i]` was read at `times[i]`, ascending; one column per series, at least one row."""

    times: Floats  # (rows,)
    values: Floats  # (rows, columns)

    def since(self, time: float) -> "Samples":
        """Without the rows before `time`, one of which is kept if there are no others."""
        first = min(int(np.searchsorted(self.times, time)), len(self.times) - 1)
        return Samples(self.times[first:], self.values[first:])


def latest(samples: Samples, at: Floats, lookback: float) -> Floats:
    """The newest value not older than `lookback` seconds at each time: (times, columns)."""
    first, last = _range(samples, at, lookback)
    return np.where((last >= first)[:, None], samples.values[np.maximum(last, 0)], np.nan)


def increase(samples: Samples, at: Floats, window: float) -> Floats:
    """What counters gained between the first and the last sample in each window, resets undone."""
    first, last = _ends(samples, at, window)
    # After a reset the counter counts from 0: what it had before is added again.
    is_reset = np.diff(samples.values, axis=0) < 0
    total = samples.values.copy()
    total[1:] += np.cumsum(np.where(is_reset, samples.values[:-1], 0.0), axis=0)
    return np.where((last > first)[:, None], total[last] - total[first], np.nan)


def rate(samples: Samples, at: Floats, window: float) -> Floats:
    """Per-second increase over each window, extrapolated to its borders as Prometheus does.

    The source of the formula is `extrapolatedRate` in Prometheus' promql/functions.go.
    """
    gained = increase(samples, at, window)
    first, last = _ends(samples, at, window)
    begin, end = samples.times[first], samples.times[last]
    with np.errstate(divide="ignore", invalid="ignore"):
        average = (end - begin) / (last - first)
        to_start = _reach(begin - (at - window), average)[:, None]
        to_end = _reach(at - end, average)[:, None]
        sampled = (end - begin)[:, None]
        # A counter was never below 0: not further back than where it would have been.
        to_zero = sampled * samples.values[first] / gained
        to_start = np.where(gained > 0, np.fmin(to_start, to_zero), to_start)
        return gained * (sampled + to_start + to_end) / sampled / window


def histogram_quantile(quantile: float, bounds: Sequence[float], buckets: Floats) -> Floats:
    """Linear interpolation in cumulative `buckets` (times, bounds + 1), the last one +Inf.

    NaN where nothing was observed; the largest bound where the quantile lies in +Inf.
    """
    buckets = np.maximum.accumulate(buckets, axis=1)  # extrapolation may have bent them a little
    total = buckets[:, -1]
    rank = quantile * total
    index = np.minimum((buckets < rank[:, None]).sum(axis=1), len(bounds))
    edges = np.array([0.0, *bounds, bounds[-1]])
    padded = np.concatenate([np.zeros((len(buckets), 1)), buckets], axis=1)
    row = np.arange(len(buckets))
    below, here = padded[row, index], padded[row, index + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (rank - below) / (here - below)
        value = edges[index] + (edges[index + 1] - edges[index]) * share
    value = np.where(index == len(bounds), bounds[-1], value)
    return np.where(total > 0, value, np.nan)


def _range(samples: Samples, at: Floats, window: float) -> tuple[Rows, Rows]:
    """First and last row in (at - window, at]; last < first where there is none."""
    first = np.searchsorted(samples.times, at - window, side="right")
    last = np.searchsorted(samples.times, at, side="right") - 1
    return first, last


def _ends(samples: Samples, at: Floats, window: float) -> tuple[Rows, Rows]:
    """Like `_range`, but only rows that exist: the same row twice where there are not two."""
    first, last = _range(samples, at, window)
    last = np.maximum(last, 0)
    return np.minimum(first, last), last


def _reach(gap: Floats, average: Floats) -> Floats:
    """How far to extrapolate over `gap`: all of it if about a sample wide, else half a sample."""
    return np.where(gap < average * 1.1, gap, average / 2)
