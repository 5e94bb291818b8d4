"""GET /api/now: what the service itself knows of the last minute, and how earlier runs ended."""

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from llm_service.api.dependencies import CurrentServices, MetricsKey, Services
from llm_service.engine import Timings
from llm_service.observability.history import KEPT_REQUESTS
from llm_service.observability.now import (
    FirstToken,
    LatencyNow,
    Minute,
    first_token_of,
    first_tokens,
    mean,
    memory_now,
    seconds_held,
    seconds_without_progress,
)
from llm_service.observability.rates import Floats, Samples
from llm_service.observability.run_file import EndedRun
from llm_service.observability.snapshot import COLUMNS

router = APIRouter()

State = Literal["loading", "load_failed", "ready", "not_ready", "draining", "drained"]


class RequestsNow(BaseModel):
    """`failed` of `counted` requests were not answered: the objective of availability.

    Requests beyond a limit, invalid or cancelled ones, and those during loading are not counted.
    """

    total: int
    per_second: float
    by_outcome: dict[str, int]
    counted: int
    failed: int


class RefusedNow(BaseModel):
    """Refused requests by reason. `limit`: a key's limit was spent; `invalid`: the caller's error.

    `unavailable`: the engine was not ready, or the service was stopping.
    """

    limit: int
    queue_full: int
    loading: int
    unavailable: int
    invalid: int


class LimitsNow(BaseModel):
    """Refusals by the limit that was spent. `ip`: of callers without a valid key, by address.

    `storage` says where limits are counted, `redis_away_seconds` for how long without Redis.
    """

    requests: int
    concurrency: int
    ip: int
    refused: int
    storage: str
    redis_away_seconds: float | None


class QuantileOut(BaseModel):
    """`bound`: the value is only known to be below (<) or above (>) `seconds`."""

    seconds: float
    bound: Literal["", "<", ">"]


class LatencyOut(BaseModel):
    """The quantiles of `count` observations in the last `window_seconds`; null without any."""

    count: int
    window_seconds: float
    p50: QuantileOut | None
    p95: QuantileOut | None
    p99: QuantileOut | None


class FirstTokenOut(LatencyOut):
    """Exact. The means are those of the same requests.

    `longest_wait_seconds`: of a request that still has no token; null if none waits.
    """

    mean_queue_seconds: float | None
    mean_prefill_seconds: float | None
    longest_wait_seconds: float | None


class EngineNow(BaseModel):
    """Sequences of all models. `stalled_seconds`: there was work, but nothing was computed."""

    running: int
    waiting: int
    slots: int
    max_waiting: int
    output_tokens_per_second: float
    stalled_seconds: float


class MemoryOut(BaseModel):
    """`total_bytes` is the process' resident memory, and the five parts add up to it.

    `held_bytes` is the total without `file_bytes`: mapped files, which the kernel can drop.
    """

    total_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    other_bytes: int
    file_bytes: int
    held_bytes: int
    limit_bytes: int


class EndedRunOut(BaseModel):
    """A run of the service before this one. `num_cut` requests were cut off by its end.

    `detail` is a signal's name or the error of a crash, where it is known. `out_of_memory`: the
    kernel killed a process of this machine for its memory, probably this one.
    """

    started_at: float
    ended_at: float
    reason: Literal["stopped", "killed", "crashed", "out_of_memory", "machine_restarted"]
    detail: str
    num_cut: int


class RunsOut(BaseModel):
    """`crashes` of the last 7 days, the newest first. `problem`: why nothing could be kept."""

    started_at: float
    previous: EndedRunOut | None
    crashes: list[EndedRunOut]
    problem: str


class NowOut(BaseModel):
    """The last `window_seconds`: a minute, or less after a start. Times are unix seconds."""

    now: float
    window_seconds: float
    state: State
    reason: str
    requests: RequestsNow
    refused: RefusedNow
    limits: LimitsNow
    ttft: FirstTokenOut
    inter_token: LatencyOut
    engine: EngineNow
    memory: MemoryOut
    runs: RunsOut


# A plain function: it runs in a worker thread, off the event loop.
@router.get("/api/now", response_model=NowOut)
def now(key: MetricsKey, services: CurrentServices) -> NowOut:
    """Return the last minute of this process, on any range and with or without Prometheus."""
    samples, row, at = services.history.moment()
    minute = Minute(samples, row, at)
    state, reason = _state(services)
    return NowOut(
        now=at,
        window_seconds=minute.seconds,
        state=state,
        reason=reason,
        requests=_requests(minute),
        refused=RefusedNow(**minute.refusals()),
        limits=_limits(services, minute, samples),
        ttft=_ttft(services, minute),
        inter_token=LatencyOut(**_latency(minute.gaps())),
        engine=_engine(services, minute, samples, row, at),
        memory=_memory(minute),
        runs=_runs(services),
    )


