"""The limit per key: exact, truthful, and never a reason to fail."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llm_service.access.limits import Limiter, Permit, RequestLimitExceeded
from llm_service.access.redis import RedisLink
from llm_service.errors import RateLimited
from tests.access.conftest import RecordingObserver, make_key
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def admitted(limiter: Limiter, rpm: int, times: int, name: str = "alice") -> list[Permit]:
    """The permits of `times` requests, sent together."""
    key = make_key(rpm, name)
    results = await asyncio.gather(
        *(limiter.admit(key, 10) for _ in range(times)), return_exceptions=True
    )
    assert all(isinstance(result, Permit | RateLimited) for result in results), results
    return [result for result in results if isinstance(result, Permit)]


async def refusal(limiter: Limiter, rpm: int) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        await limiter.admit(make_key(rpm), 10)
    return caught.value


async def test_the_request_over_the_limit_is_refused_in_words_with_numbers() -> None:
    observer, clock = RecordingObserver(), Clock()
    limiter = Limiter(observer=observer, clock=clock)
    assert len(await admitted(limiter, rpm=60, times=60)) == 60
    clock.now += 47.5
    error = await refusal(limiter, rpm=60)
    assert error.message == (
        "The key 'alice' has used its 60 requests per minute."
        " The next one is accepted in 13 seconds."
    )
    assert error.retry_after == 13
    assert isinstance(error, RequestLimitExceeded)
    assert error.limit_state.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "13s",
    }
    assert observer.rejections == [("alice", "requests")]


async def test_the_next_request_is_admitted_after_retry_after_and_not_before() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    await admitted(limiter, rpm=2, times=1)
    clock.now += 20.25
    await admitted(limiter, rpm=2, times=1)
    assert (await refusal(limiter, rpm=2)).retry_after == 40
    clock.now += 39.7
    assert (await refusal(limiter, rpm=2)).retry_after == 1
    clock.now += 0.3
    assert len(await admitted(limiter, rpm=2, times=2)) == 1


async def test_a_permit_says_what_remains() -> None:
    limiter = Limiter()
    first, second = await admitted(limiter, rpm=3, times=2)
    assert first.snapshot is not None
    assert second.snapshot is not None
    assert (first.snapshot.limit, first.snapshot.remaining) == (3, 2)
    assert second.snapshot.remaining == 1
    assert second.snapshot.reset_seconds == pytest.approx(60, abs=0.5)


async def test_a_key_without_limit_is_always_admitted_and_has_no_snapshot() -> None:
    limiter = Limiter()
    permits = await admitted(limiter, rpm=0, times=500)
    assert len(permits) == 500
    assert permits[0].snapshot is None


async def test_keys_do_not_share_a_window() -> None:
    limiter = Limiter()
    assert len(await admitted(limiter, rpm=1, times=3, name="alice")) == 1
    assert len(await admitted(limiter, rpm=1, times=3, name="bob")) == 1


async def test_a_lowered_limit_tells_when_enough_requests_have_left_the_window() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    for _ in range(4):
        await admitted(limiter, rpm=4, times=1)
        clock.now += 10
    assert (await refusal(limiter, rpm=2)).retry_after == 40  # the third of four must leave


@pytest.fixture(params=["in-process", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    if request.param == "in-process":
        yield Limiter()
        return
    link = RedisLink(request.getfixturevalue("redis_server").url)
    limiter = Limiter(link)
    yield limiter
    await limiter.aclose()
    await link.aclose()


async def test_a_refused_request_consumes_nothing(limiter: Limiter) -> None:
    [permit] = await admitted(limiter, rpm=1, times=20)
    permit.refund()
    await limiter.aclose()
    assert len(await admitted(limiter, rpm=1, times=20)) == 1


async def test_a_refund_gives_back_one_request_once(limiter: Limiter) -> None:
    first, _second = await admitted(limiter, rpm=2, times=5)
    first.refund()
    first.refund()
    first.settle(3)
    await limiter.aclose()
    assert len(await admitted(limiter, rpm=2, times=5)) == 1


async def test_a_settled_request_stays_counted(limiter: Limiter) -> None:
    [permit] = await admitted(limiter, rpm=1, times=2)
    permit.settle(7)
    permit.refund()
    await limiter.aclose()
    assert await admitted(limiter, rpm=1, times=5) == []


async def test_a_refund_works_in_the_finally_of_a_cancelled_task(limiter: Limiter) -> None:
    is_admitted = asyncio.Event()

    async def serve() -> None:
        permit = await limiter.admit(make_key(1), 10)
        try:
            is_admitted.set()
            await asyncio.Event().wait()
        finally:
            permit.refund()

    task = asyncio.create_task(serve())
    await is_admitted.wait()
    task.cancel()
    await asyncio.wait({task})
    await limiter.aclose()
    assert len(await admitted(limiter, rpm=1, times=5)) == 1


async def test_concurrent_requests_are_admitted_exactly_up_to_the_limit(limiter: Limiter) -> None:
    permits = await admitted(limiter, rpm=50, times=200)
    assert len(permits) == 50
    remaining = sorted(permit.snapshot.remaining for permit in permits if permit.snapshot)
    assert remaining == list(range(50))


async def test_a_process_remembers_no_admissions_older_than_the_window(limiter: Limiter) -> None:
    clock = Clock()
    limiter._clock = clock
    for _ in range(5):
        permits = await admitted(limiter, rpm=1000, times=10)
        permits[0].refund()
        clock.now += 40
    await limiter.aclose()
    assert len(limiter._windows["alice"]._admitted_at) <= 2 * 10
    assert len(limiter._owed["alice"]._admitted_at) == 0


async def test_a_peek_tells_what_remains_and_charges_nothing(limiter: Limiter) -> None:
    key = make_key(3)
    fresh = await limiter.peek(key)
    assert fresh is not None
    assert (fresh.limit, fresh.remaining, fresh.reset_seconds) == (3, 3, 0)
    await admitted(limiter, rpm=3, times=2)
    for _ in range(5):
        state = await limiter.peek(key)
        assert state is not None
        assert state.remaining == 1
        assert state.reset_seconds == pytest.approx(60, abs=15)
    assert len(await admitted(limiter, rpm=3, times=5)) == 1
    spent = await limiter.peek(key)
    assert spent is not None
    assert spent.remaining == 0
    assert (await refusal(limiter, rpm=3)).retry_after == pytest.approx(spent.reset_seconds, abs=15)
    assert await limiter.peek(make_key(0)) is None


async def test_a_peek_goes_on_without_redis(redis_server: RedisServer) -> None:
    link = RedisLink(redis_server.url)
    limiter = Limiter(link)
    await admitted(limiter, rpm=3, times=2)
    redis_server.kill()
    state = await limiter.peek(make_key(3))
    assert state is not None
    assert state.remaining == 1
    await limiter.aclose()
    await link.aclose()
