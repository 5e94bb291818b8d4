"""The bodies of Ollama's requests, and the requests of OpenAI's shape that they stand for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from llm_service.api.chat_messages import Call, CalledFunction, Message
from llm_service.api.output_fields import NamedSchema, ResponseFormat
from llm_service.api.schemas import (
    ChatCompletionRequest,
    CompletionRequest,
    EndpointBody,
)
from llm_service.api.tool_fields import Tools
from llm_service.api.wire import (
    FrequencyPenalty,
    JsonObject,
    MinP,
    PositiveCount,
    PresencePenalty,
    RepetitionPenalty,
    Seed,
    ShortText,
    Stop,
    Temperature,
    Text,
    TopK,
    TopP,
    WireModel,
    by_shape,
)
from llm_service.errors import InvalidRequest, UnsupportedParameter
from llm_service.images.sources import ImageSource

UNLIMITED = (-1, -2)  # values of num_predict: endless, and until the context is full


class Options(WireModel):
    num_predict: Annotated[int, Field(ge=-2, le=2**63 - 1)] | None = None
    num_ctx: PositiveCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    presence_penalty: PresencePenalty | None = None
    frequency_penalty: FrequencyPenalty | None = None
    repeat_penalty: RepetitionPenalty | None = None

    def to_openai(self) -> dict[str, Any]:
        """Return the fields that are set, under OpenAI's names."""
        fields = self.model_dump(exclude_none=True, include=set(Options.model_fields))
        fields.pop("num_ctx", None)
        if "repeat_penalty" in fields:
            fields["repetition_penalty"] = fields.pop("repeat_penalty")
        if (num_predict := fields.pop("num_predict", None)) not in (None, *UNLIMITED):
            fields["max_tokens"] = num_predict
        return fields


def _text_object_or_flag(value: Any) -> str | None:
    kinds = {str: "str", dict: "object[]", bool: "bool"}
    return kinds.get(type(value))


Format = Annotated[
    Annotated[Literal["", "json"], Tag("str")] | Annotated[JsonObject, Tag("object[]")],
    by_shape(_text_object_or_flag, 'must be "json" or a JSON schema'),
]
Think = Annotated[
    Annotated[Literal["low", "medium", "high"], Tag("str")] | Annotated[bool, Tag("bool")],
    by_shape(_text_object_or_flag, 'must be true, false, "low", "medium" or "high"'),
]


class OllamaBody(EndpointBody):
    """What `/api/chat` and `/api/generate` have in common."""

    model: Text
    stream: bool = True
    format: Format | None = None
    think: Think | None = None
    options: Options | None = None

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        if self.options is not None:
            yield "options.", "options.", self.options.model_extra or {}

    def common_fields(self) -> dict[str, Any]:
        """Return the fields of OpenAI's request that do not depend on the prompt's kind."""
        fields: dict[str, Any] = {"model": self.model, "stream": self.stream}
        if self.options is not None:
            if self.options.num_predict == 0:
                raise InvalidRequest(
                    "options.num_predict must be at least 1, or -1 for as many as fit.",
                    param="options.num_predict",
                )
            fields |= self.options.to_openai()
        if self.format == "json":
            fields["response_format"] = ResponseFormat(type="json_object")
        elif isinstance(self.format, dict):
            fields["response_format"] = ResponseFormat(
                type="json_schema", json_schema=NamedSchema(schema=self.format)
            )
        return fields

    def chat_fields(self) -> dict[str, Any]:
        """Return `common_fields` and those that only templates know."""
        fields = self.common_fields()
        if isinstance(self.think, bool):
            fields["enable_thinking"] = self.think
        elif self.think is not None:
            fields["reasoning_effort"] = self.think
        return fields


Images = Annotated[list[Text], Field(fail_fast=True)]  # in base64


class OllamaFunction(WireModel):
    """`arguments` is an object, not text."""

    name: ShortText
    arguments: JsonObject = Field(default_factory=dict)


class OllamaCall(WireModel):
    id: ShortText | None = None
    function: OllamaFunction

    def to_openai(self) -> Call:
        arguments = json.dumps(self.function.arguments, ensure_ascii=False)
        return Call(
            id=self.id, function=CalledFunction(name=self.function.name, arguments=arguments)
        )


class OllamaMessage(WireModel):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text = ""
    thinking: Text | None = None
    tool_calls: Annotated[list[OllamaCall], Field(fail_fast=True)] | None = None
    tool_name: ShortText | None = None
    tool_call_id: ShortText | None = None
    images: Images | None = None

    def to_openai(self) -> Message:
        calls = [call.to_openai() for call in self.tool_calls or ()]
        return Message(
            role=self.role,
            content=self.content,
            name=None if self.tool_name is None else self.tool_name[:64],
            tool_call_id=self.tool_call_id,
            tool_calls=calls or None,
            reasoning_content=self.thinking,
            images=self.images,
        )


class AsChat(ChatCompletionRequest):
    """A chat request whose errors name Ollama's fields."""

    @property
    def tokens_param(self) -> str:
        return "options.num_predict"


class AsPromptChat(AsChat):
    """The prompt of `/api/generate` as a chat request."""

    prompt_param = "prompt"

    def image_sources(self, messages: Sequence[Message]) -> list[ImageSource]:
        sources = super().image_sources(messages)
        return [replace(source, param=f"images.{i}") for i, source in enumerate(sources)]


class AsCompletion(CompletionRequest):
    """A raw prompt; Ollama sets no limit of its own."""

    @property
    def most_tokens(self) -> int | None:
        return None

    @property
    def tokens_param(self) -> str:
        return "options.num_predict"


class OllamaChatRequest(OllamaBody):
    """Without messages, it only asks for the model to be loaded."""

    endpoint = "ollama_chat"

    messages: Annotated[list[OllamaMessage], Field(fail_fast=True, default_factory=list)]
    tools: Tools | None = None

    @property
    def is_empty(self) -> bool:
        return not self.messages

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        for i, message in enumerate(self.messages):
            yield "messages.", f"messages.{i}.", message.model_extra or {}

    def to_openai(self) -> ChatCompletionRequest:
        return AsChat(
            **self.chat_fields(),
            messages=[message.to_openai() for message in self.messages],
            tools=self.tools,
        )


class OllamaGenerateRequest(OllamaBody):
    """A single prompt: a user's message, or with `raw` or `suffix` plain text."""

    endpoint = "ollama_generate"

    prompt: Text = ""
    system: Text = ""
    suffix: Text = ""
    raw: bool = False
    images: Images | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.prompt or self.images)

    def to_openai(self) -> ChatCompletionRequest | CompletionRequest:
        if not (self.raw or self.suffix):
            asked = Message(role="user", content=self.prompt, images=self.images)
            messages: Sequence[Message] = [asked]
            if self.system:
                messages = [Message(role="system", content=self.system), *messages]
            return AsPromptChat(**self.chat_fields(), messages=list(messages))
        for name in ("system", "think", "images"):
            if getattr(self, name):
                raise UnsupportedParameter(
                    f"{name} is for the chat template, which raw and suffix leave out.", param=name
                )
        return AsCompletion(**self.common_fields(), prompt=self.prompt, suffix=self.suffix or None)


class ShowRequest(WireModel):
    """`name` is the older field."""

    model: Text | None = None
    name: Text | None = None
