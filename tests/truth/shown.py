"""What the pages show: the numbers of a point in time, from the own history or from Prometheus."""

from dataclasses import dataclass
from typing import Any, Protocol

import httpx2 as httpx

from llm_service.observability.history import RESOLUTION_SECONDS
from llm_service.observability.panels import PANELS
from tests.support.prometheus_server import PrometheusServer

WINDOW_SECONDS = 10
NAMES = ("requests", "ttft", "duration", "inter_token", "tokens", "concurrency", "memory", "cpu")


@dataclass(frozen=True, slots=True)
class Point:
    """`values[panel][line]` at `at`. `span` is the time between the samples that it rests on.

    `is_exact`: the quantiles of first tokens and durations are said to be observed values.
    """

    at: float
    span: tuple[float, float]
    values: dict[str, dict[str, float]]
    is_exact: bool
    window_seconds: float = WINDOW_SECONDS

    def total(self, panel: str, *lines: str) -> float:
        found = self.values[panel]
        return sum(found[line] for line in lines or found if line in found)


class Pages(Protocol):
    name: str

    def point(self, at: float) -> Point: ...


class History:
    """GET /api/series of a service without Prometheus."""

    name = "history"

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def point(self, at: float) -> Point:
        """The newest point; `at` is not asked for, but is about now."""
        query = {"range_seconds": "60", "panels": ",".join(NAMES)}
        answer: dict[str, Any] = self._http.get("/api/series", params=query).json()
        end = answer["end"]
        assert abs(end - at) < 5, "the newest point is now"
        values = {
            name: {
                line["name"]: line["values"][-1]
                for line in panel["series"]
                if line["values"][-1] is not None
            }
            for name, panel in answer["panels"].items()
        }
        # Samples are taken on whole multiples.
        last = end // RESOLUTION_SECONDS * RESOLUTION_SECONDS
        first = last - WINDOW_SECONDS + RESOLUTION_SECONDS
        ttft, duration = (answer["panels"][name] for name in ("ttft", "duration"))
        is_exact = all(panel["exact_since"] <= end for panel in (ttft, duration))
        return Point(end, (first, last), values, is_exact)


class LastMinute:
    """GET /api/now, which is about a minute whatever the range."""

    name = "now"

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def point(self, at: float) -> Point:
        """`at` is not asked for, but is about now."""
        answer: dict[str, Any] = self._http.get("/api/now").raise_for_status().json()
        now, seconds = answer["now"], answer["window_seconds"]
        requests, engine = answer["requests"]["by_outcome"], answer["engine"]
        values = {
            "requests": {outcome: number / seconds for outcome, number in requests.items()},
            "tokens": {"output": engine["output_tokens_per_second"]},
            "concurrency": {"running": engine["running"], "waiting": engine["waiting"]},
            "memory": {"held": answer["memory"]["held_bytes"]},
        }
        for name in ("ttft", "inter_token"):
            quantiles = {q: answer[name][q] for q in ("p50", "p95", "p99")}
            values[name] = {q: found["seconds"] for q, found in quantiles.items() if found}
        assert abs(now - at) < 5
        window = answer["ttft"]["window_seconds"]
        return Point(now, (now - seconds, now), values, is_exact=True, window_seconds=window)


class Prometheus:
    """The same panels by PromQL."""

    name = "Prometheus"

    def __init__(self, server: PrometheusServer) -> None:
        self._server = server

    def point(self, at: float) -> Point:
        values: dict[str, dict[str, float]] = {}
        for name in NAMES:
            found = self._server.query(PANELS[name].promql(f"{WINDOW_SECONDS}s"), at)
            values[name] = {series["metric"]["line"]: float(series["value"][1]) for series in found}
        (samples,) = self._server.query(f'up{{job="llm_service"}}[{WINDOW_SECONDS}s]', at)
        times = [float(time) for time, _ in samples["values"]]
        return Point(at, (times[0], times[-1]), values, is_exact=False)
