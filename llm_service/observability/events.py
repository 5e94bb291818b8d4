"""What happened to the service: the marks on its charts. A small ring, lost with the process."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_service.engine.observer import EngineObserver, Phase, StepStats

EventKind = Literal["start", "load", "restart", "drain", "limit"]
KEPT_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is in unix seconds. `words` is a sentence with names, never text of a request."""

    at: float
    kind: EventKind
    words: str


class EventLog:
    """Any thread may call any method."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)

    def add(self, kind: EventKind, words: str) -> None:
        self._events.append(Event(self._clock(), kind, words))

    def all(self) -> list[Event]:
        """Oldest first."""
        return [*self._events.copy()]


class EngineEvents:
    """An EngineObserver that passes everything on and notes when the engine fails and restarts."""

    def __init__(self, observer: EngineObserver, model: str, events: EventLog) -> None:
        self._observer = observer
        self._model = model
        self._events = events

    def step_finished(self, stats: StepStats) -> None:
        self._observer.step_finished(stats)

    def tokens_delivered(
        self, first_tokens: Sequence[tuple[str, float]], gaps: Sequence[float]
    ) -> None:
        self._observer.tokens_delivered(first_tokens, gaps)

    def queue_changed(self, num_running: int, num_waiting: int, kv_cache_used_bytes: int) -> None:
        self._observer.queue_changed(num_running, num_waiting, kv_cache_used_bytes)

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None:
        self._observer.sequence_cancelled(phase, seconds_to_free)

    def ready_changed(self, is_ready: bool, reason: str) -> None:
        self._observer.ready_changed(is_ready, reason)

    def engine_failed(self, error: BaseException) -> None:
        name = type(error).__name__
        self._events.add("restart", f"The engine of {self._model} failed ({name}) and restarts.")
        self._observer.engine_failed(error)
