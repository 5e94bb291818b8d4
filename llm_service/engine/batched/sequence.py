"""A `GenerationRequest`'s life in the batched engine: mutable, owned by the engine thread."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from llm_service.engine.batched.detokenizer import Detokenizer
from llm_service.engine.grammar import TokenConstraint
from llm_service.engine.observer import Phase
from llm_service.engine.request import FinishReason, GenerationRequest, Timings, Usage
from llm_service.errors import ServiceError


class SequenceStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(slots=True)
class DraftState:
    """The n-gram index and the trust that `drafts.PromptLookup` keeps for one sequence.

    No other code reads or writes it.
    """

    num_indexed: int  # tokens of the sequence that `positions` covers
    length: int  # tokens in the next draft
    pause: int  # tokens to wait after the next draft of which no token is accepted
    resumes_at: int = 0  # length of the sequence, in tokens, from which drafts are proposed again
    # maps n tokens to the latest position that follows them
    positions: dict[tuple[int, ...], int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Sequence:
    """Prompt and output ids, how many of them are computed, and the blocks that hold their KV.

    `token_ids` is prompt then output. Positions below `num_computed_tokens` have their
    KV in `block_table`. A preempted sequence loses its blocks and keeps everything else.
    """

    request: GenerationRequest
    token_ids: list[int]
    timings: Timings
    usage: Usage
    status: SequenceStatus = SequenceStatus.WAITING
    num_computed_tokens: int = 0
    # tokens of the prompt whose log-probabilities have been delivered
    num_scored_tokens: int = 0
    block_table: list[int] = field(default_factory=list)
    # chained content hashes of the leading full blocks that have been looked up so far
    block_hashes: list[bytes] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    # why it could not finish; then finish_reason is ABORT
    error: ServiceError | None = None
    detokenizer: Detokenizer | None = None  # set when it enters the core
    constraint: TokenConstraint | None = None  # set when it enters the core
    draft_state: DraftState | None = None
    # what `output_counts` returns, and how many of `token_ids` it includes
    _output_counts: dict[int, int] = field(default_factory=dict)
    _num_counted: int = 0

    @classmethod
    def from_request(cls, request: GenerationRequest, submitted: float) -> Self:
        return cls(
            request=request,
            token_ids=list(request.prompt.token_ids),
            timings=Timings(submitted=submitted, arrived=request.arrived),
            usage=Usage(num_prompt_tokens=len(request.prompt)),
        )

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.request.prompt)

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_uncomputed_tokens(self) -> int:
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def is_scored(self) -> bool:
        """Whether log-probabilities of the prompt are still to be computed."""
        is_asked = self.request.sampling.num_prompt_logprobs is not None
        return is_asked and self.num_scored_tokens < self.num_prompt_tokens

    def targets(self, end: int) -> tuple[int, ...]:
        """Return the tokens of the prompt to score once the KV before position `end` is computed.

        The logits of a position score the token after it. Nothing scores the first token.
        """
        if not self.is_scored:
            return ()
        prompt = self.request.prompt.token_ids
        return prompt[max(1, self.num_scored_tokens) : end + 1]

    @property
    def phase(self) -> Phase:
        if self.status is SequenceStatus.WAITING:
            return "queue"
        return "decode" if self.num_output_tokens else "prefill"

    def is_late(self, now: float) -> bool:
        return self.request.deadline is not None and self.request.deadline < now

    def output_counts(self) -> Mapping[int, int]:
        """Return how often each token of the sequence occurs in the output; 0: in the prompt only.

        The counts are kept, so a call takes time only for the tokens since the last call. They
        are never larger than the sequence, and a preemption leaves them as they are.
        """
        counts = self._output_counts
        if not self._num_counted:
            counts.update(dict.fromkeys(self.request.prompt.token_ids, 0))
            self._num_counted = self.num_prompt_tokens
        for token_id in self.token_ids[self._num_counted :]:
            counts[token_id] = counts.get(token_id, 0) + 1
        self._num_counted = len(self.token_ids)
        return counts

    def record_token(self, token_id: int) -> None:
        """Append one output token."""
        self.token_ids.append(token_id)
        self.usage.num_output_tokens += 1

    def finish(self, reason: FinishReason, error: ServiceError | None = None) -> None:
        self.status = SequenceStatus.FINISHED
        self.finish_reason = reason
        self.error = error
