"""The bodies of POST /v1/messages and /v1/messages/count_tokens.

Clients send blocks and tools that only Anthropic's servers know, and new types appear often. What
has a type that is not known here has no further shape, so that it can be skipped.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from llm_service.api.schemas import InferenceBody
from llm_service.api.wire import (
    Count,
    JsonObject,
    PositiveCount,
    ShortText,
    StopStrings,
    Temperature,
    Text,
    TopP,
    WireModel,
    by_shape,
    text_or_list,
)

# Tags have a bracket so that errors do not name them: see `handlers`.
_OTHER = "[other]"


class TextBlock(WireModel):
    type: Literal["text"]
    text: Text


class ThinkingBlock(WireModel):
    type: Literal["thinking"]
    thinking: Text


class ToolUseBlock(WireModel):
    type: Literal["tool_use"]
    id: ShortText
    name: ShortText
    input: JsonObject = Field(default_factory=dict)


class ImageSourceIn(WireModel):
    """An image in base64, or its URL."""

    type: Literal["base64", "url"]
    media_type: Text | None = None
    data: Text | None = None
    url: Text | None = None

    def to_url(self) -> str | None:
        """Return a URL, perhaps a data URL; None if the field that the type needs is missing."""
        if self.type == "url":
            return self.url
        # What the image is, its bytes say: the media type is not believed.
        return None if self.data is None else f"data:;base64,{self.data}"


class ImageBlock(WireModel):
    type: Literal["image"]
    source: ImageSourceIn


class OtherBlock(WireModel):
    type: Text


def _text_kind(value: Any) -> str:
    is_text = isinstance(value, dict) and value.get("type") == "text"
    return "[text]" if is_text else _OTHER


def _result_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"[{kind}]" if kind in ("text", "image") else _OTHER


TextOrOther = Annotated[
    Annotated[TextBlock, Tag("[text]")] | Annotated[OtherBlock, Tag(_OTHER)],
    Discriminator(_text_kind),
]
TextOrBlocks = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[list[TextOrOther], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of content blocks"),
]


ResultBlock = Annotated[
    Annotated[TextBlock, Tag("[text]")]
    | Annotated[ImageBlock, Tag("[image]")]
    | Annotated[OtherBlock, Tag(_OTHER)],
    Discriminator(_result_kind),
]
ResultContent = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[list[ResultBlock], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of content blocks"),
]


class ToolResultBlock(WireModel):
    type: Literal["tool_result"]
    tool_use_id: ShortText
    content: ResultContent = ""
    is_error: bool = False


_BLOCKS = frozenset({"text", "image", "thinking", "tool_use", "tool_result"})


def _block_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"[{kind}]" if isinstance(kind, str) and kind in _BLOCKS else _OTHER


Block = Annotated[
    Annotated[TextBlock, Tag("[text]")]
    | Annotated[ImageBlock, Tag("[image]")]
    | Annotated[ThinkingBlock, Tag("[thinking]")]
    | Annotated[ToolUseBlock, Tag("[tool_use]")]
    | Annotated[ToolResultBlock, Tag("[tool_result]")]
    | Annotated[OtherBlock, Tag(_OTHER)],
    Discriminator(_block_kind),
]
Content = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[Block], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of content blocks"),
]


class MessageIn(WireModel):
    role: Literal["user", "assistant", "system"]
    content: Content


class CustomTool(WireModel):
    """A tool of the caller; the type may be left out."""

    type: Literal["custom"] = "custom"
    name: ShortText
    description: Text | None = None
    input_schema: JsonObject
    strict: bool | None = None


class ServerTool(WireModel):
    """A tool that only Anthropic has."""

    type: Text


def _tool_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return "[custom]" if kind in (None, "custom") else _OTHER


Tool = Annotated[
    Annotated[CustomTool, Tag("[custom]")] | Annotated[ServerTool, Tag(_OTHER)],
    Discriminator(_tool_kind),
]


class ToolChoice(WireModel):
    type: Literal["auto", "any", "tool", "none"]
    name: ShortText | None = None
    disable_parallel_tool_use: bool = False


class Thinking(WireModel):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: PositiveCount | None = None


class OutputFormat(WireModel):
    type: Literal["json_schema"]
    json_schema: Annotated[JsonObject, Field(alias="schema")]


class OutputConfig(WireModel):
    effort: ShortText | None = None
    format: OutputFormat | None = None


class PromptBody(InferenceBody):
    """What makes the prompt."""

    messages: Annotated[list[MessageIn], Field(min_length=1, fail_fast=True)]
    system: TextOrBlocks = ""
    tools: Annotated[list[Tool], Field(fail_fast=True)] = Field(default_factory=list)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None  # the former place of `output_config.format`

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        for name in ("thinking", "output_config"):
            if (nested := getattr(self, name)) is not None:
                yield f"{name}.", f"{name}.", nested.model_extra or {}


class CountTokensRequest(PromptBody):
    endpoint = "count_tokens"


class MessagesRequest(PromptBody):
    endpoint = "messages"

    max_tokens: PositiveCount
    stream: bool = False
    stop_sequences: StopStrings = Field(default_factory=list)
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Count | None = None

    @property
    def shows_thinking(self) -> bool:
        """Clients that did not ask for thinking expect the text in the first block."""
        return self.thinking is not None and self.thinking.type != "disabled"
