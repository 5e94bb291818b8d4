"""/api/engine: what is served, on what, and within which limits."""

from pathlib import Path

from llm_service.engine import ModelInfo
from llm_service.machine import SPEEDING_FLAGS, Machine
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService


def test_the_facts_are_those_of_the_bundled_model_and_this_machine(
    service: RunningService,
) -> None:
    info: ModelInfo = service.engine.info
    machine = Machine.detect()
    with service.client() as http:
        facts = http.get("/api/engine").json()
    assert facts["model"]["id"] == "pocket"
    assert facts["model"]["is_demonstration"] is True
    assert info.local is not None
    assert facts["model"]["weights_bytes"] == info.local.weights_bytes > 0
    assert facts["model"]["format"] == info.format == "hermes"
    assert (facts["model"]["sees"], facts["model"]["encoder_dtype"]) == (False, None)
    assert facts["model"]["default_sampling"] == dict(info.default_sampling)
    assert facts["machine"]["cpu_cores"] == machine.cpu_cores
    assert facts["machine"]["cpu_model"] == machine.cpu_model
    assert facts["machine"]["memory_limit_bytes"] == machine.memory_limit_bytes
    assert facts["machine"]["num_process_threads"] >= 2
    present = {each["name"]: each["is_present"] for each in facts["machine"]["instruction_sets"]}
    assert present == {flag: flag in machine.cpu_flags for flag in SPEEDING_FLAGS}
    engine = facts["engine"]
    assert engine["kind"] == "batched"
    assert engine["is_ready"] is True
    assert engine["has_prefix_cache"] is True
    assert engine["num_blocks"] * engine["block_size"] >= facts["model"]["max_context"]
    assert engine["kv_cache_bytes"] % engine["num_blocks"] == 0
    assert engine["max_batched_tokens"] == info.local.max_batched_tokens


def test_while_the_model_loads_there_are_the_machine_and_nulls(tmp_path: Path) -> None:
    with RunningService(tmp_path, engine=FakeEngine()) as service, service.client() as http:
        models = service.app.state.services.models
        model = models.remove("pocket")
        facts = http.get("/api/engine").json()
        models.add(model)
    assert (facts["model"], facts["engine"]) == (None, None)
    assert facts["machine"]["num_cpus"] >= 1
