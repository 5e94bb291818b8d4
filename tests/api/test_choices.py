"""One key cannot hold the queue: its choices are bounded, and others' come in between."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from llm_service.errors import DeadlineExceeded, EngineFailed
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ALICE, BOB = "alice-key-for-tests-0123", "bob-key-for-tests-0123456"
KEYS = SecretStr(f"alice:{ALICE},bob:{BOB}")
BODY = {"model": "pocket", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
WAIT_SECONDS = 30


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def leashed(tmp_path: Path, engine: FakeEngine) -> Iterator[RunningService]:
    """At most four choices per key."""
    with RunningService(
        tmp_path, engine=engine, api_keys=KEYS, max_choices_per_key=4, drain_seconds=1
    ) as service:
        yield service


def num_held(service: RunningService) -> int:
    uses = service.app.state.services.limiter._choices._uses
    return sum(use.number for use in list(uses.values()))


def assert_free(service: RunningService) -> None:
    """All is given back, and four choices fit again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while num_held(service) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert num_held(service) == 0
    service.app.state.services.engine.engine.release()
    with service.client(ALICE) as http:
        assert http.post(CHAT, json={**BODY, "n": 4}).status_code == 200
    assert num_held(service) == 0


def test_the_choice_over_the_bound_is_429_in_words_with_numbers(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold()
    with leashed.client(ALICE) as http, ThreadPoolExecutor(2) as pool:
        held = pool.submit(http.post, CHAT, json={**BODY, "n": 3})
        assert all(engine.submitted.acquire(timeout=WAIT_SECONDS) for _ in range(3))
        refused = http.post(CHAT, json={**BODY, "n": 2})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (429, "rate_limit_exceeded")
        assert error["message"].startswith(
            "The key 'alice' has 3 choices waiting or running, and may have 4 at once;"
            " this request asks for 2 more."
        )
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        with leashed.client(BOB) as other:  # another key has its own bound
            more = pool.submit(other.post, CHAT, json={**BODY, "n": 4})
            assert all(engine.submitted.acquire(timeout=WAIT_SECONDS) for _ in range(4))
            engine.release()
            assert held.result(WAIT_SECONDS).status_code == 200
        assert more.result(WAIT_SECONDS).status_code == 200
    with leashed.client() as http:
        metrics = http.get("/metrics").text
    assert 'llm_rate_limit_rejections_total{key_name="alice",limit="concurrency"} 1.0' in metrics
    assert_free(leashed)


def test_a_request_that_could_never_fit_is_400_with_both_numbers(leashed: RunningService) -> None:
    with leashed.client(ALICE) as http:
        answer = http.post(CHAT, json={**BODY, "n": 5})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"
    assert "5 choices" in answer.json()["error"]["message"]
    assert "at most 4" in answer.json()["error"]["message"]
    assert_free(leashed)


def test_a_refused_request_costs_none_of_the_requests_per_minute(
    tmp_path: Path, engine: FakeEngine
) -> None:
    with (
        RunningService(
            tmp_path, engine=engine, api_keys=KEYS, max_choices_per_key=1, default_rpm=10
        ) as service,
        service.client(ALICE) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        engine.hold()
        held = pool.submit(http.post, CHAT, json=BODY)
        assert engine.submitted.acquire(timeout=WAIT_SECONDS)
        assert [http.post(CHAT, json=BODY).status_code for _ in range(20)] == [429] * 20
        engine.release()
        assert held.result(WAIT_SECONDS).headers["x-ratelimit-remaining-requests"] == "9"
        # And one that the limit per minute refuses holds no choice.
        assert [http.post(CHAT, json=BODY).status_code for _ in range(12)].count(200) == 9
        assert num_held(service) == 0


def test_a_stream_that_is_left_gives_its_choices_back(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold(after=1)
    request = {**BODY, "stream": True, "n": 4, "max_tokens": 900}
    with leashed.client(ALICE) as http, http.stream("POST", CHAT, json=request) as response:
        next(response.iter_lines())
        assert num_held(leashed) == 4
    assert_free(leashed)


def test_a_plain_request_whose_client_leaves_gives_its_choices_back(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold()
    with httpx.Client(timeout=0.5) as http, pytest.raises(httpx.ReadTimeout):
        http.post(
            leashed.url + CHAT,
            json={**BODY, "n": 4},
            headers={"Authorization": f"Bearer {ALICE}"},
        )
    assert engine.submitted.acquire(timeout=WAIT_SECONDS)
    assert_free(leashed)


def cancelled_by_an_operator(service: RunningService, engine: FakeEngine) -> None:
    with service.client() as http:
        [running] = http.get("/api/requests").json()["running"]
        assert http.delete(f"/api/requests/{running['request_id']}").status_code == 202


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (cancelled_by_an_operator, 499),
        (lambda _, engine: engine.fail_all(EngineFailed("It broke.")), 500),
        (lambda _, engine: engine.fail_all(DeadlineExceeded("Too late.")), 503),
    ],
)
def test_a_request_that_is_ended_gives_its_choices_back(
    leashed: RunningService,
    engine: FakeEngine,
    end: Callable[[RunningService, FakeEngine], None],
    status: int,
) -> None:
    engine.hold()
    with leashed.client(ALICE) as http, ThreadPoolExecutor(1) as pool:
        held = pool.submit(http.post, CHAT, json={**BODY, "n": 4})
        assert all(engine.submitted.acquire(timeout=WAIT_SECONDS) for _ in range(4))
        end(leashed, engine)
        assert held.result(WAIT_SECONDS).status_code == status
    assert_free(leashed)


def test_a_request_that_the_engine_refuses_gives_its_choices_back(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.refuses_with = EngineFailed("It broke.")
    with leashed.client(ALICE) as http:
        assert http.post(CHAT, json={**BODY, "n": 4}).status_code == 500
    engine.refuses_with = None
    assert_free(leashed)


def test_by_default_a_key_may_fill_the_slots_and_half_of_the_queue(
    tmp_path: Path, engine: FakeEngine
) -> None:
    with RunningService(tmp_path, engine=engine) as service:
        services = service.app.state.services
        assert services.choices_per_key(engine) == 8 + 8 // 2


def test_another_keys_short_request_waits_for_one_running_answer_at_most(tmp_path: Path) -> None:
    """Two slots, twenty long answers of one key before it."""
    long = {**BODY, "n": 4, "max_tokens": 60, "ignore_eos": True, "stream": True}
    with (
        RunningService(tmp_path, api_keys=KEYS, max_batch_size=2, threads=1) as service,
        ThreadPoolExecutor(5) as pool,
    ):
        finished: list[str] = []
        lock = threading.Lock()

        def answer_all(_: Any) -> None:
            with service.client(ALICE) as http, http.stream("POST", CHAT, json=long) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        choices = json.loads(line.removeprefix("data: "))["choices"]
                        with lock:
                            finished.extend("long" for c in choices if c["finish_reason"])

        waiting = [pool.submit(answer_all, None) for _ in range(5)]
        engine = service.app.state.services.engine.engine
        deadline = time.monotonic() + WAIT_SECONDS
        while engine.status().num_waiting < 18 and time.monotonic() < deadline:
            time.sleep(0.005)
        with lock:
            before = len(finished)
        with service.client(BOB) as http:
            assert http.post(CHAT, json={**BODY, "max_tokens": 4}).status_code == 200
        with lock:
            # Both slots may have been taken when it came; some more may have ended since.
            assert len(finished) - before <= 4
        for each in waiting:
            each.result(WAIT_SECONDS * 4)
        assert len(finished) == 20


def test_one_request_of_64_prompts_runs_on_an_idle_default_service(
    service: RunningService,
) -> None:
    engine = service.app.state.services.engine.engine
    assert service.app.state.services.choices_per_key(engine) >= 64
    with service.client(ADMIN_KEY) as http:
        body = {"model": "pocket", "prompt": ["Hi"] * 16, "n": 4, "max_tokens": 1}
        answer = http.post(COMPLETIONS, json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["choices"]) == 64
