"""`llm-service doctor`: what it finds, what it says helps, and how it ends."""

import json
import math
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig
from typer.testing import CliRunner

from llm_service.__main__ import app
from llm_service.cli import doctor as command
from llm_service.cli.findings import (
    Finding,
    Kind,
    cpu_findings,
    disk_findings,
    memory_findings,
    model_findings,
)
from llm_service.cli.surroundings import Disk, Software, Window
from llm_service.control_groups import Throttling
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.checkpoint import examine
from llm_service.engine.loading.loader import load_model
from llm_service.engine.loading.model_files import ModelLoadError, bundled_models
from llm_service.engine.loading.plan import LoadingPlan, make_plan
from llm_service.machine import Machine
from tests.engine.embedders import save_embedder

GIB = 2**30


@pytest.fixture(scope="module")
def machine():
    """One with which nothing is wrong."""
    return replace(
        Machine.detect(),
        cpu_cores=2.0,
        cpu_limits={"online": 8, "quota": 2.0},
        cpu_flags=frozenset({"sse2", "avx2"}),
        memory_available_bytes=4 * GIB,
        swap_used_bytes=0,
        huge_pages="madvise",
    )


@pytest.fixture
def software():
    return Software(
        python="3.12.0",
        torch="2.0",
        torch_threads=2,
        cpu_capability="AVX2",
        threads=2,
        device="cpu",
        compiler="c++ 12",
        kernels="avx2",
        kernels_reason="",
    )


@pytest.fixture
def large(tmp_path):
    """35 thousand million weights, of which only the configuration is there."""
    folder = tmp_path / "large"
    LlamaConfig(
        hidden_size=8192, intermediate_size=28672, num_hidden_layers=40, num_attention_heads=64
    ).save_pretrained(folder)
    return folder


def plan_of(config: EngineConfig, machine: Machine) -> LoadingPlan:
    return make_plan(examine(config.model_id, lambda line: None), config, machine)


def window(seconds=10.0, stopped=0.0, periods=0, throttled=0):
    return Window(
        Throttling(5.0, 0, 0), Throttling(5.0 + stopped, periods, throttled), seconds, cores=2.0
    )


def run(tmp_path, *arguments, **settings):
    environment = {"LLM_STATE_DIR": str(tmp_path), **settings}
    return CliRunner().invoke(app, ["doctor", *arguments], env=environment)


