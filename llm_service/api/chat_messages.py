"""The messages of a chat as they come in, and the form in which chat templates take them."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from llm_service.api.wire import (
    Name,
    ShortText,
    Text,
    WireModel,
    by_shape,
    text_or_list,
    text_or_object,
)
from llm_service.errors import InvalidRequest, UnsupportedParameter
from llm_service.images.sources import DETAILS, ImageSource, without_markdown

_ROLES = {"developer": "system", "function": "tool"}  # other names for the roles of templates


class ImageUrl(WireModel):
    url: Text
    detail: Literal["auto", "low", "high", "original"] = "auto"


class ContentPart(WireModel):
    """A text or an image; `image_url` may be the URL itself."""

    type: Text
    text: Text | None = None
    image_url: (
        Annotated[
            Annotated[Text, Tag("str")] | Annotated[ImageUrl, Tag("object[]")],
            by_shape(text_or_object, "must be an object with the field url"),
        ]
        | None
    ) = None


Content = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[list[ContentPart], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of content parts"),
]


ImageList = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[Text], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a URL or a list of URLs"),
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
    """One message. `content` is text or parts; it may be missing beside calls and images.

    Some clients send images in `image` or `images`: URLs, base64, or links in Markdown. `function`
    and `function_call` are the older names of `tool` and `tool_calls`, `reasoning` is another name
    of `reasoning_content`.
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    name: Name | None = None
    tool_call_id: ShortText | None = None
    tool_calls: Annotated[list[Call], Field(fail_fast=True)] | None = None
    function_call: CalledFunction | None = None
    reasoning_content: Text | None = None
    reasoning: Text | None = None
    image: Text | None = None
    images: ImageList | None = None

    def to_template(self, position: int) -> dict[str, Any]:
        """Return the message as chat templates take it: `developer` is `system`.

        Its content is plain text, or a list of parts if there are images: first those of `image`
        and `images`, then the parts of the content in their order.
        """
        message: dict[str, Any] = {
            "role": _ROLES.get(self.role, self.role),
            "content": self._content(position),
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

    def image_sources(self, position: int) -> list[ImageSource]:
        """Return the images, in the order of the image parts of `to_template`."""
        param = f"messages.{position}"
        sources = [
            ImageSource(without_markdown(text), f"{param}.{field}") for field, text in self._loose()
        ]
        if isinstance(self.content, list):
            for i, part in enumerate(self.content):
                if part.type == "image_url":
                    sources.append(_part_source(part, f"{param}.content.{i}"))
        return sources

    def _loose(self) -> Iterator[tuple[str, str]]:
        """Yield the images that stand beside the content, each with its field."""
        if self.image:
            yield "image", self.image
        if isinstance(self.images, str):
            yield "images", self.images
        else:
            for i, image in enumerate(self.images or ()):
                yield f"images.{i}", image

    def _content(self, position: int) -> str | list[dict[str, Any]]:
        param = f"messages.{position}.content"
        images = [{"type": "image"} for _ in self._loose()]
        content = self.content
        if content is None:
            if not (images or self.tool_calls or self.function_call):
                raise InvalidRequest(f"The {self.role} message has no content.", param=param)
            content = ""
        if isinstance(content, list):
            parts = [_template_part(part, param) for part in content]
        else:
            parts = [{"type": "text", "text": content}] if content or not images else []
        if images or any(part["type"] == "image" for part in parts):
            return [*images, *parts]
        return "".join(part["text"] for part in parts)


Messages = Annotated[list[Message], Field(min_length=1, fail_fast=True)]


def _template_part(part: ContentPart, param: str) -> dict[str, Any]:
    if part.type == "image_url":
        return {"type": "image"}
    if part.type != "text":
        raise UnsupportedParameter(
            f"Content parts of type {part.type[:40]!r} are not supported: send text or image_url.",
            param=param,
        )
    if part.text is None:
        raise InvalidRequest("A text part has no text.", param=param)
    return {"type": "text", "text": part.text}


def _part_source(part: ContentPart, param: str) -> ImageSource:
    param = f"{param}.image_url"
    if part.image_url is None:
        raise InvalidRequest(f"{param} is required.", param=param)
    if isinstance(part.image_url, str):
        return ImageSource(part.image_url, param)
    return ImageSource(part.image_url.url, param, DETAILS[part.image_url.detail])


def _object_or_text(arguments: str) -> dict[str, Any] | str:
    """Return the object, or the text if it is none: a model may have written something else."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
