"""Writes the text of grammars in llguidance's dialect of Lark."""

import json
import re
from collections.abc import Iterable, Mapping

from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.formats.schemas import Schema

# JSON as Python's `json.dumps` and the templates' `tojson` write it. A model knows this spelling
# best, and with fixed whitespace most of the punctuation is forced.
_SPELLING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

ANY_TEXT = "(?s:.*)"


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


def json_value(schema: Schema) -> str:
    """Return a value of JSON that fits `schema`, spelled as templates spell it."""
    spelling = {**_SPELLING, **_guidance(schema)}
    return f"%json {json.dumps({**schema, 'x-guidance': spelling})}"


def json_object(schema: Schema) -> str:
    """Return an object that fits `schema`; any object if the schema does not say what it is."""
    return json_value(schema if "type" in schema else {"type": "object", **schema})


def text_pattern(schema: Schema) -> str:
    """Return a regular expression of the strings that fit `schema`, spelled without quotes.

    A pattern counts if it describes the whole string and has no alternatives; others do not.
    """
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and re.fullmatch(r"\^[^|/]*[^|/\\]\$", pattern):
        return pattern[1:-1]
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if type(least) is int and type(most) in (int, type(None)) and (least or most is not None):
        return f"(?s:.{{{least},{'' if most is None else most}}})"
    return ANY_TEXT


def _guidance(schema: Schema) -> Schema:
    own = schema.get("x-guidance")
    return own if isinstance(own, Mapping) else {}


def text_before(end: str, pattern: str, rules: "Rules") -> str:
    """Return text that a regular expression describes, up to the first `end`, and `end`."""
    return rules.number("text", f"/{pattern}/", f"suffix={literal(end)}")


class Rules:
    """A grammar in the making: its rules, in order, the first one named `start`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._counts: dict[str, int] = {}

    def add(self, name: str, body: str) -> str:
        """Add a rule and return its name."""
        self._lines.append(f"{name}: {body}")
        return name

    def number(self, prefix: str, body: str, attributes: str = "") -> str:
        """Add a rule with the next free name that begins with `prefix`, and return the name."""
        count = self._counts.get(prefix, 0)
        self._counts[prefix] = count + 1
        name = f"{prefix}_{count}"
        self.add(f"{name}[{attributes}]" if attributes else name, body)
        return name

    def once(self, name: str, body: str) -> str:
        """Add a rule, unless there is one of this name, and return the name."""
        if name not in self._counts:
            self._counts[name] = 1
            self.add(name, body)
        return name

    def text(self, start: str) -> str:
        """Return the whole grammar; an answer is `start`."""
        return "\n".join([f"start: {start}", *self._lines, ""])
