"""Several models in one service: added and removed by the composition root alone."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import openai
import pytest
from transformers import Qwen2Config, Qwen2ForCausalLM

from llm_service.engine import Engine
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.model_files import ModelLoadError
from llm_service.engine.served import Models, ServedModel
from llm_service.machine import process_memory
from tests.engine.models import byte_tokenizer
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

QUESTION: list[Any] = [{"role": "user", "content": "What is 7 plus 5?"}]
MIB = 2**20


def on_loop(service: RunningService, work: Coroutine[Any, Any, Any]) -> Any:
    loop = service.server._loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(work, loop).result(120)


def add(service: RunningService, **config: Any) -> None:
    runtime = service.app.state.runtime
    engine: Engine = runtime.load_engine(EngineConfig(threads=1, **config))
    on_loop(service, runtime.add_model(engine))


def remove(service: RunningService, name: str) -> None:
    on_loop(service, service.app.state.runtime.remove_model(name))


def answer(service: RunningService, model: str) -> str:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, max_retries=0) as client:
        found = client.chat.completions.create(
            model=model, messages=QUESTION, temperature=0, max_tokens=20
        )
    assert found.model == model
    return found.choices[0].message.content or ""


def sample(service: RunningService, name: str) -> Any:
    with service.client() as http:
        lines = http.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), None)


def test_a_second_model_is_served_under_its_name_and_removed(tmp_path: Path) -> None:
    with (
        RunningService(
            tmp_path,
        ) as service,
        service.client() as http,
    ):
        add(service, served_name="second")
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == [
            "pocket",
            "second",
        ]
        assert answer(service, "second") == answer(service, "pocket") != ""
        assert sample(service, 'llm_ready{model="second"}') == 1
        assert sample(service, 'llm_output_tokens_total{model="second"}') > 0
        with service.client() as other:
            running = other.get("/api/requests").json()["requests"]
        assert {record["model"] for record in running} == {"pocket", "second"}

        with pytest.raises(ModelLoadError, match="loaded as 'second' already"):
            add(service, served_name="second")
        assert answer(service, "second")

        remove(service, "second")
        assert http.get("/v1/models/second").status_code == 404
        with pytest.raises(openai.NotFoundError, match="Available: pocket"):
            answer(service, "second")
        assert answer(service, "pocket")
        assert sample(service, 'llm_ready{model="second"}') is None
        assert sample(service, 'llm_output_tokens_total{model="second"}') > 0


def test_a_model_that_is_removed_gives_its_memory_back(tmp_path: Path) -> None:
    folder = large_model(tmp_path / "large")
    with RunningService(tmp_path / "state") as service:
        # Once before, so that what the process keeps for every model is there already.
        serve_once(service, folder)
        before = process_memory().anon_bytes
        while_served = serve_once(service, folder)
        after = process_memory().anon_bytes
    assert while_served - before > 50 * MIB
    assert after == pytest.approx(before, rel=0.05)


def serve_once(service: RunningService, folder: Path) -> int:
    """Anonymous memory in bytes while the model is served."""
    add(service, model_id=str(folder), served_name="large", quantization="none", dtype="bfloat16")
    with service.client() as http:
        body = {"model": "large", "prompt": "abc", "max_tokens": 4}
        assert http.post("/v1/completions", json=body).status_code == 200
    num_bytes = process_memory().anon_bytes
    remove(service, "large")
    return num_bytes


def large_model(folder: Path) -> Path:
    """Random weights of 140 MiB, 70 MiB in bfloat16, with the byte tokenizer."""
    tokenizer = byte_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=5,
        num_attention_heads=12,
        num_key_value_heads=12,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_two_models_of_one_name_are_refused() -> None:
    models = Models()
    models.add(ServedModel.of(FakeEngine()))
    with pytest.raises(ValueError, match="served as 'pocket' already"):
        models.add(ServedModel.of(FakeEngine()))
