"""The ranges of sampling parameters, for requests and for a model's defaults.

Owns the bounds. `api/schemas.py` builds its fields from them; `engine/loading/contents.py` checks
generation_config.json against them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Range:
    """Finite numbers from `least` to `most`, or without an upper bound if `most` is None."""

    least: int | float
    most: int | float | None = None
    excludes_least: bool = False
    is_whole: bool = False  # only whole numbers

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if self.is_whole and value != int(value):
            return False
        is_above = value > self.least if self.excludes_least else value >= self.least
        return is_above and (self.most is None or value <= self.most)

    @property
    def words(self) -> str:
        """The end of a sentence: "it must be ..."."""
        kind = "a whole number" if self.is_whole else "a number"
        if self.most is None:
            return f"{kind} of at least {self.least:g}"
        if self.excludes_least:
            return f"{kind} above {self.least:g} and at most {self.most:g}"
        return f"{kind} between {self.least:g} and {self.most:g}"


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "temperature": Range(0, 2),
        "top_p": Range(0, 1),
        "top_k": Range(-1, 2**63 - 1, is_whole=True),
        "min_p": Range(0, 1),
        "presence_penalty": Range(-2, 2),
        "frequency_penalty": Range(-2, 2),
        "repetition_penalty": Range(0, 10, excludes_least=True),
    }
)
