"""Both windows, in-process and in Redis, against a plain model, under a clock of the test's."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_service.access.window import (
    ADMIT,
    CLOCK,
    COUNT,
    IF_JOINED,
    IF_JOINING,
    MERGE,
    SlidingWindow,
)
from tests.redis_server import running_redis

WINDOW = 60_000_000  # microseconds, as all times here
KEYS = ["log", "generation"]
TEST_CLOCK = "local now = tonumber(redis.call('GET', 'clock'))\n"


@dataclass
class Model:
    """The definition: the admissions less than a window ago, and nothing clever."""

    log: dict[str, int] = field(default_factory=dict)

    def admit(self, entry: str, limit: int, now: int) -> tuple[bool, int, int]:
        self.log = {entry: then for entry, then in self.log.items() if now - then < WINDOW}
        is_admitted = len(self.log) < limit
        if is_admitted:
            self.log[entry] = now
        return is_admitted, *self.count(limit, now)

    def count(self, limit: int, now: int) -> tuple[int, int]:
        order = sorted(then for then in self.log.values() if now - then < WINDOW)
        wait = order[max(0, len(order) - limit)] + WINDOW - now if order else 0
        return len(order), wait


class InProcess:
    def __init__(self) -> None:
        self._window = SlidingWindow(WINDOW)  # in microseconds, too: it only compares

    def admit(self, entry: str, limit: int, now: int) -> tuple[bool, int, float]:
        decision = self._window.admit(entry, limit, now)
        return decision.is_admitted, decision.count, decision.wait_seconds

    def count(self, limit: int, now: int) -> tuple[int, float]:
        return self._window.count(limit, now)

    def remove(self, entry: str) -> None:
        self._window.remove(entry)


class InRedis:
    """The scripts that the service sends, with the test's clock in place of Redis' own."""

    def __init__(self, client: redis.Redis) -> None:
        client.flushall()
        client.set("generation", "g")
        self._client = client
        self._admit = client.register_script(IF_JOINED + TEST_CLOCK + ADMIT)
        self._count = client.register_script(IF_JOINED + TEST_CLOCK + COUNT)
        self._merge = client.register_script(IF_JOINING + TEST_CLOCK + MERGE)

    def admit(self, entry: str, limit: int, now: int, known: str = "") -> tuple[bool, int, float]:
        self._client.set("clock", now)
        answer = self._admit(keys=KEYS, args=["g", limit, WINDOW, entry, known])
        is_admitted, count, wait = answer
        return bool(is_admitted), count, wait

    def count(self, limit: int, now: int) -> tuple[int, int]:
        self._client.set("clock", now)
        count, wait = self._count(keys=KEYS, args=["g", limit, WINDOW])
        return count, wait

    def merge(self, ages: dict[str, int], now: int) -> None:
        self._client.set("clock", now)
        pairs = [part for pair in ages.items() for part in pair]
        self._merge(keys=KEYS, args=["g", WINDOW, *pairs])

    def remove(self, entry: str) -> None:
        self._client.zrem("log", entry)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with running_redis(str(directory)) as server, server.client() as client:
        yield client


# What happens: a request some time after the last event, or the refund of an earlier one.
gaps = st.one_of(
    st.integers(0, 3), st.integers(0, WINDOW), st.sampled_from([WINDOW - 1, WINDOW, WINDOW + 1])
)
events = st.lists(
    st.one_of(gaps, st.tuples(st.just("refund"), st.integers(0, 30))), min_size=1, max_size=60
)
limits = st.integers(1, 8)


def compare(window: InProcess | InRedis, limit: int, happening: list[Any]) -> None:
    model, now, admissions = Model(), 1_700_000_000_000_000, []
    for number, event in enumerate(happening):
        if isinstance(event, tuple):
            entry = str(event[1])
            window.remove(entry)
            model.log.pop(entry, None)
            continue
        now += event
        assert window.count(limit, now) == model.count(limit, now)
        decision = window.admit(str(number), limit, now)
        assert decision == model.admit(str(number), limit, now)
        if decision[0]:
            admissions.append(now)
    if not any(isinstance(event, tuple) for event in happening):
        assert_never_one_over(admissions, limit)


def assert_never_one_over(admissions: list[int], limit: int) -> None:
    for first, last in zip(admissions, admissions[limit:], strict=False):
        assert last - first >= WINDOW


@given(limits, events)
@example(2, [0, 0, WINDOW, 0, 0])
@settings(max_examples=150, deadline=None)
def test_the_window_in_process_does_as_the_model(limit: int, happening: list[Any]) -> None:
    compare(InProcess(), limit, happening)


@given(limits, events)
@example(2, [0, 0, WINDOW, 0, 0])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_window_in_redis_does_as_the_model(
    client: redis.Redis, limit: int, happening: list[Any]
) -> None:
    compare(InRedis(client), limit, happening)


@given(limits, st.lists(gaps, min_size=1, max_size=12), st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_merged_into_redis_counts_as_if_admitted_there(
    client: redis.Redis, limit: int, happening: list[int], data: st.DataObject
) -> None:
    """Some were admitted by Redis, all are known here: after merging, Redis knows all, once."""
    window, model, now = InRedis(client), Model(), 1_700_000_000_000_000
    for number, gap in enumerate(happening):
        now += gap
        model.admit(str(number), limit, now)
        if str(number) in model.log and data.draw(st.booleans()):
            window.admit(str(number), limit, now)
    ages = {entry: now - then for entry, then in model.log.items() if now - then < WINDOW}
    window.merge(ages, now)
    now += data.draw(gaps)
    assert window.admit("last", limit, now) == model.admit("last", limit, now)


def test_a_clock_set_back_holds_nobody_longer_than_the_window(client: redis.Redis) -> None:
    window, now = InRedis(client), 1_700_000_000_000_000
    window.admit("a", 2, now)
    window.admit("b", 2, now + 20_000_000)
    now -= 3600_000_000  # an hour
    assert window.admit("c", 2, now) == (False, 2, 40_000_000)
    assert window.admit("d", 2, now + 39_999_999) == (False, 2, 1)
    assert window.admit("e", 2, now + 40_000_000) == (True, 2, 20_000_000)


def test_the_log_in_redis_is_bounded_by_the_limit_and_expires(client: redis.Redis) -> None:
    window = InRedis(client)
    for number in range(50):
        window.admit(str(number), 7, 1_700_000_000_000_000 + number)
    assert client.zcard("log") == 7
    assert 0 < client.pttl("log") <= 60_000


def test_the_service_clock_of_the_scripts_is_redis_time_in_microseconds(
    client: redis.Redis,
) -> None:
    seconds, microseconds = client.time()
    now = int(client.eval(CLOCK + "return now", 0))
    assert 0 <= now - (seconds * 1_000_000 + microseconds) < 5_000_000
