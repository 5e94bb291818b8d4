"""Objectives and alerts as far as the service's own last hour can judge them, without Prometheus.

The rules are those of prometheus/rules: a test compares thresholds, durations and words. What
needs more than an hour, or another process to see it, is not judged here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from llm_service.observability.alerts import BURN_WINDOWS, OBJECTIVES, STATES, TARGET
from llm_service.observability.history import KEPT_SECONDS, RESOLUTION_SECONDS
from llm_service.observability.rates import Floats, Samples, increase, latest, rate
from llm_service.observability.record import RequestRecord
from llm_service.observability.snapshot import COLUMNS, LABELLED

STEP_SECONDS = 15  # how often Prometheus evaluates the rules
HISTORY_STEP_SECONDS = 60
WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600}
FAST_BURN = 13.44
MIN_REQUESTS = 20
TTFT_OBJECTIVE = "2.0"  # seconds, as the bound of a bucket

Grid = Floats


class Hour:
    """The last hour at evenly spaced times, oldest first; the last one is now."""

    def __init__(self, samples: Samples, now: float, step: int = STEP_SECONDS) -> None:
        self._samples = samples
        since = max(float(samples.times[0]), now - KEPT_SECONDS)
        self.since = since
        self.times: Grid = now - step * np.arange(int((now - since) // step), -1, -1.0)

    def value(self, name: str, label: str = "") -> Floats:
        window = 5 * RESOLUTION_SECONDS
        return latest(self._column([(name, label)]), self.times, window)[:, 0]

    def rate(self, name: str, label: str, window: int) -> Floats:
        return rate(self._column([(name, label)]), self.times, window)[:, 0]

    def increase(self, names: Sequence[tuple[str, str]], window: int) -> Floats:
        """What the counters gained together in each window, from a sample to a sample."""
        found = increase(self._column(names), self.times, window)
        total: Floats = np.nan_to_num(found).sum(axis=1)
        return total

    def _column(self, names: Sequence[tuple[str, str]]) -> Samples:
        columns = [COLUMNS[name] for name in names]
        return Samples(self._samples.times, self._samples.values[:, columns])


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A rule of prometheus/rules/alerts.yml: `value` above `threshold` for `for_seconds`.

    `describe` makes a sentence of the value.
    """

    name: str
    severity: str
    summary: str
    threshold: float
    for_seconds: int
    value: Callable[[Hour], Floats]
    describe: Callable[[float], str]
    query: str


def _percent(value: float) -> str:
    return f"{value * 100:.0f} %"


