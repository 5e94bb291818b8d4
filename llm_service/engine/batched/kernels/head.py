"""A model's head, which computes no more of its logits exactly than is wanted."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_service.engine.batched.kernels.fused import FusedLinear
from llm_service.engine.batched.kernels.packing import Scheme


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of one row of logits: the best `count`, and all at most `depth` below the last of these."""

    count: int = 1
    depth: float = math.inf

    @property
    def is_everything(self) -> bool:
        return self.depth == math.inf


class FusedHead(FusedLinear):
    """A FusedLinear; logits that are not `wanted` may come from the upper bits of weights alone.

    They are about right then, and none of them comes near those that are wanted.
    """

    wanted: Sequence[Wanted] = ()  # of each row of the next call; none: everything

    def forward(self, x: Tensor) -> Tensor:
        (packed,) = self.packed
        wanted, self.wanted = self.wanted, ()
        if packed.scheme is not Scheme.PLANES or all(row.is_everything for row in wanted):
            return super().forward(x)
        rows = x.reshape(-1, packed.num_inputs)
        out, is_left = self._search(rows, wanted)
        if is_left.any():
            out[is_left] = super().forward(rows[is_left])
        return out.view(*x.shape[:-1], -1)

    def _search(self, rows: Tensor, wanted: Sequence[Wanted]) -> tuple[Tensor, Tensor]:
        """Logits [n, num_outputs], and of which of the rows [n] they are not good enough."""
        (packed,) = self.packed
        assert len(wanted) == len(rows)
        inputs = rows.float().contiguous()
        counts = torch.tensor([row.count for row in wanted], dtype=torch.int64)
        depths = torch.tensor([row.depth for row in wanted], dtype=torch.float32)
        out = torch.empty(len(rows), packed.num_outputs)
        is_left = torch.empty(len(rows), dtype=torch.bool)
        self._kernels.head_forward(
            ctypes.byref(self._struct), inputs.data_ptr(), len(inputs), inputs.shape[1],
            counts.data_ptr(), depths.data_ptr(), out.data_ptr(), is_left.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        return out.to(rows.dtype), is_left
