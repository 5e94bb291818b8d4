"""Pages of other origins in a browser: LLM_CORS_ORIGINS."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from llm_service.app import CORS_EXPOSED
from llm_service.errors import Overloaded
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

PATH = "/v1/chat/completions"
BODY = {"model": "pocket", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
APP = "https://app.example"
EVIL = "https://evil.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    state = tmp_path_factory.mktemp("state")
    origins = f"{APP}, app://obsidian.md"
    with RunningService(state, engine=FakeEngine(), cors_origins=origins) as running:
        yield running


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


def test_a_preflight_is_answered_without_a_key(crossing: RunningService) -> None:
    with crossing.client(key=None) as http:
        answer = http.options(PATH, headers={"origin": APP, **PREFLIGHT})
        other = http.options(PATH, headers={"origin": EVIL, **PREFLIGHT})
    assert answer.status_code == 200
    assert allowed(answer) == APP
    assert "POST" in answer.headers["access-control-allow-methods"]
    headers = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type"} <= {name.strip() for name in headers.split(",")}
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert other.status_code == 400
    assert allowed(other) is None


def test_answers_and_errors_of_every_kind_carry_the_headers(
    crossing: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = crossing.engine
    origin = {"origin": APP}
    with crossing.client() as http, crossing.client(key=None) as stranger:
        answers = [
            http.post(PATH, json=BODY, headers=origin),
            http.post(PATH, json={}, headers=origin),
            http.get("/v1/nothing", headers=origin),
            stranger.post(PATH, json=BODY, headers=origin),
            http.post(PATH, json={**BODY, "stream": True}, headers=origin),
        ]
        monkeypatch.setattr(engine, "refuses_with", Overloaded("The queue is full."))
        answers.append(http.post(PATH, json=BODY, headers=origin))
        monkeypatch.setattr(engine, "submit", None)  # calling it fails in a way nobody expects
        answers.append(http.post(PATH, json=BODY, headers=origin))
        monkeypatch.undo()
        foreign = http.post(PATH, json=BODY, headers={"origin": EVIL})
    assert [answer.status_code for answer in answers] == [200, 400, 404, 401, 200, 503, 500]
    for answer in answers:
        assert allowed(answer) == APP, answer.status_code
        assert "origin" in answer.headers["vary"].lower()
        exposed = answer.headers["access-control-expose-headers"]
        assert {name.strip() for name in exposed.split(",")} == set(CORS_EXPOSED)
    assert foreign.status_code == 200
    assert allowed(foreign) is None


def test_all_pages_may_be_allowed_and_none_are_by_default(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for origins, expected in (("*", "*"), ("", None)):
        state = tmp_path_factory.mktemp("state")
        with (
            RunningService(state, engine=FakeEngine(), cors_origins=origins) as service,
            service.client() as http,
        ):
            assert allowed(http.get("/v1/models", headers={"origin": APP})) == expected
            status = http.options(PATH, headers={"origin": APP, **PREFLIGHT}).status_code
            assert (status == 200) == (origins == "*")
