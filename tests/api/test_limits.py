"""Limits as a caller meets them: the 61st request, the headers, the address without a key."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from llm_service.access import redis as redis_link
from tests.redis_server import running_redis
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
BODY = {"model": "pocket", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
KEY = "a-key-for-tests-0123456789"
RPM = 60


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[RunningService]:
    with limited_service(tmp_path) as service:
        yield service


def limited_service(state: Path, **settings: Any) -> RunningService:
    keys = SecretStr(f"caller:{KEY}")
    return RunningService(
        state, engine=FakeEngine(), api_keys=keys, **{"default_rpm": RPM, **settings}
    )


def test_the_61st_request_in_a_minute_is_429_with_a_time_to_wait(limited: RunningService) -> None:
    with limited.client(KEY) as http:
        answers = [http.post(CHAT, json=BODY) for _ in range(RPM)]
        refused = http.post(CHAT, json=BODY)
    assert {answer.status_code for answer in answers} == {200}
    remaining = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    assert remaining == list(range(RPM - 1, -1, -1))
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == str(RPM)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_what_is_refused_before_the_engine_is_not_charged(limited: RunningService) -> None:
    with limited.client(KEY) as http:
        for _ in range(5):
            assert http.post(CHAT, json={**BODY, "model": "none"}).status_code == 404
            assert http.post(CHAT, json={**BODY, "tools": [{}]}).status_code == 400
        first = http.post(CHAT, json=BODY)
    assert first.headers["x-ratelimit-remaining-requests"] == str(RPM - 1)


def test_a_request_that_the_engine_refuses_is_given_back(tmp_path: Path) -> None:
    with limited_service(tmp_path) as service, service.client(KEY) as http:
        engine = service.engine
        engine.hold()
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(http.post, CHAT, json=BODY) for _ in range(8)]
            assert all(engine.submitted.acquire(timeout=10) for _ in waiting)
            assert http.post(CHAT, json=BODY).status_code == 503
            engine.release()
            used = {w.result(10).headers["x-ratelimit-remaining-requests"] for w in waiting}
        assert len(used) == 8
        assert http.post(CHAT, json=BODY).headers["x-ratelimit-remaining-requests"] == "51"


def test_refusals_are_counted_by_key_name(limited: RunningService) -> None:
    with limited.client(KEY) as http:
        for _ in range(RPM + 2):
            http.post(CHAT, json=BODY)
        metrics = http.get("/metrics").text
    assert 'llm_rate_limit_rejections_total{key_name="caller",limit="requests"} 2.0' in metrics
    assert KEY not in metrics


def test_an_address_without_a_valid_key_is_limited_on_every_route(tmp_path: Path) -> None:
    with limited_service(tmp_path, ip_rate_limit="5/minute") as service:
        with service.client("wrong-key") as http:
            statuses = [http.get("/v1/models").status_code for _ in range(3)]
            statuses += [http.get("/nowhere").status_code for _ in range(2)]
            refused = http.get("/v1/models")
        assert statuses == [401] * 5
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert int(refused.headers["retry-after"]) > 0
        with service.client(key=None) as http:
            assert http.get("/health").status_code == 429
        with service.client(KEY) as http:  # a valid key is not slowed down by its neighbours
            assert http.get("/v1/models").status_code == 200


def test_the_dashboards_own_files_do_not_count_against_an_address(tmp_path: Path) -> None:
    with (
        limited_service(tmp_path, ip_rate_limit="5/minute") as service,
        service.client(key=None) as http,
    ):
        page = http.get("/", headers={"Accept": "text/html"}).text
        (script, *_) = re.findall(r'src="(/assets/[^"]+)"', page)
        assert [http.get(script).status_code for _ in range(12)] == [200] * 12
        assert [http.get("/").status_code for _ in range(5)] == [200] * 4 + [429]


def test_two_services_with_one_redis_never_admit_one_request_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counting without Redis is another test's: here a busy machine is waited for.
    monkeypatch.setattr(redis_link, "CALL_SECONDS", 30)
    monkeypatch.setattr(redis_link, "MAX_CALL_SECONDS", 30)
    with running_redis(str(tmp_path)) as redis:
        url = SecretStr(redis.url)
        with (
            limited_service(tmp_path / "a", redis_url=url) as first,
            limited_service(tmp_path / "b", redis_url=url) as second,
            first.client(KEY) as one,
            second.client(KEY) as two,
            ThreadPoolExecutor(16) as pool,
        ):
            start = threading.Barrier(16)

            def burst(number: int) -> list[int]:
                start.wait()
                return [
                    (one, two)[(number + i) % 2].post(CHAT, json=BODY).status_code
                    for i in range(10)
                ]

            statuses = Counter(s for answers in pool.map(burst, range(16)) for s in answers)
    assert statuses == {200: RPM, 429: 160 - RPM}
