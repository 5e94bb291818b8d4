"""Reads a checkpoint's own `response_template`, as transformers stores it, into a declaration.

Only its delimiters and kinds of content are read. Its regular expressions are not run: they may
take any time.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_service.engine.formats.declarations import (
    DECLARATIONS,
    HERMES,
    REASONINGS,
    Calls,
    Declaration,
    GemmaBody,
    JsonBody,
    Reasoning,
    XmlBody,
)

_REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
# What may follow the delimiter in a pattern: the beginning of the body.
_BODY_BEGINS = re.compile(r"(\\s\*)?(<function=|call:)?\(\?P<name>.*")
_ESCAPED = re.compile(r"\\(\W)")
_UNESCAPED = re.compile(r"(?<!\\)[.*+?()\[\]{}|^$]|\\\w")


def read_response_template(template: Any) -> Declaration | None:
    """Return the declaration that says the same; None: nothing that is declared does."""
    fields = template.get("fields") if isinstance(template, Mapping) else None
    if not isinstance(fields, Mapping):
        return None
    calls = _calls(fields.get("tool_calls"))
    if calls is None:
        return None
    known = (each for each in DECLARATIONS if each.calls == calls)
    declaration = next(known, replace(HERMES, calls=calls))
    return replace(declaration, reasoning=_reasoning(fields))


def _calls(field: Any) -> Calls | None:
    if not isinstance(field, Mapping):
        return None
    begin, end = _delimiter(field, "open"), _delimiter(field, "close")
    body = _body_kind(field)
    if not begin or body is None:
        return None
    for declaration in DECLARATIONS:
        calls = declaration.calls
        if calls and isinstance(calls.body, body) and (calls.begin, calls.end) == (begin, end):
            return calls
    assert HERMES.calls is not None
    return replace(HERMES.calls, begin=begin, end=end) if body is JsonBody and end else None


def _body_kind(field: Mapping[str, Any]) -> type | None:
    content, options = field.get("content"), field.get("content_args")
    options = options if isinstance(options, Mapping) else {}
    match content:
        case "json" if options.get("unquoted_keys"):
            return GemmaBody
        case "json" if not options and "(?P<name>" not in str(field.get("open_pattern")):
            return JsonBody
        case "xml-inline" if "<parameter=" in str(options.get("tag_pattern")):
            return XmlBody
    return None


def _reasoning(fields: Mapping[str, Any]) -> Reasoning | None:
    for name in _REASONING_FIELDS:
        field = fields.get(name)
        opening, closing = _delimiter(field, "open"), _delimiter(field, "close")
        if opening and closing:
            known = (
                each
                for each in REASONINGS
                if each.close == closing and opening in (each.open, each.open + each.lead)
            )
            return next(known, Reasoning(opening, closing))
    return None


def _delimiter(field: Any, side: str) -> str:
    """Return the literal text of a delimiter; empty if it is none, or no single text."""
    if not isinstance(field, Mapping):
        return ""
    literal = field.get(side)
    if isinstance(literal, str):
        return literal
    pattern = field.get(f"{side}_pattern")
    if not isinstance(pattern, str):
        return ""
    pattern = _BODY_BEGINS.sub("", pattern.removeprefix(r"\s*"))
    pattern = pattern.removeprefix("</function>").replace(r"\s*", "")
    return "" if _UNESCAPED.search(pattern) else _ESCAPED.sub(r"\1", pattern)
