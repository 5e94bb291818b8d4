"""Default deny: every route wants a key and a scope, but for those named as open."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.routing import Route

from llm_service import app
from llm_service.api.authentication import OPEN_PATHS
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

SCOPE_OF_NONE = {"/api/status"}  # tells a key about itself, whatever it may do


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    state = tmp_path_factory.mktemp("state")
    with RunningService(state, engine=FakeEngine()) as running:
        yield running


def routes(service: RunningService) -> list[tuple[str, str]]:
    """Every (method, path) that the app answers, with path parameters filled in."""
    found = [pair for route in service.app.routes for pair in _flatten(route)]
    assert len(found) > 10
    return sorted(set(found))


def _flatten(route: Any) -> list[tuple[str, str]]:
    if isinstance(route, Route):
        path = route.path.replace("{model_id:path}", "pocket").replace("{name:path}", "x")
        return [(method, path) for method in route.methods or ()]
    # FastAPI keeps an included router whole; anything else here must be looked at by hand.
    return [pair for child in route.original_router.routes for pair in _flatten(child)]


def test_no_route_but_the_open_ones_answers_without_a_key(deployed: RunningService) -> None:
    with deployed.client(key=None) as http:
        for method, path in routes(deployed):
            status = http.request(method, path).status_code
            is_open = path in OPEN_PATHS or path in deployed_files(deployed)
            assert (status != 401) == is_open, f"{method} {path} answered {status}"


def deployed_files(service: RunningService) -> set[str]:
    from llm_service.api.dashboard import dashboard_files
    from llm_service.app import DASHBOARD_DIR

    return set(dashboard_files(DASHBOARD_DIR))


def test_paths_that_are_no_routes_are_not_told_apart_without_a_key(
    deployed: RunningService,
) -> None:
    with deployed.client(key=None) as http:
        for path in ("/metrics/", "/v1", "/invocations", "/docs", "/assets/../v1/models"):
            assert http.get(path).status_code == 401, path


def test_what_open_routes_tell_is_not_secret(deployed: RunningService) -> None:
    with deployed.client(key=None) as http:
        told = "".join(http.get(path).text for path in sorted(OPEN_PATHS))
        facts = http.get("/").json()
    assert ADMIN_KEY not in told
    assert str(deployed.settings.state_dir) not in told
    # The names of what is told, so that a new fact is looked at before it is told to everyone.
    assert facts.keys() <= {
        *("service", "version", "api", "dashboard", "requires_keys", "status", "model", "summary"),
        *("device", "dtype", "quantization", "engine", "limits"),
    }
    assert facts["model"] == "pocket"
    assert "demonstration model" in facts["summary"]
    assert set(facts["limits"]) >= {"max_context", "max_batch_size", "max_waiting"}
    assert facts["requires_keys"] is True, "the dashboard asks for one before it asks anything"


def test_a_browser_gets_the_dashboard_under_a_strict_policy_and_others_get_facts(
    deployed: RunningService,
) -> None:
    with deployed.client(key=None) as http:
        page = http.get("/", headers={"accept": "text/html,application/xhtml+xml"})
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        scripts = re.findall(r'src="(/assets/[^"]+)"', page.text)
        assert scripts
        for script in scripts:
            answer = http.get(script)
            assert answer.status_code == 200
            assert answer.headers["content-encoding"] == "gzip"
            assert "immutable" in answer.headers["cache-control"]
            plain = http.get(script, headers={"accept-encoding": "identity"})
            assert plain.content == answer.content
        assert http.get("/assets/none.js").status_code == 401
        facts = http.get("/")
        assert facts.headers["content-type"] == "application/json"
        assert facts.json()["dashboard"] == "this address, in a browser"


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml", "*/*"])
def test_without_the_dashboards_files_everyone_is_told_what_this_is_and_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    monkeypatch.setattr(app, "DASHBOARD_DIR", tmp_path)
    with RunningService(tmp_path, engine=FakeEngine()) as service, service.client(None) as http:
        facts = http.get("/", headers={"accept": accept}).json()
    assert facts["service"] == "llm_service"
    assert facts["api"] == "/v1"
    assert "nginx" in facts["dashboard"]
    assert "make dashboard" in facts["dashboard"]


def test_each_scope_opens_its_routes_and_no_other(tmp_path: Path) -> None:
    secrets = {
        "api_keys": SecretStr("caller:caller-key-0123456789"),
        "metrics_key": SecretStr("scraper-key-0123456789"),
    }
    with RunningService(tmp_path, engine=FakeEngine(), **secrets) as service:
        created = service.app.state.runtime.keys.create("viewer", frozenset({"metrics"}), 0)[1]
        inference = service.app.state.runtime.keys.create("chatter", frozenset({"inference"}), 0)[1]
        with service.client(created) as viewer, service.client(inference) as chatter:
            for path in ("/metrics", "/api/series", "/api/requests"):
                assert viewer.get(path).status_code == 200, path
                refused = chatter.get(path)
                assert refused.status_code == 403, path
                assert "metrics" in refused.json()["error"]["message"]
            assert chatter.get("/v1/models").status_code == 200
            assert viewer.get("/v1/models").status_code == 403
        with service.client("scraper-key-0123456789") as scraper:
            assert scraper.get("/metrics").status_code == 200
            body = {"model": "pocket", "prompt": "Hi", "max_tokens": 1}
            assert scraper.post("/v1/completions", json=body).status_code == 403
            assert scraper.get("/api/keys").status_code == 403
        with service.client("caller-key-0123456789") as both:
            assert both.get("/v1/models").status_code == both.get("/metrics").status_code == 200


def test_with_keys_switched_off_inference_is_open(tmp_path: Path) -> None:
    with (
        RunningService(tmp_path, engine=FakeEngine(), require_keys=False) as service,
        service.client(key=None) as http,
    ):
        assert http.get("/v1/models").status_code == 200
        status = http.get("/api/status").json()
        assert status["requires_keys"] is False
        assert status["key"] == {
            "name": "anonymous",
            "scopes": ["inference", "metrics"],
            "rpm": 0,
        }
        assert http.get("/api/keys").status_code == 403


def test_a_head_request_answers_as_get_does_without_a_body(deployed: RunningService) -> None:
    with deployed.client(key=None) as http:
        for path in ("/", "/health", "/readyz", "/healthz"):
            answer = http.head(path)
            assert (answer.status_code, answer.content) == (200, b""), path
            assert answer.headers["content-type"] == http.get(path).headers["content-type"]
