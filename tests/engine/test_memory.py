"""Bytes are foretold before anything is loaded, and come true."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    Gemma4TextConfig,
    LlamaConfig,
    MambaConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.kv_cache import block_bytes
from llm_service.engine.loading import form as forms
from llm_service.engine.loading import memory, quantization
from llm_service.engine.loading.checkpoint import examine
from llm_service.engine.loading.compatibility import layer_shapes
from llm_service.engine.loading.form import Form
from llm_service.engine.loading.loader import load_model, plan_resources
from llm_service.engine.loading.model_files import ModelLoadError
from llm_service.engine.loading.plan import (
    LoadingPlan,
    alternatives,
    changed_settings,
    make_plan,
    refuse_unless_fits,
)
from llm_service.engine.loading.quantizers import Quantizer
from llm_service.machine import Machine
from tests.engine import models

GIB = 2**30
SIZES: dict[str, Any] = {
    "vocab_size": 2000,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
FAMILIES = (Qwen2Config, LlamaConfig, Qwen3Config, Gemma3TextConfig, Phi3Config)


@pytest.fixture(scope="module")
def machine():
    """Two cores and 4 GiB free, without bfloat16."""
    return replace(
        Machine.detect(), cpu_cores=2.0, cpu_flags=frozenset(), memory_available_bytes=4 * GIB
    )


@pytest.fixture
def folder(tmp_path):
    """A model of 1.5 thousand million weights, of which only the configuration is there."""
    Qwen2Config(
        vocab_size=151_936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        dtype="bfloat16",
    ).save_pretrained(tmp_path)
    return tmp_path


def shell_of(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def quiet(line):
    pass


def plan_of(config: EngineConfig, machine: Machine) -> LoadingPlan:
    return make_plan(examine(config.model_id, quiet), config, machine)


def form_of(dtype: torch.dtype, quantization: str = "none", **changes: Any) -> Form:
    """Without kernels, and not fused, unless `changes` say so."""
    plain = Form(
        dtype=dtype, quantization=quantization, kernels=None, is_fused=False, kv_dtype=dtype
    )
    return replace(plain, **changes)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unquantized_weights_take_what_is_foretold(family, is_tied, dtype):
    config = family(**SIZES, tie_word_embeddings=is_tied)
    found = memory.weights_bytes(shell_of(config), form_of(dtype))
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    # but for scalars, which some families keep as buffers in the type of the weights
    assert found.total == pytest.approx(model.get_memory_footprint(), abs=8)
    assert found.embedding == 2000 * 128 * dtype.itemsize
    assert found.head == (None if is_tied else found.embedding)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
@pytest.mark.parametrize("is_batched", [True, False])
def test_quantized_weights_take_what_is_foretold_within_a_hundredth(family, scheme, is_batched):
    config = family(**SIZES, tie_word_embeddings=True)
    shell = shell_of(config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    form, _ = models.chosen_form(model, scheme, is_batched=is_batched)
    assert quantization.prepare(model, form) is None
    found = memory.weights_bytes(shell, form).total
    assert found == pytest.approx(quantization.num_bytes(model), rel=0.01)


def test_weights_that_transformers_keeps_quantized_are_counted_by_their_bits():
    shell = shell_of(LlamaConfig(**SIZES))
    linear = sum(m.weight.numel() for m in shell.modules() if type(m) is nn.Linear)
    linear -= shell.get_output_embeddings().weight.numel()
    bfloat16 = torch.bfloat16
    plain = memory.weights_bytes(shell, form_of(bfloat16))
    form = form_of(bfloat16, "gptq", quantizer=Quantizer(name="gptq", weight_bits=4.5))
    found = memory.weights_bytes(shell, form)
    assert plain.layers - found.layers == pytest.approx(linear * (16 - 4.5) / 8, abs=1)
    assert (found.embedding, found.head) == (plain.embedding, plain.head)


def test_without_kernels_quantized_weights_take_what_is_foretold(monkeypatch):
    monkeypatch.setattr(forms, "find_kernels", lambda name: (None, "no compiler"))
    config = LlamaConfig(**SIZES)
    for scheme in ("8bit", "4bit"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
        form, _ = models.prepare(model, scheme)
        assert form.kernels is None
        found = memory.weights_bytes(shell_of(config), form).total
        assert found == pytest.approx(quantization.num_bytes(model), rel=0.01)


@pytest.mark.parametrize("scheme", ["none", "8bit", "4bit"])
def test_the_bundled_model_takes_what_is_foretold(machine, scheme):
    config = EngineConfig(quantization=scheme)
    plan = plan_of(config, machine)
    loaded = load_model(config, machine, quiet)
    assert plan.checkpoint.num_parameters == loaded.num_parameters
    assert plan.need.weights.total == pytest.approx(loaded.weights_bytes, rel=0.01)
    assert plan.form == loaded.form
    assert plan.reasons == loaded.reasons
    assert plan.checkpoint.max_context == loaded.max_context
    assert plan.resources is not None
    found = plan_resources(config, loaded, machine)
    assert found.max_context == plan.resources.max_context
    assert found.max_batch_size == plan.resources.max_batch_size
    assert found.kv_cache_bytes == pytest.approx(plan.resources.kv_cache_bytes, rel=0.01)


@pytest.mark.parametrize("architecture", list(models.CONFIGS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_a_position_in_the_cache_takes_what_is_foretold(architecture, dtype):
    model = models.tiny_model(architecture)
    expected = block_bytes(layer_shapes(model), 1, dtype)
    assert memory.kv_bytes_per_token(model.config, dtype) == expected


def test_a_model_without_attention_needs_no_cache():
    config = MambaConfig(vocab_size=258, hidden_size=16, num_hidden_layers=2, state_size=4)
    assert memory.kv_bytes_per_token(config, torch.float32) == 0
    plan = memory.plan(
        EngineConfig(),
        threads=2,
        max_context=64,
        bytes_per_token=0,
        free_bytes=GIB,
        is_batched=True,
    )
    assert (plan.kv_cache_bytes, plan.max_batch_size) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "num_positions"),
    [
        ({}, 3 * 2),
        ({"per_layer_config": {"1": {"num_key_value_heads": 4}}}, 2 + 4 + 2),
        (
            {"per_layer_config": {"0": {"head_dim": 16}, "2": {"intermediate_size": 9000}}},
            1 + 2 + 2,
        ),
    ],
)
def test_what_a_configuration_overrides_for_single_layers_is_counted_there(changes, num_positions):
    config = LlamaConfig(**SIZES, head_dim=32, **changes)
    expected = num_positions * 2 * 32 * 4  # keys and values of heads of 32 float32
    assert memory.kv_bytes_per_token(config, torch.float32) == expected
    widest = 9000 if "2" in changes.get("per_layer_config", {}) else 352
    plain = LlamaConfig(**(SIZES | {"intermediate_size": widest}))
    assert memory.workspace_bytes(config, 4, 512) == memory.workspace_bytes(plain, 4, 512)


def test_a_list_with_a_number_for_each_layer_is_read_as_such():
    config = Gemma3nTextConfig(**(SIZES | {"intermediate_size": [100, 300, 200]}))
    widest = Gemma3nTextConfig(**(SIZES | {"intermediate_size": [300] * 3}))
    assert memory.workspace_bytes(config, 4, 512) == memory.workspace_bytes(widest, 4, 512)


def test_layers_of_two_sizes_take_what_is_foretold_and_are_foretold_not_to_be_fused():
    """Gemma 4's full layers have larger heads than its sliding ones."""
    heads: dict[str, Any] = {"head_dim": 32, "global_head_dim": 64, "num_global_key_value_heads": 1}
    config = Gemma4TextConfig(**SIZES, **heads, hidden_size_per_layer_input=8,
                              vocab_size_per_layer_input=2000)  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    expected = block_bytes(layer_shapes(model), 1, torch.float32)
    assert memory.kv_bytes_per_token(config, torch.float32) == expected
    assert not models.chosen_form(shell_of(config), "8bit")[0].is_fused
    assert not models.prepare(model, "8bit", is_batched=False)[0].is_fused


