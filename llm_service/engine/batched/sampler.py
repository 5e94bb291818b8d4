"""Chooses the next token of every sequence in a batch from the model's logits.

Owns the meaning of `SamplingParams`, for both engines. A row is judged by its own
parameters alone, so what else is in the batch never changes an answer.

The steps come in transformers' order: repetition penalty, then what OpenAI adds to the
logits (presence, frequency, bias), temperature, top_k, top_p, min_p. From what is left a
token is drawn by inversion: a uniform number marks a point of the cumulated probability.
Without cuts tokens stand in order of their ids for that, and with cuts in order of
falling logits, equal ones by id.

That second order needs no sort of the vocabulary as a rule, since the likeliest few
settle nearly every draw. Rows that they do not settle are looked at again with more.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence as Rows
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from llm_service.engine.batched.kernels.head import Wanted
from llm_service.engine.batched.kernels.reductions import Reductions, TorchReductions
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import SamplingParams

_CANDIDATE_STAGES = (64, 1024, 16_384)
_BLOCK = 128
# Temperatures below the best: what is less likely by e^-30 is never drawn.
_DEPTH = 30.0


class SamplingError(Exception):
    """Why one row could not be sampled; returned, not raised, so that the others are."""


@dataclass(frozen=True, slots=True)
class SampledToken:
    """The chosen token. `logprob` and `top` (best first) only where they were asked for."""

    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """A seeded draw depends on the row and its sequence alone, others on the system's entropy."""

    def __init__(
        self,
        vocab_size: int,
        eos_token_ids: frozenset[int] = frozenset(),
        reductions: Reductions | None = None,
    ) -> None:
        """`vocab_size` is the width of the logits; `reductions` are torch's unless given."""
        self._vocab_size = vocab_size
        self._eos_token_ids = eos_token_ids
        self._reductions = reductions or TorchReductions()
        self._random = Random()  # noqa: S311  # nothing is kept secret by it

    @torch.inference_mode()
    def sample(
        self, logits: Tensor, sequences: Rows[Sequence], ahead: Rows[int] | None = None
    ) -> list[SampledToken | SamplingError]:
        """One result per row of `logits` [n, vocab_size], which are left as they are.

        `ahead`: how many tokens that `sequences` do not have yet stand before each row's.

        Log-probabilities are natural, of the model's own logits: before penalties, bias,
        temperature and cuts.
        """
        assert logits.shape == (len(sequences), self._vocab_size)
        logits = logits.float().contiguous()
        best, best_ids = self._reductions.best(logits, list(range(len(sequences))))
        token_ids: list[int] = best_ids.tolist()
        params = [sequence.request.sampling for sequence in sequences]
        errors = [self._error(*row) for row in zip(best.tolist(), params, strict=True)]
        ahead = ahead or [0] * len(sequences)
        good = [i for i, error in enumerate(errors) if not error]
        changes = _Changes()
        for i in good:
            changes.add(i, sequences[i], self._forbidden(sequences[i], ahead[i]))
        drawn = [i for i in good if not params[i].is_greedy]
        again = [i for i in good if params[i].is_greedy and i in changes.rows]
        with changes.made_to(logits):
            if again:
                _put(token_ids, again, self._reductions.best(logits, again)[1])
            if drawn:
                draws = [_Draw.of(sequences[i], self._random, ahead[i]) for i in drawn]
                chosen = _Draws(logits, drawn, draws, self._reductions).token_ids()
                for i, token_id in zip(drawn, chosen, strict=True):
                    token_ids[i] = token_id
        return [
            errors[i] or _with_logprobs(logits[i], token_ids[i], params[i].num_logprobs)
            for i in range(len(sequences))
        ]

    def wanted(self, sequence: Sequence) -> Wanted:
        """What it asks of the logits that `sample` gets; the rest of them may be about right.

        Tokens whose logits are lowered may have been the best: as many more are wanted.
        """
        p = sequence.request.sampling
        if p.raises_logits:
            return Wanted()
        num_lowered = len(p.logit_bias)
        if p.min_tokens:
            num_lowered += len(p.stop_token_ids) + len(self._eos_token_ids)
        if p.is_penalized:
            num_lowered += len(set(sequence.token_ids))
        depth = 0.0 if p.is_greedy else _DEPTH * p.temperature
        if p.num_logprobs is not None:
            depth = max(depth, _DEPTH)
        return Wanted(1 + num_lowered + (p.num_logprobs or 0), depth)

    def _forbidden(self, sequence: Sequence, ahead: int) -> set[int]:
        """What would end an answer that has fewer than its min_tokens."""
        p = sequence.request.sampling
        if sequence.num_output_tokens + ahead >= p.min_tokens:
            return set()
        ends = set(p.stop_token_ids) | (set() if p.ignore_eos else self._eos_token_ids)
        return {i for i in ends if i < self._vocab_size}

    def _error(self, best: float, params: SamplingParams) -> SamplingError | None:
        if not math.isfinite(best):
            return SamplingError(f"the model's largest logit is {best}")
        unknown = [i for i in params.logit_bias if not 0 <= i < self._vocab_size]
        if unknown:
            return SamplingError(
                f"logit_bias names token {unknown[0]}, but the vocabulary has {self._vocab_size}"
            )
        return None


