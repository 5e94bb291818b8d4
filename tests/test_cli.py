"""The command line as a user runs it: a process, its words, its exit status."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from llm_service.__main__ import app
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

KEY = re.compile(r"llms_[\w-]+")
EXIT_SECONDS = 120  # a start imports torch, which takes a minute on a very busy machine


def start(
    *arguments: str, state: Path, program: tuple[str, str] = ("-m", "llm_service"), **settings: str
) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "LLM_"}
    environment |= {"LLM_STATE_DIR": str(state), "LLM_PORT": "0", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | settings,
    )


def read_banner(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.lstrip().startswith("-d "):
            break
    return "".join(lines)


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 0, output
    assert "Application shutdown complete" in output[1]
    return output


def test_the_first_start_prints_a_key_that_works_and_the_second_prints_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process = start("serve", state=tmp_path)
    banner = read_banner(process)
    url = re.search(r"http://[\d.:]+", banner)
    key = KEY.search(banner)
    assert url, banner
    assert key, banner
    assert "demonstration model" in banner
    assert "LLM_MODEL_ID" in banner
    headers = {"Authorization": f"Bearer {key[0]}"}
    assert httpx.get(f"{url[0]}/api/status", headers=headers).json()["key"]["name"] == "admin"
    _, errors = stop(process)
    assert key[0] not in errors  # the log

    # In this process, with a fake engine: loading a model again would prove no more.
    with RunningService(tmp_path, engine=FakeEngine(), admin_key=None):
        again = capfd.readouterr().out
    assert "Dashboard  http://" in again
    assert KEY.search(again) is None


def test_a_second_signal_ends_the_drain_in_order(tmp_path: Path) -> None:
    process = start("serve", state=tmp_path, LLM_DRAIN_SECONDS="300", LLM_ADMIN_KEY=ADMIN_KEY)
    url = re.search(r"http://[\d.:]+", read_banner(process))
    assert url
    body = {"model": "pocket", "prompt": "Hi", "stream": True, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with (
        httpx.Client(base_url=url[0], headers=headers, timeout=60) as http,
        http.stream("POST", "/v1/completions", json={**body, "max_tokens": 2000}) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        for line in process.stderr:  # or two signals might arrive as one
            if "Shutting down" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert "engine_unavailable" in "".join(lines)
    output = process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 0, output
    assert "Application shutdown complete" in output[1]


def test_a_model_that_cannot_be_loaded_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    process = start("serve", state=tmp_path, LLM_MODEL_ID="./no/such/folder")
    _, errors = process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 1
    assert "llm-service: LLM_MODEL_ID='./no/such/folder'" in errors
    assert "Traceback" not in errors


def test_a_wrong_setting_ends_the_start_with_its_name_and_no_secret(tmp_path: Path) -> None:
    process = start("serve", state=tmp_path, LLM_PORT="no-number", LLM_API_KEYS="nameless-secret")
    _, errors = process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 2
    assert "LLM_PORT" in errors
    assert "nameless-secret" not in errors
    assert "Traceback" not in errors


def test_postgresql_without_its_driver_ends_the_start_in_one_line_that_says_what_to_install(
    tmp_path: Path,
) -> None:
    code = "import sys; sys.modules['psycopg'] = None; import llm_service.__main__ as m; m.main()"
    url = "postgresql+psycopg://llm:SENTINEL@host/database"
    process = start("serve", program=("-c", code), state=tmp_path, LLM_DATABASE_URL=url)
    _, errors = process.communicate(timeout=EXIT_SECONDS)
    assert process.returncode == 2
    assert errors == (
        "llm-service: LLM_DATABASE_URL cannot be used: the driver 'psycopg' is not installed;"
        " `pip install 'psycopg[binary]'` brings the one for postgresql+psycopg://.\n"
    )


def test_check_says_one_good_line_for_each_thing_that_must_work(
    service: RunningService, tmp_path: Path
) -> None:
    process = start("check", service.url, state=tmp_path, LLM_KEY=ADMIN_KEY)
    output, errors = process.communicate(timeout=EXIT_SECONDS)
    lines = [line.split()[:2] for line in output.splitlines()]
    names = ["health", "auth", "models", "chat", "stream", "limits", "metrics"]
    assert lines == [["ok", name] for name in names], output + errors
    assert process.returncode == 0


def test_check_fails_with_a_wrong_key_and_where_nothing_listens(
    service: RunningService,
) -> None:
    refused = CliRunner().invoke(app, ["check", service.url, "--key", "wrong"])
    assert refused.exit_code == 1
    assert "FAIL  chat" in refused.stdout
    assert "ok    health" in refused.stdout
    unheard = CliRunner().invoke(app, ["check", "http://127.0.0.1:9", "--key", "wrong"])
    assert unheard.exit_code == 1
    assert unheard.stdout.count("FAIL") == 7
