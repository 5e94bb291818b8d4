"""Where each token of a sequence stands, as the model's rotary embedding counts positions."""

from collections.abc import Sequence as Ordered
from typing import Protocol

from llm_service.engine.batched.sequence import Sequence


class PositionScheme(Protocol):
    """Positions may have several axes: an image has height and width beside time."""

    @property
    def num_axes(self) -> int: ...

    def shift(self, sequence: Sequence, start: int, end: int) -> int | None:
        """Return s if tokens start to end - 1 stand at their index plus s, on every axis.

        None: there is no such number. Tokens after those of the sequence are drafted ones, which
        continue its text.
        """

    def positions(self, sequence: Sequence, start: int, end: int) -> Ordered[Ordered[int]]:
        """Return [num_axes, end - start]: the positions of tokens start to end - 1."""


class LinearPositions:
    """Token i stands at position i."""

    num_axes = 1

    def shift(self, sequence: Sequence, start: int, end: int) -> int | None:
        return 0

    def positions(self, sequence: Sequence, start: int, end: int) -> Ordered[Ordered[int]]:
        return (range(start, end),)


class PromptPositions:
    """Tokens stand where their prompt says, on three axes, and those after it follow its shift.

    A preempted sequence computes its prompt and its answer again, and both stand where they stood.
    """

    num_axes = 3

    def shift(self, sequence: Sequence, start: int, end: int) -> int | None:
        stated = sequence.request.prompt.positions
        if stated is None:
            return 0
        if start >= sequence.num_prompt_tokens:
            return stated.shift
        first = stated.axes[0][start] - start
        shifted = [*range(start + first, end + first)]
        axes = self.positions(sequence, start, end)
        return first if all(list(axis) == shifted for axis in axes) else None

    def positions(self, sequence: Sequence, start: int, end: int) -> Ordered[Ordered[int]]:
        stated = sequence.request.prompt.positions
        if stated is None:
            return (range(start, end),) * self.num_axes
        num_stated = sequence.num_prompt_tokens
        after = range(max(start, num_stated) + stated.shift, end + stated.shift)
        return [[*axis[start:end], *after] for axis in stated.axes]


LINEAR_POSITIONS = LinearPositions()
PROMPT_POSITIONS = PromptPositions()
