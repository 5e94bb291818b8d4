"""The Alerts page: objectives, alerts, and the text of the runbooks.

They come from Prometheus or, without one, from the service's own last hour.
"""

import re
import time
from functools import cache
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from llm_service.api.dependencies import CurrentServices, MetricsKey
from llm_service.errors import NotFound
from llm_service.observability.alerts import read_alerts, read_objectives
from llm_service.observability.history import KEPT_REQUESTS
from llm_service.observability.own_alerts import own_alerts, own_objectives
from llm_service.observability.prometheus import PrometheusUnavailable

RUNBOOKS = Path(__file__).parent.parent.parent / "docs" / "runbooks.md"
NO_PROMETHEUS = (
    "No Prometheus is set, which would judge 7 days and see a service that is down."
    " Start the whole stack with `docker compose up`, or set LLM_PROMETHEUS_URL to a Prometheus"
    " that runs with prometheus/prometheus.yml."
)


class BurnRateOut(BaseModel):
    window: str
    value: float | None


class BudgetOut(BaseModel):
    times: list[float]
    budget_left: list[float | None]


class ObjectiveOut(BaseModel):
    """Values are for the last `window_seconds`, and null without traffic.

    `budget_left_ratio` below 0: more than the budget is spent.
    """

    name: Literal["availability", "ttft"]
    title: str
    target: float
    window_seconds: int
    good_ratio: float | None
    budget_left_ratio: float | None
    num_requests: float | None
    burn_rates: list[BurnRateOut]
    history: BudgetOut


class AlertOut(BaseModel):
    """`since`, `value` and `description` belong to an active alert, not to an inactive rule."""

    name: str
    severity: str
    state: Literal["firing", "pending", "inactive"]
    since: float | None
    value: str
    summary: str
    description: str
    runbook_url: str
    query: str


class AlertsOut(BaseModel):
    """`reason` says why the source is not Prometheus. Times are unix seconds.

    `history` is the service's own last hour: the same thresholds, as far as an hour can judge them.
    """

    source: Literal["prometheus", "history"]
    reason: str
    now: float
    objectives: list[ObjectiveOut]
    alerts: list[AlertOut]


class RunbookOut(BaseModel):
    name: str
    markdown: str


# Plain functions: they run in worker threads, off the event loop.
router = APIRouter()


@router.get("/api/alerts", response_model=AlertsOut)
def alerts(key: MetricsKey, services: CurrentServices) -> dict[str, object]:
    """Return the objectives with their budgets, and the alerts, the worst first."""
    now, prometheus, reason = time.time(), services.prometheus, NO_PROMETHEUS
    if prometheus is not None:
        try:
            found = {
                "objectives": read_objectives(prometheus, now),
                "alerts": read_alerts(prometheus),
            }
            return {"source": "prometheus", "reason": "", "now": now, **found}
        except PrometheusUnavailable as error:
            reason = str(error)
    samples = services.history.samples()
    records = services.history.recent_requests(KEPT_REQUESTS)
    capacity = sum(model.info.max_waiting for model in services.models)
    return {
        "source": "history",
        "reason": reason,
        "now": now,
        "objectives": own_objectives(samples, now),
        "alerts": own_alerts(samples, records, now, capacity),
    }


@router.get("/api/runbooks/{name}", response_model=RunbookOut)
def runbook(name: str, key: MetricsKey) -> RunbookOut:
    """Return what to do about the alert `name`: its section of docs/runbooks.md, in Markdown."""
    markdown = read_runbooks().get(name.lower())
    if markdown is None:
        raise NotFound(f"There is no runbook {name[:40]!r}.", param="name")
    return RunbookOut(name=name, markdown=markdown)


@cache
def read_runbooks() -> dict[str, str]:
    """The sections by their anchors, which are the alerts' names in small letters."""
    if not RUNBOOKS.exists():  # an installed package has no docs
        return {}
    text = RUNBOOKS.read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name.lower(): body.strip() for name, body in sections}
