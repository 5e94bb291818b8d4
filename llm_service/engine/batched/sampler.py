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
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn import functional

from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import SamplingParams

_CANDIDATE_STAGES = (64, 2048)
_BLOCK = 128


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

    def __init__(self, vocab_size: int, device: torch.device | str = "cpu") -> None:
        """`vocab_size` is the width of the logits."""
        self._vocab_size = vocab_size
        self._device = torch.device(device)
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
        best, best_ids = logits.max(dim=-1)  # NaN, if there is one in the row
        token_ids: list[int] = best_ids.tolist()
        params = [sequence.request.sampling for sequence in sequences]
        errors = [self._error(*row) for row in zip(best.tolist(), params, strict=True)]
        is_plain = [p.is_greedy and not p.is_adjusted for p in params]
        rows = [i for i, plain in enumerate(is_plain) if not plain and not errors[i]]
        if rows:
            scores = self._adjusted(logits, rows, sequences)
            draws = [_Draw.of(sequences[i], self._random, ahead[i] if ahead else 0) for i in rows]
            for i, token_id in zip(rows, _draw(scores, draws), strict=True):
                token_ids[i] = token_id
        return [
            errors[i] or _with_logprobs(logits[i], token_ids[i], params[i].num_logprobs)
            for i in range(len(sequences))
        ]

    def _error(self, best: float, params: SamplingParams) -> SamplingError | None:
        if not math.isfinite(best):
            return SamplingError(f"the model's largest logit is {best}")
        unknown = [i for i in params.logit_bias if not 0 <= i < self._vocab_size]
        if unknown:
            return SamplingError(
                f"logit_bias names token {unknown[0]}, but the vocabulary has {self._vocab_size}"
            )
        return None

    def _adjusted(self, logits: Tensor, rows: list[int], sequences: Rows[Sequence]) -> Tensor:
        """Penalized and biased scores [len(rows), vocab_size]; a copy, if any are."""
        is_adjusted = [sequences[i].request.sampling.is_adjusted for i in rows]
        if len(rows) == len(logits) and not any(is_adjusted):
            return logits
        scores = logits[torch.tensor(rows, device=self._device)].float()
        for at, i in enumerate(rows):
            if is_adjusted[at]:
                _adjust(scores[at], sequences[i])
        return scores


@dataclass(frozen=True, slots=True)
class _Draw:
    """One row's cuts and its uniform number. Greedy is the cut to the single likeliest."""

    temperature: float
    top_k: int  # 0: off
    top_p: float
    min_p: float
    uniform: float

    @classmethod
    def of(cls, sequence: Sequence, unseeded: Random, ahead: int) -> "_Draw":
        p = sequence.request.sampling
        if p.is_greedy:
            return cls(1.0, 1, 1.0, 0.0, 0.0)
        if p.seed is None:
            uniform = unseeded.random()
        else:
            uniform = uniform_of(p.seed, sequence.num_output_tokens + ahead)
        # a smaller one is greedy in effect, and divides by zero in float32
        return cls(max(p.temperature, 1e-5), p.top_k, p.top_p, p.min_p, uniform)

    @property
    def is_cut(self) -> bool:
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


def _draw(scores: Tensor, draws: list[_Draw]) -> list[int]:
    """A token id per row of `scores` [m, vocab_size], in as few passes as settle all rows."""
    vocab_size = scores.shape[1]
    token_ids = [0] * len(draws)
    unsettled = [i for i, draw in enumerate(draws) if draw.is_cut]
    if len(unsettled) < len(draws):
        uncut = [i for i, draw in enumerate(draws) if not draw.is_cut]
        chosen = _choose_from_all(_rows(scores, uncut), [draws[i] for i in uncut])
        _put(token_ids, uncut, chosen)
    stages = [n for n in _CANDIDATE_STAGES if n < vocab_size]
    for num_candidates in (*stages, vocab_size):
        if unsettled:
            part = [draws[i] for i in unsettled]
            chosen, is_settled = _choose(_rows(scores, unsettled), part, num_candidates)
            _put(token_ids, unsettled, chosen)
            pairs = zip(unsettled, is_settled.tolist(), strict=True)
            unsettled = [i for i, settled in pairs if not settled]
    return token_ids


def _rows(scores: Tensor, rows: list[int]) -> Tensor:
    return scores if len(rows) == len(scores) else scores[torch.tensor(rows, device=scores.device)]


def _put(token_ids: list[int], rows: list[int], chosen: Tensor) -> None:
    for i, token_id in zip(rows, chosen.tolist(), strict=True):
        token_ids[i] = token_id


