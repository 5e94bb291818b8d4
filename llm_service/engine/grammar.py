"""What an answer may consist of: a grammar's source, and what an engine needs to obey it.

`grammar_compiler` implements `Grammars`, and `constraints` `TokenConstraint`. This module imports
neither torch nor llguidance, so that requests can be made without them.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from llm_service.errors import ServiceError


@dataclass(frozen=True, slots=True)
class GrammarSource:
    """What an answer may consist of, in llguidance's dialect of Lark, beginning with `start`.

    Special tokens are written by id, `<[151657]>`, and JSON schemas as `%json {...}`.

    Without `begins_after` it covers the whole answer. With it, the answer is free until it has one
    of these tokens, and the grammar covers what follows that token. Where the grammar is complete,
    the answer is free again if `repeats`; otherwise it has to end.
    """

    text: str
    begins_after: frozenset[int] = frozenset()
    repeats: bool = True


@dataclass(frozen=True, slots=True)
class ReasoningBudget:
    """How many tokens an answer may reason for, and the tokens that then end the reasoning.

    Reasoning is what follows `open_id`, up to `close_id`, which is one of `closing_ids`. With
    `begins_open`, the answer begins inside of it.
    """

    max_tokens: int
    closing_ids: tuple[int, ...]
    begins_open: bool
    open_id: int
    close_id: int


class TokenConstraint(Protocol):
    """Decides which tokens one sequence's answer may consist of. The engine's thread owns it.

    It hears of each token of the answer, in order, by `accept`. Its other members describe what may
    follow the tokens accepted so far.
    """

    @property
    def is_in_grammar(self) -> bool:
        """Whether a grammar covers the next token, and decides where the answer may end."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer has to end here."""

    @property
    def error(self) -> ServiceError | None:
        """Why the answer cannot go on. Then the other members mean nothing."""

    def accept(self, token_id: int) -> None:
        """Take the answer's next token."""

    def forced(self) -> tuple[int, ...]:
        """Return tokens that have to follow whatever the model computes."""

    def num_allowed(self, token_ids: tuple[int, ...]) -> int:
        """Return how many tokens of the beginning of `token_ids` may certainly follow."""

    def trim(self, draft: tuple[int, ...]) -> tuple[int, ...]:
        """Return the beginning of `draft` that is worth checking; all of it is allowed."""

    def masks(self, draft: tuple[int, ...]) -> list[Any]:
        """Return what may stand at each position of `draft` and after it, as `Row.allowed`.

        `draft` is a result of `trim`. A mask is valid until the next call.
        """


class Grammar(Protocol):
    """A compiled grammar; any number of sequences may use it."""

    def constraint(self) -> TokenConstraint:
        """Return a fresh state for one sequence."""


class Grammars(Protocol):
    """Compiles grammars for one model's vocabulary."""

    async def compile(self, source: GrammarSource) -> Grammar:
        """Compile off the event loop, or take it from the cache.

        Raises InvalidRequest, without a param, that says what in the grammar is not possible.
        """