def test_with_the_bundled_model_it_says_what_is_there_and_ends_well(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    for words in ("Machine", "cores", "memory", "throttling", "kernel", "torch", "compiler"):
        assert words in result.output
    assert re.search(r"name +pocket, [\d.]+ M weights", result.output)
    assert re.search(r"weights +[\d.]+ MiB: embedding [\d.]+ MiB, head shared", result.output)
    assert "WRONG" not in result.output
    assert "\x1b" not in result.output


def test_programs_get_the_same_as_json(tmp_path):
    result = run(tmp_path, "--json", LLM_MAX_BATCH_SIZE="4", LLM_THREADS="1")
    facts = json.loads(result.stdout)
    assert facts["is_ok"] is True
    assert facts["machine"]["cpu_cores"] == Machine.detect().cpu_cores
    model = facts["model"]
    assert model["id"] == "pocket"
    parts = model["embedding_bytes"] + model["head_bytes"] + model["layers_bytes"]
    assert model["weights_bytes"] == parts
    assert model["plan"]["max_batch_size"] == 4
    assert model["plan"]["threads"] == 1
    assert model["plan"]["max_context"] == 2048
    assert facts["throttling"]["window_seconds"] > 0


def unbatchable(folder):
    """Its position encoding becomes one that depends on the length of the text."""
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    (folder / "config.json").write_text(json.dumps(config))


def test_the_plan_is_the_one_that_loading_carries_out(tmp_path):
    result = run(tmp_path, "--json", LLM_QUANTIZATION="8bit", LLM_KERNELS="none")
    config = EngineConfig(quantization="8bit", kernels="none")
    loaded = load_model(config, Machine.detect(), lambda line: None)
    model = json.loads(result.stdout)["model"]
    assert model["engine"] == "batched"
    assert model["kernels"] is None is loaded.form.kernels
    assert model["is_fused"] is False is loaded.form.is_fused
    assert model["weights_bytes"] == pytest.approx(loaded.weights_bytes, rel=0.01)
    assert tuple(model["reasons"]) == loaded.reasons.notes
    assert loaded.reasons.kernels == "LLM_KERNELS=none asks for that"


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_model_that_runs_one_request_at_a_time_gets_no_kv_cache(tmp_path, is_asked_for):
    folder = copied(tmp_path)
    if is_asked_for:
        settings, reason = {"LLM_ENGINE": "sequential"}, "LLM_ENGINE=sequential asks for that"
    else:
        unbatchable(folder)
        settings, reason = {}, "its position encoding (dynamic) depends on the length of the text"
    model = json.loads(run(tmp_path, "--json", "--model", str(folder), **settings).stdout)["model"]
    assert model["engine"] == "sequential"
    assert model["useful_kv_cache_bytes"] == 0
    assert model["plan"]["kv_cache_bytes"] == 0
    assert model["plan"]["max_batch_size"] == 1
    assert model["reasons"][0] == f"runs one request at a time because {reason}"
    words = run(tmp_path, "--model", str(folder), **settings).output
    assert "KV cache      the model's own, which is not counted" in words
    assert re.search(r"plan +one request at a time, a context of 2048 tokens", words)


def test_batching_that_was_asked_for_but_is_not_possible_is_told(tmp_path):
    folder = copied(tmp_path)
    unbatchable(folder)
    result = run(tmp_path, "--model", str(folder), LLM_ENGINE="batched")
    assert result.exit_code == 1
    assert "WRONG  LLM_ENGINE=batched, but model cannot be batched because" in result.output


def test_wrong_settings_are_told_without_their_values_and_the_machine_is_still_shown(tmp_path):
    result = run(tmp_path, LLM_PORT="no-number", LLM_DTYPE="float7", LLM_ADMIN_KEY="a-secret")
    assert result.exit_code == 1
    assert "LLM_PORT: " in result.output
    assert "LLM_DTYPE: " in result.output
    assert "Machine" in result.output
    assert "a-secret" not in result.output
    assert "no-number" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"LLM_MODEL_ID": "./no/such/folder"}, "LLM_MODEL_ID='./no/such/folder' is no bundled"),
        ({"LLM_MAX_CONTEXT": "4096"}, "LLM_MAX_CONTEXT=4096 is more than the 2048 tokens"),
    ],
)
def test_settings_that_no_model_can_meet_are_told(tmp_path, settings, words):
    result = run(tmp_path, **settings)
    assert result.exit_code == 1
    assert f"WRONG  {words}" in result.output


def test_a_model_that_can_never_fit_is_told_with_its_bytes(tmp_path, large):
    result = run(tmp_path, "--model", str(large))
    assert result.exit_code == 1
    assert "large needs" in result.output
    assert re.search(r"weights +\d+\.\d\d GiB: embedding", result.output)
    assert "holds no weights" in result.output


def copied(tmp_path):
    return shutil.copytree(bundled_models()["pocket"], tmp_path / "model")


def test_it_says_what_it_did_not_try(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    # Without AVX2 the doctor rightly says that everything is slower.
    assert ("Nothing is wrong." in result.output) == ("avx2" in Machine.detect().cpu_flags)
    assert "The model was not run: add --load" in result.output


def test_on_demand_it_loads_the_model_and_lets_it_answer(tmp_path, monkeypatch):
    streams = []
    submit = BatchedEngine.submit

    def submit_and_keep(*arguments):
        streams.append(submit(*arguments))
        return streams[-1]

    monkeypatch.setattr(BatchedEngine, "submit", submit_and_keep)
    result = run(tmp_path, "--load", LLM_KV_CACHE_BYTES="10000000")
    assert result.exit_code == 0, result.output
    assert "loading pocket" in result.stderr
    assert "was not run" not in result.output
    assert [s.usage.num_output_tokens for stream in streams for s in stream.sequences] == [1]


def test_what_only_running_shows_is_told_after_loading(tmp_path):
    folder = copied(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"].fill_(math.nan)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert run(tmp_path, "--model", str(folder)).exit_code == 0
    result = run(tmp_path, "--load", "--model", str(folder))
    assert result.exit_code == 1
    assert "WRONG  The model in" in result.output
    assert "its logits are not finite" in result.output


def broken_json(folder):
    (folder / "generation_config.json").write_text("{")


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def missing_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def other_shape(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_json, "generation_config.json is not valid JSON"),
        (no_tokenizer, "holds no tokenizer"),
        (missing_tensor, "model.norm.weight"),
        (other_shape, "model.norm.weight"),
    ],
)
def test_what_would_end_a_start_is_told_without_one(tmp_path, spoil, words):
    folder = copied(tmp_path)
    spoil(folder)
    result = run(tmp_path, "--model", str(folder))
    assert result.exit_code == 1
    assert "WRONG" in result.output
    assert words in result.output
    with pytest.raises(ModelLoadError) as caught:
        load_model(EngineConfig(model_id=str(folder)), Machine.detect(), lambda line: None)
    assert str(caught.value) in result.output


