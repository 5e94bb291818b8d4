"""Listening on a channel of Redis ends when it is told to."""

import asyncio
from pathlib import Path

import pytest

from llm_service.access import redis
from llm_service.access.redis import RedisLink
from tests.redis_server import running_redis


def test_a_listener_ends_when_it_is_cancelled_whatever_it_is_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py loses a cancellation that meets the end of its own wait, which is short here."""
    monkeypatch.setattr(redis, "LISTEN_SECONDS", 0.001)

    async def listen(link: RedisLink) -> None:
        async for _ in link.listen("channel"):
            pass

    async def cancel_often(link: RedisLink) -> None:
        for i in range(150):
            listener = asyncio.create_task(listen(link))
            await asyncio.wait([listener], timeout=i % 10 / 1000)
            listener.cancel()
            done, _ = await asyncio.wait([listener], timeout=30)
            assert done, "the listener goes on"

    with running_redis(str(tmp_path)) as server:
        asyncio.run(cancel_often(RedisLink(server.url)))
