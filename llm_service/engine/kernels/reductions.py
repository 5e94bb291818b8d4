"""Reduces rows of logits [n, vocab_size] for the sampler, with the kernels or with torch.

Each function takes the numbers of the m rows that it reduces, so that no row is copied.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from llm_service.engine.kernels.library import Kernels


class Reductions(Protocol):
    def best(self, logits: Tensor, rows: list[int]) -> tuple[Tensor, Tensor]:
        """Return the largest logits [m], NaN if a row has a NaN, and the first ids [m] of these."""

    def largest(self, logits: Tensor, rows: list[int], count: int) -> tuple[Tensor, Tensor]:
        """Return the largest logits [m, count], falling, and their ids, equal ones by id.

        If more logits equal the last one than there is room for, any of them may be returned.
        """

    def weights(
        self, logits: Tensor, rows: list[int], peaks: Tensor, temperatures: Tensor, block: int
    ) -> Tensor:
        """Return the sums of e^((logit - peak) / temperature) over each `block` ids of a row.

        `peaks` and `temperatures` are [m], the sums [m, ceil(vocab_size / block)].
        """


class TorchReductions:
    """Computes with torch, on any device and in any type."""

    def best(self, logits: Tensor, rows: list[int]) -> tuple[Tensor, Tensor]:
        values, ids = _chosen(logits, rows).max(dim=1)
        return values, ids

    def largest(self, logits: Tensor, rows: list[int], count: int) -> tuple[Tensor, Tensor]:
        values, ids = _chosen(logits, rows).topk(count, dim=1)
        ids, by_id = ids.sort(dim=1)
        values, by_value = values.gather(1, by_id).sort(dim=1, descending=True, stable=True)
        return values, ids.gather(1, by_value)

    def weights(
        self, logits: Tensor, rows: list[int], peaks: Tensor, temperatures: Tensor, block: int
    ) -> Tensor:
        exponents = (_chosen(logits, rows) - peaks[:, None]) / temperatures[:, None]
        padded = functional.pad(exponents.exp_(), (0, -logits.shape[1] % block))
        return padded.view(len(rows), -1, block).sum(dim=2)


class FusedReductions:
    """Computes with the kernels, in one pass over each row, for contiguous float32 on the CPU."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def best(self, logits: Tensor, rows: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(rows)
        values, ids = torch.empty(len(rows)), torch.empty(len(rows), dtype=torch.int64)
        self._kernels.rows_best(
            logits.data_ptr(), logits.shape[1], chosen.data_ptr(), len(rows),
            values.data_ptr(), ids.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return values, ids

    def largest(self, logits: Tensor, rows: list[int], count: int) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(rows)
        values = torch.empty(len(rows), count)
        ids = torch.empty(len(rows), count, dtype=torch.int64)
        self._kernels.rows_largest(
            logits.data_ptr(), logits.shape[1], chosen.data_ptr(), len(rows), count,
            values.data_ptr(), ids.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return values, ids

    def weights(
        self, logits: Tensor, rows: list[int], peaks: Tensor, temperatures: Tensor, block: int
    ) -> Tensor:
        chosen = torch.tensor(rows)
        peaks, temperatures = peaks.float().contiguous(), temperatures.float().contiguous()
        sums = torch.empty(len(rows), -(-logits.shape[1] // block))
        self._kernels.rows_weights(
            logits.data_ptr(), logits.shape[1], chosen.data_ptr(), len(rows), peaks.data_ptr(),
            temperatures.data_ptr(), block, sums.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return sums


def _chosen(logits: Tensor, rows: list[int]) -> Tensor:
    if rows == list(range(len(logits))):
        return logits
    return logits[torch.tensor(rows, device=logits.device)]
