"""A model's head, which computes no more of its logits exactly than is wanted."""

import ctypes
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llm_service.engine.batched.kernels.fused import FusedLinear


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of one row of logits: the best `count`, and all at most `depth` below the last of these."""

    count: int = 1
    depth: float = math.inf

    @property
    def is_everything(self) -> bool:
        return self.depth == math.inf


class Limits:
    """What is wanted of some rows, as the kernels take it: two addresses, null for everything."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self.counts = self.depths = 0
        if not all(row.is_everything for row in wanted):
            self._counts = array("q", [row.count for row in wanted])
            self._depths = array("f", [row.depth for row in wanted])
            self.counts, self.depths = address(self._counts), address(self._depths)


def address(numbers: "array[Any]") -> int:
    return numbers.buffer_info()[0]


class FusedHead(FusedLinear):
    """A FusedLinear; logits that are not `wanted` may come from the upper bits of weights alone.

    They are about right then, and none of them comes near those that are wanted.
    """

    wanted: Sequence[Wanted] = ()  # of each row of the next call; none: everything

    def _multiply(self, rows: Tensor, out: Tensor) -> None:
        wanted, self.wanted = self.wanted, ()
        assert len(wanted) in (0, len(rows))
        limits = Limits(wanted)
        self._kernels.head_forward(
            ctypes.byref(self._struct), rows.data_ptr(), len(rows), rows.shape[1],
            limits.counts, limits.depths, out.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
