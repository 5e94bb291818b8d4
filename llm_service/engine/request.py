"""Requests to an engine, and the chunks that it returns. Imports no torch and no web framework.

`GenerationRequest` and `SamplingParams` are frozen. A `GenerationChunk` is one
increment of an answer; the last one carries the `FinishReason`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from llm_service.engine.grammar import Grammar, ReasoningBudget
from llm_service.engine.prompt import Prompt

NO_BIAS: Mapping[int, float] = MappingProxyType({})


class FinishReason(StrEnum):
    """Why a sequence finished, in OpenAI's terms. Callers never see `abort`."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"  # it ended by itself and has calls; engines report STOP
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are sampled. `api/schemas.py` checks the ranges."""

    max_tokens: int  # 0: only the prompt is computed
    min_tokens: int = 0  # no end-of-sequence or stop token before that many
    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0
    top_k: int = 0  # 0: off
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: NO_BIAS)
    num_logprobs: int | None = None  # None: no logprobs; 0: chosen token; k: and k most likely
    num_prompt_logprobs: int | None = None  # the same for the tokens of the prompt

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def raises_logits(self) -> bool:
        """Whether these parameters can raise the probability of a token."""
        return (
            self.presence_penalty < 0
            or self.frequency_penalty < 0
            or self.repetition_penalty < 1.0
            or (bool(self.logit_bias) and max(self.logit_bias.values()) > 0)
        )

    @property
    def is_penalized(self) -> bool:
        """Whether the logits depend on the tokens generated so far."""
        return bool(
            self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0
        )


# The sampling of a request for an embedding, which generates nothing.
NO_ANSWER = SamplingParams(max_tokens=0)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence to generate. Only requests with equal `cache_salt` share cached prefixes.

    `deadline` and `arrived`, when the request reached the service, are in `time.monotonic()`
    seconds; if `arrived` is None, the time to first token counts from submission. `markers` are
    tokens that divide the answer into parts, such as the one that begins a tool call: chunks
    report them apart from the text.
    """

    request_id: str
    prompt: Prompt
    sampling: SamplingParams
    cache_salt: str = ""
    deadline: float | None = None
    arrived: float | None = None
    markers: frozenset[int] = frozenset()
    grammar: Grammar | None = None
    reasoning_budget: ReasoningBudget | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token with its natural-log probability and its bytes.

    The first token of a prompt has no probability.
    """

    token_id: int
    text: str
    token_bytes: bytes
    logprob: float | None


@dataclass(frozen=True, slots=True)
class PositionLogprobs:
    """The chosen token of one position and the most likely alternatives, best first.

    `text_offset` is the number of whole characters in the answer's tokens before it.
    Tokens of a stop string, which is cut off, so lie at the end of the answer's text or after it.
    """

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()
    text_offset: int = 0


@dataclass(frozen=True, slots=True)
class Marker:
    """A token of `GenerationRequest.markers`, which stands before character `offset` of a text."""

    offset: int
    token_id: int


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """An increment: text that can be shown, and the tokens computed since the last chunk.

    `text` may be empty (half a character, or a possible stop string, is held back). It does not
    include the text of `markers`; all text before a marker comes with it or earlier. `stop` is the
    stop string that ended the answer, if one did. `prompt_logprobs` continues that of earlier
    chunks; it is complete when the first token comes. `embedding` is the answer of a model that
    makes embeddings, in its only chunk: float32, little-endian.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[PositionLogprobs, ...] = ()
    finish_reason: FinishReason | None = None
    markers: tuple[Marker, ...] = ()
    stop: str | None = None
    embedding: bytes = b""
    prompt_logprobs: tuple[PositionLogprobs, ...] = ()


@dataclass(slots=True)
class Timings:
    """When a sequence reached each point, in `time.monotonic()` seconds; None: not yet.

    The engine sets the time of the first scheduling; a `DeliveryMeter` sets the later times.
    """

    submitted: float
    arrived: float | None = None
    first_scheduled: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    finished: float | None = None

    @property
    def began(self) -> float:
        """When the caller began to wait for the first token."""
        return self.submitted if self.arrived is None else self.arrived

    @property
    def queue_seconds(self) -> float | None:
        return _between(self.submitted, self.first_scheduled)

    @property
    def prefill_seconds(self) -> float | None:
        return _between(self.first_scheduled, self.first_token)

    @property
    def decode_seconds(self) -> float | None:
        return _between(self.first_token, self.finished)

    @property
    def ttft_seconds(self) -> float | None:
        return _between(self.began, self.first_token)


@dataclass(slots=True)
class Usage:
    """Numbers of tokens of one sequence. The cached tokens are part of the prompt's."""

    num_prompt_tokens: int
    num_cached_tokens: int = 0
    num_output_tokens: int = 0


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
