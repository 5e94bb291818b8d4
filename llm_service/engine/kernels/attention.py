"""Attention over a ragged batch and a paged KV cache, in transformers' AttentionInterface.

Owns the mathematics and the index tensors of one step. It knows no model: a layer hands
in its query, key and value, and its own scaling, sliding window and soft-capping.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from llm_service.engine.kernels.kv_cache import KVCache

IMPLEMENTATION = "paged"  # the name under which models find `paged_attention`

# Which blocks of the cache are read: neighbours, as a lone sequence has them, need no copy.
Blocks = slice | Tensor

# Below this length a second call costs more than the padding that it saves.
_MIN_GROUP_POSITIONS = 256


class Attends(Protocol):
    """What a step passes through `model.forward(..., paged=...)` to every layer."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, options: "AttentionOptions"
    ) -> Tensor:
        """query [tokens, heads, head_dim], key and value [tokens, kv_heads, head_dim];
        returns [tokens, heads, head_dim]."""


@dataclass(frozen=True, slots=True)
class AttentionOptions:
    """What differs between layers: the factor of their scores, the window and the soft cap.

    A window of w lets a position see itself and the w - 1 positions before it.
    """

    scaling: float
    window: int | None = None
    softcap: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """One sequence's share of a step: positions `start` to `end` (not included)."""

    start: int
    end: int
    block_table: Sequence[int]

    @property
    def num_tokens(self) -> int:
        return self.end - self.start


def paged_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    paged: Attends,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """transformers' calling convention: [1, heads, tokens, dim] in, [1, tokens, heads, dim] out."""
    options = AttentionOptions(
        scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window,
        softcap=softcap,
    )
    layer: int = module.layer_idx  # type: ignore[assignment]
    output = paged.attend(
        layer, query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1), options
    )
    return output.unsqueeze(0), None


def register() -> None:
    """Make `paged_attention` known to transformers.

    It gets no entry in the mask interface, so that models build no mask for it.
    """
    AttentionInterface.register(IMPLEMENTATION, paged_attention)


