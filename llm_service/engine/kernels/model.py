"""Computes a whole fused model in one call of the kernels: token ids in, logits out.

Owns the order of embedding, layers, norm and head, and the tables of the rotary embedding.
"""

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_service.engine.kernels import library
from llm_service.engine.kernels.attention import PagedBatch, Span
from llm_service.engine.kernels.fused import (
    AddedAfterLayers,
    FusedDecoder,
    FusedEmbedding,
    fused_decoder,
    has_eps,
    norm_eps,
    norm_weights,
    step_of,
)
from llm_service.engine.kernels.head import FusedHead, Limits, LogitNeeds, address
from llm_service.engine.kernels.kv_cache import KVCache

_FIRST_POSITIONS = 512
_TOLERANCE = 1e-5  # of a norm's output


class FusedModel:
    """Computes the parts of a fused model in a single call of the kernels.

    The model's own forward pass calls some fifty small torch operations around these parts for
    every token, each with cold caches, because the weights have passed through them.
    """

    def __init__(
        self,
        embedding: FusedEmbedding,
        rotary: nn.Module,
        decoder: FusedDecoder,
        norm: nn.Module,
        head: FusedHead,
    ) -> None:
        self._embedding, self._rotary, self._decoder = embedding, rotary, decoder
        self._norm, self._head = norm, head
        self._kernels = decoder.kernels
        self._norm_weights = norm_weights(norm, embedding.packed[0].num_inputs)
        self._tables: tuple[Tensor, ...] = (torch.empty(0),)  # of no positions yet
        self._struct = library.Model(
            decoder=ctypes.pointer(decoder.struct),
            embedding=embedding.packed[0].struct,
            head=head.packed[0].struct,
            norm=self._norm_weights.data_ptr(),
            eps=norm_eps(norm),
        )

    @classmethod
    def of(cls, model: Any) -> "FusedModel | None":
        """Return None if the model is not fused or has other parts than these."""
        decoder = fused_decoder(model)
        if decoder is None:
            return None
        base = model.get_decoder()
        rotary: Any = getattr(base, "rotary_emb", None)
        norm: Any = getattr(base, "norm", None)
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        is_fused = (
            isinstance(embedding, FusedEmbedding)
            and isinstance(head, FusedHead)
            and rotary is not None
            and has_eps(norm)
            and _is_root_mean_square(norm, embedding.packed[0].num_inputs)
        )
        return cls(embedding, rotary, decoder, norm, head) if is_fused else None

    def workspace_bytes(self, num_tokens: int, num_rows: int) -> int:
        """Return the size of the working memory for steps of so many tokens and rows of logits.

        The kernels allocate it once and keep it.
        """
        return self._kernels.model_workspace(
            self._struct, num_tokens, num_rows, torch.get_num_threads()
        )

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings float32 [tokens, hidden_size]."""
        embeddings: Tensor = self._embedding(tokens)
        return embeddings

    def by_parts(
        self,
        embeddings: Tensor,
        positions: Tensor,
        rows: Tensor,
        paged: PagedBatch,
        needs: Sequence[LogitNeeds] = (),
        added: AddedAfterLayers | None = None,
    ) -> Tensor:
        """Compute what `forward` does after `embed`, part by part, from any positions.

        `positions` is [1, tokens] or, with several axes, [axes, 1, tokens].
        """
        hidden = embeddings[None]
        tables = self._rotary(hidden, positions)
        hidden = self._decoder(hidden, position_embeddings=tables, paged=paged, added=added)
        logits: Tensor = self._head(self._norm(hidden[0, rows]), needs)
        return logits

    def forward(
        self,
        tokens: list[int],
        slots: list[int],
        rows: list[int],
        spans: Sequence[Span],
        shifts: Sequence[int],
        cache: KVCache,
        needs: Sequence[LogitNeeds] = (),
    ) -> Tensor:
        """Return logits [rows, vocab_size] after the tokens numbered `rows`.

        `tokens` and `slots` have an element per token, `needs` one per row; without `needs`,
        all logits are exact. The tokens of span i stand `shifts[i]` away from their places.
        """
        assert len(needs) in (0, len(rows))
        self._decoder.attach(cache)
        self._reach(max(s.end + shift for s, shift in zip(spans, shifts, strict=True)))
        step, kept = step_of(spans, cache.block_size, shifts)
        numbers = array("q", tokens + slots + rows)
        first, limits = address(numbers), Limits(needs)
        step.num_tokens, step.slots = len(tokens), first + 8 * len(tokens)
        logits = torch.empty(len(rows), self._struct.head.num_outputs)
        self._kernels.model_forward(
            ctypes.byref(self._struct), ctypes.byref(step), first, first + 16 * len(tokens),
            len(rows), limits.counts, limits.depths, limits.masks, logits.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        del kept
        return logits

    def _reach(self, num_positions: int) -> None:
        """Extend the tables [positions, rotary_dim] to at least `num_positions`."""
        if num_positions <= len(self._tables[0]):
            return
        positions = torch.arange(max(_FIRST_POSITIONS, 1 << (num_positions - 1).bit_length()))
        tables = self._rotary(self._norm_weights, positions[None])
        self._tables = tuple(table[0].float().contiguous() for table in tables)
        self._struct.cosines, self._struct.sines = (table.data_ptr() for table in self._tables)
        self._struct.num_positions, self._struct.rotary_dim = self._tables[0].shape


@torch.inference_mode()
def _is_root_mean_square(norm: nn.Module, size: int) -> bool:
    x = torch.randn(4, size, generator=torch.Generator().manual_seed(0))
    squares = x.pow(2).mean(dim=1, keepdim=True)
    expected = x * torch.rsqrt(squares + norm_eps(norm)) * norm_weights(norm, size)
    return torch.allclose(norm(x), expected, rtol=_TOLERANCE, atol=_TOLERANCE)
