"""Compares what the pages show with what callers and the kernel saw: `make test-truth`.

Starts the service on the bundled model, in a process of its own, and a Prometheus beside it. 1, 8
and 56 callers send requests; then 56 ask for more than can be answered in time. Prints a table of
what was shown and what was true, writes it to build/truth.md, and exits with 1 where something
shown was false. Takes about two minutes. On a starved machine, only what is counted is judged.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx2 as httpx

from llm_service.observability.history import RESOLUTION_SECONDS
from tests.support.prometheus_server import PrometheusServer
from tests.support.service import ADMIN_KEY
from tests.truth.client import Callers
from tests.truth.compare import Row, Table, compare_point
from tests.truth.machine import Process
from tests.truth.shown import WINDOW_SECONDS, History, LastMinute, Pages, Prometheus

CALLERS = (1, 8, 56)
SLOTS = 8
MAX_TOKENS = 24
LONG_TOKENS = 1800
TIMEOUT_SECONDS = 20
OUT = Path("build/truth.md")


class Service:
    """The service in its own process. No limit refuses a request."""

    def __init__(self, state: str) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LLM_")},
            "LLM_STATE_DIR": state,
            "LLM_PORT": "0",
            "LLM_ADMIN_KEY": ADMIN_KEY,
            "LLM_DEFAULT_RPM": "0",
            "LLM_IP_RATE_LIMIT": "1000000/minute",
            "LLM_LOG_LEVEL": "error",
            "LLM_MAX_BATCH_SIZE": str(SLOTS),
            "LLM_MAX_WAITING": "200",
            "LLM_REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        }

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "llm_service", "serve"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=self._environment
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := re.search(r"Dashboard +(http://[\d.:]+)", line):
                self.url = match[1]
                return self
        raise SystemExit("The service did not start.")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid


class Trial:
    def __init__(self, http: httpx.Client, sources: list[Pages], process: Process) -> None:
        self._http = http
        self._sources = sources
        self._process = process
        self.callers = Callers(str(http.base_url).rstrip("/"), ADMIN_KEY)
        self.rows: list[Row] = []

    async def run(self, seconds: float) -> None:
        await self.callers.choose_words()
        for num_callers in CALLERS:
            await self._steady(num_callers, seconds)
        await self._held()
        self._totals()

    async def _steady(self, num_callers: int, seconds: float) -> None:
        """The window of the point that is compared lies within the load."""
        started = time.time()
        load = asyncio.create_task(
            self.callers.repeat(num_callers, MAX_TOKENS, started + seconds + 4)
        )
        await asyncio.sleep(seconds)
        await self._compare(f"{num_callers} callers", load)

    async def _compare(self, load_name: str, load: "asyncio.Task[None]") -> None:
        await asyncio.sleep(_until_between_samples())
        *own, prometheus = self._sources
        points = [
            (source.name, await asyncio.to_thread(source.point, time.time())) for source in own
        ]
        at = points[0][1].at
        await load  # and the scrape that covers `at` has ended
        points.append((prometheus.name, await asyncio.to_thread(prometheus.point, at)))
        for name, point in points:
            compare_point(Table(load_name, name, self.rows), point, self.callers, self._process)

    async def _held(self) -> None:
        """More long answers than can be given in time: what runs and waits stays for long."""
        num_callers, began = CALLERS[-1], len(self.callers.calls)
        load = asyncio.create_task(self.callers.once(num_callers, LONG_TOKENS))
        load_name = f"{num_callers} long answers"
        await self._count_held(began, Table(load_name, "status", self.rows))
        mine = self.callers.calls[began:]
        await asyncio.sleep(2 + _until_between_samples())
        for source in self._sources:
            point = await asyncio.to_thread(source.point, time.time())
            unfinished = sum(call.ended is None for call in mine)
            table = Table(load_name, source.name, self.rows)
            parts = ("weights", "kv_cache", "compute", "other", "held")
            shown = point.total("memory", *parts) / 2**20
            table.near("memory, MiB", shown, self._process.own_bytes() / 2**20, 0.05)
            shown = point.total("concurrency", "running", "waiting")
            table.near("running and waiting", shown, unfinished, 0.05)
        await load
        await asyncio.sleep(2 + _until_between_samples())
        point = await asyncio.to_thread(self._sources[0].point, time.time())
        shown = point.total("requests", "error", "timeout") / point.total("requests")
        first, last = point.span
        ended = [c for c in self.callers.calls if c.ended is not None and first < c.ended <= last]
        truth = sum(call.is_error for call in ended) / len(ended)
        Table(load_name, "history", self.rows).near("error share", shown, truth, 0.05)

    async def _count_held(self, began: int, table: Table) -> None:
        """Compare when every slot is taken, and the callers saw the same before and after."""
        until = time.monotonic() + TIMEOUT_SECONDS / 2
        seen = self._held_now(began)
        while True:
            before = seen
            status = await asyncio.to_thread(lambda: self._http.get("/api/status").json())
            engine, seen = status["engine"], self._held_now(began)
            is_in = engine["num_running"] + engine["num_waiting"] == sum(seen)
            if before == seen and seen[0] == SLOTS and is_in:
                break
            if time.monotonic() > until:
                table.is_starved = seen[0] != SLOTS
                break
            await asyncio.sleep(0.02)
        table.equal("running", engine["num_running"], seen[0])
        table.equal("waiting", engine["num_waiting"], seen[1])

    def _held_now(self, began: int) -> tuple[int, int]:
        """How many get tokens, and how many wait for the first, as their callers see it."""
        open_calls = [call for call in self.callers.calls[began:] if call.ended is None]
        running = sum(bool(call.arrivals) for call in open_calls)
        return running, len(open_calls) - running

    def _totals(self) -> None:
        """Counted over everything, to the last one; and request by request, by its id."""
        table = Table("all", "metrics", self.rows)
        calls = self.callers.calls
        counts = _counts(self._http.get("/metrics").text)
        failed = [call for call in calls if call.is_error]
        answered = [call for call in calls if not call.is_error]
        table.equal("requests", counts["all"], len(calls))
        table.equal("failed requests", counts["error"] + counts["timeout"], len(failed))
        records = self._http.get("/api/requests", params={"limit": 1000}).json()["requests"]
        by_id: dict[str, dict[str, Any]] = {record["request_id"]: record for record in records}
        known = [(call, by_id[call.request_id]) for call in answered if call.request_id in by_id]
        tokens = sum(record["output_tokens"] for _, record in known)
        table = Table("all", "requests", self.rows)
        table.equal("output tokens", tokens, sum(call.num_tokens for call, _ in known))
        # No request can have been faster for its caller than for the service.
        early = [
            call
            for call, record in known
            if record["ttft_seconds"] > call.ttft + 0.001
            or record["duration_seconds"] > call.duration + 0.001
        ]
        table.equal(f"requests faster at the client (of {len(known)})", len(early), 0)


def _let_callers_run_first() -> None:
    """Where it is permitted, so that their clocks are not late while the service has the cores."""
    with suppress(AttributeError, PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _until_between_samples() -> float:
    """The history samples on whole multiples, and a sample may come a little late."""
    middle = RESOLUTION_SECONDS / 2
    return (middle - time.time() % RESOLUTION_SECONDS) % RESOLUTION_SECONDS


def _counts(text: str) -> dict[str, float]:
    found = dict.fromkeys(("all", "error", "timeout"), 0.0)
    for line in text.splitlines():
        if match := re.match(r'llm_requests_total{.*outcome="(\w+)".*} (\S+)', line):
            found["all"] += float(match[2])
            found[match[1]] = found.get(match[1], 0.0) + float(match[2])
    return found


def as_text(rows: list[Row]) -> str:
    head = ("load", "source", "number", "shown", "true", "may be", "because of", "")
    lines = [head, tuple("---" for _ in head)]
    lines += [
        (
            row.load,
            row.source,
            row.number,
            f"{row.shown:.4g}",
            f"{row.truth:.4g}",
            f"{row.lowest:.4g} to {row.highest:.4g}",
            row.why + (f" (n={row.num_samples})" if row.num_samples is not None else ""),
            row.verdict,
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def main(seconds: float) -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(f"{folder}/state") as service,
        PrometheusServer(Path(folder), service.url.removeprefix("http://")) as prometheus,
        httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=60
        ) as http,
    ):
        process = Process(service.pid)
        sources: list[Pages] = [History(http), Prometheus(prometheus)]
        if http.get("/api/now").status_code == 200:
            sources.insert(1, LastMinute(http))
        trial = Trial(http, sources, process)
        _let_callers_run_first()
        try:
            asyncio.run(trial.run(seconds))
        finally:
            process.stop()
            text = as_text(trial.rows)
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(text + "\n")
            print(text)
    verdicts = Counter(row.verdict for row in trial.rows)
    print(f"\n{len(trial.rows)} numbers, {verdicts['FALSE']} false. See {OUT}.")
    if untold := verdicts["few"] + verdicts["starved"]:
        print(f"{untold} could not be told: the machine was too busy, or samples were too few.")
    return int(bool(verdicts["FALSE"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=WINDOW_SECONDS + 4, help="of each steady load"
    )
    sys.exit(main(parser.parse_args().seconds))
