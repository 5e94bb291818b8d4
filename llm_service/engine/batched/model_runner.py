"""Runs a ScheduledBatch through the model: token ids in, logits out.

Owns the model's forward call and the KV cache. It decides neither what runs nor what the
logits mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm_service.engine.batched.positions import LINEAR_POSITIONS, PositionScheme
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence
from llm_service.engine.kernels import attention
from llm_service.engine.kernels.attention import PagedBatch, Span
from llm_service.engine.kernels.fused import AddedAfterLayers, fused_decoder
from llm_service.engine.kernels.head import FusedHead, LogitNeeds
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.engine.kernels.model import FusedModel


class ModelRunner:
    """Runs an unchanged transformers model over all sequences of a step at once.

    The first step is computed by the model's own forward pass. If a faster way computes the same
    logits, bit for bit, it computes all later steps.
    """

    def __init__(
        self, model: PreTrainedModel, cache: KVCache, scheme: PositionScheme = LINEAR_POSITIONS
    ) -> None:
        attention.register()
        model.set_attn_implementation(attention.IMPLEMENTATION)
        self._model = model
        self._cache = cache
        self._scheme = scheme
        # The model's own properties walk through all of its modules.
        self._device, self._dtype = model.device, model.dtype
        self._fused = FusedModel.of(model)
        self._has_fused_layers = fused_decoder(model) is not None
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
        tokens, slots, rows, fresh_blocks = self._lay_out(batch)
        spans = [_span(item) for item in batch.items]
        attached = _attached(batch)
        if fresh_blocks:
            self._cache.clear(*self._tensors(fresh_blocks))
        if self._fused and self._is_proven and not attached:
            shifts = self._shifts(batch)
            if shifts is not None:
                return self._fused.forward(tokens, slots, rows, spans, shifts, self._cache, needs)
        axes = self._positions(batch)
        ids, logit_rows, slot_ids, *places = self._tensors(tokens, rows, slots, *axes)
        inputs = {"inputs_embeds": self._embed(ids, attached)} if attached else {"input_ids": ids}
        paged = PagedBatch(self._cache, spans, slot_ids, self._dtype)
        step = _Step(inputs, torch.stack(places), logit_rows, paged)
        if attached and attached[0].deepstack:
            added = _deepstack(attached)
            step = replace(step, added=added, is_fused=self._has_fused_layers)
        if not self._is_proven:
            return self._prove(step)
        if self._fused:
            return self._by_parts(self._fused, step, needs)
        if self._split:
            return self._split.forward(step, needs)
        return self._by_model(step)

    def _prove(self, step: "_Step") -> Tensor:
        """Compute the first step by the model; drop the faster ways that give other logits."""
        logits = self._by_model(step)
        if self._fused and not torch.equal(logits, self._by_parts(self._fused, step)):
            self._fused = None
        if self._split and not (self._fused or self._split.gives(logits, step)):
            self._split = None
        self._is_proven = True
        return logits

    def _by_model(self, step: "_Step") -> Tensor:
        output = self._model(**step.arguments(), logits_to_keep=step.rows)
        logits: Tensor = output.logits[0]
        return logits

    def _by_parts(
        self, fused: FusedModel, step: "_Step", needs: Sequence[LogitNeeds] = ()
    ) -> Tensor:
        embeddings = step.inputs.get("inputs_embeds")
        if embeddings is None:
            embeddings = fused.embed(step.inputs["input_ids"])
        return fused.by_parts(
            embeddings, step.position_ids, step.rows, step.paged, needs, step.added
        )

    def _embed(self, ids: Tensor, attached: "Sequence[_Attached]") -> Tensor:
        """Return [tokens, hidden_size]: embeddings of `ids`, and others where they are attached."""
        embeddings: Tensor = self._model.get_input_embeddings()(ids)
        for each in attached:
            embeddings[each.rows] = each.embeddings.to(embeddings)
        return embeddings

    def _shifts(self, batch: ScheduledBatch) -> list[int] | None:
        """Return how far each item's tokens stand from their index; None if one has no such number.

        For such items the kernels look up the tables of the rotary embedding.
        """
        shifts: list[int] = []
        for item in batch.items:
            span = _span(item)
            shift = self._scheme.shift(item.sequence, span.start, span.end)
            if shift is None:
                return None
            shifts.append(shift)
        return shifts

    def _positions(self, batch: ScheduledBatch) -> list[list[int]]:
        """Return [axes, tokens]."""
        axes: list[list[int]] = [[] for _ in range(self._scheme.num_axes)]
        for item in batch.items:
            span = _span(item)
            found = self._scheme.positions(item.sequence, span.start, span.end)
            for axis, positions in zip(axes, found, strict=True):
                axis += positions
        return axes

    def _lay_out(self, batch: ScheduledBatch) -> tuple[list[int], ...]:
        """Lay the items' tokens out one after the other.

        Returns the id and slot of each token, the numbers of the tokens after which logits are
        computed, and the blocks in which this step writes the first position.
        """
        size = self._cache.block_size
        tokens: list[int] = []
        slots: list[int] = []
        rows: list[int] = []
        fresh_blocks: list[int] = []
        for item in batch.items:
            span = _span(item)
            tokens += item.sequence.token_ids[span.start : span.end]
            tokens += item.draft
            table = span.block_table
            slots += [table[p // size] * size + p % size for p in range(span.start, span.end)]
            last_block = (span.end - 1) // size
            if last_block * size >= span.start:
                fresh_blocks.append(table[last_block])
            rows += range(len(tokens) - item.num_rows, len(tokens))
        return tokens, slots, rows, fresh_blocks

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

    def forward(self, step: "_Step", needs: Sequence[LogitNeeds] = ()) -> Tensor:
        """Return logits [rows, vocab_size] of the step's rows."""
        output = self._base(**step.arguments())
        logits: Tensor = self._head(output.last_hidden_state[0, step.rows], needs)
        return logits

    def gives(self, logits: Tensor, step: "_Step") -> bool:
        """Return whether `forward` computes exactly the model's own `logits` of the step."""
        try:
            found = self.forward(step)
        except Exception:  # whatever the base of a strange model raises, it cannot be used
            return False
        return torch.equal(found.float(), logits.float())


