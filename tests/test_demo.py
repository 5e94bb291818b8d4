"""`make demo` against a real service: what it shows, what it is refused, and what it leaves."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.embedders import save_embedder
from tests.support.service import ADMIN_KEY, RunningService

SCRIPT = Path(__file__).parent.parent / "scripts" / "demo.py"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Pocket and an embedder. The admin key has a limit that a demo would exceed."""
    folder = save_embedder(tmp_path_factory.mktemp("models") / "embedder")
    with RunningService(
        tmp_path_factory.mktemp("state"), embedding_model_id=str(folder), default_rpm=1
    ) as running:
        yield running


def demo(
    service: RunningService, key: str = ADMIN_KEY, seconds: float = 2
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "--url", service.url, "--seconds", str(seconds)],
        env={**os.environ, "LLM_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def keys_of_demos(service: RunningService) -> list[dict[str, Any]]:
    with service.client() as http:
        keys = http.get("/api/keys").json()["keys"]
    return [key for key in keys if key["name"].startswith("demo")]


def test_the_demo_shows_each_feature_and_ends_well(service: RunningService) -> None:
    process = demo(service)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors
    answered, refused = output.split("refused on purpose:")
    for feature in (
        "chat",
        "chat, streamed",
        "text completion",
        "long prompt",
        "stream that the client left",
        "structured output",
        "tool call",
        "embeddings",
    ):
        assert f"  {feature}\n" in answered, output
    for reason in ("429: more than the 4 requests", "404: a model that", "400: a temperature"):
        assert reason in refused, output
    assert "Every answer was expected." in refused


def test_the_demo_uses_keys_of_its_own_and_revokes_them(service: RunningService) -> None:
    process = demo(service, seconds=0)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors
    keys = keys_of_demos(service)
    assert {"demo", "demo-jobs", "demo-limited"} <= {key["name"] for key in keys}
    assert all(key["revoked_at"] for key in keys)
    with service.client() as http:
        (admin,) = [key for key in http.get("/api/keys").json()["keys"] if key["name"] == "admin"]
    assert admin["usage"]["requests"] == 0
    assert admin["remaining"]["requests"] == 1


def test_the_demo_revokes_its_keys_after_ctrl_c(service: RunningService) -> None:
    before = len(keys_of_demos(service))
    process = demo(service, seconds=300)
    try:
        while len(keys_of_demos(service)) < before + 3:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output + errors
    assert "Traceback" not in errors
    assert "The demo's keys are revoked." in output
    assert all(key["revoked_at"] for key in keys_of_demos(service))


def test_the_demo_says_that_it_needs_an_admin_key(service: RunningService) -> None:
    with service.client() as http:
        body = {"name": "visitor", "scopes": ["inference"]}
        key = http.post("/api/keys", json=body).json()["key"]
    process = demo(service, key)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("The demo needs an admin key"), output + errors
