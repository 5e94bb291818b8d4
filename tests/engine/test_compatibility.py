"""Which models are batched, and that those which would be served wrongly are not."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from llm_service.engine.kernels.kv_cache import LayerShape
from llm_service.engine.loading.compatibility import (
    layer_shapes,
    why_not_batchable,
    why_shell_not_batchable,
)
from tests.engine.models import CONFIGS, fresh_model

TINY: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


def build(model_type: str, device: str = "cpu", **fields: Any) -> PreTrainedModel:
    config: PreTrainedConfig = AutoConfig.for_model(model_type, **{**TINY, **fields})
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model.float().eval()


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_architectures_that_are_tested_for_exactness_are_batched(architecture: str) -> None:
    assert why_not_batchable(fresh_model(architecture)) is None


@pytest.mark.parametrize(
    "model_type", ["granite", "cohere2", "olmo2", "smollm3", "starcoder2", "gpt_neox"]
)
def test_other_decoder_only_architectures_are_batched_unchanged(model_type: str) -> None:
    assert why_not_batchable(build(model_type)) is None


def test_a_mixture_of_experts_is_batched() -> None:
    model = build("mixtral", num_local_experts=4, num_experts_per_tok=2)
    assert why_not_batchable(model) is None


@pytest.mark.parametrize(
    ("model_type", "fields", "reason"),
    [
        ("gpt_oss", {"num_local_experts": 2, "num_experts_per_tok": 1}, "differ"),
        ("mamba", {}, "state|attention"),
        ("bloom", {"n_layer": 2, "n_head": 4}, "attention"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
            "dynamic",
        ),
    ],
)
def test_what_cannot_be_batched_is_told_with_its_reason(
    model_type: str, fields: dict[str, Any], reason: str
) -> None:
    found = str(why_not_batchable(build(model_type, **fields)))
    assert any(word in found for word in reason.split("|")), found


@pytest.mark.parametrize(
    ("model_type", "fields", "reason"),
    [
        ("bloom", {"n_layer": 2, "n_head": 4}, "its attention cannot be replaced"),
        ("doge", {"sliding_window": 8}, "its sliding window does not reach the attention function"),
        # the compressed keys and values of DeepSeek's attention differ in size
        ("minicpm3", {"num_key_value_heads": 4}, "layer 0 does not have one key and"),
        # what needs numbers is not known without weights
        ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}, None),
        ("qwen3", {}, None),
    ],
)
def test_most_reasons_are_found_without_weights_and_they_are_the_same_with_them(
    model_type: str, fields: dict[str, Any], reason: str | None
) -> None:
    found = why_shell_not_batchable(build(model_type, "meta", **fields), traces=True)
    assert str(found).startswith(str(reason))
    assert why_not_batchable(build(model_type, **fields)) == found


def test_a_shell_is_left_as_it_was() -> None:
    shell = build("qwen3", "meta")
    before = shell.config._attn_implementation
    why_shell_not_batchable(shell, traces=True)
    assert shell.config._attn_implementation == before


def test_a_model_that_forgets_its_sliding_window_is_not_batched() -> None:
    """Its mask would tell transformers' own attention about the window, but not ours."""
    model = fresh_model("llama")
    model.config.sliding_window = 8
    assert "sliding window" in str(why_not_batchable(model))


def test_a_model_that_mixes_positions_outside_attention_is_not_batched() -> None:
    model = fresh_model("llama")

    def mix(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output + output.roll(1, dims=1)  # like a short convolution

    model.get_decoder().layers[1].mlp.register_forward_hook(mix)
    assert "differ" in str(why_not_batchable(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_half_precision_is_batched_too(architecture: str, dtype: torch.dtype) -> None:
    assert why_not_batchable(fresh_model(architecture, dtype)) is None


def test_a_model_whose_layers_differ_is_batched() -> None:
    model = fresh_model("llama")
    attention = model.get_decoder().layers[1].self_attn
    for projection in (attention.k_proj, attention.v_proj):
        projection.weight = torch.nn.Parameter(projection.weight[:16])  # one KV head, not two
    attention.num_key_value_groups = 4
    assert why_not_batchable(model) is None
    assert [shape.num_kv_heads for shape in layer_shapes(model)] == [2, 1, 2]


def test_a_model_is_left_as_it_was() -> None:
    model, ids = fresh_model("llama"), torch.tensor([[9, 8, 7, 6]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        why_not_batchable(model)
        after = model(input_ids=ids).logits
    assert model.config._attn_implementation == "eager"
    assert torch.equal(after, before)


def test_layer_shapes_are_those_of_the_layers() -> None:
    assert layer_shapes(fresh_model("qwen3")) == [LayerShape(num_kv_heads=2, head_dim=16)] * 3
