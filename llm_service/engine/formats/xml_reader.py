"""A reader of calls whose arguments are elements, one for each."""

import json
from collections.abc import Mapping
from typing import Any

from llm_service.engine.formats.delimiters import find
from llm_service.engine.formats.readers import Progress, Reader, end_of_name, text_as_json
from llm_service.engine.formats.schemas import Schema, json_types, properties_of, resolve, types_of

_FUNCTION, _END_FUNCTION = "<function=", "</function>"
_PARAMETER, _END_PARAMETER = "<parameter=", "</parameter>"
_STRING = frozenset({"string"})


class XmlReader(Reader):
    """Reads `<function=f>`, `<parameter=x>`, value, `</parameter>` ..., `</function>`.

    Strings are given out as they arrive, other values when they are complete.
    """

    def __init__(self, tools: Mapping[str, Schema]) -> None:
        super().__init__()
        self._tools = tools
        self._schema: Schema = {}
        self._num_parameters = 0
        self._types: frozenset[str] | None = None  # of the value that is being read
        self._is_at_start = False  # of a value

    def feed(self, text: str) -> int:
        at = 0
        while self.progress is Progress.OPEN:
            taken = self._step(text[at:])
            if not taken and self.progress is Progress.OPEN:
                break
            at += taken
        return at

    def close(self, left: str = "") -> None:
        if self.name is None or self.progress is Progress.COMPLETE:
            return
        self.progress = Progress.COMPLETE
        if self._types is not None:
            self._end_value(left.removesuffix("\n"))
        self._arguments += "}"

    def _step(self, text: str) -> int:
        """Return how much of `text` was taken; 0: more is needed."""
        if self._types is not None:
            return self._take_value(text)
        space = len(text) - len(text.lstrip())
        if space:
            return space
        return self._take_function(text) if self.name is None else self._take_parameter(text)

    def _take_function(self, text: str) -> int:
        if not text.startswith(_FUNCTION):
            return 0 if _FUNCTION.startswith(text) else self._fail(0)
        name = text[len(_FUNCTION) :]
        end = end_of_name(name, ">", self._tools)
        if end is None:
            return 0 if any(each.startswith(name) for each in self._tools) else self._fail(0)
        self.name = name[:end]
        self._schema = self._tools.get(self.name, {})
        self._schema = resolve(self._schema, self._schema)
        self._arguments = "{"
        return len(_FUNCTION) + end + 1

    def _take_parameter(self, text: str) -> int:
        if text.startswith(_END_FUNCTION):
            self._arguments += "}"
            self.progress = Progress.COMPLETE
            return len(_END_FUNCTION)
        if not text.startswith(_PARAMETER):
            is_beginning = any(each.startswith(text) for each in (_PARAMETER, _END_FUNCTION))
            return 0 if is_beginning else self._fail(0)
        key = text[len(_PARAMETER) :]
        properties = properties_of(self._schema)
        end = end_of_name(key, ">", properties)
        if end is None:
            return 0
        self._begin_value(key[:end], properties)
        return len(_PARAMETER) + end + 1

    def _begin_value(self, key: str, properties: Mapping[str, Any]) -> None:
        separator = ", " if self._num_parameters else ""
        self._num_parameters += 1
        self._arguments += f'{separator}"{text_as_json(key)}": '
        root = self._tools.get(self.name or "", {})
        self._types = types_of(properties[key], root) if key in properties else _STRING
        self._is_at_start = True
        if self._types == _STRING:
            self._arguments += '"'

    def _take_value(self, text: str) -> int:
        if not text:
            return 0
        if self._is_at_start:
            self._is_at_start = False
            if text[0] == "\n":
                return 1
        found = find(text, [_END_PARAMETER])
        value = text[: found.at].removesuffix("\n")
        if found.delimiter is not None:
            self._end_value(value)
            return found.at + len(_END_PARAMETER)
        if self._types != _STRING:
            return 0
        self._arguments += text_as_json(value)
        return len(value)

    def _end_value(self, value: str) -> None:
        assert self._types is not None
        if self._types == _STRING:
            self._arguments += text_as_json(value) + '"'
        else:
            self._arguments += _typed(value, self._types)
        self._types = None


def _typed(text: str, types: frozenset[str]) -> str:
    """Return `text` as JSON of one of `types`; as a string if it is nothing else."""
    word = text.strip()
    # Templates write these words as Python does.
    word = {"None": "null", "True": "true", "False": "false"}.get(word, word)
    try:
        value = json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return f'"{text_as_json(text)}"'
    return word if json_types(value) & types else f'"{text_as_json(text)}"'


def _refuse(constant: str) -> None:
    raise ValueError(constant)
