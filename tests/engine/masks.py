"""Masks of allowed tokens, and constraints that give them to an engine core."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def mask_of(ids: Iterable[int], vocab_size: int) -> Tensor:
    """Packed as grammar libraries do it: id i is bit i % 32 of word i // 32."""
    words = [0] * -(-vocab_size // 32)
    for i in ids:
        words[i // 32] |= 1 << i % 32
    return torch.tensor([word - 2**32 if word >= 2**31 else word for word in words]).int()


class AllowedIds:
    """A `TokenConstraint` that allows `ids(position)`; positions count output tokens from 0."""

    is_in_grammar = False
    is_complete = False
    error = None

    def __init__(self, ids: Callable[[int], Iterable[int] | None], vocab_size: int) -> None:
        self._ids, self._vocab_size = ids, vocab_size
        self._position = 0

    def accept(self, token_id: int) -> None:
        self._position += 1

    def forced(self) -> tuple[int, ...]:
        return ()

    def num_allowed(self, token_ids: tuple[int, ...]) -> int:
        sets = (self._ids(self._position + i) for i in range(len(token_ids)))
        found = (ids is None or t in ids for ids, t in zip(sets, token_ids, strict=True))
        return next((i for i, is_allowed in enumerate(found) if not is_allowed), len(token_ids))

    def trim(self, draft: tuple[int, ...]) -> tuple[int, ...]:
        return draft[: self.num_allowed(draft)]

    def masks(self, draft: tuple[int, ...]) -> list[Tensor | None]:
        sets = (self._ids(self._position + i) for i in range(1 + len(draft)))
        return [None if ids is None else mask_of(ids, self._vocab_size) for ids in sets]
