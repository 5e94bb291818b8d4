"""`llm-service doctor`: reports the machine's resources, and problems with their remedies.

Needs no running service. Exit code 1 if something will not work, 0 if all works, even slowly.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_service.machine import SPEEDING_FLAGS, readable

if TYPE_CHECKING:  # loads torch: see there
    from llm_service.cli.examination import Report
    from llm_service.cli.findings import Finding
    from llm_service.engine.loading.memory import Resources
    from llm_service.engine.loading.plan import LoadingPlan

Lines = Iterator[tuple[str, str]]


def doctor(
    model: Annotated[
        str | None, typer.Option(help="Instead of LLM_MODEL_ID: bundled, a folder or a hub id.")
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Also load the model and generate a token.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Examine this machine, the settings and the model's memory, and recommend what to do."""
    from llm_service.engine.loading.libraries import refuse_without_room
    from llm_service.engine.loading.model_files import ModelLoadError

    try:
        refuse_without_room()
    except ModelLoadError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    from llm_service.cli.examination import examine

    report = examine(model, lambda line: typer.echo(line, err=True), loads=load)
    if as_json:
        typer.echo(json.dumps(_facts(report), indent=2))
    else:
        _print(report, was_loaded=load)
    raise typer.Exit(1 if report.is_fatal else 0)


def _print(report: "Report", *, was_loaded: bool) -> None:
    for title, lines in (
        ("Machine", _machine_lines(report)),
        ("Software", _software_lines(report)),
        ("Model", _model_lines(report.plan)),
        ("Model for embeddings", _model_lines(report.embedding_plan)),
    ):
        rows = list(lines)
        if rows:
            typer.echo(_styled(title, bold=True))
        for name, text in rows:
            typer.echo(f"  {name:<13} {text}")
    if not report.findings:
        typer.echo(_styled("Nothing is wrong.", fg="green"))
    if report.plan is not None and not was_loaded and not report.is_fatal:
        typer.echo("The model was not run: add --load to load it and let it answer.")
    for finding in report.findings:
        typer.echo(_finding_line(finding))


def _finding_line(finding: "Finding") -> str:
    if finding.is_fatal:
        mark = _styled("WRONG", fg="red")
    else:
        mark = _styled("note " if finding.kind == "model" else "slow ", fg="yellow")
    return f"{mark}  {finding.problem} {finding.remedy}".rstrip()


def _styled(text: str, **style: Any) -> str:
    """Print in colour on a terminal, unless NO_COLOR is set (no-color.org)."""
    is_plain = os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    return text if is_plain else typer.style(text, **style)


def _machine_lines(report: "Report") -> Lines:
    machine, window = report.machine, report.window
    limits = ", ".join(f"{name} {cores:g}" for name, cores in machine.cpu_limits.items())
    yield "processor", machine.cpu_model or "unknown"
    yield "cores", f"{machine.cpu_cores:g} ({limits})"
    flags = [f"{'' if flag in machine.cpu_flags else 'no '}{flag}" for flag in SPEEDING_FLAGS]
    yield "instructions", ", ".join(flags)
    yield (
        "memory",
        f"{readable(machine.memory_available_bytes)} free,"
        f" {readable(machine.memory_working_set_bytes)} in use"
        f" of {readable(machine.memory_limit_bytes)}"
        f" ({readable(machine.memory_total_bytes)} in the machine)",
    )
    yield (
        "swap",
        f"{readable(machine.swap_used_bytes)} in use of {readable(machine.swap_total_bytes)}",
    )
    if window.after is None:
        yield "throttling", "not counted"
    else:
        yield (
            "throttling",
            f"{window.recent_share:.0%} in the last {window.seconds:.1f} s,"
            f" {window.after.seconds:.1f} s in all ({window.total_share:.0%} of periods)",
        )
    yield "huge pages", machine.huge_pages or "none"
    yield "cgroup", f"version {machine.cgroup_version}" if machine.cgroup_version else "none"
    yield "kernel", machine.kernel
    for name, disk in (("state", report.state), ("model cache", report.cache)):
        yield name, f"{readable(disk.free_bytes)} free, {disk.path}"


def _software_lines(report: "Report") -> Lines:
    software = report.software
    yield "python", software.python
    yield (
        "torch",
        f"{software.torch}, {software.cpu_capability}, {software.torch_threads} threads by itself",
    )
    yield "engine", f"{software.threads} threads on {software.device}"
    yield "compiler", software.compiler or "none"
    yield "kernels", software.kernels or "none"


