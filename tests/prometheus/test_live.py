"""Every query that we ship, asked of a real Prometheus that scrapes a real service under load.

A panel without data, a rule on a metric that does not exist, a NaN: they show here.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from grafana.build import files
from llm_service.observability.alerts import BURN_WINDOWS
from llm_service.observability.panels import PANELS
from scripts import demo
from tests.prometheus.test_rules import rules
from tests.redis_server import running_redis
from tests.support.fake_engine import FakeEngine
from tests.support.prometheus_server import FAST_WINDOW, PrometheusServer, sped_up
from tests.support.service import ADMIN_KEY, RunningService

LOAD_SECONDS = 8
MAX_BATCH_SIZE = 4
# Expressions that may give nothing, and why.
MAY_BE_EMPTY = {
    "llm_cpu_throttled_seconds_total": "the kernel does not count it on every machine",
    "llm_gpu_": "few machines have one",
}


@dataclass(frozen=True, slots=True)
class Stack:
    folder: Path
    service: RunningService
    prometheus: PrometheusServer
    load: demo.Tally

    def served_from_prometheus(self) -> RunningService:
        """Another service, which draws from the Prometheus that watched the first."""
        url = SecretStr(self.prometheus.url)
        return RunningService(self.folder / "other", engine=FakeEngine(), prometheus_url=url)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, the service on the bundled model, and Prometheus, after mixed load."""
    folder = tmp_path_factory.mktemp("stack")
    with (
        running_redis(str(folder)) as redis,
        RunningService(
            folder / "state", redis_url=SecretStr(redis.url), max_batch_size=MAX_BATCH_SIZE
        ) as service,
        PrometheusServer(folder, service.url.removeprefix("http://")) as prometheus,
    ):
        prometheus.wait_for(["llm_ready == 1"])
        load = asyncio.run(demo.main(service.url, ADMIN_KEY, LOAD_SECONDS, is_quiet=True))
        asyncio.run(wait_until_a_queue_is_seen(service, prometheus))
        prometheus.wait_for(["job:llm_availability:burn_rate7d", "job:llm_ttft:burn_rate7d"])
        yield Stack(folder, service, prometheus, load)


async def wait_until_a_queue_is_seen(service: RunningService, prometheus: PrometheusServer) -> None:
    """Ask for eight times as many long answers as there are slots: some wait at any scrape."""
    body = {"model": "pocket", "prompt": "1, 2, 3", "max_tokens": 1900, "ignore_eos": True}
    async with service.async_client() as http:
        answers = [
            asyncio.create_task(http.post("/v1/completions", json=body))
            for _ in range(8 * MAX_BATCH_SIZE)
        ]
        try:
            await asyncio.to_thread(prometheus.wait_for, ["llm_requests_waiting > 0"])
        finally:
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)


def may_be_empty(expr: str) -> bool:
    return any(name in expr for name in MAY_BE_EMPTY)


def asked(stack: Stack, expr: str) -> None:
    """Success, at least one series, and nothing that is not a number."""
    series = stack.prometheus.query(expr)
    if not may_be_empty(expr):
        assert series, f"{expr} has no series"
    for found in series:
        assert not math.isnan(float(found["value"][1])), f"{expr}: {found}"


def grafana_queries() -> list[tuple[str, str]]:
    dashboards = [json.loads(text) for text in files().values()]
    return [
        (f"{dashboard['title']} / {panel['title']}", target["expr"])
        for dashboard in dashboards
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]


def substituted(expr: str) -> str:
    for variable in ("$instance", "$model"):
        expr = expr.replace(variable, ".*")
    for window in ("$__rate_interval", "$__range"):
        expr = expr.replace(window, FAST_WINDOW)
    assert "$" not in expr
    return expr


def test_every_query_of_grafana_has_an_answer(stack: Stack) -> None:
    queries = grafana_queries()
    assert len(queries) > 60
    for _, expr in queries:
        asked(stack, substituted(expr))


def test_every_rule_has_an_answer_and_every_alert_looks_at_something_that_exists(
    stack: Stack,
) -> None:
    for rule in rules("record"):
        asked(stack, rule["record"])
        asked(stack, sped_up(rule["expr"]))
    for rule in rules("alert"):
        # An alert is meant to be empty; what it compares is not.
        stack.prometheus.query(sped_up(rule["expr"]))
        without_labels = re.sub(r"{.*?}", "", rule["expr"])
        names = set(re.findall(r"\b(?:llm_\w+|job:\w+:\w+|up\b)", without_labels))
        assert names, rule["alert"]
        for name in names:
            asked(stack, name)


