"""Sends a mixed load to a running service, so that every chart shows data.

The load has chats, streams, completions, long prompts, clients that disconnect, invalid requests,
bursts that queue, and a key that exceeds its limit. It needs an admin key, with which it creates
two keys and revokes them at the end; it does not use the limit of the admin key. `make demo`, or
`LLM_KEY=... python scripts/demo.py --url http://127.0.0.1:8000 --seconds 120`.

Each request has a set of expected statuses. Others are printed, and the exit status is then 1.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
from tqdm import tqdm

CHAT = "/v1/chat/completions"
SYSTEM = "You are a patient tutor. Answer in one or two short sentences."
QUESTIONS = (
    "What is 7 plus 5?",
    "My name is Ada. What is my name?",
    "What is a KV cache?",
    "Tell me a short story.",
    "Count to nine.",
    "What is 6 times 7?",
)
NO_LIMIT = 0
SUM = "What is 12 plus 30? "


class Load:
    """Callers that repeat one action each until `seconds` have passed."""

    def __init__(self, http: httpx.AsyncClient, model: str, seconds: float) -> None:
        self._http = http
        self._model = model
        self._until = time.monotonic() + seconds
        self._random = random.Random(1)
        self.results: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()
        self.first_tokens: list[float] = []

    async def run(self, limited_key: str) -> None:
        callers: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self.chat, 0.1),
            (self.chat, 0.4),
            (self.stream, 0.1),
            (self.stream, 0.2),
            (self.complete, 0.5),
            (self.long_prompt, 3),
            (self.leave, 1),
            (self.burst, 12),
            (self.wrong, 5),
            (lambda: self.spend(limited_key), 5),
        ]
        await asyncio.gather(*(self._repeat(action, pause) for action, pause in callers))

    async def _repeat(self, action: Callable[[], Awaitable[None]], pause: float) -> None:
        while time.monotonic() < self._until:
            try:
                await action()
            except httpx.TransportError as error:
                self.surprises[f"no connection ({type(error).__name__})"] += 1
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))

    def _body(self, max_tokens: int = 48, **options: Any) -> dict[str, Any]:
        question = {"role": "user", "content": self._random.choice(QUESTIONS)}
        messages = [{"role": "system", "content": SYSTEM}, question]
        return {"model": self._model, "messages": messages, "max_tokens": max_tokens, **options}

    async def _post(self, path: str, body: Any, *meant: int, **options: Any) -> None:
        response = await self._http.post(path, json=body, **options)
        self._count(response, "", meant or (200,))

    def _count(self, response: httpx.Response, kind: str, meant: tuple[int, ...]) -> None:
        result = f"{response.status_code}{kind}"
        self.results[result] += 1
        if response.status_code not in meant:
            self.surprises[result] += 1

    async def chat(self) -> None:
        await self._post(CHAT, self._body())

    async def stream(self) -> None:
        started = time.perf_counter()
        async with self._http.stream("POST", CHAT, json=self._body(stream=True)) as response:
            self._count(response, " stream", (200,))
            is_first = response.status_code == 200
            async for line in response.aiter_lines():
                if is_first and line.startswith("data: {"):
                    self.first_tokens.append(time.perf_counter() - started)
                    is_first = False

    async def complete(self) -> None:
        await self._post("/v1/completions", {"model": self._model, "prompt": SUM, "max_tokens": 16})

    async def long_prompt(self) -> None:
        """Send a prompt that is not in the prefix cache."""
        start = f"{self._random.random()} "
        prompt = start + SUM * 20
        await self._post("/v1/completions", {"model": self._model, "prompt": prompt})

    async def leave(self) -> None:
        """Disconnect in the middle of an answer."""
        body = self._body(256, stream=True, ignore_eos=True)
        async with self._http.stream("POST", CHAT, json=body) as response:
            lines = response.aiter_lines()
            for _ in range(6):
                await anext(lines, None)
        self.results["left in the middle"] += 1

    async def burst(self) -> None:
        """Send more requests at once than there are slots, so that some wait."""
        await asyncio.gather(*(self.stream() for _ in range(24)))

    async def wrong(self) -> None:
        """Send invalid requests: a wrong model, number, length, JSON or path."""
        await self._post(CHAT, self._body() | {"model": "no-such-model"}, 404)
        await self._post(CHAT, self._body(temperature=-1), 400)
        await self._post(CHAT, self._body(10**6), 400)
        await self._post(CHAT, "not an object", 400)
        await self._post("/v1/nowhere", {}, 404)

    async def spend(self, key: str) -> None:
        """Send more than the limit of `key` allows."""
        headers = {"Authorization": f"Bearer {key}"}
        body = self._body(8)
        await asyncio.gather(*(self._post(CHAT, body, 200, 429, headers=headers) for _ in range(6)))


@asynccontextmanager
async def temporary_key(http: httpx.AsyncClient, name: str, rpm: int) -> AsyncIterator[str]:
    """Yield the secret of a new key; revoke it at the end. SystemExit if keys cannot be made."""
    body = {"name": f"{name}-{os.getpid()}", "scopes": ["inference"], "rpm": rpm}
    response = await http.post("/api/keys", json=body)
    if response.status_code != 201:
        words = response.json()["error"]["message"]
        raise SystemExit(f"The demo needs an admin key, to create two keys: {words}")
    created = response.json()
    try:
        yield created["key"]
    finally:
        await http.delete(f"/api/keys/{created['id']}")


async def show_progress(seconds: float) -> None:
    for _ in tqdm(range(round(seconds)), unit="s", bar_format="{l_bar}{bar}| {n}/{total} s"):
        await asyncio.sleep(1)


async def main(url: str, key: str, seconds: float, is_quiet: bool = False) -> Load:
    """Send the load and return it. Raises SystemExit if the service does not answer."""
    async with _client(url, key) as admin:
        model = await find_model(admin, url)
        return await _with_own_keys(admin, model, url, seconds, is_quiet)


async def _with_own_keys(
    admin: httpx.AsyncClient, model: str, url: str, seconds: float, is_quiet: bool
) -> Load:
    async with (
        temporary_key(admin, "demo", NO_LIMIT) as roomy,
        temporary_key(admin, "demo-limited", 4) as limited,
        _client(url, roomy) as http,
    ):
        load = Load(http, model, seconds)
        progress = asyncio.create_task(asyncio.sleep(0) if is_quiet else show_progress(seconds))
        try:
            await load.run(limited)
            await progress
        finally:
            progress.cancel()
    return load


def _client(url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=120)


async def find_model(http: httpx.AsyncClient, url: str) -> str:
    try:
        response = await http.get("/v1/models")
    except httpx.TransportError as error:
        raise SystemExit(f"No service answers at {url}: {error}") from None
    if response.status_code != 200:
        raise SystemExit(json.dumps(response.json()["error"]["message"]))
    return str(response.json()["data"][0]["id"])


def print_summary(load: Load, url: str) -> None:
    print("\nanswers:")
    for result, number in sorted(load.results.items()):
        print(f"  {number:6}  {result}")
    if len(load.first_tokens) > 1:
        twentieths = statistics.quantiles(load.first_tokens, n=20)
        print(f"first token: median {twentieths[9]:.3f} s, p95 {twentieths[18]:.3f} s")
    for result, number in sorted(load.surprises.items()):
        print(f"unexpected: {number} x {result}")
    print(f"The dashboard at {url} shows the load.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("LLM_KEY"), help="default: $LLM_KEY")
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    if not options.key:
        sys.exit("Give a key: LLM_KEY=... make demo. The service prints one at its first start.")
    sent = asyncio.run(main(options.url, options.key, options.seconds))
    print_summary(sent, options.url)
    sys.exit(bool(sent.surprises))
