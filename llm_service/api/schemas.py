"""What comes in over the wire, in OpenAI's shapes. Ranges are checked here, nothing is computed.

Unknown fields are accepted (`extra="allow"`); known fields that are not offered yet are
refused by name, because ignoring them would change the answer silently.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from llm_service.engine import SamplingParams
from llm_service.errors import InvalidRequest, UnsupportedParameter

MAX_STOP_STRINGS = 16
MAX_CHOICES = 16


def _encodable(text: str) -> str:
    """JSON can smuggle in half of a surrogate pair, which no encoding can write out again."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
# A list stops at its first error: one for each element of a large list would take gigabytes.
FAIL_FAST = Field(fail_fast=True)
Texts = Annotated[list[Text], FAIL_FAST]
TokenIds = Annotated[list[TokenId], FAIL_FAST]
StopString = Annotated[Text, Field(min_length=1, max_length=256)]


class WireModel(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, strict=True)


class StreamOptions(WireModel):
    include_usage: bool = False


class TextPart(WireModel):
    type: Text
    text: Text | None = None


class Message(WireModel):
    """One message. `content` is text or text parts; None only where a role allows it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], FAIL_FAST] | None = None
    name: Annotated[Text, Field(max_length=64)] | None = None
    tool_call_id: Annotated[str, Field(max_length=256)] | None = None
    tool_calls: Annotated[list[Any], FAIL_FAST] | None = None

    def to_template(self, position: int) -> dict[str, str]:
        """The message as chat templates take it: flat text, `developer` as `system`."""
        if self.tool_calls:
            raise UnsupportedParameter(
                "Tool calls are not supported yet.", param=f"messages.{position}.tool_calls"
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


class SamplingFields(WireModel):
    """The fields that chat and text completions share. None: the model's own default."""

    model: Text
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: (
        StopString
        | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)]
        | None
    ) = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64, fail_fast=True)] | None = None
    ignore_eos: bool = False
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], FAIL_FAST] | None = (
        None
    )
    user: str | None = None

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(
        self,
        defaults: dict[str, Any],
        *,
        max_tokens: int,
        num_logprobs: int | None,
        vocab_size: int,
    ) -> SamplingParams:
        """Fill what the caller left out from `defaults`, the model's generation config."""

        def choose(name: str, fallback: Any) -> Any:
            value = getattr(self, name)
            return defaults.get(name, fallback) if value is None else value

        if self.min_tokens > max_tokens:
            raise InvalidRequest(
                f"min_tokens is more than the {max_tokens} that max_tokens or the context allow.",
                param="min_tokens",
            )
        return SamplingParams(
            max_tokens=max_tokens,
            min_tokens=self.min_tokens,
            temperature=float(choose("temperature", 1.0)),
            top_p=float(choose("top_p", 1.0)),
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
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

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
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Any], FAIL_FAST] | None = None
    tool_choice: Any = None
    functions: Annotated[list[Any], FAIL_FAST] | None = None
    function_call: Any = None
    response_format: Any = None
    modalities: Annotated[list[str], FAIL_FAST] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None

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

    def refuse_unsupported(self) -> None:
        """Raise UnsupportedParameter for what would be ignored, naming it."""
        is_text = self.response_format is None or (
            isinstance(self.response_format, dict) and self.response_format.get("type") == "text"
        )
        _refuse(
            {
                "tools": self.tools,
                "tool_choice": None if self.tool_choice in ("none", "auto") else self.tool_choice,
                "functions": self.functions,
                "function_call": None if self.function_call == "none" else self.function_call,
                "response_format": None if is_text else self.response_format,
                "modalities": None if self.modalities == ["text"] else self.modalities,
                "audio": self.audio,
                "prediction": self.prediction,
                "web_search_options": self.web_search_options,
            }
        )


class CompletionRequest(SamplingFields):
    prompt: Text | Texts | TokenIds | Annotated[list[TokenIds], FAIL_FAST]
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool = False
    suffix: str | None = None
    best_of: int | None = None

    @property
    def requested_tokens(self) -> int | None:
        return self.max_tokens

    def refuse_unsupported(self) -> None:
        """Raise UnsupportedParameter for what would be ignored, naming it."""
        is_plain = self.best_of is None or self.best_of == (self.n or 1)
        _refuse(
            {
                "echo": self.echo,
                "suffix": self.suffix,
                "best_of": None if is_plain else self.best_of,
            }
        )

    def prompts(self) -> list[str | list[int]]:
        """The prompts one by one, each text or token ids."""
        prompt: Any = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if not prompt:
            raise InvalidRequest("prompt is empty.", param="prompt")
        if isinstance(prompt[0], int):
            return [prompt]
        if len(prompt) > MAX_CHOICES:
            raise InvalidRequest(
                f"At most {MAX_CHOICES} prompts in one request; this one has {len(prompt)}.",
                param="prompt",
            )
        return list(prompt)


class TokenizeRequest(WireModel):
    """Either `prompt`, plain text, or `messages`, rendered by the chat template."""

    model: Text | None = None
    prompt: Text | None = None
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)] | None = None
    add_generation_prompt: bool = True


class DetokenizeRequest(WireModel):
    model: Text | None = None
    tokens: TokenIds


def unknown_fields(body: WireModel) -> list[str]:
    """Names that the caller sent and nothing here reads."""
    return sorted(body.model_extra or ())


def _refuse(parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        if value:
            raise UnsupportedParameter(f"{name} is not supported here yet.", param=name)
