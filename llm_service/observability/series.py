"""The answer of GET /api/series: the panels' lines at the points of a grid.

The numbers come from Prometheus or, computed as PromQL would compute them, from the own
history: the same shape, with its source. None where there were no samples, which is not 0.
Quantiles are exact where the own history has the observations themselves, and elsewhere
interpolated inside a bucket.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from llm_service.observability.expressions import Quantile, Query, Rate
from llm_service.observability.grid import MAX_POINTS, Grid
from llm_service.observability.history import KEPT_SECONDS, RESOLUTION_SECONDS
from llm_service.observability.panels import PANELS, SAMPLES, Line, Panel
from llm_service.observability.prometheus import MAX_RANGE_SECONDS, Prometheus
from llm_service.observability.rates import Floats, Samples
from llm_service.observability.recent import Observations

__all__ = ["MAX_POINTS", "PANELS", "Grid", "query_panels", "query_prometheus"]

Values = Callable[[Line], Floats]


@dataclass(frozen=True, slots=True)
class Source:
    """What the lines are drawn from. `recent` has the latest observations of some histograms."""

    kind: str
    since: float
    grid: Grid
    max_range_seconds: int
    note: str = ""
    recent: Mapping[str, Observations] = field(default_factory=dict)


def query_panels(
    samples: Samples,
    now: float,
    range_seconds: int,
    names: Iterable[str],
    note: str = "",
    recent: Mapping[str, Observations] | None = None,
) -> dict[str, object]:
    """From the own history, ready for JSON; `names` are keys of PANELS.

    `note` says why it is not from Prometheus, where it should be. Without `recent`, all quantiles
    are interpolated.
    """
    grid = Grid.until(now, range_seconds, RESOLUTION_SECONDS)
    query = Query(samples, grid)
    source = Source("history", float(samples.times[0]), grid, KEPT_SECONDS, note, recent or {})
    panels = {
        name: _panel_out(PANELS[name], source, lambda line: line.expression.values(query))
        for name in names
    }
    return _answer(source, panels)


def query_prometheus(
    prometheus: Prometheus, now: float, range_seconds: int, names: Iterable[str]
) -> dict[str, object]:
    """From Prometheus, ready for JSON. Raises PrometheusUnavailable, in words."""
    target = prometheus.target()
    grid = Grid.until(now, range_seconds, target.scrape_seconds)
    names = list(names)
    lines = prometheus.lines([PANELS[name].promql(f"{grid.window}s") for name in names], grid)
    # Prometheus may watch several processes, and `recent` would be of this one alone.
    source = Source("prometheus", target.since, grid, MAX_RANGE_SECONDS)
    panels = {
        name: _panel_out(PANELS[name], source, _drawn(by_name, grid))
        for name, by_name in zip(names, lines, strict=True)
    }
    return _answer(source, panels)


def _drawn(by_name: dict[str, Floats], grid: Grid) -> Values:
    """The values from Prometheus; no values for a line that is missing there."""
    nothing = np.full(len(grid.times), np.nan)
    return lambda line: by_name.get(line.name, nothing)


def _answer(source: Source, panels: dict[str, dict[str, object]]) -> dict[str, object]:
    grid = source.grid
    return {
        "source": {
            "kind": source.kind,
            "since": source.since,
            "resolution_seconds": grid.resolution,
            "max_range_seconds": source.max_range_seconds,
            "note": source.note,
        },
        "start": grid.times[0],
        "end": grid.times[-1],
        "step_seconds": grid.step,
        "times": grid.times.tolist(),
        "panels": panels,
    }


def _panel_out(panel: Panel, source: Source, values: Values) -> dict[str, object]:
    out: dict[str, object] = {"title": panel.title, "unit": panel.unit}
    drawn = [values(line) for line in panel.lines]
    if panel.is_heatmap:
        # Each count is extrapolated, so a difference may be slightly negative.
        drawn[1:] = [np.maximum(here - below, 0) for below, here in pairwise(drawn)]
    if panel.histogram is not None:
        (counted,) = (line for line in panel.queried if line.name == SAMPLES)
        out |= _quantiles_out(panel, source, drawn, np.nan_to_num(values(counted)))
    else:
        drawn = [
            _of_the_known_time(of, source) if isinstance(line.expression, Rate) else of
            for line, of in zip(panel.lines, drawn, strict=True)
        ]
        out["series"] = [_line_out(line, of) for line, of in zip(panel.lines, drawn, strict=True)]
    return out


def _of_the_known_time(rates: Floats, source: Source) -> Floats:
    """Rates per second of the part of each window that the source has seen.

    PromQL divides by the whole window: of a source that is five minutes old, a point of a week,
    which covers a quarter of an hour, would show a third of the true rate.
    """
    grid = source.grid
    known = grid.times - source.since + grid.resolution / 2
    # Where there is something from before, as after an import, it is not young.
    known = np.where(known > 0, np.clip(known, grid.resolution, grid.window), grid.window)
    return rates * grid.window / known


def _quantiles_out(
    panel: Panel, source: Source, interpolated: list[Floats], counts: Floats
) -> dict[str, object]:
    """The lines of a panel of quantiles, and how far to trust them."""
    out: dict[str, object] = {"bounds": panel.bounds}
    lowest, largest = panel.bounds or (-math.inf, math.inf)
    # In the first bucket, as in the last one, only the bound is known.
    drawn = [np.maximum(values, lowest) for values in interpolated]
    clipped = [values == largest for values in drawn]
    observations = source.recent.get(panel.histogram or "")
    if observations is not None:
        times, window = source.grid.times, source.grid.window
        is_exact = observations.covers(times, window)
        quantiles = [e.quantile for e in panel.expressions if isinstance(e, Quantile)]
        exact = observations.quantiles(quantiles, times, window)
        drawn = list(np.where(is_exact, exact, drawn))
        clipped = list(clipped & ~is_exact)
        counts = np.where(is_exact, observations.count(times, window), counts)
        out["exact_since"] = float(times[is_exact][0]) if is_exact.any() else None
    out["series"] = [
        _line_out(line, values) | ({"is_clipped": True} if is_clipped.any() else {})
        for line, values, is_clipped in zip(panel.lines, drawn, clipped, strict=True)
    ]
    out["samples"] = counts.round().astype(int).tolist()
    return out


def _line_out(line: Line, values: Floats) -> dict[str, object]:
    # Six decimals: microseconds, and half the bytes of full floats.
    rounded = [None if math.isnan(value) else value for value in np.round(values, 6).tolist()]
    return {"name": line.name, "labels": line.labels, "values": rounded}
