"""Bounds on the structure of JSON, counted while it arrives and before it is parsed.

Parsing and validating cost time by the value, not by the byte: four megabytes of `{},{},` cost
a thousand times what four megabytes of text do. A parser in C cannot be interrupted, so the
count comes first. It knows nothing of what the values mean, nor whether the JSON is valid.
"""

import re

from llm_service.errors import InvalidRequest

# A prompt that fills the largest context of today, with tools and a schema, needs fewer.
MAX_VALUES = 262_144  # elements of arrays, such as token ids
MAX_NODES = 32_768  # objects, arrays and members of objects
MAX_DEPTH = 64
MAX_DIGITS = 100
# An escape takes the parser ten times as long as a plain character, and it holds Python's lock.
MAX_BACKSLASHES = 2**21
# Counting this many bytes takes about a millisecond, whatever they are.
PIECE_BYTES = 32_768

_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class StructureCount:
    """Counts a JSON text that is fed in pieces; `feed` raises InvalidRequest beyond a bound."""

    def __init__(self) -> None:
        self._num_values = 0
        self._num_nodes = 0
        self._num_backslashes = 0
        self._depth = 0
        self._is_in_string = False
        self._backslash = b""  # one that ends a piece belongs to the next piece's first byte
        self._digits = b""  # the end of the last piece, where a number may go on

    def feed(self, piece: bytes) -> None:
        """Count `piece`, which should not be much longer than PIECE_BYTES."""
        self._num_backslashes += piece.count(b"\\")
        if self._num_backslashes > MAX_BACKSLASHES:
            raise InvalidRequest(f"The body has more than {MAX_BACKSLASHES} backslashes.")
        outside = self._outside_of_strings(piece)
        self._num_values += outside.count(b",")
        if self._num_values > MAX_VALUES:
            raise InvalidRequest(f"The body has more than {MAX_VALUES} values.")
        brackets = outside.translate(None, _NOT_BRACKETS)
        self._num_nodes += outside.count(b":") + brackets.count(b"[") + brackets.count(b"{")
        if self._num_nodes > MAX_NODES:
            raise InvalidRequest(f"The body has more than {MAX_NODES} objects, arrays and members.")
        self._count_depth(brackets)
        self._check_numbers(outside)

    def _outside_of_strings(self, piece: bytes) -> bytes:
        """Return `piece` with each string replaced by one quotation mark."""
        piece = (self._backslash + piece).replace(b"\\\\", b"").replace(b'\\"', b"")
        self._backslash = piece[-1:] if piece.endswith(b"\\") else b""
        parts = piece.split(b'"')
        outside = b'"'.join(parts[self._is_in_string :: 2])
        self._is_in_string ^= len(parts) % 2 == 0
        return outside

    def _count_depth(self, brackets: bytes) -> None:
        depth = self._depth
        for bracket in brackets:
            depth += 1 if bracket in b"[{" else -1
            if depth > MAX_DEPTH:
                raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")
        self._depth = depth

    def _check_numbers(self, outside: bytes) -> None:
        text = self._digits + outside
        if _LONG_NUMBER.search(text):
            raise InvalidRequest(f"A number in the body has more than {MAX_DIGITS} digits.")
        self._digits = b"" if self._is_in_string else text[-MAX_DIGITS:]
