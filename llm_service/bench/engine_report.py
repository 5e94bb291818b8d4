"""What `engine` measured, for people and for programs: times in ms there, in seconds here."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llm_service.bench import report
from llm_service.bench.engine import SUMMARISED, Bench, PhaseResult

_COLUMNS = (
    "",
    "sequences",
    "prompt",
    "tok/s",
    "spread",
    "step",
    "before",
    "forward",
    "after",
    "outside",
)


def table(bench: Bench, results: Sequence[PhaseResult]) -> str:
    """Two lines about the engine, a row per phase with its medians, then the engine's notes."""
    info = bench.info
    lines = [
        f"{info.model_id}: {info.num_parameters / 1e6:,.1f} M weights in"
        f" {info.weights_bytes / 1e6:,.1f} MB, read as {info.dtype};"
        f" quantization {info.quantization} ({bench.why_quantization})",
        f"KV cache {info.kv_cache_bytes / 1e6:,.1f} MB as {info.kv_cache_dtype},"
        f" {info.threads} threads on {info.device}, {info.kernels or 'no'} kernels,"
        f" loaded in {info.load_seconds:.2f} s",
    ]
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for result in results:
        phase, speeds = result.phase, result.values("tokens_per_s")
        rows.append(
            (
                phase.kind,
                str(phase.num_sequences),
                str(phase.prompt_tokens),
                f"{result.median('tokens_per_s'):.1f}",
                f"{min(speeds):.1f}-{max(speeds):.1f}",
                *(f"{result.median(name) * 1000:.3f} ms" for name in SUMMARISED[1:5]),
                f"{result.median('outside_share'):.1%}",
            )
        )
    notes = [f"Note: {note}." for note in info.notes]
    return "\n".join([*lines, "", *report.aligned(rows), *notes])


def as_json(
    bench: Bench, results: Sequence[PhaseResult], seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole record: `options` are what was asked for."""
    return {
        **report.heading(seed),
        "engine": {**asdict(bench.info), "why_quantization": bench.why_quantization},
        "options": dict(options),
        "phases": [result.as_json() for result in results],
    }
