"""The command line as a user runs it: a process, its words, its exit status."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.service import ADMIN_KEY, RunningService

KEY = re.compile(r"llms_[\w-]+")


def start(*arguments: str, state: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "LLM_"}
    environment |= {"LLM_STATE_DIR": str(state), "LLM_PORT": "0", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "llm_service", *arguments],
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
    output = process.communicate(timeout=60)
    # uvicorn drains and stops in order, then lets the signal end the process as it would have.
    assert process.returncode == -signal.SIGTERM, output
    assert "Application shutdown complete" in output[1]
    return output


def test_the_first_start_prints_a_key_that_works_and_the_second_prints_none(
    tmp_path: Path,
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

    again = start("serve", state=tmp_path)
    assert KEY.search(read_banner(again)) is None
    stop(again)


def test_a_model_that_cannot_be_loaded_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    process = start("serve", state=tmp_path, LLM_MODEL_ID="./no/such/folder")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "llm-service: LLM_MODEL_ID='./no/such/folder'" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantization_is_refused_clearly_until_it_exists(tmp_path: Path, quantization: str) -> None:
    process = start("serve", state=tmp_path, LLM_QUANTIZATION=quantization)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"LLM_QUANTIZATION={quantization} is not offered yet" in errors


def test_a_wrong_setting_ends_the_start_with_its_name_and_no_secret(tmp_path: Path) -> None:
    process = start("serve", state=tmp_path, LLM_PORT="no-number", LLM_API_KEYS="nameless-secret")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "LLM_PORT" in errors
    assert "nameless-secret" not in errors
    assert "Traceback" not in errors


def test_check_says_one_good_line_for_each_thing_that_must_work(
    service: RunningService, tmp_path: Path
) -> None:
    process = start("check", service.url, state=tmp_path, LLM_KEY=ADMIN_KEY)
    output, errors = process.communicate(timeout=60)
    lines = [line.split()[:2] for line in output.splitlines()]
    names = ["health", "auth", "models", "chat", "stream", "limits", "metrics"]
    assert lines == [["ok", name] for name in names], output + errors
    assert process.returncode == 0


def test_check_fails_with_a_wrong_key_and_where_nothing_listens(
    service: RunningService, tmp_path: Path
) -> None:
    process = start("check", service.url, state=tmp_path, LLM_KEY="wrong")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "FAIL  chat" in output
    assert "ok    health" in output
    process = start("check", "http://127.0.0.1:9", state=tmp_path, LLM_KEY="wrong")
    assert process.communicate(timeout=60)[0].count("FAIL") == 7
    assert process.returncode == 1
