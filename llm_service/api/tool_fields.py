"""Tools as they come in, in today's form and in the older one (`functions`, `function_call`)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from llm_service.api.wire import JsonObject, ShortText, Text, WireModel, by_shape, text_or_object
from llm_service.engine.formats import Tool
from llm_service.errors import InvalidRequest

MAX_TOOLS = 128
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class FunctionDefinition(WireModel):
    """A function that the model may call. `parameters` is a JSON schema of an object."""

    name: Annotated[ShortText, Field(min_length=1)]
    description: Text = ""
    parameters: JsonObject | None = None
    strict: bool = False

    def to_template(self) -> dict[str, Any]:
        """Return the tool as chat templates take it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters or _NO_PARAMETERS,
        }
        return {"type": "function", "function": function}

    def to_engine(self) -> Tool:
        return Tool(self.name, self.description, self.parameters or _NO_PARAMETERS, self.strict)


class ToolDefinition(WireModel):
    type: Literal["function"] = "function"
    function: FunctionDefinition


class NamedFunction(WireModel):
    name: ShortText


class NamedTool(WireModel):
    type: Literal["function"] = "function"
    function: NamedFunction


Functions = Annotated[list[FunctionDefinition], Field(max_length=MAX_TOOLS, fail_fast=True)]
Tools = Annotated[list[ToolDefinition], Field(max_length=MAX_TOOLS, fail_fast=True)]
ToolChoiceField = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("str")]
    | Annotated[NamedTool, Tag("object[]")],
    by_shape(text_or_object, 'must be "none", "auto", "required" or an object that names a tool'),
]
FunctionCallField = Annotated[
    Annotated[Literal["none", "auto"], Tag("str")] | Annotated[NamedFunction, Tag("object[]")],
    by_shape(text_or_object, 'must be "none", "auto" or an object with the name of a function'),
]


def check_names(functions: Sequence[FunctionDefinition], chosen: str | None, param: str) -> None:
    """Raise InvalidRequest if names are not unique, or if `chosen` is none of them.

    `param` is the field that holds `chosen`.
    """
    names = [function.name for function in functions]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InvalidRequest(f"Two tools have the name {twice[:64]!r}.", param="tools")
    if chosen is not None and chosen not in names:
        raise InvalidRequest(f"No tool has the name {chosen[:64]!r}.", param=param)
