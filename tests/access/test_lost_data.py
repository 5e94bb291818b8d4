"""Redis loses its data while the connection lives: no limit begins anew."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from llm_service.access.ip_guard import IpGuard
from llm_service.access.limits import Limiter
from llm_service.access.redis import RedisLink
from llm_service.errors import RateLimited
from tests.access.conftest import RecordingObserver, make_key
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.anyio

RPM = 60
LOG = "llm:requests:{alice}"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def until(is_reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_reached():  # noqa: ASYNC110 - another program's state
            await asyncio.sleep(0.01)


@asynccontextmanager
async def processes(
    server: RedisServer, number: int, clock: Callable[[], float] | None = None
) -> AsyncIterator[list[Limiter]]:
    """Limiters that share `server`, each listening, as in `number` service processes."""
    limiters, listening = [], []
    async with AsyncExitStack() as stack:
        for _ in range(number):
            link = RedisLink(server.url, probe_seconds=0.05)
            stack.push_async_callback(link.aclose)
            limiters.append(Limiter(link) if clock is None else Limiter(link, clock=clock))
            listening.append(asyncio.create_task(limiters[-1].run()))
        with server.client() as client:
            await until(lambda: client.pubsub_numsub("llm:generations")[0][1] == number)
        try:
            yield limiters
        finally:
            for task in listening:
                task.cancel()
            await asyncio.wait(listening)


async def num_admitted(limiter: Limiter, times: int = 2 * RPM, rpm: int = RPM) -> int:
    admitted = 0
    for _ in range(times):
        with suppress(RateLimited):
            await limiter.admit(make_key(rpm), 1)
            admitted += 1
    return admitted


async def test_flushall_after_an_idle_time_gives_a_key_nothing_anew(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with processes(redis_server, 1, clock) as [limiter]:
        assert await num_admitted(limiter) == RPM
        clock.now += 45
        with redis_server.client() as client:
            client.flushall()
            assert await num_admitted(limiter) == 0
            assert client.zcard(LOG) == RPM
        assert limiter.storage == "redis"  # it never counted by itself
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert "lost its data" in caplog.text


async def test_flushall_between_two_processes_is_noticed_by_the_one_that_has_nothing_to_miss(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 2) as [one, two]:
        assert await num_admitted(one) == RPM
        with redis_server.client() as client:
            client.flushall()
        assert await num_admitted(two) == 0


async def test_after_flushall_each_process_tells_what_it_knows_and_nothing_counts_twice(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 3) as limiters:
        for limiter in limiters:
            assert await num_admitted(limiter, times=10) == 10
        with redis_server.client() as client:
            for _ in range(3):
                client.flushall()
                assert await num_admitted(limiters[0], times=1) == 1
        assert sum([await num_admitted(limiter) for limiter in limiters]) == RPM - 33


async def test_requests_in_flight_while_redis_is_emptied_are_not_forgotten(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 2) as limiters:
        with redis_server.client() as client:
            loads = [asyncio.create_task(num_admitted(limiter, 400, 300)) for limiter in limiters]
            for _ in range(5):
                await asyncio.sleep(0.02)  # anywhere in the load
                await asyncio.to_thread(client.flushall)
            admitted = sum(await asyncio.gather(*loads))
        assert admitted == 300


async def test_a_restart_without_persistence_between_two_requests_gives_nothing_anew(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 2) as [one, two]:
        assert await num_admitted(one) == RPM
        await asyncio.to_thread(redis_server.kill)
        await asyncio.to_thread(redis_server.start)
        assert await num_admitted(one) == 0
        await until(lambda: two.storage == "redis")
        assert await num_admitted(two) == 0


async def test_forgotten_scripts_are_sent_again_and_nothing_is_lost(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 1) as [limiter]:
        assert await num_admitted(limiter, times=RPM - 1) == RPM - 1
        with redis_server.client() as client:
            client.script_flush()
        assert await num_admitted(limiter) == 1
        assert limiter.storage == "redis"


async def test_a_log_that_redis_evicts_alone_is_written_again(redis_server: RedisServer) -> None:
    clock = Clock()
    async with processes(redis_server, 1, clock) as [limiter]:
        assert await num_admitted(limiter) == RPM
        clock.now += 45
        with redis_server.client() as client:
            client.delete(LOG)  # what an eviction by maxmemory does
            assert await num_admitted(limiter) == 0
            assert client.zcard(LOG) == RPM


async def test_a_redis_too_small_to_keep_anything_leaves_limits_to_the_process(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 1) as [limiter]:
        assert await num_admitted(limiter, times=5) == 5
        with redis_server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-random")
            client.config_set("maxmemory", "1")
        assert await num_admitted(limiter) == RPM - 5


async def test_a_failover_to_an_empty_replica_gives_nothing_anew(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same address answers from another server, which has no data and other connections."""
    async with processes(redis_server, 1) as [limiter]:
        assert await num_admitted(limiter) == RPM
        with (
            redis_server.client() as client,
            running_redis(str(tmp_path_factory.mktemp("r"))) as new,
        ):
            client.execute_command("REPLICAOF", "127.0.0.1", new.port)  # empties it
            await until(lambda: client.info("replication")["master_link_status"] == "up")
            client.execute_command("REPLICAOF", "NO", "ONE")
            assert client.exists(LOG) == 0
        assert await num_admitted(limiter) == 0


