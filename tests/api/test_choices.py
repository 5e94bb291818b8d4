"""One key cannot hold the queue: its choices are bounded, and others' come in between."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from llm_service.engine import GenerationRequest, SequenceProgress, TokenStream
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
    service.engine.release()
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
        assert response.status_code == 200, response.read()
        lines = response.iter_lines()  # kept: a generator that is dropped closes the response
        next(lines)
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
        assert services.admission.choices_per_key(engine.info) == 8 + 8 // 2


def test_another_keys_request_gets_the_next_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two slots and twenty answers of one key before it: it waits for one of them to end."""
    many = {"model": "pocket", "prompt": ["Hi"] * 20, "max_tokens": 6, "ignore_eos": True}
    with (
        RunningService(tmp_path, api_keys=KEYS, max_batch_size=2, threads=1) as service,
        service.client(ALICE) as http,
    ):
        engine = service.engine
        submit = engine.submit
        sequences: list[SequenceProgress] = []

        def submit_and_add_another(*requests: GenerationRequest) -> TokenStream:
            stream = submit(*requests)
            # At once, so that the others cannot be through.
            another = submit(replace(requests[0], request_id="other-0", cache_salt="bob"))
            sequences.extend([*stream.sequences, *another.sequences])
            return stream

        monkeypatch.setattr(engine, "submit", submit_and_add_another)
        assert http.post(COMPLETIONS, json=many).status_code == 200
    *timings, other = [sequence.timings for sequence in sequences]
    assert other.first_scheduled is not None
    begun = [each.first_scheduled for each in timings if each.first_scheduled is not None]
    # A step that was being planned when it came may still have filled both slots.
    assert sum(other.submitted < each < other.first_scheduled for each in begun) <= 2
    assert sum(each > other.first_scheduled for each in begun) >= 10


def test_one_request_of_64_prompts_runs_on_an_idle_default_service(
    service: RunningService,
) -> None:
    engine = service.engine
    assert service.app.state.services.admission.choices_per_key(engine.info) >= 64
    with service.client(ADMIN_KEY) as http:
        body = {"model": "pocket", "prompt": ["Hi"] * 64, "max_tokens": 1}
        answer = http.post(COMPLETIONS, json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["choices"]) == 64
