"""Turns one sequence's token ids into text as they come, and finds its stop strings.

Owns which text is safe to show: never half a character, never a stop string or what
may become one. It knows nothing of models; any tokenizer with a `decode` will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# How a decoder writes bytes that are no character, or not yet one.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Some of the prompt, for a decoder that joins words by what came before.
_NUM_CONTEXT_TOKENS = 5
_WINDOW_TOKENS = 8
# A character has at most four bytes, so tokens that wait longer are not just one.
_MAX_WAITING_TOKENS = 16
_BYTES_PER_CHARACTER = 4


class TextDecoder(Protocol):
    """What is needed of a tokenizer; those of transformers and tokenizers have it."""

    def decode(self, token_ids: Any, /, skip_special_tokens: bool = ...) -> Any: ...


@dataclass(frozen=True, slots=True)
class Detokenized:
    """Text that is safe to show, and the stop string that has ended the sequence, if one has."""

    text: str
    stop: str | None = None

    @property
    def is_stopped(self) -> bool:
        return self.stop is not None


class Detokenizer:
    """One sequence's. All outputs joined are `decode` of all ids, cut before a stop string.

    Of several stop strings the one that is complete first counts, and of those that end
    together the longest; so the result does not depend on how the text came in tokens.
    """

    def __init__(
        self, tokenizer: TextDecoder, prompt_token_ids: Sequence[int], stop: tuple[str, ...] = ()
    ) -> None:
        self._text = _IncrementalText(tokenizer, prompt_token_ids)
        self._stop = _StopFinder(stop)
        # Characters of all tokens so far, shown or held back; half a character is none.
        self.num_characters = 0

    def feed(self, token_ids: Sequence[int]) -> Detokenized:
        """Constant time per token, however long the sequence is."""
        text = self._text.feed(token_ids)
        self.num_characters += len(text)
        return self._stop.feed(text)

    def pass_over(self, token_id: int) -> Detokenized:
        """Return what was held back, and go on after a token whose text is not shown."""
        found = self._flush()
        self._text.pass_over(token_id)
        return found

    def flush(self) -> str:
        """What was held back, at the end of a sequence that no stop string ended."""
        return self._flush().text

    def _flush(self) -> Detokenized:
        found = self._stop.feed(self._text.flush())
        return found if found.is_stopped else Detokenized(found.text + self._stop.flush())


class _IncrementalText:
    """Decodes a short window of ids: a tail that was shown already and the new ones.

    A decoder may write a token differently after another one (a leading space, the rest
    of a character), so the window always begins at a seam, a border between tokens at
    which the text was whole, and has a token before the new ones.
    """

    def __init__(self, tokenizer: TextDecoder, prompt_token_ids: Sequence[int]) -> None:
        # transformers' own decode takes several times as long as the tokenizer inside it
        self._tokenizer: TextDecoder = getattr(tokenizer, "backend_tokenizer", tokenizer)
        self._ids = self._context(prompt_token_ids)
        self._seam = len(self._ids)
        self._num_shown = len(self._decode(self._ids))  # characters of the window's text

    def feed(self, token_ids: Sequence[int]) -> str:
        self._ids += token_ids
        text = self._decode(self._ids)
        whole = text.rstrip(_REPLACEMENT)
        new = whole[self._num_shown :]
        self._num_shown += len(new)
        if len(whole) == len(text):
            self._move_window(new)
        elif len(self._ids) - self._seam > _MAX_WAITING_TOKENS:
            new += self._give_up_waiting(text)
        return new

    def flush(self) -> str:
        return self._decode(self._ids)[self._num_shown :]

    def pass_over(self, token_id: int) -> None:
        """Begin a new window after the token, whose text counts as shown."""
        self._ids = [token_id]
        self._seam = 1
        self._num_shown = len(self._decode(self._ids))

    def _context(self, prompt_token_ids: Sequence[int]) -> list[int]:
        """The last tokens of the prompt, from where a character begins, if it ends with one."""
        for num_tokens in range(_NUM_CONTEXT_TOKENS, _NUM_CONTEXT_TOKENS + _BYTES_PER_CHARACTER):
            context = list(prompt_token_ids[-num_tokens:])
            if not self._decode(context).endswith(_REPLACEMENT):
                return context
        return []

    def _move_window(self, new: str) -> None:
        """The text is whole: forget what came before the last seam, and make a new one here."""
        if len(self._ids) > _WINDOW_TOKENS:
            if not new:
                del self._ids[self._seam :]  # only tokens that are skipped
            elif shown := self._decode(self._ids[self._seam :]):
                self._ids = self._ids[self._seam :]
                self._num_shown = len(shown)
        self._seam = len(self._ids)

    def _give_up_waiting(self, text: str) -> str:
        """Show the characters that stand before an unfinished one, which some decoders spoil, too;
        else bytes that will never be a character, those before a border that splits none."""
        borders = range(len(self._ids) - 1, len(self._ids) - 1 - _BYTES_PER_CHARACTER, -1)
        parts = [(border, self._decode(self._ids[:border])) for border in borders]
        whole = [part for part in parts if not part[1].endswith(_REPLACEMENT)]
        for border, before in whole or parts:
            if whole or before + self._decode(self._ids[border:]) == text:
                new = before[self._num_shown :]
                self._ids, self._seam, self._num_shown = self._ids[border:], 0, 0
                return new
        return ""

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


class _StopFinder:
    """Looks for stop strings in text that comes in pieces."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""

    def feed(self, text: str) -> Detokenized:
        if not self._stop:
            return Detokenized(text)
        text = self._held + text
        found = [(at + len(s), at, s) for s in self._stop if (at := text.find(s)) >= 0]
        if found:
            self._held = ""
            _, start, stop = min(found)
            return Detokenized(text[:start], stop)
        num_held = max(_overlap(text, s) for s in self._stop)
        self._held = text[len(text) - num_held :]
        return Detokenized(text[: len(text) - num_held])

    def flush(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with, less than all of `stop`."""
    longest = min(len(stop) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