def _model_lines(plan: "LoadingPlan | None") -> Lines:
    if plan is None:
        return
    need, form, model = plan.need, plan.form, plan.checkpoint
    weights = need.weights
    rounded = "" if form.quantization == "none" else f", {form.quantization}"
    yield (
        "name",
        f"{model.model_id}, {model.num_parameters / 1e6:,.1f} M weights"
        f" as {_dtype(form.dtype)}{rounded}",
    )
    yield "runs", _how_it_runs(plan)
    for note in plan.reasons.notes:
        yield "reason", note
    head = f" head {'shared' if weights.head is None else readable(weights.head)},"
    yield (
        "weights",
        f"{readable(weights.total)}: embedding {readable(weights.embedding)},"
        f"{'' if plan.makes_embeddings else head} layers {readable(weights.layers)}",
    )
    yield "workspace", readable(need.workspace_bytes)
    if plan.makes_embeddings:
        yield "KV cache", "none"
    elif plan.is_batched:
        yield (
            "KV cache",
            f"{readable(need.kv_cache_bytes)} as {_dtype(form.kv_dtype)} would be useful",
        )
    else:
        yield "KV cache", "the model's own, which is not counted"
    if plan.resources is not None and plan.fits:
        yield "plan", _plan_in_words(plan, plan.resources)
    yield (
        "together",
        f"{readable(need.total_bytes)} of {readable(plan.free_bytes)} that are free",
    )


def _how_it_runs(plan: "LoadingPlan") -> str:
    form = plan.form
    batched = "batched" if plan.is_batched else "one request at a time"
    if plan.makes_embeddings:
        batched = "embeddings, inputs of similar length together"
    fused = ", all layers in one call" if form.is_fused else ""
    kernels = "torch alone" if form.kernels is None else f"{form.kernels} kernels"
    return f"{batched}{fused}, {kernels} on {plan.device.type}"


def _plan_in_words(plan: "LoadingPlan", resources: "Resources") -> str:
    if plan.makes_embeddings:
        longest = resources.max_context
        return f"up to {resources.max_batch_size} inputs in a step, each of up to {longest} tokens"
    cache = f"{readable(resources.kv_cache_bytes)} of KV cache, "
    requests = f"{resources.max_batch_size} requests at once"
    if not resources.kv_cache_bytes:
        cache, requests = "", "one request at a time"
    return f"{cache}{requests}, a context of {resources.max_context} tokens"


def _facts(report: "Report") -> dict[str, Any]:
    machine = dataclasses.asdict(report.machine)
    machine["cpu_flags"] = sorted(report.machine.cpu_flags & set(SPEEDING_FLAGS))
    return {
        "is_ok": not report.is_fatal,
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
        "machine": machine,
        "throttling": {
            "recent_share": report.window.recent_share,
            "total_share": report.window.total_share,
            "window_seconds": report.window.seconds,
        },
        "software": dataclasses.asdict(report.software),
        "state": dataclasses.asdict(report.state) | {"path": str(report.state.path)},
        "cache": dataclasses.asdict(report.cache) | {"path": str(report.cache.path)},
        "model": None if report.plan is None else _model_facts(report.plan),
        "embedding_model": None
        if report.embedding_plan is None
        else _model_facts(report.embedding_plan),
    }


def _model_facts(plan: "LoadingPlan") -> dict[str, Any]:
    need, form, model = plan.need, plan.form, plan.checkpoint
    return {
        "id": model.model_id,
        "num_parameters": model.num_parameters,
        "max_context": model.max_context,
        "engine": _engine_name(plan),
        "device": plan.device.type,
        "dtype": _dtype(form.dtype),
        "quantization": form.quantization,
        "kernels": form.kernels,
        "is_fused": form.is_fused,
        "kv_cache_dtype": _dtype(form.kv_dtype),
        "reasons": plan.reasons.notes,
        "embedding_bytes": need.weights.embedding,
        "head_bytes": need.weights.head or 0,
        "layers_bytes": need.weights.layers,
        "weights_bytes": need.weights.total,
        "loading_bytes": need.loading_bytes,
        "workspace_bytes": need.workspace_bytes,
        "useful_kv_cache_bytes": need.kv_cache_bytes,
        "free_bytes": plan.free_bytes,
        "fits": plan.fits,
        "plan": None if plan.resources is None else dataclasses.asdict(plan.resources),
    }


def _engine_name(plan: "LoadingPlan") -> str:
    if plan.makes_embeddings:
        return "embedding"
    return "batched" if plan.is_batched else "sequential"


def _dtype(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