@pytest.mark.parametrize(
    "kind",
    ["bloom", "dbrx", "dots3_note_text", "falcon", "falcon_mamba", "gemma3n_text", "gemma4_text",
     "gpt2", "mamba2", "mpt", "reformer", "rwkv", "xlnet", "zamba2"],
)  # fmt: skip
def test_a_configuration_that_names_or_states_its_parts_in_its_own_way_has_a_plan(kind):
    config = CONFIG_MAPPING[kind]()
    keeps_none = kind in ("falcon_mamba", "mamba2", "rwkv")
    assert (memory.kv_bytes_per_token(config, torch.float32) == 0) is keeps_none
    logits = 4 * 4 * 4 * config.vocab_size
    assert memory.workspace_bytes(config, 4, 512) > memory.workspace_bytes(config, 4, 1) > logits


def test_converted_weights_are_counted_in_the_type_that_they_are_read_in(machine, folder):
    """Those of the stored type stay in their file; others are copied before they are rounded."""
    config = EngineConfig(model_id=str(folder), quantization="4bit")
    stored = plan_of(config, machine)
    converted = plan_of(replace(config, dtype="float32"), machine)
    assert stored.form.dtype == torch.bfloat16
    assert stored.need.loading_bytes == stored.need.weights.total
    num_parameters = converted.checkpoint.num_parameters
    assert converted.need.loading_bytes == pytest.approx(4 * num_parameters, rel=0.01)


