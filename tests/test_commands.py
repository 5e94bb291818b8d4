"""Every curl command of the documentation is run by the real curl, as it is written."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.engine.embedders import save_embedder
from tests.support.fake_engine import INFO, FakeEngine, FakeVision
from tests.support.service import ADMIN_KEY, RunningService

ROOT = Path(__file__).parent.parent
API_PAGE = ROOT / "docs" / "api.md"
HOST = "http://127.0.0.1:8000"
EMBEDDER = "all-MiniLM-L6-v2"
COMMAND = re.compile(r"^curl (?:.*\\\n)*.*", re.MULTILINE)
# The one form of the commands of docs/api.md, each on one line; -N for those that stream.
KEY = r' -H "Authorization: Bearer \$LLM_KEY"'
FORM = re.compile(
    rf"curl -sN? {HOST}/\S+"
    rf"(?:{KEY}(?: -H \"Content-Type: application/json\" -d '[^']+')?)?"
)
CURL_SETTINGS = (
    'silent\nmax-time = 120\nnoproxy = "*"\nwrite-out = "%{stderr}%{http_code} %{content_type}"\n'
)


def commands(page: Path) -> list[str]:
    return COMMAND.findall(page.read_text(encoding="utf-8"))


def all_commands() -> list[Any]:
    return [
        pytest.param(command, id=f"{page.stem}-{i}-{path_of(command)}")
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for i, command in enumerate(commands(page))
    ]


def path_of(command: str) -> str:
    found = re.search(r"http://\S+", command)
    assert found is not None, command
    return urlsplit(found.group()).path


def method_of(command: str) -> str:
    return "POST" if " -d " in command else "GET"


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Pocket, and a small model with random weights under the name that the pages use."""
    folder = save_embedder(tmp_path_factory.mktemp("models") / EMBEDDER)
    with RunningService(
        tmp_path_factory.mktemp("state"), embedding_model_id=str(folder), device="cpu", threads=1
    ) as service:
        yield service


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A model that sees, which pocket does not."""
    engine = FakeEngine()
    engine.info = replace(INFO, sees=True)
    engine.vision = FakeVision()
    engine.says = ("red",)
    with RunningService(tmp_path_factory.mktemp("seeing"), engine=engine) as service:
        yield service


@pytest.mark.parametrize("command", all_commands())
def test_a_documented_command_succeeds_and_its_answer_is_whole(
    documented: RunningService, seeing: RunningService, tmp_path: Path, command: str
) -> None:
    assert shutil.which("curl"), "curl is not installed; see scripts/test-tools.sh"
    (tmp_path / ".curlrc").write_text(CURL_SETTINGS)
    run = subprocess.run(
        [
            "bash",
            "-c",
            command.replace(HOST, (seeing if "image_url" in command else documented).url),
        ],
        env={**os.environ, "CURL_HOME": str(tmp_path), "LLM_KEY": ADMIN_KEY},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert run.returncode == 0, run.stderr
    status, content_type = run.stderr.split(maxsplit=1)
    is_creation = method_of(command) == "POST" and path_of(command) == "/api/keys"
    assert status == ("201" if is_creation else "200"), run.stdout
    asks_for_a_stream = "-sN " in command
    assert content_type.startswith(("text/event-stream", "application/x-ndjson")) == (
        asks_for_a_stream
    )
    if asks_for_a_stream:
        assert is_ended(path_of(command), run.stdout), run.stdout
    elif content_type.startswith("application/json"):
        assert json.loads(run.stdout).get("error") is None
    else:
        assert run.stdout


def is_ended(path: str, stream: str) -> bool:
    """Whether the last event of a stream is the one that ends an answer of `path`."""
    last = stream.rstrip("\n").split("\n\n")[-1]
    match path:
        case "/v1/chat/completions" | "/v1/completions":
            return last == "data: [DONE]"
        case "/v1/responses":
            return last.startswith(("event: response.completed\n", "event: response.incomplete\n"))
        case "/v1/messages":
            return last.startswith("event: message_stop\n")
        case _:
            ends: list[bool] = [json.loads(line)["done"] for line in stream.splitlines()]
            return len(ends) > 1 and ends == [False] * (len(ends) - 1) + [True]


def test_the_commands_of_the_api_page_have_one_form() -> None:
    found = commands(API_PAGE)
    assert len(found) > 30
    assert [command for command in found if not FORM.fullmatch(command)] == []


def test_every_route_of_the_schema_is_on_the_api_page_and_no_other(
    documented: RunningService,
) -> None:
    """Those for callers have an example, the dashboard's are listed."""
    with documented.client() as http:
        paths = http.get("/openapi.json").json()["paths"]
    routes = {(method.upper(), path) for path in paths for method in paths[path]}
    listed = {
        tuple(row.split())
        for row in re.findall(r"^\| `([A-Z]+ /\S+)` \|", API_PAGE.read_text("utf-8"), re.MULTILINE)
    }
    shown = {(method_of(command), path_of(command)) for command in commands(API_PAGE)}
    assert not listed & shown
    templates = {(m, p.replace("/models/pocket", "/models/{model_id}")) for m, p in shown}
    assert listed | templates == routes | {("GET", "/openapi.json")}
    of_the_dashboard = ("/api/keys", "/api/requests", "/api/alerts", "/api/runbooks", "/api/engine")
    assert all(
        path.startswith(
            (*of_the_dashboard, "/api/status", "/api/series", "/api/now", "/api/events")
        )
        for _, path in listed
    )
