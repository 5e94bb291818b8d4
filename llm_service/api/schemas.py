"""The bodies of requests, in OpenAI's shapes. Ranges are checked here; nothing is computed.

Fields that a schema does not have are accepted (`extra="allow"`) and then looked up in
`parameter_table`: those that are known, but not offered, are refused by name, because ignoring
them would change the answer silently.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from llm_service.api import parameters
from llm_service.api.chat_messages import Message, Messages
from llm_service.api.output_fields import OutputFields
from llm_service.api.parameter import Endpoint
from llm_service.api.tool_fields import (
    FunctionCallField,
    FunctionDefinition,
    Functions,
    NamedFunction,
    NamedTool,
    ToolChoiceField,
    Tools,
    check_names,
)
from llm_service.api.wire import (
    Count,
    FrequencyPenalty,
    LogitBias,
    MinP,
    PositiveCount,
    PresencePenalty,
    Prompt,
    RepetitionPenalty,
    Seed,
    ShortText,
    Stop,
    StopTokenIds,
    Temperature,
    Text,
    TokenIds,
    TopK,
    TopP,
    WireModel,
)
from llm_service.engine import Conversation, SamplingParams
from llm_service.errors import InvalidRequest
from llm_service.images.sources import ImageSource

MAX_CHOICES = 128  # answers to one request: prompts x n
MAX_INPUTS = 2048  # of one request for embeddings, as at OpenAI
# Templates may write such a value anywhere, so it must not be able to form a control token.
_VARIABLE = re.compile(r"[A-Za-z0-9 _.:/-]{0,64}")


class StreamOptions(WireModel):
    include_usage: bool = False


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


class InferenceBody(EndpointBody):
    """The body of an endpoint that asks a model."""

    model: Text


class SamplingFields(InferenceBody, OutputFields):
    """The fields that chat and text completions share. None: the model's own default."""

    prompt_param: ClassVar[str]  # the field that holds the prompt

    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: PositiveCount | None = None
    min_tokens: Count = 0
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    seed: Seed | None = None
    stop: Stop | None = None
    stop_token_ids: StopTokenIds | None = None
    ignore_eos: bool = False
    presence_penalty: PresencePenalty | None = None
    frequency_penalty: FrequencyPenalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    logit_bias: LogitBias | None = None

    @property
    def num_logprobs(self) -> int | None:
        """The value of `SamplingParams.num_logprobs`."""
        return None

    @property
    def num_prompt_logprobs(self) -> int | None:
        """The value of `SamplingParams.num_prompt_logprobs`."""
        return None

    @property
    def num_sequences(self) -> int:
        """How many answers to each prompt are generated; the best `n` of them are sent."""
        return self.n

    @property
    def requested_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def most_tokens(self) -> int | None:
        """A limit of the answer that, unlike `requested_tokens`, may be more than the context's."""
        return None

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
            num_prompt_logprobs=self.num_prompt_logprobs,
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


TemplateVariables = Annotated[dict[ShortText, Any], Field(max_length=64, fail_fast=True)]


class TemplateFields(WireModel):
    """What the chat template is told apart from the messages."""

    tools: Tools | None = None
    functions: Functions | None = None
    tool_choice: ToolChoiceField | None = None
    function_call: FunctionCallField | None = None
    reasoning_effort: ShortText | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: TemplateVariables | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool = False

    @property
    def offered(self) -> list[FunctionDefinition]:
        """The functions that the model may call."""
        if self.tools:
            return [tool.function for tool in self.tools]
        return list(self.functions or ())

    @property
    def tool_mode(self) -> Literal["none", "auto", "required"]:
        choice = self.tool_choice or self.function_call or "auto"
        return choice if isinstance(choice, str) else "required"

    @property
    def named_tool(self) -> str | None:
        """The tool that has to be called; None: no particular one."""
        match self.tool_choice or self.function_call:
            case NamedTool() as chosen:
                return chosen.function.name
            case NamedFunction() as chosen:
                return chosen.name
            case _:
                return None

    def image_sources(self, messages: Sequence[Message]) -> list[ImageSource]:
        """Return the images of the conversation, in their order. Raises InvalidRequest."""
        return [source for i, message in enumerate(messages) for source in message.image_sources(i)]

    def conversation(self, messages: Sequence[Message]) -> Conversation:
        """Return what the template renders, without pictures. Raises InvalidRequest.

        Tools are shown to the model also if it must not call one, as OpenAI does.
        """
        check_names(self.offered, self.named_tool, "tool_choice")
        continues = self.continue_final_message
        if continues and (self.add_generation_prompt or messages[-1].role != "assistant"):
            raise InvalidRequest(
                "continue_final_message needs an assistant message at the end, and no"
                " add_generation_prompt.",
                param="continue_final_message",
            )
        return Conversation(
            [message.to_template(i) for i, message in enumerate(messages)],
            [function.to_template() for function in self.offered],
            self._variables(),
            add_generation_prompt=not continues and self.add_generation_prompt is not False,
            continues_final_message=continues,
        )

    def _variables(self) -> dict[str, Any]:
        variables: dict[str, Any] = {}
        if self.reasoning_effort is not None:
            variables["reasoning_effort"] = self.reasoning_effort
            variables["enable_thinking"] = self.reasoning_effort != "none"
        if self.enable_thinking is not None:
            variables["enable_thinking"] = self.enable_thinking
        variables |= self.chat_template_kwargs or {}
        for name, value in variables.items():
            is_plain = value is None or isinstance(value, bool | int | float)
            if not (is_plain or (isinstance(value, str) and _VARIABLE.fullmatch(value))):
                raise InvalidRequest(
                    f"The template variable {name[:64]!r} must be a number, true, false, or up to"
                    " 64 letters, digits, spaces and characters of _.:/-.",
                    param="chat_template_kwargs",
                )
        return variables