def _state(services: Services) -> tuple[State, str]:
    models = services.models
    reason = models.not_ready_reason() or ""
    if models.is_stopping:
        has_work = any(True for _ in services.running)
        return "draining" if has_work else "drained", "The service is stopping."
    if models.default is None:
        return "load_failed" if models.has_failed else "loading", reason
    return "not_ready" if reason else "ready", reason


def _requests(minute: Minute) -> RequestsNow:
    outcomes, refused = minute.outcomes(), minute.refusals()
    total = sum(outcomes.values())
    own_refusals = refused["queue_full"] + refused["unavailable"]
    return RequestsNow(
        total=total,
        per_second=total / minute.seconds,
        by_outcome=outcomes,
        counted=total - outcomes["cancelled"] - outcomes["rejected"] + own_refusals,
        failed=outcomes["error"] + outcomes["timeout"] + own_refusals,
    )


def _limits(services: Services, minute: Minute, samples: Samples) -> LimitsNow:
    up = samples.values[:, COLUMNS["llm_redis_up", ""]]
    away = seconds_held(samples.times, up == 0, time.time())
    is_away = services.limiter.storage == "in-process (redis is away)"
    return LimitsNow(
        **minute.limits(),
        storage=services.limiter.storage,
        redis_away_seconds=away if is_away else None,
    )


def _ttft(services: Services, minute: Minute) -> FirstTokenOut:
    at = time.time()
    records = services.history.recent_requests(KEPT_REQUESTS)
    known_since = services.history.requests_complete_since()
    window = min(minute.seconds, max(0.0, at - known_since))
    running = list(services.running)
    tokens = [
        *(first_token_of(record) for record in records),
        *(_running_first_token(each.record.started_at, each.timings) for each in running),
    ]
    latency, found = first_tokens((token for token in tokens if token is not None), at, window)
    waits = [
        each.elapsed_seconds
        for each in running
        if each.timings.first_token is None and each.record.operation != "embedding"
    ]
    return FirstTokenOut(
        **_latency(latency),
        mean_queue_seconds=mean(token.queue_seconds for token in found),
        mean_prefill_seconds=mean(token.prefill_seconds for token in found),
        longest_wait_seconds=max(waits, default=None),
    )


def _running_first_token(started_at: float, timings: Timings) -> FirstToken | None:
    if timings.ttft_seconds is None:
        return None
    at = started_at + timings.ttft_seconds
    return FirstToken(at, timings.ttft_seconds, timings.queue_seconds, timings.prefill_seconds)


def _latency(latency: LatencyNow) -> dict[str, object]:
    return {
        "count": latency.count,
        "window_seconds": latency.window_seconds,
        **{
            name: None
            if (value := getattr(latency, name)) is None
            else QuantileOut(seconds=value.seconds, bound=value.bound)
            for name in ("p50", "p95", "p99")
        },
    }


def _engine(
    services: Services, minute: Minute, samples: Samples, row: Floats, at: float
) -> EngineNow:
    models = list(services.models)
    statuses = [model.engine.status() for model in models]
    return EngineNow(
        running=sum(status.num_running for status in statuses),
        waiting=sum(status.num_waiting for status in statuses),
        slots=sum(model.info.max_batch_size for model in models),
        max_waiting=sum(model.info.max_waiting for model in models),
        output_tokens_per_second=minute.gained("llm_output_tokens_total") / minute.seconds,
        stalled_seconds=seconds_without_progress(samples, row, at),
    )


def _memory(minute: Minute) -> MemoryOut:
    memory = memory_now(minute.value)
    return MemoryOut(
        total_bytes=int(memory.total_bytes),
        held_bytes=int(memory.held_bytes),
        limit_bytes=int(memory.limit_bytes),
        **{f"{part}_bytes": int(num_bytes) for part, num_bytes in memory.parts.items()},
    )


def _runs(services: Services) -> RunsOut:
    run_file = services.run_file
    previous = run_file.previous
    return RunsOut(
        started_at=services.facts.started_at,
        previous=None if previous is None else _run_out(previous),
        crashes=[_run_out(crash) for crash in run_file.crashes],
        problem=run_file.problem,
    )


def _run_out(run: EndedRun) -> EndedRunOut:
    return EndedRunOut(
        started_at=run.started_at,
        ended_at=run.ended_at,
        reason=run.reason,
        detail=run.detail,
        num_cut=run.num_cut,
    )
