"""What an engine tells the outside world while it runs. No metrics library here.

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
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    kv_cache_used_bytes: int = 0


class EngineObserver(Protocol):
    """`observability.metrics.Metrics` is the real one; `NullObserver` hears nothing."""

    def step_finished(self, stats: StepStats) -> None: ...

    def tokens_delivered(
        self, first_tokens: Sequence[tuple[str, float]], gaps: Sequence[float]
    ) -> None:
        """Tokens have reached their streams. Called on the event loop, once per step.

        `first_tokens` has (request_id, seconds since the submit) of each sequence whose first
        token is among them; `gaps` the seconds since the same sequence's previous token.
        """

    def queue_changed(self, num_running: int, num_waiting: int, kv_cache_used_bytes: int) -> None:
        """The queues changed outside a step: a submit, an abort, a failed engine."""

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None:
        """An abort was carried out; its blocks were free `seconds_to_free` after it was asked."""

    def ready_changed(self, is_ready: bool, reason: str) -> None: ...

    def engine_failed(self, error: BaseException) -> None: ...


class NullObserver:
    """Hears nothing; for tests and offline use."""

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