def _choose_from_all(scores: Tensor, draws: list[_Draw]) -> Tensor:
    """Token ids [m] from the whole distributions, in order of the ids.

    Sums blocks first, then goes into one: a cumulated sum in float64 over all of a large
    vocabulary takes ten times as long, and in float32 it loses rare tokens.
    """
    cuts = _Cuts.of(draws, scores.shape[1], scores.device)
    probabilities = torch.softmax(scores.float() / cuts.temperature.float(), dim=1)
    if remainder := scores.shape[1] % _BLOCK:
        probabilities = functional.pad(probabilities, (0, _BLOCK - remainder))
    blocks = probabilities.view(len(draws), -1, _BLOCK)
    sums = blocks.sum(dim=2).double()
    cumulated = sums.cumsum(dim=1)
    marks = cuts.uniform * cumulated[:, -1:]
    block = torch.searchsorted(cumulated, marks, right=True).clamp(max=sums.shape[1] - 1)
    marks -= (cumulated - sums).gather(1, block)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, _BLOCK))[:, 0].double().cumsum(1)
    # A block's two sums round differently; past the end of it stand tokens of no probability.
    marks = marks.minimum(inside[:, -1:] * (1 - 2**-40))
    return (block * _BLOCK + torch.searchsorted(inside, marks, right=True))[:, 0]


def _choose(scores: Tensor, draws: list[_Draw], num_candidates: int) -> tuple[Tensor, Tensor]:
    """Token ids [m] from what the cuts leave, and whether `num_candidates` settled them [m].

    Every cut keeps a prefix of the falling order. Of candidates that equal the last one
    the values are sure but not the ids, since more of them may have been left out.
    """
    vocab_size = scores.shape[1]
    cuts = _Cuts.of(draws, vocab_size, scores.device)
    values, ids = _falling(scores, num_candidates)
    is_in_top_k = torch.arange(num_candidates, device=scores.device) < cuts.top_k
    weights = torch.exp((values - values[:, :1]) / cuts.temperature) * is_in_top_k
    cumulated = weights.cumsum(dim=1)
    total = cumulated[:, -1:]
    is_more_in_total = (cuts.top_k == vocab_size) & (cuts.top_p < 1)
    if num_candidates < vocab_size and is_more_in_total.any():
        total = torch.where(is_more_in_total, _total(scores, values, cuts), total)
    is_in_top_p = (cumulated - weights < cuts.top_p * total) | (cuts.top_p >= 1)
    is_kept = is_in_top_k & is_in_top_p & (weights >= cuts.min_p)
    num_kept = is_kept.sum(dim=1, keepdim=True).clamp(min=1)
    marks = cuts.uniform * cumulated.gather(1, num_kept - 1)
    # the product may round up to the whole
    place = (cumulated <= marks).sum(dim=1, keepdim=True).minimum(num_kept - 1)
    num_sure = (values > values[:, -1:]).sum(dim=1, keepdim=True)
    is_top_k_seen = (cuts.top_k <= num_candidates) | (cuts.top_k == vocab_size)
    is_cut_seen = (num_kept < num_candidates) | (cuts.top_k == num_candidates)
    is_settled = is_top_k_seen & is_cut_seen & (place < num_sure)
    if num_candidates == vocab_size:
        is_settled = torch.ones_like(is_settled)
    return ids.gather(1, place)[:, 0], is_settled[:, 0]


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


def _falling(scores: Tensor, num_candidates: int) -> tuple[Tensor, Tensor]:
    """The largest scores [m, num_candidates] in float64 and their ids, equal ones by id."""
    if num_candidates == scores.shape[1]:
        values, ids = scores.sort(dim=1, descending=True, stable=True)
        return values.double(), ids
    values, ids = scores.topk(num_candidates, dim=1)
    ids, by_id = ids.sort(dim=1)
    values, by_value = values.gather(1, by_id).sort(dim=1, descending=True, stable=True)
    return values.double(), ids.gather(1, by_value)


def _total(scores: Tensor, values: Tensor, cuts: _Cuts) -> Tensor:
    """The whole rows' weights [m, 1], in the unit of the likeliest token's."""
    exponents = (scores.float() - values[:, :1].float()).div_(cuts.temperature.float())
    return exponents.exp_().sum(dim=1, keepdim=True).double()


def _adjust(scores: Tensor, sequence: Sequence) -> None:
    """Change one row [vocab_size] in place by penalties and bias.

    Repetition as transformers has it, over prompt and output: positive scores are divided,
    others multiplied. Presence and frequency as OpenAI has them, over the output:
    score -= count * frequency_penalty + (count > 0) * presence_penalty.
    """
    p, device = sequence.request.sampling, scores.device
    if p.repetition_penalty != 1.0:
        seen = torch.tensor(list(set(sequence.token_ids)), device=device)
        old = scores[seen]
        scores[seen] = torch.where(old < 0, old * p.repetition_penalty, old / p.repetition_penalty)
    output_ids = sequence.token_ids[sequence.num_prompt_tokens :]
    if output_ids and (p.presence_penalty or p.frequency_penalty):
        counts = Counter(output_ids)
        seen = torch.tensor(list(counts), device=device)
        times = torch.tensor(list(counts.values()), device=device)
        scores[seen] -= times * p.frequency_penalty + p.presence_penalty
    if p.logit_bias:
        biased = torch.tensor(list(p.logit_bias), device=device)
        scores[biased] += torch.tensor(list(p.logit_bias.values()), device=device)


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
    logprobs = logits.float().log_softmax(dim=0)
    values, ids = _falling(logprobs[None], min(num_logprobs, len(logprobs)))
    top = tuple(zip(ids[0].tolist(), values[0].tolist(), strict=True))
    logprob: float = logprobs[token_id].item()
    return SampledToken(token_id, logprob, top)