@dataclass(frozen=True, slots=True)
class _Draw:
    """One row's cuts and its uniform number."""

    temperature: float
    top_k: int  # 0: off
    top_p: float
    min_p: float
    uniform: float

    @classmethod
    def of(cls, sequence: Sequence, unseeded: Random, ahead: int) -> "_Draw":
        p = sequence.request.sampling
        if p.seed is None:
            uniform = unseeded.random()
        else:
            uniform = uniform_of(p.seed, sequence.num_output_tokens + ahead)
        # a smaller one is greedy in effect, and divides by zero in float32
        return cls(max(p.temperature, 1e-5), p.top_k, p.top_p, p.min_p, uniform)

    @property
    def is_cut(self) -> bool:
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class _Draws:
    """One draw from each of the chosen rows of `logits` [n, vocab_size]."""

    def __init__(
        self, logits: Tensor, rows: list[int], draws: list[_Draw], reductions: Reductions
    ) -> None:
        self._logits, self._rows, self._draws = logits, rows, draws
        self._vocab_size = logits.shape[1]
        self._reductions = reductions

    def token_ids(self) -> list[int]:
        """A token id per draw, in as few passes as settle all of them."""
        token_ids = [0] * len(self._draws)
        uncut = [i for i, draw in enumerate(self._draws) if not draw.is_cut]
        if uncut:
            _put(token_ids, uncut, self._choose_from_all(uncut))
        unsettled = [i for i, draw in enumerate(self._draws) if draw.is_cut]
        stages = [n for n in _CANDIDATE_STAGES if n < self._vocab_size]
        for num_candidates in (*stages, self._vocab_size):
            if unsettled:
                chosen, is_settled = self._choose(unsettled, num_candidates)
                _put(token_ids, unsettled, chosen)
                pairs = zip(unsettled, is_settled.tolist(), strict=True)
                unsettled = [i for i, settled in pairs if not settled]
        return token_ids

    def _choose_from_all(self, which: list[int]) -> Tensor:
        """Token ids [m] from the whole distributions, in order of the ids.

        Sums blocks first, then goes into one: a cumulated sum in float64 over all of a large
        vocabulary takes ten times as long, and in float32 it loses rare tokens.
        """
        rows, cuts = self._cuts(which)
        peaks, _ = self._reductions.best(self._logits, rows)
        sums = self._weights(rows, peaks, cuts).double()
        cumulated = sums.cumsum(dim=1)
        marks = cuts.uniform * cumulated[:, -1:]
        block = torch.searchsorted(cumulated, marks, right=True).clamp(max=sums.shape[1] - 1)
        marks -= (cumulated - sums).gather(1, block)
        ids = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
        which_rows = torch.tensor(rows, device=ids.device)[:, None]
        logits = self._logits[which_rows, ids % self._vocab_size]  # modulo: the last may be short
        weights = torch.exp((logits - peaks[:, None]).double() / cuts.temperature)
        inside = (weights * (ids < self._vocab_size)).cumsum(1)
        # A block's two sums round differently; past the end of it stand tokens of no probability.
        marks = marks.minimum(inside[:, -1:] * (1 - 2**-40))
        return (block * _BLOCK + torch.searchsorted(inside, marks, right=True))[:, 0]

    def _choose(self, which: list[int], num_candidates: int) -> tuple[Tensor, Tensor]:
        """Token ids [m] from what the cuts leave, and whether `num_candidates` settled them [m].

        Every cut keeps a prefix of the falling order. Of candidates that equal the last one
        the values are sure but not the ids, since more of them may have been left out.
        """
        rows, cuts = self._cuts(which)
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
        is_kept = is_in_top_k & is_in_top_p & (weights >= cuts.min_p)
        num_kept = is_kept.sum(dim=1, keepdim=True).clamp(min=1)
        marks = cuts.uniform * cumulated.gather(1, num_kept - 1)
        # the product may round up to the whole
        place = (cumulated <= marks).sum(dim=1, keepdim=True).minimum(num_kept - 1)
        num_sure = (values > values[:, -1:]).sum(dim=1, keepdim=True)
        is_top_k_seen = (cuts.top_k <= num_candidates) | (cuts.top_k == self._vocab_size)
        is_cut_seen = (num_kept < num_candidates) | (cuts.top_k == num_candidates)
        is_settled = is_top_k_seen & is_cut_seen & (place < num_sure)
        if num_candidates == self._vocab_size:
            is_settled = torch.ones_like(is_settled)
        return ids.gather(1, place)[:, 0], is_settled[:, 0]

    def _falling(self, rows: list[int], num_candidates: int) -> tuple[Tensor, Tensor]:
        """The largest logits [m, num_candidates] in float64 and their ids, equal ones by id."""
        if num_candidates == self._vocab_size:
            values, ids = self._logits[rows].sort(dim=1, descending=True, stable=True)
        else:
            values, ids = self._reductions.largest(self._logits, rows, num_candidates)
        return values.double(), ids

    def _weights(self, rows: list[int], peaks: Tensor, cuts: "_Cuts") -> Tensor:
        temperatures = cuts.temperature[:, 0]
        return self._reductions.weights(self._logits, rows, peaks, temperatures, _BLOCK)

    def _cuts(self, which: list[int]) -> tuple[list[int], "_Cuts"]:
        draws = [self._draws[i] for i in which]
        return [self._rows[i] for i in which], _Cuts.of(
            draws, self._vocab_size, self._logits.device
        )


