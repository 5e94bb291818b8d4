"""Two service processes, one Redis, load on both at once: never one request over."""

import subprocess
import sys
from itertools import pairwise

from tests.redis_server import RedisServer

# Prints a line for each admitted request: when it was sent and when the answer was there.
PROCESS = """
import asyncio, sys, time
from llm_service.access import redis
from llm_service.access.keys import ApiKey, Scope
from llm_service.access.limits import Limiter
from llm_service.access.redis import RedisLink
from llm_service.errors import RateLimited

# Counting without Redis is another test's: here a busy machine is waited for.
redis.CALL_SECONDS = redis.MAX_CALL_SECONDS = 30.0
url, rpm, window, duration = sys.argv[1], *map(float, sys.argv[2:])
key = ApiKey("alice", frozenset({Scope.INFERENCE}), int(rpm), "database", cache_salt="")

async def main():
    link = RedisLink(url)
    limiter = Limiter(link, window_seconds=window)
    await link.start()
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + duration
    async def user():
        while time.monotonic() < end:
            sent = time.monotonic()
            try:
                await limiter.admit(key, 1)
                print(sent, time.monotonic())
            except RateLimited as error:
                assert error.retry_after >= 1
            await asyncio.sleep(0.001)
    await asyncio.gather(*(user() for _ in range(8)))
    assert limiter.storage == "redis", limiter.storage
    await link.aclose()

asyncio.run(main())
"""


def admissions(server: RedisServer, rpm: int, window: float, duration: float) -> list[list[float]]:
    """(sent, answered) of each request that either process admitted, by time sent."""
    command = [sys.executable, "-c", PROCESS, server.url, str(rpm), str(window), str(duration)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=120)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert all(outputs), "both processes had requests admitted"
        lines = "".join(outputs).splitlines()
        return sorted([float(time) for time in line.split()] for line in lines)
    finally:
        for process in processes:
            process.kill()


def test_two_processes_admit_together_exactly_the_limit(redis_server: RedisServer) -> None:
    assert len(admissions(redis_server, rpm=60, window=60, duration=1)) == 60


def test_no_window_that_slides_over_both_processes_holds_one_too_many(
    redis_server: RedisServer,
) -> None:
    rpm, window = 20, 0.5
    times = admissions(redis_server, rpm=rpm, window=window, duration=2.5)
    assert len(times) >= 3 * rpm  # the window did slide
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(times))
    for first in range(len(times) - rpm):
        one_too_many = times[first : first + rpm + 1]
        # Each was admitted between sent and answered, so these all would lie within this span.
        span = max(answered for _, answered in one_too_many) - one_too_many[0][0]
        assert span >= window
