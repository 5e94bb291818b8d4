"""The problems that `llm-service doctor` reports, with their remedies."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from llm_service.cli.surroundings import Disk, Software, Window
from llm_service.engine.loading import model_files
from llm_service.engine.loading.checkpoint import Checkpoint
from llm_service.engine.loading.plan import LoadingPlan, alternatives, changed_settings
from llm_service.machine import Machine, readable

_THROTTLED_SHARE = 0.1  # the threshold of the alert CPUThrottled
_SWAP_WORTH_SAYING = 64 * 2**20
_LEAST_STATE_BYTES = 64 * 2**20


Kind = Literal[
    "settings", "model", "memory", "context", "threads", "throttled", "instructions", "kernels",
    "swap", "huge_pages", "state", "disk",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem. A fatal one prevents something; the others cost speed or context length."""

    kind: Kind
    is_fatal: bool
    problem: str
    remedy: str


def cpu_findings(machine: Machine, software: Software, window: Window) -> Iterator[Finding]:
    cores, threads = machine.cpu_cores, software.threads
    if threads > cores:
        least = min(machine.cpu_limits, key=machine.cpu_limits.__getitem__)
        yield Finding(
            "threads",
            False,
            f"The engine would use {threads} thread{'s' * (threads > 1)} on {cores:g} cores"
            f" (by {least}).",
            f"Set LLM_THREADS={int(cores)}, or leave it out."
            if cores >= 1
            else "Give the service at least one whole core.",
        )
    if max(window.recent_share, window.total_share) > _THROTTLED_SHARE:
        yield Finding(
            "throttled",
            False,
            f"The CPU quota stops this group: {window.recent_share:.0%} of its CPU time in the"
            f" last {window.seconds:.0f} s, {window.total_share:.0%} of all periods so far.",
            "Raise the quota (LLM_CPU_LIMIT in .env, --cpus of a container), or lower LLM_THREADS.",
        )
    if (
        "sse2" in machine.cpu_flags and "avx2" not in machine.cpu_flags
    ):  # both flags exist only on x86
        yield Finding(
            "instructions",
            False,
            "The processor shows no AVX2, so everything is several times slower.",
            "On a virtual machine, pass the host's processor type through.",
        )
    if software.kernels_reason and software.device == "cpu":
        yield Finding(
            "kernels",
            False,
            f"There are no compiled kernels: {software.kernels_reason}. torch does all the work,"
            " which is slower.",
            "Install a C++ compiler (apt install g++, dnf install gcc-c++, xcode-select --install)"
            " and start again.",
        )


def memory_findings(machine: Machine) -> Iterator[Finding]:
    if machine.swap_used_bytes > _SWAP_WORTH_SAYING:
        yield Finding(
            "swap",
            False,
            f"{readable(machine.swap_used_bytes)} of swap are in use: weights that are swapped"
            " out make a step take seconds.",
            "Free memory, take a smaller model, or switch swap off (swapoff -a).",
        )
    if machine.huge_pages == "never":
        yield Finding(
            "huge_pages",
            False,
            "Transparent huge pages are off, so reading weights and cache misses the TLB more.",
            "As root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled.",
        )


def disk_findings(state: Disk, cache: Disk, plan: LoadingPlan | None) -> Iterator[Finding]:
    if not state.is_writable:
        yield Finding(
            "state",
            True,
            f"The state folder {state.path} cannot be written.",
            "Set LLM_STATE_DIR to a folder that can be.",
        )
    if state.free_bytes < _LEAST_STATE_BYTES:
        yield Finding(
            "state",
            True,
            f"Only {readable(state.free_bytes)} are free for the state folder {state.path}.",
            "Free some, or set LLM_STATE_DIR to another disk.",
        )
    model = None if plan is None else plan.checkpoint
    if model is None or not model.is_on_hub or model_files.has_weights(model.folder):
        return
    needed = stored_bytes(model)
    if not cache.is_writable or needed > cache.free_bytes:
        yield Finding(
            "disk",
            True,
            f"The weights of {model.model_id}, {readable(needed)}, are not downloaded yet"
            f" to {cache.path}, where {readable(cache.free_bytes)} are free"
            f"{'' if cache.is_writable else ' and nothing can be written'}.",
            "Free some, or set HF_HOME to another disk.",
        )


def stored_bytes(model: Checkpoint) -> int:
    """The size of the weight files, in the type that config.json states."""
    return model.num_parameters * model.stored_dtype.itemsize


def model_findings(plan: LoadingPlan, machine: Machine) -> Iterator[Finding]:
    if plan.resources is not None and plan.fits:
        for note in plan.resources.notes:
            yield Finding("context", False, f"{_sentence(note)}.", _what_lifts(plan))
        return
    fitting = [_in_words(other, plan) for other in alternatives(plan, machine)]
    remedy = "Take a smaller model, or give the service more memory."
    if fitting:
        remedy = f"What would fit: {'; '.join(fitting)}."
    if plan.fits:
        assert plan.problem is not None
        yield Finding("memory", True, _sentence(plan.problem), remedy)
        return
    cache = ""
    if plan.is_batched and not plan.makes_embeddings:
        cache = f" and a KV cache, {readable(plan.need.total_bytes)} with a cache of useful size"
    yield Finding(
        "memory",
        True,
        f"{plan.checkpoint.model_id} needs {readable(plan.need.least_bytes)}{cache};"
        f" {readable(plan.free_bytes)} are free.",
        remedy,
    )


def folder_findings(reasons: Iterable[str], notes: Iterable[str]) -> Iterator[Finding]:
    """Problems of a model's folder: those that prevent a start, and parts that are ignored."""
    for reason in reasons:
        yield Finding("model", True, reason, "")
    for note in notes:
        yield Finding("model", False, f"The model {note}.", "")


def _in_words(other: LoadingPlan, plan: LoadingPlan) -> str:
    resources = other.resources
    assert resources is not None
    cache, requests = "", "one request at a time"
    if other.makes_embeddings:
        requests = f"{resources.max_batch_size} inputs in a step"
    elif other.is_batched:
        cache = f", {readable(resources.kv_cache_bytes)} of KV cache"
        requests = f"{resources.max_batch_size} requests at once"
    return (
        f"{changed_settings(other, plan.config)} ({readable(other.need.weights.total)} of weights"
        f"{cache}: a context of {resources.max_context} tokens, {requests})"
    )


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _what_lifts(plan: LoadingPlan) -> str:
    missing = plan.need.total_bytes - plan.free_bytes
    if missing > 0:
        return f"{readable(missing)} more memory would lift that."
    return "Raise LLM_KV_CACHE_BYTES to lift that."
