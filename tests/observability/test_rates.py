"""Our arithmetic gives what Prometheus gives: promtool computes the same samples and compares."""

import json
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llm_service.observability.rates import (
    Floats,
    Samples,
    histogram_quantile,
    increase,
    latest,
    rate,
)

INTERVAL = 2
BOUNDS = (0.1, 0.5, 1.0, 5.0)
# Where Prometheus 2 and 3 agree: on odd seconds, between the samples (does a window include
# its border?), and not in windows from before the first sample (how far may a young counter
# be extrapolated?).
TIMES = np.arange(31.0, 260.0, 2.0)


def history(seed: int) -> tuple[Samples, dict[str, int]]:
    """Two minutes with a stall, a restart and an idle time; then the process is gone."""
    random = np.random.default_rng(seed)
    times = np.arange(0.0, 200.0, INTERVAL)
    observed = random.poisson(0.7, (len(times), len(BOUNDS) + 1)).astype(float)
    observed[60:75] = 0
    buckets = 1000 + observed.cumsum(axis=0).cumsum(axis=1)
    from_zero = random.poisson(1.0, len(times)).cumsum().astype(float)
    restarted = 500 + random.poisson(3.0, len(times)).cumsum().astype(float)
    restarted[45:] -= restarted[45] - 2
    gauge = random.uniform(0, 9, len(times)).round(3)
    values = np.column_stack([from_zero, restarted, gauge, buckets])
    is_kept = np.ones(len(times), dtype=bool)
    is_kept[30:42] = is_kept[50] = False
    names = ["from_zero", "restarted", "gauge", *(f"le{i}" for i in range(len(BOUNDS) + 1))]
    columns = {name: index for index, name in enumerate(names)}
    return Samples(times[is_kept], values[is_kept]), columns


def only(samples: Samples, *columns: int) -> Samples:
    return Samples(samples.times, samples.values[:, columns])


def as_promtool_series(samples: Samples, column: int) -> str:
    by_time = dict(zip(samples.times.tolist(), samples.values[:, column].tolist(), strict=True))
    steps = range(0, int(samples.times[-1]) + 1, INTERVAL)
    return " ".join(str(by_time.get(float(t), "_")) for t in steps)


def rounded(value: float) -> float:
    """As PromQL's round(value, 1e-6)."""
    return math.floor(value * 1e6 + 0.5) / 1e6


def expectations(expr: str, ours: Floats) -> list[dict[str, object]]:
    return [
        {
            "expr": f"round({expr}, 0.000001)",
            "eval_time": f"{time:g}s",
            "exp_samples": [] if math.isnan(value) else [{"value": rounded(value)}],
        }
        for time, value in zip(TIMES.tolist(), ours.tolist(), strict=True)
    ]


def assert_promtool_agrees(
    folder: Path, series: dict[str, str], tests: Sequence[dict[str, object]]
) -> None:
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    group = {"interval": f"{INTERVAL}s", "input_series": inputs, "promql_expr_test": tests}
    path = folder / "test.yml"  # JSON is YAML
    path.write_text(json.dumps({"rule_files": [], "evaluation_interval": "2s", "tests": [group]}))
    result = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("seed", [1, 2])
def test_prometheus_computes_the_same(tmp_path: Path, seed: int) -> None:
    samples, columns = history(seed)
    tests = []
    for window in (10, 30):
        for name in ("from_zero", "restarted"):
            ours = rate(only(samples, columns[name]), TIMES, window)[:, 0]
            assert np.isfinite(ours).sum() > 30
            tests += expectations(f"rate({name}[{window}s])", ours)
        buckets = rate(only(samples, *(columns[f"le{i}"] for i in range(5))), TIMES, window)
        for quantile in (0.5, 0.95, 0.99):
            ours = histogram_quantile(quantile, BOUNDS, buckets)
            assert np.isfinite(ours).sum() > 20
            assert quantile < 0.9 or (ours == BOUNDS[-1]).any(), "some fall into +Inf"
            # `>= 0` drops NaN, which is how PromQL says that nothing was observed.
            expr = f"histogram_quantile({quantile}, rate(h_bucket[{window}s])) >= 0"
            tests += expectations(expr, ours)
    value = latest(only(samples, columns["gauge"]), TIMES, 6)[:, 0]
    tests += expectations("last_over_time(gauge[6s])", value)
    names = {name: name for name in ("from_zero", "restarted", "gauge")}
    for i, bound in enumerate((*BOUNDS, "+Inf")):
        names[f'h_bucket{{le="{bound}"}}'] = f"le{i}"
    series = {name: as_promtool_series(samples, columns[column]) for name, column in names.items()}
    assert_promtool_agrees(tmp_path, series, tests)


def test_promtool_would_notice_a_wrong_answer(tmp_path: Path) -> None:
    samples, columns = history(1)
    series = {"from_zero": as_promtool_series(samples, columns["from_zero"])}
    ours = rate(only(samples, columns["from_zero"]), TIMES, 10)[:, 0]
    wrong = expectations("rate(from_zero[10s])", ours + 0.00001)
    with pytest.raises(AssertionError, match="FAILED"):
        assert_promtool_agrees(tmp_path, series, wrong)


def one_column(*values: float) -> Samples:
    times = np.arange(0.0, INTERVAL * len(values), INTERVAL)
    return Samples(times, np.array(values, dtype=float)[:, None])


def test_a_stall_is_a_gap_and_not_a_zero() -> None:
    samples = Samples(np.array([0.0, 2.0, 40.0, 42.0]), np.array([[5.0], [6.0], [6.0], [8.0]]))
    at = np.array([3.0, 21.0, 43.0])
    assert np.isnan(rate(samples, at, 10)[:, 0]).tolist() == [False, True, False]
    assert np.isnan(latest(samples, at, 6)[:, 0]).tolist() == [False, True, False]


def test_before_the_first_sample_there_is_nothing() -> None:
    assert np.isnan(rate(one_column(1, 2, 3), np.array([-5.0]), 10)).all()
    assert np.isnan(latest(one_column(1, 2, 3), np.array([-5.0]), 10)).all()


def test_one_sample_makes_no_rate() -> None:
    assert np.isnan(rate(one_column(7), np.array([1.0]), 10)).all()


def test_increase_counts_what_was_seen_and_nothing_else() -> None:
    samples = one_column(10, 12, 15, 1, 4)  # restarted between 15 and 1
    assert increase(samples, np.array([9.0]), 10)[0, 0] == 2 + 3 + 1 + 3


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert np.isnan(histogram_quantile(0.5, BOUNDS, np.zeros((1, 5)))).all()


def test_rows_before_a_time_can_be_left_out_but_never_all() -> None:
    samples = one_column(1, 2, 3)
    assert samples.since(2).times.tolist() == [2, 4]
    assert samples.since(99).times.tolist() == [4]
    assert samples.since(-1).times.tolist() == [0, 2, 4]
