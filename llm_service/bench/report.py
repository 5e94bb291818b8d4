"""Presents results as a table or a plot for people and as JSON for programs.

Tables show times in milliseconds. JSON has seconds throughout.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm_service.bench import BenchError
from llm_service.bench.facts import describe_machine
from llm_service.bench.load import Cell, Target
from llm_service.bench.sweep import CellResult, ratios

SCHEMA = 1
PLOT_SUFFIXES = (".svg", ".png")
# Below this share of a core the client does not affect the results.
_CLIENT_SHARE_TO_TELL = 0.5
# Above this ratio, gaps between events are no longer gaps between tokens.
_TOKENS_PER_EVENT_TO_TELL = 1.1

_COLUMNS = (
    ("TTFT p50", "ttft_p50"),
    ("p95", "ttft_p95"),
    ("ITL p50", "itl_p50"),
    ("p95", "itl_p95"),
    ("max", "itl_max"),
)
_RATIOS = (
    ("tok/s", "output_tokens_per_s"),
    ("TTFT p50", "ttft_p50"),
    ("TTFT p95", "ttft_p95"),
    ("ITL p50", "itl_p50"),
    ("ITL p95", "itl_p95"),
)


def table(results: Sequence[CellResult]) -> str:
    """A line per cell with medians over repetitions and times in ms, then remarks."""
    rows = [("streams", "prompt", "output", *(name for name, _ in _COLUMNS), "tok/s", "spread")]
    for result in results:
        summary = result.summary()
        rows.append(
            (
                str(result.cell.concurrency),
                str(result.cell.prompt_tokens),
                str(result.cell.output_tokens),
                *(_ms(result.median(figure)) for _, figure in _COLUMNS),
                _number(result.median("output_tokens_per_s")),
                _range(summary["output_tokens_per_s"]),
            )
        )
    return "\n".join([*aligned(rows), *remarks(results)])


def comparison(ones: Sequence[CellResult], others: Sequence[CellResult]) -> str:
    """A line per cell and server, followed by the ratio B / A with its spread."""
    lines = []
    for one, other in zip(ones, others, strict=True):
        rows = [("", *(name for name, _ in _RATIOS))]
        for name, result in (("A", one), ("B", other)):
            rows.append((name, *(_shown(figure, result.median(figure)) for _, figure in _RATIOS)))
        both = ratios(one, other)
        rows.append(("B / A", *(_ratio(both[figure]) for _, figure in _RATIOS)))
        lines += [_title(one.cell), *aligned(rows), ""]
    lines += [f"A: {remark}" for remark in remarks(ones)]
    lines += [f"B: {remark}" for remark in remarks(others)]
    return "\n".join(lines).rstrip()


def remarks(results: Sequence[CellResult]) -> list[str]:
    """Sentences that qualify the figures, such as failures and unexpected lengths."""
    lines = []
    for result in results:
        where = _streams(result.cell)
        for words, number in result.errors().items():
            lines.append(f"{where}: {number} failed: {words}")
        off = sum(figures["other_lengths"] for figures in result.repetitions)
        if off:
            lines.append(
                f"{where}: {off} answers were not {result.cell.output_tokens} tokens long:"
                " the server ended them itself."
            )
        silent = sum(figures["without_text"] for figures in result.repetitions)
        if silent:
            lines.append(
                f"{where}: {silent} answers had tokens without any text, so their times are"
                " unknown; another --temperature may help."
            )
        prompt = result.median("prompt_tokens")
        if prompt and abs(prompt / result.cell.prompt_tokens - 1) > 0.05:
            lines.append(
                f"{where}: prompts were {prompt:.0f} tokens, not {result.cell.prompt_tokens}."
            )
        if not all(figures["tokens_counted_by_server"] for figures in result.repetitions):
            lines.append(f"{where}: the server reports no usage; each event counts as one token.")
        tokens = sum(figures["output_tokens"] for figures in result.repetitions)
        events = sum(figures["events"] for figures in result.repetitions)
        if events and tokens / events > _TOKENS_PER_EVENT_TO_TELL:
            lines.append(f"{where}: each event had {tokens / events:.1f} tokens on average.")
        share = result.median("client_cpu_share") or 0.0
        if share > _CLIENT_SHARE_TO_TELL:
            lines.append(
                f"{where}: this client used {share:.0%} of a core; it may be the bottleneck."
            )
    return lines


def as_json(
    targets: Sequence[Target], results: Sequence[Sequence[CellResult]], seed: int
) -> dict[str, Any]:
    """The whole record, without API keys. `servers` has one entry per target."""
    return {
        **heading(seed),
        "servers": [
            {
                "url": target.endpoint.url,
                "model": target.model,
                "chat": target.is_chat,
                "temperature": target.temperature,
                "ignores_eos": target.ignores_eos,
                "cells": [result.as_json() for result in cells],
            }
            for target, cells in zip(targets, results, strict=True)
        ],
    }


def heading(seed: int) -> dict[str, Any]:
    """The fields that every record begins with."""
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "seed": seed,
    }


def write_json(record: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def check_plot(path: Path) -> None:
    """Raise BenchError if a plot could not be written, so that this shows before measuring."""
    if path.suffix not in PLOT_SUFFIXES:
        raise BenchError(f"--plot writes {' or '.join(PLOT_SUFFIXES)}, not {path.name}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise BenchError("--plot needs matplotlib: pip install matplotlib.") from None


def plot(results: Mapping[str, Sequence[CellResult]], path: Path) -> None:
    """Plot throughput and TTFT by number of streams, one line per server and request shape."""
    from matplotlib.figure import Figure  # heavy, and needed by nothing else

    figure = Figure(figsize=(10, 4), layout="constrained")
    speed, wait = figure.subplots(1, 2)
    for name, cells in results.items():
        for shape in sorted({(r.cell.prompt_tokens, r.cell.output_tokens) for r in cells}):
            points = [r for r in cells if (r.cell.prompt_tokens, r.cell.output_tokens) == shape]
            streams = [r.cell.concurrency for r in points]
            label = f"{name}, {shape[0]} in, {shape[1]} out".removeprefix(", ")
            for axes, wanted in ((speed, "output_tokens_per_s"), (wait, "ttft_p50")):
                values = [r.values(wanted) for r in points]
                middle = [r.median(wanted) or 0.0 for r in points]
                (line,) = axes.plot(streams, middle, marker="o", label=label)
                axes.fill_between(
                    streams,
                    [min(v, default=0.0) for v in values],
                    [max(v, default=0.0) for v in values],
                    alpha=0.2,
                    color=line.get_color(),
                )
    speed.set(xlabel="streams", ylabel="output tokens/s", ylim=(0, None))
    wait.set(xlabel="streams", ylabel="time to first token, median, s", ylim=(0, None))
    speed.legend()
    figure.savefig(path)


def _title(cell: Cell) -> str:
    shared = f", {cell.shared_prefix} of them shared" if cell.shared_prefix else ""
    return (
        f"{_streams(cell)}, {cell.prompt_tokens} prompt tokens{shared},"
        f" {cell.output_tokens} output tokens"
    )


def _streams(cell: Cell) -> str:
    return f"{cell.concurrency} stream{'s' * (cell.concurrency > 1)}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line per row, each column as wide as its widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _shown(figure: str, value: float | None) -> str:
    return _number(value) if figure.endswith("_per_s") else _ms(value)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.{0 if seconds >= 0.1 else 1}f} ms"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _range(spread: tuple[float, float, float] | None) -> str:
    return "-" if spread is None else f"{spread[1]:.1f}-{spread[2]:.1f}"


def _ratio(spread: tuple[float, float, float] | None) -> str:
    return "-" if spread is None else f"{spread[0]:.2f} ({spread[1]:.2f}-{spread[2]:.2f})"
