"""The dashboard's panels, computed from the history as PromQL would compute them.

Each panel says its title, its unit and its lines. A line is a value per point of time;
None where there were no samples, which is not 0.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from llm_service.observability.history import KEPT_SECONDS, RESOLUTION_SECONDS
from llm_service.observability.rates import (
    Floats,
    Samples,
    histogram_quantile,
    increase,
    latest,
    rate,
)
from llm_service.observability.snapshot import COLUMNS, HISTOGRAMS, LABELLED, Column, bucket_columns

MAX_POINTS = 600
MIN_WINDOW_SECONDS = 10
LOOKBACK_SECONDS = 3 * RESOLUTION_SECONDS


@dataclass(slots=True)
class Line:
    """One line of a chart. `is_clipped`: some values are only the largest bucket's bound."""

    name: str
    values: Floats
    labels: dict[str, str] = field(default_factory=dict)
    is_clipped: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Evenly spaced points of time, and the window of rates at each. Seconds."""

    times: Floats
    step: int

    @classmethod
    def until(cls, now: float, range_seconds: int) -> "Grid":
        """At most MAX_POINTS on whole multiples of the step, so that polls give the same ones."""
        step = RESOLUTION_SECONDS * math.ceil(range_seconds / (MAX_POINTS - 1) / RESOLUTION_SECONDS)
        end = math.floor(now / step) * step
        num_points = range_seconds // step + 1
        return cls(end - step * np.arange(num_points - 1, -1, -1.0), step)

    @property
    def window(self) -> int:
        """At least five samples, and no sample between two points is left out."""
        return max(self.step, MIN_WINDOW_SECONDS)


class Query:
    """The history at the points of a grid: what gauges were, how fast counters grew."""

    def __init__(self, samples: Samples, grid: Grid) -> None:
        # What no window reaches is left out: most polls ask for minutes of the hour.
        samples = samples.since(grid.times[0] - grid.window)
        self._values = latest(samples, grid.times, max(grid.step, LOOKBACK_SECONDS))
        self._rates = rate(samples, grid.times, grid.window)
        self._increases = increase(samples, grid.times, grid.window)

    def value(self, name: str, label: str = "") -> Floats:
        return self._values[:, COLUMNS[name, label]]

    def rate(self, name: str, label: str = "") -> Floats:
        return self._rates[:, COLUMNS[name, label]]

    def ratio(self, over: Column, under: Column) -> Floats:
        """Rate over rate; NaN where nothing happened below."""
        below = self.rate(*under)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(below > 0, self.rate(*over) / below, np.nan)

    def mean(self, histogram: str) -> Floats:
        return self.ratio((f"{histogram}_sum", ""), (f"{histogram}_count", ""))

    def quantiles(self, histogram: str, quantiles: Sequence[float]) -> list[Line]:
        bounds = HISTOGRAMS[histogram]
        buckets = self._rates[:, [COLUMNS[column] for column in bucket_columns(histogram)]]
        lines = []
        for quantile in quantiles:
            values = histogram_quantile(quantile, bounds, buckets)
            line = Line(f"p{quantile * 100:g}", values, {"quantile": f"{quantile:g}"})
            line.is_clipped = bool((values == bounds[-1]).any())
            lines.append(line)
        return lines

    def num_observed(self, histogram: str) -> Floats:
        """Observations in the window of each point."""
        return self._increases[:, COLUMNS[bucket_columns(histogram)[-1]]]


@dataclass(frozen=True, slots=True)
class Panel:
    """`histogram` is what the panel's number of samples per point is counted from."""

    title: str
    unit: str
    lines: Callable[[Query], list[Line]]
    histogram: str | None = None


def _by_label(name: str) -> Callable[[Query], list[Line]]:
    label, values = LABELLED[name]
    return lambda query: [Line(value, query.rate(name, value), {label: value}) for value in values]


def _quantiles(title: str, histogram: str, quantiles: Sequence[float] = (0.5, 0.95, 0.99)) -> Panel:
    return Panel(title, "s", lambda query: query.quantiles(histogram, quantiles), histogram)


def _tokens(query: Query) -> list[Line]:
    return [
        Line("prompt computed", query.rate("llm_prompt_tokens_total", "computed")),
        Line("prompt cached", query.rate("llm_prompt_tokens_total", "cached")),
        Line("output", query.rate("llm_output_tokens_total")),
    ]


def _speed(query: Query) -> list[Line]:
    busy = "llm_engine_busy_seconds_total"
    computed = ("llm_prompt_tokens_total", "computed")
    return [
        Line("prefill", query.ratio(computed, (busy, "prefill"))),
        Line("decode", query.ratio(("llm_output_tokens_total", ""), (busy, "decode"))),
    ]


