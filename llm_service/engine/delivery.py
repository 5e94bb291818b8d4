"""Measures when tokens reach the streams that callers read, in the same way for every engine."""

import time
from collections.abc import Callable, Iterable

from llm_service.engine.observer import EngineObserver
from llm_service.engine.request import GenerationChunk, Timings
from llm_service.errors import ServiceError


class DeliveryMeter:
    """Writes the delivery times into `Timings` and reports them. Used on the event loop only."""

    def __init__(
        self, observer: EngineObserver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._observer = observer
        self._clock = clock

    def measure(
        self, deliveries: Iterable[tuple[str, Timings, GenerationChunk | ServiceError]]
    ) -> None:
        """Record the events of one step for several sequences: (request_id, timings, event).

        Called just before the streams get the events. The time to first token and the gaps
        between tokens therefore include the delay until the event loop received them.
        """
        now = self._clock()
        first_tokens: list[tuple[str, float]] = []
        gaps: list[float] = []
        for request_id, timings, event in deliveries:
            if isinstance(event, ServiceError):
                timings.finished = now
                continue
            for _ in event.token_ids:
                if timings.last_token is None:
                    timings.first_token = now
                    first_tokens.append((request_id, now - timings.began))
                else:
                    gaps.append(now - timings.last_token)
                timings.last_token = now
            if event.finish_reason is not None:
                timings.finished = now
        if first_tokens or gaps:
            self._observer.tokens_delivered(first_tokens, gaps)
