"""Modules that compute a model's decoder layers, linear layers and embedding by the kernels.

Owns which models fit, and how their layers are packed. Everything between the packed weights is
float32; the model's own forward pass stays unchanged.
"""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm_service.engine.kernels import library
from llm_service.engine.kernels.attention import AttentionOptions, PagedBatch, Span
from llm_service.engine.kernels.kv_cache import KVCache, LayerShape
from llm_service.engine.kernels.library import Kernels
from llm_service.engine.kernels.packing import (
    PANEL,
    PackedLinear,
    Scheme,
    interleave,
    pack,
)
from llm_service.engine.kernels.quantized import QuantizedLinear

CACHE_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}  # attention.h's
_LAYER_PARTS = {"input_layernorm", "post_attention_layernorm", "self_attn", "mlp"}
_NORMS = {"q_norm", "k_norm"}
# The parts of attention and MLP, separate or joined: q, k and v in one matrix, gate and up in one.
_ATTENTION_PARTS = ({"q_proj", "k_proj", "v_proj", "o_proj"}, {"qkv_proj", "o_proj"})
_MLP_PARTS = ({"gate_proj", "up_proj", "down_proj"}, {"gate_up_proj", "down_proj"})


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """One decoder layer. Norms are float32: of the layer [hidden_size], of heads [head_dim]."""

    attention_norm: Tensor
    mlp_norm: Tensor
    qkv: PackedLinear
    output: PackedLinear
    gate_up: PackedLinear
    down: PackedLinear
    query_norm: Tensor | None
    key_norm: Tensor | None
    options: AttentionOptions

    @property
    def parts(self) -> tuple[PackedLinear, ...]:
        return self.qkv, self.output, self.gate_up, self.down


@dataclass(frozen=True, slots=True)
class AddedAfterLayers:
    """What is added to hidden states between layers (Ma et al. 2024, DeepStack).

    `layers[i]` [rows, hidden_size] is added after layer i to the tokens numbered `rows`.
    """

    rows: Tensor
    layers: tuple[Tensor, ...]


