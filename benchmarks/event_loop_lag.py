"""Measures how late the event loop runs timers while the engine serves many streams.

Starts the service once for each number of compute threads, sends it streams of full length, and
reads `llm_event_loop_lag_seconds` before and after. Prints its quantiles and the throughput. A p99
below 50 ms is not noticeable. `python -m benchmarks.event_loop_lag`.
"""

import argparse
import asyncio
import os
import re
import tempfile
from itertools import pairwise
from typing import Any

import httpx2 as httpx
import psutil

from benchmarks.service_load import KEY, Service, concurrent

BUCKET = re.compile(r'^llm_event_loop_lag_seconds_bucket\{le="([^"]+)"\} ([\d.e+]+)$', re.MULTILINE)


async def buckets(http: httpx.AsyncClient) -> dict[float, float]:
    """Cumulative counts by upper bound."""
    text = (await http.get("/metrics")).text
    return {float(bound): float(count) for bound, count in BUCKET.findall(text)}


def quantile(share: float, counts: dict[float, float]) -> float:
    """Return the quantile like PromQL's histogram_quantile, linear within a bucket."""
    bounds = [(0.0, 0.0), *sorted(counts.items())]
    rank = share * bounds[-1][1]
    for (lower, below), (upper, count) in pairwise(bounds):
        if count >= rank:
            if upper == float("inf"):
                return lower
            return lower + (upper - lower) * (rank - below) / max(count - below, 1.0)
    raise ValueError("no samples")


async def measure(service: Service, num_streams: int, max_tokens: int) -> dict[str, Any]:
    async with httpx.AsyncClient(
        base_url=service.url,
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=600,
        limits=httpx.Limits(max_connections=num_streams + 1),
    ) as http:
        await concurrent(http, 4, 32)  # warm-up
        before = await buckets(http)
        result = await concurrent(http, num_streams, max_tokens)
        after = await buckets(http)
    counts = {bound: after[bound] - before[bound] for bound in after}
    return {
        "samples": counts[float("inf")],
        "lag_p50_ms": 1e3 * quantile(0.5, counts),
        "lag_p99_ms": 1e3 * quantile(0.99, counts),
        "tokens_per_s": result["tokens_per_s"],
        "ttft_p50_s": result["ttft_p50_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=1500, help="tokens per stream")
    parser.add_argument("--threads", default="1,2", help="numbers of compute threads")
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}, {psutil.cpu_count()} cores")
    for threads in arguments.threads.split(","):
        os.environ["LLM_THREADS"] = threads
        with tempfile.TemporaryDirectory() as state:
            service = Service(state)
            try:
                result = asyncio.run(measure(service, arguments.streams, arguments.tokens))
            finally:
                service.stop()
        print(f"{threads} threads:", ", ".join(f"{k} {v:.4g}" for k, v in result.items()))


if __name__ == "__main__":
    main()
