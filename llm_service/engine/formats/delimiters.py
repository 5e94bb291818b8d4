"""The delimiters of a format: which are single tokens of the vocabulary, and which are text.

A delimiter that is a single token counts only where it was generated as that token. Text that
spells it is content.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delimiters:
    """`ids` has the delimiters that are single tokens."""

    ids: Mapping[str, int]

    def token_id(self, delimiter: str) -> int | None:
        return self.ids.get(delimiter)

    def texts(self, delimiters: Iterable[str]) -> tuple[str, ...]:
        """Return those of `delimiters` that have to be found in the text."""
        return tuple(each for each in delimiters if each and each not in self.ids)


NO_DELIMITERS = Delimiters({})


@dataclass(frozen=True, slots=True)
class Found:
    """Where text stops being plain: at `delimiter`, or at what may become one if that is None."""

    at: int
    delimiter: str | None


def find(text: str, delimiters: Sequence[str]) -> Found:
    """Return the first of `delimiters` in `text`, else where one could begin at its end."""
    found = [(at, -len(each), each) for each in delimiters if (at := text.find(each)) >= 0]
    if found:
        at, _, delimiter = min(found)
        return Found(at, delimiter)
    return Found(len(text) - max((_overlap(text, each) for each in delimiters), default=0), None)


def _overlap(text: str, delimiter: str) -> int:
    """Return the length of the longest end of `text` that `delimiter` begins with."""
    longest = min(len(delimiter) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(delimiter[:n])), 0)