class ChatCompletionRequest(SamplingFields, TemplateFields):
    endpoint = "chat"
    prompt_param = "messages"

    messages: Messages
    parallel_tool_calls: bool = True
    max_reasoning_tokens: Count | None = None
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

    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    echo: bool = False
    suffix: Text | None = None

    @property
    def num_logprobs(self) -> int | None:
        """Log probabilities are also what chooses the best answers."""
        return 0 if self.logprobs is None and self.num_sequences > self.n else self.logprobs

    @property
    def num_prompt_logprobs(self) -> int | None:
        return self.logprobs if self.echo else None

    @property
    def num_sequences(self) -> int:
        return self.n if self.best_of is None else self.best_of

    @property
    def most_tokens(self) -> int | None:
        """This endpoint answers briefly unless told otherwise, as at OpenAI."""
        return 16 if self.max_tokens is None else None

    def refuse_unsupported(self) -> None:
        """Also raise InvalidRequest for fields that contradict each other."""
        super().refuse_unsupported()
        if self.max_tokens is not None and self.max_tokens < (0 if self.echo else 1):
            raise InvalidRequest(
                "max_tokens must be greater than or equal to 1. With echo, it may be 0.",
                param="max_tokens",
            )
        if self.num_sequences < self.n:
            raise InvalidRequest(f"best_of must be at least n, which is {self.n}.", param="best_of")
        if self.num_sequences > self.n and self.stream:
            raise InvalidRequest(
                "best_of cannot be combined with stream: which answers are the best is known at"
                " their end.",
                param="best_of",
            )
        if self.suffix and self.echo:
            raise InvalidRequest("echo cannot be combined with suffix.", param="echo")

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
        num_choices = len(prompt) * self.num_sequences
        if num_choices > MAX_CHOICES:
            name = "n" if self.num_sequences == self.n else "best_of"
            raise InvalidRequest(
                f"One request gets at most {MAX_CHOICES} answers; {len(prompt)} prompts with"
                f" {name} = {self.num_sequences} ask for {num_choices}.",
                param="prompt",
            )
        return list(prompt)


class EmbeddingRequest(EndpointBody):
    endpoint = "embeddings"
    input_param: ClassVar[str] = "input"  # the field that holds the inputs
    cut_param: ClassVar[str] = "truncate_prompt_tokens"  # the field by which inputs may be cut

    model: Text
    input: Prompt
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: PositiveCount | None = None
    prompt_name: ShortText | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=2**63 - 1)] | None = None

    def inputs(self) -> list[str | list[int]]:
        """Return the inputs, all as text or all as token ids. Raises InvalidRequest."""
        given: Any = self.input
        if isinstance(given, str):
            return [given]
        if not given:
            raise InvalidRequest("input is empty: send a text or token ids.", param="input")
        if isinstance(given[0], int):
            return [given]
        if len(given) > MAX_INPUTS:
            raise InvalidRequest(
                f"One request has at most {MAX_INPUTS:,} inputs; this one has {len(given):,}.",
                param="input",
            )
        return list(given)


class TokenizeRequest(EndpointBody, TemplateFields):
    """Either `prompt`, plain text, or `messages`, rendered by the chat template."""

    endpoint = "tokenize"

    model: Text | None = None
    prompt: Text | None = None
    messages: Messages | None = None


class DetokenizeRequest(EndpointBody):
    endpoint = "detokenize"

    model: Text | None = None
    tokens: TokenIds
