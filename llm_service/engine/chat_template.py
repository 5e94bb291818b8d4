"""A model's chat template: Jinja source that turns messages into the text of a prompt.

It renders like transformers (with the same environment, filters and names) but does not import
it, which keeps the rendering process small. It knows nothing about tokens or sealing.

The sandbox prevents a template from reaching Python's internals. It does not limit time and
memory; `template_worker` does.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from llm_service.engine.conversation import Conversation

MAX_PROMPT_CHARS = 16 * 2**20


class TemplateFailed(Exception):
    """The template refused the messages or could not render them; the text is the reason."""


class ChatTemplate:
    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """`special_tokens`: the names that the template uses (`bos_token`), and their texts.

        Raises TemplateFailed if `source` is not a valid template.
        """
        try:
            self._template = _environment().from_string(source)
        except MemoryError:
            raise
        except Exception as error:  # constant expressions are evaluated here
            raise TemplateFailed(str(error) or type(error).__name__) from error
        self._special_tokens = dict(special_tokens)

    def render(self, conversation: Conversation) -> str:
        """Return the text of the prompt. Raises TemplateFailed."""
        if not conversation.messages:
            raise TemplateFailed("There are no messages.")
        variables = {
            **conversation.variables,
            **self._special_tokens,
            **_schema_variables(conversation.answer_schema),
            "messages": [
                # many templates take a None for a value and write it
                {name: value for name, value in message.items() if value is not None}
                for message in conversation.messages
            ],
            "tools": conversation.tools or None,
            "xml_tools": conversation.tools or None,  # as SmolLM3 calls them
            "documents": None,
            "add_generation_prompt": conversation.add_generation_prompt,
        }
        try:
            return self._render(variables)
        except MemoryError:
            raise
        except Exception as error:  # a template can raise anything that an expression can
            raise TemplateFailed(str(error) or type(error).__name__) from error

    def _render(self, variables: Mapping[str, Any]) -> str:
        pieces, size = [], 0
        for piece in self._template.generate(variables):
            size += len(piece)
            if size > MAX_PROMPT_CHARS:
                raise TemplateFailed(f"It wrote more than {MAX_PROMPT_CHARS} characters.")
            pieces.append(piece)
        return "".join(pieces)


def names_schema(source: str) -> bool:
    """Whether a template may have a place for the schema of the answer."""
    return any(name in source for name in _schema_variables({}))


def _schema_variables(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The names that families use for the schema of the answer; they are undefined without one."""
    if schema is None:
        return {}
    named = {"name": "answer", "schema": schema, "strict": True}
    return {
        "response_format": {"type": "json_schema", "json_schema": named},
        "response_schema": schema,
        "json_schema": schema,
    }


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, LoopControlExtension]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["namespace"] = _Namespace
    return environment


class _GenerationTag(Extension):
    """`{% generation %}` marks an assistant's words for training; rendering ignores it."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Namespace(Namespace):
    """Jinja's, without underscored names: assigning those could replace its own internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be a keyword
        self, *values = args
        _refuse_underscored(dict(*values, **kwargs))
        Namespace.__init__(self, *values, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscored((name,))
        super().__setitem__(name, value)


def _refuse_underscored(names: Any) -> None:
    for name in names:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"A namespace cannot hold {name!r}.")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's filter, this writes `<` and `'` as they are."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:  # noqa: A002  # templates may pass it by name
    return datetime.now().strftime(format)  # noqa: DTZ005  # local time, as transformers tells it
