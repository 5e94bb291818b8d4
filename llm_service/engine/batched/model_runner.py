"""Runs a ScheduledBatch through the model: token ids in, logits out.

Owns the model's forward call and the KV cache. It does not decide what runs, nor
what the logits mean.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm_service.engine.batched import attention
from llm_service.engine.batched.attention import PagedBatch, Span
from llm_service.engine.batched.kernels.head import FusedHead, Wanted
from llm_service.engine.batched.kernels.model import FusedModel
from llm_service.engine.batched.kv_cache import KVCache
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence


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
        self._fused = FusedModel.of(model)
        self._is_proven = False  # that it does what the model does

    @property
    def block_bytes(self) -> int:
        return self._cache.block_bytes

    @torch.inference_mode()
    def forward(self, batch: ScheduledBatch, wanted: Sequence[Wanted] = ()) -> Tensor:
        """Logits [sum of the items' num_rows, vocab_size] after the last tokens of each.

        What is not `wanted` of a row may be about right; not given, all is exact.
        """
        tokens, positions, slots, rows, begun = self._lay_out(batch)
        spans = [_span(item) for item in batch.items]
        if begun:
            self._cache.clear(*self._tensors(begun))
        if self._fused and self._is_proven:
            return self._fused.forward(tokens, slots, rows, spans, self._cache, wanted)
        ids, places, logit_rows, slot_ids = self._tensors(tokens, positions, rows, slots)
        paged = PagedBatch(self._cache, spans, slot_ids, self._dtype)
        step = ids, places, logit_rows, paged
        if self._fused:
            return self._prove(self._fused, *step)
        if self._head is not None:
            self._head.wanted = wanted
        return self._by_model(*step)

    def _prove(self, fused: FusedModel, *step: Any) -> Tensor:
        """The first step, by the model; if its parts alone do the same, they go on."""
        logits = self._by_model(*step)
        self._is_proven = torch.equal(logits, fused.by_parts(*step))
        self._fused = fused if self._is_proven else None
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

    def _tensors(self, *lists: list[int]) -> tuple[Tensor, ...]:
        """Made at once: one after the other they would take several times as long."""
        numbers = [number for each in lists for number in each]
        joined = torch.tensor(numbers, dtype=torch.long, device=self._device)
        return torch.split(joined, [len(each) for each in lists])


def _span(item: ScheduledSequence) -> Span:
    start = item.sequence.num_computed_tokens
    return Span(start, start + item.num_scheduled_tokens, item.sequence.block_table)
