"""Times to the first token and between tokens, as callers see them."""

from collections.abc import Sequence

import pytest

from llm_service.engine.delivery import DeliveryMeter
from llm_service.engine.observer import NullObserver
from llm_service.engine.request import FinishReason, GenerationChunk, Timings
from llm_service.errors import EngineFailed


class Heard(NullObserver):
    def __init__(self) -> None:
        self.first_tokens: list[tuple[str, float]] = []
        self.gaps: list[float] = []
        self.num_reports = 0

    def tokens_delivered(
        self, first_tokens: Sequence[tuple[str, float]], gaps: Sequence[float]
    ) -> None:
        self.num_reports += 1
        self.first_tokens += first_tokens
        self.gaps += gaps


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def chunk(num_tokens: int, reason: FinishReason | None = None) -> GenerationChunk:
    return GenerationChunk("", tuple(range(num_tokens)), finish_reason=reason)


def test_times_are_those_at_which_tokens_reach_their_streams() -> None:
    heard, clock = Heard(), Clock()
    meter = DeliveryMeter(heard, clock)
    a, b = Timings(submitted=1.0, first_scheduled=2.0), Timings(submitted=2.0)
    clock.now = 4.0
    meter.measure([("a", a, chunk(1))])
    clock.now = 4.5
    meter.measure([("a", a, chunk(1)), ("b", b, chunk(1))])
    clock.now = 5.5
    meter.measure([("a", a, chunk(1, FinishReason.STOP))])
    assert heard.first_tokens == [("a", 3.0), ("b", 2.5)]
    assert heard.gaps == [pytest.approx(0.5), pytest.approx(1.0)]
    assert heard.num_reports == 3, "one report per step, however many sequences it had"
    assert (a.prefill_seconds, a.decode_seconds, a.ttft_seconds) == (2.0, 1.5, 3.0)
    assert b.finished is None


def test_the_time_to_first_token_counts_from_the_arrival_of_the_request() -> None:
    heard, clock = Heard(), Clock()
    meter, timings = DeliveryMeter(heard, clock), Timings(submitted=2.0, arrived=0.5)
    clock.now = 4.0
    meter.measure([("a", timings, chunk(1))])
    assert heard.first_tokens == [("a", 3.5)]
    assert timings.ttft_seconds == 3.5


def test_tokens_of_one_delivery_have_no_gap_between_them() -> None:
    heard, clock = Heard(), Clock()
    meter, timings = DeliveryMeter(heard, clock), Timings(submitted=0.0)
    clock.now = 1.0
    meter.measure([("a", timings, chunk(3))])
    assert heard.first_tokens == [("a", 1.0)]
    assert heard.gaps == [0.0, 0.0]


def test_a_failed_sequence_is_finished_without_a_token() -> None:
    heard, clock = Heard(), Clock()
    meter, timings = DeliveryMeter(heard, clock), Timings(submitted=0.0)
    clock.now = 1.0
    meter.measure([("a", timings, EngineFailed("broken"))])
    assert timings.finished == 1.0
    assert timings.first_token is None
    assert heard.num_reports == 0
