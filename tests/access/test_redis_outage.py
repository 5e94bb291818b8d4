"""Redis dies, hangs, forgets and comes back while requests go on."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from llm_service.access.ip_guard import IpGuard
from llm_service.access.limits import Limiter, Permit
from llm_service.access.redis import RedisLink
from llm_service.access.shared_windows import SharedWindows
from llm_service.errors import RateLimited
from tests.access.conftest import RecordingObserver, make_key
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio

TICK_SECONDS = 0.01
SLOWEST_TICKS = 50  # half a second


class Load:
    """Requests of one key, one after the other in several tasks, until told to stop.

    Durations are in ticks of a task of the same event loop, not of the clock: a machine
    that is busy with other things delays both alike.
    """

    def __init__(self, limiter: Limiter, rpm: int) -> None:
        self._limiter = limiter
        self._key = make_key(rpm)
        self._refusals: asyncio.Queue[None] = asyncio.Queue()
        self._ticks = 0
        self.num_admitted = 0
        self.slowest_ticks = 0

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._ticks += 1

    async def run(self) -> None:
        while True:
            started = self._ticks
            try:
                await self._limiter.admit(self._key, 1)
                self.num_admitted += 1
            except RateLimited:
                self._refusals.put_nowait(None)
            self.slowest_ticks = max(self.slowest_ticks, self._ticks - started)
            await asyncio.sleep(0.005)  # think time: the load is steady, not a burst

    async def refused(self, times: int) -> None:
        """Wait for so many refusals from now on."""
        while not self._refusals.empty():
            self._refusals.get_nowait()
        for _ in range(times):
            await self._refusals.get()


@asynccontextmanager
async def loaded(limiter: Limiter, rpm: int, num_tasks: int = 8) -> AsyncIterator[Load]:
    load = Load(limiter, rpm)
    tasks = [asyncio.create_task(load.run()) for _ in range(num_tasks)]
    tasks.append(asyncio.create_task(load.tick()))
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task  # an error in a request shows here


@asynccontextmanager
async def linked(server: RedisServer, observer: RecordingObserver) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.url, observer, probe_seconds=0.05)
    try:
        yield link
    finally:
        await link.aclose()


def shared_of(limiter: Limiter) -> SharedWindows:
    assert limiter._shared is not None
    return limiter._shared


def storage_of(limiter: Limiter) -> str:
    """A function, because mypy takes an attribute that was compared to keep its value."""
    return limiter.storage


async def admit_all(limiter: Limiter, rpm: int, times: int) -> list[Permit]:
    permits = []
    for _ in range(times):
        with suppress(RateLimited):
            permits.append(await limiter.admit(make_key(rpm), 1))
    return permits


async def test_requests_go_on_while_redis_hangs_and_none_is_slow_or_too_many(
    redis_server: RedisServer,
    observer: RecordingObserver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        await link.start()
        assert storage_of(limiter) == "redis"
        async with loaded(limiter, rpm=150) as load:
            redis_server.pause()
            await observer.changed_to(True, False)
            assert storage_of(limiter) == "in-process (redis is away)"
            num_admitted = load.num_admitted
            await load.refused(1)
            assert load.num_admitted > num_admitted
            redis_server.resume()
            await observer.changed_to(True, False, True)
            assert storage_of(limiter) == "redis"
        assert load.num_admitted == 150  # counted on from before the outage to after it
        assert load.slowest_ticks < SLOWEST_TICKS
        assert [r.levelno for r in caplog.records if "redis" in r.name] == [logging.WARNING] * 2


async def test_a_killed_redis_learns_again_what_it_has_forgotten(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        assert len(await admit_all(limiter, rpm=40, times=30)) == 30
        async with loaded(limiter, rpm=40) as load:
            await asyncio.to_thread(redis_server.kill)
            await observer.changed_to(False)
            await asyncio.to_thread(redis_server.start)
            await observer.changed_to(False, True)
            await load.refused(20)
        assert load.num_admitted == 10
        assert load.slowest_ticks < SLOWEST_TICKS
        with redis_server.client() as client:
            assert client.zcard("llm:requests:{alice}") == 40


async def test_recovery_ends_under_load_and_misses_no_request_of_the_meantime(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        async with loaded(limiter, rpm=1500, num_tasks=16) as load:
            await asyncio.to_thread(redis_server.kill)
            await observer.changed_to(False)
            await asyncio.to_thread(redis_server.start)
            await observer.changed_to(False, True)
            assert load.num_admitted < 1500
            await load.refused(20)
        assert load.num_admitted == 1500
        assert observer.ups == [False, True]


async def test_a_request_that_comes_while_redis_is_told_the_rest_is_not_lost(
    redis_server: RedisServer, observer: RecordingObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        redis_server.kill()
        await admit_all(limiter, rpm=99, times=1)
        shared = shared_of(limiter)
        merge, requests = shared.merge, []

        async def merge_while_a_request_comes(*args: Any) -> None:
            requests.append(asyncio.create_task(admit_all(limiter, rpm=99, times=1)))
            await asyncio.sleep(0)
            await merge(*args)

        monkeypatch.setattr(shared, "merge", merge_while_a_request_comes)
        redis_server.start()
        await observer.changed_to(False, True)
        await asyncio.gather(*requests)
        with redis_server.client() as client:
            assert client.zcard("llm:requests:{alice}") == 1 + len(requests)
        assert observer.ups == [False, True]


async def test_two_processes_that_went_on_apart_are_added_up_on_recovery(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    other_observer = RecordingObserver()
    async with linked(redis_server, observer) as one, linked(redis_server, other_observer) as two:
        here, there = Limiter(one, observer), Limiter(two, other_observer)
        redis_server.kill()
        assert len(await admit_all(here, rpm=10, times=4)) == 4
        assert len(await admit_all(there, rpm=10, times=4)) == 4
        redis_server.start()
        await observer.changed_to(False, True)
        await other_observer.changed_to(False, True)
        assert len(await admit_all(here, rpm=10, times=4)) == 2


async def test_a_refund_without_redis_is_paid_on_recovery(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        first, *_ = await admit_all(limiter, rpm=3, times=3)
        redis_server.pause()
        first.refund()
        await limiter.aclose()
        assert limiter.storage == "in-process (redis is away)"
        redis_server.resume()
        await observer.changed_to(False, True)
        assert len(await admit_all(limiter, rpm=3, times=3)) == 1


async def test_an_answer_that_comes_after_others_counted_in_process_adds_nothing(
    redis_server: RedisServer, observer: RecordingObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        await admit_all(limiter, rpm=5, times=1)
        shared = shared_of(limiter)
        admit, others = shared.admit, []

        async def answer_late(*args: Any) -> object:
            decision = await admit(*args)
            link.report_failure(TimeoutError())
            others.extend(await admit_all(limiter, rpm=5, times=9))
            return decision

        monkeypatch.setattr(shared, "admit", answer_late)
        late = await admit_all(limiter, rpm=5, times=1)
        assert 1 + len(others) + len(late) == 5


async def test_only_the_first_request_waits_for_a_redis_that_hangs(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        await admit_all(limiter, rpm=1000, times=1)
        redis_server.pause()
        await admit_all(limiter, rpm=1000, times=500)
        assert [op for op, _ in observer.operations].count("admit") == 2
        redis_server.resume()


async def test_a_refund_that_overtakes_a_request_is_not_taken_for_lost_data(
    redis_server: RedisServer, observer: RecordingObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        [permit] = await admit_all(limiter, rpm=5, times=1)
        shared = shared_of(limiter)
        script = shared._admit

        async def refund_first(keys: list[str], args: list[object]) -> object:
            permit.refund()
            await limiter.aclose()
            return await script(keys, args)

        monkeypatch.setattr(shared, "_admit", refund_first)
        [late] = await admit_all(limiter, rpm=5, times=1)
        assert late.snapshot is not None
        assert late.snapshot.remaining == 4
        assert observer.ups == []


async def test_refunds_of_a_long_outage_do_not_pile_up(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    redis_server.kill()
    async with linked(redis_server, observer) as link:
        now = 0.0
        limiter = Limiter(link, observer, clock=lambda: now)
        for _ in range(200):
            [permit] = await admit_all(limiter, rpm=5, times=1)
            permit.refund()
            now += 1
        assert len(limiter._owed["alice"]._admitted_at) <= 60


async def test_a_stalled_event_loop_is_not_taken_for_a_redis_that_is_away(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        await admit_all(limiter, rpm=9, times=1)
        admission = asyncio.create_task(limiter.admit(make_key(9), 1))
        await asyncio.sleep(0)  # sent, not yet answered
        time.sleep(0.6)  # noqa: ASYNC251 - the stall itself
        await admission
        assert observer.ups == []


async def test_a_service_that_starts_without_redis_admits_and_finds_it_later(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    redis_server.kill()
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        await link.start()
        assert observer.ups == [False]
        assert len(await admit_all(limiter, rpm=5, times=9)) == 5
        redis_server.start()
        await observer.changed_to(False, True)
        assert await admit_all(limiter, rpm=5, times=9) == []


async def test_a_redis_that_refuses_writes_counts_as_away_until_it_takes_them(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with linked(redis_server, observer) as link:
        limiter = Limiter(link, observer)
        with redis_server.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            assert len(await admit_all(limiter, rpm=5, times=9)) == 5
            await observer.operated("join", times=3)
            assert observer.ups == [False]
            client.execute_command("REPLICAOF", "NO", "ONE")
        await observer.changed_to(False, True)
        assert await admit_all(limiter, rpm=5, times=9) == []


def test_a_url_that_is_not_redis_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="LLM_REDIS_URL must begin with one of redis://") as caught:
        RedisLink("http://:hunter2@host")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="LLM_REDIS_URL") as caught:
        RedisLink("redis://:hunter2@host:notaport/0")
    assert "hunter2" not in str(caught.value)


async def test_the_password_of_redis_shows_nowhere(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with redis_server.client() as client:
        client.config_set("requirepass", "another-password")
    link = RedisLink(redis_server.url.replace("redis://", "redis://:SENTINEL@"))
    limiter, guard = Limiter(link), IpGuard("60/minute", link)
    assert len(await admit_all(limiter, rpm=5, times=9)) == 5
    await guard.check({"client": ("10.0.0.1", 1), "headers": []})
    assert guard.storage == limiter.storage == "in-process (redis is away)"
    assert "Redis is away (AuthenticationError)" in caplog.text
    assert "SENTINEL" not in caplog.text + repr([link, limiter, guard])
    await link.aclose()
