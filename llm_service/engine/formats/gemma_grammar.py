"""Writes the grammar of values in Gemma's notation, which fit a JSON schema."""

import json
from collections.abc import Sequence
from typing import Any

from llm_service.engine.formats.lark import (
    ANY_TEXT,
    Rules,
    alternatives,
    json_value,
    literal,
    sequence,
    text_before,
    text_pattern,
)
from llm_service.engine.formats.schemas import (
    ALL_TYPES,
    Schema,
    options_of,
    properties_of,
    required_of,
    resolve,
    types_of,
    values_of,
)

# Numbers may have these limits, which `%json` knows.
_NUMERIC = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
)
_MAX_DEPTH = 16  # of values in values; what is deeper may be anything


class GemmaValues:
    """The values that fit the schemas within `root`. `quote` is the delimiter, as in a rule."""

    def __init__(self, root: Schema, quote: str, rules: Rules) -> None:
        self._root = root
        self._quote = quote
        self._is_quote_text = quote.startswith('"')
        self._rules = rules

    def arguments(self) -> str:
        return self._object(resolve(self._root, self._root), 0)

    def _value(self, schema: Any, depth: int) -> str:
        if depth > _MAX_DEPTH:
            return self._any()
        schema = resolve(schema, self._root)
        if values := values_of(schema):
            return self._rules.number("one_of", alternatives(map(self._constant, values)))
        if options := options_of(schema):
            bodies = [self._value(option, depth + 1) for option in options]
            return self._rules.number("one_of", alternatives(bodies))
        types = types_of(schema, self._root)
        if types == ALL_TYPES:
            return self._any()
        bodies = [self._typed(each, schema, depth) for each in sorted(types)]
        return self._rules.number("value", alternatives(bodies))

    def _typed(self, type_: str, schema: Schema, depth: int) -> str:
        match type_:
            case "string":
                return self._string(text_pattern(schema))
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
        limits = {key: schema[key] for key in _NUMERIC if key in schema}
        return self._rules.number("scalar", json_value({"type": type_, **limits}))

    def _string(self, pattern: str = ANY_TEXT) -> str:
        if self._is_quote_text:
            return sequence(self._quote, text_before(json.loads(self._quote), pattern, self._rules))
        if pattern != ANY_TEXT:
            text = self._rules.number("TEXT", f"/{pattern}/")
        else:
            text = self._rules.once("ANY_TEXT", f"/{ANY_TEXT}/")
        return sequence(self._quote, text, self._quote)

    def _array(self, schema: Schema, depth: int) -> str:
        item = self._value(schema.get("items", {}), depth + 1)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return literal("[]")
        more = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        items = f"{item} ({sequence(literal(','), item)}){more}"
        return sequence(literal("["), items if least else f"({items})?", literal("]"))

    def _object(self, schema: Schema, depth: int) -> str:
        properties = properties_of(schema)
        if not properties:
            return (
                literal("{}") if schema.get("additionalProperties") is False else self._any_object()
            )
        # Templates sort the keys.
        keys = sorted(properties, key=lambda key: (key.lower(), key))
        items = [
            self._rules.number(
                "item", sequence(literal(f"{key}:"), self._value(properties[key], depth + 1))
            )
            for key in keys
        ]
        required = required_of(schema)
        body = self._joined(items, [key in required for key in keys])
        return sequence(literal("{"), body, literal("}"))

    def _joined(self, items: Sequence[str], is_required: Sequence[bool]) -> str:
        """Return the items in order, with commas between them; some may lack."""
        rest = ""  # what may follow an item
        starts = []  # what all of them may be, if the first that there is is this one
        for item, is_needed in zip(reversed(items), reversed(is_required), strict=True):
            starts.append(sequence(item, rest))
            if is_needed:
                del starts[:-1]
            after = sequence(literal(","), item)
            after = after if is_needed else f"({after})?"
            rest = self._rules.number("rest", sequence(after, rest))
        first = f"({alternatives(reversed(starts))})"
        return first if any(is_required) else first + "?"

    def _constant(self, value: Any) -> str:
        if isinstance(value, str):
            return sequence(self._quote, literal(value), self._quote)
        if isinstance(value, list):
            items = [part for each in value for part in (literal(","), self._constant(each))]
            return sequence(literal("["), *items[1:], literal("]"))
        if isinstance(value, dict):
            pairs = [
                part
                for key in sorted(value, key=lambda key: (key.lower(), key))
                for part in (literal(","), literal(f"{key}:"), self._constant(value[key]))
            ]
            return sequence(literal("{"), *pairs[1:], literal("}"))
        return literal(json.dumps(value))

    def _any(self) -> str:
        """Add the rules of any value, and return its name."""
        string = self._string()
        key = self._rules.once("ANY_KEY", r"/[^{}\[\],:\"\s<>]+/")
        scalar = self._rules.once("any_scalar", json_value({"type": ["number", "boolean", "null"]}))
        pair = sequence(key, '":"', "any_value")
        pairs = self._rules.once("any_object", f'"{{" ({pair} ("," {pair})*)? "}}"')
        items = self._rules.once("any_array", '"[" (any_value ("," any_value)*)? "]"')
        return self._rules.once("any_value", alternatives((string, scalar, pairs, items)))

    def _any_object(self) -> str:
        self._any()
        return "any_object"
