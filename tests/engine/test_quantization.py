"""How a loaded model is given the form in which it is served."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from llm_service.engine.kernels.attention import AttentionOptions
from llm_service.engine.kernels.fused import FusedDecoder, FusedEmbedding, FusedLinear
from llm_service.engine.kernels.kv_cache import LayerShape
from llm_service.engine.kernels.torch_linear import TorchLinear
from llm_service.engine.loading import form as forms
from llm_service.engine.loading import quantization
from llm_service.engine.loading.compatibility import Layer, why_not_batchable
from llm_service.engine.request import SamplingParams
from tests.engine.cores import GREEDY, make_core, make_sequence, output, run_to_end
from tests.engine.models import (
    FUSED,
    distance,
    fresh_model,
    prepare,
    served_model,
    tiny_model,
)

PROMPT = tuple(range(40, 90))
UNFUSED = ("gemma2", "gemma3")


def logits(model: nn.Module) -> torch.Tensor:
    """Of the model's own forward pass, so of exchanged linear layers alone."""
    with torch.inference_mode():
        return model(input_ids=torch.tensor([PROMPT]), use_cache=False).logits[0]


def answer(
    model: PreTrainedModel, prompt: tuple[int, ...] = PROMPT, **size: Any
) -> tuple[int, ...]:
    core = make_core(model, **size)
    sequence = make_sequence(prompt)
    core.add(sequence)
    run_to_end(core)
    return output(sequence)


@pytest.mark.parametrize("architecture", FUSED.values())
def test_layers_of_the_usual_form_are_fused(architecture):
    model = fresh_model(architecture)
    form, reasons = prepare(model)
    assert form.is_fused
    assert form.kernels
    assert reasons.notes == ()
    (decoder,) = model.get_decoder().layers
    assert isinstance(decoder, FusedDecoder)
    assert isinstance(model.get_input_embeddings(), FusedEmbedding)
    assert isinstance(model.get_output_embeddings(), FusedLinear)


def forward_calls(model: nn.Module) -> list[int]:
    """Grows by one with each call of the model's own forward pass."""
    calls: list[int] = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("architecture", FUSED.values())
def test_after_the_first_step_a_fused_model_runs_by_its_parts(architecture):
    model = fresh_model(architecture)
    prepare(model)
    calls = forward_calls(model)
    assert len(answer(model)) > 2
    assert len(calls) == 1


def test_a_model_that_does_more_than_its_parts_runs_as_it_is():
    model = fresh_model("llama")
    prepare(model)
    own = model.forward

    def doubled(*args, **kwargs):
        output = own(*args, **kwargs)
        output.logits = output.logits * 2
        return output

    model.forward = doubled
    calls = forward_calls(model)
    num_tokens = len(answer(model))
    assert len(calls) >= num_tokens > 2


@pytest.mark.parametrize("architecture", UNFUSED)
def test_layers_of_another_form_are_left_alone_and_say_why(architecture):
    model = fresh_model(architecture)
    form, reasons = prepare(model)
    assert not form.is_fused
    assert any(note.startswith("runs its layers part by part because") for note in reasons.notes)
    assert torch.equal(logits(model), logits(tiny_model(architecture)))


class Doubled(nn.Module):
    """An MLP that has the usual parts and does something else with them."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = mlp.gate_proj, mlp.up_proj, mlp.down_proj

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


def test_layers_that_only_look_usual_are_found_out():
    model = fresh_model("llama")
    for layer in model.get_decoder().layers:
        layer.mlp = Doubled(layer.mlp)
    assert why_not_batchable(model) is None
    form, reasons = prepare(model)
    assert not form.is_fused
    assert "does not compute what the model's own does" in reasons.notes[0]


def test_layers_of_different_sizes_are_not_fused():
    model = fresh_model("llama")
    attention = model.get_decoder().layers[1].self_attn
    for projection in (attention.k_proj, attention.v_proj):
        projection.weight = nn.Parameter(projection.weight[:16])
    attention.num_key_value_groups = 4
    assert prepare(model)[1].unfused == "its layers differ in size"


@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
@pytest.mark.parametrize("architecture", ["llama", *UNFUSED])
def test_a_quantized_model_is_smaller_and_close(architecture, scheme):
    model = fresh_model(architecture)
    plain_bytes = quantization.num_bytes(model)
    form, _ = prepare(model, scheme, is_batched=False)
    assert form.quantization == scheme
    assert quantization.num_bytes(model) < 0.6 * plain_bytes
    expected, found = logits(tiny_model(architecture)), logits(model)
    assert 0 < distance(found, expected) < (0.15 if scheme == "8bit" else 0.9)


@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
def test_without_kernels_torch_gives_the_same_answers_but_for_rounding(monkeypatch, scheme):
    with_kernels = fresh_model("llama")
    prepare(with_kernels, scheme, is_batched=False)
    monkeypatch.setattr(forms, "find_kernels", lambda name: (None, "there is no compiler"))
    without = fresh_model("llama")
    form, reasons = prepare(without, scheme)
    assert form.kernels is None
    assert reasons.kernels == "there is no compiler"
    assert any(isinstance(module, TorchLinear) for module in without.modules())
    # inputs that lie between two steps may be rounded either way, which later layers magnify
    assert distance(logits(without), logits(with_kernels)) < 0.03


@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
def test_a_quantized_answer_does_not_depend_on_what_runs_beside_it(scheme):
    model = served_model("fused qwen2", scheme)
    expected = answer(model)
    core = make_core(model, max_batched_tokens=9, num_blocks=40)
    sequences = [make_sequence(PROMPT, GREEDY) for _ in range(2)]
    others = [
        make_sequence(PROMPT[i : i + 20], SamplingParams(max_tokens=9)) for i in range(0, 25, 5)
    ]
    for sequence in (*others[:3], sequences[0], *others[3:], sequences[1]):
        core.add(sequence)
    run_to_end(core)
    assert [output(sequence) for sequence in sequences] == [expected, expected]


def test_small_models_are_not_quantized_by_themselves():
    assert prepare(fresh_model("llama"), "auto")[0].quantization == "none"


def test_large_models_are_quantized_by_themselves_and_say_so(monkeypatch):
    monkeypatch.setattr(forms, "WORTH_QUANTIZING", 1000)
    form, reasons = prepare(fresh_model("llama"), "auto")
    assert form.quantization == "8bit"
    assert any("quantized to 8 bits" in note for note in reasons.notes)
    monkeypatch.setattr(forms, "find_kernels", lambda name: (None, "there is no compiler"))
    assert prepare(fresh_model("llama"), "auto")[0].quantization == "none"


def test_each_kind_of_layer_is_tried():
    full, sliding = (
        Layer(LayerShape(2, 16), AttentionOptions(0.25, window)) for window in (None, 8)
    )
    same: list[Any] = [nn.Identity() for _ in range(6)]
    assert quantization._one_of_each(same[:3], [full, full, full]) == [0, 2]
    mixed = [sliding, full, sliding, full, full, sliding]
    assert quantization._one_of_each(same, mixed) == [0, 4, 5]
    same[1].use_rope = False  # a switch that attention does not show
    assert quantization._one_of_each(same[:3], [full, full, full]) == [0, 1, 2]
