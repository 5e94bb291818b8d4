"""The history keeps what was, and the panels say what it meant."""

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest

from llm_service.engine import StepStats
from llm_service.observability import history
from llm_service.observability.gpu import GpuCollector
from llm_service.observability.history import (
    KEPT_REQUESTS,
    KEPT_SECONDS,
    RESOLUTION_SECONDS,
    History,
)
from llm_service.observability.metrics import Metrics
from llm_service.observability.recent import KEPT_OBSERVATIONS, Recent
from llm_service.observability.series import MAX_POINTS, PANELS, Grid, query_panels
from llm_service.observability.snapshot import COLUMNS, read_row
from tests.observability.conftest import MakeRecord
from tests.support.fake_engine import INFO
from tests.support.fake_gpu import FakeGpu

START = 1_764_000_000.0
Values = list[float | None]


class Film:
    """A history whose clock is the test's."""

    def __init__(self, metrics: Metrics) -> None:
        self.now = START
        for recent in metrics.recent.values():
            recent.clock = lambda: self.now
        self.history = History(metrics, clock=lambda: self.now)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / RESOLUTION_SECONDS)):
            self.now += RESOLUTION_SECONDS
            self.history.sample()

    def panel(self, name: str, range_seconds: int = 60) -> dict[str, Any]:
        answer = query_panels(
            self.history.samples(),
            self.now,
            range_seconds,
            [name],
            recent=self.history.observations(),
        )
        decoded: dict[str, Any] = json.loads(json.dumps(answer, allow_nan=False))["panels"][name]
        return decoded

    def times(self, range_seconds: int = 60) -> list[float]:
        return Grid.until(self.now, range_seconds, RESOLUTION_SECONDS).times.tolist()

    def lines(self, name: str, range_seconds: int = 60) -> dict[str, Values]:
        return {line["name"]: line["values"] for line in self.panel(name, range_seconds)["series"]}


@pytest.fixture
def film(metrics: Metrics) -> Film:
    return Film(metrics)


