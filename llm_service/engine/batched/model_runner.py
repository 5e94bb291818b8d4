"""Runs a ScheduledBatch through the model: token ids in, logits out.

Owns the model's forward call and the KV cache. It does not decide what runs, nor
what the logits mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm_service.engine.batched import attention
from llm_service.engine.batched.attention import PagedBatch, Span
from llm_service.engine.batched.kernels.fused import FusedDecoder
from llm_service.engine.batched.kernels.head import FusedHead, Wanted
from llm_service.engine.batched.kv_cache import KVCache
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a fused model consists of, called one after the other.

    The model's own forward pass takes half a millisecond more, which it spends on what is not
    needed here; a token of a small model takes ten.
    """

    embedding: nn.Module
    rotary: nn.Module
    decoder: FusedDecoder
    norm: nn.Module
    head: nn.Module

    @classmethod
    def of(cls, model: Any) -> "_Parts | None":
        """None: it is not fused, or has not just these."""
        base = model.get_decoder()
        layers = list(getattr(base, "layers", ()))
        rotary, norm = getattr(base, "rotary_emb", None), getattr(base, "norm", None)
        if len(layers) != 1 or not isinstance(layers[0], FusedDecoder) or not rotary or not norm:
            return None
        ends = model.get_input_embeddings(), model.get_output_embeddings()
        return cls(ends[0], rotary, layers[0], norm, ends[1])

    def forward(self, tokens: Tensor, positions: Tensor, rows: Tensor, paged: PagedBatch) -> Tensor:
        hidden = self.embedding(tokens[None])
        tables = self.rotary(hidden, positions[None])
        hidden = self.decoder(hidden, position_embeddings=tables, paged=paged)
        logits: Tensor = self.head(self.norm(hidden[0, rows]))
        return logits


class ModelRunner:
    """Drives an unchanged transformers model over all sequences of a step at once."""

    def __init__(self, model: PreTrainedModel, cache: KVCache) -> None:
        attention.register()
        model.set_attn_implementation(attention.IMPLEMENTATION)
        self._model = model
        self._cache = cache
        # The model's own properties walk through all of its modules.
        self._device, self._dtype = model.device, model.dtype
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self._head = head if isinstance(head, FusedHead) else None
        self._parts = _Parts.of(model)
        self._compute = self._by_model
        self._is_settled = False  # how to compute

    @property
    def block_bytes(self) -> int:
        return self._cache.block_bytes

    @torch.inference_mode()
    def forward(self, batch: ScheduledBatch, wanted: Sequence[Wanted] = ()) -> Tensor:
        """Logits [sum of the items' num_rows, vocab_size] after the last tokens of each.

        What is not `wanted` of a row may be about right; not given, all is exact.
        """
        *numbers, begun = self._lay_out(batch)
        if begun:
            self._cache.clear(self._tensor(begun))
        # One tensor after the other would take several times as long.
        joined = self._tensor([number for each in numbers for number in each])
        tokens, positions, slots, rows = torch.split(joined, [len(each) for each in numbers])
        spans = [_span(item) for item in batch.items]
        paged = PagedBatch(self._cache, spans, slots, self._dtype)
        if not self._is_settled:
            return self._settle(tokens, positions, rows, paged)
        if self._head is not None:
            self._head.wanted = wanted
        return self._compute(tokens, positions, rows, paged)

    def _settle(self, *step: Any) -> Tensor:
        """The first step, by the model; if its parts alone do the same, they go on."""
        logits = self._by_model(*step)
        if self._parts and torch.equal(logits, self._parts.forward(*step)):
            self._compute = self._parts.forward
        self._is_settled = True
        return logits

    def _by_model(
        self, tokens: Tensor, positions: Tensor, rows: Tensor, paged: PagedBatch
    ) -> Tensor:
        output = self._model(
            input_ids=tokens[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=rows,
            paged=paged,
        )
        logits: Tensor = output.logits[0]
        return logits

    def _lay_out(self, batch: ScheduledBatch) -> tuple[list[int], ...]:
        """The step's tokens one after the other: ids, positions and slots of each,
        the rows of which logits are wanted, and the blocks of which the writing begins."""
        size = self._cache.block_size
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        rows: list[int] = []
        begun: list[int] = []
        for item in batch.items:
            span = _span(item)
            tokens += item.sequence.token_ids[span.start : span.end]
            tokens += item.draft
            positions += range(span.start, span.end)
            table = span.block_table
            slots += [table[p // size] * size + p % size for p in range(span.start, span.end)]
            last_block = (span.end - 1) // size
            if last_block * size >= span.start:
                begun.append(table[last_block])
            rows += range(len(tokens) - item.num_rows, len(tokens))
        return tokens, positions, slots, rows, begun

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


def _span(item: ScheduledSequence) -> Span:
    start = item.sequence.num_computed_tokens
    return Span(start, start + item.num_scheduled_tokens, item.sequence.block_table)
