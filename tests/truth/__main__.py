"""Compares what the pages show with what callers and the kernel saw: `make test-truth`.

Starts the service on the bundled model, in a process of its own, and a Prometheus beside it. 1, 8
and 56 callers send requests; then all slots are held, and then answers take too long. Prints a
table of what was shown and what was true, writes it to build/truth.md, and exits with 1 where
something shown was false. Takes two minutes.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx2 as httpx

from tests.support.prometheus_server import PrometheusServer
from tests.support.service import ADMIN_KEY
from tests.truth.client import Callers
from tests.truth.compare import Row, Table, compare_point
from tests.truth.machine import Process
from tests.truth.shown import WINDOW_SECONDS, History, Pages, Prometheus

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
        for num_callers in CALLERS:
            await self._steady(num_callers, seconds)
        await self._held()
        await self._late()
        self._totals()

    async def _steady(self, num_callers: int, seconds: float) -> None:
        """The window of the point that is compared lies within the load."""
        started = time.time()
        load = asyncio.create_task(
            self.callers.repeat(num_callers, MAX_TOKENS, started + seconds + 2)
        )
        await asyncio.sleep(seconds)
        await self._compare(f"{num_callers} callers", load)

    async def _late(self) -> None:
        """More long answers than can be given in time."""
        load = asyncio.create_task(self.callers.once(8 * SLOTS, LONG_TOKENS))
        began = len(self.callers.calls)
        while not any(call.is_error and call.ended for call in self.callers.calls[began:]):
            assert not load.done(), "no answer took too long"
            await asyncio.sleep(0.05)
        await load
        await asyncio.sleep(2.5)
        point = await asyncio.to_thread(self._sources[0].point, time.time())
        first, last = point.span
        ended = [c for c in self.callers.calls if c.ended and first < c.ended <= last]
        failed = point.total("requests", "error", "timeout")
        shown = failed / max(point.total("requests"), 1e-9)
        truth = sum(call.is_error for call in ended) / max(1, len(ended))
        table = Table("too late", self._sources[0].name, self.rows)
        table.near("error share", shown, truth, 0.05)

    async def _compare(self, load_name: str, load: "asyncio.Task[None]") -> None:
        at = time.time()
        points = [
            (source.name, await asyncio.to_thread(source.point, at)) for source in self._sources
        ]
        await load
        for name, point in points:
            compare_point(Table(load_name, name, self.rows), point, self.callers, self._process)

    async def _held(self) -> None:
        """Every slot is taken for a while: what runs and what waits can be counted."""
        num_callers, began = CALLERS[-1], len(self.callers.calls)
        load = asyncio.create_task(self.callers.once(num_callers, LONG_TOKENS))
        while sum(bool(call.arrivals) for call in self.callers.calls[began:]) < SLOTS:
            await asyncio.sleep(0.01)
        status = await asyncio.to_thread(lambda: self._http.get("/api/status").json())
        mine = self.callers.calls[began:]
        running = sum(bool(call.arrivals) and call.ended is None for call in mine)
        unfinished = sum(call.ended is None for call in mine)
        table = Table(f"{num_callers} long answers", "status", self.rows)
        table.equal("running", status["engine"]["num_running"], running)
        table.equal("waiting", status["engine"]["num_waiting"], unfinished - running)
        await asyncio.sleep(2.5)  # until the next sample
        for source in self._sources:
            point = await asyncio.to_thread(source.point, time.time())
            mine = self.callers.calls[began:]
            table = Table(f"{num_callers} long answers", source.name, self.rows)
            parts = ("weights", "kv_cache", "compute", "other")
            shown = point.total("memory", *parts) / 2**20
            table.near("memory, MiB", shown, self._process.own_bytes() / 2**20, 0.05)
            unfinished = sum(call.sent < point.at - 2.5 and call.ended is None for call in mine)
            shown = point.total("concurrency", "running", "waiting")
            table.near("running and waiting", shown, unfinished, 0.05, 1)
        await load

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
            row.why,
            "" if row.is_true else "FALSE",
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
        trial = Trial(http, [History(http), Prometheus(prometheus)], process)
        try:
            asyncio.run(trial.run(seconds))
        finally:
            process.stop()
            text = as_text(trial.rows)
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(text + "\n")
            print(text)
    false = [row for row in trial.rows if not row.is_true]
    print(f"\n{len(trial.rows)} numbers, {len(false)} false. The table is in {OUT}.")
    return int(bool(false))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=WINDOW_SECONDS + 4, help="of each steady load"
    )
    sys.exit(main(parser.parse_args().seconds))
