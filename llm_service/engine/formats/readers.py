"""Readers of one call's body, fed with text as it is generated.

A reader knows the call's name as soon as it has been written, and from then on gives the
arguments, as JSON text, piece by piece. It knows nothing of the delimiters around a call.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from llm_service.engine.formats.declarations import Body, JsonBody, NamedBody
from llm_service.engine.formats.json_text import JsonScanner

Schema = Mapping[str, Any]


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

        It takes all of them while it is OPEN, except those that it has to see again with more.
        """

    def delimiter(self, delimiter: str) -> bool:
        """Return whether `delimiter`, which was generated as its own token, belongs to the body."""
        return False

    def close(self) -> None:  # noqa: B027  # most have nothing to do
        """The call's end came before the body's end: complete the arguments if that is possible."""

    def take_arguments(self) -> str:
        """Return the arguments that were read since the last time."""
        arguments, self._arguments = self._arguments, ""
        return arguments


class JsonReader(Reader):
    """Reads `{"name": "f", "arguments": {...}}`. Other keys are skipped; the order is free."""

    def __init__(self, name_key: str, arguments_key: str) -> None:
        super().__init__()
        self._keys = (name_key, arguments_key)
        self._step = self._begin
        self._scanner = JsonScanner()
        self._word = ""  # the key or value that is being read
        self._key = ""
        self._has_arguments = False

    def feed(self, text: str) -> int:
        at = 0
        while at < len(text) and self.progress is Progress.OPEN:
            at = self._step(text, at)
        return at

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
            self._complete()
            return at + 1
        return at + 1 if text[at] == "," else self._skip_space(text, at)

    def _read_key(self, text: str, at: int) -> int:
        end = self._scan(text, at)
        if self._scanner.is_complete:
            self._key = _string(self._word) or ""
            self._step = self._before_value
        return end

    def _before_value(self, text: str, at: int) -> int:
        name_key, arguments_key = self._keys
        char = text[at]
        if char == ":" or char.isspace():
            return at + 1
        if self._key == arguments_key and not self._has_arguments:
            if char != "{":
                return self._fail(at)
            self._has_arguments = True
            self._begin_value(self._read_arguments)
        else:
            self._begin_value(self._read_name if self._key == name_key else self._skip_value)
        return at

    def _read_name(self, text: str, at: int) -> int:
        end = self._scan(text, at)
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

    def _begin_value(self, step: Any) -> None:
        self._scanner, self._word, self._step = JsonScanner(), "", step

    def _scan(self, text: str, at: int) -> int:
        end = self._scanner.feed(text, at)
        if self._step != self._read_arguments:
            self._word += text[at:end]
        return self._fail(end) if self._scanner.is_broken else end

    def _complete(self) -> None:
        if self.name is None:
            self.progress = Progress.FAILED
            return
        self.progress = Progress.COMPLETE
        self.close()

    def close(self) -> None:
        if self.name is not None and not self._has_arguments:
            self._has_arguments = True
            self._arguments = "{}"

    def _skip_space(self, text: str, at: int) -> int:
        return at + 1 if text[at].isspace() else self._fail(at)

    def _fail(self, at: int) -> int:
        self.progress = Progress.FAILED
        return at


class NamedReader(Reader):
    """Reads `f[ARGS]{...}`. The separator may be missing."""

    def __init__(self, separator: str) -> None:
        super().__init__()
        self._separator = separator
        self._before = ""
        self._scanner: JsonScanner | None = None

    def feed(self, text: str) -> int:
        at = 0
        if self._scanner is None:
            at = text.find("{")
            if at < 0:
                self._before += text
                return len(text)
            self._before += text[:at]
            if not self._end_name():
                return at
            self._scanner = JsonScanner()
        end = self._scanner.feed(text, at)
        self._arguments += text[at:end]
        if self._scanner.is_complete:
            self.progress = Progress.COMPLETE
        elif self._scanner.is_broken:
            self.progress = Progress.FAILED
        return end

    def delimiter(self, delimiter: str) -> bool:
        if delimiter != self._separator or self._scanner is not None:
            return False
        return self._end_name()

    def _end_name(self) -> bool:
        before, _, more = self._before.partition(self._separator)
        if self.name is None and before.strip() and not more.strip():
            self.name = before.strip()
        elif self.name is None or self._before.strip():
            self.progress = Progress.FAILED
            return False
        self._before = ""
        return True


def _string(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def make_reader(body: Body, tools: Mapping[str, Schema]) -> Reader:
    """Return a reader of one call; `tools` has the schemas that give values their types."""
    match body:
        case JsonBody():
            return JsonReader(body.name_key, body.arguments_key)
        case NamedBody():
            return NamedReader(body.separator)
    raise NotImplementedError
