"""The ring of ended requests, and the refused ones, which must not flush it."""

import pytest

from llm_service.observability.record import RequestRecord
from llm_service.observability.request_ring import (
    KEPT_FOLDS,
    KEPT_REFUSED,
    KEPT_REQUESTS,
    RequestRing,
    TimeWindow,
)
from tests.observability.conftest import MakeRecord

START = 1_764_000_000.0
REFUSED = {"outcome": "rejected", "error_kind": "rate_limit", "error_phase": "admission"}


@pytest.fixture
def ring() -> RequestRing:
    return RequestRing(START)


def ids(records: list[RequestRecord]) -> list[str]:
    return [record.request_id for record in records]


def test_refusals_push_no_request_out(ring: RequestRing, make_record: MakeRecord) -> None:
    ring.add(make_record(request_id="ran"))
    for number in range(3 * KEPT_REQUESTS):
        ring.add(make_record(request_id=f"no-{number}", **REFUSED))
    assert ids(ring.recent(KEPT_REQUESTS)) == ["ran"]
    assert ring.find("ran") is not None
    assert ring.find("no-2999") is not None
    assert ring.find(f"no-{2999 - KEPT_REFUSED}") is None


def test_refusals_are_counted_by_key_and_reason_with_their_first_and_last_time(
    ring: RequestRing, make_record: MakeRecord
) -> None:
    for second in range(150):
        at = {"started_at": START + second, "duration_seconds": 0.5}
        ring.add(make_record(key_name="ada", request_id=f"a-{second}", **REFUSED, **at))
    full = {**REFUSED, "error_kind": "overloaded"}
    ring.add(make_record(key_name="bob", started_at=START + 7, duration_seconds=0, **full))
    ada, bob = ring.refusals()
    assert (ada.key_name, ada.reason, ada.count) == ("ada", "rate_limit", 150)
    assert (ada.first_at, ada.last_at) == (START + 0.5, START + 149.5)
    assert ada.last_request_id == "a-149"
    assert (bob.key_name, bob.reason, bob.count) == ("bob", "overloaded", 1)


def test_a_window_counts_the_refusals_of_its_minutes(
    ring: RequestRing, make_record: MakeRecord
) -> None:
    for minute in range(10):
        for second in (1, 30):
            at = START + 60 * minute + second
            ring.add(make_record(started_at=at, duration_seconds=0, **REFUSED))
    (some,) = ring.refusals(TimeWindow(START + 120, START + 239))
    assert (some.count, some.first_at, some.last_at) == (4, START + 121, START + 210)
    assert ring.refusals(TimeWindow(START - 100, START - 1)) == []
    assert [fold.count for fold in ring.refusals()] == [20], "counting must not change the counts"


def test_the_folds_are_bounded_and_the_oldest_go_first(
    ring: RequestRing, make_record: MakeRecord
) -> None:
    for minute in range(KEPT_FOLDS + 100):
        ring.add(make_record(started_at=START + 60 * minute, duration_seconds=0, **REFUSED))
    (fold,) = ring.refusals()
    assert (fold.count, fold.first_at) == (KEPT_FOLDS, START + 6000)


def test_a_window_has_the_requests_that_ran_in_it_not_those_that_began_in_it(
    ring: RequestRing, make_record: MakeRecord
) -> None:
    for name, begin, seconds in (
        ("before", 0, 5),
        ("across", 8, 30),
        ("in", 12, 1),
        ("late", 40, 1),
    ):
        ring.add(make_record(request_id=name, started_at=START + begin, duration_seconds=seconds))
    window = TimeWindow(START + 10, START + 20)
    assert ids(ring.recent(100, window)) == ["in", "across"]
    assert ids(ring.recent(1, window)) == ["in"]


def test_the_ring_says_since_when_it_knows_every_request(
    ring: RequestRing, make_record: MakeRecord
) -> None:
    assert ring.complete_since() == START
    for number in range(KEPT_REQUESTS + 1):
        ring.add(make_record(started_at=START + number, duration_seconds=2))
    assert ring.complete_since() == START + 1 + 2
