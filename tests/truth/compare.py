"""Rows of what is shown, what is true, and how far apart they may be."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from llm_service.observability.buckets import INTER_TOKEN
from llm_service.observability.panels import PANELS
from llm_service.observability.snapshot import HISTOGRAMS
from tests.truth.client import Call, Callers
from tests.truth.machine import Process
from tests.truth.shown import Point

BORDER = 0.05  # seconds between an event and its arrival, at most, where nothing is starved
RATE = 0.05
QUANTILE = 0.10
STARVED = 0.1  # seconds to have a chat read: the client's own clock is late by as much
MIN_SAMPLES = 20  # as on the pages: fewer make no quantile that one can judge


@dataclass(frozen=True, slots=True)
class Row:
    """`lowest` and `highest` are what `shown` may be; `why` says where they come from."""

    load: str
    source: str
    number: str
    shown: float
    truth: float
    lowest: float
    highest: float
    why: str
    num_samples: int | None = None
    is_starved: bool = False

    @property
    def verdict(self) -> str:
        """Empty where the number is true. A number that is missing is NaN, and false."""
        if self.num_samples is not None and self.num_samples < MIN_SAMPLES:
            return "few"
        if self.is_starved:
            return "starved"
        return "" if self.lowest <= self.shown <= self.highest else "FALSE"


class Table:
    """Collects rows for one load, from one source."""

    def __init__(self, load: str, source: str, rows: list[Row]) -> None:
        self._load, self._source, self._rows = load, source, rows
        self.is_starved = False

    def add(
        self,
        number: str,
        shown: float,
        truth: float,
        below: float,
        above: float,
        why: str,
        num_samples: int | None = None,
    ) -> None:
        names, bounds = (self._load, self._source, number), (truth - below, truth + above)
        self._rows.append(Row(*names, shown, truth, *bounds, why, num_samples, self.is_starved))

    def near(self, number: str, shown: float, truth: float, share: float, slack: float = 0) -> None:
        room = share * truth + slack
        why = f"{share:.0%}" + (f" and {slack:.3g} at the borders" if slack else "")
        self.add(number, shown, truth, room, room, why)

    def equal(self, number: str, shown: float, truth: float) -> None:
        self.add(number, shown, truth, 0, 0, "exact")


def compare_point(table: Table, point: Point, callers: Callers, process: Process) -> None:
    """Rates, quantiles and CPU of the window that ends at the point."""
    began = point.at - point.window_seconds
    door = [seconds for when, seconds in callers.round_trips if began < when <= point.at]
    table.is_starved = not door or _quantile(door, 0.5) > STARVED
    _rates(table, point, callers.calls)
    _latencies(table, point, callers)
    _gaps(table, point, callers.calls)
    table.is_starved = False
    if "cpu" not in point.values:
        return
    table.near("CPU, cores", point.values["cpu"]["used"], process.cores(point.span), RATE, 0.05)


def _rates(table: Table, point: Point, calls: Sequence[Call]) -> None:
    """Counted between the first and the last sample of the window, as `rate` does.

    A sample is taken a few milliseconds after its time, and bytes arrive a little after they are
    counted: an event at a border may be counted on the other side of it.
    """
    first, last = point.span
    seconds = last - first
    ends = [(call.ended, 1.0) for call in calls if call.ended is not None]
    count, at_border = _counted(ends, point.span)
    shown = point.total("requests")
    table.near("requests/s", shown, count / seconds, RATE, at_border / seconds)
    failed, _ = _counted([(c.ended, 1.0) for c in calls if c.ended and c.is_error], point.span)
    tried = shown - point.total("requests", "rejected", "cancelled")
    if tried:
        share = point.total("requests", "error", "timeout") / tried
        table.near("error share", share, failed / max(1, count), RATE)
    arrivals = [(at, 1.0) for call in calls for at in call.arrivals]
    tokens, at_border = _counted(arrivals, point.span)
    shown = point.total("tokens", "output")
    table.near("output tokens/s", shown, tokens / seconds, RATE, at_border / seconds)


def _counted(
    events: Sequence[tuple[float, float]], span: tuple[float, float]
) -> tuple[float, float]:
    """The weights of the (time, weight) inside the span, and of those at its borders."""
    first, last = span
    inside = sum(weight for time, weight in events if first < time <= last)
    border = sum(w for time, w in events if min(abs(time - first), abs(time - last)) < BORDER)
    return inside, max(1.0, border)


def _latencies(table: Table, point: Point, callers: Callers) -> None:
    """The client's time has the way and the door in it, and its own wait for a core; the service's
    begins when the head of the request has arrived and ends when the bytes are handed over
    (TTFT: when the token reaches its stream). So what is shown may not be above the client's
    time but for what the window's borders cut, 5 %; and below it by 10 % and what it takes, at
    the same time and by the same clock, to have a chat read and rendered that is not answered.
    For as long as that takes, an event may be on its way, too: the true value is that of any
    window up to so much later.
    """
    began, at = point.at - point.window_seconds, point.at
    door = [seconds for when, seconds in callers.round_trips if began < when <= at]
    measured: dict[str, tuple[Callable[[Call], float], Callable[[Call], float]]] = {
        "ttft": (lambda call: call.arrivals[0], lambda call: call.ttft),
        "duration": (lambda call: call.ended or 0.0, lambda call: call.duration),
    }
    for panel, (when, seconds) in measured.items():
        if panel not in point.values:
            continue
        usable = [call for call in callers.calls if call.arrivals and call.ended is not None]
        late = _quantile(door, 0.95) if door else 0.0
        windows = [
            [seconds(call) for call in usable if began + shift < when(call) <= at + shift]
            for shift in (0.0, late / 2, late)
        ]
        times = windows[0]
        if not all(windows):
            continue
        for quantile in (0.5, 0.95):
            truth = _quantile(times, quantile)
            truths = [_quantile(window, quantile) for window in windows]
            below = (
                truth - min(truths) * (1 - QUANTILE) + (_quantile(door, quantile) if door else 0)
            )
            above = max(truths) * (1 + QUANTILE / 2) - truth
            why = "5 % above; 10 % and a reading below"
            shown = point.values[panel].get(f"p{quantile * 100:g}", np.nan)
            if not point.is_exact:
                # Interpolated: it is only known to be in the same bucket.
                bounds = _bounds_of(panel)
                below = truth - _floor(bounds, truth - below)
                above, why = _ceil(bounds, truth + above) - truth, why + ", to the bucket's bounds"
            label = "TTFT" if panel == "ttft" else "end to end"
            number = f"{label} p{quantile * 100:g}, s"
            table.add(number, shown, truth, below, above, why, len(times))


def _gaps(table: Table, point: Point, calls: Sequence[Call]) -> None:
    first, last = point.span
    gaps = [gap for call in calls for when, gap in call.gaps if first < when <= last]
    if not gaps:
        return
    truth = _quantile(gaps, 0.95)
    below = truth - _floor(INTER_TOKEN, truth * (1 - QUANTILE))
    above = _ceil(INTER_TOKEN, truth * (1 + QUANTILE)) - truth
    shown = point.values["inter_token"].get("p95", np.nan)
    why = "10 %, to the bucket's bounds"
    table.add("ITL p95, s", shown, truth, below, above, why, len(gaps))


def _quantile(values: Sequence[float], quantile: float) -> float:
    return float(np.quantile(values, quantile, method="inverted_cdf"))


def _bounds_of(panel: str) -> Sequence[float]:
    return HISTOGRAMS[PANELS[panel].histogram or ""]


def _floor(bounds: Sequence[float], value: float) -> float:
    index = bisect_left(bounds, value)
    return bounds[index - 1] if index else 0.0


def _ceil(bounds: Sequence[float], value: float) -> float:
    return bounds[min(bisect_left(bounds, value), len(bounds) - 1)]
