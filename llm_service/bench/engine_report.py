"""Presents results of `engine` as a table (times in ms) and as JSON (times in seconds)."""

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
    info, local = bench.info, bench.local
    lines = [
        f"{info.model_id}: {local.num_parameters / 1e6:,.1f} M weights in"
        f" {local.weights_bytes / 1e6:,.1f} MB, read as {local.dtype};"
        f" quantization {local.quantization} ({bench.why_quantization})",
        f"KV cache {local.kv_cache_bytes / 1e6:,.1f} MB as {bench.kv_cache.dtype},"
        f" {local.threads} threads on {local.device}, {local.kernels or 'no'} kernels,"
        f" loaded in {local.load_seconds:.2f} s",
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
    """The whole record. `options` are those that the user chose."""
    return {
        **report.heading(seed),
        "engine": _engine_facts(bench),
        "options": dict(options),
        "phases": [result.as_json() for result in results],
    }


def _engine_facts(bench: Bench) -> dict[str, Any]:
    """The facts about model and engine in one flat object, as earlier records have them."""
    facts = asdict(bench.info)
    local = facts.pop("local")
    cache = local.pop("kv_cache")
    return {
        **facts,
        **local,
        "kv_cache_dtype": cache["dtype"],
        "kv_cache_bytes": cache["num_bytes"],
        "num_blocks": cache["num_blocks"],
        "block_size": cache["block_size"],
        "has_prefix_cache": cache["has_prefix_cache"],
        "why_quantization": bench.why_quantization,
    }
