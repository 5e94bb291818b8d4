"""Writes the text of grammars in llguidance's dialect of Lark."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llm_service.engine.formats.delimiters import Delimiters

# JSON as Python's `json.dumps` and the templates' `tojson` write it. A model knows this spelling
# best, and with fixed whitespace most of the punctuation is forced.
_SPELLING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def literal(text: str) -> str:
    """Return `text` as a string of the grammar; nothing if it is empty."""
    return json.dumps(text, ensure_ascii=False) if text else ""


def delimiter(text: str, delimiters: Delimiters) -> str:
    """Return a delimiter as its token, or as text if it is none."""
    token_id = delimiters.token_id(text)
    return literal(text) if token_id is None else f"<[{token_id}]>"


def sequence(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def alternatives(parts: Iterable[str]) -> str:
    return " | ".join(parts)


def json_value(schema: Mapping[str, Any]) -> str:
    """Return a value of JSON that fits `schema`, spelled as templates spell it."""
    spelling = {**_SPELLING, **_guidance(schema)}
    return f"%json {json.dumps({**schema, 'x-guidance': spelling})}"


def json_object(schema: Mapping[str, Any]) -> str:
    """Return an object that fits `schema`; any object if the schema does not say what it is."""
    return json_value(schema if "type" in schema else {"type": "object", **schema})


def _guidance(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    own = schema.get("x-guidance")
    return own if isinstance(own, Mapping) else {}


class Rules:
    """A grammar in the making: its rules, in order, the first one named `start`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._counts: dict[str, int] = {}

    def add(self, name: str, body: str) -> str:
        """Add a rule and return its name."""
        self._lines.append(f"{name}: {body}")
        return name

    def number(self, prefix: str, body: str) -> str:
        """Add a rule with the next free name that begins with `prefix`, and return the name."""
        count = self._counts.get(prefix, 0)
        self._counts[prefix] = count + 1
        return self.add(f"{prefix}_{count}", body)

    def text(self, start: str) -> str:
        """Return the whole grammar; an answer is `start`."""
        return "\n".join([f"start: {start}", *self._lines, ""])
