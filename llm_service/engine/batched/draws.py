"""Draws tokens at random from rows of logits, under temperature, top_k, top_p and min_p.

A token is drawn by inversion: a uniform number marks a point of the cumulated probability.
Tokens are cumulated in the order of their ids if nothing is cut off, and else in the order of
falling logits, equal ones by id.

Falling order rarely needs a sort of the vocabulary, because the likeliest few tokens settle
nearly every draw. Rows that they do not settle are drawn again from more candidates.
"""

import hashlib
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from llm_service.engine.batched.row import Row
from llm_service.engine.kernels.reductions import Reductions

_CANDIDATE_STAGES = (64, 1024, 16_384)
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Draw:
    """Holds one row's cuts and its uniform number."""

    temperature: float
    top_k: int  # 0: off
    top_p: float
    min_p: float
    uniform: float

    @classmethod
    def of(cls, row: Row, unseeded: Random) -> "Draw":
        p = row.sampling
        uniform = unseeded.random() if p.seed is None else uniform_of(p.seed, row.num_output_tokens)
        # a smaller temperature is greedy in effect, and divides by zero in float32
        return cls(max(p.temperature, 1e-5), p.top_k, p.top_p, p.min_p, uniform)

    @property
    def is_cut(self) -> bool:
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class Draws:
    """Draws a token from each row of `logits` [n, vocab_size] that `rows` names by its number.

    A token whose logit is minus infinity is never drawn. Each row needs a finite logit.
    """

    def __init__(
        self, logits: Tensor, rows: list[int], draws: list[Draw], reductions: Reductions
    ) -> None:
        self._logits, self._rows, self._draws = logits, rows, draws
        self._vocab_size = logits.shape[1]
        self._reductions = reductions

    def token_ids(self) -> list[int]:
        """Return a token id per draw, in as few passes as settle all of them."""
        token_ids = [0] * len(self._draws)
        uncut = [i for i, draw in enumerate(self._draws) if not draw.is_cut]
        if uncut:
            put(token_ids, uncut, self._choose_from_all(uncut))
        unsettled = [i for i, draw in enumerate(self._draws) if draw.is_cut]
        stages = [n for n in _CANDIDATE_STAGES if n < self._vocab_size]
        for num_candidates in (*stages, self._vocab_size):
            if unsettled:
                chosen, is_settled = self._choose(unsettled, num_candidates)
                put(token_ids, unsettled, chosen)
                pairs = zip(unsettled, is_settled.tolist(), strict=True)
                unsettled = [i for i, settled in pairs if not settled]
        return token_ids

    def _choose_from_all(self, chosen: list[int]) -> Tensor:
        """Draw token ids [m] from whole distributions, cumulated in the order of the ids.

        Finds a block of ids by the blocks' sums first, and then the id within the block: a
        cumulated sum in float64 over all of a large vocabulary takes ten times as long, and in
        float32 it loses rare tokens.
        """
        rows, cuts = self._cuts(chosen)
        peaks, _ = self._reductions.best(self._logits, rows)
        sums = self._weights(rows, peaks, cuts).double()
        cumulated = sums.cumsum(dim=1)
        total = cumulated[:, -1:]
        # The product may round up to the total, and past it stand tokens of no probability.
        marks = (cuts.uniform * total).minimum(total * (1 - 2**-52))
        block = torch.searchsorted(cumulated, marks, right=True).clamp(max=sums.shape[1] - 1)
        marks = (marks - (cumulated - sums).gather(1, block)).clamp(min=0)
        ids = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
        row_numbers = torch.tensor(rows, device=ids.device)[:, None]
        logits = self._logits[row_numbers, ids % self._vocab_size]  # the last block may be short
        weights = torch.exp((logits - peaks[:, None]).double() / cuts.temperature)
        inside = (weights * (ids < self._vocab_size)).cumsum(1)
        # A block's two sums round differently; past the end of it stand tokens of no probability.
        marks = marks.minimum(inside[:, -1:] * (1 - 2**-40))
        return (block * _BLOCK + torch.searchsorted(inside, marks, right=True))[:, 0]

    def _choose(self, chosen: list[int], num_candidates: int) -> tuple[Tensor, Tensor]:
        """Draw token ids [m] from the tokens that the cuts keep, in falling order.

        The second result [m] tells whether `num_candidates` candidates settled the draw. Every
        cut keeps a prefix of the falling order. Of candidates that equal the last one only the
        values are certain, not the ids, since more of the same value may have been left out.
        """
        rows, cuts = self._cuts(chosen)
        values, ids = self._falling(rows, num_candidates)
        is_in_top_k = torch.arange(num_candidates, device=ids.device) < cuts.top_k
        weights = torch.exp((values - values[:, :1]) / cuts.temperature) * is_in_top_k
        cumulated = weights.cumsum(dim=1)
        total = cumulated[:, -1:]
        is_more_in_total = (cuts.top_k == self._vocab_size) & (cuts.top_p < 1)
        if num_candidates < self._vocab_size and is_more_in_total.any():
            sums = self._weights(rows, values[:, 0], cuts).sum(dim=1, keepdim=True).double()
            total = torch.where(is_more_in_total, sums, total)
        is_in_top_p = (cumulated - weights < cuts.top_p * total) | (cuts.top_p >= 1)
        is_kept = is_in_top_k & is_in_top_p & (weights >= cuts.min_p) & (weights > 0)
        num_kept = is_kept.sum(dim=1, keepdim=True).clamp(min=1)
        marks = cuts.uniform * cumulated.gather(1, num_kept - 1)
        # the product may round up to the whole
        place = (cumulated <= marks).sum(dim=1, keepdim=True).minimum(num_kept - 1)
        num_certain = (values > values[:, -1:]).sum(dim=1, keepdim=True)
        # whatever follows a token of no probability has none either
        is_top_k_seen = (
            (cuts.top_k <= num_candidates)
            | (cuts.top_k == self._vocab_size)
            | (weights[:, -1:] == 0)
        )
        is_cut_seen = (num_kept < num_candidates) | (cuts.top_k == num_candidates)
        is_settled = is_top_k_seen & is_cut_seen & (place < num_certain)
        if num_candidates == self._vocab_size:
            is_settled = torch.ones_like(is_settled)
        return ids.gather(1, place)[:, 0], is_settled[:, 0]

    def _falling(self, rows: list[int], num_candidates: int) -> tuple[Tensor, Tensor]:
        """Return the largest logits [m, num_candidates], falling, in float64 and their ids."""
        if num_candidates == self._vocab_size:
            values, ids = self._logits[rows].sort(dim=1, descending=True, stable=True)
        else:
            values, ids = self._reductions.largest(self._logits, rows, num_candidates)
        return values.double(), ids

    def _weights(self, rows: list[int], peaks: Tensor, cuts: "_Cuts") -> Tensor:
        temperatures = cuts.temperature[:, 0]
        return self._reductions.weights(self._logits, rows, peaks, temperatures, _BLOCK)

    def _cuts(self, chosen: list[int]) -> tuple[list[int], "_Cuts"]:
        """Return the row numbers and the cuts of the draws numbered `chosen`."""
        draws = [self._draws[i] for i in chosen]
        rows = [self._rows[i] for i in chosen]
        return rows, _Cuts.of(draws, self._vocab_size, self._logits.device)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Holds the parameters of m draws as columns [m, 1]."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    min_p: Tensor
    uniform: Tensor

    @classmethod
    def of(cls, draws: list[Draw], vocab_size: int, device: torch.device) -> "_Cuts":
        def column(numbers: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.tensor(numbers, dtype=dtype, device=device).unsqueeze(1)

        return cls(
            temperature=column([d.temperature for d in draws]),
            top_k=column([min(d.top_k or vocab_size, vocab_size) for d in draws], torch.int64),
            top_p=column([d.top_p for d in draws]),
            min_p=column([d.min_p for d in draws]),
            uniform=column([d.uniform for d in draws]),
        )


def put(token_ids: list[int], places: list[int], chosen: Tensor) -> None:
    """Store `chosen` [m] at `places` [m] of `token_ids`."""
    for i, token_id in zip(places, chosen.tolist(), strict=True):
        token_ids[i] = token_id


def uniform_of(seed: int, position: int) -> float:
    """Return a number in [0, 1) with 53 random bits, a function of seed and position alone.

    So neither the batch nor a preemption changes it: a counter-based generator, after
    Salmon et al. 2011, with BLAKE2 as its mixing function.
    """
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
