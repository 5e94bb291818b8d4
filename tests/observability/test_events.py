"""What is marked on the charts."""

from llm_service.engine import StepStats
from llm_service.observability.events import KEPT_EVENTS, EngineEvents, EventLog
from llm_service.observability.metrics import Metrics
from tests.support.fake_engine import INFO


def test_the_latest_events_are_kept_oldest_first() -> None:
    now = 0.0

    def clock() -> float:
        return now

    events = EventLog(clock=clock)
    for number in range(KEPT_EVENTS + 3):
        now = float(number)
        events.add("load", f"model {number} was loaded.")
    kept = events.all()
    assert len(kept) == KEPT_EVENTS
    assert (kept[0].at, kept[0].words) == (3.0, "model 3 was loaded.")
    assert kept[-1].at == KEPT_EVENTS + 2


def test_a_failing_engine_is_an_event_and_still_counted(metrics: Metrics) -> None:
    events = EventLog()
    observer = EngineEvents(metrics.of_model(INFO), "pocket", events)
    observer.engine_failed(MemoryError("no room"))
    observer.step_finished(StepStats(num_sequences=1, num_output_tokens=3))
    (event,) = events.all()
    assert event.kind == "restart"
    assert event.words == "The engine of pocket failed (MemoryError) and restarts."
    sample = metrics.registry.get_sample_value
    assert sample("llm_engine_failures_total", {"model": "pocket"}) == 1
    assert sample("llm_output_tokens_total", {"model": "pocket"}) == 3
