"""What `make test-truth` would say of a page that shows the wrong number."""

import os
from collections.abc import Iterator

import pytest

from tests.truth.client import Call, Callers
from tests.truth.compare import Row, Table, compare_point
from tests.truth.machine import Process
from tests.truth.shown import Point

NOW = 1_764_000_000.0
TTFT, GAP, DURATION = 0.0094, 0.0021, 0.3
# 40 calls in the last 10 s, a token each 2.1 ms.
TRUE = {
    "requests": {"stop": 5.0, "error": 0.0},
    "tokens": {"output": 50.0},
    "ttft": {"p50": TTFT, "p95": TTFT},
    "duration": {"p50": DURATION, "p95": DURATION},
    "inter_token": {"p95": 0.00225},
}


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process(os.getpid())
    yield process
    process.stop()


@pytest.fixture
def callers() -> Callers:
    callers = Callers("http://127.0.0.1:1", "key")
    for number in range(200):
        sent = NOW - 20.1 + number / 5
        arrivals = [sent + TTFT + GAP * i for i in range(10)]
        callers.calls.append(Call(str(number), sent, arrivals, sent + DURATION, 200, 10))
    callers.round_trips = [(NOW - 5, 0.001)]
    return callers


def judged(callers: Callers, process: Process, **shown: dict[str, float]) -> dict[str, list[str]]:
    rows: list[Row] = []
    point = Point(NOW, (NOW - 9, NOW - 1), {**TRUE, **shown}, is_exact=True)
    compare_point(Table("8 callers", "history", rows), point, callers, process)
    verdicts: dict[str, list[str]] = {}
    for row in rows:
        verdicts.setdefault(row.verdict, []).append(row.number)
    return verdicts


def test_what_is_true_is_not_called_false(callers: Callers, process: Process) -> None:
    assert len(judged(callers, process)[""]) == 8


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("TTFT p50, s", {"ttft": {"p50": 0.025, "p95": TTFT}}),
        ("TTFT p95, s", {"ttft": {"p50": TTFT, "p95": 0.0072}}),
        ("TTFT p95, s", {"ttft": {"p50": TTFT}}),
        ("end to end p95, s", {"duration": {"p50": DURATION, "p95": 0.4}}),
        ("ITL p95, s", {"inter_token": {"p95": 0.005}}),
        ("requests/s", {"requests": {"stop": 4.2}}),
        ("error share", {"requests": {"stop": 4.5, "error": 0.5}}),
        ("output tokens/s", {"tokens": {"output": 60.0}}),
    ],
)
def test_what_is_false_is_called_false(
    callers: Callers, process: Process, number: str, shown: dict[str, dict[str, float]]
) -> None:
    assert judged(callers, process, **shown)["FALSE"] == [number]


def test_a_starved_machine_and_few_samples_tell_nothing(callers: Callers, process: Process) -> None:
    false = {"ttft": {"p50": 9.0, "p95": 9.0}}
    callers.round_trips = [(NOW - 5, 0.5)]
    assert set(judged(callers, process, **false)) == {"starved"}
    callers.round_trips = [(NOW - 5, 0.001)]
    callers.calls = callers.calls[80:90]
    assert "TTFT p50, s" in judged(callers, process, **false)["few"]
