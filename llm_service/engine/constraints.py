"""Which tokens an answer may consist of: by a grammar, and by a limit of its reasoning.

Owns the state of one sequence. `GrammarConstraint` follows llguidance's matcher, and
`BudgetedConstraint` adds the end of the reasoning to it. Both belong to the engine's thread.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llm_service.engine.grammar import GrammarSource, ReasoningBudget, TokenConstraint
from llm_service.engine.request import GenerationRequest
from llm_service.errors import InvalidRequest, ServiceError

if TYPE_CHECKING:  # it is loaded with the first grammar
    from llguidance import LLMatcher

_WORD_BITS = 32
_MAX_ERROR_CHARS = 300
_POSITION = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?")


class Masks:
    """Reused memory for the masks of one sequence's rows: int32 [rows, words]."""

    def __init__(self, num_ids: int) -> None:
        self._rows = torch.empty(0, -(-num_ids // _WORD_BITS), dtype=torch.int32)

    def take(self, num_rows: int) -> list[Tensor]:
        if len(self._rows) < num_rows:
            self._rows = self._rows.new_empty(num_rows, self._rows.shape[1])
        return list(self._rows[:num_rows])

    def only(self, token_id: int) -> Tensor:
        """Return a mask that allows one token."""
        (row,) = self.take(1)
        bit = 1 << token_id % _WORD_BITS
        row.zero_()
        row[token_id // _WORD_BITS] = bit - (bit >> 31 << 32)  # as a signed word
        return row


def constraint_of(request: GenerationRequest, vocab_size: int) -> TokenConstraint | None:
    """Return what the request asks its answer to be limited to; None: nothing."""
    grammar = request.grammar.constraint() if request.grammar is not None else None
    if request.reasoning_budget is None:
        return grammar
    return BudgetedConstraint(request.reasoning_budget, grammar, vocab_size)


class GrammarConstraint:
    """Implements `TokenConstraint` for a grammar that covers the answer, or parts of it."""

    def __init__(
        self, source: GrammarSource, matcher: "LLMatcher", num_ids: int, vocab_size: int
    ) -> None:
        """`matcher` is at the grammar's beginning; it is copied and never changed.

        It knows `num_ids` tokens, which may be more than the logits' `vocab_size`.
        """
        self._source = source
        self._fresh = matcher
        self._masks = Masks(num_ids)
        self._num_words = -(-vocab_size // _WORD_BITS)
        self._matcher: LLMatcher | None = None  # None: the answer is free
        self._forced: list[int] = []
        self._error: ServiceError | None = None
        self._is_complete = False
        if not source.begins_after:
            self._begin()

    @property
    def is_in_grammar(self) -> bool:
        return self._matcher is not None

    @property
    def is_complete(self) -> bool:
        return self._is_complete

    @property
    def error(self) -> ServiceError | None:
        return self._error

    def accept(self, token_id: int) -> None:
        if self._error is not None:
            return
        if self._matcher is None:
            if token_id in self._source.begins_after:
                self._begin()
            return
        if not self._matcher.consume_token(token_id):
            self._fail(self._matcher)
            return
        del self._forced[:1]
        self._look_ahead(self._matcher)

    def forced(self) -> tuple[int, ...]:
        return tuple(self._forced)

    def trim(self, draft: tuple[int, ...]) -> tuple[int, ...]:
        matcher = self._matcher
        if matcher is None:
            begins_after = self._source.begins_after
            return draft[: next((i for i, t in enumerate(draft) if t in begins_after), len(draft))]
        if self._forced:
            return ()
        num_kept, draft = 0, draft[: matcher.validate_tokens(list(draft))]
        for i, token_id in enumerate(draft):
            matcher.consume_token(token_id)
            if matcher.is_stopped() or matcher.compute_ff_tokens():
                break  # what follows is settled by `accept`, without a row of logits
            num_kept = i + 1
        if draft:
            matcher.rollback(min(num_kept + 1, len(draft)))
        return draft[:num_kept]

    def num_allowed(self, token_ids: tuple[int, ...]) -> int:
        if self._matcher is None:
            begins_after = self._source.begins_after
            ends = (i + 1 for i, t in enumerate(token_ids) if t in begins_after)
            return next(ends, len(token_ids))
        if self._forced:
            return num_common(self._forced, token_ids)
        return self._matcher.validate_tokens(list(token_ids))

    def masks(self, draft: tuple[int, ...]) -> list[Tensor | None]:
        matcher = self._matcher
        if matcher is None or self._error is not None:
            return [None] * (1 + len(draft))
        if self._forced:
            return [self._masks.only(self._forced[0])[: self._num_words]]
        rows = self._masks.take(1 + len(draft))
        for i, row in enumerate(rows):
            if i:
                matcher.consume_token(draft[i - 1])
            matcher.unsafe_compute_mask_ptr(row.data_ptr(), row.numel() * row.element_size())
        if draft:
            matcher.rollback(len(draft))
        if matcher.is_error():
            self._fail(matcher)
        return [row[: self._num_words] for row in rows]

    def _begin(self) -> None:
        self._matcher = self._fresh.deep_copy()
        self._look_ahead(self._matcher)

    def _look_ahead(self, matcher: "LLMatcher") -> None:
        """Find out whether the grammar is complete, and which tokens have to follow."""
        if matcher.is_error():
            self._fail(matcher)
        elif matcher.is_stopped():
            self._is_complete = not (self._source.begins_after and self._source.repeats)
            self._matcher = None
        elif not self._forced:
            self._forced = matcher.compute_ff_tokens()

    def _fail(self, matcher: "LLMatcher") -> None:
        self._error = InvalidRequest(f"The answer cannot follow its grammar: {why(matcher)}")


class BudgetedConstraint:
    """Implements `TokenConstraint`: ends the reasoning of an answer when its budget is used up.

    `inner` constrains the answer besides that. If it forbids the tokens that end the reasoning,
    the reasoning goes on until it allows them.
    """

    def __init__(
        self, budget: ReasoningBudget, inner: TokenConstraint | None, vocab_size: int
    ) -> None:
        self._budget = budget
        self._inner = inner
        self._masks = Masks(vocab_size)
        self._is_open = budget.begins_open
        self._num_tokens = 0
        self._forced: list[int] = []
        self._look_ahead()

    @property
    def is_in_grammar(self) -> bool:
        return self._inner is not None and self._inner.is_in_grammar

    @property
    def is_complete(self) -> bool:
        return self._inner is not None and self._inner.is_complete

    @property
    def error(self) -> ServiceError | None:
        return None if self._inner is None else self._inner.error

    def accept(self, token_id: int) -> None:
        if self._inner is not None:
            self._inner.accept(token_id)
        if self._is_open:
            self._is_open = token_id != self._budget.close_id
            self._num_tokens += self._is_open
        else:
            self._is_open = token_id == self._budget.open_id
        if self._forced:
            del self._forced[0]
            self._keep_allowed()
        else:
            self._look_ahead()

    def forced(self) -> tuple[int, ...]:
        inner = self._inner.forced() if self._inner else ()
        return inner or tuple(self._forced)

    def num_allowed(self, token_ids: tuple[int, ...]) -> int:
        if self._forced:
            return num_common(self._forced, token_ids)
        return self._inner.num_allowed(token_ids) if self._inner else len(token_ids)

    def trim(self, draft: tuple[int, ...]) -> tuple[int, ...]:
        if self._forced:
            return ()
        borders = (self._budget.open_id, self._budget.close_id)
        draft = draft[: next((i for i, t in enumerate(draft) if t in borders), len(draft))]
        if self._is_open:
            draft = draft[: max(0, self._budget.max_tokens - self._num_tokens - 1)]
        return self._inner.trim(draft) if self._inner else draft

    def masks(self, draft: tuple[int, ...]) -> list[Tensor | None]:
        if forced := self.forced():
            return [self._masks.only(forced[0])]
        return self._inner.masks(draft) if self._inner else [None] * (1 + len(draft))

    def _look_ahead(self) -> None:
        """Force the closing tokens, as far as the inner constraint allows them."""
        if self._is_open and self._num_tokens >= self._budget.max_tokens:
            self._forced = list(self._budget.closing_ids)
            self._keep_allowed()
            if self._budget.close_id not in self._forced:
                self._forced = []

    def _keep_allowed(self) -> None:
        if self._inner is not None:
            del self._forced[self._inner.num_allowed(tuple(self._forced)) :]


def num_common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def why(matcher: "LLMatcher") -> str:
    """Return the matcher's error on one line, without the positions in a source of our making."""
    error = _POSITION.sub("", " ".join(matcher.get_error().split()))
    return "no token can follow" if error == "NoExtensionBias" else error[:_MAX_ERROR_CHARS]
