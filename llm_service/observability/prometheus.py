"""Asks Prometheus: series over a grid, single values, rules. It knows no panel by name.

Calls block, for 5 seconds at most: make them in a worker thread. One that does not answer
is left alone for a while, so that a poll of the dashboard does not wait each time.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import numpy as np

from llm_service.observability.expressions import JOB
from llm_service.observability.grid import Grid
from llm_service.observability.rates import Floats

MAX_RANGE_SECONDS = 7 * 86400
TIMEOUT_SECONDS = 5.0
QUERY_SECONDS = 4.5  # less, so that it says itself that a query is too much for it
RETRY_SECONDS = 10.0
TARGET_SECONDS = 60.0
PARALLEL_QUERIES = 4


class PrometheusUnavailable(Exception):
    """A message for the user. It never contains the URL, which may hold a password."""


@dataclass(frozen=True, slots=True)
class Target:
    """How Prometheus sees this service: how often, and since when (unix seconds)."""

    scrape_seconds: int
    since: float


@dataclass(frozen=True, slots=True)
class Sample:
    labels: dict[str, str]
    value: float


class Prometheus:
    """The server at `url`, which may hold a user and a password for basic authentication.

    Raises ValueError, without the password, where `url` is none.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        # It takes half a second to import, and a service without Prometheus needs it later.
        import httpx2 as httpx

        base_url, auth = _split(url)
        self.name = urlsplit(base_url).netloc
        self._httpx = httpx
        # A proxy that is set for the model hub knows no way to a neighbour.
        self._client = httpx.Client(
            base_url=base_url, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False
        )
        self._pool = ThreadPoolExecutor(PARALLEL_QUERIES, thread_name_prefix="prometheus")
        self._clock = clock
        self._lock = threading.Lock()
        self._failure = ""
        self._asked_again_at = 0.0
        self._target: Target | None = None
        self._target_until = 0.0

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()

    def lines(self, queries: Sequence[str], grid: Grid) -> list[dict[str, Floats]]:
        """For each query its series by their label `line`, at the points of `grid`."""
        return list(self._pool.map(lambda query: self._lines(query, grid), queries))

    def _lines(self, query: str, grid: Grid) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        if len(grid.even_times):
            for series in self._data("/api/v1/query_range", query=query, **_range(grid))["result"]:
                values = found.setdefault(series["metric"]["line"], _no_values(grid))
                for at, value in series["values"]:
                    values[round((at - grid.times[0]) / grid.step)] = float(value)
        for sample in self.samples(query, grid.end):
            found.setdefault(sample.labels["line"], _no_values(grid))[-1] = sample.value
        for values in found.values():
            values[np.isinf(values)] = np.nan
        return found

    def samples(self, query: str, at: float | None = None) -> list[Sample]:
        """The values of `query` at a time, by default now."""
        when = {} if at is None else {"time": at}
        result = self._data("/api/v1/query", query=query, **when)["result"]
        return [Sample(series["metric"], float(series["value"][1])) for series in result]

    def alerting_rules(self) -> list[dict[str, Any]]:
        """The rules of all groups, in the form of GET /api/v1/rules."""
        groups = self._data("/api/v1/rules", type="alert")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def target(self) -> Target:
        """Asked anew each minute."""
        with self._lock:
            if self._target is None or self._clock() >= self._target_until:
                self._target = self._find_target()
                self._target_until = self._clock() + TARGET_SECONDS
            return self._target

    def _find_target(self) -> Target:
        active = self._data("/api/v1/targets", state="active")["activeTargets"]
        ours = [target for target in active if target["labels"].get("job") == JOB]
        if not ours:
            raise PrometheusUnavailable(
                f"Prometheus at {self.name} has no target with the job {JOB}."
            )
        selector = f'up{{job="{JOB}"}}'
        # To the minute, or to the second in the first one; then to the second.
        days = f"{MAX_RANGE_SECONDS // 86400}d"
        first, young = (
            f"min(min_over_time(timestamp({selector})[{span}]))" for span in (f"{days}:1m", "1m:1s")
        )
        found = self.samples(f"{first} or {young} or min(timestamp({selector}))")
        if not found:
            raise PrometheusUnavailable(
                f"Prometheus at {self.name} has not asked this service yet."
            )
        since = found[0].value
        earlier = self.samples(young, since)
        scrape_seconds = _seconds(ours[0].get("scrapeInterval", ""))
        return Target(scrape_seconds, earlier[0].value if earlier else since)

    def _data(self, path: str, **parameters: str | float) -> Any:
        if self._clock() < self._asked_again_at:
            raise PrometheusUnavailable(self._failure)
        try:
            # Posted: all lines of a panel are longer than some proxies let a URL be.
            if "query" in parameters:
                response = self._client.post(path, data=parameters)
            else:
                response = self._client.get(path, params=parameters)
        except self._httpx.TimeoutException:
            raise self._leave_alone(f"did not answer within {TIMEOUT_SECONDS:g} s.") from None
        except self._httpx.HTTPError:
            raise self._leave_alone("cannot be reached.") from None
        answer = _answer(response.content)
        if answer.get("status") == "success" and "data" in answer:
            return answer["data"]
        words = "gave an answer that is not Prometheus'."
        if response.status_code != 200:
            words = f"answered {response.status_code}: {str(answer.get('error', ''))[:200]}"
        raise PrometheusUnavailable(f"Prometheus at {self.name} {words}")

    def _leave_alone(self, words: str) -> PrometheusUnavailable:
        self._failure = f"Prometheus at {self.name} {words}"
        self._asked_again_at = self._clock() + RETRY_SECONDS
        return PrometheusUnavailable(self._failure)


def _answer(body: bytes) -> dict[str, Any]:
    """Empty where it is no JSON object: something else answered."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _no_values(grid: Grid) -> Floats:
    return np.full(len(grid.times), np.nan)


def _range(grid: Grid) -> dict[str, float]:
    return {
        "start": float(grid.even_times[0]),
        "end": float(grid.even_times[-1]),
        "step": grid.step,
        "timeout": QUERY_SECONDS,
    }


def _split(url: str) -> tuple[str, tuple[str, str] | None]:
    """The URL without its user, and the user and password."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("LLM_PROMETHEUS_URL must begin with http:// or https:// and name a host.")
    host = parts.netloc.rpartition("@")[2]
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")), auth


def _seconds(duration: str) -> int:
    """Prometheus' "5s" or "1m30s"; at least 1."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+)(ms|[smhd])", duration)
    return max(1, round(sum(int(number) * units[unit] for number, unit in parts)))