def _share(over: Floats, under: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Floats = np.where(under > 0, over / under, np.nan)
        return share


def _not_ready(hour: Hour) -> Floats:
    has_none: Floats = np.where(hour.value("llm_slots") > 0, 0.0, 1.0)
    return has_none


def _availability(hour: Hour, window: int) -> tuple[Floats, Floats]:
    """The failed and the counted requests of each window."""
    outcomes = {
        outcome: hour.increase([("llm_requests_total", outcome)], window)
        for outcome in LABELLED["llm_requests_total"][1]
    }
    kinds = ("validation", "context_length", "rate_limit", "loading")
    excused = hour.increase([("llm_request_errors_total", kind) for kind in kinds], window)
    own_refusals = np.maximum(outcomes["rejected"] - excused, 0)
    failed = outcomes["error"] + outcomes["timeout"] + own_refusals
    everything = np.sum(list(outcomes.values()), axis=0)
    return failed, everything - outcomes["cancelled"] - outcomes["rejected"] + own_refusals


def _first_tokens(hour: Hour, window: int) -> tuple[Floats, Floats]:
    """The first tokens of each window that were late, and all."""
    name = "llm_time_to_first_token_seconds_bucket"
    counted = hour.increase([(name, "+Inf")], window)
    return counted - hour.increase([(name, TTFT_OBJECTIVE)], window), counted


COUNTS = {"availability": _availability, "ttft": _first_tokens}


def _burn_rate(counts: tuple[Floats, Floats]) -> Floats:
    return _share(*counts) / (1 - TARGET)


def _fast_burn(name: str) -> Callable[[Hour], Floats]:
    """The slower of the two burn rates; none where the hour has too few requests."""

    def value(hour: Hour) -> Floats:
        bad, counted = COUNTS[name](hour, WINDOWS["1h"])
        long, short = _burn_rate((bad, counted)), _burn_rate(COUNTS[name](hour, WINDOWS["5m"]))
        return np.where(counted >= MIN_REQUESTS, np.minimum(long, short), np.nan)

    return value


def _stalled(hour: Hour) -> Floats:
    """The waiting sequences, where no token came for a minute."""
    tokens = hour.increase([("llm_output_tokens_total", "")], 60)
    return np.where(tokens == 0, hour.value("llm_requests_waiting"), 0)


def _refused_per_second(hour: Hour) -> Floats:
    name = "llm_rate_limit_rejections_total"
    return hour.increase([(name, limit) for limit in LABELLED[name][1]], 300) / 300


def _kv_share(hour: Hour) -> Floats:
    return _share(hour.value("llm_kv_cache_used_bytes"), hour.value("llm_kv_cache_capacity_bytes"))


def _memory_share(hour: Hour) -> Floats:
    held = sum(hour.value("llm_process_memory_bytes", kind) for kind in ("anon", "shmem"))
    return _share(np.asarray(held), hour.value("llm_memory_limit_bytes"))


def _throttled_share(hour: Hour) -> Floats:
    throttled = hour.rate("llm_cpu_throttled_seconds_total", "", 300)
    return _share(throttled, hour.value("llm_cpu_limit_cores"))


def _redis_away(hour: Hour) -> Floats:
    is_away: Floats = np.where(hour.value("llm_redis_up") == 0, 1.0, 0.0)
    return is_away


def own_rules(queue_capacity: int) -> tuple[OwnRule, ...]:
    """The rules, the objectives' first. `queue_capacity` is what the engine's queue can hold."""
    return (
        OwnRule(
            "AvailabilityBurn",
            "page",
            "Requests fail so often that the week's budget is gone within days",
            FAST_BURN,
            0,
            _fast_burn("availability"),
            lambda value: (
                "In the last hour, and in its last 5 minutes, at least"
                f" {value:.1f} % of the requests failed or were refused; 1 % may."
            ),
            f"burn rate of the last hour and of 5 minutes > {FAST_BURN}",
        ),
        OwnRule(
            "TTFTBurn",
            "page",
            "First tokens are late so often that the week's budget is gone within days",
            FAST_BURN,
            0,
            _fast_burn("ttft"),
            lambda value: (
                "In the last hour, and in its last 5 minutes, at least"
                f" {value:.1f} % of the first tokens came later than 2 s; 1 % may."
            ),
            f"burn rate of the last hour and of 5 minutes > {FAST_BURN}",
        ),
        OwnRule(
            "NotReady",
            "page",
            "The service runs but takes no requests",
            0,
            300,
            _not_ready,
            lambda _: "No model has been loaded for 5 minutes.",
            "llm_slots == 0",
        ),
        OwnRule(
            "ServingStalled",
            "page",
            "Requests wait and no token comes out",
            0,
            60,
            _stalled,
            lambda value: f"{value:.0f} sequences wait, and none got a token for 2 minutes.",
            "llm_requests_waiting > 0 and no output token in 1m",
        ),
        OwnRule(
            "RateLimitSurge",
            "ticket",
            "A key is refused again and again",
            1,
            300,
            _refused_per_second,
            lambda value: (
                f"All keys together are refused {value:.1f} times a second because"
                " their limits are spent."
            ),
            "rejections by limits per second over 5m, of all keys together > 1",
        ),
        OwnRule(
            "QueueNearFull",
            "ticket",
            "The queue is nearly full, and requests will be refused",
            0.8,
            120,
            lambda hour: hour.value("llm_requests_waiting") / max(queue_capacity, 1),
            lambda value: f"{_percent(value)} of the queue is taken.",
            "llm_requests_waiting / llm_queue_capacity > 0.8",
        ),
        OwnRule(
            "KVCacheNearFull",
            "ticket",
            "The KV cache is nearly full, and sequences lose their work to others",
            0.95,
            600,
            _kv_share,
            lambda value: f"Sequences hold {_percent(value)} of the KV cache.",
            "llm_kv_cache_used_bytes / llm_kv_cache_capacity_bytes > 0.95",
        ),
        OwnRule(
            "MemoryNearLimit",
            "page",
            "The service is about to be killed for its memory",
            0.9,
            300,
            _memory_share,
            lambda value: f"The service holds {_percent(value)} of the memory that it may use.",
            "anonymous and shared memory / llm_memory_limit_bytes > 0.9",
        ),
        OwnRule(
            "CPUThrottled",
            "ticket",
            "The CPU quota holds the service back",
            0.1,
            600,
            _throttled_share,
            lambda value: (
                f"The service was held back for {_percent(value)} of the CPU time of its quota."
            ),
            "throttled seconds per second over 5m / llm_cpu_limit_cores > 0.1",
        ),
        OwnRule(
            "RedisDown",
            "ticket",
            "Limits are no longer shared through Redis",
            0,
            60,
            _redis_away,
            lambda _: (
                "Redis has not been reached for a minute: this process counts limits for itself."
            ),
            "llm_redis_up == 0",
        ),
    )


MID_STREAM_ERRORS = 5
MID_STREAM_SECONDS = 600


def own_alerts(
    samples: Samples, records: Sequence[RequestRecord], now: float, queue_capacity: int
) -> list[dict[str, object]]:
    """Every rule that can be judged, active or not, the worst first; as `read_alerts`."""
    hour = Hour(samples, now)
    alerts = [_judged(rule, hour) for rule in own_rules(queue_capacity)]
    alerts.append(_mid_stream_errors(records, now))
    return sorted(alerts, key=lambda alert: (STATES[str(alert["state"])], str(alert["severity"])))


def _judged(rule: OwnRule, hour: Hour) -> dict[str, object]:
    values = rule.value(hour)
    # NaN, no samples, is above nothing.
    with np.errstate(invalid="ignore"):
        is_above = values > rule.threshold
    others = np.flatnonzero(~is_above)
    first = int(others[-1]) + 1 if len(others) else 0
    if first == len(values):
        return _alert_out(rule.name, rule.severity, rule.summary, rule.query)
    since = float(hour.times[first])
    return {
        **_alert_out(rule.name, rule.severity, rule.summary, rule.query),
        "state": "firing" if hour.times[-1] - since >= rule.for_seconds else "pending",
        "since": since,
        "value": f"{values[-1]:g}",
        "description": rule.describe(float(values[-1])),
    }


def _mid_stream_errors(records: Sequence[RequestRecord], now: float) -> dict[str, object]:
    """As far back as the kept requests reach."""
    broken = [
        record
        for record in records
        if record.error_phase == "decode"
        and record.started_at + (record.duration_seconds or 0) >= now - MID_STREAM_SECONDS
    ]
    alert = _alert_out(
        "MidStreamErrors",
        "ticket",
        "Answers break off after they began",
        'increase(llm_request_errors_total{phase="decode"}[10m]) > 5',
    )
    if len(broken) <= MID_STREAM_ERRORS:
        return alert
    return {
        **alert,
        "state": "firing",
        "since": min(record.started_at for record in broken),
        "value": str(len(broken)),
        "description": f"{len(broken)} answers broke off in the last 10 minutes; their HTTP code"
        " was 200.",
    }


def _alert_out(name: str, severity: str, summary: str, query: str) -> dict[str, object]:
    return {
        "name": name,
        "severity": severity,
        "state": "inactive",
        "since": None,
        "value": "",
        "summary": summary,
        "description": "",
        "runbook_url": f"docs/runbooks.md#{name.lower()}",
        "query": query,
    }


def own_objectives(samples: Samples, now: float) -> list[dict[str, object]]:
    """The objectives over the last hour, or since the start; as `read_objectives`."""
    hour = Hour(samples, now, HISTORY_STEP_SECONDS)
    window = max(1, round(now - hour.since))
    outs: list[dict[str, object]] = []
    for objective in OBJECTIVES:
        counts = COUNTS[objective.name]
        bad, counted = counts(hour, WINDOWS["1h"])
        burned = _burn_rate((bad, counted))
        rates = {name: _last(_burn_rate(counts(hour, span))) for name, span in WINDOWS.items()}
        good = _last(1 - _share(bad, counted))
        outs.append(
            {
                "name": objective.name,
                "title": objective.title,
                "target": TARGET,
                "window_seconds": window,
                "good_ratio": good,
                "budget_left_ratio": _last(1 - burned),
                "num_requests": float(counted[-1]),
                "burn_rates": [{"window": name, "value": rates.get(name)} for name in BURN_WINDOWS],
                "history": {
                    "times": hour.times.tolist(),
                    "budget_left": [_known(1 - value) for value in burned.tolist()],
                },
            }
        )
    return outs


def _last(values: Floats) -> float | None:
    return _known(float(values[-1]))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
