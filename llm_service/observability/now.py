"""What the service itself knows of the last minute, whatever range a chart shows.

Counts are exact: what the counters gained between a snapshot a minute ago and this moment. A
quantile of first tokens is one of the measured times, that of gaps between tokens is
interpolated in its histogram. None means that nothing was observed.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from llm_service.observability.metrics import LIMITS
from llm_service.observability.rates import Floats, Samples, histogram_quantile
from llm_service.observability.record import ERROR_KINDS, OUTCOMES, RequestRecord
from llm_service.observability.snapshot import COLUMNS, HISTOGRAMS, LABELLED, bucket_columns

WINDOW_SECONDS = 60
QUANTILES = (0.5, 0.95, 0.99)
# The caller's doing, known by the kind of error. What else is refused is the service's.
_INVALID = ("validation", "context_length")
_REFUSALS = {"rate_limit": "limit", "overloaded": "queue_full", "loading": "loading"}
_GAPS = "llm_inter_token_latency_seconds"

Bound = Literal["", "<", ">"]


@dataclass(frozen=True, slots=True)
class QuantileNow:
    """`bound`: the value is only known to be below (<) or above (>) `seconds`."""

    seconds: float
    bound: Bound = ""


@dataclass(frozen=True, slots=True)
class LatencyNow:
    """The quantiles of `count` observations in the last `window_seconds`."""

    count: int
    window_seconds: float
    p50: QuantileNow | None
    p95: QuantileNow | None
    p99: QuantileNow | None


@dataclass(frozen=True, slots=True)
class FirstToken:
    """When a request had its first token, and what it waited for. None: not measured."""

    at: float
    seconds: float
    queue_seconds: float | None
    prefill_seconds: float | None


class Minute:
    """The counters' increases in the last minute, or since the start if that is later."""

    def __init__(self, samples: Samples, row: Floats, now: float) -> None:
        """`row` is a snapshot of this moment, `now`."""
        index = max(int(np.searchsorted(samples.times, now - WINDOW_SECONDS, side="right")) - 1, 0)
        self._before, self._row = samples.values[index], row
        self.seconds = max(now - float(samples.times[index]), 0.001)

    def gained(self, name: str, label: str = "") -> float:
        """How much a counter grew; 0 if it has no sample. It cannot have been reset."""
        index = COLUMNS[name, label]
        before, value = np.nan_to_num(self._before[index]), np.nan_to_num(self._row[index])
        return float(value - before)

    def count(self, name: str, label: str = "") -> int:
        return round(self.gained(name, label))

    def value(self, name: str, label: str = "") -> float | None:
        """A gauge's value now."""
        found = float(self._row[COLUMNS[name, label]])
        return None if math.isnan(found) else found

    def outcomes(self) -> dict[str, int]:
        """How many requests ended, by outcome; all outcomes are in it."""
        return {outcome: self.count("llm_requests_total", outcome) for outcome in OUTCOMES}

    def refusals(self) -> dict[str, int]:
        """The rejected requests by reason. They add up to the outcome `rejected`."""
        kinds = {kind: self.count("llm_request_errors_total", kind) for kind in ERROR_KINDS}
        reasons = {reason: kinds[kind] for kind, reason in _REFUSALS.items()}
        reasons["invalid"] = sum(kinds[kind] for kind in _INVALID)
        # `backend` counts failures of accepted requests, too.
        known = sum(reasons.values())
        rejected = self.count("llm_requests_total", "rejected")
        return {**reasons, "unavailable": max(rejected - known, 0)}

    def limits(self) -> dict[str, int]:
        """Refusals by the limit that was spent, those of callers without a key included."""
        return {limit: self.count("llm_rate_limit_rejections_total", limit) for limit in LIMITS}

    def gaps(self) -> LatencyNow:
        """The quantiles of the gaps between tokens."""
        columns = [COLUMNS[column] for column in bucket_columns(_GAPS)]
        gained = np.nan_to_num(self._row[columns]) - np.nan_to_num(self._before[columns])
        bounds, count = HISTOGRAMS[_GAPS], round(float(gained[-1]))
        values = [_interpolated(gained, bounds, quantile) for quantile in QUANTILES]
        return LatencyNow(count, self.seconds, *values)