def _concurrency(query: Query) -> list[Line]:
    return [
        Line("running", query.value("llm_requests_running")),
        Line("waiting", query.value("llm_requests_waiting")),
        Line("slots", query.value("llm_slots")),
    ]


def _memory(query: Query) -> list[Line]:
    weights = query.value("llm_memory_bytes", "weights")
    kv_cache = query.value("llm_memory_bytes", "kv_cache")
    anonymous = query.value("llm_process_memory_bytes", "anon")
    return [
        Line("weights", weights),
        Line("kv_cache", kv_cache),
        # Weights that are mapped from a file are not anonymous: the rest may come out below 0.
        Line("other", np.maximum(anonymous - weights - kv_cache, 0)),
        Line("file", query.value("llm_process_memory_bytes", "file")),
        Line("limit", query.value("llm_memory_limit_bytes")),
    ]


def _kv_cache(query: Query) -> list[Line]:
    return [
        Line("used", query.value("llm_kv_cache_used_bytes")),
        Line("capacity", query.value("llm_kv_cache_capacity_bytes")),
    ]


def _phases(query: Query) -> list[Line]:
    phases = ("queue", "prefill", "decode")
    return [Line(phase, query.mean(f"llm_request_{phase}_seconds")) for phase in phases]


def _cpu(query: Query) -> list[Line]:
    return [
        Line("used", query.rate("process_cpu_seconds_total")),
        Line("limit", query.value("llm_cpu_limit_cores")),
        Line("throttled", query.rate("llm_cpu_throttled_seconds_total")),
    ]


def _batch_size(query: Query) -> list[Line]:
    return [Line("mean", query.mean("llm_batch_size"))]


def _preemptions(query: Query) -> list[Line]:
    return [Line("preemptions", query.rate("llm_preemptions_total"))]


PANELS: dict[str, Panel] = {
    "requests": Panel("Requests", "1/s", _by_label("llm_requests_total")),
    "ttft": _quantiles("Time to first token", "llm_time_to_first_token_seconds"),
    "duration": _quantiles("End-to-end time", "llm_request_duration_seconds"),
    "inter_token": _quantiles("Inter-token latency", "llm_inter_token_latency_seconds"),
    "tokens": Panel("Tokens", "1/s", _tokens),
    "speed": Panel("Speed while busy", "tokens/s", _speed),
    "concurrency": Panel("Sequences", "sequences", _concurrency),
    "memory": Panel("Memory", "bytes", _memory),
    "kv_cache": Panel("KV cache", "bytes", _kv_cache),
    "phases": Panel("Mean time per phase", "s", _phases),
    "errors": Panel("Errors", "1/s", _by_label("llm_request_errors_total")),
    "rejections": Panel("Limit rejections", "1/s", _by_label("llm_rate_limit_rejections_total")),
    "cpu": Panel("CPU", "cores", _cpu),
    "event_loop_lag": _quantiles("Event-loop lag", "llm_event_loop_lag_seconds", (0.5, 0.99)),
    "batch_size": Panel("Sequences per step", "sequences", _batch_size),
    "preemptions": Panel("Preemptions", "1/s", _preemptions),
}


def query_panels(
    samples: Samples, now: float, range_seconds: int, names: Iterable[str]
) -> dict[str, object]:
    """The answer of GET /api/series, ready for JSON; `names` are keys of PANELS."""
    grid = Grid.until(now, range_seconds)
    query = Query(samples, grid)
    return {
        "source": {
            "kind": "history",
            "since": samples.times[0],
            "resolution_seconds": RESOLUTION_SECONDS,
            "max_range_seconds": KEPT_SECONDS,
        },
        "start": grid.times[0],
        "end": grid.times[-1],
        "step_seconds": grid.step,
        "times": grid.times.tolist(),
        "panels": {name: _panel_out(PANELS[name], query) for name in names},
    }


def _panel_out(panel: Panel, query: Query) -> dict[str, object]:
    out: dict[str, object] = {"title": panel.title, "unit": panel.unit}
    out["series"] = [_line_out(line) for line in panel.lines(query)]
    if panel.histogram is not None:
        counts = query.num_observed(panel.histogram)
        out["samples"] = np.nan_to_num(counts).astype(int).tolist()
    return out


def _line_out(line: Line) -> dict[str, object]:
    # Six decimals: microseconds, and half the bytes of full floats.
    values = [None if math.isnan(value) else value for value in np.round(line.values, 6).tolist()]
    out: dict[str, object] = {"name": line.name, "labels": line.labels, "values": values}
    if line.is_clipped:
        out["is_clipped"] = True
    return out
