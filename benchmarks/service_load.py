"""Starts the service with the bundled model and measures what users notice.

Measures the time to ready, memory, the time to first token of concurrent streams, the effect of
clients that disconnect, and whether memory stays constant over many requests. Prints a table, and
writes JSON with --out. Run it on a quiet machine: `python -m benchmarks.service_load`.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

KEY = "a-key-for-the-benchmark-0123456789"
CHAT = "/v1/chat/completions"
PROMPTS = ("What is 7 plus 5?", "What is a KV cache?", "Tell me a short story.", "Count to nine.")


class Service:
    """The service, in its own process."""

    def __init__(self, state: str) -> None:
        environment = {
            **os.environ,
            "LLM_STATE_DIR": state,
            "LLM_PORT": "0",
            "LLM_ADMIN_KEY": KEY,
            "LLM_DEFAULT_RPM": "0",
            "LLM_LOG_LEVEL": "warning",
        }
        started = time.perf_counter()
        command = [sys.executable, "-m", "llm_service", "serve"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.search(r"Dashboard +(http://[\d.:]+)", line):
                self.url = match[1]
                break
        self.ready_seconds = time.perf_counter() - started
        self.memory = psutil.Process(self.process.pid)

    def anonymous_bytes(self) -> int:
        """Anonymous memory of the process, without the file cache (Linux)."""
        info = self.memory.memory_info()
        return int(info.rss - info.shared)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def body(prompt: str, max_tokens: int, **options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "pocket", "messages": messages, "max_tokens": max_tokens, **options}


async def stream(http: httpx.AsyncClient, number: int, max_tokens: int) -> dict[str, float]:
    """Return the TTFT, the longest gap and the number of tokens of one stream."""
    options = {"stream": True, "ignore_eos": True, "stream_options": {"include_usage": True}}
    started = last = time.perf_counter()
    first, gap, tokens = 0.0, 0.0, 0
    request = body(f"{PROMPTS[number % 4]} ({number})", max_tokens, **options)
    async with http.stream("POST", CHAT, json=request) as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            now = time.perf_counter()
            if event["choices"] and event["choices"][0]["delta"].get("content"):
                gap = max(gap, now - last) if first else 0.0
                first, last = first or now - started, now
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    return {"ttft": first, "gap": gap, "tokens": tokens, "seconds": time.perf_counter() - started}


async def concurrent(http: httpx.AsyncClient, num_streams: int, max_tokens: int) -> dict[str, Any]:
    started = time.perf_counter()
    results = await asyncio.gather(*(stream(http, i, max_tokens) for i in range(num_streams)))
    seconds = time.perf_counter() - started
    ttfts = sorted(result["ttft"] for result in results)
    return {
        "streams": num_streams,
        "complete": sum(result["tokens"] == max_tokens for result in results),
        "ttft_p50_s": statistics.median(ttfts),
        "ttft_max_s": ttfts[-1],
        "gap_max_s": max(result["gap"] for result in results),
        "tokens_per_s": num_streams * max_tokens / seconds,
    }


async def leave(http: httpx.AsyncClient, number: int) -> None:
    request = body(f"Story {number}", 1500, stream=True, ignore_eos=True)
    async with http.stream("POST", CHAT, json=request) as response:
        async for _ in response.aiter_lines():
            return


async def leavers(http: httpx.AsyncClient, num_streams: int) -> dict[str, Any]:
    """Disconnect half of the clients after the first token; measure until they are gone."""
    num_stay = num_streams // 2
    stay = [asyncio.create_task(stream(http, i, 200)) for i in range(num_stay)]
    await asyncio.gather(*(leave(http, i) for i in range(num_streams - num_stay)))
    left = time.perf_counter()
    while (await engine_status(http))["num_running"] > num_stay:
        await asyncio.sleep(0.005)
    freed = time.perf_counter()
    results = await asyncio.gather(*stay)
    return {
        "stayed_complete": sum(result["tokens"] == 200 for result in results),
        "slots_free_after_s": freed - left,
        "kv_bytes_held_at_end": (await engine_status(http))["kv_cache_used_bytes"],
    }


async def engine_status(http: httpx.AsyncClient) -> dict[str, Any]:
    status: dict[str, Any] = (await http.get("/api/status")).json()
    engine: dict[str, Any] = status["engine"]
    return engine


async def in_a_row(http: httpx.AsyncClient, service: Service, num_requests: int) -> dict[str, Any]:
    """Measure memory over many requests. The first tenth, at least 200, is the warm-up."""
    warm_up = max(200, num_requests // 10)
    for number in range(warm_up):
        await http.post(CHAT, json=body(f"{PROMPTS[number % 4]} ({number})", 32))
    before = service.anonymous_bytes()
    for number in range(num_requests):
        response = await http.post(CHAT, json=body(f"{PROMPTS[number % 4]} ({number}!)", 32))
        response.raise_for_status()
    after = service.anonymous_bytes()
    return {
        "requests": num_requests,
        "anon_before_mb": before / 1e6,
        "anon_after_mb": after / 1e6,
        "growth": after / before - 1,
    }


async def measure(service: Service, num_requests: int) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}"}
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(
        base_url=service.url, headers=headers, timeout=300, limits=limits
    ) as http:
        results: dict[str, Any] = {
            "ready_s": service.ready_seconds,
            "anon_idle_mb": service.anonymous_bytes() / 1e6,
        }
        await concurrent(http, 4, 32)  # warm-up
        results["1 stream"] = await concurrent(http, 1, 200)
        results["32 streams"] = await concurrent(http, 32, 128)
        results["half leave"] = await leavers(http, 32)
        results["in a row"] = await in_a_row(http, service, num_requests)
        results["anon_end_mb"] = service.anonymous_bytes() / 1e6
        return results


def print_table(results: dict[str, Any], prefix: str = "") -> None:
    for name, value in results.items():
        if isinstance(value, dict):
            print_table(value, f"{prefix}{name}: ")
        else:
            print(f"| {prefix}{name} | {value:.4g} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}, {psutil.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as state:
        service = Service(state)
        try:
            results = asyncio.run(measure(service, arguments.requests))
        finally:
            service.stop()
    print_table(results)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
