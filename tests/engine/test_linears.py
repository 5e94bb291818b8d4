"""Which linear layers may be exchanged, and what the exchanged ones answer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    PreTrainedModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from llm_service.engine.config import KernelSet, Quantization
from llm_service.engine.kernels.packing import Scheme, round_channels, round_groups
from llm_service.engine.kernels.quantized import QuantizedLinear
from llm_service.engine.kernels.torch_linear import TorchLinear
from llm_service.engine.loading import quantization
from llm_service.engine.loading.compatibility import why_not_runnable
from llm_service.engine.loading.linears import watched
from llm_service.engine.loading.quantization import CannotQuantize
from tests.engine.models import prepare

SIZE: dict[str, Any] = {"vocab_size": 258, "hidden_size": 64, "num_hidden_layers": 3}
HEADS: dict[str, Any] = {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
# without a spread, every layer attends to all positions alike, with a rotary embedding or without
TOKENS: dict[str, Any] = {
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


class Readers(nn.Module):
    """Uses one layer as such, one for its type and shape, two for their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.asked, self.read, self.biased = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.asked(x.to(self.asked.weight.dtype).to(self.asked.weight.device))
        x = self.called(x)[..., : self.asked.weight.shape[0]]
        return self.biased(x) - self.biased.bias + x @ torch.cat([self.read.weight])


def test_layers_whose_numbers_others_read_are_found() -> None:
    module, x = Readers(), torch.ones(2, 4)
    expected = module(x)
    with watched(module) as read:
        found = module(x)
    assert read == {module.read, module.biased}
    assert torch.equal(found, expected)
    assert all(type(layer) is nn.Linear for layer in module.children())


def mamba() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MambaForCausalLM(MambaConfig(**SIZE, state_size=4)).eval()


def answer(model: PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor([[40, 41, 42, 43]])
    with torch.inference_mode():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("kernels", ["auto", "none"])
@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
def test_a_model_that_reads_weights_itself_is_quantized_but_for_these(
    kernels: KernelSet, scheme: Quantization
) -> None:
    model = mamba()
    expected = answer(model)
    form, _ = prepare(model, scheme, is_batched=False, kernels=kernels)
    assert form.quantization == scheme
    mixer = model.backbone.layers[0].mixer
    assert type(mixer.dt_proj) is nn.Linear
    assert isinstance(mixer.in_proj, QuantizedLinear)
    distance = torch.dist(answer(model), expected) / expected.norm()
    assert distance < (0.05 if scheme == "8bit" else 0.5)


def test_a_model_that_does_not_run_quantized_is_not_quantized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = iter([None, "its logits are not finite"])  # before the exchange, and after
    monkeypatch.setattr(quantization, "why_not_runnable", lambda model: next(reasons))
    with pytest.raises(CannotQuantize, match="its logits are not finite"):
        prepare(mamba(), "8bit", is_batched=False)


@pytest.mark.parametrize("kernels", ["auto", "none"])
@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
def test_the_numbers_of_a_quantized_layer_can_be_read(
    monkeypatch: pytest.MonkeyPatch, kernels: KernelSet, scheme: Quantization
) -> None:
    def blind(model: nn.Module) -> object:
        return watched(nn.Module())  # sees no layer

    monkeypatch.setattr(quantization, "watched", blind)
    model = mamba()
    expected = answer(model)
    plain = model.backbone.layers[0].mixer.dt_proj
    prepare(model, scheme, is_batched=False, kernels=kernels)
    layer = model.backbone.layers[0].mixer.dt_proj
    assert isinstance(layer, QuantizedLinear)
    round_ = round_channels if scheme == "8bit" else round_groups
    values, scales = round_(plain.weight.data)
    rounded = (values * scales.float().unsqueeze(-1)).flatten(1)[:, : plain.in_features]
    torch.testing.assert_close(layer.weight.clone(), rounded, rtol=1e-4, atol=1e-5)
    assert layer.bias is not None
    torch.testing.assert_close(layer.bias.clone(), plain.bias.data, rtol=1e-4, atol=1e-5)
    assert layer.weight.shape == plain.weight.shape
    assert layer.weight.dtype == plain.weight.dtype
    distance = torch.dist(answer(model), expected) / expected.norm()
    assert distance < (0.05 if scheme == "8bit" else 0.5)


def test_a_model_that_does_not_run_is_told() -> None:
    model = mamba()
    assert why_not_runnable(model) is None
    model.backbone.layers[1].mixer.in_proj.weight.data.fill_(torch.nan)
    assert why_not_runnable(model) == "its logits are not finite"
    model.backbone.layers[1].mixer.in_proj = nn.Linear(3, 3)
    assert str(why_not_runnable(model)).startswith("it does not run (RuntimeError: ")


def test_a_row_of_zeros_is_multiplied_without_kernels() -> None:
    linear = nn.Linear(8, 4)
    quantized = TorchLinear(linear.weight.data, linear.bias.data, Scheme.INT8)
    assert torch.equal(quantized(torch.zeros(2, 8)), linear.bias.data.expand(2, 4))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: OlmoForCausalLM(OlmoConfig(**SIZE, **HEADS, **TOKENS)), "its norms are of"),
        (lambda: GPT2LMHeadModel(GPT2Config(vocab_size=258, n_embd=32, n_layer=2, n_head=4)),
         "it has no list of layers"),
        # its middle layer alone uses no rotary embedding
        (lambda: SmolLM3ForCausalLM(SmolLM3Config(**SIZE, **HEADS, **TOKENS,
                                                  no_rope_layers=[1, 0, 1])),
         "a fused layer does not compute"),
    ],
)  # fmt: skip
def test_layers_that_cannot_be_fused_run_part_by_part(
    model: Callable[[], PreTrainedModel], reason: str
) -> None:
    served = model().eval()
    form, reasons = prepare(served, "8bit")
    assert not form.is_fused
    assert any(note.startswith(f"runs its layers part by part because {reason}")
               for note in reasons.notes)  # fmt: skip
    assert why_not_runnable(served) is None
