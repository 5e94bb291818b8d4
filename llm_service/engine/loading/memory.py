"""Predicts the bytes that a model takes before it is loaded, and plans what is left.

Owns the arithmetic by which the loader refuses, the engine is sized and `llm-service doctor`
reports. A model comes as its shell: all of its modules on torch's meta device, no weights.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from llm_service.engine.batched.scheduler import MAX_SCORED_TOKENS
from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.fused import FusedDecoder, FusedLinear
from llm_service.engine.kernels.kv_cache import LayerShape, position_bytes
from llm_service.engine.kernels.model import FusedModel
from llm_service.engine.kernels.packing import Scheme, packed_parts
from llm_service.engine.loading.form import Form
from llm_service.engine.loading.language_part import (
    encoder_parameters,
    is_batched_family,
    language_modules,
)
from llm_service.engine.loading.layer_config import largest, per_layer
from llm_service.engine.loading.model_files import ModelLoadError
from llm_service.engine.picture import MAX_PIXELS
from llm_service.machine import readable

_SCHEMES = {"8bit": Scheme.INT8, "4bit": Scheme.INT4}
# Tokenizer, threads and allocators, on top of what torch itself took before.
_PROCESS_BYTES = 128 * 2**20
_HEADS = ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size")
_KV_CACHE_SHARE = 0.5
# The cache is sized for this share of the slots at the longest context: few texts reach it, and
# those that do may be preempted.
_USEFUL_KV_SHARE = 0.125
_SEQUENCES_PER_CORE = 16
_MAX_BATCH_SIZE = 256
# The most that features of pictures take, and of that, those that are in no prompt.
FEATURE_BYTES = 256 * 2**20
FEATURE_CACHE_BYTES = 64 * 2**20
_WINDOWS = ("sliding_window", "local_attention")
_MAX_INPUTS = 64  # of a step that makes embeddings; a step of short ones has its tokens by then
# A batch slot that could not hold this many tokens would only cause preemption.
_LEAST_TOKENS_PER_SEQUENCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsBytes:
    embedding: int
    head: int | None  # None: it shares the embedding's weights
    layers: int  # all else

    @property
    def total(self) -> int:
        return self.embedding + (self.head or 0) + self.layers


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Bytes that the model adds to those of a process with torch loaded."""

    weights: WeightsBytes
    loading_bytes: int  # the most that weights take at any time while they are read
    kv_cache_bytes: int  # what would be useful; 0: the model keeps its own cache
    workspace_bytes: int

    @property
    def least_bytes(self) -> int:
        """Without a KV cache: enough to load the model, not to answer."""
        return self.loading_bytes + self.workspace_bytes

    @property
    def total_bytes(self) -> int:
        served = self.weights.total + self.kv_cache_bytes
        return max(served, self.loading_bytes) + self.workspace_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the engine may use. `notes` are sentences about choices that limit it."""

    threads: int
    kv_cache_bytes: int  # 0: the model keeps its own cache
    max_batch_size: int
    max_context: int
    notes: tuple[str, ...] = ()


def predict(
    shell: PreTrainedModel,
    form: Form,
    *,
    max_context: int,
    max_batch_size: int,
    max_batched_tokens: int,
    is_batched: bool,
) -> MemoryNeed:
    """What serving `max_batch_size` sequences takes, an eighth of them at the longest context."""
    weights = weights_bytes(shell, form)
    num_cached = useful_kv_tokens(max_batch_size, max_context) if is_batched else 0
    return MemoryNeed(
        weights=weights,
        loading_bytes=max(weights.total, _read_bytes(shell, form)),
        kv_cache_bytes=num_cached * kv_bytes_per_token(shell.config, form.kv_dtype),
        workspace_bytes=workspace_bytes(shell.config, max_batch_size, max_batched_tokens),
    )


def predict_embedding(
    shell: PreTrainedModel, form: Form, *, max_context: int, max_batched_tokens: int
) -> MemoryNeed:
    """What making embeddings takes: there is no KV cache, and a step ends with its results."""
    weights = weights_bytes(shell, form)
    return MemoryNeed(
        weights=weights,
        loading_bytes=max(weights.total, _read_bytes(shell, form)),
        kv_cache_bytes=0,
        workspace_bytes=embedding_workspace_bytes(shell.config, max_context, max_batched_tokens),
    )


def embedding_workspace_bytes(
    config: PreTrainedConfig, max_context: int, max_batched_tokens: int
) -> int:
    """Activations of the largest step, masks, and the process."""
    hidden = largest(config, "hidden_size", 0)
    wide = largest(config, "intermediate_size", 4 * hidden)
    num_tokens = max(max_batched_tokens, max_context)  # a step has at least one input
    # Eight tensors as wide as the model and four as wide as its MLP, as in `workspace_bytes`, and
    # two masks with a number for each pair of tokens: of padded inputs, and of windows.
    has_windows = any(getattr(config, name, None) for name in _WINDOWS)
    masked = num_tokens if has_windows else max_batched_tokens
    return _PROCESS_BYTES + 4 * (num_tokens * (8 * hidden + 4 * wide) + 2 * masked**2)


def embedding_resources(config: EngineConfig, *, threads: int, max_context: int) -> Resources:
    return Resources(
        threads=threads,
        kv_cache_bytes=0,
        max_batch_size=config.max_batch_size or _MAX_INPUTS,
        max_context=max_context,
    )


def weights_bytes(shell: PreTrainedModel, form: Form) -> WeightsBytes:
    """Bytes of the weights as they are served, that is, as `quantization.prepare` leaves them."""
    embedding = cast(nn.Embedding, shell.get_input_embeddings())
    head: nn.Linear | None = shell.get_output_embeddings()  # type: ignore[no-untyped-call]
    own_head = None if head is None or head.weight is embedding.weight else head
    size = form.dtype.itemsize
    embedding_bytes = embedding.weight.numel() * size
    head_bytes = None if own_head is None else own_head.weight.numel() * size
    layers_bytes = _plain_bytes(shell, form.dtype) - (head_bytes or 0) - embedding_bytes
    if form.encoder_dtype is not None:
        num_encoding = sum(parameter.numel() for parameter in encoder_parameters(shell))
        layers_bytes += num_encoding * (form.encoder_dtype.itemsize - size)
    linears = [linear for linear in _linears(shell) if linear is not head]
    if (kept := form.kept_quantizer) is not None and kept.weight_bits is not None:
        num_weights = sum(linear.weight.numel() for linear in linears)
        layers_bytes -= int(num_weights * (size - kept.weight_bits / 8))
    elif form.quantization != "none":
        for linear in linears:
            layers_bytes -= linear.weight.numel() * size
            layers_bytes += _packed_bytes(linear.weight, form, _SCHEMES[form.quantization])
        is_embedding_packed = form.is_fused and type(embedding) is nn.Embedding
        if is_embedding_packed:
            embedding_bytes = _packed_bytes(embedding.weight, form, Scheme.PLANES)
        # A packed head does not share the weights of an embedding that stays as it is.
        if head is not None and not (own_head is None and is_embedding_packed):
            head_bytes = _packed_bytes(head.weight, form, Scheme.PLANES)
    return WeightsBytes(embedding=embedding_bytes, head=head_bytes, layers=layers_bytes)


def kv_bytes_per_token(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Keys and values of one position in all layers; 0 for a model without attention."""
    stated = (per_layer(config, name) for name in _HEADS)
    return sum(position_bytes(shape, dtype) for shape in map(_layer_shape, *stated))


