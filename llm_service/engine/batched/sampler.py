"""Chooses the next token for each row of logits that the model has computed.

Owns the meaning of `SamplingParams`, for both engines. A row's result depends on that row
alone, so what else is in the batch never changes an answer.

The steps come in transformers' order: repetition penalty, then what OpenAI adds to the logits
(presence, frequency, bias), tokens that are ruled out (`logit_changes`), and then temperature,
top_k, top_p, min_p and the draw (`draws`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from llm_service.engine.batched.draws import Draw, Draws, put
from llm_service.engine.batched.logit_changes import LogitChanges
from llm_service.engine.batched.row import Row, num_mask_words, unpack_mask
from llm_service.engine.kernels.head import EVERY_LOGIT, LogitNeeds
from llm_service.engine.kernels.reductions import Reductions, TorchReductions

# In units of the temperature, below the best logit: what is less likely by e^-30 is never drawn.
_DEPTH = 30.0


class SamplingError(Exception):
    """Says why one row could not be sampled; it is returned, so that other rows are sampled."""


@dataclass(frozen=True, slots=True)
class SampledToken:
    """Holds the chosen token, and `logprob` and `top` (best first) if they were asked for."""

    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Samples tokens. Seeded draws depend on their row alone, others on the system's entropy."""

    def __init__(
        self,
        vocab_size: int,
        eos_token_ids: frozenset[int] = frozenset(),
        reductions: Reductions | None = None,
    ) -> None:
        """`vocab_size` is the width of the logits; torch computes `reductions` by default."""
        self._vocab_size = vocab_size
        self._eos_token_ids = eos_token_ids
        self._reductions = reductions or TorchReductions()
        self._random = Random()  # noqa: S311  # nothing is kept secret by it

    @torch.inference_mode()
    def sample(self, logits: Tensor, rows: Sequence[Row]) -> list[SampledToken | SamplingError]:
        """Return one result per row of `logits` [n, vocab_size], whose numbers do not change.

        The token of a row with a target is the target.

        Log-probabilities are natural and those of the model's own logits: before penalties,
        bias, masks, temperature and cuts.
        """
        assert logits.shape == (len(rows), self._vocab_size)
        logits = logits.float().contiguous()
        best, best_ids = self._reductions.best(logits, list(range(len(rows))))
        token_ids: list[int] = best_ids.tolist()
        errors = [self._error(*row) for row in zip(rows, best.tolist(), strict=True)]
        good = [i for i, row in enumerate(rows) if errors[i] is None and row.target is None]
        for i, row in enumerate(rows):
            if row.target is not None:
                token_ids[i] = row.target
        changes = LogitChanges()
        for i in good:
            changes.add(i, rows[i], self._forbidden(rows[i]))
        with changes.applied_to(logits):
            if changes.rows:
                self._choose_best_again(logits, rows, changes, token_ids, errors)
            drawn = [i for i in good if not rows[i].sampling.is_greedy and errors[i] is None]
            if drawn:
                draws = [Draw.of(rows[i], self._random) for i in drawn]
                chosen = Draws(logits, drawn, draws, self._reductions).token_ids()
                for i, token_id in zip(drawn, chosen, strict=True):
                    token_ids[i] = token_id
        return [
            errors[i] or _with_logprobs(logits[i], token_ids[i], row.num_logprobs)
            for i, row in enumerate(rows)
        ]

    def needs(self, row: Row) -> LogitNeeds:
        """Return which logits of the row `sample` needs exactly; the others may be approximate.

        A token whose logit is lowered may have been the best, so one more is needed for each.
        """
        p = row.sampling
        if row.target is not None:
            return EVERY_LOGIT
        if row.allowed is not None and p.num_logprobs is not None:
            return EVERY_LOGIT  # of the model's own logits the chosen one may be any
        allowed = self._usable_mask(row)
        if p.raises_logits:
            return LogitNeeds(allowed=allowed)
        num_lowered = len(p.logit_bias)
        if p.min_tokens:
            num_lowered += len(self._forbidden(row))
        if p.is_penalized:
            num_lowered += len(row.sequence.output_counts()) + len(row.draft)
        depth = 0.0 if p.is_greedy else _DEPTH * p.temperature
        if p.num_logprobs is not None:
            depth = max(depth, _DEPTH)
        return LogitNeeds(1 + num_lowered + (p.num_logprobs or 0), depth, allowed)

    def _choose_best_again(
        self,
        logits: Tensor,
        rows: Sequence[Row],
        changes: LogitChanges,
        token_ids: list[int],
        errors: list[SamplingError | None],
    ) -> None:
        """Correct `token_ids` where changes may have made another token the best.

        Adds an error for each row in which they have left no token.
        """
        changed = [
            i for i in changes.rows if rows[i].sampling.is_greedy or i in changes.restricted_rows
        ]
        if not changed:
            return
        best, best_ids = self._reductions.best(logits, changed)
        put(token_ids, changed, best_ids)
        for i, logit in zip(changed, best.tolist(), strict=True):
            if logit == -math.inf:
                reason = (
                    "min_tokens rules" if rows[i].allowed is None else "the grammar's mask rules"
                )
                errors[i] = SamplingError(f"{reason} out every token")

    def _forbidden(self, row: Row) -> set[int]:
        """Return the token ids that would end an answer before it has its min_tokens."""
        p = row.sampling
        if not p.min_tokens or row.num_output_tokens >= p.min_tokens:
            return set()
        ends = set(p.stop_token_ids) | (set() if p.ignore_eos else self._eos_token_ids)
        ends = {i for i in ends if i < self._vocab_size}
        mask = self._usable_mask(row)
        return ends if mask is None or self._allows_others(mask, ends) else set()

    def _allows_others(self, mask: Tensor, ids: set[int]) -> bool:
        """Whether `mask` allows a token that is not in `ids`; else an answer has to end."""
        is_allowed = unpack_mask(mask, self._vocab_size)
        is_allowed[list(ids)] = False
        return bool(is_allowed.any())

    def _error(self, row: Row, best: float) -> SamplingError | None:
        """Return why the row cannot be sampled; `best` is the largest of the model's logits."""
        is_masked_out = best == -math.inf and self._usable_mask(row) is not None
        if not math.isfinite(best) and not is_masked_out:
            return SamplingError(f"the model's largest logit is {best}")
        for token_id in row.sampling.logit_bias:
            if not 0 <= token_id < self._vocab_size:
                return SamplingError(
                    f"logit_bias names token {token_id}, but the vocabulary has {self._vocab_size}"
                )
        return None if row.allowed is None else self._mask_error(row.allowed)

    def _usable_mask(self, row: Row) -> Tensor | None:
        return None if row.allowed is None or self._mask_error(row.allowed) else row.allowed

    def _mask_error(self, mask: Tensor) -> SamplingError | None:
        num_words = num_mask_words(self._vocab_size)
        is_whole = mask.shape == (num_words,) and mask.dtype is torch.int32
        if is_whole and mask.is_contiguous() and mask.device.type == "cpu":
            return None
        return SamplingError(
            f"the mask of allowed tokens is {mask.dtype} {list(mask.shape)} on {mask.device.type},"
            f" but for a vocabulary of {self._vocab_size} it must be contiguous torch.int32"
            f" [{num_words}] on cpu"
        )


def _with_logprobs(logits: Tensor, token_id: int, num_logprobs: int | None) -> SampledToken:
    """Return `token_id` with the log-probabilities of one row [vocab_size] that were asked for."""
    if num_logprobs is None:
        return SampledToken(token_id)
    logprobs = logits.log_softmax(dim=0)
    values, ids = TorchReductions().largest(logprobs[None], [0], min(num_logprobs, len(logprobs)))
    top = tuple(zip(ids[0].tolist(), values[0].tolist(), strict=True))
    logprob: float = logprobs[token_id].item()
    return SampledToken(token_id, logprob, top)
