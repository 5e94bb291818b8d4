"""The image for one container: chat, API and dashboard, and nothing to set."""

import os
import re
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.stack.compose import docker, eventually

pytestmark = pytest.mark.stack

IMAGE = "llm_service/all-in-one:test"


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    build_args = [f"--build-arg={name}" for name in ("TORCH_INDEX", "PIP_INDEX", "NPM_REGISTRY")]
    docker("build", "--quiet", "--target", "all-in-one", "--tag", IMAGE, *build_args, ".")
    options = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    publish = ["--publish", "127.0.0.1::8080"]
    name = f"llm_service_single_{os.getpid()}"
    docker("run", "--detach", "--name", name, *options, *publish, IMAGE)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def test_one_container_prints_a_key_with_which_all_works(container: str) -> None:
    def key_in_log() -> re.Match[str] | None:
        return re.search(r"Key\s+(llms_\S+)", docker("logs", container))

    key = eventually(key_in_log, "a key in its log", 600)[1]
    address = docker("port", container, "8080").strip()
    with httpx.Client(
        base_url=f"http://{address}", headers={"Authorization": f"Bearer {key}"}, timeout=120
    ) as http:
        messages = [{"role": "user", "content": "What is 7 plus 5?"}]
        answer = http.post("/v1/chat/completions", json={"model": "pocket", "messages": messages})
        assert "12" in answer.json()["choices"][0]["message"]["content"]
        assert "llm_requests_total" in http.get("/metrics").text
        page = http.get("/", headers={"Accept": "text/html"})
        assert "<title>llm_service</title>" in page.text
        for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text):
            assert http.get(path).status_code == 200
    healthy = ["inspect", "--format", "{{.State.Health.Status}}", container]
    eventually(lambda: docker(*healthy).strip() == "healthy", "its health check agrees")
    assert docker("exec", container, "id", "-u").strip() == "10001"
