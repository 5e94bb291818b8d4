"""Computes a model's logits, and only those exactly that the sampler needs."""

import ctypes
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llm_service.engine.kernels.fused import FusedLinear


@dataclass(frozen=True, slots=True)
class LogitNeeds:
    """Names the logits of one row that must be exact.

    These are the `count` largest, and all that are at most `depth` below the last of those.
    `allowed` is a mask of the logits that count, None for all: int32 [ceil(vocab_size / 32)] on
    the CPU, in which id i is bit i % 32 of word i // 32. The others may have any value.
    """

    count: int = 1
    depth: float = math.inf
    allowed: Tensor | None = None

    @property
    def is_everything(self) -> bool:
        return self.depth == math.inf and self.allowed is None


EVERY_LOGIT = LogitNeeds()


class Limits:
    """Holds the needs of some rows as the kernels take them: addresses of arrays [rows].

    `counts` and `depths` are null if every row needs every logit, `masks` if no row has a mask.
    """

    def __init__(self, needs: Sequence[LogitNeeds]) -> None:
        self.counts = self.depths = self.masks = 0
        if not all(row.is_everything for row in needs):
            self._counts = array("q", [row.count for row in needs])
            self._depths = array("f", [row.depth for row in needs])
            self.counts, self.depths = address(self._counts), address(self._depths)
        if any(row.allowed is not None for row in needs):
            self._tensors = [row.allowed for row in needs]
            self._masks = array("Q", [0 if t is None else t.data_ptr() for t in self._tensors])
            self.masks = address(self._masks)


def address(numbers: "array[Any]") -> int:
    return numbers.buffer_info()[0]


class FusedHead(FusedLinear):
    """Computes logits; those that are not needed may come from the weights' upper bits alone.

    Such logits are approximate, and all of them lie below the logits that are needed. If masks
    leave few logits to all rows together, the others are not computed and are -inf.
    """

    def forward(self, x: Tensor, needs: Sequence[LogitNeeds] = ()) -> Tensor:
        """Turn [..., num_inputs] of any float type into logits [..., num_outputs] of that type.

        `needs` has an element for each row of logits; empty: every logit is exact.
        """
        (packed,) = self.packed
        rows = x.reshape(-1, packed.num_inputs).float().contiguous()
        assert len(needs) in (0, len(rows))
        out, limits = torch.empty(len(rows), packed.num_outputs), Limits(needs)
        self._kernels.head_forward(
            ctypes.byref(self._struct), rows.data_ptr(), len(rows), rows.shape[1],
            limits.counts, limits.depths, limits.masks, out.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return out.to(x.dtype).view(*x.shape[:-1], -1)