def test_a_refusal_has_the_numbers_and_names_what_would_fit(machine, folder):
    config = EngineConfig(model_id=str(folder), quantization="none")
    tight = replace(machine, memory_available_bytes=3 * GIB)
    with pytest.raises(ModelLoadError) as caught:
        refuse_unless_fits(plan_of(config, tight), tight)
    words = str(caught.value)
    assert "needs 2.88 GiB for its 1,544 M weights as bfloat16" in words
    assert "only 3.00 GiB are free" in words
    assert "LLM_QUANTIZATION=8bit" in words
    assert "LLM_QUANTIZATION=4bit" in words


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization": "none", "dtype": "float32"},
        {"quantization": "none", "max_context": 32_768},
        {"quantization": "8bit", "kv_cache_bytes": 8 * GIB},
    ],
)
def test_what_is_proposed_fits_when_it_is_taken(machine, folder, changes):
    config = EngineConfig(model_id=str(folder), **changes)
    tight = replace(machine, memory_available_bytes=int(2.4 * GIB))
    plan = plan_of(config, tight)
    assert plan.resources is None or not plan.fits
    found = list(alternatives(plan, tight))
    assert found
    for other in found:
        settings = dict(each.split("=") for each in changed_settings(other, config).split(" "))
        fields: dict[str, Any] = {
            name.removeprefix("LLM_").lower(): int(value) if value.isdigit() else value
            for name, value in settings.items()
        }
        taken = plan_of(replace(config, **fields), tight)
        assert taken.fits
        assert taken.resources is not None
        taken_bytes = taken.need.weights.total + taken.resources.kv_cache_bytes
        assert taken_bytes < tight.memory_available_bytes


def test_a_cache_larger_than_what_is_free_is_refused():
    with pytest.raises(ModelLoadError, match="LLM_KV_CACHE_BYTES=2000 is more than the 1000"):
        memory.plan(
            EngineConfig(kv_cache_bytes=2000),
            threads=1,
            max_context=64,
            bytes_per_token=4,
            free_bytes=1000,
            is_batched=True,
        )
