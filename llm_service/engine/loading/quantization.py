"""Gives a loaded model the form that was planned: quantized, with fused layers.

Owns the exchange of modules, and the trial that fused layers compute what the model's own layers
do. The choice of the form is in `form`; how a scheme rounds numbers is in `kernels.packing`.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm_service.engine.kernels import attention
from llm_service.engine.kernels.attention import PagedBatch, Span
from llm_service.engine.kernels.fused import (
    FusedDecoder,
    FusedEmbedding,
    heads_of,
    pack_layer,
    why_not_fusable,
)
from llm_service.engine.kernels.head import FusedHead
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.engine.kernels.library import Kernels, load_kernels
from llm_service.engine.kernels.packing import Scheme, pack
from llm_service.engine.loading.compatibility import (
    Layer,
    traced_layers,
    why_no_states,
    why_not_runnable,
)
from llm_service.engine.loading.form import Form
from llm_service.engine.loading.language_part import LanguagePart
from llm_service.engine.loading.linears import exchange_linears, watched

_TOLERANCE = 1e-3  # of a layer's output, both in float32


class CannotQuantize(Exception):
    """Why a model does not run with quantized linear layers: the end of a sentence."""


@torch.inference_mode()
def prepare(model: PreTrainedModel, form: Form) -> str | None:
    """Give `model`, which is on the CPU, its form: exchange modules in place, layer by layer.

    At most one layer is in memory twice. Returns why the layers could not be fused although the
    form says so; they then run part by part. Raises CannotQuantize.
    """
    kernels = None if form.kernels is None else load_kernels(form.kernels)
    reason: str | None = None
    if form.is_fused:
        assert kernels is not None
        reason = _why_not_fusable(model, kernels)
        if reason is None:
            _fuse(model, kernels, form.quantization)
            return None
    if form.quantization != "none":
        _exchange_linears(model, kernels, form.quantization)
    return reason


@torch.inference_mode()
def prepare_encoder(model: PreTrainedModel, form: Form) -> None:
    """Quantize the linear layers of a model that makes embeddings. Raises CannotQuantize."""
    if form.quantization == "none":
        return
    kernels = None if form.kernels is None else load_kernels(form.kernels)
    with watched(model) as read:
        reason = why_no_states(model)
    if reason is None:
        exchange_linears(model, kernels, form.quantization, kept=read)
        reason = why_no_states(model)
    if reason is not None:
        raise CannotQuantize(reason)


def _why_not_fusable(model: PreTrainedModel, kernels: Kernels) -> str | None:
    """Return why not, by `why_not_fusable` or a trial of each kind of layer; changes nothing."""
    if reason := why_not_fusable(model):
        return reason
    try:
        layers = traced_layers(model)
        chosen = _one_of_each(_decoder(model).layers, layers)
        is_equal = all(_is_equal(model, kernels, index, layers[index]) for index in chosen)
    except Exception as error:  # whatever the model raises is the reason
        return f"its layers cannot be fused ({type(error).__name__}: {error})"
    return None if is_equal else "a fused layer does not compute what the model's own does"


def _fuse(model: PreTrainedModel, kernels: Kernels, quantization: str) -> None:
    """Fuse all layers, embedding and head."""
    decoder = _decoder(model)
    layers = traced_layers(model)
    scheme, head_scheme = _schemes(model, quantization)
    heads = heads_of(decoder.layers[0])
    packed = []
    for index, layer in enumerate(layers):
        packed.append(pack_layer(decoder.layers[index], layer.options, scheme))
        decoder.layers[index] = nn.Identity()  # gives its weights back
    decoder.layers = nn.ModuleList([FusedDecoder(kernels, packed, heads)])
    _fuse_ends(model, kernels, head_scheme)
    model.float()  # type: ignore[no-untyped-call]


def _schemes(model: PreTrainedModel, quantization: str) -> tuple[Scheme, Scheme]:
    """The schemes of the layers, and of head and embedding, which lose too much in 4 bits."""
    if quantization == "none":
        exact = Scheme.BFLOAT16 if model.dtype is torch.bfloat16 else Scheme.FLOAT32
        return exact, exact
    return Scheme.INT8 if quantization == "8bit" else Scheme.INT4, Scheme.PLANES


def _fuse_ends(model: PreTrainedModel, kernels: Kernels, scheme: Scheme) -> None:
    """Pack head and embedding; once if they share their weights."""
    ends: Any = model
    head, embedding = ends.get_output_embeddings(), ends.get_input_embeddings()
    packed = pack(head.weight, head.bias, scheme)
    is_tied = head.weight.data_ptr() == embedding.weight.data_ptr()
    ends.set_output_embeddings(FusedHead(kernels, packed))
    if type(embedding) is nn.Embedding:  # others do more than look up
        if not is_tied:
            packed = pack(embedding.weight, None, scheme)
        ends.set_input_embeddings(FusedEmbedding(kernels, packed))


def _exchange_linears(model: PreTrainedModel, kernels: Kernels | None, quantization: str) -> None:
    """Quantize each linear layer by itself. After CannotQuantize the model cannot be used."""
    with watched(model) as read:
        reason = why_not_runnable(model)
    if reason is None:
        exchange_linears(model, kernels, quantization, kept=read)
        reason = why_not_runnable(model)
    if reason is not None:
        raise CannotQuantize(reason)


def num_bytes(model: PreTrainedModel) -> int:
    """Bytes of parameters and buffers, and of the packed weights of fused modules.

    Those of the whole model count if `model` is a part of it.
    """
    models = [model, model.whole] if isinstance(model, LanguagePart) else [model]
    modules = {module for each in models for module in each.modules()}
    kept: dict[int, int] = {
        id(t): t.nbytes
        for each in modules
        for t in (*each.parameters(recurse=False), *each.buffers(recurse=False))
    }
    packed: dict[int, int] = {id(p): p.num_bytes for m in modules for p in getattr(m, "packed", ())}
    return sum(kept.values()) + sum(packed.values())


def _decoder(model: PreTrainedModel) -> Any:
    return model.get_decoder()  # type: ignore[no-untyped-call]


def _one_of_each(modules: Sequence[nn.Module], layers: Sequence[Layer]) -> list[int]:
    """The index of the first layer, and of one of each kind: layers of a kind differ in weights."""
    kinds = {
        (layer, _traits(module)): index
        for index, (module, layer) in enumerate(zip(modules, layers, strict=True))
    }
    return sorted({0, *kinds.values()})


def _traits(layer: nn.Module) -> tuple[tuple[str, str, str], ...]:
    """Types and switches of a layer and its parts, such as whether it uses rotary embeddings."""
    return tuple(
        (name, type(part).__name__, f"{key}={value}")
        for name, part in layer.named_modules()
        for key, value in sorted(vars(part).items())
        if isinstance(value, bool | int | float | str) and key != "layer_idx"
    )


def _is_equal(model: PreTrainedModel, kernels: Kernels, index: int, traced: Layer) -> bool:
    """Whether a layer and its fused form agree over a prompt, a chunk of another, and a decode."""
    own = copy.deepcopy(_decoder(model).layers[index]).float()
    own.self_attn.layer_idx = 0
    own.self_attn.config._attn_implementation = attention.IMPLEMENTATION  # a copy, too
    fused = FusedDecoder(kernels, [pack_layer(own, traced.options, Scheme.FLOAT32)], heads_of(own))
    rotary = copy.deepcopy(_decoder(model).rotary_emb).float()
    attention.register()
    expected, found = [
        _outputs(layer, rotary, traced, own.self_attn.o_proj.out_features) for layer in (own, fused)
    ]
    return all(
        torch.dist(one, other) <= _TOLERANCE * torch.linalg.vector_norm(other)
        for one, other in zip(found, expected, strict=True)
    )


def _outputs(layer: nn.Module, rotary: nn.Module, traced: Layer, hidden_size: int) -> list[Tensor]:
    cache = KVCache([traced.shape], 8, 2, dtype=torch.float32, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    first, second = [5, 0, 3, 6], [7, 2, 4]
    outputs = []
    for spans in (
        [Span(0, 5, first)],
        [Span(5, 6, first), Span(0, 4, second)],
        [Span(4, 5, second), Span(6, 8, first)],
    ):
        positions = [p for span in spans for p in range(span.start, span.end)]
        slots = [s.block_table[p // 2] * 2 + p % 2 for s in spans for p in range(s.start, s.end)]
        hidden = torch.randn(1, len(positions), hidden_size, generator=generator)
        paged = PagedBatch(cache, spans, torch.tensor(slots), torch.float32)
        output = layer(
            hidden,
            attention_mask=None,
            position_embeddings=rotary(hidden, torch.tensor([positions])),
            paged=paged,
        )
        outputs.append(output[0] if isinstance(output, tuple) else output)
    return outputs