@dataclass(frozen=True, slots=True)
class _Decodes:
    """Decodes of similar length that attend as one padded batch.

    `blocks` are num_rows * padded_blocks; `mask` [num_rows, 1, 1, padded_positions], 0 or -inf.
    """

    num_rows: int
    blocks: Blocks
    mask: Tensor


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A run of one prompt. Without `blocks` it starts at position 0 and needs no cache.

    `mask` [1, 1, num_tokens, num_positions], 0 or -inf; None: causal.
    """

    num_tokens: int
    blocks: Blocks | None
    num_positions: int
    mask: Tensor | None


@dataclass(slots=True)
class PagedBatch:
    """The index tensors of one step, made once and used by every layer.

    The step's tokens are laid out span after span, single tokens (decodes) first.
    """

    cache: KVCache
    spans: Sequence[Span]
    slots: Tensor
    dtype: torch.dtype
    _plans: dict[int | None, tuple[list[_Decodes], list[_Chunk]]] = field(default_factory=dict)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions
    ) -> Tensor:
        self.cache.write(layer, self.slots, key, value)
        decodes, chunks = self._plan(options.window)
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        outputs, row = [], 0
        for group in decodes:
            rows = query[row : row + group.num_rows]
            outputs.append(_attend_decodes(rows, keys, values, group, options))
            row += group.num_rows
        for chunk in chunks:
            end = row + chunk.num_tokens
            if chunk.blocks is None:
                past = key[row:end], value[row:end]
            else:
                past = _gather(keys, chunk), _gather(values, chunk)
            outputs.append(_attend_chunk(query[row:end], *past, chunk, options))
            row = end
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _plan(self, window: int | None) -> tuple[list[_Decodes], list[_Chunk]]:
        if window not in self._plans:
            num_decodes = sum(span.num_tokens == 1 for span in self.spans)
            groups = _group_by_length(self.spans[:num_decodes], self.cache.block_size, window)
            decodes = [self._decodes(group, window) for group in groups]
            chunks = [self._chunk(span, window) for span in self.spans[num_decodes:]]
            self._plans[window] = decodes, chunks
        return self._plans[window]

    def _decodes(self, spans: Sequence[Span], window: int | None) -> _Decodes:
        size, device = self.cache.block_size, self.slots.device
        tables = [s.block_table[_first_block(s, size, window) : -(-s.end // size)] for s in spans]
        width = max(map(len, tables))
        null = self.cache.null_block
        blocks = [b for table in tables for b in (*table, *[null] * (width - len(table)))]
        first = torch.tensor([_first_block(s, size, window) * size for s in spans])
        end = torch.tensor([s.end for s in spans])
        positions = first[:, None] + torch.arange(width * size)
        is_seen = positions < end[:, None]
        if window is not None:
            is_seen &= positions >= end[:, None] - window
        mask = _additive(is_seen, self.dtype)[:, None, None, :]
        return _Decodes(len(spans), _blocks(blocks, device), mask.to(device))

    def _chunk(self, span: Span, window: int | None) -> _Chunk:
        size, device = self.cache.block_size, self.slots.device
        is_narrow = window is not None and span.end > window
        if span.start == 0 and not is_narrow:
            return _Chunk(span.num_tokens, None, span.end, None)
        first = _first_block(span, size, window) if span.start else 0
        queries = torch.arange(span.start, span.end)[:, None]
        positions = torch.arange(first * size, span.end)
        is_seen = positions <= queries
        if window is not None:
            is_seen &= positions > queries - window
        mask = _additive(is_seen, self.dtype)[None, None].to(device)
        table = span.block_table[first : -(-span.end // size)]
        blocks = _blocks(table, device) if span.start else None
        return _Chunk(span.num_tokens, blocks, span.end - first * size, mask)


def attend_within(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    """Causal attention inside one text that is no longer than the window; no cache."""
    chunk = _Chunk(query.shape[0], None, query.shape[0], None)
    return _attend_chunk(query, key, value, chunk, options)


def _attend_decodes(
    query: Tensor, keys: Tensor, values: Tensor, group: _Decodes, options: AttentionOptions
) -> Tensor:
    """One token per row, over its own blocks: the heads of a KV head are its queries."""
    num_rows, num_heads, head_dim = query.shape
    num_kv_heads = keys.shape[2]
    shape = (num_rows, -1, num_kv_heads, head_dim)
    k = _read(keys, group.blocks).view(shape).transpose(1, 2)
    v = _read(values, group.blocks).view(shape).transpose(1, 2)
    q = query.reshape(num_rows, num_kv_heads, num_heads // num_kv_heads, head_dim)
    output = _attention(q, k, v, group.mask, options)
    return output.reshape(num_rows, num_heads, head_dim)


def _attend_chunk(
    query: Tensor, key: Tensor, value: Tensor, chunk: _Chunk, options: AttentionOptions
) -> Tensor:
    """One sequence: KV heads are the batch, so that K and V are shared, not repeated."""
    num_tokens, num_heads, head_dim = query.shape
    num_kv_heads = key.shape[1]
    group_size = num_heads // num_kv_heads
    q = query.view(num_tokens, num_kv_heads, group_size, head_dim).permute(1, 2, 0, 3)
    k = key.transpose(0, 1).unsqueeze(1).expand(-1, group_size, -1, -1)
    v = value.transpose(0, 1).unsqueeze(1).expand(-1, group_size, -1, -1)
    output = _attention(q, k, v, chunk.mask, options)
    return output.permute(2, 0, 1, 3).reshape(num_tokens, num_heads, head_dim)


def _attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: AttentionOptions
) -> Tensor:
    """[batch, heads, queries, dim]; without a mask the queries are the keys, and causal."""
    if options.softcap is None:
        return scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=options.scaling
        )
    if mask is None:
        num_tokens = q.shape[-2]
        is_seen = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=q.device).tril()
        mask = _additive(is_seen, q.dtype)
    scores = torch.matmul(q, k.transpose(-1, -2)) * options.scaling
    scores = torch.tanh(scores / options.softcap) * options.softcap
    weights = torch.softmax(scores + mask, dim=-1, dtype=torch.float32).to(q.dtype)
    return torch.matmul(weights, v)


def _gather(cache: Tensor, chunk: _Chunk) -> Tensor:
    assert chunk.blocks is not None
    return _read(cache, chunk.blocks).flatten(0, 1)[: chunk.num_positions]


def _blocks(block_ids: Sequence[int], device: torch.device) -> Blocks:
    first, end = block_ids[0], block_ids[0] + len(block_ids)
    if list(block_ids) == list(range(first, end)):
        return slice(first, end)
    return torch.tensor(block_ids, device=device)


def _read(cache: Tensor, blocks: Blocks) -> Tensor:
    """[num_blocks, ...]: a view of neighbouring blocks, else a copy."""
    return cache[blocks] if isinstance(blocks, slice) else cache.index_select(0, blocks)


def _first_block(span: Span, block_size: int, window: int | None) -> int:
    """Index of the first block that the span's first token can see."""
    return 0 if window is None else max(0, span.start + 1 - window) // block_size


def _group_by_length(
    spans: Sequence[Span], block_size: int, window: int | None
) -> list[list[Span]]:
    """Cut `spans`, shortest first, so that padding at most doubles what a group reads."""
    groups: list[list[Span]] = []
    limit = 0
    for span in spans:
        num_positions = span.end - _first_block(span, block_size, window) * block_size
        if not groups or num_positions > limit:
            groups.append([])
            limit = max(2 * num_positions, _MIN_GROUP_POSITIONS)
        groups[-1].append(span)
    return groups


def _additive(is_seen: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(is_seen.shape, dtype=dtype, device=is_seen.device)
    return mask.masked_fill_(~is_seen, float("-inf"))
