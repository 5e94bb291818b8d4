"""The bodies of requests, in OpenAI's shapes. Ranges are checked here; nothing is computed.

Fields that a schema does not have are accepted (`extra="allow"`) and then looked up in
`parameter_table`: those that are known, but not offered, are refused by name, because ignoring
them would change the answer silently.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from llm_service.api import parameters
from llm_service.api.parameter_table import Endpoint
from llm_service.api.wire import (
    SHAPE_ERROR,
    Count,
    LogitBias,
    Name,
    PositiveCount,
    Prompt,
    ShortText,
    Stop,
    StopTokenIds,
    Text,
    TokenIds,
    WireModel,
    text_or_list,
)
from llm_service.engine import SamplingParams
from llm_service.engine.ranges import RANGES, Range
from llm_service.errors import InvalidRequest, UnsupportedParameter

MAX_CHOICES = 128  # answers to one request: prompts x n


def _within(stated: Range) -> Any:
    """The range as pydantic takes it."""
    if stated.excludes_least:
        return Field(gt=stated.least, le=stated.most)
    return Field(ge=stated.least, le=stated.most)


class StreamOptions(WireModel):
    include_usage: bool = False


class TextPart(WireModel):
    type: Text
    text: Text | None = None


Content = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[TextPart], Field(fail_fast=True), Tag("list[]")],
    Discriminator(
        text_or_list,
        custom_error_type=SHAPE_ERROR,
        custom_error_message="must be a string or a list of content parts",
    ),
]


class Message(WireModel):
    """One message. `content` is text or text parts; None only where a role allows it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Name | None = None
    tool_call_id: ShortText | None = None
    tool_calls: Annotated[list[Any], Field(fail_fast=True)] | None = None
    function_call: Any = None

    def to_template(self, position: int) -> dict[str, str]:
        """Return the message as chat templates take it: plain text, and `developer` as `system`."""
        for field in ("tool_calls", "function_call"):
            if getattr(self, field):
                raise UnsupportedParameter(
                    "Tool calls are not supported yet.", param=f"messages.{position}.{field}"
                )
        message = {
            "role": "system" if self.role == "developer" else self.role,
            "content": self._text(position),
        }
        if self.name is not None:
            message["name"] = self.name
        return message

    def _text(self, position: int) -> str:
        param = f"messages.{position}.content"
        if self.content is None:
            raise InvalidRequest(f"The {self.role} message has no content.", param=param)
        if isinstance(self.content, str):
            return self.content
        return "".join(_part_text(part, param) for part in self.content)


def _part_text(part: TextPart, param: str) -> str:
    if part.type != "text":
        raise UnsupportedParameter(
            f"Content parts of type {part.type[:40]!r} are not supported by this model: send text.",
            param=param,
        )
    if part.text is None:
        raise InvalidRequest("A text part has no text.", param=param)
    return part.text


Messages = Annotated[list[Message], Field(min_length=1, fail_fast=True)]


