"""Objectives and alerts from the own last hour: the rules' numbers, and when they fire."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from llm_service.observability import own_alerts as module
from llm_service.observability.alerts import TARGET
from llm_service.observability.own_alerts import own_alerts, own_objectives, own_rules
from llm_service.observability.rates import Samples
from llm_service.observability.snapshot import COLUMNS
from tests.observability.conftest import MakeRecord

RULES = Path(__file__).parent.parent.parent / "prometheus" / "rules"
NOW = 100_000.0
CAPACITY = 100
TTFT = "llm_time_to_first_token_seconds_bucket"
# What the own hour cannot judge: another process has to see that the service is down.
NOT_JUDGED = {"TargetDown"}

Curve = Callable[[np.ndarray], np.ndarray]


def film(num_seconds: int = 3600, /, **curves: Curve) -> Samples:
    """A sample every two seconds; a curve gets the seconds since the first. A healthy service."""
    times = np.arange(0.0, num_seconds + 1, 2)
    values = np.zeros((len(times), len(COLUMNS)))
    usual: dict[str, float] = {
        "llm_slots": 8,
        "llm_redis_up": 1,
        "llm_memory_limit_bytes": 1000,
        "llm_cpu_limit_cores": 2,
        "llm_kv_cache_capacity_bytes": 1000,
    }
    for name, value in usual.items():
        values[:, COLUMNS[name, ""]] = value
    for name, curve in curves.items():
        metric, _, label = name.partition("__")
        values[:, COLUMNS[metric, label.replace("inf", "+Inf").replace("two", "2.0")]] = curve(
            times
        )
    return Samples(times + NOW - num_seconds, values)


def growing(per_second: float) -> Curve:
    return lambda times: per_second * times


def constant(value: float) -> Curve:
    return lambda times: np.full(len(times), value)


def since(start: float, value: float, before: float = 0) -> Curve:
    return lambda times: np.where(times >= start, value, before)


def states(samples: Samples) -> dict[str, Any]:
    alerts = own_alerts(samples, [], NOW, CAPACITY)
    return {str(alert["name"]): alert["state"] for alert in alerts}


def test_the_rules_have_the_thresholds_durations_and_words_of_prometheus() -> None:
    text = (RULES / "alerts.yml").read_text()
    written = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    first = {rule["alert"]: rule for rule in reversed(written)}
    judged = {rule.name: rule for rule in own_rules(CAPACITY)}
    assert judged.keys() | {"MidStreamErrors"} | NOT_JUDGED == first.keys()
    for name, rule in judged.items():
        there = first[name]
        assert (rule.severity, rule.summary) == (
            there["labels"]["severity"],
            there["annotations"]["summary"],
        )
        minutes = int(there.get("for", "0m").removesuffix("m"))
        assert rule.for_seconds == 60 * minutes, name
        numbers = [float(n) for n in re.findall(r"(?:>|>=|==) ([\d.]+)", there["expr"])]
        assert rule.threshold in numbers, name
    [mid_stream] = [rule for rule in written if rule["alert"] == "MidStreamErrors"]
    assert f"> {module.MID_STREAM_ERRORS}" in mid_stream["expr"]
    assert f"[{module.MID_STREAM_SECONDS // 60}m]" in mid_stream["expr"]
    assert f">= {module.MIN_REQUESTS}" in first["AvailabilityBurn"]["expr"]
    objectives = (RULES / "objectives.yml").read_text()
    assert f'le="{module.TTFT_OBJECTIVE}"' in objectives
    assert f"/ {1 - TARGET:.2f}" in objectives


def test_nothing_fires_without_traffic_and_the_budgets_are_unknown() -> None:
    assert set(states(film()).values()) == {"inactive"}
    for objective in own_objectives(film(), NOW):
        assert objective["good_ratio"] is objective["budget_left_ratio"] is None


@pytest.mark.parametrize(
    ("name", "firing", "quiet"),
    [
        (
            "AvailabilityBurn",
            {"llm_requests_total__stop": growing(0.8), "llm_requests_total__error": growing(0.2)},
            {"llm_requests_total__stop": growing(0.9), "llm_requests_total__error": growing(0.1)},
        ),
        (
            "TTFTBurn",
            {f"{TTFT}__inf": growing(1), f"{TTFT}__two": growing(0.8)},
            {f"{TTFT}__inf": growing(1), f"{TTFT}__two": growing(0.9)},
        ),
        ("NotReady", {"llm_slots": since(3200, 0, 8)}, {"llm_slots": since(3500, 0, 8)}),
        (
            "ServingStalled",
            {"llm_requests_waiting": constant(2)},
            {"llm_requests_waiting": constant(2), "llm_output_tokens_total": growing(1)},
        ),
        (
            "RateLimitSurge",
            {"llm_rate_limit_rejections_total__requests": growing(1.2)},
            {"llm_rate_limit_rejections_total__requests": growing(0.9)},
        ),
        (
            "QueueNearFull",
            {"llm_requests_waiting": since(3400, 81), "llm_output_tokens_total": growing(1)},
            {"llm_requests_waiting": since(3400, 80), "llm_output_tokens_total": growing(1)},
        ),
        (
            "KVCacheNearFull",
            {"llm_kv_cache_used_bytes": since(2900, 960)},
            {"llm_kv_cache_used_bytes": since(2900, 940)},
        ),
        (
            "MemoryNearLimit",
            {
                "llm_process_memory_bytes__anon": since(3200, 800),
                "llm_process_memory_bytes__shmem": since(3200, 110),
            },
            {
                "llm_process_memory_bytes__anon": since(3200, 800),
                "llm_process_memory_bytes__file": since(3200, 190),
            },
        ),
        (
            "CPUThrottled",
            {"llm_cpu_throttled_seconds_total": growing(0.22)},
            {"llm_cpu_throttled_seconds_total": growing(0.18)},
        ),
        ("RedisDown", {"llm_redis_up": since(3500, 0, 1)}, {"llm_redis_up": since(3700, 0, 1)}),
    ],
)
def test_a_rule_fires_beyond_its_threshold_and_only_then(
    name: str, firing: dict[str, Curve], quiet: dict[str, Curve]
) -> None:
    assert states(film(**firing))[name] == "firing"
    assert states(film(**quiet))[name] != "firing"


def test_an_alert_is_pending_until_it_has_lasted_and_says_since_when() -> None:
    alerts = own_alerts(film(llm_redis_up=since(3570, 0, 1)), [], NOW, CAPACITY)
    [alert] = [alert for alert in alerts if alert["name"] == "RedisDown"]
    assert alert["state"] == "pending"
    assert alert["since"] == pytest.approx(NOW - 30, abs=15)
    assert alert == alerts[0]


def test_a_burn_that_is_over_does_not_fire_and_few_requests_say_too_little() -> None:
    over = film(
        llm_requests_total__stop=growing(0.5),
        llm_requests_total__error=lambda times: np.minimum(times, 1800) * 0.5,
    )
    assert states(over)["AvailabilityBurn"] == "inactive"
    few = film(llm_requests_total__error=growing(15 / 3600))
    assert states(few)["AvailabilityBurn"] == "inactive"


def test_answers_that_broke_off_are_counted_from_the_kept_requests(make_record: MakeRecord) -> None:
    broken = [
        make_record(outcome="error", error_phase="decode", started_at=NOW - 60) for _ in range(6)
    ]
    old = [make_record(outcome="error", error_phase="decode", started_at=NOW - 700)] * 9

    def state_of(records: list[Any]) -> object:
        alerts = own_alerts(film(), records, NOW, CAPACITY)
        return next(alert["state"] for alert in alerts if alert["name"] == "MidStreamErrors")

    assert state_of(broken + old) == "firing"
    assert state_of(broken[:5] + old) == "inactive"


def test_the_objectives_count_refusals_of_the_service_but_not_those_of_callers() -> None:
    samples = film(
        llm_requests_total__stop=growing(0.9),
        llm_requests_total__rejected=growing(1.1),
        llm_request_errors_total__rate_limit=growing(1),
        llm_request_errors_total__overloaded=growing(0.1),
    )
    availability, _ = own_objectives(samples, NOW)
    assert availability["window_seconds"] == 3600
    assert availability["good_ratio"] == pytest.approx(0.9, abs=0.001)
    assert availability["num_requests"] == pytest.approx(3600, rel=0.01)
    assert availability["budget_left_ratio"] == pytest.approx(1 - 0.1 / 0.01, rel=0.01)
    rates = {rate["window"]: rate["value"] for rate in availability["burn_rates"]}  # type: ignore[attr-defined]
    assert rates["1h"] == pytest.approx(10, rel=0.01)
    assert rates["6h"] is None


def test_a_service_that_has_just_started_judges_what_it_has_seen() -> None:
    samples = film(120, llm_requests_total__stop=growing(1))
    availability, _ = own_objectives(samples, NOW)
    assert availability["window_seconds"] == 120
    assert availability["good_ratio"] == 1
