"""Spells a call as a family's chat template does, to recognize the family by."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from llm_service.engine.formats.declarations import (
    Body,
    Calls,
    GemmaBody,
    JsonBody,
    NamedBody,
    XmlBody,
)


def adapted(calls: Calls, name: str, arguments: Mapping[str, str], rendered: str) -> Calls | None:
    """Return `calls` with the whitespace of `rendered`, where a template wrote two such calls.

    None: it wrote no such call. The declared `between` stays if it wrote only one.
    """
    begin, end = re.escape(calls.begin), re.escape(calls.end)
    spelled = spell_body(calls.body, name, arguments)
    body = re.escape(spelled)
    if calls.is_list:
        body = re.escape(spelled.removesuffix("}"))  # templates may add an id
        found = re.search(rf"{begin}(?P<lead>\s*)\[\s*{body}", rendered)
        return None if found is None else replace(calls, lead=found["lead"])
    found = re.search(rf"{begin}(?P<lead>\s*){body}(?P<tail>\s*){end}", rendered)
    if found is None:
        return None
    if not calls.begin:
        return calls
    calls = replace(calls, lead=found["lead"], tail=found["tail"] if end else "")
    whole = re.escape(found[0])
    twice = re.search(rf"{whole}(?P<between>\s*){whole}", rendered)
    return calls if twice is None else replace(calls, between=twice["between"])


def spell_body(body: Body, name: str, arguments: Mapping[str, str]) -> str:
    """Return the body of a call whose arguments are strings."""
    match body:
        case JsonBody(name_key, arguments_key):
            return f'{{"{name_key}": {_json(name)}, "{arguments_key}": {_json(arguments)}}}'
        case NamedBody(separator):
            return f"{name}{separator}{_json(arguments)}"
        case XmlBody():
            values = (f"<parameter={key}>\n{value}\n" for key, value in arguments.items())
            return f"<function={name}>\n" + "</parameter>\n".join([*values, "</function>"])
        case GemmaBody(prefix, quote):
            items = (f"{key}:{quote}{value}{quote}" for key, value in arguments.items())
            return f"{prefix}{name}{{{','.join(items)}}}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