class FusedDecoder(nn.Module):
    """Replaces all of a model's layers, as the only entry of its list of layers."""

    def __init__(
        self, kernels: Kernels, layers: Sequence[PackedLayer], heads: library.Heads
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.layers, self.heads = layers, heads  # keeps the tensors that the structures point to
        self._structs = (library.Layer * len(layers))(*map(_layer_struct, layers))
        self.struct = library.Decoder(
            num_layers=len(layers),
            hidden_size=layers[0].attention_norm.shape[0],
            intermediate_size=layers[0].down.num_inputs,
            layers=self._structs,
            heads=heads,
        )
        self._cache: KVCache | None = None

    @property
    def layer_shapes(self) -> list[LayerShape]:
        return [LayerShape(self.heads.num_kv_heads, self.heads.head_dim)] * len(self.layers)

    @property
    def packed(self) -> tuple[PackedLinear, ...]:
        return tuple(part for layer in self.layers for part in layer.parts)

    def workspace_bytes(self, num_tokens: int) -> int:
        """Bytes of working memory for a step of `num_tokens`; they are kept for later steps."""
        return self.kernels.decoder_workspace(self.struct, num_tokens, torch.get_num_threads())

    def forward(
        self,
        hidden_states: Tensor,
        *,
        position_embeddings: tuple[Tensor, Tensor],
        paged: PagedBatch,
        added: AddedAfterLayers | None = None,
        **unused: Any,
    ) -> Tensor:
        """[1, num_tokens, hidden_size] of any float type in, the same out."""
        self.attach(paged.cache)
        cosines, sines = (table[0].float().contiguous() for table in position_embeddings)
        step, kept = step_of(paged.spans, paged.cache.block_size)
        step.num_tokens, step.slots = len(paged.slots), paged.slots.data_ptr()
        step.cosines, step.sines = cosines.data_ptr(), sines.data_ptr()
        step.rotary_dim = cosines.shape[-1]
        hidden = hidden_states[0].float().contiguous()
        if hidden.data_ptr() == hidden_states.data_ptr():
            hidden = hidden.clone()  # changed in place below
        rest = 0
        if added is not None:
            for i, values in enumerate(added.layers):
                self._compute(self._part(i, i + 1), step, hidden)
                hidden[added.rows] += values.to(hidden)
            rest = len(added.layers)
        if rest < len(self.layers):
            self._compute(self._part(rest, len(self.layers)), step, hidden)
        del kept
        return hidden.to(hidden_states.dtype)[None]

    def _compute(self, layers: library.Decoder, step: library.Step, hidden: Tensor) -> None:
        """Change `hidden` [num_tokens, hidden_size] in place."""
        self.kernels.decoder_forward(
            ctypes.byref(layers), ctypes.byref(step), hidden.data_ptr(), torch.get_num_threads()
        )

    def _part(self, first: int, end: int) -> library.Decoder:
        """Layers `first` to `end` - 1."""
        if end - first == len(self.layers):
            return self.struct
        return library.Decoder(
            num_layers=end - first,
            hidden_size=self.struct.hidden_size,
            intermediate_size=self.struct.intermediate_size,
            layers=ctypes.pointer(self._structs[first]),
            heads=self.struct.heads,
        )

    def attach(self, cache: KVCache) -> None:
        """Make the layers read and write `cache`."""
        if cache is self._cache:
            return
        self.struct.heads.cache_type = CACHE_TYPES[cache.keys[0].dtype]
        for i, struct in enumerate(self._structs):
            struct.attention.keys = cache.keys[i].data_ptr()
            struct.attention.values = cache.values[i].data_ptr()
            if cache.key_scales:
                struct.attention.key_scales = cache.key_scales[i].data_ptr()
                struct.attention.value_scales = cache.value_scales[i].data_ptr()
        self._cache = cache


class FusedLinear(QuantizedLinear):
    """[..., num_inputs] of any float type to [..., num_outputs] of the same type.

    `dtype` is that of the weights before they were packed.
    """

    def __init__(
        self, kernels: Kernels, packed: PackedLinear, dtype: torch.dtype = torch.float32
    ) -> None:
        inputs, outputs = packed.num_inputs, packed.num_outputs
        super().__init__(inputs, outputs, dtype, has_bias=packed.bias is not None)
        self._kernels, self.packed, self._struct = kernels, (packed,), packed.struct

    def workspace_bytes(self, num_tokens: int) -> int:
        """Like FusedDecoder's; all calls of a thread share one workspace."""
        return self._kernels.linear_workspace(self._struct, num_tokens, torch.get_num_threads())

    def forward(self, x: Tensor) -> Tensor:
        (packed,) = self.packed
        rows = x.reshape(-1, packed.num_inputs).float().contiguous()
        out = torch.empty(len(rows), packed.num_outputs)
        self._multiply(rows, out)
        return out.to(x.dtype).view(*x.shape[:-1], -1)

    def _multiply(self, rows: Tensor, out: Tensor) -> None:
        """float32 [n, num_inputs] into [n, num_outputs]."""
        self._kernels.linear_forward(
            ctypes.byref(self._struct), rows.data_ptr(), len(rows), rows.shape[1], out.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip


class FusedEmbedding(nn.Module):
    """Rows of a packed matrix [num_embeddings, embedding_dim], in float32."""

    def __init__(self, kernels: Kernels, packed: PackedLinear) -> None:
        super().__init__()
        self._kernels, self.packed, self._struct = kernels, (packed,), packed.struct

    def forward(self, ids: Tensor) -> Tensor:
        (packed,) = self.packed
        out = torch.empty(*ids.shape, packed.num_inputs)
        ids = ids.contiguous()
        self._kernels.embedding_forward(
            ctypes.byref(self._struct), ids.data_ptr(), ids.numel(), out.shape[-1], out.data_ptr()
        )
        return out


def why_not_fusable(model: PreTrainedModel) -> str | None:
    """Completes the sentence "its layers cannot be fused because ..."; None if they may be.

    `model` needs no weights: only its modules and their sizes are looked at.
    """
    layers = _layers(model)
    if not layers:
        return "it has no list of layers"
    if reason := next(filter(None, map(_why_layer_not_fusable, layers)), None):
        return reason
    if len({tuple(p.shape for p in layer.parameters()) for layer in layers}) > 1:
        return "its layers differ in size"
    return _why_ends_not_fusable(model)


def _why_ends_not_fusable(model: Any) -> str | None:
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if type(head) is not nn.Linear:
        return "its head is not a plain linear layer"
    return None if isinstance(embedding, nn.Embedding) else "its embedding is of another kind"


def _why_layer_not_fusable(layer: nn.Module) -> str | None:
    parts = _parts(layer)
    if set(parts) != _LAYER_PARTS:
        return f"a layer has the parts {', '.join(sorted(parts))}"
    attention, mlp = _parts(parts["self_attn"]), _parts(parts["mlp"])
    names = [each for each in _ATTENTION_PARTS if each == set(attention) - _NORMS]
    if not names:
        return "its attention has parts of its own"
    names += [each for each in _MLP_PARTS if each <= set(mlp)]
    linears = [(attention | mlp)[name] for each in names for name in each]
    if len(names) < 2 or not all(type(linear) is nn.Linear for linear in linears):
        return "its attention or MLP is of another kind"
    norms = [parts["input_layernorm"], parts["post_attention_layernorm"]]
    norms += [attention[name] for name in _NORMS if name in attention]
    if not all(map(has_eps, norms)):
        return "its norms are of another kind"
    if not hasattr(parts["self_attn"], "head_dim"):
        return "its attention does not tell the size of a head"
    widths = (mlp["down_proj"].in_features, parts["self_attn"].head_dim)
    if any(width % PANEL for width in widths):
        return f"a width of {widths} is not a multiple of {PANEL}"
    return None


def _parts(module: nn.Module) -> dict[str, Any]:
    """Its children, except those that do nothing outside of training."""
    return {name: child for name, child in module.named_children() if type(child) is not nn.Dropout}


def pack_layer(layer: Any, options: AttentionOptions, scheme: Scheme) -> PackedLayer:
    """`layer` is one that `why_not_fusable` does not object to."""
    attention, mlp = layer.self_attn, layer.mlp
    (gate, gate_bias), (up, up_bias) = _gate_and_up(mlp)
    gate_up_bias = None
    if gate_bias is not None and up_bias is not None:
        gate_up_bias = interleave(gate_bias, up_bias)
    query_norm, key_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    hidden_size = attention.o_proj.out_features
    return PackedLayer(
        attention_norm=norm_weights(layer.input_layernorm, hidden_size),
        mlp_norm=norm_weights(layer.post_attention_layernorm, hidden_size),
        qkv=_pack_joined(_qkv(attention), scheme),
        output=pack(attention.o_proj.weight, attention.o_proj.bias, scheme),
        gate_up=pack(interleave(gate, up), gate_up_bias, scheme),
        down=pack(mlp.down_proj.weight, mlp.down_proj.bias, scheme),
        query_norm=query_norm and norm_weights(query_norm, attention.head_dim),
        key_norm=key_norm and norm_weights(key_norm, attention.head_dim),
        options=options,
    )


def heads_of(layer: Any) -> library.Heads:
    attention = layer.self_attn
    queries = attention.o_proj.in_features
    keys_and_values = sum(linear.out_features for linear in _qkv(attention)) - queries
    return library.Heads(
        num_heads=queries // attention.head_dim,
        num_kv_heads=keys_and_values // 2 // attention.head_dim,
        head_dim=attention.head_dim,
        cache_type=0,  # set with the cache
        eps=norm_eps(layer.input_layernorm),
    )


def matrix_sizes(layer: Any) -> dict[str, tuple[int, int, bool]]:
    """Outputs, inputs and whether there is a bias of each matrix of the layer's PackedLayer.

    `layer` needs no weights.
    """
    attention, mlp = layer.self_attn, layer.mlp
    qkv, gate_up = _qkv(attention), _gate_and_up(mlp)
    output, down = attention.o_proj, mlp.down_proj
    return {
        "qkv": (
            sum(linear.out_features for linear in qkv),
            qkv[0].in_features,
            any(linear.bias is not None for linear in qkv),
        ),
        "output": (output.out_features, output.in_features, output.bias is not None),
        "gate_up": (
            sum(len(weight) for weight, _ in gate_up),
            gate_up[0][0].shape[1],
            all(bias is not None for _, bias in gate_up),
        ),
        "down": (down.out_features, down.in_features, down.bias is not None),
    }


def norm_sizes(layer: Any) -> dict[str, int]:
    """The size of each norm of the layer's PackedLayer. `layer` needs no weights."""
    attention = layer.self_attn
    hidden_size = attention.o_proj.out_features
    sizes = {"attention_norm": hidden_size, "mlp_norm": hidden_size}
    for name, own in (("query_norm", "q_norm"), ("key_norm", "k_norm")):
        if getattr(attention, own, None) is not None:
            sizes[name] = attention.head_dim
    return sizes


def _qkv(attention: Any) -> list[nn.Linear]:
    if hasattr(attention, "qkv_proj"):
        return [attention.qkv_proj]
    return [attention.q_proj, attention.k_proj, attention.v_proj]


def _gate_and_up(mlp: Any) -> list[tuple[Tensor, Tensor | None]]:
    """Weights and bias of the gate, and of the values that it gates."""
    if not hasattr(mlp, "gate_up_proj"):
        return [(linear.weight, linear.bias) for linear in (mlp.gate_proj, mlp.up_proj)]
    weight, bias = mlp.gate_up_proj.weight, mlp.gate_up_proj.bias
    biases = (None, None) if bias is None else bias.chunk(2)
    return list(zip(weight.chunk(2), biases, strict=True))


def _pack_joined(linears: Sequence[nn.Linear], scheme: Scheme) -> PackedLinear:
    weights: list[Tensor] = [linear.weight for linear in linears]
    biases: list[Tensor] = [linear.bias for linear in linears if linear.bias is not None]
    return pack(torch.cat(weights), torch.cat(biases) if biases else None, scheme)


def norm_weights(norm: Any, size: int) -> Tensor:
    """The norm's effective weights, float32 [size]; measured, as some models store weight - 1."""
    weights: Tensor = norm(torch.ones(1, size))[0].float() * (1 + norm_eps(norm)) ** 0.5
    return weights.contiguous()


def norm_eps(norm: Any) -> float:
    """Only for a norm that `has_eps`."""
    return float(getattr(norm, "variance_epsilon", None) or norm.eps)


def has_eps(norm: Any) -> bool:
    """Whether it may be a norm that the kernels compute, as far as is visible without weights."""
    eps = getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None)
    return isinstance(eps, float | int)


def fused_decoder(model: PreTrainedModel) -> FusedDecoder | None:
    """The module that replaces the layers of `model`, if they are fused."""
    layers = _layers(model)
    first = layers[0] if len(layers) == 1 else None
    return first if isinstance(first, FusedDecoder) else None


def _layers(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder's list of layers; empty where it has no such list."""
    parts: Any = model
    try:
        layers = parts.get_decoder().layers
    except AttributeError:  # models name their parts as they like
        return []
    return [*layers] if isinstance(layers, nn.ModuleList) else []


def _layer_struct(layer: PackedLayer) -> library.Layer:
    return library.Layer(
        attention_norm=layer.attention_norm.data_ptr(),
        mlp_norm=layer.mlp_norm.data_ptr(),
        qkv=layer.qkv.struct,
        output=layer.output.struct,
        gate_up=layer.gate_up.struct,
        down=layer.down.struct,
        attention=library.Attention(
            query_norm=None if layer.query_norm is None else layer.query_norm.data_ptr(),
            key_norm=None if layer.key_norm is None else layer.key_norm.data_ptr(),
            scaling=layer.options.scaling,
            softcap=layer.options.softcap or 0.0,
            window=layer.options.window or 0,
        ),
    )


def step_of(
    spans: Sequence[Span], block_size: int, shifts: Sequence[int] = ()
) -> tuple[library.Step, object]:
    """A step over `spans`, without tokens and rotary tables, and the memory that it points to.

    `shifts` has for each span how far its rotary positions are from its places; empty: they agree.
    """
    offsets: list[int] = []
    tables: list[int] = []
    for span in spans:
        offsets.append(len(tables))
        tables += span.block_table
    starts = [span.start for span in spans]
    rotary = [s + shift for s, shift in zip(starts, shifts, strict=True)] if shifts else starts
    numbers = array("q", [*starts, *(s.num_tokens for s in spans), *offsets, *rotary, *tables])
    num_spans, (first, _) = len(spans), numbers.buffer_info()
    step = library.Step(
        num_spans=num_spans,
        starts=first,
        lengths=first + 8 * num_spans,
        table_offsets=first + 16 * num_spans,
        rotary_starts=first + 24 * num_spans,
        tables=first + 32 * num_spans,
        block_size=block_size,
    )
    return step, numbers
