"""The answer of GET /api/series: the panels' lines at the points of a grid.

The numbers come from Prometheus or, computed as PromQL would compute them, from the own
history: the same shape, with its source. None where there were no samples, which is not 0.
"""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from llm_service.observability.expressions import Query
from llm_service.observability.grid import MAX_POINTS, Grid
from llm_service.observability.history import KEPT_SECONDS, RESOLUTION_SECONDS
from llm_service.observability.panels import PANELS, SAMPLES, Line, Panel, clipped_at
from llm_service.observability.prometheus import MAX_RANGE_SECONDS, Prometheus
from llm_service.observability.rates import Floats, Samples

__all__ = ["MAX_POINTS", "PANELS", "Grid", "query_panels", "query_prometheus"]

Values = Callable[[Line], Floats]


def query_panels(
    samples: Samples, now: float, range_seconds: int, names: Iterable[str], note: str = ""
) -> dict[str, object]:
    """From the own history, ready for JSON; `names` are keys of PANELS.

    `note` says why it is not from Prometheus, where it should be.
    """
    grid = Grid.until(now, range_seconds, RESOLUTION_SECONDS)
    query = Query(samples, grid)
    source = {
        "kind": "history",
        "since": samples.times[0],
        "resolution_seconds": RESOLUTION_SECONDS,
        "max_range_seconds": KEPT_SECONDS,
        "note": note,
    }
    panels = {
        name: _panel_out(PANELS[name], lambda line: line.expression.values(query)) for name in names
    }
    return _answer(source, grid, panels)


def query_prometheus(
    prometheus: Prometheus, now: float, range_seconds: int, names: Iterable[str]
) -> dict[str, object]:
    """From Prometheus, ready for JSON. Raises PrometheusUnavailable, in words."""
    target = prometheus.target()
    grid = Grid.until(now, range_seconds, target.scrape_seconds)
    names = list(names)
    lines = prometheus.lines([PANELS[name].promql(f"{grid.window}s") for name in names], grid)
    source = {
        "kind": "prometheus",
        "since": target.since,
        "resolution_seconds": target.scrape_seconds,
        "max_range_seconds": MAX_RANGE_SECONDS,
        "note": "",
    }
    panels = {
        name: _panel_out(PANELS[name], _drawn(by_name, grid))
        for name, by_name in zip(names, lines, strict=True)
    }
    return _answer(source, grid, panels)


def _drawn(by_name: dict[str, Floats], grid: Grid) -> Values:
    """The values from Prometheus; no values for a line that is missing there."""
    nothing = np.full(len(grid.times), np.nan)
    return lambda line: by_name.get(line.name, nothing)


def _answer(
    source: dict[str, object], grid: Grid, panels: dict[str, dict[str, object]]
) -> dict[str, object]:
    return {
        "source": source,
        "start": grid.times[0],
        "end": grid.times[-1],
        "step_seconds": grid.step,
        "times": grid.times.tolist(),
        "panels": panels,
    }


def _panel_out(panel: Panel, values: Values) -> dict[str, object]:
    out: dict[str, object] = {"title": panel.title, "unit": panel.unit}
    drawn = [values(line) for line in panel.lines]
    if panel.is_heatmap:
        # Each count is extrapolated, so a difference may be slightly negative.
        drawn[1:] = [np.maximum(here - below, 0) for below, here in pairwise(drawn)]
    out["series"] = [_line_out(line, of) for line, of in zip(panel.lines, drawn, strict=True)]
    if panel.histogram is not None:
        (counted,) = (line for line in panel.queried if line.name == SAMPLES)
        out["samples"] = np.nan_to_num(values(counted)).round().astype(int).tolist()
    return out


def _line_out(line: Line, values: Floats) -> dict[str, object]:
    # Six decimals: microseconds, and half the bytes of full floats.
    rounded = [None if math.isnan(value) else value for value in np.round(values, 6).tolist()]
    out: dict[str, object] = {"name": line.name, "labels": line.labels, "values": rounded}
    if (values == clipped_at(line)).any():
        out["is_clipped"] = True
    return out
