"""The endpoints for the dashboard and Prometheus: /metrics, /api/status and /api/series."""

import json
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from pydantic import BaseModel
from starlette.responses import Response

from llm_service import __version__
from llm_service.access.api_key import ApiKey
from llm_service.api.dependencies import (
    CurrentKey,
    CurrentServices,
    HistoryDep,
    MetricsDep,
    MetricsKey,
    PrometheusDep,
)
from llm_service.api.engine import EngineOut, ModelOut, engine_out, model_out
from llm_service.api.responses import JSON, compressed
from llm_service.api.window import WindowDep
from llm_service.errors import InvalidRequest
from llm_service.observability.history import KEPT_SECONDS, History
from llm_service.observability.key_series import query_key, query_key_of_prometheus
from llm_service.observability.prometheus import (
    MAX_RANGE_SECONDS,
    Prometheus,
    PrometheusUnavailable,
)
from llm_service.observability.series import PANELS, query_panels, query_prometheus

DEFAULT_RANGE_SECONDS = 300

router = APIRouter()


class HealthOut(BaseModel):
    is_ready: bool
    reason: str


class CallerOut(BaseModel):
    name: str
    scopes: list[str]
    rpm: int


class LimitsOut(BaseModel):
    storage: str


class StatusOut(BaseModel):
    """`model` and `engine` are null while the model loads. Times are unix seconds.

    If `requires_keys` is false, a caller without a key gets the key `anonymous`.
    """

    version: str
    now: float
    started_at: float
    health: HealthOut
    requires_keys: bool
    key: CallerOut
    model: ModelOut | None
    engine: EngineOut | None
    limits: LimitsOut


class LineOut(BaseModel):
    """A value without samples is null. `is_clipped`: some values lie beyond the largest bucket."""

    name: str
    labels: dict[str, str]
    values: list[float | None]
    is_clipped: bool = False


class PanelOut(BaseModel):
    """`samples` and `bounds` are those of quantiles, and null elsewhere.

    From `exact_since` on, a quantile is one of the values that were observed. An earlier one, or
    each if it is null, is interpolated inside a bucket of its histogram. `bounds` are the lowest
    and the largest bound of the buckets: such a value is only known to be at most the lowest, or
    at least the largest, if it equals it.
    """

    title: str
    unit: str
    series: list[LineOut]
    samples: list[int] | None = None
    bounds: list[float] | None = None
    exact_since: float | None = None


class SourceOut(BaseModel):
    """`kind` is `prometheus` or `history`; `note` says why a Prometheus that is set is not used."""

    kind: str
    since: float
    resolution_seconds: int
    max_range_seconds: int
    note: str = ""


class SeriesOut(BaseModel):
    """`key_names` are the keys that this process has seen: what `key_name` can be."""

    source: SourceOut
    start: float
    end: float
    step_seconds: int
    times: list[float]
    panels: dict[str, PanelOut]
    key_names: list[str] = []


# Plain functions: they run in worker threads, off the event loop.
@router.get("/metrics", response_class=Response)
def metrics(request: Request, key: MetricsKey, counts: MetricsDep) -> Response:
    """Prometheus text 0.0.4, or OpenMetrics (with exemplars) where it is accepted."""
    registry = counts.registry
    if "application/openmetrics-text" in request.headers.get("accept", ""):
        body = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        media_type = openmetrics.CONTENT_TYPE_LATEST
    else:
        body, media_type = generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
    return compressed(request, body, media_type)


@router.get("/api/status", response_model=StatusOut)
def status(key: CurrentKey, services: CurrentServices) -> StatusOut:
    """Return the present state of the service, the model and the engine, and the caller's key."""
    model, reason = services.models.default, services.models.not_ready_reason()
    return StatusOut(
        version=__version__,
        now=time.time(),
        started_at=services.facts.started_at,
        health=HealthOut(is_ready=reason is None, reason=reason or ""),
        requires_keys=services.authenticator.requires_keys,
        key=_caller_out(key),
        model=None if model is None else model_out(model),
        engine=None if model is None else engine_out(model),
        limits=LimitsOut(storage=services.limiter.storage),
    )


@router.get("/api/series", response_model=SeriesOut)
def series(
    request: Request,
    key: MetricsKey,
    history: HistoryDep,
    prometheus: PrometheusDep,
    window: WindowDep,
    range_seconds: Annotated[int | None, Query(ge=10, le=MAX_RANGE_SECONDS)] = None,
    panels: Annotated[str, Query(description="Comma-separated; all by default.")] = "",
    key_name: Annotated[
        str | None, Query(pattern=r"^[a-z0-9_-]{1,32}$", description="Only this key's requests.")
    ] = None,
) -> Response:
    """Return panels for the last `range_seconds` (300), or from `start` to `end`.

    They come from Prometheus or the service's own history. With `key_name`, panels that cannot be
    told by key are left out.
    """
    names = [name for name in panels.split(",") if name] or list(PANELS)
    unknown = [name for name in names if name not in PANELS]
    if unknown:
        raise InvalidRequest(
            f"There is no panel {unknown[0][:40]!r}. Panels: {', '.join(PANELS)}.", param="panels"
        )
    if window is None:
        span = Span(time.time(), DEFAULT_RANGE_SECONDS if range_seconds is None else range_seconds)
    elif range_seconds is None:
        span = Span(window.end, max(1, round(window.end - window.start)), is_past=True)
    else:
        raise InvalidRequest("Send either range_seconds, or start and end.", param="range_seconds")
    answer = _series(prometheus, history, span, names, key_name)
    answer["key_names"] = history.keys.names()
    body = json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()
    return compressed(request, body, JSON)


@dataclass(frozen=True, slots=True)
class Span:
    """The `seconds` before `end`. `is_past`: it was asked for by its ends."""

    end: float
    seconds: int
    is_past: bool = False


def _series(
    prometheus: Prometheus | None,
    history: History,
    span: Span,
    names: list[str],
    key_name: str | None,
) -> dict[str, object]:
    note = ""
    if prometheus is not None:
        try:
            if key_name is None:
                return query_prometheus(prometheus, span.end, span.seconds, names)
            return query_key_of_prometheus(
                prometheus, history.keys, key_name, span.end, span.seconds, names
            )
        except PrometheusUnavailable as error:
            note = str(error)
    else:
        _check_kept(span)
    seconds = min(span.seconds, KEPT_SECONDS)
    if key_name is None:
        return query_panels(
            history.samples(), span.end, seconds, names, note, history.observations()
        )
    return query_key(history.keys, key_name, span.end, seconds, names, note)


def _check_kept(span: Span) -> None:
    """Raise InvalidRequest if the service's own history cannot answer."""
    keeps = f"the service itself keeps only the last {KEPT_SECONDS} s."
    if span.seconds > KEPT_SECONDS:
        name = "end - start" if span.is_past else "range_seconds"
        raise InvalidRequest(
            f"{name} is {span.seconds}, but {keeps}"
            f" With LLM_PROMETHEUS_URL it can be up to {MAX_RANGE_SECONDS}.",
            param="start" if span.is_past else "range_seconds",
        )
    if span.end < time.time() - KEPT_SECONDS:
        raise InvalidRequest(
            f"This window has passed: {keeps} With LLM_PROMETHEUS_URL it shows older windows.",
            param="end",
        )


def _caller_out(key: ApiKey) -> CallerOut:
    return CallerOut(name=key.name, scopes=sorted(key.scopes), rpm=key.rpm)
