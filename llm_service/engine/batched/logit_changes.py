"""Applies what requests change in their rows of logits: penalties, bias, tokens ruled out.

Owns the formulas. The entries are changed in place and put back, because a copy of the logits
takes longer than the changes, and log-probabilities are those of the model's own logits.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from llm_service.engine.batched.row import Row, unpack_mask


class LogitChanges:
    """Collects changes to some rows of a matrix of logits [n, vocab_size], and applies them.

    The repetition penalty is transformers', over prompt and output: positive logits are divided
    by it, others multiplied. Presence and frequency penalty are OpenAI's, over the output:
    logit -= count * frequency_penalty + (count > 0) * presence_penalty.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []  # numbers of the rows that change
        self.restricted_rows: set[int] = set()  # of these, rows in which tokens are ruled out
        self._masks: dict[int, Tensor] = {}
        self._factors = _Entries()
        self._terms = _Entries()

    def add(self, i: int, row: Row, forbidden: Collection[int]) -> None:
        """Add what `row`, the one numbered `i`, asks for. The ids in `forbidden` are ruled out."""
        p = row.sampling
        if not (row.allowed is not None or forbidden or p.is_penalized or p.logit_bias):
            return
        self.rows.append(i)
        if row.allowed is not None:
            self._masks[i] = row.allowed
        if row.allowed is not None or forbidden:
            self.restricted_rows.add(i)
        self._add_entries(i, row, forbidden)

    def _add_entries(self, i: int, row: Row, forbidden: Collection[int]) -> None:
        p = row.sampling
        if p.is_penalized:
            counts = row.output_counts()
            if p.repetition_penalty != 1.0:
                self._factors.add(i, counts, [p.repetition_penalty] * len(counts))
            if p.presence_penalty or p.frequency_penalty:
                output = {token_id: count for token_id, count in counts.items() if count}
                terms = (-(n * p.frequency_penalty + p.presence_penalty) for n in output.values())
                self._terms.add(i, output, terms)
        self._terms.add(i, p.logit_bias, p.logit_bias.values())
        self._terms.add(i, forbidden, [-math.inf] * len(forbidden))

    @contextmanager
    def applied_to(self, logits: Tensor) -> Iterator[None]:
        """Change `logits` [n, vocab_size] in place for the duration of the context."""
        if not self.rows:
            yield
            return
        with self._masks_applied_to(logits):
            factors, terms = self._factors.index(logits), self._terms.index(logits)
            touched = tuple(torch.cat(pair) for pair in zip(factors, terms, strict=True))
            before = logits[touched]
            old, factor = logits[factors], self._factors.numbers_for(logits)
            logits[factors] = torch.where(old < 0, old * factor, old / factor)
            logits.index_put_(terms, self._terms.numbers_for(logits), accumulate=True)
            try:
                yield
            finally:
                logits[touched] = before

    @contextmanager
    def _masks_applied_to(self, logits: Tensor) -> Iterator[None]:
        """Set what the masks do not allow to minus infinity for the duration of the context."""
        before = {i: logits[i].clone() for i in self._masks}
        for i, mask in self._masks.items():
            _rule_out(logits[i], ~unpack_mask(mask, logits.shape[1]))
        try:
            yield
        finally:
            for i, row in before.items():
                logits[i] = row


def _rule_out(logits: Tensor, is_forbidden: Tensor) -> None:
    """Set logits [vocab_size] to minus infinity where `is_forbidden` [vocab_size, on the CPU]."""
    if logits.device.type == "cpu":  # numpy does it five times as fast as torch
        np.copyto(logits.numpy(), -math.inf, where=is_forbidden.numpy())
    else:
        logits.masked_fill_(is_forbidden.to(logits.device), -math.inf)


class _Entries:
    """Lists some entries of a matrix of logits, with a number for each."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._ids: list[int] = []
        self._numbers: list[float] = []

    def add(self, row: int, ids: Collection[int], numbers: Iterable[float]) -> None:
        self._rows += [row] * len(ids)
        self._ids += ids
        self._numbers += numbers

    def index(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the row numbers and token ids, each int64 [entries], as an index of `logits`."""
        both = torch.tensor([self._rows, self._ids], dtype=torch.long, device=logits.device)
        return both[0], both[1]

    def numbers_for(self, logits: Tensor) -> Tensor:
        """Return the numbers as float32 [entries] on the device of `logits`."""
        return torch.tensor(self._numbers, dtype=torch.float32, device=logits.device)