def test_what_is_left_out_of_a_model_is_told(tmp_path):
    folder = copied(tmp_path)
    (folder / "generation_config.json").write_text('{"temperature": "hot"}')
    result = run(tmp_path, "--model", str(folder))
    assert result.exit_code == 0
    assert "note   The model ignores temperature in generation_config.json" in result.output
    assert "Nothing is wrong" not in result.output


@pytest.mark.parametrize(
    ("colour", "is_terminal", "is_styled"),
    [("", True, True), ("", False, False), ("1", True, False)],
)
def test_colours_are_for_terminals_and_for_those_who_want_them(
    monkeypatch, colour, is_terminal, is_styled
):
    monkeypatch.setenv("NO_COLOR", colour)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    line = command._finding_line(Finding("swap", True, "It is off.", "Switch it on."))
    assert ("\x1b" in line) is is_styled
    assert line.endswith("It is off. Switch it on.")


def test_nothing_is_found_where_nothing_is_wrong(machine, software):
    state = Disk(Path("state"), GIB, True)
    assert list(cpu_findings(machine, software, window())) == []
    assert list(memory_findings(machine)) == []
    assert list(disk_findings(state, state, None)) == []


def test_more_threads_than_the_quota_has_cores_are_named_with_the_number_to_set(machine, software):
    (found,) = cpu_findings(machine, replace(software, threads=8), window())
    assert not found.is_fatal
    assert found.problem == "The engine would use 8 threads on 2 cores (by quota)."
    assert found.remedy.startswith("Set LLM_THREADS=2")


def test_less_than_a_core_is_named(machine, software):
    small = replace(machine, cpu_cores=0.5, cpu_limits={"online": 8, "quota": 0.5})
    (found,) = cpu_findings(small, replace(software, threads=1), window())
    assert "1 thread on 0.5 cores" in found.problem
    assert found.remedy == "Give the service at least one whole core."


@pytest.mark.parametrize(
    "throttled", [window(stopped=3.0), window(periods=100, throttled=11), window(1.0, stopped=0.3)]
)
def test_a_throttled_group_is_named_by_what_happens_now_and_so_far(machine, software, throttled):
    (found,) = cpu_findings(machine, software, throttled)
    assert "The CPU quota stops this group" in found.problem
    assert f"{throttled.recent_share:.0%} of its CPU time" in found.problem


def test_a_little_throttling_is_nothing(machine, software):
    assert not list(cpu_findings(machine, software, window(stopped=1.9, periods=10, throttled=1)))


def test_missing_kernels_are_named_with_what_to_install(machine, software):
    reason = "there is no C++ compiler (c++, g++, clang++)"
    (found,) = cpu_findings(machine, replace(software, kernels_reason=reason), window())
    assert reason in found.problem
    assert "apt install g++" in found.remedy


def test_a_processor_without_avx2_is_named_but_another_architecture_is_not(machine, software):
    old = replace(machine, cpu_flags=frozenset({"sse2"}))
    (found,) = cpu_findings(old, software, window())
    assert "no AVX2" in found.problem
    arm = replace(machine, cpu_flags=frozenset({"asimd"}))
    assert not list(cpu_findings(arm, software, window()))


def test_swap_in_use_and_huge_pages_that_are_off_are_named(machine):
    found = list(memory_findings(replace(machine, swap_used_bytes=GIB, huge_pages="never")))
    assert "1.00 GiB of swap are in use" in found[0].problem
    assert "echo madvise" in found[1].remedy
    assert not any(f.is_fatal for f in found)