def _layer_shape(
    num_heads: object, num_kv_heads: object, head_dim: object, hidden_size: object
) -> LayerShape:
    """The shape that a configuration states for a layer; one without heads keeps nothing."""
    counts = [c if isinstance(c, int) else 0 for c in (num_heads, num_kv_heads, head_dim)]
    heads, kv_heads, size = counts
    if not heads:
        return LayerShape(0, 0)
    hidden = hidden_size if isinstance(hidden_size, int) else 0
    return LayerShape(kv_heads or heads, size or hidden // heads)


def workspace_bytes(config: PreTrainedConfig, max_batch_size: int, max_batched_tokens: int) -> int:
    """What a step takes beside weights and KV cache: activations, logits, and the process."""
    hidden = largest(config, "hidden_size", 0)
    wide = largest(config, "intermediate_size", 4 * hidden)
    # About eight tensors as wide as the model exist at once, four as wide as its MLP, and the
    # sampler has four copies of the logits, and two of those of prompts; none is larger than
    # float32.
    numbers = max_batched_tokens * (8 * hidden + 4 * wide)
    num_rows = 4 * max_batch_size + 2 * min(MAX_SCORED_TOKENS, max_batched_tokens)
    numbers += num_rows * largest(config, "vocab_size", 0)
    vision_bytes = FEATURE_BYTES + _encoder_bytes(config) if is_batched_family(config) else 0
    return _PROCESS_BYTES + 4 * numbers + vision_bytes


def _encoder_bytes(config: PreTrainedConfig) -> int:
    """What encoding the largest picture takes: about as many tensors as layers of text."""
    vision: Any = getattr(config, "vision_config", None)
    # Qwen2-VL calls the encoder's width embed_dim, and the text's hidden_size.
    hidden: int = getattr(vision, "embed_dim", None) or vision.hidden_size
    wide: int = getattr(vision, "intermediate_size", None) or 4 * hidden
    patch: Any = vision.patch_size
    height, width = patch if isinstance(patch, list | tuple) else (patch, patch)
    num_patches = int(MAX_PIXELS // (height * width))
    return 4 * num_patches * (8 * hidden + 4 * wide)


def kernel_workspace_bytes(model: PreTrainedModel, num_tokens: int, num_rows: int) -> int:
    """The workspace that the kernels allocate once, for `num_tokens` and `num_rows` of logits."""
    if fused := FusedModel.of(model):
        return fused.workspace_bytes(num_tokens, num_rows)
    users = (m for m in model.modules() if isinstance(m, FusedDecoder | FusedLinear))
    return max((each.workspace_bytes(num_tokens) for each in users), default=0)


def slots_wanted(config: EngineConfig, threads: int) -> int:
    if config.max_batch_size is not None:
        return config.max_batch_size
    return min(_SEQUENCES_PER_CORE * threads, _MAX_BATCH_SIZE)


def useful_kv_tokens(max_batch_size: int, max_context: int) -> int:
    return max(1, int(max_batch_size * _USEFUL_KV_SHARE)) * max_context


def plan(
    config: EngineConfig,
    *,
    threads: int,
    max_context: int,
    bytes_per_token: int,
    free_bytes: int,
    is_batched: bool,
) -> Resources:
    """KV-cache bytes, batch and context: as configured, else what `free_bytes` allow.

    `free_bytes` are what weights and workspace leave. Raises ModelLoadError when the
    configuration asks for what cannot be.
    """
    if not is_batched or not bytes_per_token:
        return Resources(
            threads=threads, kv_cache_bytes=0, max_batch_size=1, max_context=max_context
        )
    num_slots = slots_wanted(config, threads)
    most_useful = useful_kv_tokens(num_slots, max_context) * bytes_per_token
    share = max(int(free_bytes * _KV_CACHE_SHARE), 0)
    if config.kv_cache_bytes is not None and config.kv_cache_bytes > free_bytes:
        raise ModelLoadError(
            f"LLM_KV_CACHE_BYTES={config.kv_cache_bytes} is more than the"
            f" {max(free_bytes, 0)} bytes that are free beside the weights: lower it, or leave it"
            " out."
        )
    kv_cache_bytes = config.kv_cache_bytes
    if kv_cache_bytes is None:
        kv_cache_bytes = min(share, most_useful)
    num_tokens = kv_cache_bytes // bytes_per_token // config.block_size * config.block_size
    context, notes = _context_that_fits(config, max_context, num_tokens, kv_cache_bytes)
    least_tokens = min(max(1, int(context * _USEFUL_KV_SHARE)), _LEAST_TOKENS_PER_SEQUENCE)
    max_batch_size = config.max_batch_size
    if max_batch_size is None:
        max_batch_size = min(num_slots, max(1, num_tokens // least_tokens))
    return Resources(
        threads=threads,
        kv_cache_bytes=kv_cache_bytes,
        max_batch_size=max_batch_size,
        max_context=context,
        notes=notes,
    )


def _context_that_fits(
    config: EngineConfig, asked: int, num_tokens: int, kv_cache_bytes: int
) -> tuple[int, tuple[str, ...]]:
    """The context that `num_tokens` cached positions can hold, and a note if it is shorter."""
    if num_tokens >= asked:
        return asked, ()
    sentence = (
        f"the KV cache of {readable(kv_cache_bytes)} holds {num_tokens} tokens, not the {asked} of"
        " the longest context"
    )
    if config.max_context is not None or num_tokens < config.block_size:
        raise ModelLoadError(
            f"{sentence}: raise LLM_KV_CACHE_BYTES or the memory limit, or lower LLM_MAX_CONTEXT."
        )
    return num_tokens, (f"{sentence}, so requests are limited to {num_tokens}",)


def _linears(shell: PreTrainedModel) -> Iterator[nn.Linear]:
    """The layers that quantization exchanges: no subclasses, which may do more."""
    return (module for module in language_modules(shell) if type(module) is nn.Linear)


def _packed_bytes(weight: torch.Tensor, form: Form, scheme: Scheme) -> int:
    num_outputs, num_inputs = weight.shape
    if form.kernels is not None:
        return _kernel_bytes(num_outputs, num_inputs, scheme)
    # A byte for each weight, and a scale for each row or for each 32 weights.
    return weight.numel() + (weight.numel() // 16 if scheme is Scheme.INT4 else 4 * num_outputs)


def _kernel_bytes(num_outputs: int, num_inputs: int, scheme: Scheme) -> int:
    parts = packed_parts(num_outputs, num_inputs, scheme).values()
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in parts)


def _plain_bytes(shell: PreTrainedModel, dtype: torch.dtype) -> int:
    """Weights in `dtype`; buffers, such as rotary frequencies, keep their own type."""
    num_weights = sum(p.numel() for p in shell.parameters())
    return num_weights * dtype.itemsize + sum(b.nbytes for b in shell.buffers())


def _read_bytes(shell: PreTrainedModel, form: Form) -> int:
    """Weights of the type that they are stored in stay in their file, mapped; others are copied."""
    if form.kept_quantizer is not None:
        return 0
    is_stored = getattr(shell.config, "dtype", None) is form.dtype and not form.is_converted
    return 0 if is_stored else _plain_bytes(shell, form.dtype)
