"""A service that nobody asks anything knows all the same whether its Redis is there."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from llm_service.access import redis
from llm_service.access.redis import RedisLink
from tests.access.conftest import RecordingObserver
from tests.redis_server import RedisServer
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

WAIT_SECONDS = 30


@asynccontextmanager
async def watched(server: RedisServer, observer: RecordingObserver) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.url, observer, probe_seconds=0.05)
    watching = asyncio.create_task(link.watch())
    try:
        yield link
    finally:
        watching.cancel()
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.wait({watching})
        assert watching.cancelled()
        await link.aclose()


@pytest.fixture(autouse=True)
def _quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "WATCH_SECONDS", 0.05)


@pytest.mark.anyio
async def test_redis_killed_and_started_again_is_noticed_without_a_request(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    async with watched(redis_server, observer) as link:
        await link.start()
        await asyncio.to_thread(redis_server.kill)
        await observer.changed_to(True, False)
        assert not link.is_up
        await asyncio.to_thread(redis_server.start)
        await observer.changed_to(True, False, True)
        assert {op for op, _ in observer.operations} == {"ping"}


@pytest.mark.anyio
async def test_watching_ends_at_once_when_cancelled_while_redis_hangs(
    redis_server: RedisServer, observer: RecordingObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "CALL_SECONDS", 600)
    monkeypatch.setattr(redis, "MAX_CALL_SECONDS", 600)
    async with watched(redis_server, observer) as link:
        redis_server.pause()
        ping, asked = link.ping, asyncio.Event()

        async def ping_and_tell() -> None:
            asked.set()
            await ping()

        monkeypatch.setattr(link, "ping", ping_and_tell)
        async with asyncio.timeout(WAIT_SECONDS):
            await asked.wait()
    redis_server.resume()
    assert observer.ups == []


def test_the_metric_of_an_idle_service_follows_its_redis(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url = SecretStr(redis_server.url)
    with RunningService(tmp_path / "state", engine=FakeEngine(), redis_url=url) as service:
        registry = service.app.state.services.metrics.registry

        def becomes(value: float) -> bool:
            deadline = time.monotonic() + WAIT_SECONDS
            while registry.get_sample_value("llm_redis_up") != value:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            return True

        assert becomes(1)
        redis_server.kill()
        assert becomes(0)
        redis_server.start()
        assert becomes(1)
