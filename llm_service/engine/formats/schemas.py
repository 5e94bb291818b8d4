"""What readers and grammars need to know of JSON schemas: types, and what `$ref` points to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

ALL_TYPES = frozenset({"string", "number", "integer", "boolean", "null", "object", "array"})
_MAX_REFERENCES = 32
_MAX_DEPTH = 4  # of choices in choices


def resolve(schema: Any, root: Schema) -> Schema:
    """Return what `schema` refers to within `root`, or itself; anything if it leads nowhere."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = _pointed_at(reference, root)
    return {}


def properties_of(schema: Schema) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def required_of(schema: Schema) -> frozenset[str]:
    found = schema.get("required")
    return frozenset(each for each in _list(found) if isinstance(each, str))


def options_of(schema: Schema) -> Sequence[Any]:
    """Return the schemas of which one has to hold; empty if there is no choice."""
    return _list(schema.get("anyOf")) or _list(schema.get("oneOf"))


def values_of(schema: Schema) -> Sequence[Any]:
    """Return the only values that `schema` allows; empty if it does not list them."""
    return [schema["const"]] if "const" in schema else _list(schema.get("enum"))


def types_of(schema: Any, root: Schema, depth: int = 0) -> frozenset[str]:
    """Return the names of the types that a value may have."""
    schema = resolve(schema, root)
    if values := values_of(schema):
        return _union(json_types(value) for value in values)
    stated = schema.get("type")
    if named := ALL_TYPES.intersection([stated] if isinstance(stated, str) else _list(stated)):
        return named
    options = options_of(schema)
    if options and depth < _MAX_DEPTH:
        return _union(types_of(option, root, depth + 1) for option in options)
    return ALL_TYPES


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


def json_types(value: Any) -> frozenset[str]:
    """Return the names of the types that `value` has; an integer is a number, too."""
    match value:
        case None:
            return frozenset({"null"})
        case bool():
            return frozenset({"boolean"})
        case str():
            return frozenset({"string"})
        case int():
            return frozenset({"integer", "number"})
        case float():
            return frozenset({"integer", "number"} if value.is_integer() else {"number"})
        case Mapping():
            return frozenset({"object"})
    return frozenset({"array"})


def _pointed_at(reference: str, root: Schema) -> Any:
    if not reference.startswith("#"):
        return {}
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping):
            return {}
        found = found.get(part)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
