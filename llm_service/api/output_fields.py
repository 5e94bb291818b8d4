"""The fields that constrain an answer to a format, under the names that several clients use.

`OutputFields.content_grammar` turns them into the body of a rule in llguidance's dialect of Lark.
What a grammar may be is decided where it is compiled (`engine/grammar`).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from llm_service.api.wire import JsonObject, Text, WireModel
from llm_service.errors import InvalidRequest

MAX_ALTERNATIVES = 1024
# Translating GBNF takes time by the square of the rules: this many take half a second.
MAX_GBNF_RULES = 500
MAX_GBNF_CHARS = 32_768
# GBNF, the grammars of llama.cpp, defines rules with this sign, which Lark does not have.
_GBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)

Alternatives = Annotated[
    list[Text], Field(min_length=1, max_length=MAX_ALTERNATIVES, fail_fast=True)
]
_JSON = "%json "
# A JSON schema: an object, true or false; some clients send it as text.
Schema = JsonObject | bool | Text


@dataclass(frozen=True, slots=True)
class ContentGrammar:
    """The body of a rule that the text of an answer has to fit, and the field that it is from.

    `schema` is its JSON schema, None if the grammar is of another kind.
    """

    param: str
    body: str
    schema: dict[str, Any] | None


class NamedSchema(WireModel):
    """OpenAI's `json_schema`. Answers always keep to the schema, also if `strict` is false."""

    name: Text = ""
    description: Text | None = None
    schema_: Annotated[Schema | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(WireModel):
    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    json_schema: NamedSchema | None = None
    pattern: Text | None = None
    grammar: Text | None = None
    schema_: Annotated[Schema | None, Field(alias="schema")] = None

    def body(self) -> str | None:
        """Return the rule's body; None for free text."""
        match self.type:
            case "text":
                return None
            case "json_object":
                return _json(self.schema_ if self.schema_ is not None else {"type": "object"})
            case "json_schema":
                return _json(self._schema())
            case "regex":
                if self.pattern is None:
                    raise _missing("response_format.pattern")
                return _regex(self.pattern)
            case "grammar":
                if self.grammar is None:
                    raise _missing("response_format.grammar")
                return _grammar(self.grammar)

    def _schema(self) -> Schema:
        schema = self.schema_ if self.json_schema is None else self.json_schema.schema_
        if schema is None:
            raise _missing("response_format.json_schema.schema")
        return schema


class StructuredOutputs(WireModel):
    """vLLM's object: exactly one of these."""

    json_: Annotated[Schema | None, Field(alias="json")] = None
    json_object: bool | None = None
    regex: Text | None = None
    choice: Alternatives | None = None
    grammar: Text | None = None


class OutputFields(WireModel):
    """At most one of these fields may constrain the answer."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | None = None
    guided_regex: Text | None = None
    guided_choice: Alternatives | None = None
    guided_grammar: Text | None = None
    json_schema: Schema | None = None
    grammar: Text | None = None

    def content_grammar(self) -> ContentGrammar | None:
        """Return what the answer's text has to fit; None: free text.

        Raises InvalidRequest if two fields constrain it, or one of them is not complete.
        """
        found = [
            ContentGrammar(param, body, _schema_of(body))
            for param, body in self._bodies()
            if body is not None
        ]
        if len(found) > 1:
            raise InvalidRequest(
                f"{found[0].param} and {found[1].param} both constrain the answer: send one.",
                param=found[1].param,
            )
        return found[0] if found else None

    def _bodies(self) -> list[tuple[str, str | None]]:
        outputs = self.structured_outputs or StructuredOutputs()
        fields: list[tuple[str, Any, Callable[[Any], str]]] = [
            ("guided_json", self.guided_json, _json),
            ("guided_regex", self.guided_regex, _regex),
            ("guided_choice", self.guided_choice, _choice),
            ("guided_grammar", self.guided_grammar, _grammar),
            ("json_schema", self.json_schema, _json),
            ("grammar", self.grammar or None, _grammar),
            ("structured_outputs.json", outputs.json_, _json),
            ("structured_outputs.json_object", outputs.json_object or None, _any_object),
            ("structured_outputs.regex", outputs.regex, _regex),
            ("structured_outputs.choice", outputs.choice, _choice),
            ("structured_outputs.grammar", outputs.grammar, _grammar),
        ]
        bodies = [(param, _body(param, value, write)) for param, value, write in fields]
        if self.response_format is not None:
            bodies.insert(0, ("response_format", self.response_format.body()))
        return bodies


def _body(param: str, value: Any, write: Callable[[Any], str]) -> str | None:
    if value is None:
        return None
    try:
        return write(value)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=param) from error


def _json(schema: Schema) -> str:
    try:
        if isinstance(schema, str):
            schema = json.loads(schema)
        if not isinstance(schema, (dict, bool)):
            raise InvalidRequest("A JSON schema is an object, true or false.")
        return f"{_JSON}{json.dumps(schema if isinstance(schema, dict) else {})}"
    except ValueError as error:
        raise InvalidRequest(f"The JSON schema is not valid JSON: {error}.") from error
    except RecursionError:
        raise InvalidRequest("The JSON schema is nested too deeply.") from None


def _schema_of(body: str) -> dict[str, Any] | None:
    found = body.removeprefix(_JSON)
    return None if found == body else json.loads(found)


def _any_object(_: Any) -> str:
    return _json({"type": "object"})


def _regex(pattern: str) -> str:
    """Lark ends a pattern at a slash or a line's end."""
    return "/" + re.sub(r"\\.|/|\n", _escaped, pattern, flags=re.DOTALL) + "/"


def _escaped(match: re.Match[str]) -> str:
    return {"/": r"\/", "\n": r"\n"}.get(match[0], match[0])


def _choice(alternatives: list[str]) -> str:
    return " | ".join(json.dumps(each, ensure_ascii=False) for each in alternatives)


def _grammar(text: str) -> str:
    num_rules = sum(1 for _ in _GBNF_RULE.finditer(text))
    if num_rules:
        if num_rules > MAX_GBNF_RULES or len(text) > MAX_GBNF_CHARS:
            raise InvalidRequest(
                f"A grammar in GBNF may have at most {MAX_GBNF_RULES} rules and"
                f" {MAX_GBNF_CHARS:,} characters. Write a larger one in Lark."
            )
        from llguidance.gbnf_to_lark import gbnf_to_lark  # only few services ever need it

        try:
            text = gbnf_to_lark(text)
        except Exception as error:  # it raises whatever its parser meets
            raise InvalidRequest(f"The grammar is not valid GBNF: {error}") from error
    return f"%lark {{\n{text}\n}}"


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"{param} is required.", param=param)
