"""Where each token of a sequence stands, as the model's rotary embedding counts positions."""

from collections.abc import Sequence as Ordered
from typing import Protocol

from llm_service.engine.batched.sequence import Sequence


class PositionScheme(Protocol):
    """Positions may have several axes: an image has height and width beside time."""

    @property
    def num_axes(self) -> int: ...

    @property
    def is_linear(self) -> bool:
        """Whether token i always stands at position i, on a single axis."""

    def positions(self, sequence: Sequence, start: int, end: int) -> Ordered[Ordered[int]]:
        """Return [num_axes, end - start]: the positions of tokens start to end - 1.

        Tokens after those of the sequence are drafted ones, which continue its text.
        """


class LinearPositions:
    """Token i stands at position i."""

    num_axes = 1
    is_linear = True

    def positions(self, sequence: Sequence, start: int, end: int) -> Ordered[Ordered[int]]:
        return (range(start, end),)


LINEAR_POSITIONS = LinearPositions()