def first_tokens(
    tokens: Iterable[FirstToken], now: float, window_seconds: float
) -> tuple[LatencyNow, list[FirstToken]]:
    """The quantiles of the first tokens in the window, and these."""
    found = [token for token in tokens if token.at >= now - window_seconds]
    times = sorted(token.seconds for token in found)
    values = [_exact(times, quantile) for quantile in QUANTILES]
    return LatencyNow(len(times), window_seconds, *values), found


def first_token_of(record: RequestRecord) -> FirstToken | None:
    if record.ttft_seconds is None:
        return None
    at = record.started_at + record.ttft_seconds
    return FirstToken(at, record.ttft_seconds, record.queue_seconds, record.prefill_seconds)


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def seconds_without_progress(samples: Samples, row: Floats, now: float) -> float:
    """For how long there has been work, and no token was made and none of a prompt was read."""
    progress = [
        COLUMNS["llm_output_tokens_total", ""],
        *(COLUMNS["llm_prompt_tokens_total", source] for source in _sources()),
        *(COLUMNS["llm_requests_total", outcome] for outcome in OUTCOMES),
    ]
    work = [COLUMNS["llm_requests_running", ""], COLUMNS["llm_requests_waiting", ""]]
    values = np.nan_to_num(samples.values)
    has_stood = (values[:, work].sum(axis=1) > 0) & (
        values[:, progress] == np.nan_to_num(row)[progress]
    ).all(axis=1)
    if np.nan_to_num(row)[work].sum() == 0:
        return 0.0
    return seconds_held(samples.times, has_stood, now)


def seconds_held(times: Floats, is_so: np.ndarray, now: float) -> float:
    """Since when, counted from `now` back, `is_so` holds at each of `times`; 0 if not at the last.

    The time between two samples is not known, so it is not counted.
    """
    if len(times) == 0 or not is_so[-1]:
        return 0.0
    others = np.flatnonzero(~is_so)
    first = int(others[-1]) + 1 if len(others) else 0
    return max(0.0, now - float(times[first]))


@dataclass(frozen=True, slots=True)
class MemoryNow:
    """The process' resident memory, and parts that add up to it. `held`: no mapped files.

    What the engine accounts for may not be resident yet, or may lie in mapped files: each part
    counts only as far as the total goes.
    """

    total_bytes: float
    held_bytes: float
    limit_bytes: float
    parts: dict[str, float]


def memory_now(value: Callable[[str, str], float | None]) -> MemoryNow:
    anon, file, shmem = (
        value("llm_process_memory_bytes", kind) or 0.0 for kind in ("anon", "file", "shmem")
    )
    held = anon + shmem
    left = total = held + file
    parts = {}
    for part in ("weights", "compute", "kv_cache"):
        parts[part] = min(value("llm_memory_bytes", part) or 0.0, left)
        left -= parts[part]
    parts["other"] = min(max(held - sum(parts.values()), 0.0), left)
    parts["file"] = left - parts["other"]
    return MemoryNow(total, held, value("llm_memory_limit_bytes", "") or 0.0, parts)


def _sources() -> Sequence[str]:
    return LABELLED["llm_prompt_tokens_total"][1]


def _exact(times: Sequence[float], quantile: float) -> QuantileNow | None:
    """The smallest value that at least this share of the values does not exceed."""
    if not times:
        return None
    # Less a little, because 0.95 * 20 may come out above 19.
    rank = math.ceil(quantile * len(times) - 1e-9)
    return QuantileNow(times[max(rank, 1) - 1])


def _interpolated(buckets: Floats, bounds: Sequence[float], quantile: float) -> QuantileNow | None:
    seconds = float(histogram_quantile(quantile, bounds, buckets[None, :])[0])
    if math.isnan(seconds):
        return None
    if seconds >= bounds[-1]:
        return QuantileNow(bounds[-1], ">")
    # In the first bucket nothing is known but its bound.
    return QuantileNow(bounds[0], "<") if seconds <= bounds[0] else QuantileNow(seconds)
