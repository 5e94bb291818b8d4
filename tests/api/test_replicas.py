"""Cancelling over HTTP where two replicas share a Redis: whichever is asked, it reaches both."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from llm_service.access import cancellation, redis
from llm_service.access.cancellation import CHANNEL
from tests.redis_server import RedisServer, running_redis
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

WAIT_SECONDS = 30

# A replica that never gives a token. Says its address, then a word for each request it runs,
# among what the service prints.
PROCESS = """
import pathlib, sys
from pydantic import SecretStr
from llm_service.access import redis
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

redis.CALL_SECONDS = redis.MAX_CALL_SECONDS = 30.0  # a busy machine is waited for
engine, url = FakeEngine(), SecretStr(sys.argv[2])
state = pathlib.Path(sys.argv[1])
with RunningService(state, engine=engine, redis_url=url, drain_seconds=0) as service:
    engine.hold()
    print("said", service.url, flush=True)
    while True:
        engine.submitted.acquire()
        print("said", "running", flush=True)
"""


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(str(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def here(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    state, url = tmp_path_factory.mktemp("here"), SecretStr(redis_server.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cancellation, "ANSWER_SECONDS", WAIT_SECONDS)
        patch.setattr(redis, "CALL_SECONDS", WAIT_SECONDS)
        patch.setattr(redis, "MAX_CALL_SECONDS", WAIT_SECONDS)
        patch.setattr(redis, "LISTEN_SECONDS", 0.05)  # most of the time nobody says a word
        with (
            RunningService(state, engine=FakeEngine(), redis_url=url) as service,
            service.client() as http,
        ):
            yield http


class Replica:
    """One in a process of its own."""

    def __init__(self, state: Path, redis_url: str) -> None:
        command = [sys.executable, "-c", PROCESS, str(state), redis_url]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.http = httpx.Client(
            base_url=self.said(),
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=WAIT_SECONDS,
        )

    def said(self) -> str:
        assert self.process.stdout is not None
        lines = (line.split() for line in self.process.stdout)
        return next(words[1] for words in lines if words[:1] == ["said"])

    def complete(self, request_id: str) -> httpx.Response:
        body = {"model": "pocket", "prompt": "Hi", "max_tokens": 1}
        return self.http.post("/v1/completions", json=body, headers={"x-request-id": request_id})


@pytest.fixture(scope="module")
def there(
    redis_server: RedisServer,
    here: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Replica]:
    replica = Replica(tmp_path_factory.mktemp("there"), redis_server.url)
    with contextlib.closing(redis_server.client()) as client:
        eventually(lambda: client.pubsub_numsub(CHANNEL)[0][1] == 2)
    yield replica
    replica.http.close()
    replica.process.kill()
    replica.process.communicate()


def eventually(is_so: Callable[[], bool]) -> None:
    """Redis sends no event that says who listens."""
    ends = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


def refusal(http: httpx.Client, request_id: str) -> str:
    answer = http.delete(f"/api/requests/{request_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    message: str = answer.json()["error"]["message"]
    return message


def test_a_request_is_cancelled_through_the_replica_that_does_not_run_it(
    here: httpx.Client, there: Replica
) -> None:
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(there.complete, "far-1")
        assert there.said() == "running"
        cancelled = here.delete("/api/requests/far-1")
        assert (cancelled.status_code, cancelled.json()["outcome"]) == (202, "cancelled")
        assert answer.result(WAIT_SECONDS).json()["error"]["code"] == "cancelled_by_operator"
    assert there.http.get("/api/requests").json()["running"] == []


def test_what_no_replica_runs_is_404_without_a_doubt(here: httpx.Client, there: Replica) -> None:
    assert refusal(here, "never") == "No request with the id 'never' is running."


def test_each_list_says_whose_it_is(here: httpx.Client, there: Replica) -> None:
    ours, theirs = (http.get("/api/requests").json() for http in (here, there.http))
    assert ours["replica"] != theirs["replica"]
    assert theirs["replica"].endswith(f"-{there.process.pid}")


def test_what_others_say_on_the_channel_stops_nobody_from_listening(
    here: httpx.Client, there: Replica, redis_server: RedisServer
) -> None:
    with contextlib.closing(redis_server.client()) as client:
        for nonsense in (b"\xff", b"[]", b'{"question": 1}', b'{"answers": "?"}', b"{"):
            assert client.publish(CHANNEL, nonsense) == 2
    test_what_no_replica_runs_is_404_without_a_doubt(here, there)


def test_a_replica_that_does_not_answer_leaves_a_doubt(
    here: httpx.Client,
    there: Replica,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "ANSWER_SECONDS", 0.2)
    words = "is running here, and not every other replica could be asked."
    with (
        contextlib.closing(redis_server.client()) as client,
        contextlib.closing(client.pubsub()) as deaf,
    ):
        deaf.subscribe(CHANNEL)
        assert deaf.get_message(timeout=WAIT_SECONDS) is not None
        assert refusal(here, "never").endswith(words)


def test_without_redis_the_replica_that_is_asked_still_cancels_its_own_and_later_all_do_again(
    here: httpx.Client,
    there: Replica,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "ANSWER_SECONDS", 1.0)  # asked again until both are back
    redis_server.kill()
    try:
        assert refusal(here, "never").endswith("not every other replica could be asked.")
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(there.complete, "near-1")
            assert there.said() == "running"
            assert there.http.delete("/api/requests/near-1").status_code == 202
            assert answer.result(WAIT_SECONDS).status_code == 499
    finally:
        redis_server.start()
    with contextlib.closing(redis_server.client()) as client:
        eventually(lambda: client.pubsub_numsub(CHANNEL)[0][1] == 2)
    eventually(lambda: refusal(here, "never").endswith("is running."))
    test_a_request_is_cancelled_through_the_replica_that_does_not_run_it(here, there)
