"""GET /api/now of a running service: staged incidents, each told as it is."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from llm_service.access.keys import Scope
from llm_service.errors import EngineFailed
from tests.redis_server import running_redis
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

CHAT = "/v1/chat/completions"
WAIT_SECONDS = 300  # a start takes minutes on a very busy machine


def body(**options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hi"}]
    return {"model": "pocket", "messages": messages, "max_tokens": 4, **options}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def service(tmp_path: Path, engine: FakeEngine) -> Iterator[RunningService]:
    with RunningService(tmp_path, engine=engine, drain_seconds=0) as service:
        yield service


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as http:
        yield http


def now_of(http: httpx.Client) -> dict[str, Any]:
    answer = http.get("/api/now")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(http: httpx.Client, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = now_of(http)
        if is_so(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_it_needs_the_scope_metrics(service: RunningService) -> None:
    store = service.app.state.runtime.keys
    _, secret = store.create("chatter", {Scope.INFERENCE})
    with service.client(None) as nobody, service.client(secret) as chatter:
        assert nobody.get("/api/now").status_code == 401
        assert chatter.get("/api/now").status_code == 403


def test_no_traffic_is_zero_requests_and_no_latency(http: httpx.Client) -> None:
    now = now_of(http)
    assert now["state"] == "ready"
    assert (now["requests"]["total"], now["requests"]["counted"]) == (0, 0)
    assert now["ttft"]["count"] == 0
    assert now["ttft"]["p95"] is None
    assert now["inter_token"]["p95"] is None
    assert now["window_seconds"] <= 70
    assert now["runs"] == {**now["runs"], "previous": None, "crashes": [], "problem": ""}


def test_few_requests_are_counted_one_by_one_with_their_first_tokens(http: httpx.Client) -> None:
    for _ in range(3):
        assert http.post(CHAT, json=body()).status_code == 200
    now = now_of(http)
    assert now["requests"]["by_outcome"]["length"] == now["requests"]["total"] == 3
    assert (now["requests"]["counted"], now["requests"]["failed"]) == (3, 0)
    assert now["requests"]["per_second"] == pytest.approx(3 / now["window_seconds"])
    records = http.get("/api/requests").json()["requests"]
    times = sorted(record["ttft_seconds"] for record in records)
    assert now["ttft"]["count"] == 3
    assert now["ttft"]["p50"] == {"seconds": times[1], "bound": ""}
    assert now["ttft"]["p95"] == {"seconds": times[2], "bound": ""}


def test_a_storm_of_429_is_told_as_refusals_by_a_limit_and_not_as_errors(
    service: RunningService, http: httpx.Client
) -> None:
    _, secret = service.app.state.runtime.keys.create("limited", {Scope.INFERENCE}, rpm=2)
    with service.client(secret) as limited:
        codes = [limited.post(CHAT, json=body()).status_code for _ in range(40)]
    assert codes == [200] * 2 + [429] * 38
    now = now_of(http)
    assert now["requests"]["by_outcome"]["rejected"] == now["refused"]["limit"] == 38
    assert now["limits"]["requests"] == 38
    assert (now["requests"]["counted"], now["requests"]["failed"]) == (2, 0)
    assert now["refused"] == {**now["refused"], "queue_full": 0, "unavailable": 0, "invalid": 0}


def test_callers_without_a_key_that_are_refused_by_address_are_told(
    tmp_path: Path, engine: FakeEngine
) -> None:
    with (
        RunningService(tmp_path, engine=engine, ip_rate_limit="2/minute") as service,
        service.client("llms_nobody-has-this-key") as stranger,
        service.client() as http,
    ):
        codes = [stranger.post(CHAT, json=body()).status_code for _ in range(5)]
        assert codes == [401] * 2 + [429] * 3
        assert now_of(http)["limits"]["ip"] == 3


def test_a_full_queue_is_told_and_counts_as_failed(http: httpx.Client, engine: FakeEngine) -> None:
    with open_streams(http, engine, 8):
        codes = [http.post(CHAT, json=body()).status_code for _ in range(5)]
        assert codes == [503] * 5
        now = now_of(http)
        assert now["refused"]["queue_full"] == 5
        assert (now["requests"]["counted"], now["requests"]["failed"]) == (5, 5)
        assert now["engine"]["running"] == 8


def test_invalid_requests_are_neither_refusals_nor_failures(http: httpx.Client) -> None:
    assert http.post(CHAT, json=body(max_tokens=-1)).status_code == 400
    now = now_of(http)
    assert now["refused"]["invalid"] == 1
    assert now["requests"]["counted"] == now["requests"]["failed"] == 0


def test_a_request_that_waits_for_its_first_token_is_told_while_it_waits(
    http: httpx.Client, engine: FakeEngine
) -> None:
    engine.hold()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.post, CHAT, json=body())
        assert engine.submitted.acquire(timeout=WAIT_SECONDS)
        waiting = until(http, lambda now: now["ttft"]["longest_wait_seconds"] is not None)
        assert waiting["ttft"]["count"] == 0
        engine.release()
        assert answer.result().status_code == 200
    assert now_of(http)["ttft"]["longest_wait_seconds"] is None


def test_the_first_token_of_a_request_that_still_runs_is_counted(
    http: httpx.Client, engine: FakeEngine
) -> None:
    with open_streams(http, engine, 2):
        now = now_of(http)
        assert now["requests"]["total"] == 0
        assert now["ttft"]["count"] == 2
        assert now["ttft"]["longest_wait_seconds"] is None


def test_failures_are_a_share_of_the_counted_requests(
    http: httpx.Client, engine: FakeEngine
) -> None:
    http.post(CHAT, json=body())
    with open_streams(http, engine, 1):
        engine.fail_all(EngineFailed("boom"))
        until(http, lambda now: now["requests"]["total"] == 2)
    now = now_of(http)
    assert (now["requests"]["counted"], now["requests"]["failed"]) == (2, 1)


def test_memory_is_a_total_and_its_parts(http: httpx.Client) -> None:
    memory = now_of(http)["memory"]
    parts = ("weights", "kv_cache", "compute", "other", "file")
    assert sum(memory[f"{part}_bytes"] for part in parts) == memory["total_bytes"]
    rows = Path("/proc/self/status").read_text().splitlines()
    [resident] = [int(row.split()[1]) * 1024 for row in rows if row.startswith("VmRSS")]
    assert memory["total_bytes"] == pytest.approx(resident, rel=0.05)
    assert memory["held_bytes"] == memory["total_bytes"] - memory["file_bytes"]


def test_a_drained_service_says_so(service: RunningService, http: httpx.Client) -> None:
    runtime = service.app.state.runtime
    runtime.models.is_stopping = True
    assert now_of(http)["state"] == "drained"
    runtime.models.is_stopping = False


def test_requests_that_run_while_the_service_stops_make_it_draining(
    service: RunningService, http: httpx.Client, engine: FakeEngine
) -> None:
    with open_streams(http, engine, 1):
        service.app.state.runtime.models.is_stopping = True
        assert now_of(http)["state"] == "draining"
    service.app.state.runtime.models.is_stopping = False


def test_before_a_model_is_loaded_it_is_loading_and_refusals_are_excused(
    service: RunningService, http: httpx.Client
) -> None:
    models = service.app.state.services.models
    model = models.remove("pocket")
    try:
        assert http.post(CHAT, json=body()).status_code == 503
        now = now_of(http)
        models.has_failed = True
        failed = now_of(http)
    finally:
        models.add(model)
        models.has_failed = False
    assert (now["state"], now["reason"]) == ("loading", "The model is loading.")
    assert now["refused"]["loading"] == 1
    assert now["requests"]["failed"] == 0
    assert failed["state"] == "load_failed"


def test_a_redis_that_goes_away_is_told_with_how_long(tmp_path: Path, engine: FakeEngine) -> None:
    with running_redis(str(tmp_path)) as redis_server:
        url = SecretStr(redis_server.url)
        with (
            RunningService(tmp_path / "state", engine=engine, redis_url=url) as service,
            service.client() as http,
        ):
            # A busy machine may need a second try.
            here = until(http, lambda now: now["limits"]["storage"] == "redis")
            assert here["limits"]["redis_away_seconds"] is None
            redis_server.kill()
            away = until(http, lambda now: (now["limits"]["redis_away_seconds"] or 0) > 0)
            assert away["limits"]["storage"] == "in-process (redis is away)"
            redis_server.start()
            until(http, lambda now: now["limits"]["redis_away_seconds"] is None)


@contextmanager
def open_streams(http: httpx.Client, engine: FakeEngine, number: int) -> Iterator[None]:
    """So many streams that stand still after their first token."""
    engine.hold(after=1)
    open_lines = []  # an iterator that is dropped hangs up
    with ExitStack() as stack:
        for _ in range(number):
            response = stack.enter_context(
                http.stream("POST", CHAT, json=body(stream=True, max_tokens=900))
            )
            open_lines.append(response.iter_lines())
            next(open_lines[-1])
        yield


class Process:
    """The service with its bundled model, as a process that can be killed."""

    def __init__(self, state: Path) -> None:
        environment = {
            **os.environ,
            "LLM_STATE_DIR": str(state),
            "LLM_ADMIN_KEY": ADMIN_KEY,
            "LLM_PORT": "0",
            "LLM_DEFAULT_RPM": "0",
            "LLM_MAX_BATCH_SIZE": "1",
        }
        command = [sys.executable, "-m", "llm_service", "serve"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"API +(http://\S+)/v1", line):
                headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
                self.http = httpx.Client(
                    base_url=found[1],
                    headers=headers,
                    timeout=WAIT_SECONDS,
                    limits=httpx.Limits(max_connections=50),
                )
                return
        raise AssertionError("the service did not start")

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(WAIT_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.http.close()


def file_counts(state: Path) -> int:
    [path] = state.glob("run-*.json")
    groups = json.loads(path.read_text())["open_requests"]
    return sum(group["count"] for group in groups)


def test_after_a_kill_the_next_start_tells_and_counts_the_open_streams(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = Process(state)
    long = body(stream=True, max_tokens=1900, min_tokens=1900, ignore_eos=True)
    with ThreadPoolExecutor(20) as pool, ExitStack() as stack:
        # At once, and one computed after the other: none ends before the last has begun.
        streams = [first.http.stream("POST", CHAT, json=long) for _ in range(20)]
        opened = [pool.submit(stack.enter_context, stream) for stream in streams]
        deadline = time.monotonic() + WAIT_SECONDS
        while file_counts(state) != 20:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert {each.result().status_code for each in opened} == {200}
        first.end(signal.SIGKILL)
    assert file_counts(state) == 20

    second = Process(state)
    runs = now_of(second.http)["runs"]
    [crash] = runs["crashes"]
    assert crash == runs["previous"]
    assert (crash["reason"], crash["num_cut"]) in (("killed", 20), ("out_of_memory", 20))
    assert crash["ended_at"] < runs["started_at"]
    text = second.http.get("/metrics").text
    counted = re.findall(r'llm_request_errors_total\{kind="crashed",phase="\w+"\} (\d+)', text)
    assert sum(map(int, counted)) == 20
    # Not the last minute: a start may take longer on a busy machine.
    availability = second.http.get("/api/alerts").json()["objectives"][0]
    assert (availability["num_requests"], availability["good_ratio"]) == (20, 0)
    second.end(signal.SIGSEGV)

    third = Process(state)
    runs = now_of(third.http)["runs"]
    assert (runs["previous"]["reason"], runs["previous"]["detail"]) == (
        "crashed",
        "Segmentation fault",
    )
    assert len(runs["crashes"]) == 2
    third.end(signal.SIGTERM)
