"""The measures of a comparison: how each takes figures, and which figure is its value."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from llm_service.bench import BenchError
from llm_service.bench.answers import Answer
from llm_service.bench.load import Cell, Figures, Target
from llm_service.bench.prompts import Prompts
from llm_service.bench.sweep import repeat

# A long prompt among streams that go on until it is through.
NUM_STREAMS = 8
STREAM_TOKENS = 128
LONG_TOKENS = 4000

Take = Callable[[Target, Prompts], Awaitable[Figures]]


@dataclass(frozen=True, slots=True)
class Measure:
    """`figure` gets the value from the result of `take`; both None: recorded by the runner.

    `cell`: the cell that `take` measures, if it is a single cell.
    """

    label: str
    unit: str
    better: Literal["more", "less"]
    take: Take | None = None
    figure: Callable[[Figures], float] | None = None
    cell: Cell | None = None


def _of_cell(
    label: str,
    unit: str,
    better: Literal["more", "less"],
    cell: Cell,
    figure: Callable[[Figures], float],
) -> Measure:
    async def take(target: Target, prompts: Prompts) -> Figures:
        lengths = cell.prompt_tokens, cell.shared_prefix
        if cell.shared_prefix:  # once, so that the prefix is in the cache
            await target.ask(prompts.make(*lengths), 1)
        figures = await repeat(target, cell, lengths, prompts, lambda: None)
        if figures["errors"]:
            raise BenchError("; ".join(figures["errors"]))
        return figures

    return Measure(label, unit, better, take, figure, cell)


async def _long_among_streams(target: Target, prompts: Prompts) -> Figures:
    """Measure a long prompt's time to first token, and the longest gap of other streams."""
    answers: list[Answer] = []
    is_through = asyncio.Event()
    all_run = asyncio.Barrier(NUM_STREAMS + 1)

    async def stream() -> None:
        await target.ask(prompts.make(16), 16)
        await all_run.wait()
        while not is_through.is_set():
            answers.append(await target.ask(prompts.make(16), STREAM_TOKENS))

    async with asyncio.TaskGroup() as group:
        for _ in range(NUM_STREAMS):
            group.create_task(stream())
        await all_run.wait()
        long = await target.ask(prompts.make(LONG_TOKENS), 1)
        is_through.set()
    if errors := [answer.error for answer in (long, *answers) if answer.error]:
        raise BenchError("; ".join(errors))
    beside = [each for each in answers if each.started < long.ended]
    return {
        "ttft": long.first_token_seconds,
        "worst_gap": max(gap for answer in beside for gap in answer.gaps),
    }


ANSWERS = Cell(1, 64, 128, 5)  # one after another


async def _answers(target: Target, prompts: Prompts) -> Figures:
    return await repeat(target, ANSWERS, (ANSWERS.prompt_tokens, 0), prompts, lambda: None)


def _prefill_speed(figures: Figures) -> float:
    """Prompt tokens divided by the time to the first token, over HTTP."""
    return float(figures["prompt_tokens"] / figures["ttft_p50"])


MEASURES = {
    "decode_1": _of_cell(
        "decode, 1 stream",
        "tok/s",
        "more",
        Cell(1, 128, 128, 2),
        lambda figures: float(figures["decode_tokens_per_s"]),
    ),
    "answer": Measure(
        "an answer of 128 tokens to 64, on average",
        "s",
        "less",
        _answers,
        lambda figures: float(figures["seconds"] / figures["completed"]),
        ANSWERS,
    ),
    "success": Measure(
        "of those answers succeeded",
        "share",
        "more",
        _answers,
        lambda figures: float(figures["completed"] / ANSWERS.num_requests),
    ),
    "streams_16": _of_cell(
        "16 streams, 128 in, 128 out",
        "tok/s",
        "more",
        Cell(16, 128, 128, 16),
        lambda figures: float(figures["output_tokens_per_s"]),
    ),
    "prefill_512": _of_cell(
        "prefill, 512 tokens", "tok/s", "more", Cell(1, 512, 1, 3), _prefill_speed
    ),
    "prefill_2048": _of_cell(
        "prefill, 2,048 tokens", "tok/s", "more", Cell(1, 2048, 1, 3), _prefill_speed
    ),
    "warm_prefix": _of_cell(
        "TTFT after a shared prefix of 1,024",
        "s",
        "less",
        Cell(1, 1088, 1, 3, shared_prefix=1024),
        lambda figures: float(figures["ttft_p50"]),
    ),
    "long_gap": Measure(
        "worst gap of 8 streams beside a prompt of 4,000",
        "s",
        "less",
        _long_among_streams,
        lambda figures: float(figures["worst_gap"]),
    ),
    "long_ttft": Measure(
        "TTFT of that prompt",
        "s",
        "less",
        _long_among_streams,
        lambda figures: float(figures["ttft"]),
    ),
    "ready": Measure("start to first answer", "s", "less"),
    "memory": Measure("peak anonymous memory", "GB", "less"),
}
