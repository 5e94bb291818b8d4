"""A reader of calls in Gemma's notation: JSON with bare keys, and its own quotes."""

from collections.abc import Collection

from llm_service.engine.formats.delimiters import find
from llm_service.engine.formats.readers import Progress, Reader, end_of_name, text_as_json

_STRUCTURE = "{}[],:"


class GemmaReader(Reader):
    """Reads `call:f{key:value}`, where strings stand between quotes, and writes JSON."""

    def __init__(
        self, prefix: str, quote: str, names: Collection[str], *, is_quote_text: bool
    ) -> None:
        """`is_quote_text`: the quote is no token, so it is looked for in the text."""
        super().__init__()
        self._prefix, self._quote, self._names = prefix, quote, names
        self._quotes = [quote] if is_quote_text else []
        self._nesting = ""  # the open brackets
        self._expects_key = False
        self._in_string = False

    def feed(self, text: str) -> int:
        at = 0
        while at < len(text) and self.progress is Progress.OPEN:
            taken = self._step(text[at:])
            if not taken:
                break
            at += taken
        return at

    def delimiter(self, delimiter: str) -> bool:
        if delimiter != self._quote or self.name is None or self.progress is not Progress.OPEN:
            return False
        self._in_string = not self._in_string
        self._arguments += '"'
        return True

    def close(self, left: str = "") -> None:
        if self.name is None or self.progress is Progress.COMPLETE:
            return
        self.progress = Progress.COMPLETE
        self._arguments += '"' * self._in_string
        closing = {"{": "}", "[": "]"}
        self._arguments += "".join(closing[each] for each in reversed(self._nesting)) or "{}"

    def _step(self, text: str) -> int:
        """Return how much of `text` was taken; 0: more is needed."""
        if self.name is None:
            return self._take_name(text)
        found = find(text, self._quotes)
        if found.at == 0:
            if found.delimiter is not None:
                self.delimiter(found.delimiter)
            return len(found.delimiter or "")
        if self._in_string:
            self._arguments += text_as_json(text[: found.at])
            return found.at
        if self._expects_key and text[0] not in _STRUCTURE and not text[0].isspace():
            return self._take_key(text[: found.at])
        return self._take_character(text[0])

    def _take_name(self, text: str) -> int:
        start = len(text) - len(text.lstrip())
        if self._prefix.startswith(text[start:]):
            return 0
        if not text.startswith(self._prefix, start):
            self._fail(0)
            return 0
        name = text[start + len(self._prefix) :]
        end = end_of_name(name, "{", self._names)
        if end is None:
            return 0
        self.name = name[:end].strip()
        return len(text) - len(name) + end

    def _take_key(self, text: str) -> int:
        end = text.find(":")
        if end < 0:
            return 0
        key = text[:end].strip()
        self._arguments += key if key.startswith('"') else f'"{text_as_json(key)}"'
        return end

    def _take_character(self, char: str) -> int:
        if char in "{[":
            self._nesting += char
        elif char in "}]":
            self._nesting = self._nesting[:-1]
        if char in "{[,":
            self._expects_key = self._nesting.endswith("{")
        elif not char.isspace():
            self._expects_key = False
        self._arguments += {",": ", ", ":": ": "}.get(char, char)
        if not self._nesting:
            self.progress = Progress.COMPLETE
        return 1
