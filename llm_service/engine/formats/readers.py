"""Readers of one call's body, fed with text as it is generated.

A reader knows the call's name as soon as it has been written, and from then on gives the
arguments, as JSON text, piece by piece. It knows nothing of the delimiters around a call.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum, auto


class Progress(Enum):
    OPEN = auto()
    COMPLETE = auto()
    FAILED = auto()  # the text is not in this format


class Reader(ABC):
    """Reads a body. `name` is None until the name is known."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.progress = Progress.OPEN
        self._arguments = ""

    @abstractmethod
    def feed(self, text: str) -> int:
        """Take characters from the beginning of `text` and return how many.

        What an OPEN reader leaves has to be given to it again, with more.
        """

    def delimiter(self, delimiter: str) -> bool:
        """Return whether `delimiter`, which was generated as its own token, belongs to the body."""
        return False

    @abstractmethod
    def close(self, left: str = "") -> None:
        """Complete the arguments as far as possible: the body ends here, before its time.

        `left`: what the reader has left of the text.
        """

    def take_arguments(self) -> str:
        """Return the arguments that were read since the last time."""
        arguments, self._arguments = self._arguments, ""
        return arguments

    def _fail(self, at: int) -> int:
        self.progress = Progress.FAILED
        return at


def end_of_name(text: str, end: str, known: Iterable[str]) -> int | None:
    """Return where the name at the beginning of `text` ends, at one of `end`; None: not yet.

    A known name may contain `end`.
    """
    at = text.find(end)
    while at >= 0:
        if text[:at] in known or not any(name.startswith(text[: at + 1]) for name in known):
            return at
        at = text.find(end, at + 1)
    return None


def text_as_json(text: str) -> str:
    """Return `text` as the inside of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