@pytest.fixture
def _same_row(monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> None:
    """For tests of the ring: to read thousands of rows takes most of a minute."""
    row = read_row(metrics.registry)
    monkeypatch.setattr(history, "read_row", lambda registry: row)


@pytest.mark.usefixtures("_same_row")
def test_the_history_stays_the_same_size_and_the_oldest_goes_first(film: Film) -> None:
    before = film.history.num_bytes
    film.run(KEPT_SECONDS + 100)
    samples = film.history.samples()
    assert film.history.num_bytes == before < 3 * 2**20
    assert samples.times[-1] == film.now
    assert samples.times[0] == film.now - KEPT_SECONDS + RESOLUTION_SECONDS
    assert (np.diff(samples.times) == RESOLUTION_SECONDS).all()


def test_a_clock_set_back_begins_a_new_history(film: Film) -> None:
    film.run(20)
    film.now -= 3600
    film.run(4)
    samples = film.history.samples()
    assert samples.times.tolist() == [film.now - 2, film.now]


@pytest.mark.usefixtures("_same_row")
def test_rows_kept_together_with_the_ring_are_copies(film: Film) -> None:
    samples = film.history.samples()
    film.run(KEPT_SECONDS)
    assert samples.times.tolist() == [START]


def test_every_column_is_fed(metrics: Metrics, make_record: MakeRecord) -> None:
    metrics.request_finished(make_record())
    row = read_row(metrics.registry)
    missing = {column for column, index in COLUMNS.items() if np.isnan(row[index])}
    assert {name for name, _ in missing} <= {
        "llm_cpu_throttled_seconds_total",
        "llm_redis_up",
        "llm_gpu_memory_used_bytes",
        "llm_gpu_utilization_ratio",
    }


def test_a_column_is_the_sum_over_the_other_labels(
    metrics: Metrics, make_record: MakeRecord
) -> None:
    metrics.request_finished(make_record(operation="chat"))
    metrics.request_finished(make_record(operation="completion", model="other"))
    row = read_row(metrics.registry)
    assert row[COLUMNS[("llm_requests_total", "stop")]] == 2
    assert row[COLUMNS[("llm_request_duration_seconds_bucket", "+Inf")]] == 2


@pytest.mark.parametrize("range_seconds", [10, 60, 300, 900, 1198, 1199, 3600])
@pytest.mark.parametrize("now", [START, START + 1.3, START + 7.99])
def test_a_grid_has_at_most_600_even_points_and_ends_now(range_seconds: int, now: float) -> None:
    grid = Grid.until(now, range_seconds, RESOLUTION_SECONDS)
    assert 2 <= len(grid.times) <= MAX_POINTS
    assert set(np.diff(grid.even_times)) <= {grid.step}
    assert grid.step % RESOLUTION_SECONDS == 0
    assert (grid.even_times % grid.step == 0).all()
    assert grid.times[-1] == grid.end == now
    assert 0 < now - grid.even_times[-1] <= grid.step
    assert range_seconds - grid.step < now - grid.times[0] <= range_seconds


def test_a_range_below_a_step_is_the_point_of_now() -> None:
    assert Grid.until(START + 12, 10, 15).times.tolist() == [START + 12]


def test_polls_of_the_same_step_get_the_same_points() -> None:
    first, later = (Grid.until(now, 3600, RESOLUTION_SECONDS) for now in (START, START + 3))
    assert set(first.even_times[1:]) <= set(later.times)


def test_requests_per_second_by_outcome(
    film: Film, metrics: Metrics, make_record: MakeRecord
) -> None:
    film.run(20)
    for _ in range(5):
        metrics.request_finished(make_record(outcome="stop"))
    film.run(2)
    lines = film.lines("requests")
    assert lines["stop"][-1] == pytest.approx(0.5)  # 5 in a window of 10 s
    assert lines["length"][-1] == 0
    assert lines["stop"][0] is None, "before the start there is no sample, which is not 0"
    film.run(10)
    assert film.lines("requests")["stop"][-1] == 0


def test_a_quantile_without_samples_is_null_and_says_how_many(film: Film, metrics: Metrics) -> None:
    film.run(10)
    metrics.of_model(INFO).tokens_delivered([("a-0", 0.15), ("b-0", 0.15)], [])
    film.run(2)
    panel = film.panel("ttft")
    lines = {line["name"]: line for line in panel["series"]}
    assert lines["p50"]["values"][-1] == pytest.approx(0.15)
    assert lines["p50"]["values"][-3] is None
    assert lines["p50"]["labels"] == {"quantile": "0.5"}
    assert panel["samples"][-3:] == [0, 2, 2]
    assert "is_clipped" not in lines["p50"]


def test_a_quantile_beyond_the_last_bucket_is_clipped_and_says_so(
    film: Film, metrics: Metrics
) -> None:
    film.run(2)
    metrics.of_model(INFO).tokens_delivered([], [99.0])
    film.run(2)
    panel = film.panel("inter_token")
    (p50, *_) = panel["series"]
    assert p50["values"][-1] == panel["bounds"][1] == 5
    assert p50["is_clipped"] is True


def test_a_quantile_in_the_first_bucket_is_its_bound_and_no_made_up_share_of_it(
    film: Film, metrics: Metrics
) -> None:
    film.run(2)
    metrics.of_model(INFO).tokens_delivered([], [0.0001] * 30)
    film.run(2)
    panel = film.panel("inter_token")
    assert panel["bounds"] == [0.0005, 5]
    assert "exact_since" not in panel
    assert [line["values"][-1] for line in panel["series"]] == [0.0005] * 3


def test_quantiles_of_first_tokens_are_values_that_were_observed(
    film: Film, metrics: Metrics
) -> None:
    film.run(20)
    seconds = [0.0094] * 10 + [0.0166] * 9 + [0.75]
    metrics.of_model(INFO).tokens_delivered([(f"{i}-0", s) for i, s in enumerate(seconds)], [])
    film.run(2)
    panel = film.panel("ttft")
    latest = {line["name"]: line["values"][-1] for line in panel["series"]}
    assert latest == {"p50": 0.0094, "p95": 0.0166, "p99": 0.75}
    assert panel["samples"][-1] == 20
    assert panel["exact_since"] == film.panel("ttft", 60)["exact_since"] <= START


def test_quantiles_of_durations_are_values_that_were_observed(
    film: Film, metrics: Metrics, make_record: MakeRecord
) -> None:
    film.run(20)
    for seconds in (0.51, 0.52, 0.97):
        metrics.request_finished(make_record(duration_seconds=seconds))
    metrics.request_finished(make_record(duration_seconds=9.0, outcome="rejected"))
    film.run(2)
    lines = film.lines("duration")
    assert (lines["p50"][-1], lines["p95"][-1]) == (0.52, 0.97)
    assert film.panel("duration")["samples"][-1] == 3


def test_a_point_is_interpolated_if_the_observations_do_not_reach_back_that_far(
    film: Film, metrics: Metrics
) -> None:
    model = metrics.of_model(INFO)
    film.run(20)
    model.tokens_delivered([("early-0", 0.0166)], [])
    film.run(20)
    for _ in range(KEPT_OBSERVATIONS):  # they push the early one out
        model.tokens_delivered([("late-0", 0.0094)], [])
    film.run(40)
    panel = film.panel("ttft", 80)
    (p50, *_) = panel["series"]
    times = np.array(film.times(80))
    early, late = (p50["values"][int(np.searchsorted(times, START + at))] for at in (24, 44))
    assert 0.015 < early <= 0.02, "in its bucket, but not the value itself"
    assert late == 0.0094
    assert panel["exact_since"] == START + 30, "10 s, a window, after the one that is missing"


def test_observations_from_before_a_clock_was_set_back_are_dropped() -> None:
    now = START
    recent = Recent(clock=lambda: now)
    recent.observe(1.0)
    now -= 3600
    recent.observe(2.0)
    kept = recent.observations()
    assert (kept.times.tolist(), kept.values.tolist(), kept.since) == ([now], [2.0], now)


def test_the_rates_of_a_young_source_are_of_the_time_that_it_has_seen(
    film: Film, metrics: Metrics, make_record: MakeRecord
) -> None:
    for _ in range(50):
        metrics.request_finished(make_record())
        film.run(2)
    # Each point of a day covers minutes, and this source is 100 s old.
    answer = query_panels(film.history.samples(), film.now, 86400, ["requests"])
    (stop, *_) = answer["panels"]["requests"]["series"]  # type: ignore[index]
    assert stop["values"][-1] == pytest.approx(0.5, rel=0.03)
    assert stop["values"][0] is None


def test_a_stall_is_a_gap_in_every_line(film: Film) -> None:
    film.run(60)
    film.now += 40
    film.run(4)
    running = film.lines("concurrency", 100)["running"]
    assert None in running[-20:]
    assert running[-1] == 0
    stop = film.lines("requests", 100)["stop"]
    assert None in stop[-20:]


def test_speed_is_tokens_over_busy_time(film: Film, metrics: Metrics) -> None:
    film.run(10)
    assert film.lines("speed")["decode"][-1] is None, "idle is not slow"
    metrics.of_model(INFO).step_finished(
        StepStats(
            num_computed_prompt_tokens=300,
            prefill_seconds=0.5,
            num_output_tokens=30,
            decode_seconds=0.25,
        )
    )
    film.run(2)
    lines = film.lines("speed")
    assert lines["prefill"][-1] == pytest.approx(600)
    assert lines["decode"][-1] == pytest.approx(120)


def test_phases_are_means_per_request(
    film: Film, metrics: Metrics, make_record: MakeRecord
) -> None:
    film.run(10)
    metrics.request_finished(make_record(queue_seconds=0.1))
    metrics.request_finished(make_record(queue_seconds=0.3))
    film.run(2)
    assert film.lines("phases")["queue"][-1] == pytest.approx(0.2)


def test_memory_is_what_is_named_and_the_rest(film: Film) -> None:
    film.run(2)
    lines = film.lines("memory")
    latest = {name: values[-1] for name, values in lines.items()}
    # as the fake engine says
    assert latest["weights"] == latest["kv_cache"] == latest["compute"] == 1
    assert latest["other"] is not None
    assert latest["limit"] is not None
    assert 2**20 < latest["other"] < latest["limit"]


def test_cpu_is_in_cores(film: Film) -> None:
    film.run(2)
    began = time.process_time()
    while time.process_time() < began + 0.1:
        pass
    film.run(2)
    used = film.lines("cpu")["used"][-1]
    assert used is not None
    assert used >= 0.1 / Grid.until(film.now, 60, RESOLUTION_SECONDS).window


def test_every_panel_has_something_to_show_after_mixed_load(
    film: Film, metrics: Metrics, make_record: MakeRecord
) -> None:
    film.run(10)
    for outcome in ("stop", "error", "rejected", "cancelled"):
        metrics.request_finished(make_record(outcome=outcome, error_kind="backend"))
    metrics.rejected("admin", "requests")
    metrics.of_model(INFO).step_finished(
        StepStats(
            num_sequences=2,
            num_computed_prompt_tokens=10,
            num_output_tokens=2,
            prefill_seconds=0.1,
            decode_seconds=0.1,
            num_preemptions=1,
        )
    )
    metrics.of_model(INFO).tokens_delivered([("a-0", 0.1)], [0.02])
    asyncio.run(watch_for(metrics, 0.3))
    film.run(2)
    for name in PANELS:
        for line, values in film.lines(name).items():
            is_optional = line == "throttled" or name in ("redis", "gpu_memory", "gpu_busy")
            assert values[-1] is not None or is_optional, f"{name}: {line}"


async def watch_for(metrics: Metrics, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(metrics.watch_event_loop(), seconds)


def test_a_blocked_event_loop_shows_as_lag(film: Film, metrics: Metrics) -> None:
    async def block() -> None:
        watcher = asyncio.create_task(metrics.watch_event_loop())
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - this is the fault
        for _ in range(20):  # the timer is due: a few turns of the loop run it
            await asyncio.sleep(0)
        watcher.cancel()

    film.run(2)
    asyncio.run(block())
    film.run(2)
    assert lag(metrics) > 0.25
    p50 = film.lines("event_loop_lag")["p50"][-1]
    assert p50 is not None
    assert p50 > 0.25


def lag(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("llm_event_loop_lag_seconds_sum") or 0


def test_the_latest_requests_come_newest_first_and_are_bounded(
    film: Film, make_record: MakeRecord
) -> None:
    for number in range(KEPT_REQUESTS + 5):
        film.history.request_finished(make_record(request_id=f"id-{number}"))
    latest = film.history.recent_requests(2000)
    assert len(latest) == KEPT_REQUESTS
    assert [record.request_id for record in latest[:2]] == ["id-1004", "id-1003"]
    assert [record.request_id for record in film.history.recent_requests(1)] == ["id-1004"]


@pytest.mark.anyio
async def test_the_history_runs_by_itself_and_survives_a_failing_read(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film(metrics)
    taken = asyncio.Event()
    loop = asyncio.get_running_loop()
    calls = 0
    sample = film.history.sample

    def counted_sample() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no /proc today")
        film.now += RESOLUTION_SECONDS
        sample()
        loop.call_soon_threadsafe(taken.set)

    monkeypatch.setattr(film.history, "sample", counted_sample)
    film.now += RESOLUTION_SECONDS - 0.01  # the next whole multiple is near
    task = asyncio.create_task(film.history.run())
    await asyncio.wait_for(taken.wait(), 30)
    task.cancel()
    assert len(film.history.samples().times) == 2


def test_a_heatmap_counts_what_fell_between_two_bounds(film: Film, metrics: Metrics) -> None:
    film.run(10)
    metrics.of_model(INFO).tokens_delivered([], [0.001, 0.016, 0.017, 99.0])
    film.run(2)
    metrics.of_model(INFO).tokens_delivered([("a-0", 0.012), ("b-0", 0.013)], [])
    film.run(2)

    def counted(panel: str) -> dict[str, float]:
        return {le: values[-1] for le, values in film.lines(panel).items() if values[-1]}

    assert counted("itl_heatmap") == {"0.001": 1, "0.02": 2, "+Inf": 1}
    assert counted("ttft_heatmap") == {"0.015": 2}


def test_shares_are_between_nothing_and_all(film: Film, metrics: Metrics) -> None:
    film.run(10)
    assert film.lines("prefix_hits")["cached"][-1] is None, "no prompt is not no hit"
    metrics.of_model(INFO).step_finished(
        StepStats(
            num_computed_prompt_tokens=30,
            num_cached_prompt_tokens=10,
            prefill_seconds=2.0,
            decode_seconds=4.0,
        )
    )
    film.run(2)
    assert film.lines("prefix_hits")["cached"][-1] == pytest.approx(0.25)
    assert film.lines("duty")["decode"][-1] == pytest.approx(0.4)  # 4 s of a window of 10
    assert film.lines("kv_ratio")["used"][-1] == 0


def test_the_speed_of_a_stream_is_one_over_the_mean_gap(film: Film, metrics: Metrics) -> None:
    film.run(10)
    metrics.of_model(INFO).tokens_delivered([], [0.02, 0.03])
    film.run(2)
    assert film.lines("stream_speed")["mean"][-1] == pytest.approx(40)


def test_redis_is_drawn_where_there_is_one(film: Film, metrics: Metrics) -> None:
    film.run(2)
    assert film.lines("redis")["up"][-1] is None
    metrics.redis_up(False)
    film.run(2)
    assert film.lines("redis")["up"][-1] == 0


def test_a_gpu_is_drawn_where_there_is_one(film: Film, metrics: Metrics) -> None:
    film.run(2)
    assert film.lines("gpu_memory")["used"][-1] is None
    metrics.registry.register(GpuCollector(FakeGpu()))
    film.run(2)
    assert film.lines("gpu_memory")["used"][-1] == 5000
    assert film.lines("gpu_busy")["busy"][-1] == 0.75
