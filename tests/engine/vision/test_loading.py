"""Checkpoints that see are loaded, counted and served, and one that cannot see says why."""

import asyncio
import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_service.engine import Engine, GenerationRequest, unobserved
from llm_service.engine.budget import Budget
from llm_service.engine.config import EngineConfig, Quantization
from llm_service.engine.kernels.quantized import QuantizedLinear
from llm_service.engine.loading import memory
from llm_service.engine.loading.checkpoint import examine
from llm_service.engine.loading.factory import load_engine
from llm_service.engine.loading.language_part import encoder_parameters
from llm_service.engine.loading.loader import LoadedModel, load_model
from llm_service.engine.loading.plan import make_plan
from llm_service.machine import Machine
from tests.engine.test_batched_engine import running, tokens
from tests.engine.vision.engines import GREEDY
from tests.engine.vision.families import (
    answer_of,
    conversation,
    picture,
    save_checkpoint,
)

pytestmark = pytest.mark.anyio
ASKED = conversation([picture(1), "What is this?"])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of checkpoints, by family; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in ("qwen3_vl", "llava", "gemma3", "qwen3_5"):
        save_checkpoint(name, folder / name)
    return folder


def config(folder: Path, quantization: Quantization = "none") -> EngineConfig:
    return EngineConfig(model_id=str(folder), dtype="float32", quantization=quantization)


def loaded(folder: Path, quantization: Quantization = "none") -> LoadedModel:
    return load_model(config(folder, quantization), Machine.detect(), lambda line: None)


async def ask(engine: Engine) -> tuple[int, ...]:
    assert engine.vision is not None
    token_ids = engine.tokenizer.encode_chat(ASKED)
    prompt = await engine.vision.place(token_ids, ASKED.pictures, "")
    return await tokens(engine.submit(GenerationRequest("r", prompt, GREEDY)))


@pytest.mark.parametrize(
    ("name", "engine_name"),
    [
        ("qwen3_vl", "batched"),
        ("llava", "batched"),
        ("gemma3", "sequential"),
        ("qwen3_5", "sequential"),
    ],
)
async def test_a_checkpoint_is_served_as_generate_answers(
    saved: Path, name: str, engine_name: str
) -> None:
    engine: Any = await asyncio.to_thread(load_engine, config(saved / name), unobserved, Budget())
    async with running(engine):
        assert engine.info.sees
        assert engine.info.engine == engine_name
        assert engine.info.local is not None
        assert engine.info.local.encoder_dtype == "float32"
        assert await ask(engine) == answer_of(name, ASKED, GREEDY.max_tokens)


@pytest.mark.parametrize("name", ["qwen3_vl", "llava", "gemma3"])
def test_rounded_weights_leave_the_encoder_as_it_is(saved: Path, name: str) -> None:
    plain, rounded = loaded(saved / name), loaded(saved / name, "8bit")
    of_plain, of_rounded = map(encoder_parameters, (plain.whole, rounded.whole))
    assert len(of_plain) > 10
    assert all(map(torch.equal, of_plain, of_rounded))
    is_packed = rounded.form.is_fused or any(
        isinstance(module, QuantizedLinear) for module in rounded.model.modules()
    )
    assert is_packed
    assert rounded.weights_bytes < plain.weights_bytes


@pytest.mark.parametrize("name", ["qwen3_vl", "llava", "gemma3"])
@pytest.mark.parametrize("quantization", ["none", "8bit"])
def test_the_plan_counts_the_weights_with_the_encoders(
    saved: Path, name: str, quantization: Quantization
) -> None:
    """The norms of fused layers become float32 and buffers differ: a hundredth is left to them."""
    checkpoint = examine(str(saved / name), lambda line: None)
    plan = make_plan(checkpoint, config(saved / name, quantization), Machine.detect())
    found = loaded(saved / name, quantization).weights_bytes
    assert found == pytest.approx(plan.need.weights.total, rel=0.02)


def test_the_plan_has_room_for_the_encoder_to_work_in(saved: Path) -> None:
    checkpoint = examine(str(saved / "qwen3_vl"), lambda line: None)
    whole = memory.workspace_bytes(checkpoint.config, 1, 1)
    text = memory.workspace_bytes(checkpoint.config.get_text_config(), 1, 1)
    assert whole - text > memory.FEATURE_BYTES


def test_an_encoder_stored_in_bfloat16_computes_in_the_type_that_is_fast_here(
    saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bfloat16"
    shutil.copytree(saved / "qwen3_vl", folder)
    model = loaded(saved / "qwen3_vl").whole
    stated = json.loads((folder / "config.json").read_text())
    stated["dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(stated))
    del model
    slow = replace(Machine.detect(), cpu_flags=frozenset({"avx2", "fma", "f16c"}))
    found = load_model(EngineConfig(model_id=str(folder)), slow, lambda line: None)
    assert {p.dtype for p in encoder_parameters(found.whole)} == {torch.float32}


def test_a_checkpoint_without_a_processor_reads_text_and_says_why_it_sees_nothing(
    saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "blind"
    shutil.copytree(saved / "qwen3_vl", folder)
    (folder / "preprocessor_config.json").unlink()
    found = loaded(folder)
    assert found.is_batched
    assert found.reader is None
    assert any("sees no images because its image processor" in note for note in found.notes)


def test_a_template_without_a_place_for_images_is_said(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "textual"
    shutil.copytree(saved / "qwen3_vl", folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    found = loaded(folder)
    assert found.reader is None
    assert any("sees no images because its chat template" in note for note in found.notes)


def test_the_template_of_the_processor_is_found_in_its_own_file(
    saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(saved / "llava", folder)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert loaded(folder).reader is not None


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="the package is here")
def test_a_checkpoint_of_llavas_type_with_another_processor_gets_that_one(
    saved: Path, tmp_path: Path
) -> None:
    """Pixtral's is such a checkpoint, and its processor needs a package that is not here."""
    folder = tmp_path / "pixtral"
    shutil.copytree(saved / "llava", folder)
    stated = json.loads((folder / "processor_config.json").read_text())
    stated["processor_class"] = "PixtralProcessor"
    (folder / "processor_config.json").write_text(json.dumps(stated))
    found = loaded(folder)
    assert found.reader is None
    assert any("requires the Torchvision library" in note for note in found.notes)