def test_a_state_folder_that_cannot_be_written_is_fatal():
    cache = Disk(Path("cache"), GIB, True)
    (found,) = disk_findings(Disk(Path("/readonly"), GIB, False), cache, None)
    assert found.is_fatal
    assert "/readonly" in found.problem


def test_a_folder_that_is_yet_to_be_made_has_the_disk_of_the_one_above(tmp_path):
    disk = Disk.of(tmp_path / "not" / "yet")
    assert disk.free_bytes > 0
    assert disk.is_writable


def test_a_download_that_the_disk_cannot_hold_is_fatal(machine, large):
    plan = plan_of(EngineConfig(model_id=str(large)), machine)
    found_there = replace(plan.checkpoint, model_id="owner/large", is_on_hub=True)
    on_hub = replace(plan, checkpoint=found_there)
    state = Disk(Path("state"), GIB, True)
    (found,) = disk_findings(state, Disk(Path("cache"), 10 * GIB, True), on_hub)
    assert found.is_fatal
    assert "owner/large" in found.problem
    assert "HF_HOME" in found.remedy
    assert not list(disk_findings(state, Disk(Path("cache"), 1000 * GIB, True), on_hub))


def test_a_model_that_fits_only_when_it_is_rounded_is_told_how(machine, tmp_path):
    LlamaConfig(
        vocab_size=32_000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4, dtype="bfloat16",
    ).save_pretrained(tmp_path)  # fmt: skip
    (tmp_path / "model.safetensors").touch()
    config = EngineConfig(model_id=str(tmp_path), quantization="none")
    tight = replace(machine, memory_available_bytes=2 * GIB)
    (found,) = model_findings(plan_of(config, tight), tight)
    assert found.is_fatal
    assert "2.00 GiB are free" in found.problem
    assert re.search(
        r"LLM_QUANTIZATION=8bit \(1\.\d\d GiB of weights, \d+ MiB of KV cache: a context of"
        r" \d+ tokens, \d+ requests at once\)",
        found.remedy,
    )


def test_a_cache_that_cannot_be_is_told_with_one_that_can(machine):
    config = EngineConfig(kv_cache_bytes=8 * GIB)
    (found,) = model_findings(plan_of(config, machine), machine)
    assert found.is_fatal
    assert found.problem.startswith(f"LLM_KV_CACHE_BYTES={8 * GIB} is more than the ")
    assert re.match(r"What would fit: LLM_KV_CACHE_BYTES=\d+ \(", found.remedy)


def test_a_context_that_is_cut_is_told_but_not_fatal(machine):
    tight = replace(machine, memory_available_bytes=170 * 2**20)
    config = EngineConfig()
    (found,) = model_findings(plan_of(config, tight), tight)
    assert not found.is_fatal
    assert "so requests are limited to" in found.problem
    assert "more memory would lift that" in found.remedy


def test_a_model_for_embeddings_is_planned_beside_the_first_one_and_tried(tmp_path, monkeypatch):
    folder = save_embedder(tmp_path / "tiny", pooling={"pooling_mode_mean_tokens": True})
    monkeypatch.setenv("LLM_EMBEDDING_MODEL_ID", str(folder))
    monkeypatch.setenv("LLM_DEVICE", "cpu")
    monkeypatch.setenv("LLM_STATE_DIR", str(tmp_path))
    report = CliRunner().invoke(app, ["doctor", "--load", "--json"])
    assert report.exit_code == 0, report.output
    facts = json.loads(report.stdout)
    first, second = facts["model"], facts["embedding_model"]
    assert (first["id"], second["id"]) == ("pocket", "tiny")
    assert second["engine"] == "embedding"
    assert second["useful_kv_cache_bytes"] == 0
    assert second["free_bytes"] < first["free_bytes"]
    (folder / "modules.json").write_text("[]")
    report = CliRunner().invoke(app, ["doctor"])
    assert report.exit_code == 1
    assert "must name at least a Transformer and a Pooling" in report.output


def test_every_kind_of_finding_is_documented_and_no_other():
    page = Path(__file__).parent.parent / "docs" / "doctor.md"
    documented = re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert documented == list(get_args(Kind))
