"""The engine's public interface: everything that the rest of the service may import from it.

An engine turns `GenerationRequest`s into a `TokenStream`. It knows no web, no
metrics library and no keys; it reports to an `EngineObserver`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from llm_service.engine.conversation import Conversation
from llm_service.engine.formats import ModelFormat
from llm_service.engine.grammar import Grammar, Grammars, GrammarSource, ReasoningBudget
from llm_service.engine.infill import InfillTokens
from llm_service.engine.info import EmbeddingInfo, KVCacheInfo, LocalEngineInfo, ModelInfo
from llm_service.engine.observer import EngineObserver, NullObserver, Phase, StepStats
from llm_service.engine.picture import Picture
from llm_service.engine.prompt import Attachment, Prompt
from llm_service.engine.request import (
    NO_ANSWER,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Marker,
    PositionLogprobs,
    SamplingParams,
    Timings,
    TokenLogprob,
    Usage,
)

# OpenMP reads this when torch is loaded, so it is set before any module of the engine loads torch.
# By default OpenMP's threads spin while they wait for each other. If anything else then needs a
# core, such as this service's event loop, steps take up to ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = [
    "NO_ANSWER",
    "Attachment",
    "Conversation",
    "EmbeddingInfo",
    "Engine",
    "EngineObserver",
    "EngineStatus",
    "FinishReason",
    "GenerationChunk",
    "GenerationRequest",
    "GpuUse",
    "Grammar",
    "GrammarSource",
    "Grammars",
    "InfillTokens",
    "KVCacheInfo",
    "LocalEngineInfo",
    "Marker",
    "ModelFormat",
    "ModelInfo",
    "NullObserver",
    "Observe",
    "Phase",
    "Picture",
    "PositionLogprobs",
    "Prompt",
    "PromptTokenizer",
    "ReasoningBudget",
    "SamplingParams",
    "SequenceProgress",
    "StepStats",
    "Timings",
    "TokenLogprob",
    "TokenStream",
    "TooManyTokens",
    "Usage",
    "Vision",
    "unobserved",
]


Observe = Callable[[ModelInfo], EngineObserver]


def unobserved(info: ModelInfo) -> EngineObserver:
    """An `Observe` for offline use; it reports nothing."""
    return NullObserver()


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine's current state. `reason` says why it is not ready; empty if it is."""

    is_ready: bool
    reason: str
    num_running: int
    num_waiting: int
    kv_cache_used_bytes: int
    num_restarts: int
    # how long the engine has had work without finishing a step; 0 when idle
    stalled_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class GpuUse:
    """The current use of a GPU; `gpu` is its index."""

    gpu: str
    memory_used_bytes: int  # by all processes
    reserved_bytes: int  # the part that torch has reserved in this process
    utilization_ratio: float | None  # None: not available


class TooManyTokens(Exception):
    """A text is far too long for the model: it has `at_least` this many tokens."""

    def __init__(self, at_least: int) -> None:
        super().__init__(f"at least {at_least} tokens")
        self.at_least = at_least


class PromptTokenizer(Protocol):
    """Converts text to ids. The text is sealed: it can never become a control token."""

    @property
    def has_chat_template(self) -> bool: ...

    def encode_chat(
        self, conversation: Conversation, *, max_tokens: int | None = None
    ) -> list[int]:
        """Render `conversation` by the model's template.

        Raises InvalidRequest when the template refuses it or would lose a part of it, and
        TooManyTokens as `encode_text` does.
        """

    def encode_text(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Encode plain text, sealed and without a template, after the model's BOS if it has one.

        Text of far more than `max_tokens` tokens raises TooManyTokens before all of it is
        encoded. Text of a few tokens more is encoded, so that the caller can count them.
        """

    @property
    def infill(self) -> InfillTokens | None:
        """The tokens for filling in the middle of a text; None if the model has none."""

    def encode_infill(self, before: str, after: str, *, max_tokens: int | None = None) -> list[int]:
        """Encode two texts, sealed, so that the model writes what stands between them.

        `infill` must not be None. Raises TooManyTokens as `encode_text` does.
        """

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return all of `token_ids` as text, including control tokens."""


class Vision(Protocol):
    """Puts pictures into prompts. Its methods are called on the event loop and never block it."""

    async def place(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], salt: str
    ) -> Prompt:
        """Replace the placeholder of each picture by the tokens that the picture becomes.

        `token_ids` is what `encode_chat` returned. Features that were computed for the same
        picture are used again only for the same `salt`. Raises InvalidRequest when placeholders
        and pictures differ in number or a picture cannot be read by the model,
        ContextLengthExceeded, Overloaded or EngineFailed.
        """


class SequenceProgress(Protocol):
    """The progress of one sequence. Its values change while the engine works."""

    @property
    def timings(self) -> Timings: ...

    @property
    def usage(self) -> Usage: ...

    @property
    def num_computed_tokens(self) -> int:
        """Positions of prompt and answer that are computed by now, including cached ones."""


class TokenStream(Protocol):
    """The answers of sequences that were submitted together, while they are generated.

    Iterating yields the chunks of all sequences in the order of their generation, each with
    the index of its sequence, and ends when every sequence has finished. It raises EngineFailed,
    Unavailable or DeadlineExceeded, and ends, when the first sequence could not finish.
    """

    @property
    def sequences(self) -> Sequence[SequenceProgress]:
        """One entry per request, in the order of the requests."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> tuple[int, GenerationChunk]: ...

    def abort(self) -> None:
        """Free the slots and blocks within one step. Has no effect when all have finished.

        Iterating then raises RequestCancelled when the first slot is free, unless the answers
        were complete. Chunks that were made before the call still come first.
        """


class Engine(Protocol):
    """`submit` and `status` are called on the event loop and never block it."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def tokenizer(self) -> PromptTokenizer: ...

    @property
    def format(self) -> ModelFormat: ...

    @property
    def grammars(self) -> Grammars: ...

    @property
    def vision(self) -> Vision | None:
        """None: the model does not see, and conversations with pictures must not reach it."""

    async def start(self) -> None:
        """Begin stepping; the model is loaded already (`loading.factory.load_engine`)."""

    async def stop(self, drain_seconds: float) -> None:
        """Refuse new requests, let running ones finish for `drain_seconds`, then fail the rest."""

    def submit(self, *requests: GenerationRequest) -> TokenStream:
        """Submit the sequences of one caller's request: all of them or none.

        There may be more of them than the queue has places. Raises Overloaded (queue full) or
        Unavailable (not ready, stopping).
        """

    def status(self) -> EngineStatus: ...
