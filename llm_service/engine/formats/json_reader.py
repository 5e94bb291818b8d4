"""Readers of calls whose arguments are JSON."""

import json
from collections.abc import Callable

from llm_service.engine.formats.delimiters import find
from llm_service.engine.formats.json_text import JsonScanner
from llm_service.engine.formats.readers import Progress, Reader

_FIRST_KEYS = ("id", "type")  # calls may begin with these, too

_Step = Callable[[str, int], int]


class JsonReader(Reader):
    """Reads `{"name": "f", "arguments": {...}}`. Other keys are skipped; the order is free."""

    def __init__(self, name_key: str, arguments_key: str) -> None:
        super().__init__()
        self._name_key, self._arguments_key = name_key, arguments_key
        self._step: _Step = self._begin
        self._scanner = JsonScanner()
        self._word = ""  # the key or value that is being read
        self._key: str | None = None
        self._has_arguments = False

    def feed(self, text: str) -> int:
        at = 0
        while at < len(text) and self.progress is Progress.OPEN:
            at = self._step(text, at)
        return at

    def close(self, left: str = "") -> None:
        if self.name is not None and not self._has_arguments:
            self._has_arguments = True
            self._arguments = "{}"

    def take_arguments(self) -> str:
        return super().take_arguments() if self.name is not None else ""

    def _begin(self, text: str, at: int) -> int:
        if text[at] == "{":
            self._step = self._before_key
            return at + 1
        return self._skip_space(text, at)

    def _before_key(self, text: str, at: int) -> int:
        if text[at] == '"':
            self._begin_value(self._read_key)
            return at
        if text[at] == "}":
            self.progress = Progress.FAILED if self.name is None else Progress.COMPLETE
            self.close()
            return at + 1
        return at + 1 if text[at] == "," else self._skip_space(text, at)

    def _read_key(self, text: str, at: int) -> int:
        end = self._scan(text, at)
        self._word += text[at:end]
        if self._scanner.is_complete:
            is_first, self._key = self._key is None, _string(self._word) or ""
            self._step = self._before_value
            # Other JSON text is not to be held back until its end.
            if is_first and self._key not in (self._name_key, self._arguments_key, *_FIRST_KEYS):
                return self._fail(end)
        return end

    def _before_value(self, text: str, at: int) -> int:
        char = text[at]
        if char == ":" or char.isspace():
            return at + 1
        if self._key == self._arguments_key and not self._has_arguments:
            if char != "{":
                return self._fail(at)
            self._has_arguments = True
            self._begin_value(self._read_arguments)
        else:
            self._begin_value(self._read_name if self._key == self._name_key else self._skip_value)
        return at

    def _read_name(self, text: str, at: int) -> int:
        end = self._scan(text, at)
        self._word += text[at:end]
        if self._scanner.is_complete:
            name = _string(self._word)
            if name is None or self.name is not None:
                return self._fail(end)
            self.name = name
            self._step = self._before_key
        return end

    def _read_arguments(self, text: str, at: int) -> int:
        end = self._scan(text, at)
        self._arguments += text[at:end]
        if self._scanner.is_complete:
            self._step = self._before_key
        return end

    def _skip_value(self, text: str, at: int) -> int:
        end = self._scan(text, at)
        if self._scanner.is_complete:
            self._step = self._before_key
        return end

    def _begin_value(self, step: _Step) -> None:
        self._scanner, self._word, self._step = JsonScanner(), "", step

    def _scan(self, text: str, at: int) -> int:
        end = self._scanner.feed(text, at)
        return self._fail(end) if self._scanner.is_broken else end

    def _skip_space(self, text: str, at: int) -> int:
        return at + 1 if text[at].isspace() else self._fail(at)


class NamedReader(Reader):
    """Reads `f[ARGS]{...}`. There may be an id, after `id_separator`, between the two."""

    def __init__(self, separator: str, id_separator: str) -> None:
        super().__init__()
        self._separators = (separator, id_separator)
        self._before = ""  # the name, and what else stands before the arguments
        self._scanner: JsonScanner | None = None

    def feed(self, text: str) -> int:
        at = 0
        if self._scanner is None:
            at = text.find("{")
            if at < 0:
                self._before += text
                return len(text)
            self._before += text[:at]
            self._end_name()
            if not self.name:
                return self._fail(at)
            self._scanner = JsonScanner()
        end = self._scanner.feed(text, at)
        self._arguments += text[at:end]
        if self._scanner.is_complete:
            self.progress = Progress.COMPLETE
        elif self._scanner.is_broken:
            self.progress = Progress.FAILED
        return end

    def delimiter(self, delimiter: str) -> bool:
        if delimiter not in self._separators or self._scanner is not None:
            return False
        self._end_name()
        return bool(self.name)

    def close(self, left: str = "") -> None:
        if self.name and self._scanner is None:
            self._arguments = "{}"

    def _end_name(self) -> None:
        if self.name is None:
            found = find(self._before, self._separators)
            name = self._before[: found.at] if found.delimiter else self._before
            self.name = name.strip()


def _string(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
