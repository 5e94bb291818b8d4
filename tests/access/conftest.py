"""Keys, an observer that remembers, and a Redis of its own for each test that asks."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_service.access.keys import ApiKey, KeyStore, Scope
from tests.redis_server import RedisServer, running_redis


class RecordingObserver:
    def __init__(self) -> None:
        self.ups: list[bool] = []
        self.operations: list[tuple[str, float]] = []
        self.rejections: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def redis_up(self, is_up: bool) -> None:
        self.ups.append(is_up)
        self._changed.set()

    async def changed_to(self, *ups: bool) -> None:
        """Wait until `redis_up` has been told exactly these, in this order."""
        await self._until(lambda: self.ups == list(ups))

    async def operated(self, op: str, times: int) -> None:
        await self._until(lambda: [name for name, _ in self.operations].count(op) >= times)

    async def _until(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_reached():
                self._changed.clear()
                await self._changed.wait()

    def redis_operation(self, op: str, seconds: float) -> None:
        self.operations.append((op, seconds))
        self._changed.set()

    def rejected(self, key_name: str, limit: str) -> None:
        self.rejections.append((key_name, limit))


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(str(tmp_path)) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    keys = KeyStore.open(tmp_path / "state", default_rpm=600)
    yield keys
    keys.close()


def make_key(rpm: int, name: str = "alice") -> ApiKey:
    scopes = frozenset({Scope.INFERENCE})
    return ApiKey(name, scopes, rpm, "database", cache_salt="salt", id=name)
