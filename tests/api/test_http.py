"""HTTP as clients and proxies use it: slashes, HEAD, HTTP/1.0, other services' key headers."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.test_routes import routes
from tests.attack import attacker
from tests.attack.test_bodies import address_of
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {
    "model": "pocket",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 5,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("state"), engine=FakeEngine()) as service:
        yield service


def test_a_trailing_slash_is_served_and_never_redirected(served: RunningService) -> None:
    with served.client() as http:
        assert http.post(CHAT + "/", json=BODY).status_code == 200
        models = http.get("/v1/models/")
        assert models.json() == http.get("/v1/models").json()
        assert models.status_code == 200
        assert http.get("/v1/models/pocket//").json()["id"] == "pocket"
        missing = http.get("/v1/nothing/")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    with served.client(key=None) as http:
        assert http.get("/health/").status_code == 200
        assert http.get("/v1/models/").status_code == 401


def test_head_answers_as_get_does_on_every_route_and_has_no_body(served: RunningService) -> None:
    paths = {path for method, path in routes(served) if method == "GET"}
    assert len(paths) > 10
    with served.client() as http:
        for path in paths:
            get, head = http.get(path), http.head(path)
            assert (head.status_code, head.content) == (get.status_code, b""), path
            assert head.headers.get("content-type") == get.headers.get("content-type"), path
        assert http.head(CHAT).status_code == 405
        counted = http.get("/metrics").text
    assert 'method="HEAD",route="/v1/models"' in counted or (
        'route="/v1/models",method="HEAD"' in counted
    )


def test_a_stream_to_http_1_0_comes_without_chunks_and_ends_with_the_connection(
    served: RunningService,
) -> None:
    body = b'{"model":"pocket","prompt":"Hi","stream":true,"max_tokens":3}'
    request = attacker.request("/v1/completions", body, ADMIN_KEY).replace(b"HTTP/1.1", b"HTTP/1.0")
    head, _, stream = attacker.send(address_of(served), request).partition("\r\n\r\n")
    assert " 200 " in head
    assert "transfer-encoding" not in head.lower()
    assert stream.startswith("data: {")
    assert stream.endswith("\n\ndata: [DONE]\n\n")
    whole = attacker.send(address_of(served), b"GET /healthz HTTP/1.0\r\n\r\n")
    assert "content-length: 15" in whole.lower()
    assert whole.endswith('{"status":"ok"}')


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "X-API-Key"])
def test_a_key_may_come_in_the_headers_of_other_services(
    served: RunningService, header: str
) -> None:
    with served.client(key=None) as http:
        assert http.get("/v1/models", headers={header: ADMIN_KEY}).status_code == 200
        wrong = http.get("/v1/models", headers={header: "wrong"})
        assert wrong.status_code == 401
        assert "not valid" in wrong.json()["error"]["message"]
        assert http.get("/health", headers={header: "wrong"}).status_code == 200


def test_several_keys_must_be_the_same_one(served: RunningService) -> None:
    with served.client() as http:
        assert http.get("/v1/models", headers={"x-api-key": ADMIN_KEY}).status_code == 200
        assert http.get("/v1/models", headers={"x-api-key": ""}).status_code == 200
        for header in ("x-api-key", "api-key"):
            refused = http.get("/v1/models", headers={header: "another"})
            assert refused.status_code == 401
            assert "Several different" in refused.json()["error"]["message"]
    with served.client(key=None) as http:
        mixed = {"authorization": "Basic eDp5", "x-api-key": ADMIN_KEY}
        assert http.get("/v1/models", headers=mixed).status_code == 200


def test_no_answer_is_guessed_at_or_kept_unless_it_says_so(served: RunningService) -> None:
    with served.client() as http:
        key = {"name": "alice", "scopes": ["inference"]}
        answers = [
            http.post("/api/keys", json=key),
            http.get("/api/keys"),
            http.get("/v1/models"),
            http.get("/metrics"),
            http.post(CHAT, json=BODY),
            http.post(CHAT, json={}),
            http.get("/v1/nothing"),
            http.get("/healthz"),
        ]
        page = http.get("/", headers={"accept": "text/html"})
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert answer.headers.get_list("cache-control") == ["no-store"], answer.url
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] in ("no-cache", "no-store")  # the latter: not built
    with served.client(key=None) as http:
        assert http.get("/api/keys").headers["cache-control"] == "no-store"
