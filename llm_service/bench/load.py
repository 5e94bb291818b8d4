"""Sends concurrent requests to one server and computes figures from the answers.

A Target is a server whose optional fields have been probed. A Cell is one point of a sweep.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_service.bench import BenchError, answers, client
from llm_service.bench.answers import Answer
from llm_service.bench.client import Endpoint

TIMEOUT_SECONDS = 300.0
# Fields beyond OpenAI's own that make an answer as long as it was asked to be.
_NO_EARLY_END = ("ignore_eos", "min_tokens")
_PROBE_TOKENS = 4

Figures = dict[str, Any]
Done = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of a sweep: `num_requests` in all, `concurrency` of them at any moment."""

    concurrency: int
    prompt_tokens: int
    output_tokens: int
    num_requests: int
    shared_prefix: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A server, the model to request, and the optional fields that the server accepts."""

    endpoint: Endpoint
    model: str
    is_chat: bool = False
    ignores_eos: bool = True
    includes_usage: bool = True
    temperature: float = 0.0

    async def ask(self, prompt: str, max_tokens: int) -> Answer:
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": max_tokens,
            "temperature": self.temperature,
            "stream": True,
        }
        if self.is_chat:
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        if self.ignores_eos:
            body |= dict(zip(_NO_EARLY_END, (True, max_tokens), strict=True))
        if self.includes_usage:
            body["stream_options"] = {"include_usage": True}
        path = "/v1/chat/completions" if self.is_chat else "/v1/completions"
        exchange = await client.exchange(self.endpoint, "POST", path, body, TIMEOUT_SECONDS)
        return answers.read(exchange)


async def find_target(
    endpoint: Endpoint, model: str | None, *, is_chat: bool = False, temperature: float = 0.0
) -> Target:
    """Probe the server. Raises BenchError, with the server's reason, if it does not answer."""
    name = model or await _first_model(endpoint)
    refusal = ""
    # From all optional fields down to none: OpenAI's own servers refuse unknown fields.
    for ignores_eos, includes_usage in ((True, True), (False, True), (False, False)):
        target = Target(endpoint, name, is_chat, ignores_eos, includes_usage, temperature)
        answer = await target.ask(" Hello", _PROBE_TOKENS)
        if not answer.error:
            return target
        refusal = refusal or answer.error
        if answer.status not in (400, 422):
            break
    raise BenchError(f"{endpoint.url} does not answer a request to {name!r}: {refusal}")


async def _first_model(endpoint: Endpoint) -> str:
    exchange = await client.exchange(endpoint, "GET", "/v1/models", None, 60)
    if exchange.status != 200:
        words = exchange.broke or f"{exchange.status}: {answers.error_words(exchange.body)}"
        raise BenchError(f"{endpoint.url}/v1/models: {words}")
    try:
        return str(json.loads(exchange.body)["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        raise BenchError(
            f"{endpoint.url} does not list the models that it serves: name one with --model."
        ) from None


async def run(target: Target, cell: Cell, prompts: Sequence[str], done: Done) -> Figures:
    """Send all `prompts` and measure. Raises BenchError if the server refuses one of them."""
    supply = iter(prompts)
    results: list[Answer] = []
    cpu, started = time.process_time(), time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(cell.concurrency):
                group.create_task(_caller(target, cell, supply, results, done))
    except ExceptionGroup as errors:
        ours, others = errors.split(BenchError)
        if ours is None or others is not None:
            raise
        raise ours.exceptions[0] from None
    seconds = max(answer.ended for answer in results) - started
    share = (time.process_time() - cpu) / (time.perf_counter() - started)
    return {**figures(results, cell, seconds), "client_cpu_share": share}


async def _caller(
    target: Target, cell: Cell, supply: Iterator[str], results: list[Answer], done: Done
) -> None:
    for prompt in supply:
        answer = await target.ask(prompt, cell.output_tokens)
        if answer.is_refused:
            raise BenchError(
                f"{target.endpoint.url} refused a request ({answer.error}), so there is nothing"
                " to measure."
            )
        results.append(answer)
        done()


def figures(results: Sequence[Answer], cell: Cell, seconds: float) -> Figures:
    """The figures of a cell that took `seconds`. Times are in seconds; unknown values are None."""
    good = [answer for answer in results if not answer.error]
    firsts = [answer.first_token_seconds for answer in good if answer.token_times]
    gaps = [gap for answer in good for gap in answer.gaps]
    output = sum(answer.num_output_tokens for answer in good)
    counted = [a.prompt_tokens for a in good if a.prompt_tokens is not None]
    return {
        "seconds": seconds,
        "completed": len(good),
        "errors": dict(Counter(answer.error for answer in results if answer.error)),
        "prompt_tokens": float(np.mean(counted)) if counted else None,
        "output_tokens": output,
        "output_tokens_per_s": output / seconds if good else None,
        "other_lengths": sum(a.num_output_tokens != cell.output_tokens for a in good),
        "without_text": len(good) - len(firsts),
        "tokens_counted_by_server": all(a.output_tokens is not None for a in good),
        "ttft_p50": _quantile(firsts, 0.5),
        "ttft_p95": _quantile(firsts, 0.95),
        "itl_p50": _quantile(gaps, 0.5),
        "itl_p95": _quantile(gaps, 0.95),
        "itl_max": max(gaps, default=None),
        "decode_tokens_per_s": _quantile([d for a in good if (d := _decode_speed(a))], 0.5),
        "events": sum(len(answer.token_times) for answer in good),
    }


def _decode_speed(answer: Answer) -> float | None:
    """Tokens per second of one stream after its first token."""
    if not answer.token_times:
        return None
    # To the end, not to the last text: the last tokens may have no text.
    seconds = answer.finished - answer.token_times[0]
    num_tokens = answer.num_output_tokens
    return (num_tokens - 1) / seconds if seconds > 0 and num_tokens > 1 else None


def _quantile(values: Sequence[float], q: float) -> float | None:
    return float(np.quantile(values, q)) if values else None
