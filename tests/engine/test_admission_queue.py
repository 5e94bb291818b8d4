"""What waits for an engine is bounded, and a refusal says when there is room again."""

import pytest

from llm_service.engine.admission_queue import AdmissionQueue
from llm_service.errors import Overloaded


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_full_queue_frees_a_place_as_often_as_sequences_finish() -> None:
    clock = Clock()
    queue = AdmissionQueue(max_waiting=4, num_slots=2, clock=clock)
    queue.became_busy()
    clock.now = 104.0
    assert queue.mean_interval() == 4.0  # none has finished, so no sooner than this
    for clock.now in (101.0, 102.0, 103.0, 104.0):
        queue.finished()
    clock.now = 110.0
    assert queue.mean_interval() == 2.5
    clock.now = 162.5
    assert queue.mean_interval() == pytest.approx(60 / 2)  # the last minute only
    clock.now = 200.0
    queue.became_busy()
    clock.now = 203.0
    assert queue.mean_interval() == 3.0


@pytest.mark.parametrize(
    ("num_waiting", "num_running", "is_blocked", "is_refused"),
    [
        (4, 2, False, True),
        (3, 2, False, False),
        (5, 0, False, False),  # the next step lets two in
        (6, 0, False, True),
        (4, 0, True, True),  # the last step had no room for them
    ],
)
def test_only_what_the_next_step_leaves_outside_counts_as_waiting(
    num_waiting: int, num_running: int, is_blocked: bool, is_refused: bool
) -> None:
    queue = AdmissionQueue(max_waiting=4, num_slots=2)
    if not is_refused:
        queue.refuse_overload(num_waiting, num_running, is_blocked=is_blocked)
        return
    with pytest.raises(Overloaded, match="the queue is full") as refusal:
        queue.refuse_overload(num_waiting, num_running, is_blocked=is_blocked)
    assert refusal.value.retry_after is not None
    assert refusal.value.retry_after >= 1
