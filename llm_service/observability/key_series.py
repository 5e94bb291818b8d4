"""The panels of /api/series for one key: what can be told by key, and nothing else.

Requests and tokens come from Prometheus where one answers. Times to first token and the reasons
of errors are kept by key in this process alone (`key_history.py`): its own last hour.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np

from llm_service.observability.buckets import FIRST_TOKEN
from llm_service.observability.expressions import JOB
from llm_service.observability.grid import Grid
from llm_service.observability.history import KEPT_SECONDS
from llm_service.observability.key_history import FIRST_TOKENS, SLOT_SECONDS, KeyHistory
from llm_service.observability.prometheus import MAX_RANGE_SECONDS, Prometheus
from llm_service.observability.rates import Floats, histogram_quantile
from llm_service.observability.record import ERROR_KINDS, OUTCOMES

KEY_PANELS = ("requests", "ttft", "tokens", "errors")
QUANTILES = (0.5, 0.95, 0.99)
TOKEN_LINES = {"prompt computed": "computed", "prompt cached": "cached", "output": "output"}

Lines = dict[str, Floats]
Answer = dict[str, object]


def query_key(
    history: KeyHistory,
    key_name: str,
    end: float,
    range_seconds: int,
    names: Iterable[str],
    note: str = "",
) -> Answer:
    """From this process alone. Panels that cannot be told by key are left out.

    `note` says why it is not from Prometheus, where it should be.
    """
    grid = Grid.until(end, range_seconds, SLOT_SECONDS)
    source = {
        "kind": "history",
        "since": history.since(),
        "resolution_seconds": SLOT_SECONDS,
        "max_range_seconds": KEPT_SECONDS,
        "note": note,
    }
    return _answer(history, key_name, names, grid, source, {})


def query_key_of_prometheus(
    prometheus: Prometheus,
    history: KeyHistory,
    key_name: str,
    end: float,
    range_seconds: int,
    names: Iterable[str],
) -> Answer:
    """Requests and tokens from Prometheus, the rest as far as this process reaches back.

    Raises PrometheusUnavailable.
    """
    target = prometheus.target()
    grid = Grid.until(end, range_seconds, target.scrape_seconds)
    names = [*names]
    asked = [name for name in names if name in PROMQL]
    lines = prometheus.lines([PROMQL[name](key_name, f"{grid.window}s") for name in asked], grid)
    source = {
        "kind": "prometheus",
        "since": target.since,
        "resolution_seconds": target.scrape_seconds,
        "max_range_seconds": MAX_RANGE_SECONDS,
        "note": "",
    }
    return _answer(history, key_name, names, grid, source, dict(zip(asked, lines, strict=True)))


def _requests_promql(key_name: str, window: str) -> str:
    rate = f"rate(llm_key_requests_total{_of_key(key_name)}[{window}])"
    return f'label_replace(sum by (outcome) ({rate}), "line", "$1", "outcome", "(.*)")'


def _tokens_promql(key_name: str, window: str) -> str:
    def rate(kind: str) -> str:
        selector = _of_key(key_name, f',type="{kind}"')
        return f"sum(rate(llm_key_tokens_total{selector}[{window}]))"

    lines = {
        # Cached tokens are part of the prompt's.
        "prompt computed": f"clamp_min({rate('prompt')} - {rate('cached')}, 0)",
        "prompt cached": rate("cached"),
        "output": rate("output"),
    }
    return " or ".join(
        f'label_replace({promql}, "line", "{name}", "", "")' for name, promql in lines.items()
    )


def _of_key(key_name: str, more: str = "") -> str:
    """`key_name` must be a name of a key: it is written into the query as it is."""
    return f'{{job="{JOB}",key_name="{key_name}"{more}}}'


PROMQL: dict[str, Callable[[str, str], str]] = {
    "requests": _requests_promql,
    "tokens": _tokens_promql,
}


def _answer(
    history: KeyHistory,
    key_name: str,
    names: Iterable[str],
    grid: Grid,
    source: dict[str, object],
    drawn: dict[str, Lines],
) -> Answer:
    def rates(prefix: str, values: Iterable[str]) -> Lines:
        columns = [f"{prefix}:{value}" for value in values]
        counts, seconds = history.counts(key_name, columns, grid.times, grid.window)
        with np.errstate(divide="ignore", invalid="ignore"):
            per_second = counts / seconds[:, None]
        return {value: per_second[:, i] for i, value in enumerate(values)}

    panels: dict[str, object] = {}
    for name in names:
        if name == "requests":
            panels[name] = _panel("Requests", "1/s", drawn.get(name) or rates("outcome", OUTCOMES))
        elif name == "tokens":
            lines = drawn.get(name)
            if lines is None:
                by_kind = rates("tokens", TOKEN_LINES.values())
                lines = {line: by_kind[kind] for line, kind in TOKEN_LINES.items()}
            panels[name] = _panel("Tokens", "1/s", lines)
        elif name == "errors":
            panels[name] = _panel("Errors", "1/s", rates("error", ERROR_KINDS))
        elif name == "ttft":
            panels[name] = _first_token_panel(history, key_name, grid)
    return {
        "source": source,
        "start": grid.times[0],
        "end": grid.times[-1],
        "step_seconds": grid.step,
        "times": grid.times.tolist(),
        "panels": panels,
    }


def _first_token_panel(history: KeyHistory, key_name: str, grid: Grid) -> dict[str, object]:
    counts, _ = history.counts(key_name, FIRST_TOKENS, grid.times, grid.window)
    buckets = np.cumsum(np.nan_to_num(counts), axis=1)
    lines = {f"p{q * 100:g}": histogram_quantile(q, FIRST_TOKEN, buckets) for q in QUANTILES}
    lowest, largest = FIRST_TOKEN[0], FIRST_TOKEN[-1]
    # In the first bucket, as in the last one, only the bound is known.
    lines = {name: np.maximum(values, lowest) for name, values in lines.items()}
    return {
        **_panel("Time to first token", "s", lines),
        "series": [
            {**_line(name, values), "is_clipped": bool((values == largest).any())}
            for name, values in lines.items()
        ],
        "bounds": (lowest, largest),
        "samples": buckets[:, -1].astype(int).tolist(),
    }


def _panel(title: str, unit: str, lines: Lines) -> dict[str, object]:
    return {
        "title": title,
        "unit": unit,
        "series": [_line(name, values) for name, values in lines.items()],
    }


def _line(name: str, values: Floats) -> dict[str, object]:
    rounded = [None if math.isnan(value) else value for value in np.round(values, 6).tolist()]
    return {"name": name, "labels": {}, "values": rounded}