async def test_a_process_that_stays_silent_does_not_hold_up_the_others(
    redis_server: RedisServer,
) -> None:
    async with processes(redis_server, 1) as [limiter]:
        assert await num_admitted(limiter, times=1) == 1
        with redis_server.client() as client, client.pubsub() as silent:
            silent.subscribe("llm:generations")
            silent.get_message(timeout=10)
            client.flushall()
            async with asyncio.timeout(60):
                assert await num_admitted(limiter) == RPM - 1
        assert limiter.storage == "redis"


async def test_nonsense_on_the_channel_ends_nothing(redis_server: RedisServer) -> None:
    async with processes(redis_server, 2) as [one, two]:
        assert await num_admitted(one) == RPM
        with redis_server.client() as client:
            for nonsense in (b"\xff", b"{}", b'{"merged": "nobody asked"}', b'{"merge": 7}'):
                assert client.publish("llm:generations", nonsense) == 2
            client.flushall()
        assert await num_admitted(two) == 0


async def test_an_emptied_redis_gives_no_address_its_allowance_anew(
    redis_server: RedisServer, observer: RecordingObserver
) -> None:
    link = RedisLink(redis_server.url, observer)
    guard = IpGuard("5/minute", link)
    scope = {"type": "http", "path": "/", "client": ("10.0.0.1", 1), "headers": []}

    async def num_allowed() -> int:
        checks = (guard.check(scope) for _ in range(9))
        return (await asyncio.gather(*checks, return_exceptions=True)).count(None)

    assert await num_allowed() == 5
    with redis_server.client() as client:
        client.flushall()
    assert await num_allowed() == 0
    assert observer.ups == []
    await link.aclose()


# Two services' worth of real processes, so that nothing is shared but Redis.
PROCESS = """
import asyncio, sys
from llm_service.access import redis
from llm_service.access.limits import Limiter
from llm_service.access.redis import RedisLink
from llm_service.errors import RateLimited
from tests.access.conftest import make_key

redis.CALL_SECONDS = redis.MAX_CALL_SECONDS = 30.0  # a busy machine is waited for

async def main():
    link = RedisLink(sys.argv[1])
    limiter = Limiter(link)
    asyncio.create_task(limiter.run())
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        admitted = 0
        for _ in range(int(line)):
            try:
                await limiter.admit(make_key(60), 1)
                admitted += 1
            except RateLimited:
                pass
        print(admitted, flush=True)

asyncio.run(main())
"""


def test_real_processes_together_stay_within_the_limit_when_redis_is_emptied(
    redis_server: RedisServer,
) -> None:
    command = [sys.executable, "-c", PROCESS, redis_server.url]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    def read(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    def ask(process: subprocess.Popen[str], times: int) -> int:
        assert process.stdin is not None
        process.stdin.write(f"{times}\n")
        process.stdin.flush()
        return int(read(process))

    try:
        assert [read(process) for process in both] == ["ready\n"] * 2
        assert [ask(process, 20) for process in both] == [20, 20]
        with redis_server.client() as client:
            client.flushall()
        assert sum(ask(process, 100) for process in both) == 20
    finally:
        for process in both:
            process.kill()
            process.communicate()
