"""Writes the grammar of one call's body."""

import json

from llm_service.engine.formats.declarations import Body, JsonBody, NamedBody
from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.formats.lark import Rules, delimiter, json_object, literal, sequence
from llm_service.engine.formats.tools import Tool


def write_body(body: Body, tool: Tool, delimiters: Delimiters, rules: Rules) -> str:
    """Return a call of `tool`, with arguments that fit its schema."""
    match body:
        case JsonBody(name_key, arguments_key):
            name = json.dumps(tool.name, ensure_ascii=False)
            before = f'{{"{name_key}": {name}, "{arguments_key}": '
            arguments = rules.number("arguments", json_object(tool.parameters))
            return sequence(literal(before), arguments, literal("}"))
        case NamedBody(separator):
            arguments = rules.number("arguments", json_object(tool.parameters))
            return sequence(literal(tool.name), delimiter(separator, delimiters), arguments)
    raise NotImplementedError
