"""The last hour of each key, and the panels that are drawn from it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_service.observability.key_history import KEPT_SLOTS, SLOT_SECONDS, KeyHistory
from llm_service.observability.key_series import KEY_PANELS, query_key, query_key_of_prometheus
from llm_service.observability.prometheus import Prometheus
from tests.observability.conftest import MakeRecord
from tests.support.prometheus_server import PrometheusServer

START = 1_764_000_000.0  # a multiple of SLOT_SECONDS


class Keys:
    """A KeyHistory whose clock is the test's."""

    def __init__(self) -> None:
        self.now = START
        self.history = KeyHistory(clock=lambda: self.now)

    def panel(self, name: str, key_name: str = "ada", range_seconds: int = 100) -> dict[str, Any]:
        answer = query_key(self.history, key_name, self.now, range_seconds, [name])
        panels: Any = json.loads(json.dumps(answer, allow_nan=False))["panels"]
        return dict(panels[name])

    def latest(self, name: str, key_name: str = "ada") -> dict[str, float | None]:
        return {line["name"]: line["values"][-1] for line in self.panel(name, key_name)["series"]}


@pytest.fixture
def keys() -> Keys:
    return Keys()


def test_each_key_has_its_own_rate_tokens_and_refusals(keys: Keys, make_record: MakeRecord) -> None:
    keys.now += 50
    for _ in range(10):
        keys.history.add(make_record(key_name="ada", prompt_tokens=20, cached_tokens=16))
    for _ in range(30):
        keys.history.add(make_record(key_name="bob", outcome="rejected", error_kind="rate_limit"))
    keys.now += SLOT_SECONDS
    # A point covers the last 50 seconds.
    assert keys.latest("requests")["stop"] == pytest.approx(10 / 50)
    assert keys.latest("tokens") == pytest.approx(
        {"prompt computed": 40 / 50, "prompt cached": 160 / 50, "output": 50 / 50}
    )
    assert keys.latest("errors")["rate_limit"] == 0
    assert keys.latest("requests", "bob")["rejected"] == pytest.approx(30 / 50)
    assert keys.latest("errors", "bob")["rate_limit"] == pytest.approx(30 / 50)
    assert keys.latest("tokens", "bob")["prompt computed"] == 0
    assert keys.latest("requests", "nobody")["stop"] == 0


def test_the_first_tokens_of_a_key_are_its_own(keys: Keys, make_record: MakeRecord) -> None:
    for name, seconds in (("ada", 0.09), ("bob", 9.0)):
        for _ in range(40):
            keys.history.add(make_record(key_name=name, ttft_seconds=seconds))
    keys.now += SLOT_SECONDS
    panel = keys.panel("ttft")
    p95 = next(line for line in panel["series"] if line["name"] == "p95")["values"][-1]
    assert 0.05 < p95 <= 0.1
    assert panel["samples"][-1] == 40
    assert 7.5 < (keys.latest("ttft", "bob")["p95"] or 0) <= 10


def test_what_was_before_the_start_is_unknown_and_not_zero(
    keys: Keys, make_record: MakeRecord
) -> None:
    keys.history.add(make_record(key_name="ada"))
    keys.now += 30
    values = keys.panel("requests")["series"][0]["values"]
    assert values[0] is None
    assert values[-1] == pytest.approx(1 / 30, abs=1e-6), (
        "the rate is that of the part that is known"
    )


def test_an_hour_is_kept_and_old_slots_are_used_again(keys: Keys, make_record: MakeRecord) -> None:
    keys.history.add(make_record(key_name="ada"))
    keys.now += KEPT_SLOTS * SLOT_SECONDS
    assert keys.latest("requests")["stop"] == 0
    keys.history.add(make_record(key_name="ada"))
    keys.now += SLOT_SECONDS
    assert keys.latest("requests")["stop"] == pytest.approx(1 / 50)
    assert keys.history.since() == keys.now - (KEPT_SLOTS - 1) * SLOT_SECONDS


def test_any_number_of_keys_takes_four_megabytes_at_most(
    keys: Keys, make_record: MakeRecord
) -> None:
    for number in range(200):
        keys.history.add(make_record(key_name=f"key-{number}"))
    assert keys.history.num_bytes < 4 * 2**20
    keys.now += SLOT_SECONDS
    assert keys.latest("requests", "other")["stop"] == pytest.approx(150 / 10)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """Ten minutes in which ada asked for 2 requests a second, of 10 tokens, and bob for 5."""
    lines = []
    for second in range(0, 602, 2):
        at = START + second
        for name, rate in (("ada", 2), ("bob", 5)):
            label = f'job="llm_service",key_name="{name}"'
            lines.append(f'llm_key_requests_total{{{label},outcome="stop"}} {rate * second} {at}')
            for kind, tokens in (("prompt", 10), ("cached", 4), ("output", 7)):
                total = rate * second * tokens
                lines.append(f'llm_key_tokens_total{{{label},type="{kind}"}} {total} {at}')
    text = tmp_path / "keys.txt"
    text.write_text("\n".join([*sorted(lines), "# EOF\n"]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*command, text, tmp_path / "data"], check=True, capture_output=True)
    with PrometheusServer(tmp_path, None, scrape_seconds=2) as server:
        server.wait_for(['up{job="llm_service"}'])
        prometheus = Prometheus(server.url)
        yield prometheus
        prometheus.close()


def test_prometheus_answers_what_it_has_by_key_and_the_rest_is_the_last_hour(
    keys: Keys, prometheus: Prometheus, make_record: MakeRecord
) -> None:
    keys.now = START + 560
    keys.history.add(make_record(key_name="ada", ttft_seconds=0.09))
    keys.now = START + 600
    answer: Any = query_key_of_prometheus(
        prometheus, keys.history, "ada", keys.now, 120, KEY_PANELS
    )
    lines = {
        name: {line["name"]: line["values"][-1] for line in panel["series"]}
        for name, panel in answer["panels"].items()
    }
    assert answer["source"]["kind"] == "prometheus"
    assert lines["requests"]["stop"] == pytest.approx(2)
    assert lines["tokens"] == pytest.approx(
        {"prompt computed": 12, "prompt cached": 8, "output": 14}
    )
