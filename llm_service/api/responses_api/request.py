"""The body of POST /v1/responses.

Clients send items and tools that only OpenAI has, and new types appear often. What has a type that
is not known here has no further shape, so that it can be skipped.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from llm_service.api.schemas import InferenceBody
from llm_service.api.wire import (
    FrequencyPenalty,
    JsonObject,
    PositiveCount,
    PresencePenalty,
    ShortText,
    Temperature,
    Text,
    TopP,
    WireModel,
    by_shape,
    text_or_list,
    text_or_object,
)
from llm_service.errors import UnsupportedParameter

# Tags have a bracket so that errors do not name them: see `handlers`.
_OTHER = "[other]"


class Part(WireModel):
    """A part of a message's content, of a call's output, or of reasoning."""

    type: Text
    text: Text | None = None
    refusal: Text | None = None
    image_url: Text | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


Content = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[Part], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of content parts"),
]
Parts = Annotated[list[Part], Field(fail_fast=True)]


class MessageItem(WireModel):
    """A message; clients leave the type out."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content = ""


class ReasoningItem(WireModel):
    type: Literal["reasoning"]
    content: Parts = Field(default_factory=list)
    summary: Parts = Field(default_factory=list)


class FunctionCallItem(WireModel):
    type: Literal["function_call"]
    call_id: ShortText
    name: ShortText
    arguments: Text = ""


class CustomToolCallItem(WireModel):
    type: Literal["custom_tool_call"]
    call_id: ShortText
    name: ShortText
    input: Text = ""


class CallOutputItem(WireModel):
    """The result of a call."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: ShortText
    output: Content


class OtherItem(WireModel):
    type: Text


class FunctionTool(WireModel):
    type: Literal["function"]
    name: ShortText
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class OtherTool(WireModel):
    type: Text


def _tool_kind(value: Any) -> str:
    is_function = isinstance(value, dict) and value.get("type") == "function"
    return "[function]" if is_function else _OTHER


Tools = Annotated[
    list[
        Annotated[
            Annotated[FunctionTool, Tag("[function]")] | Annotated[OtherTool, Tag(_OTHER)],
            Discriminator(_tool_kind),
        ]
    ],
    Field(fail_fast=True),
]


class AdditionalToolsItem(WireModel):
    """More tools, which Codex sends in the input."""

    type: Literal["additional_tools"]
    tools: Tools = Field(default_factory=list)


def _item_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    match kind:
        case "reasoning" | "function_call" | "custom_tool_call" | "additional_tools":
            return f"[{kind}]"
        case "function_call_output" | "custom_tool_call_output":
            return "[output]"
        case None | "message":
            return "[message]"
        case _:
            return _OTHER


Item = Annotated[
    Annotated[MessageItem, Tag("[message]")]
    | Annotated[ReasoningItem, Tag("[reasoning]")]
    | Annotated[FunctionCallItem, Tag("[function_call]")]
    | Annotated[CustomToolCallItem, Tag("[custom_tool_call]")]
    | Annotated[CallOutputItem, Tag("[output]")]
    | Annotated[AdditionalToolsItem, Tag("[additional_tools]")]
    | Annotated[OtherItem, Tag(_OTHER)],
    Discriminator(_item_kind),
]
Input = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[Item], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of items"),
]


class NamedChoice(WireModel):
    """The tool that has to be called."""

    type: Text
    name: ShortText | None = None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("str")]
    | Annotated[NamedChoice, Tag("object[]")],
    by_shape(text_or_object, 'must be "none", "auto", "required" or an object with type and name'),
]


class TextFormat(WireModel):
    type: Literal["text", "json_object", "json_schema"]
    name: ShortText | None = None
    description: Text | None = None
    json_schema: Annotated[JsonObject | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextOptions(WireModel):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(WireModel):
    effort: ShortText | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None  # its former name


class ResponsesRequest(InferenceBody):
    endpoint = "responses"

    input: Input
    instructions: Text | None = None
    stream: bool = False
    max_output_tokens: PositiveCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: PresencePenalty | None = None
    frequency_penalty: FrequencyPenalty | None = None
    tools: Tools = Field(default_factory=list)
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: Annotated[list[Text], Field(fail_fast=True)] = Field(default_factory=list)
    # What follows is only sent back.
    truncation: Literal["auto", "disabled"] = "disabled"
    metadata: Annotated[dict[str, Text], Field(fail_fast=True, max_length=16)] = Field(
        default_factory=dict
    )
    prompt_cache_key: Text | None = None
    safety_identifier: Text | None = None
    user: Text | None = None

    @property
    def all_tools(self) -> list[tuple[str, FunctionTool | OtherTool]]:
        """Every tool, with its name in the body."""
        tools = [(f"tools.{i}", tool) for i, tool in enumerate(self.tools)]
        for i, item in enumerate(self.input):
            if isinstance(item, AdditionalToolsItem):
                tools += [(f"input.{i}.tools.{j}", tool) for j, tool in enumerate(item.tools)]
        return tools

    @property
    def functions(self) -> list[FunctionTool]:
        """The tools that are offered to the model."""
        return [tool for _, tool in self.all_tools if isinstance(tool, FunctionTool)]

    @property
    def has_summary(self) -> bool:
        reasoning = self.reasoning
        return reasoning is not None and bool(reasoning.summary or reasoning.generate_summary)

    def refuse_unsupported(self) -> None:
        super().refuse_unsupported()
        if "message.output_text.logprobs" in self.include:
            raise UnsupportedParameter(
                "include must not have 'message.output_text.logprobs': answers have no log"
                " probabilities here. /v1/chat/completions has them.",
                param="include",
            )

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        for name in ("text", "reasoning"):
            if (nested := getattr(self, name)) is not None:
                yield f"{name}.", f"{name}.", nested.model_extra or {}
