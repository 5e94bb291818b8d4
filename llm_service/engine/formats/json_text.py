"""Finds the end of a JSON value in text that comes in pieces, without parsing it."""

_STRUCTURAL = frozenset("{}[],: \t\r\n")
_SCALAR = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.")


class JsonScanner:
    """Follows one value, whose first character is the first that it is fed.

    It counts brackets and skips strings. `is_broken`: there was a character outside strings that
    no JSON text has.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.is_broken = False
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._in_scalar = False

    def feed(self, text: str, start: int) -> int:
        """Return the end of what belongs to the value in `text[start:]`."""
        for at in range(start, len(text)):
            char = text[at]
            if self._in_string:
                self._feed_string(char)
            elif not self._feed_outside(char):
                return at
            if self.is_complete:
                return at + 1
        return len(text)

    def _feed_string(self, char: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif char == "\\":
            self._is_escaped = True
        elif char == '"':
            self._in_string = False
            self.is_complete = self._depth == 0

    def _feed_outside(self, char: str) -> bool:
        """Return whether `char` belongs to the value."""
        if self._depth == 0 and self._in_scalar and char not in _SCALAR:
            self.is_complete = True  # a number or a word ends where something else begins
            return False
        if char == '"':
            self._in_string = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            self.is_broken = self._depth < 0
            self.is_complete = self._depth == 0
        elif char in _SCALAR:
            self._in_scalar = self._depth == 0
        elif char not in _STRUCTURAL or self._depth == 0:
            self.is_broken = True
        return not self.is_broken
