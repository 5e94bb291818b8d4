"""A `GenerationRequest`'s life in the batched engine: mutable, owned by the engine thread."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from llm_service.engine.batched.detokenizer import Detokenizer
from llm_service.engine.observer import Phase
from llm_service.engine.request import FinishReason, GenerationRequest, Timings, Usage
from llm_service.errors import ServiceError


class SequenceStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(slots=True)
class DraftState:
    """How a sequence's next tokens are guessed; `drafts` alone reads and writes it."""

    num_indexed: int
    length: int  # of the next draft
    pause: int  # tokens to wait after the next one that is all wrong
    resumes_at: int = 0  # number of tokens
    # the n tokens before a position, to the latest position after them
    positions: dict[tuple[int, ...], int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Sequence:
    """Prompt and output ids with how far they are computed and where their KV lies.

    `token_ids` is prompt then output. Positions below `num_computed_tokens` have their
    KV in `block_table`. A preempted sequence keeps `token_ids` and loses the rest.
    """

    request: GenerationRequest
    token_ids: list[int]
    timings: Timings
    usage: Usage
    status: SequenceStatus = SequenceStatus.WAITING
    num_computed_tokens: int = 0
    block_table: list[int] = field(default_factory=list)
    # chained content hashes of the full blocks, as far as they have been asked for
    block_hashes: list[bytes] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    # why it could not finish; then finish_reason is ABORT
    error: ServiceError | None = None
    detokenizer: Detokenizer | None = None  # set when it enters the core
    draft_state: DraftState | None = None
    last_token_at: float | None = None  # time.monotonic() seconds

    @classmethod
    def from_request(cls, request: GenerationRequest, submitted: float) -> Self:
        return cls(
            request=request,
            token_ids=list(request.prompt_token_ids),
            timings=Timings(submitted=submitted),
            usage=Usage(num_prompt_tokens=len(request.prompt_token_ids)),
        )

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.request.prompt_token_ids)

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_uncomputed_tokens(self) -> int:
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def phase(self) -> Phase:
        if self.status is SequenceStatus.WAITING:
            return "queue"
        return "prefill" if self.timings.first_token is None else "decode"

    def is_late(self, now: float) -> bool:
        return self.request.deadline is not None and self.request.deadline < now

    def record_token(self, token_id: int, now: float) -> float | None:
        """Take one output token; returns the seconds since the previous one, if any."""
        gap = None if self.last_token_at is None else now - self.last_token_at
        if self.timings.first_token is None:
            self.timings.first_token = now
        self.last_token_at = now
        self.token_ids.append(token_id)
        self.usage.num_output_tokens += 1
        return gap

    def finish(self, reason: FinishReason, now: float, error: ServiceError | None = None) -> None:
        self.status = SequenceStatus.FINISHED
        self.finish_reason = reason
        self.error = error
        self.timings.finished = now
