"""The events that an engine reports while it runs. Independent of any metrics library.

The methods must not block and must not raise. All but `tokens_delivered` are called on the
engine's thread, if it has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Phase = Literal["queue", "prefill", "decode"]


@dataclass(slots=True)
class StepStats:
    """One engine step. `busy_seconds` is wall time; a mixed step splits it by tokens."""

    num_sequences: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_computed_prompt_tokens: int = 0
    num_cached_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_preemptions: int = 0
    num_draft_tokens: int = 0
    num_accepted_draft_tokens: int = 0
    num_forced_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    kv_cache_used_bytes: int = 0


class EngineObserver(Protocol):
    """`observability.metrics.Metrics` implements it; `NullObserver` ignores everything."""

    def step_finished(self, stats: StepStats) -> None: ...

    def tokens_delivered(
        self, first_tokens: Sequence[tuple[str, float]], gaps: Sequence[float]
    ) -> None:
        """Tokens have reached their streams. Called on the event loop, once per step.

        `first_tokens` has (request_id, seconds since the submit) for each first token of a
        sequence; `gaps` has, for each other token, the seconds since the sequence's previous one.
        """

    def queue_changed(self, num_running: int, num_waiting: int, kv_cache_used_bytes: int) -> None:
        """The queues changed outside a step: a submit, an abort, a failed engine."""

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None:
        """A sequence was aborted; its blocks were free `seconds_to_free` after the request."""

    def ready_changed(self, is_ready: bool, reason: str) -> None: ...

    def engine_failed(self, error: BaseException) -> None: ...


class NullObserver:
    """Ignores all events; for tests and offline use."""

    def step_finished(self, stats: StepStats) -> None: ...

    def tokens_delivered(
        self, first_tokens: Sequence[tuple[str, float]], gaps: Sequence[float]
    ) -> None: ...

    def queue_changed(
        self, num_running: int, num_waiting: int, kv_cache_used_bytes: int
    ) -> None: ...

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None: ...

    def ready_changed(self, is_ready: bool, reason: str) -> None: ...

    def engine_failed(self, error: BaseException) -> None: ...
