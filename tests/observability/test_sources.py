"""The same history in Prometheus and in the service draws the same lines."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from llm_service.engine import StepStats
from llm_service.observability.gpu import GpuCollector
from llm_service.observability.metrics import Metrics
from llm_service.observability.prometheus import Prometheus
from llm_service.observability.rates import Samples
from llm_service.observability.record import ERROR_KINDS, OUTCOMES
from llm_service.observability.series import PANELS, query_panels, query_prometheus
from llm_service.observability.snapshot import COLUMNS, LABEL_OF
from tests.observability.conftest import MakeRecord
from tests.observability.test_series import START, Film
from tests.support.fake_engine import INFO
from tests.support.fake_gpu import FakeGpu
from tests.support.prometheus_server import PrometheusServer

RANGE_SECONDS = 120


def live(metrics: Metrics, make_record: MakeRecord, random: Generator) -> None:
    """Two seconds of a service's life."""
    for _ in range(random.poisson(2)):
        outcome = str(random.choice(OUTCOMES))
        seconds = random.exponential(0.5, 3)
        metrics.request_finished(
            make_record(
                outcome=outcome,
                error_kind=str(random.choice(ERROR_KINDS)),
                queue_seconds=seconds[0],
                prefill_seconds=seconds[1],
                decode_seconds=seconds[2],
                duration_seconds=seconds.sum(),
            )
        )
    metrics.of_model(INFO).step_finished(
        StepStats(
            num_sequences=int(random.integers(1, 8)),
            num_running=int(random.integers(0, 8)),
            num_waiting=int(random.integers(0, 3)),
            num_computed_prompt_tokens=int(random.integers(0, 90)),
            num_cached_prompt_tokens=int(random.integers(0, 90)),
            num_output_tokens=int(random.integers(1, 50)),
            num_preemptions=int(random.integers(0, 2)),
            prefill_seconds=random.uniform(0, 0.5),
            decode_seconds=random.uniform(0.1, 0.5),
            kv_cache_used_bytes=int(random.integers(0, 2)),
        )
    )
    metrics.of_model(INFO).tokens_delivered(
        [("a-0", random.exponential(1))], random.exponential(0.1, 40).tolist()
    )
    metrics.rejected("admin", "requests")
    metrics._lag.observe(random.exponential(0.01))
    metrics.redis_up(bool(random.integers(0, 2)))


def as_blocks(samples: Samples, folder: Path) -> None:
    """Puts the history where a Prometheus that starts in `folder` finds it as its own."""
    lines = []
    for (name, label), index in COLUMNS.items():
        and_label = f',{LABEL_OF[name]}="{label}"' if label else ""
        lines += [
            f'{name}{{job="llm_service"{and_label}}} {value} {time}'
            for time, value in zip(samples.times, samples.values[:, index], strict=True)
            if not np.isnan(value)
        ]
    text = folder / "history.txt"
    text.write_text("\n".join([*lines, "# EOF\n"]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*command, text, folder / "data"], check=True, capture_output=True)


@pytest.fixture
def film(metrics: Metrics, make_record: MakeRecord) -> Film:
    """Four minutes with a stall, sampled between the points of the grid."""
    metrics.registry.register(GpuCollector(FakeGpu()))
    film, random = Film(metrics), np.random.default_rng(1)
    film.now = START + 0.5
    for second in range(0, 240, 2):
        live(metrics, make_record, random)
        if 150 <= second < 170:
            film.now += 2
        else:
            film.run(2)
    return film


@pytest.fixture
def prometheus(film: Film, tmp_path: Path) -> Iterator[Prometheus]:
    as_blocks(film.history.samples(), tmp_path)
    with PrometheusServer(tmp_path, None, scrape_seconds=2) as server:
        server.wait_for(['up{job="llm_service"}'])
        prometheus = Prometheus(server.url)
        yield prometheus
        prometheus.close()


def numbers(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def test_both_sources_draw_the_same_lines(film: Film, prometheus: Prometheus) -> None:
    assert INFO.model_id == "pocket"
    # Between two samples: Prometheus 2 and 3 differ about the border of a window.
    now = film.now + 0.75
    ours: Any = query_panels(film.history.samples(), now, RANGE_SECONDS, PANELS)
    theirs: Any = query_prometheus(prometheus, now, RANGE_SECONDS, PANELS)
    assert (ours["source"]["kind"], theirs["source"]["kind"]) == ("history", "prometheus")
    assert ours["times"] == theirs["times"]
    for name in PANELS:
        panel, twin = ours["panels"][name], theirs["panels"][name]
        assert (panel["title"], panel["unit"]) == (twin["title"], twin["unit"])
        for line, other in zip(panel["series"], twin["series"], strict=True):
            assert (line["name"], line["labels"]) == (other["name"], other["labels"])
            assert line.get("is_clipped") == other.get("is_clipped"), f"{name}: {line['name']}"
            expected = pytest.approx(numbers(line["values"]), rel=1e-4, abs=2e-6, nan_ok=True)
            assert numbers(other["values"]) == expected, f"{name}: {line['name']}"
        assert panel.get("bounds") == twin.get("bounds"), name
        assert panel.get("samples") == pytest.approx(twin.get("samples"), abs=1), name


def test_the_history_that_is_compared_has_something_in_every_panel_and_a_gap(film: Film) -> None:
    ours: Any = query_panels(film.history.samples(), film.now, RANGE_SECONDS, PANELS)
    for name in PANELS:
        values = np.array([numbers(line["values"]) for line in ours["panels"][name]["series"]])
        assert np.isfinite(values).any(), name
        assert np.isnan(values).any(), name
