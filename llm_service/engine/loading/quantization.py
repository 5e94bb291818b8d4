"""Gives a loaded model the form in which it is served: fused and quantized as far as that goes.

Owns the choice of the scheme, the exchange of modules, and the proof that fused layers compute
what the model's own do. What a scheme does to numbers is `kernels.packing`'s.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm_service.engine.kernels import attention
from llm_service.engine.kernels.attention import PagedBatch, Span
from llm_service.engine.kernels.build import KernelsUnavailable
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
    why_not_runnable,
)
from llm_service.engine.loading.linears import exchange_linears, watched

# Below this many weights a model is fast as it is, and what rounding costs it shows.
WORTH_QUANTIZING = 100_000_000
_TOLERANCE = 1e-3  # of a layer's output, both in float32


class CannotQuantize(Exception):
    """Says why a model does not run with quantized linear layers: the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """How the model is served now. `notes` are sentences for the operator."""

    quantization: str  # none, 8bit, 4bit
    kernels: str  # the instruction set; empty: torch does all the work
    is_fused: bool
    weights_bytes: int
    notes: tuple[str, ...] = ()


@torch.inference_mode()
def prepare(
    model: PreTrainedModel, quantization: str, *, is_batchable: bool, kernels: str = "auto"
) -> Prepared:
    """Exchange modules of `model`, which is on the CPU, in place.

    `quantization` is `auto` or a Prepared's, `kernels` as `chosen_kernels` takes it. A layer at
    a time, so that at most one of them is there twice. Raises CannotQuantize.
    """
    library, notes = _kernels(kernels)
    chosen, why = _choose(model, quantization, library)
    notes += why
    instruction_set = library.instruction_set if library else ""
    if library and is_batchable:
        reason = _why_plain(model, library, chosen) or _why_not_fusable(model, library)
        if not reason:
            _fuse(model, library, chosen)
            return Prepared(chosen, instruction_set, True, num_bytes(model), notes)
        notes += (f"runs its layers part by part because {reason}",)
    if chosen != "none":
        _exchange_linears(model, library, chosen)
        return Prepared(chosen, instruction_set, False, num_bytes(model), notes)
    return Prepared(chosen, "", False, num_bytes(model), notes)


def foresee(
    shell: PreTrainedModel, quantization: str, *, is_batchable: bool, kernels: str = "auto"
) -> Prepared:
    """What `prepare` would say of this model, which has no weights; its bytes are `memory`'s."""
    library, _ = _kernels(kernels)
    chosen, _ = _choose(shell, quantization, library)
    is_fused = (
        library is not None
        and is_batchable
        and not (_why_plain(shell, library, chosen) or why_not_fusable(shell))
    )
    is_used = is_fused or chosen != "none"
    return Prepared(chosen, library.instruction_set if library and is_used else "", is_fused, 0)


def chosen_kernels(name: str) -> Kernels:
    """`name` is `auto`, `none` or an instruction set; raises KernelsUnavailable."""
    if name == "none":
        raise KernelsUnavailable("LLM_KERNELS=none asks for that")
    return load_kernels(None if name == "auto" else name)


def _kernels(name: str) -> tuple[Kernels | None, tuple[str, ...]]:
    try:
        return chosen_kernels(name), ()
    except KernelsUnavailable as error:
        return None, (f"computes with torch alone, which is slower, because {error}",)


def _choose(
    model: PreTrainedModel, quantization: str, kernels: Kernels | None
) -> tuple[str, tuple[str, ...]]:
    """The scheme, and why, if that is ours to say."""
    if quantization != "auto":
        return quantization, ()
    num_weights = model.num_parameters()
    if num_weights < WORTH_QUANTIZING:
        return "none", ()
    if kernels is None or not kernels.is_tuned:
        return "none", ("is not quantized because it would not be faster on this CPU",)
    return "8bit", ("is quantized to 8 bits, since decoding is as fast as weights can be read",)


def _why_plain(model: PreTrainedModel, kernels: Kernels, quantization: str) -> str:
    """Why weights that are kept as they are had better stay with torch."""
    if quantization != "none":
        return ""
    if not kernels.is_tuned:
        return "the kernels are not made for this CPU"
    return "the kernels read no float16" if model.dtype is torch.float16 else ""


def _why_not_fusable(model: PreTrainedModel, kernels: Kernels) -> str:
    """The reason of `why_not_fusable`, or one found by a trial. Leaves the model as it is."""
    if reason := why_not_fusable(model):
        return reason
    try:
        layers = traced_layers(model)
        chosen = _one_of_each(_decoder(model).layers, layers)
        is_equal = all(_is_equal(model, kernels, index, layers[index]) for index in chosen)
    except Exception as error:  # whatever a strange model raises, it is a reason
        return f"its layers cannot be fused ({type(error).__name__}: {error})"
    return "" if is_equal else "a fused layer does not compute what the model's own does"


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
    """Of the layers, and of head and embedding, which 4 bits would cost too much."""
    if quantization == "none":
        exact = Scheme.BFLOAT16 if model.dtype is torch.bfloat16 else Scheme.FLOAT32
        return exact, exact
    return Scheme.INT8 if quantization == "8bit" else Scheme.INT4, Scheme.PLANES


def _fuse_ends(model: PreTrainedModel, kernels: Kernels, scheme: Scheme) -> None:
    """Head and embedding, packed once where they share their weights."""
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
    """Quantize each linear layer by itself. Raises CannotQuantize, and then the model is lost."""
    with watched(model) as read:
        reason = why_not_runnable(model)
    if not reason:
        exchange_linears(model, kernels, quantization, kept=read)
        reason = why_not_runnable(model)
    if reason:
        raise CannotQuantize(reason)


def num_bytes(model: PreTrainedModel) -> int:
    """Of parameters and buffers, and of what fused modules keep instead."""
    packed: dict[int, int] = {
        id(p): p.num_bytes for m in model.modules() for p in getattr(m, "packed", ())
    }
    kept = model.get_memory_footprint()  # type: ignore[no-untyped-call]
    return int(kept) + sum(packed.values())


def _decoder(model: PreTrainedModel) -> Any:
    return model.get_decoder()  # type: ignore[no-untyped-call]


def _one_of_each(modules: Sequence[nn.Module], layers: Sequence[Layer]) -> list[int]:
    """An index of each kind of layer, and the first one: a kind agrees in all but its weights."""
    kinds = {
        (layer, _traits(module)): index
        for index, (module, layer) in enumerate(zip(modules, layers, strict=True))
    }
    return sorted({0, *kinds.values()})


def _traits(layer: nn.Module) -> tuple[tuple[str, str, str], ...]:
    """Types and switches of a layer and its parts, such as that it uses no rotary embedding."""
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