def _put(token_ids: list[int], places: list[int], chosen: Tensor) -> None:
    for i, token_id in zip(places, chosen.tolist(), strict=True):
        token_ids[i] = token_id


@dataclass(frozen=True, slots=True)
class _Cuts:
    """The draws' numbers as columns [m, 1]."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    min_p: Tensor
    uniform: Tensor

    @classmethod
    def of(cls, draws: list[_Draw], vocab_size: int, device: torch.device) -> "_Cuts":
        def column(numbers: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.tensor(numbers, dtype=dtype, device=device).unsqueeze(1)

        return cls(
            temperature=column([d.temperature for d in draws]),
            top_k=column([min(d.top_k or vocab_size, vocab_size) for d in draws], torch.int64),
            top_p=column([d.top_p for d in draws]),
            min_p=column([d.min_p for d in draws]),
            uniform=column([d.uniform for d in draws]),
        )


class _Changes:
    """Entries of some rows of logits that are penalized and biased, for a while.

    Repetition as transformers has it, over prompt and output: positive logits are divided,
    others multiplied. Presence and frequency as OpenAI has them, over the output:
    logit -= count * frequency_penalty + (count > 0) * presence_penalty.
    """

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self._factors: list[tuple[int, int, float]] = []  # row, token, number
        self._terms: list[tuple[int, int, float]] = []

    def add(self, row: int, sequence: Sequence, forbidden: set[int]) -> None:
        """What the parameters of `sequence` want of its row."""
        p = sequence.request.sampling
        if not (p.is_penalized or p.logit_bias or forbidden):
            return
        self.rows.add(row)
        if p.repetition_penalty != 1.0:
            self._factors += [(row, i, p.repetition_penalty) for i in set(sequence.token_ids)]
        if p.presence_penalty or p.frequency_penalty:
            counts = Counter(sequence.token_ids[sequence.num_prompt_tokens :])
            self._terms += [
                (row, i, -(count * p.frequency_penalty + p.presence_penalty))
                for i, count in counts.items()
            ]
        self._terms += [(row, i, bias) for i, bias in p.logit_bias.items()]
        self._terms += [(row, i, -math.inf) for i in forbidden]

    @contextmanager
    def made_to(self, logits: Tensor) -> Iterator[None]:
        """`logits` [n, vocab_size] are so changed as long as it lasts."""
        if not self.rows:
            yield
            return
        of_factors, factor = _entries(self._factors, logits.device)
        of_terms, term = _entries(self._terms, logits.device)
        touched = tuple(torch.cat(pair) for pair in zip(of_factors, of_terms, strict=True))
        before = logits[touched]
        old = logits[of_factors]
        logits[of_factors] = torch.where(old < 0, old * factor, old / factor)
        logits.index_put_(of_terms, term, accumulate=True)
        try:
            yield
        finally:
            logits[touched] = before


def _entries(
    entries: list[tuple[int, int, float]], device: torch.device
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Where they are, as an index, and their numbers."""
    rows, tokens, numbers = zip(*entries, strict=True) if entries else ((), (), ())
    index = tuple(torch.tensor(each, dtype=torch.long, device=device) for each in (rows, tokens))
    return (index[0], index[1]), torch.tensor(numbers, dtype=torch.float32, device=device)


def uniform_of(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits, a function of seed and position alone.

    So neither the batch nor a preemption changes it: a counter-based generator, after
    Salmon et al. 2011, with BLAKE2 as its mixing function.
    """
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def _with_logprobs(logits: Tensor, token_id: int, num_logprobs: int | None) -> SampledToken:
    """`token_id` of one row [vocab_size], with what was asked for about its probability."""
    if num_logprobs is None:
        return SampledToken(token_id)
    logprobs = logits.log_softmax(dim=0)
    values, ids = TorchReductions().largest(logprobs[None], [0], min(num_logprobs, len(logprobs)))
    top = tuple(zip(ids[0].tolist(), values[0].tolist(), strict=True))
    logprob: float = logprobs[token_id].item()
    return SampledToken(token_id, logprob, top)
