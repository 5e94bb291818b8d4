"""The messages of a chat as they come in, and the form in which chat templates take them."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from llm_service.api.wire import Name, ShortText, Text, WireModel, by_shape, text_or_list
from llm_service.errors import InvalidRequest, UnsupportedParameter

_ROLES = {"developer": "system", "function": "tool"}  # other names for the roles of templates


class TextPart(WireModel):
    type: Text
    text: Text | None = None


Content = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[TextPart], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of content parts"),
]


class CalledFunction(WireModel):
    """`arguments` is JSON text, as the model wrote it."""

    name: ShortText
    arguments: Text = ""

    def to_template(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": _object_or_text(self.arguments)}


class Call(WireModel):
    id: ShortText | None = None
    type: Literal["function"] = "function"
    function: CalledFunction

    def to_template(self) -> dict[str, Any]:
        call: dict[str, Any] = {"type": "function", "function": self.function.to_template()}
        return call if self.id is None else {"id": self.id, **call}


class Message(WireModel):
    """One message. `content` is text or text parts; it may be missing beside calls.

    `function` and `function_call` are the older names of `tool` and `tool_calls`, `reasoning` is
    another name of `reasoning_content`.
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    name: Name | None = None
    tool_call_id: ShortText | None = None
    tool_calls: Annotated[list[Call], Field(fail_fast=True)] | None = None
    function_call: CalledFunction | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None

    def to_template(self, position: int) -> dict[str, Any]:
        """Return the message as chat templates take it: plain text, and `developer` as `system`."""
        message: dict[str, Any] = {
            "role": _ROLES.get(self.role, self.role),
            "content": self._text(position),
            "name": self.name,
            "tool_call_id": self.tool_call_id,
            "tool_calls": self._calls(position),
            "reasoning_content": self.reasoning_content or self.reasoning,
        }
        return {name: value for name, value in message.items() if value is not None}

    def _calls(self, position: int) -> list[dict[str, Any]] | None:
        calls = [call.to_template() for call in self.tool_calls or ()]
        if self.function_call is not None:
            calls.append({"type": "function", "function": self.function_call.to_template()})
        if calls and self.role != "assistant":
            raise InvalidRequest(
                f"Only assistant messages have calls, and this one's role is {self.role}.",
                param=f"messages.{position}.tool_calls",
            )
        return calls or None

    def _text(self, position: int) -> str:
        param = f"messages.{position}.content"
        if self.content is None:
            if self.tool_calls or self.function_call:
                return ""
            raise InvalidRequest(f"The {self.role} message has no content.", param=param)
        if isinstance(self.content, str):
            return self.content
        return "".join(_part_text(part, param) for part in self.content)


Messages = Annotated[list[Message], Field(min_length=1, fail_fast=True)]


def _part_text(part: TextPart, param: str) -> str:
    if part.type != "text":
        raise UnsupportedParameter(
            f"Content parts of type {part.type[:40]!r} are not supported by this model: send text.",
            param=param,
        )
    if part.text is None:
        raise InvalidRequest("A text part has no text.", param=param)
    return part.text


def _object_or_text(arguments: str) -> dict[str, Any] | str:
    """Return the object, or the text if it is none: a model may have written something else."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
