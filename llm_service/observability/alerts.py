"""What Prometheus says of the objectives and the alerts; the rules are in prometheus/rules.

It decides nothing: the thresholds and windows are the rules' own.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from llm_service.observability.grid import Grid
from llm_service.observability.prometheus import MAX_RANGE_SECONDS, Prometheus

TARGET = 0.99
BURN_WINDOWS = ("5m", "1h", "30m", "6h", "2h", "1d", "3d")
HISTORY_STEP_SECONDS = 900
STATES = {"firing": 0, "pending": 1, "inactive": 2}


@dataclass(frozen=True, slots=True)
class Objective:
    """`burn_rate` and `counted` are recorded series; their windows are at the end of the name."""

    name: str
    title: str
    burn_rate: str
    counted: str


OBJECTIVES = (
    Objective(
        "availability",
        "99 % of requests are answered",
        "job:llm_availability:burn_rate",
        "job:llm_requests_eligible:increase",
    ),
    Objective(
        "ttft",
        "99 % of first tokens within 2 s",
        "job:llm_ttft:burn_rate",
        "job:llm_first_tokens:increase",
    ),
)


def read_objectives(prometheus: Prometheus, now: float) -> list[dict[str, object]]:
    """Raises PrometheusUnavailable."""
    names = [
        name
        for objective in OBJECTIVES
        for name in (
            *(f"{objective.burn_rate}{window}" for window in (*BURN_WINDOWS, "7d")),
            f"{objective.counted}7d",
        )
    ]
    samples = prometheus.samples(f'{{__name__=~"{"|".join(names)}"}}')
    values = {sample.labels["__name__"]: sample.value for sample in samples}
    since = max(prometheus.target().since, now - MAX_RANGE_SECONDS)
    range_seconds = max(HISTORY_STEP_SECONDS, int(now - since))
    grid = Grid.until(now, range_seconds, HISTORY_STEP_SECONDS)
    lines = prometheus.lines(
        [
            f'label_replace(max(1 - {objective.burn_rate}7d), "line", "left", "", "")'
            for objective in OBJECTIVES
        ],
        grid,
    )
    return [
        _objective_out(objective, values, grid, line)
        for objective, line in zip(OBJECTIVES, lines, strict=True)
    ]


def _objective_out(
    objective: Objective, values: dict[str, float], grid: Grid, line: dict[str, Any]
) -> dict[str, object]:
    burned = values.get(f"{objective.burn_rate}7d")
    left = line.get("left", np.full(len(grid.times), np.nan))
    return {
        "name": objective.name,
        "title": objective.title,
        "target": TARGET,
        "window_seconds": MAX_RANGE_SECONDS,
        "good_ratio": None if burned is None else 1 - burned * (1 - TARGET),
        "budget_left_ratio": None if burned is None else 1 - burned,
        "num_requests": values.get(f"{objective.counted}7d"),
        "burn_rates": [
            {"window": window, "value": values.get(f"{objective.burn_rate}{window}")}
            for window in BURN_WINDOWS
        ],
        "history": {
            "times": grid.times.tolist(),
            "budget_left": [None if np.isnan(value) else value for value in left.tolist()],
        },
    }


def read_alerts(prometheus: Prometheus) -> list[dict[str, object]]:
    """Every active alert, and every rule that has none; the worst first.

    Raises PrometheusUnavailable.
    """
    alerts = [
        _alert_out(rule, alert)
        for rule in prometheus.alerting_rules()
        for alert in (rule["alerts"] or [None])
    ]
    return sorted(alerts, key=lambda alert: (STATES[str(alert["state"])], alert["severity"]))


def _alert_out(rule: dict[str, Any], alert: dict[str, Any] | None) -> dict[str, object]:
    annotations = rule["annotations"] if alert is None else alert["annotations"]
    return {
        "name": rule["name"],
        "severity": rule["labels"].get("severity", "ticket"),
        "state": "inactive" if alert is None else alert["state"],
        "since": None if alert is None else datetime.fromisoformat(alert["activeAt"]).timestamp(),
        "value": "" if alert is None else alert["value"],
        "summary": annotations.get("summary", ""),
        # The values in it are filled in when it is active.
        "description": "" if alert is None else annotations.get("description", ""),
        "runbook_url": annotations.get("runbook_url", ""),
        "query": rule["query"],
    }
