"""One accepted inference request, from admission to its end.

Owns the permit, the token stream, the choices and the record. However the request ends, `close`
runs once: it aborts the stream, settles the permit, completes the record and reports the end. It
does not know wire formats.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from llm_service.access.api_key import ApiKey
from llm_service.access.limits import Permit
from llm_service.api.choice import Choice
from llm_service.api.responses import UsageOut, usage_out
from llm_service.engine import Phase, SequenceProgress, Timings, TokenStream
from llm_service.engine.answer import Delta, Parser
from llm_service.errors import (
    CancelledByOperator,
    DeadlineExceeded,
    RequestCancelled,
    ServiceError,
)
from llm_service.observability.record import RequestRecord

Event = tuple[int, list[Delta]]  # a choice's index, and what is new in it; may be nothing


class Generation:
    """The choices of one request: `next_event` until None, then `close`."""

    def __init__(
        self,
        record: RequestRecord,
        permit: Permit,
        stream: TokenStream,
        *,
        choices_per_prompt: int,
        max_tokens: int,
        image_tokens: int,
        parsers: Sequence[Parser],
        ended: Callable[["Generation"], None],
    ) -> None:
        """`max_tokens` is for all choices, `image_tokens` are those of all prompts.

        `ended` is called once, with the record complete.
        `parsers` has one entry for each choice.
        """
        self._permit = permit
        self._stream = stream
        self._choices_per_prompt = choices_per_prompt
        self._ended = ended
        self._is_closed = False
        self._cancellation: CancelledByOperator | None = None
        self.choices = [
            Choice(sequence, parser)
            for sequence, parser in zip(stream.sequences, parsers, strict=True)
        ]
        self.record = record
        self.max_tokens = max_tokens
        self._image_tokens = image_tokens

    @property
    def key(self) -> ApiKey:
        return self._permit.key

    @property
    def timings(self) -> Timings:
        """The timings of the first choice, which stand for the request."""
        return self.choices[0].sequence.timings

    @property
    def limit_headers(self) -> dict[str, str]:
        snapshot = self._permit.snapshot
        return {} if snapshot is None else snapshot.headers()

    @property
    def num_cached_tokens(self) -> int:
        """Prompt tokens that the first choice of each prompt found in the cache, summed."""
        return sum(sequence.usage.num_cached_tokens for sequence in self._first_sequences())

    @property
    def num_computed_tokens(self) -> int:
        """Prompt tokens that the first choice of each prompt has computed so far, summed."""
        return sum(
            min(sequence.num_computed_tokens, sequence.usage.num_prompt_tokens)
            for sequence in self._first_sequences()
        )

    @property
    def phase(self) -> Phase:
        return _phase(self.timings)

    @property
    def elapsed_seconds(self) -> float:
        return time.time() - self.record.started_at

    @property
    def num_output_tokens(self) -> int:
        return sum(choice.sequence.usage.num_output_tokens for choice in self.choices)

    def usage(self) -> UsageOut:
        return usage_out(
            self.record.prompt_tokens,
            self.num_cached_tokens,
            self.num_output_tokens,
            sum(choice.parts.num_reasoning_tokens for choice in self.choices),
            self._image_tokens,
        )

    async def next_event(self) -> Event | None:
        """Return what the next chunk of any choice adds to it; None when all have finished."""
        try:
            event = await anext(self._stream, None)
        except RequestCancelled as error:
            raise self._cancellation or error from None
        if self._cancellation is not None:
            raise self._cancellation
        if event is None:
            return None
        index, chunk = event
        return index, self.choices[index].feed(chunk)

    def cancel(self) -> None:
        """End the request now, in any phase; a caller that awaits an event gets the reason."""
        self._cancellation = CancelledByOperator(
            "An operator of this service cancelled this request."
        )
        self.close(self._cancellation)

    def close(self, error: BaseException | None = None) -> None:
        """End the request; only the first call counts."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stream.abort()
        self._finish_record(error)
        self._permit.settle(self.record.prompt_tokens + self.record.output_tokens)
        self._ended(self)

    def _finish_record(self, error: BaseException | None) -> None:
        record, timings = self.record, self.timings
        record.cached_tokens = self.num_cached_tokens
        record.output_tokens = self.num_output_tokens
        record.queue_seconds = timings.queue_seconds
        record.prefill_seconds = timings.prefill_seconds
        record.decode_seconds = _decode_seconds(timings)
        record.ttft_seconds = timings.ttft_seconds
        record.duration_seconds = self.elapsed_seconds
        record.outcome = self._outcome(error)
        if record.outcome in ("error", "timeout"):
            record.error_kind = error.kind if isinstance(error, ServiceError) else "internal"
            record.error_phase = _phase(timings)

    def _outcome(self, error: BaseException | None) -> str:
        match error:
            case None if all(choice.finish_reason for choice in self.choices):
                return str(self.choices[0].finish_reason)
            case None | RequestCancelled() | asyncio.CancelledError() | GeneratorExit() | OSError():
                return "cancelled"
            case DeadlineExceeded():
                return "timeout"
            case _:
                return "error"

    def _first_sequences(self) -> list[SequenceProgress]:
        """The sequence of each prompt's first choice; the others share its prompt."""
        return [choice.sequence for choice in self.choices[:: self._choices_per_prompt]]


def _decode_seconds(timings: Timings) -> float | None:
    """From the first token to the end; a request that is cut off has decoded until now."""
    if timings.first_token is None or timings.finished is not None:
        return timings.decode_seconds
    return time.monotonic() - timings.first_token


def _phase(timings: Timings) -> Phase:
    if timings.first_scheduled is None:
        return "queue"
    return "prefill" if timings.first_token is None else "decode"
