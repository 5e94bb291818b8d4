"""Masks of allowed tokens, and constraints that give them to an engine core."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from llm_service.engine.batched.sequence import Sequence


def mask_of(ids: Iterable[int], vocab_size: int) -> Tensor:
    """Packed as grammar libraries do it: id i is bit i % 32 of word i // 32."""
    words = [0] * -(-vocab_size // 32)
    for i in ids:
        words[i // 32] |= 1 << i % 32
    return torch.tensor([word - 2**32 if word >= 2**31 else word for word in words]).int()


class AllowedIds:
    """A constraint that allows `ids(position)`; positions count output tokens from 0."""

    def __init__(self, ids: Callable[[int], Iterable[int] | None], vocab_size: int) -> None:
        self._ids, self._vocab_size = ids, vocab_size

    def allowed(self, sequence: Sequence, draft: tuple[int, ...]) -> Tensor | None:
        ids = self._ids(sequence.num_output_tokens + len(draft))
        return None if ids is None else mask_of(ids, self._vocab_size)
