"""Shows what a running service does, under mixed load, so that every chart has data.

It needs an admin key, with which it creates keys of its own and revokes them at the end, also after
Ctrl-C. The limit of the admin key is not used. Several callers chat, stream, call tools, ask for
JSON, embed texts (if a model for that is served) and disconnect. Others are refused on purpose:
they exceed the limit of a key or send invalid requests. `make demo`, or
`LLM_KEY=... python scripts/demo.py --url http://127.0.0.1:8000 --seconds 120`.

Exit status: 0 if every answer was expected, 1 if one was not, 130 after Ctrl-C.
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
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
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
SUM = "What is 12 plus 30? "
NO_LIMIT = 0
FEW = 4  # requests per minute of the key whose limit is exceeded
BURST = 24
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "is_adult": {"type": "boolean"}},
    "required": ["name", "is_adult"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Served:
    """What the service offers: its models, by what they can do."""

    model: str
    has_chat: bool
    has_tools: bool
    embedder: str | None


@dataclass(slots=True)
class Tally:
    """What came of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    surprises: Counter[str] = field(default_factory=Counter)
    first_tokens: list[float] = field(default_factory=list)


class Load:
    """Callers that repeat one action each until `seconds` have passed, each at least once."""

    def __init__(self, served: Served, seconds: float, tally: Tally) -> None:
        self._served = served
        self._until = time.monotonic() + seconds
        self._random = random.Random(1)
        self.tally = tally

    async def run(
        self, app: httpx.AsyncClient, jobs: httpx.AsyncClient, limited: httpx.AsyncClient
    ) -> None:
        """`app` and `jobs` have keys with room, `limited` one for `FEW` requests per minute."""
        callers: list[tuple[Callable[[httpx.AsyncClient], Awaitable[None]], Any, float]] = [
            (self.complete, app, 0.5),
            (self.long_prompt, jobs, 3),
            (self.wrong, app, 5),
            (self.spend, limited, 5),
        ]
        if self._served.has_chat:
            callers += [
                (self.chat, app, 0.1),
                (self.chat, jobs, 0.4),
                (self.stream, app, 0.1),
                (self.stream, jobs, 0.2),
                (self.leave, app, 1),
                (self.burst, jobs, 12),
                (self.structured, jobs, 2),
            ]
        if self._served.has_tools:
            callers.append((self.call_tool, app, 2))
        if self._served.embedder:
            callers.append((self.embed, jobs, 1))
        await asyncio.gather(*(self._repeat(*caller) for caller in callers))

    async def _repeat(
        self,
        action: Callable[[httpx.AsyncClient], Awaitable[None]],
        http: httpx.AsyncClient,
        pause: float,
    ) -> None:
        while True:
            try:
                await action(http)
            except httpx.TransportError as error:
                self.tally.surprises[f"no connection ({type(error).__name__})"] += 1
            left = self._until - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, pause * self._random.uniform(0.5, 1.5)))

    def _body(self, max_tokens: int = 48, **options: Any) -> dict[str, Any]:
        question = {"role": "user", "content": self._random.choice(QUESTIONS)}
        messages = [{"role": "system", "content": SYSTEM}, question]
        return {
            "model": self._served.model,
            "messages": messages,
            "max_tokens": max_tokens,
        } | options

    async def _answer(
        self, http: httpx.AsyncClient, path: str, body: Any, name: str
    ) -> dict[str, Any] | None:
        """Send a request that should succeed, and return its answer. None: the queue was full."""
        response = await http.post(path, json=body)
        return response.json() if self._counted(response, response.content, name) else None

    def _counted(self, response: httpx.Response, content: bytes, name: str) -> bool:
        """Count an answer. A full queue refuses any request, which is not a failure."""
        if response.status_code == 200:
            self.tally.answers[name] += 1
        elif _code(content) == "overloaded":
            self.tally.refused["503: the queue was full"] += 1
        else:
            self._surprise(f"{name}: {response.status_code} {_message(content)}")
        return response.status_code == 200

    async def _refused(
        self, http: httpx.AsyncClient, path: str, body: Any, status: int, reason: str
    ) -> None:
        response = await http.post(path, json=body)
        if response.status_code == status:
            self.tally.refused[f"{status}: {reason}"] += 1
        else:
            self._surprise(f"{reason}: {response.status_code} instead of {status}")

    def _surprise(self, words: str) -> None:
        self.tally.surprises[words] += 1

    async def chat(self, http: httpx.AsyncClient) -> None:
        await self._answer(http, CHAT, self._body(), "chat")

    async def stream(self, http: httpx.AsyncClient) -> None:
        started = time.perf_counter()
        async with http.stream("POST", CHAT, json=self._body(stream=True)) as response:
            content = b"" if response.status_code == 200 else await response.aread()
            is_first = self._counted(response, content, "chat, streamed")
            async for line in response.aiter_lines() if is_first else _no_lines():
                if line.startswith('data: {"error"'):
                    self._surprise(f"a stream broke off: {line[6:]}")
                elif is_first and line.startswith("data: {"):
                    self.tally.first_tokens.append(time.perf_counter() - started)
                    is_first = False

    async def complete(self, http: httpx.AsyncClient) -> None:
        body = {"model": self._served.model, "prompt": SUM, "max_tokens": 16}
        await self._answer(http, "/v1/completions", body, "text completion")

    async def long_prompt(self, http: httpx.AsyncClient) -> None:
        """Send a prompt that is not in the prefix cache."""
        prompt = f"{self._random.random()} " + SUM * 20
        body = {"model": self._served.model, "prompt": prompt, "max_tokens": 16}
        await self._answer(http, "/v1/completions", body, "long prompt")

    async def structured(self, http: httpx.AsyncClient) -> None:
        """Ask for JSON that fits a schema, and check that it does."""
        wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
        answer = await self._answer(
            http, CHAT, self._body(96, response_format=wanted), "structured output"
        )
        if answer is None:
            return
        (choice,) = answer["choices"]
        person = _parsed(choice["message"]["content"])
        if choice["finish_reason"] == "stop" and person.keys() != {"name", "is_adult"}:
            self._surprise(f"an answer does not fit its schema: {choice['message']['content']}")

    async def call_tool(self, http: httpx.AsyncClient) -> None:
        """Require a call of a tool, and check its arguments."""
        body = self._body(
            96, tools=[{"type": "function", "function": WEATHER}], tool_choice="required"
        )
        body["messages"] = [{"role": "user", "content": "What is the weather in Rome?"}]
        answer = await self._answer(http, CHAT, body, "tool call")
        if answer is None or answer["choices"][0]["finish_reason"] == "length":
            return
        calls = answer["choices"][0]["message"].get("tool_calls") or []
        if not calls or _parsed(calls[0]["function"]["arguments"]).keys() != {"city"}:
            self._surprise(f"a required call is missing or incomplete: {calls}")

    async def embed(self, http: httpx.AsyncClient) -> None:
        body = {"model": self._served.embedder, "input": list(QUESTIONS)}
        await self._answer(http, "/v1/embeddings", body, "embeddings")

    async def leave(self, http: httpx.AsyncClient) -> None:
        """Disconnect in the middle of an answer."""
        body = self._body(256, stream=True, ignore_eos=True)
        async with http.stream("POST", CHAT, json=body) as response:
            content = b"" if response.status_code == 200 else await response.aread()
            if self._counted(response, content, "stream that the client left"):
                lines = response.aiter_lines()
                for _ in range(6):
                    await anext(lines, None)

    async def burst(self, http: httpx.AsyncClient) -> None:
        """Send more requests at once than there are slots, so that some wait."""
        await asyncio.gather(*(self.stream(http) for _ in range(BURST)))

    async def wrong(self, http: httpx.AsyncClient) -> None:
        """Send invalid requests: a wrong model, number, length, JSON or path."""
        path, body = "/v1/completions", {"model": self._served.model, "prompt": SUM}
        other = body | {"model": "no-such-model"}
        await self._refused(http, path, other, 404, "a model that is not served")
        await self._refused(http, path, body | {"temperature": -1}, 400, "a temperature below 0")
        long = body | {"max_tokens": 10**6}
        await self._refused(http, path, long, 400, "more tokens than the context has")
        await self._refused(http, path, "not an object", 400, "a body that is not an object")
        await self._refused(http, "/v1/nowhere", {}, 404, "a path that does not exist")

    async def spend(self, http: httpx.AsyncClient) -> None:
        """Send a burst that exceeds the limit of the key."""
        body = {"model": self._served.model, "prompt": SUM, "max_tokens": 8}
        sent = (http.post("/v1/completions", json=body) for _ in range(FEW + 2))
        for response in await asyncio.gather(*sent):
            if response.status_code == 429:
                reason = f"429: more than the {FEW} requests per minute of a key"
                self.tally.refused[reason] += 1
            else:
                self._counted(response, response.content, "text completion")


