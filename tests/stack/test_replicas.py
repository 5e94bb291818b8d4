"""Two replicas behind one door: one limit, and Redis may come and go."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.stack.compose import Stack, burst, complete, eventually

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def replicas(stack: Stack) -> Iterator[Stack]:
    stack.scale(2)
    eventually(lambda: list(stack.query("llm_redis_up").values()) == [1, 1], "two targets")
    yield stack
    stack.scale(1)


class Load:
    """Statuses of requests that go on until told to stop."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self._arrived = threading.Condition()

    def add(self, status: int) -> None:
        with self._arrived:
            self.statuses[status] += 1
            self._arrived.notify_all()

    def goes_on(self, requests: int = 20, seconds: float = 120) -> None:
        """Wait for so many more answers."""
        with self._arrived:
            target = self.statuses.total() + requests
            assert self._arrived.wait_for(lambda: self.statuses.total() >= target, seconds)


@contextmanager
def loaded(stack: Stack, key: str) -> Iterator[Load]:
    load, has_ended = Load(), threading.Event()

    def send() -> None:
        with stack.client(key) as http:
            while not has_ended.is_set():
                load.add(complete(http))

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send) for _ in range(4)]
        try:
            yield load
        finally:
            has_ended.set()
        for sender in senders:
            sender.result()  # a connection that broke shows here


def redis_is(stack: Stack, up: int) -> None:
    eventually(
        lambda: list(stack.query("llm_redis_up").values()) == [up, up],
        f"llm_redis_up is {up} on both replicas",
    )


def shared_burst(stack: Stack, name: str, requests: int) -> Counter[int]:
    """Statuses of a burst with a new key of 60 a minute, during which Redis answered in time.

    On a machine whose cores are all taken it may not; then each replica counts by itself, as
    it should, and says so in its log.
    """
    for attempt in range(5):
        key = stack.new_key(f"{name}-{attempt}", rpm=60)
        outages = stack.compose("logs", "llm_service").count("Redis is away")
        statuses = Counter(burst(stack, key, requests))
        if stack.compose("logs", "llm_service").count("Redis is away") == outages:
            return statuses
        redis_is(stack, 1)
    raise AssertionError("Redis was away during each of five bursts")


def test_two_replicas_share_the_work_and_the_limit_of_a_key(replicas: Stack) -> None:
    assert shared_burst(replicas, "shared", 200) == {200: 60, 429: 140}
    counted = 'sum by (instance) (llm_key_requests_total{key_name=~"shared-.*"}) > 0'
    eventually(lambda: len(replicas.query(counted)) == 2, "both replicas had requests")
    assert list(replicas.query('up{job="llm_service"}').values()) == [1, 1]


@pytest.mark.parametrize(("fail", "repair"), [("kill", "start"), ("pause", "unpause")])
def test_requests_go_on_without_redis_and_share_their_limit_again_with_it(
    replicas: Stack, fail: str, repair: str
) -> None:
    key = replicas.new_key(f"load-{fail}", rpm=100_000)
    with loaded(replicas, key) as load:
        load.goes_on()
        replicas.compose(fail, "redis")
        redis_is(replicas, 0)
        load.goes_on()
        replicas.compose(repair, "redis")
        redis_is(replicas, 1)
        load.goes_on()
    assert set(load.statuses) == {200}
    assert shared_burst(replicas, f"after-{fail}", 100) == {200: 60, 429: 40}
