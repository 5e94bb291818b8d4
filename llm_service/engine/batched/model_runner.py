"""Runs a ScheduledBatch through the model: token ids in, logits out.

Owns the model's forward call and the KV cache. It decides neither what runs nor what the
logits mean.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence
from llm_service.engine.kernels import attention
from llm_service.engine.kernels.attention import PagedBatch, Span
from llm_service.engine.kernels.head import FusedHead, LogitNeeds
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.engine.kernels.model import FusedModel


class ModelRunner:
    """Runs an unchanged transformers model over all sequences of a step at once.

    The first step is computed by the model's own forward pass. If a faster way computes the same
    logits, bit for bit, it computes all later steps.
    """

    def __init__(self, model: PreTrainedModel, cache: KVCache) -> None:
        attention.register()
        model.set_attn_implementation(attention.IMPLEMENTATION)
        self._model = model
        self._cache = cache
        # The model's own properties walk through all of its modules.
        self._device, self._dtype = model.device, model.dtype
        self._fused = FusedModel.of(model)
        self._split = _SplitModel.of(model)
        self._is_proven = not (self._fused or self._split)

    @property
    def block_bytes(self) -> int:
        return self._cache.block_bytes

    @torch.inference_mode()
    def forward(self, batch: ScheduledBatch, needs: Sequence[LogitNeeds] = ()) -> Tensor:
        """Return logits [rows, vocab_size]: `num_rows` rows of each item, item after item.

        `needs` [rows] names the logits that are exact; the others are approximate. Without
        `needs`, all are exact.
        """
        tokens, positions, slots, rows, fresh_blocks = self._lay_out(batch)
        spans = [_span(item) for item in batch.items]
        if fresh_blocks:
            self._cache.clear(*self._tensors(fresh_blocks))
        if self._fused and self._is_proven:
            return self._fused.forward(tokens, slots, rows, spans, self._cache, needs)
        ids, places, logit_rows, slot_ids = self._tensors(tokens, positions, rows, slots)
        step = ids, places, logit_rows, PagedBatch(self._cache, spans, slot_ids, self._dtype)
        if not self._is_proven:
            return self._prove(*step)
        if self._split:
            return self._split.forward(*step, needs)
        return self._by_model(*step)

    def _prove(self, *step: Any) -> Tensor:
        """Compute the first step by the model; drop the faster ways that give other logits."""
        logits = self._by_model(*step)
        if self._fused and not torch.equal(logits, self._fused.by_parts(*step)):
            self._fused = None
        if self._split and not (self._fused or self._split.gives(logits, *step)):
            self._split = None
        self._is_proven = True
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
        """Lay the items' tokens out one after the other.

        Returns the id, position and slot of each token, the numbers of the tokens after which
        logits are computed, and the blocks in which this step writes the first position.
        """
        size = self._cache.block_size
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        rows: list[int] = []
        fresh_blocks: list[int] = []
        for item in batch.items:
            span = _span(item)
            tokens += item.sequence.token_ids[span.start : span.end]
            tokens += item.draft
            positions += range(span.start, span.end)
            table = span.block_table
            slots += [table[p // size] * size + p % size for p in range(span.start, span.end)]
            last_block = (span.end - 1) // size
            if last_block * size >= span.start:
                fresh_blocks.append(table[last_block])
            rows += range(len(tokens) - item.num_rows, len(tokens))
        return tokens, positions, slots, rows, fresh_blocks

    def _tensors(self, *lists: list[int]) -> tuple[Tensor, ...]:
        """Make an int64 tensor of each list, all in one call, because calls are what takes time."""
        numbers = [number for each in lists for number in each]
        joined = torch.tensor(numbers, dtype=torch.long, device=self._device)
        return torch.split(joined, [len(each) for each in lists])


class _SplitModel:
    """Runs a model's base, and then its FusedHead with the needs of each row.

    The model's own forward pass cannot hand them to its head. Where it changes the head's
    results, as by scaling them, needs would mean something else, and this class is not used.
    """

    def __init__(self, base: Any, head: FusedHead) -> None:
        self._base, self._head = base, head

    @classmethod
    def of(cls, model: PreTrainedModel) -> "_SplitModel | None":
        """Return None if the kernels do not compute the model's head."""
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        return cls(model.base_model, head) if isinstance(head, FusedHead) else None

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        rows: Tensor,
        paged: PagedBatch,
        needs: Sequence[LogitNeeds] = (),
    ) -> Tensor:
        """Return logits [rows, vocab_size] after the tokens numbered `rows`."""
        output = self._base(
            input_ids=tokens[None], position_ids=positions[None], use_cache=False, paged=paged
        )
        logits: Tensor = self._head(output.last_hidden_state[0, rows], needs)
        return logits

    def gives(self, logits: Tensor, *step: Any) -> bool:
        """Return whether `forward` computes exactly the model's own `logits` of the step."""
        try:
            found = self.forward(*step)
        except Exception:  # whatever the base of a strange model raises, it cannot be used
            return False
        return torch.equal(found.float(), logits.float())


def _span(item: ScheduledSequence) -> Span:
    start = item.sequence.num_computed_tokens
    return Span(start, start + item.num_scheduled_tokens, item.sequence.block_table)