async def _no_lines() -> AsyncIterator[str]:
    return
    yield


def _error(content: bytes) -> dict[str, Any]:
    found = _parsed(content).get("error")
    return found if isinstance(found, dict) else {}


def _code(content: bytes) -> str:
    return str(_error(content).get("code"))


def _message(content: bytes) -> str:
    return str(_error(content).get("message", content[:200]))


def _parsed(text: str | bytes | None) -> dict[str, Any]:
    """The object in a JSON text; empty if it is none."""
    try:
        found = json.loads(text or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class CannotRun(Exception):
    """The demo cannot start. The message says what it needs."""


@asynccontextmanager
async def temporary_key(
    admin: httpx.AsyncClient, url: str, name: str, rpm: int
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with a new key; revoke it at the end. Raises CannotRun."""
    creation = asyncio.create_task(_create(admin, name, rpm))
    try:
        created = await asyncio.shield(creation)
        async with _client(url, created["key"]) as http:
            yield http
    finally:
        # Ctrl-C may come while the key is being created.
        await _revoke(admin, await creation)


async def _create(admin: httpx.AsyncClient, name: str, rpm: int) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "scopes": ["inference"], "rpm": rpm}
    response = await admin.post("/api/keys", json=body)
    if response.status_code == 409:  # another demo is running, or one was killed
        body["name"] = f"{name}-{os.getpid()}"
        response = await admin.post("/api/keys", json=body)
    created = _parsed(response.content)
    if response.status_code != 201:
        words = _message(response.content)
        raise CannotRun(f"The demo needs an admin key, to create its own keys: {words}")
    return created


async def _revoke(admin: httpx.AsyncClient, created: dict[str, Any]) -> None:
    try:
        response = await admin.delete(f"/api/keys/{created['id']}")
        problem = "" if response.status_code == 200 else _message(response.content)
    except httpx.TransportError as error:
        problem = str(error) or type(error).__name__
    if problem:
        print(f"The key {created['name']} could not be revoked: {problem}", file=sys.stderr)


async def show_progress(seconds: float) -> None:
    for _ in tqdm(range(round(seconds)), unit="s", bar_format="{l_bar}{bar}| {n}/{total} s"):
        await asyncio.sleep(1)


async def main(
    url: str, key: str, seconds: float, *, is_quiet: bool = False, tally: Tally | None = None
) -> Tally:
    """Send the load and count it in `tally`. Raises CannotRun."""
    tally = tally or Tally()
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(_client(url, key))
        served = await find_models(admin, url)
        app, jobs, limited = [
            await stack.enter_async_context(temporary_key(admin, url, name, rpm))
            for name, rpm in (("demo", NO_LIMIT), ("demo-jobs", NO_LIMIT), ("demo-limited", FEW))
        ]
        progress = asyncio.create_task(asyncio.sleep(0) if is_quiet else show_progress(seconds))
        try:
            await Load(served, seconds, tally).run(app, jobs, limited)
        finally:
            progress.cancel()
    return tally


def _client(url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=120)


async def find_models(http: httpx.AsyncClient, url: str) -> Served:
    try:
        response = await http.get("/v1/models")
    except httpx.TransportError as error:
        raise CannotRun(f"No service answers at {url}: {error}") from None
    if response.status_code != 200:
        raise CannotRun(_message(response.content))
    models = response.json()["data"]
    generating = [model for model in models if model["capabilities"]["completion"]]
    embedding = [model["id"] for model in models if model["capabilities"]["embeddings"]]
    if not generating:
        raise CannotRun("The demo needs a model that generates text; the service has none.")
    can = generating[0]["capabilities"]
    return Served(
        model=generating[0]["id"],
        has_chat=can["chat"],
        has_tools=can["chat"] and can["tools"],
        embedder=next(iter(embedding), None),
    )


def summary(tally: Tally, url: str) -> str:
    lines = ["answered:", *_counts(tally.answers)]
    lines += ["refused on purpose:", *_counts(tally.refused)]
    if len(tally.first_tokens) > 1:
        twentieths = statistics.quantiles(tally.first_tokens, n=20)
        lines.append(f"first token: median {twentieths[9]:.3f} s, p95 {twentieths[18]:.3f} s")
    if tally.surprises:
        lines += ["NOT EXPECTED:", *_counts(tally.surprises)]
    else:
        lines.append("Every answer was expected.")
    return "\n".join([*lines, f"The dashboard at {url} shows the load."])


def _counts(counts: Counter[str]) -> list[str]:
    return [f"  {number:6}  {words}" for words, number in sorted(counts.items())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("LLM_KEY"), help="default: $LLM_KEY")
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    if not options.key:
        sys.exit("Give a key: LLM_KEY=... make demo. The service prints one at its first start.")
    counted = Tally()
    try:
        asyncio.run(main(options.url, options.key, options.seconds, tally=counted))
    except KeyboardInterrupt:
        print(f"\n{summary(counted, options.url)}\nStopped early. The demo's keys are revoked.")
        sys.exit(130)
    except CannotRun as problem:
        sys.exit(str(problem))
    print(f"\n{summary(counted, options.url)}")
    sys.exit(bool(counted.surprises))
