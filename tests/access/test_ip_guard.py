"""The guard per address: coarse, never in the way of the event loop, never a 500."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llm_service.access.ip_guard import IpGuard
from llm_service.access.redis import RedisLink
from llm_service.errors import RateLimited
from tests.access.conftest import RecordingObserver
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio


def from_address(address: str | None, *forwarded: str, path: str = "/") -> dict[str, object]:
    """An ASGI scope."""
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    client = None if address is None else (address, 50000)
    return {"type": "http", "path": path, "client": client, "headers": headers}


async def num_allowed(guard: IpGuard, *scopes: dict[str, object]) -> int:
    outcomes = await asyncio.gather(*map(guard.check, scopes), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, RateLimited) for outcome in outcomes)
    return outcomes.count(None)


@asynccontextmanager
async def guarded(
    server: RedisServer, observer: RecordingObserver, limit: str = "5/minute"
) -> AsyncIterator[tuple[IpGuard, RedisLink]]:
    link = RedisLink(server.url, observer, probe_seconds=0.05)
    try:
        yield IpGuard(limit, link, observer=observer), link
    finally:
        await link.aclose()


async def test_the_request_over_the_limit_is_refused_in_words(
    observer: RecordingObserver,
) -> None:
    guard = IpGuard("2/minute", observer=observer)
    assert await num_allowed(guard, *[from_address("10.0.0.1")] * 2) == 2
    with pytest.raises(RateLimited) as caught:
        await guard.check(from_address("10.0.0.1"))
    assert caught.value.retry_after in (59, 60, 61)
    assert caught.value.message == (
        "Too many requests without a valid API key from this address: 2 per 1 minute are allowed."
        f" Try again in {caught.value.retry_after} s, or send a valid key."
    )
    assert observer.rejections == [("anonymous", "ip")]


async def test_all_paths_share_one_bucket_and_addresses_do_not() -> None:
    guard = IpGuard("3/minute")
    scans = [from_address("10.0.0.1", path=f"/{number}") for number in range(9)]
    assert await num_allowed(guard, *scans) == 3
    assert await num_allowed(guard, from_address("10.0.0.2")) == 1


async def test_a_refused_request_does_not_prolong_the_refusal() -> None:
    guard = IpGuard("1/second")
    await guard.check(from_address("10.0.0.1"))
    with pytest.raises(RateLimited) as caught:
        await guard.check(from_address("10.0.0.1"))
    assert await num_allowed(guard, *[from_address("10.0.0.1")] * 20) == 0
    assert caught.value.retry_after is not None
    await asyncio.sleep(caught.value.retry_after)  # the promise itself is under test
    await guard.check(from_address("10.0.0.1"))


async def test_two_guards_on_one_redis_count_together(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with (
        guarded(redis_server, observer) as (one, _),
        guarded(redis_server, observer) as (
            two,
            _,
        ),
    ):
        allowed = await asyncio.gather(
            num_allowed(one, *[from_address("10.0.0.1")] * 10),
            num_allowed(two, *[from_address("10.0.0.1")] * 10),
        )
        assert sum(allowed) == 5
        assert one.storage == "redis"
        assert {op for op, _ in observer.operations} == {"ip"}


async def test_a_slow_redis_does_not_freeze_the_event_loop(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with guarded(redis_server, observer) as (guard, _):
        await guard.check(from_address("10.0.0.9"))
        redis_server.pause()
        checks = asyncio.create_task(num_allowed(guard, *[from_address("10.0.0.1")] * 4))
        num_beats = 0
        while not checks.done():
            await asyncio.wait({checks}, timeout=0.01)
            num_beats += 1
        redis_server.resume()
        assert await checks == 4
        assert num_beats >= 5  # a blocked loop has one


async def test_a_redis_that_hangs_or_dies_under_load_costs_no_request(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with guarded(redis_server, observer, "5/minute") as (guard, link):
        await link.start()
        assert await num_allowed(guard, *[from_address("10.0.0.1")] * 9) == 5
        for harm in (redis_server.pause, redis_server.kill):
            harm()
            address = f"10.0.1.{len(observer.ups)}"
            assert await num_allowed(guard, *[from_address(address)] * 50) == 5
            assert guard.storage == "in-process (redis is away)"
            assert observer.ups[-1] is False
            if harm == redis_server.pause:
                redis_server.resume()
                await observer.changed_to(True, False, True)
        await asyncio.to_thread(redis_server.start)
        await observer.changed_to(True, False, True, False, True)
        assert guard.storage == "redis"
        assert await num_allowed(guard, *[from_address("10.0.2.1")] * 9) == 5
        with redis_server.client() as client:
            assert any(b"10.0.2.1" in name for name in client.scan_iter())


async def test_refusals_do_not_fill_the_log_with_addresses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await num_allowed(IpGuard("1/minute"), *[from_address("10.0.0.1")] * 5)
    assert caplog.records == []


async def test_slowapi_cannot_be_switched_off_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RATELIMIT_ENABLED", "false")
    assert await num_allowed(IpGuard("1/minute"), *[from_address("10.0.0.1")] * 5) == 1


@pytest.mark.parametrize("limit", ["", "sixty", "60", "0/minute", "60/minute;1000/hour"])
def test_a_malformed_limit_is_refused_at_the_start(limit: str) -> None:
    with pytest.raises(ValueError, match="LLM_IP_RATE_LIMIT must be one limit like 60/minute"):
        IpGuard(limit)


def test_a_malformed_proxy_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"LLM_TRUSTED_PROXIES: '10\.0\.0\.0/99' is not"):
        IpGuard("60/minute", trusted_proxies="127.0.0.1, 10.0.0.0/99")


async def test_slowapi_meets_a_dead_redis_before_anyone_else_and_no_call_fails(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    """Several threads fail at once; slowapi forgives the first of them only."""
    async with guarded(redis_server, observer, "9/minute") as (guard, _):
        assert await num_allowed(guard, *[from_address("10.0.0.1")] * 8) == 8
        await asyncio.to_thread(redis_server.kill)
        assert await num_allowed(guard, *[from_address("10.0.0.2")] * 30) == 9
        assert observer.ups == [False]