class EndpointBody(WireModel):
    """The body of an endpoint; `parameter_table` lists its fields."""

    endpoint: ClassVar[Endpoint]

    def check_extra_fields(self, unknown_fields: parameters.UnknownFieldLog) -> None:
        """Check the fields that the schema does not have.

        Raises UnsupportedParameter, with the name, for a known field whose effect the caller would
        miss. Unknown fields are noted in `unknown_fields`.
        """
        self.refuse_unsupported()
        for parent, _, fields in self.extra_fields():
            unknown_fields.note(self.endpoint, fields, parent)

    def refuse_unsupported(self) -> None:
        """Raise UnsupportedParameter, with the name, for a field that would be ignored."""
        for parent, position, fields in self.extra_fields():
            parameters.refuse_unsupported(self.endpoint, fields, parent, position)

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Yield the fields that the schemas of the body and of its objects do not have.

        Each object comes with its name in the table and its name in the request, both with a
        dot at the end; they are empty for the body itself.
        """
        yield "", "", self.model_extra or {}


class SamplingFields(EndpointBody):
    """The fields that chat and text completions share. None: the model's own default."""

    prompt_param: ClassVar[str]  # the field that holds the prompt
    # Without max_tokens an answer has at most this many; None: as many as the context allows.
    default_max_tokens: ClassVar[int | None] = None

    model: Text
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: PositiveCount | None = None
    min_tokens: Count = 0
    temperature: Annotated[float, _within(RANGES["temperature"])] | None = None
    top_p: Annotated[float, _within(RANGES["top_p"])] | None = None
    top_k: Annotated[int, _within(RANGES["top_k"])] | None = None
    min_p: Annotated[float, _within(RANGES["min_p"])] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Stop | None = None
    stop_token_ids: StopTokenIds | None = None
    ignore_eos: bool = False
    presence_penalty: Annotated[float, _within(RANGES["presence_penalty"])] | None = None
    frequency_penalty: Annotated[float, _within(RANGES["frequency_penalty"])] | None = None
    repetition_penalty: Annotated[float, _within(RANGES["repetition_penalty"])] | None = None
    logit_bias: LogitBias | None = None

    @property
    def num_logprobs(self) -> int | None:
        """The value of `SamplingParams.num_logprobs`."""
        return None

    @property
    def requested_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def tokens_param(self) -> str:
        """The field in which the caller sent `requested_tokens`."""
        return "max_tokens"

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        if self.stream_options is not None:
            yield "stream_options.", "stream_options.", self.stream_options.model_extra or {}

    def sampling(
        self,
        defaults: dict[str, Any],
        *,
        max_tokens: int,
        num_logprobs: int | None,
        vocab_size: int,
    ) -> SamplingParams:
        """Return the parameters; `defaults`, the model's own, replace what the caller left out."""

        def choose(name: str, fallback: Any) -> Any:
            value = getattr(self, name)
            return defaults.get(name, fallback) if value is None else value

        if self.min_tokens > max_tokens:
            raise InvalidRequest(
                f"min_tokens is more than the {max_tokens} that max_tokens or the context allow.",
                param="min_tokens",
            )
        top_p = float(choose("top_p", 1.0))
        return SamplingParams(
            max_tokens=max_tokens,
            min_tokens=self.min_tokens,
            # top_p 0 would allow no token; like OpenAI, it means the likeliest one.
            temperature=float(choose("temperature", 1.0)) if top_p > 0 else 0.0,
            top_p=top_p or 1.0,
            top_k=max(0, int(choose("top_k", 0))),
            min_p=float(choose("min_p", 0.0)),
            seed=self.seed,
            stop=self._stop_strings(),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            ignore_eos=self.ignore_eos,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=float(choose("repetition_penalty", 1.0)),
            logit_bias=self._logit_bias(vocab_size),
            num_logprobs=num_logprobs,
        )

    def _stop_strings(self) -> tuple[str, ...]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or ()
        return tuple(text for text in stop if text)

    def _logit_bias(self, vocab_size: int) -> dict[int, float]:
        bias: dict[int, float] = {}
        for key, value in (self.logit_bias or {}).items():
            if not (key.isascii() and key.isdigit() and len(key) < 12 and int(key) < vocab_size):
                raise InvalidRequest(
                    f"logit_bias keys are token ids below {vocab_size}.", param="logit_bias"
                )
            bias[int(key)] = value
        return bias


class ChatCompletionRequest(SamplingFields):
    endpoint = "chat"
    prompt_param = "messages"

    messages: Messages
    max_completion_tokens: PositiveCount | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @property
    def num_logprobs(self) -> int | None:
        if not self.logprobs:
            if self.top_logprobs:
                raise InvalidRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
            return None
        return self.top_logprobs or 0

    @property
    def requested_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def tokens_param(self) -> str:
        """`max_completion_tokens` counts if both are sent."""
        return "max_completion_tokens" if self.max_completion_tokens else "max_tokens"

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        for i, message in enumerate(self.messages):
            yield "messages.", f"messages.{i}.", message.model_extra or {}


class CompletionRequest(SamplingFields):
    endpoint = "completions"
    prompt_param = "prompt"
    default_max_tokens = 16  # as at OpenAI: this endpoint answers briefly unless told otherwise

    prompt: Prompt
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    def refuse_unsupported(self) -> None:
        super().refuse_unsupported()
        if self.best_of not in (None, self.n):
            raise UnsupportedParameter(
                "best_of is not supported here, unless it equals n: every answer is sent.",
                param="best_of",
            )

    def prompts(self) -> list[str | list[int]]:
        """Return the prompts, each as text or token ids.

        Raises InvalidRequest if there is none, or if more than MAX_CHOICES answers are asked for.
        """
        prompt: Any = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if not prompt:
            raise InvalidRequest("prompt is empty: send a text or token ids.", param="prompt")
        if isinstance(prompt[0], int):
            return [prompt]
        if len(prompt) * self.n > MAX_CHOICES:
            raise InvalidRequest(
                f"One request gets at most {MAX_CHOICES} answers; {len(prompt)} prompts with"
                f" n = {self.n} ask for {len(prompt) * self.n}.",
                param="prompt",
            )
        return list(prompt)


class TokenizeRequest(EndpointBody):
    """Either `prompt`, plain text, or `messages`, rendered by the chat template."""

    endpoint = "tokenize"

    model: Text | None = None
    prompt: Text | None = None
    messages: Messages | None = None
    add_generation_prompt: bool = True


class DetokenizeRequest(EndpointBody):
    endpoint = "detokenize"

    model: Text | None = None
    tokens: TokenIds