@dataclass(frozen=True, slots=True)
class _Step:
    """One forward pass. `inputs` is input_ids [tokens] or inputs_embeds [tokens, hidden_size].

    `positions` is [axes, tokens]; `rows` numbers the tokens after which logits are computed.
    """

    inputs: Mapping[str, Tensor]
    positions: Tensor
    rows: Tensor
    paged: PagedBatch
    added: AddedAfterLayers | None = None
    is_fused: bool = False  # whether one module computes all layers

    @property
    def position_ids(self) -> Tensor:
        """Return the positions as models take them: [1, tokens], or [axes, 1, tokens]."""
        return self.positions if len(self.positions) == 1 else self.positions[:, None]

    def arguments(self) -> dict[str, Any]:
        """Return what a model's forward pass is called with."""
        batched = {name: tensor[None] for name, tensor in self.inputs.items()}
        return {
            **batched,
            **self._added_arguments(),
            "position_ids": self.position_ids,
            "use_cache": False,
            "paged": self.paged,
        }

    def _added_arguments(self) -> dict[str, Any]:
        if self.added is None:
            return {}
        if self.is_fused:
            return {"added": self.added}
        mask = torch.zeros(1, self.positions.shape[1], dtype=torch.bool, device=self.rows.device)
        mask[0, self.added.rows] = True
        return {"visual_pos_masks": mask, "deepstack_visual_embeds": list(self.added.layers)}


@dataclass(frozen=True, slots=True)
class _Attached:
    """The part of an attachment in a step: the rows that it takes, and what stands there."""

    rows: slice
    embeddings: Tensor
    deepstack: tuple[Tensor, ...]


def _attached(batch: ScheduledBatch) -> list[_Attached]:
    """Return what stands at placeholders in this step, in the order of the rows."""
    found: list[_Attached] = []
    row = 0
    for item in batch.items:
        prompt = item.sequence.request.prompt
        if prompt.attachments:
            span = _span(item)
            for attachment, first, last in prompt.attached(span.start, span.end):
                place = row + attachment.start + first - span.start
                found.append(
                    _Attached(
                        slice(place, place + last - first),
                        attachment.embeddings[first:last],
                        tuple(each[first:last] for each in attachment.deepstack),
                    )
                )
        row += item.num_scheduled_tokens
    return found


def _deepstack(attached: Sequence[_Attached]) -> AddedAfterLayers:
    rows = torch.cat([torch.arange(each.rows.start, each.rows.stop) for each in attached])
    layers = zip(*(each.deepstack for each in attached), strict=True)
    return AddedAfterLayers(rows, tuple(torch.cat(parts) for parts in layers))


def _span(item: ScheduledSequence) -> Span:
    start = item.sequence.num_computed_tokens
    return Span(start, start + item.num_scheduled_tokens, item.sequence.block_table)