def test_every_panel_of_the_dashboard_has_an_answer_on_each_line(stack: Stack) -> None:
    for name, panel in PANELS.items():
        exprs = {line.name: line.expression.promql(FAST_WINDOW) for line in panel.queried}
        for expr in exprs.values():
            asked(stack, expr)
        drawn = {
            found["metric"]["line"] for found in stack.prometheus.query(panel.promql(FAST_WINDOW))
        }
        assert drawn >= {line for line, expr in exprs.items() if not may_be_empty(expr)}, name


def test_the_demo_gets_no_answer_that_it_did_not_mean_to_get(stack: Stack) -> None:
    assert stack.load.surprises == {}
    assert {"chat", "chat, streamed", "tool call", "structured output"} <= stack.load.answers.keys()
    statuses = {reason.split(":")[0] for reason in stack.load.refused}
    assert {"400", "404", "429"} <= statuses


def test_the_load_met_everything_that_it_should(stack: Stack) -> None:
    for outcome in ("stop", "length", "cancelled", "rejected"):
        asked(stack, f'sum(llm_requests_total{{outcome="{outcome}"}}) > 0')
    for kind in ("validation", "context_length", "rate_limit"):
        asked(stack, f'sum(llm_request_errors_total{{kind="{kind}"}}) > 0')
    asked(stack, "max_over_time(llm_requests_waiting[5m]) > 0")
    asked(stack, 'sum(llm_prompt_tokens_total{source="cached"}) > 0')


def test_the_service_answers_from_this_prometheus(stack: Stack) -> None:
    with stack.served_from_prometheus() as service, service.client() as http:
        series = http.get("/api/series", params={"range_seconds": 86400}).json()
        assert series["source"]["kind"] == "prometheus"
        assert series["source"]["resolution_seconds"] == 1
        assert series["source"]["max_range_seconds"] == 604800
        assert series["panels"].keys() == PANELS.keys()
        alerts = http.get("/api/alerts").json()
    assert alerts["source"] == "prometheus"
    availability, ttft = alerts["objectives"]
    assert (availability["name"], ttft["name"]) == ("availability", "ttft")
    assert availability["num_requests"] > 10
    assert 0 <= availability["good_ratio"] <= 1
    assert [burn["window"] for burn in ttft["burn_rates"]] == list(BURN_WINDOWS)
    assert all(burn["value"] is not None for burn in availability["burn_rates"])
    assert len(availability["history"]["times"]) == len(availability["history"]["budget_left"])
    assert {alert["name"] for alert in alerts["alerts"]} == {r["alert"] for r in rules("alert")}


def test_a_week_of_a_young_prometheus_shows_what_there_is(stack: Stack) -> None:
    query = {"range_seconds": "604800", "panels": "requests,ttft,inter_token,concurrency,cpu"}
    with stack.served_from_prometheus() as service, service.client() as http:
        before = time.time()
        answer = http.get("/api/series", params=query).json()
    since, end = answer["source"]["since"], answer["end"]
    assert end == answer["times"][-1] >= before - 1, "the last point is now"
    (first_scrape,) = stack.prometheus.query("min(min_over_time(timestamp(up)[1h:1s]))")
    assert since == pytest.approx(float(first_scrape["value"][1]), abs=1.5)
    for name, panel in answer["panels"].items():
        values = [line["values"] for line in panel["series"] if not may_be_empty(line["name"])]
        assert any(line[-1] is not None for line in values), name
        is_before = [time < since - 1 for time in answer["times"]]
        assert sum(is_before) > 500
        for line in values:
            known = [v for v, early in zip(line, is_before, strict=True) if early and v is not None]
            assert known == [], f"{name} has values from before the first scrape"
    # Not a share of the rate because a point of a week covers 17 minutes, most of them unseen.
    (stop,) = (s for s in answer["panels"]["requests"]["series"] if s["name"] == "stop")
    (counted,) = stack.prometheus.query('sum(llm_requests_total{outcome="stop"})')
    assert stop["values"][-1] == pytest.approx(float(counted["value"][1]) / (end - since), rel=0.2)
    assert "exact_since" not in answer["panels"]["ttft"], "of several processes there may be"


def test_the_objective_counts_what_the_service_failed_and_not_what_callers_did(
    stack: Stack,
) -> None:
    asked(stack, 'sum(llm_request_errors_total{kind="validation"}) > 0')
    burned = stack.prometheus.query("job:llm_availability:burn_rate7d")
    failed = stack.prometheus.query('sum(llm_requests_total{outcome=~"error|timeout"})')
    assert float(burned[0]["value"][1]) == float(failed[0]["value"][1]) == 0
