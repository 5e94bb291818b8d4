"""Writes the grammar of one call's body."""

import json
from typing import Any

from llm_service.engine.formats.declarations import (
    Body,
    GemmaBody,
    JsonBody,
    NamedBody,
    XmlBody,
)
from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.formats.gemma_grammar import GemmaValues
from llm_service.engine.formats.lark import (
    ANY_TEXT,
    Rules,
    alternatives,
    delimiter,
    json_object,
    json_value,
    literal,
    sequence,
    text_before,
    text_pattern,
)
from llm_service.engine.formats.schemas import (
    Schema,
    properties_of,
    required_of,
    resolve,
    types_of,
    values_of,
)
from llm_service.engine.formats.tools import Tool

_END_VALUE = "\n</parameter>\n"


def write_body(body: Body, tool: Tool, delimiters: Delimiters, rules: Rules) -> str:
    """Return a call of `tool`, with arguments that fit its schema."""
    match body:
        case JsonBody():
            before = call_opening(body, tool)
            arguments = rules.number("arguments", json_object(tool.parameters))
            return sequence(literal(before), arguments, literal("}"))
        case NamedBody(separator):
            arguments = rules.number("arguments", json_object(tool.parameters))
            return sequence(literal(tool.name), delimiter(separator, delimiters), arguments)
        case XmlBody():
            return _XmlArguments(tool.parameters, rules).call(tool.name)
        case GemmaBody(prefix, quote):
            values = GemmaValues(tool.parameters, delimiter(quote, delimiters), rules)
            return sequence(literal(prefix + tool.name), values.arguments())


def call_opening(body: Body, tool: Tool) -> str:
    """Return how the body of a call of `tool` begins where a JSON object is the whole call."""
    assert isinstance(body, JsonBody)
    name = json.dumps(tool.name, ensure_ascii=False)
    return f'{{"{body.name_key}": {name}, "{body.arguments_key}": '


class _XmlArguments:
    """Elements in the order of the schema's properties; those that are not required may lack."""

    def __init__(self, parameters: Schema, rules: Rules) -> None:
        self._root = parameters
        self._schema = resolve(parameters, parameters)
        self._rules = rules

    def call(self, name: str) -> str:
        opening, closing = literal(f"<function={name}>\n"), literal("</function>")
        return sequence(opening, *self._elements(), closing)

    def _elements(self) -> list[str]:
        properties = properties_of(self._schema)
        if not properties and self._schema.get("additionalProperties") is not False:
            return [f"{self._any_element()}*"]
        required = required_of(self._schema)
        return [
            self._element(key, schema) + ("" if key in required else "?")
            for key, schema in properties.items()
        ]

    def _any_element(self) -> str:
        key = self._rules.once("ANY_KEY", r"/[^<>\n]+/")
        value = text_before(_END_VALUE, ANY_TEXT, self._rules)
        return self._rules.once(
            "any_element", sequence(literal("<parameter="), key, literal(">\n"), value)
        )

    def _element(self, key: str, schema: Any) -> str:
        opening = literal(f"<parameter={key}>\n")
        return self._rules.number("element", sequence(opening, self._value(schema)))

    def _value(self, schema: Any) -> str:
        """Return the value and the end of its element."""
        types = types_of(schema, self._root)
        end = literal(_END_VALUE)
        schema = resolve(schema, self._root)
        if values := values_of(schema):
            spelled = alternatives(literal(_spelled(value)) or '""' for value in values)
            return sequence(f"({spelled})", end)
        if "string" in types:
            return text_before(_END_VALUE, text_pattern(schema), self._rules)
        definitions = {
            key: self._root[key] for key in ("$defs", "definitions") if key in self._root
        }
        options = [self._rules.number("value", json_value({**definitions, **schema}))]
        # Templates write these words as Python does.
        options += [literal(word) for word in ("True", "False") if "boolean" in types]
        options += [literal("None")] * ("null" in types)
        return sequence(f"({alternatives(options)})", end)


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
