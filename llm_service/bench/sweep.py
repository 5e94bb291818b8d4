"""Measures all cells several times, for one server or for several in turns.

Servers take turns within each repetition (A B A B), so that a machine whose speed varies affects
all of them alike. The figure of a cell is the median over its repetitions, with their spread.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llm_service.bench import BenchError, load
from llm_service.bench.facts import load_average, read_bandwidths
from llm_service.bench.load import Cell, Done, Figures, Target
from llm_service.bench.prompts import Prompts

# A prompt whose length in tokens is this close to the wanted one is not corrected further.
_CLOSE_ENOUGH = 0.01
_CORRECTIONS = 3

# The figures that are summarised and compared over repetitions.
SUMMARISED = (
    "output_tokens_per_s",
    "decode_tokens_per_s",
    "ttft_p50",
    "ttft_p95",
    "itl_p50",
    "itl_p95",
    "itl_max",
    "prompt_tokens",
    "client_cpu_share",
)


@dataclass(frozen=True, slots=True)
class CellResult:
    cell: Cell
    repetitions: tuple[Figures, ...]

    def summary(self) -> dict[str, tuple[float, float, float] | None]:
        """(median, least, most) over the repetitions of each figure in SUMMARISED."""
        return {name: _spread(self.values(name)) for name in SUMMARISED}

    def values(self, name: str) -> list[float]:
        return [figures[name] for figures in self.repetitions if figures[name] is not None]

    def median(self, name: str) -> float | None:
        values = self.values(name)
        return statistics.median(values) if values else None

    def errors(self) -> dict[str, int]:
        words: dict[str, int] = {}
        for figures in self.repetitions:
            for error, number in figures["errors"].items():
                words[error] = words.get(error, 0) + number
        return words

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self.cell),
            "summary": self.summary(),
            "repetitions": list(self.repetitions),
        }


async def sweep(
    targets: Sequence[Target],
    cells: Sequence[Cell],
    repetitions: int,
    prompts: Prompts,
    done: Done,
) -> list[list[CellResult]]:
    """The results of each target, one per cell. `done` is called after each answer."""
    results: list[list[CellResult]] = [[] for _ in targets]
    for cell in cells:
        lengths = [await fit_length(target, cell, prompts) for target in targets]
        collected: list[list[Figures]] = [[] for _ in targets]
        for _ in range(repetitions):
            for target, num_words, figures in zip(targets, lengths, collected, strict=True):
                figures.append(await repeat(target, cell, num_words, prompts, done))
        for result, figures in zip(results, collected, strict=True):
            result.append(CellResult(cell, tuple(figures)))
    return results


async def repeat(
    target: Target, cell: Cell, num_words: tuple[int, int], prompts: Prompts, done: Done
) -> Figures:
    """Run one repetition of a cell; its figures include the machine's load and bandwidth before."""
    before = {"load_average": load_average(), "read_bandwidths": read_bandwidths()}
    texts = [prompts.make(*num_words) for _ in range(cell.num_requests)]
    figures = await load.run(target, cell, texts, done)
    if not figures["completed"]:
        words = "; ".join(figures["errors"])
        raise BenchError(f"No request to {target.endpoint.url} was answered: {words}")
    return before | figures


async def fit_length(target: Target, cell: Cell, prompts: Prompts) -> tuple[int, int]:
    """The numbers of words (all, shared) that make the wanted number of tokens at this server.

    The requests that find them out also warm up the server and its prefix cache.
    """
    ratio = 1.0
    for _ in range(_CORRECTIONS):
        lengths = _words(cell.prompt_tokens, ratio), _words(cell.shared_prefix, ratio)
        answer = await target.ask(prompts.make(*lengths), 1)
        if answer.error:
            raise BenchError(f"{target.endpoint.url} does not answer: {answer.error}")
        if not answer.prompt_tokens:
            return lengths  # the server reports no usage: assume one token per word
        if abs(answer.prompt_tokens / cell.prompt_tokens - 1) <= _CLOSE_ENOUGH:
            return lengths
        ratio *= cell.prompt_tokens / answer.prompt_tokens
    return _words(cell.prompt_tokens, ratio), _words(cell.shared_prefix, ratio)


def _words(num_tokens: int, ratio: float) -> int:
    return max(1, round(num_tokens * ratio)) if num_tokens else 0


def ratios(one: CellResult, other: CellResult) -> dict[str, tuple[float, float, float] | None]:
    """(median, least, most) of other / one, paired by repetition, for each figure."""
    pairs = list(zip(one.repetitions, other.repetitions, strict=True))
    return {
        name: _spread([b[name] / a[name] for a, b in pairs if a[name] and b[name] is not None])
        for name in SUMMARISED
    }


def _spread(values: Sequence[float]) -> tuple[float, float, float] | None:
    return (statistics.median(values), min(values), max(values)) if values else None
