"""Processes in a real control group see its limits, keep them, and refuse what exceeds them."""

import json
import os
import re
import subprocess
import sys

import httpx2 as httpx
import pytest
from transformers import LlamaConfig

from tests.control_group import limited_group

KEY = "admin-key-for-tests-0123456789"
MIB = 2**20


@pytest.fixture
def group():
    """One core and 1 GiB."""
    with limited_group(cores=1, memory_bytes=1024 * MIB) as group:
        yield group


@pytest.fixture
def large(tmp_path):
    """3.8 thousand million weights, of which only the configuration is there."""
    folder = tmp_path / "large"
    LlamaConfig(
        hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=24,
        dtype="bfloat16",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def start(group, tmp_path, *arguments, **settings):
    environment = {name: value for name, value in os.environ.items() if name[:4] != "LLM_"}
    environment |= {"LLM_STATE_DIR": str(tmp_path / "state"), "LLM_PORT": "0", **settings}
    return group.start(
        [sys.executable, "-m", "llm_service", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, "LLM_ADMIN_KEY": KEY, "PYTHONUNBUFFERED": "1"},
    )


def end(process):
    output = process.communicate(timeout=120)
    return process.returncode, *output


def test_on_one_core_and_little_memory_the_service_sizes_itself_and_answers(group, tmp_path):
    # 256 at once would like more cache than there is room for
    process = start(group, tmp_path, "serve", LLM_MAX_BATCH_SIZE="256")
    try:
        banner = (line for line in process.stdout if re.search(r"API +http", line))
        url = next(banner).split()[1].removesuffix("/v1")
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=120
        ) as client:
            facts = client.get("/api/engine").json()
            question = {"role": "user", "content": "What is 7 plus 5?"}
            body = {"model": "pocket", "messages": [question], "max_tokens": 16}
            answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200
        assert answer.json()["usage"]["completion_tokens"] > 0
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert group.num_oom_kills == 0
    assert facts["machine"]["cpu_cores"] == 1
    assert facts["engine"]["threads"] == 1
    assert facts["machine"]["memory_limit_bytes"] == 1024 * MIB
    free = facts["machine"]["memory_available_bytes"]
    wanted = (
        32
        * 2048
        * facts["engine"]["kv_cache_bytes"]
        / (facts["engine"]["num_blocks"] * facts["engine"]["block_size"])
    )
    assert 0 < facts["engine"]["kv_cache_bytes"] < min(free, wanted)


def test_a_model_that_exceeds_the_limit_is_refused_in_words_and_not_killed(group, tmp_path, large):
    code, _, errors = end(start(group, tmp_path, "serve", LLM_MODEL_ID=str(large)))
    assert code == 1, errors
    assert re.search(r"llm-service: large needs [\d.]+ GiB for its 3,\d+ M weights", errors)
    assert "are free here: take a smaller model or give the service more memory" in errors
    assert "Traceback" not in errors
    assert group.num_oom_kills == 0


def test_the_doctor_tells_the_limits_and_that_the_model_exceeds_them(group, tmp_path, large):
    code, output, errors = end(start(group, tmp_path, "doctor", "--json", "--model", str(large)))
    assert code == 1, errors
    facts = json.loads(output)
    assert facts["machine"]["cpu_limits"]["quota"] == 1
    assert facts["machine"]["memory_limit_bytes"] == 1024 * MIB
    assert facts["software"]["threads"] == 1
    assert facts["model"]["fits"] is False
    assert any(f["problem"].startswith("large needs ") for f in facts["findings"])
    assert group.num_oom_kills == 0


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_too_little_for_torch_itself_is_told_before_it_is_loaded(tmp_path, command):
    with limited_group(cores=1, memory_bytes=200 * MIB) as group:
        code, _, errors = end(start(group, tmp_path, command))
        assert code == 1, errors
        assert "MiB of memory are free here, and PyTorch alone takes" in errors
        assert "Traceback" not in errors
        assert group.num_oom_kills == 0
