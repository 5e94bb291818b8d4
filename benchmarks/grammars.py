"""Measures what grammars cost and save: compilation, masks, forced tokens, many schemas at once.

Random weights will do, because a grammar decides the form of the answers. Run it on a quiet
machine: `python -m benchmarks.grammars --checkpoint build/checkpoints/qwen2.5-0.5b`. What it prints
is the record that the paper shows from benchmarks/results/grammars.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from llm_service.bench.facts import describe_machine
from llm_service.engine import (
    Engine,
    GenerationRequest,
    Grammar,
    GrammarSource,
    Prompt,
    SamplingParams,
    unobserved,
)
from llm_service.engine.budget import Budget
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.factory import load_engine

NUM_SCHEMAS = 200
NUM_STREAMS = 16
NUM_ROUNDS = 7
PROMPT = tuple(range(1000, 1064))
DRAWN = SamplingParams(max_tokens=128, temperature=1.0, seed=1, ignore_eos=True)
NAMES: tuple[str, ...] = (
    "id",
    "name",
    "description",
    "status",
    "created_at",
    "items",
    "price",
    "quantity",
)
NAMES += ("customer_email", "shipping_address", "is_active", "tags", "priority", "due_date")

Case = tuple[Sequence[Grammar | None], SamplingParams]


def random_schema(draw: random.Random, depth: int = 3) -> dict[str, Any]:
    """An object of the kind that applications ask for, with all properties required."""
    chosen = draw.sample(NAMES, draw.randrange(3, 9))
    return {
        "type": "object",
        "properties": {name: _property(draw, depth - 1) for name in chosen},
        "required": chosen,
        "additionalProperties": False,
    }


def _property(draw: random.Random, depth: int) -> dict[str, Any]:
    kind = draw.choice(["string", "string", "integer", "number", "boolean", "enum", "format"])
    if depth and draw.random() < 0.3:
        inner = random_schema(draw, depth)
        return inner if draw.random() < 0.5 else {"type": "array", "items": inner, "maxItems": 3}
    if kind == "enum":
        return {"enum": draw.sample(["open", "closed", "in progress", "blocked", "done"], 3)}
    if kind == "format":
        return {"type": "string", "format": draw.choice(["date-time", "date", "uuid", "email"])}
    limits: dict[str, dict[str, Any]] = {
        "string": {"maxLength": 24},
        "integer": {"minimum": 0, "maximum": 9999},
    }
    return {"type": kind, **limits.get(kind, {})}


class Bench:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self) -> dict[str, Any]:
        found: dict[str, Any] = {"first_grammar_seconds": await self._timed(self._of({}))}
        draw = random.Random(1)
        seconds, grammars = [], []
        for _ in range(NUM_SCHEMAS):
            started = time.perf_counter()
            grammars.append(await self._of(random_schema(draw)))
            seconds.append(time.perf_counter() - started)
        centiles = statistics.quantiles(seconds, n=100)
        found["compile_ms"] = {"p50": 1e3 * centiles[49], "p99": 1e3 * centiles[98]}
        free_text = await self._engine.grammars.compile(GrammarSource("start: /(.|\\n)*/"))
        each_sampled = replace(DRAWN, num_logprobs=0)
        found["one_stream"] = await self._in_turns(
            {
                "free": ([None], DRAWN),
                "masks_of_nearly_all": ([free_text], DRAWN),
                "schema": ([grammars[0]], DRAWN),
                "free_with_logprobs": ([None], each_sampled),
                "schema_every_token_sampled": ([grammars[0]], each_sampled),
            }
        )
        found[f"{NUM_STREAMS}_streams"] = await self._in_turns(
            {
                "free": ([None] * NUM_STREAMS, DRAWN),
                "different_schemas": (grammars[:NUM_STREAMS], DRAWN),
            }
        )
        return found

    async def _of(self, schema: dict[str, Any]) -> Grammar:
        source = GrammarSource(f"start: %json {json.dumps(schema)}")
        return await self._engine.grammars.compile(source)

    async def _timed(self, work: Any) -> float:
        started = time.perf_counter()
        await work
        return time.perf_counter() - started

    async def _in_turns(self, cases: Mapping[str, Case]) -> dict[str, dict[str, float]]:
        """Run the cases one after the other, NUM_ROUNDS times.

        Return the median speed of all streams of a case together, and the median of its ratios to
        the first case of the same round, which other users of the machine disturb least.
        """
        rounds = [
            {name: await self._run(*case) for name, case in cases.items()}
            for _ in range(NUM_ROUNDS)
        ]
        first = next(iter(cases))
        return {
            name: {
                "tokens_per_second": statistics.median(each[name][0] for each in rounds),
                "tokens_per_chunk": rounds[0][name][1],
                f"ratio_to_{first}": statistics.median(
                    each[name][0] / each[first][0] for each in rounds
                ),
            }
            for name in cases
        }

    async def _run(
        self, grammars: Sequence[Grammar | None], sampling: SamplingParams
    ) -> tuple[float, float]:
        """Return tokens per second of all streams together, and tokens per chunk."""
        requests = [
            GenerationRequest(
                f"{i}", Prompt(PROMPT), replace(sampling, seed=i), cache_salt=str(i), grammar=g
            )
            for i, g in enumerate(grammars)
        ]
        stream = self._engine.submit(*requests)
        first, num_tokens, num_chunks = 0.0, 0, 0
        async for _, chunk in stream:
            first = first or time.perf_counter()
            num_tokens, num_chunks = num_tokens + len(chunk.token_ids), num_chunks + 1
        seconds = time.perf_counter() - first
        return num_tokens / seconds, num_tokens / num_chunks


async def measure(checkpoint: str, progress: Callable[[str], None]) -> dict[str, Any]:
    config = EngineConfig(model_id=checkpoint, quantization="8bit", max_batch_size=NUM_STREAMS)
    engine = load_engine(config, unobserved, Budget(), progress=progress)
    await engine.start()
    try:
        return await Bench(engine).run()
    finally:
        await engine.stop(drain_seconds=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", default="build/checkpoints/qwen2.5-0.5b")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.checkpoint, partial(print, file=sys.stderr)))
    conditions = {
        "checkpoint": Path(arguments.checkpoint).name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }
    print(json.dumps(conditions | figures, indent=2))


if __name__ == "__main__":
    main()
