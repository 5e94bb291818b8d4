"""Processes in a real control group see its limits, keep them, and refuse what exceeds them."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2 as httpx
import pytest
from transformers import LlamaConfig

from tests.control_group import Group, limited_group

KEY = "admin-key-for-tests-0123456789"
MIB = 2**20
TOO_LITTLE = ("serve in 200 MiB", "doctor in 200 MiB")


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[str]
    group: Group

    def end(self) -> tuple[int, str, str]:
        output = self.process.communicate(timeout=120)
        return self.process.returncode, *output


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """All at once, since each takes seconds to load torch; a group of one core for each."""
    folder = tmp_path_factory.mktemp("groups")
    # 3.9 thousand million weights, of which only the configuration is there
    LlamaConfig(
        hidden_size=8192, intermediate_size=28672, num_hidden_layers=4, num_attention_heads=64,
        dtype="bfloat16",
    ).save_pretrained(folder / "large")  # fmt: skip
    large = str(folder / "large")
    with ExitStack() as stack:

        def start(mebibytes, *arguments, **settings):
            group = stack.enter_context(limited_group(cores=1, memory_bytes=mebibytes * MIB))
            environment = {name: v for name, v in os.environ.items() if name[:4] != "LLM_"}
            environment |= {"LLM_STATE_DIR": str(folder / "state"), "LLM_PORT": "0", **settings}
            process = group.start(
                [sys.executable, "-m", "llm_service", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, "LLM_ADMIN_KEY": KEY, "PYTHONUNBUFFERED": "1"},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Started(process, group)

        yield {
            # In float32, 256 sequences would use more cache than there is room for on any CPU.
            "serve": start(1024, "serve", LLM_MAX_BATCH_SIZE="256", LLM_DTYPE="float32"),
            "serve large": start(2048, "serve", LLM_MODEL_ID=large),
            "doctor large": start(2048, "doctor", "--json", "--model", large),
            TOO_LITTLE[0]: start(200, "serve"),
            TOO_LITTLE[1]: start(200, "doctor"),
        }


def test_on_one_core_and_little_memory_the_service_sizes_itself_and_answers(started):
    service = started["serve"]
    banner = (line for line in service.process.stdout if re.search(r"API +http", line))
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
    assert service.process.poll() is None
    service.process.terminate()
    service.process.communicate(timeout=60)
    assert service.group.num_oom_kills == 0
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


def test_a_model_that_exceeds_2_gib_is_refused_in_words_and_not_killed(started):
    code, _, errors = started["serve large"].end()
    assert code == 1, errors
    assert re.search(r"llm-service: large needs [\d.]+ GiB for its [45],\d+ M weights", errors)
    assert re.search(r"only [\d.]+ [MG]iB are free here", errors)
    assert "take a smaller model or give the service more memory" in errors
    assert "Traceback" not in errors
    assert started["serve large"].group.num_oom_kills == 0


def test_the_doctor_tells_the_limits_and_that_the_model_exceeds_them(started):
    code, output, errors = started["doctor large"].end()
    assert code == 1, errors
    facts = json.loads(output)
    assert facts["machine"]["cpu_limits"]["quota"] == 1
    assert facts["machine"]["memory_limit_bytes"] == 2048 * MIB
    assert facts["software"]["threads"] == 1
    assert facts["model"]["fits"] is False
    assert any(f["problem"].startswith("large needs ") for f in facts["findings"])
    assert started["doctor large"].group.num_oom_kills == 0


@pytest.mark.parametrize("name", TOO_LITTLE)
def test_too_little_for_torch_itself_is_told_before_it_is_loaded(started, name):
    code, _, errors = started[name].end()
    assert code == 1, errors
    assert "MiB of memory are free here, and PyTorch alone takes" in errors
    assert "Traceback" not in errors
    assert started[name].group.num_oom_kills == 0
