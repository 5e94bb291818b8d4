"""The loading plan: everything that is decided about a model before its weights are read.

Made once from the settings and this machine. `loader` carries it out and compares what came out;
`llm-service doctor` shows it. Reads no weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from llm_service.engine.config import EngineConfig
from llm_service.engine.loading import form as forms
from llm_service.engine.loading import memory, quantizers
from llm_service.engine.loading.checkpoint import Checkpoint, config_unusable
from llm_service.engine.loading.form import Form, Reasons, dtype_name
from llm_service.engine.loading.memory import MemoryNeed, Resources
from llm_service.engine.loading.model_files import ModelLoadError
from llm_service.machine import Machine, readable

_LONGEST_INPUT = 8192  # tokens
# What may be tried if a model does not fit, from the least loss to the smallest.
_SMALLER = (("bfloat16", "none"), ("auto", "8bit"), ("auto", "4bit"))
_SETTINGS = {  # those that a proposal may change
    "LLM_DTYPE": "dtype",
    "LLM_QUANTIZATION": "quantization",
    "LLM_MAX_CONTEXT": "max_context",
    "LLM_KV_CACHE_BYTES": "kv_cache_bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingPlan:
    """How `checkpoint` would be served under `config` on this machine."""

    config: EngineConfig
    checkpoint: Checkpoint
    device: torch.device
    form: Form
    reasons: Reasons
    need: MemoryNeed
    free_bytes: int
    resources: Resources | None  # None: it could be loaded but not answer, because of `problem`
    problem: str | None

    @property
    def is_batched(self) -> bool:
        return self.reasons.sequential is None

    @property
    def makes_embeddings(self) -> bool:
        return self.checkpoint.sentence is not None

    @property
    def fits(self) -> bool:
        """Whether it can be loaded; `resources` tells whether it can answer then."""
        return self.need.least_bytes <= self.free_bytes


def make_plan(checkpoint: Checkpoint, config: EngineConfig, machine: Machine) -> LoadingPlan:
    """Raises ModelLoadError where the settings ask for what this model cannot have here."""
    try:
        return _make_plan(checkpoint, config, machine)
    except ModelLoadError:
        raise
    except Exception as error:  # a configuration can state anything
        raise config_unusable(checkpoint.folder, error) from error


def _make_plan(checkpoint: Checkpoint, config: EngineConfig, machine: Machine) -> LoadingPlan:
    forms.refuse_unusable_kernels(config, machine)
    _refuse_settings_of_packed(checkpoint, config)
    # Only the CPU's kernels read packed weights.
    device = torch.device("cpu") if checkpoint.packed else forms.choose_device(config)
    quantizer = quantizers.choose_quantizer(
        checkpoint.config, checkpoint.model_id, config.quantization, device
    )
    form, reasons = forms.choose_form(config, checkpoint, machine, device, quantizer)
    refuse_sequential(config, checkpoint.model_id, reasons)
    is_batched = reasons.sequential is None
    choose_context = asked_context if checkpoint.sentence is None else asked_input
    context = choose_context(config, checkpoint.model_id, checkpoint.max_context)
    threads = num_threads(config, machine)
    free = free_bytes(device, machine)
    if checkpoint.sentence is not None:
        return LoadingPlan(
            config=config,
            checkpoint=checkpoint,
            device=device,
            form=form,
            reasons=reasons,
            need=memory.predict_embedding(
                checkpoint.shell,
                form,
                max_context=context,
                max_batched_tokens=config.max_batched_tokens,
            ),
            free_bytes=free,
            resources=memory.embedding_resources(config, threads=threads, max_context=context),
            problem=None,
        )
    need = memory.predict(
        checkpoint.shell,
        form,
        max_context=context,
        max_batch_size=memory.slots_wanted(config, threads),
        max_batched_tokens=config.max_batched_tokens,
        is_batched=is_batched,
    )
    resources, problem = None, None
    try:
        resources = memory.plan(
            config,
            threads=threads,
            max_context=context,
            bytes_per_token=memory.kv_bytes_per_token(checkpoint.config, form.kv_dtype),
            free_bytes=free - need.weights.total - need.workspace_bytes,
            is_batched=is_batched,
        )
    except ModelLoadError as error:
        problem = str(error)
    return LoadingPlan(
        config=config,
        checkpoint=checkpoint,
        device=device,
        form=form,
        reasons=reasons,
        need=need,
        free_bytes=free,
        resources=resources,
        problem=problem,
    )


def alternatives(plan: LoadingPlan, machine: Machine) -> Iterator[LoadingPlan]:
    """Plans for the same model, under other settings, with which it would fit and answer."""
    config = plan.config
    is_given = plan.checkpoint.packed is not None or (
        plan.form.kept_quantizer is not None and plan.form.kept_quantizer.asked is None
    )
    tried: list[Form] = []
    for dtype, scheme in ((config.dtype, config.quantization), *(() if is_given else _SMALLER)):
        other = replace(
            config, dtype=dtype, quantization=scheme, max_context=None, kv_cache_bytes=None
        )
        try:
            found = make_plan(plan.checkpoint, other, machine)
        except ModelLoadError:  # not available here
            continue
        if found.resources is None or not found.fits or found.form in tried:
            continue
        tried.append(found.form)
        found = replace(found, config=_with_limits_that_fit(other, config, found.resources))
        if found.config != config:
            yield found


def _with_limits_that_fit(
    config: EngineConfig, asked: EngineConfig, found: Resources
) -> EngineConfig:
    """`config` with the limits that were `asked` for, lowered to what was `found` to fit."""
    context, kv_cache_bytes = asked.max_context, asked.kv_cache_bytes
    if context is not None:
        context = min(context, found.max_context)
    if kv_cache_bytes is not None:
        kv_cache_bytes = min(kv_cache_bytes, found.kv_cache_bytes)
    return replace(config, max_context=context, kv_cache_bytes=kv_cache_bytes)


def changed_settings(plan: LoadingPlan, config: EngineConfig) -> str:
    """The settings in which `plan` differs from `config`, as LLM_NAME=value."""
    return " ".join(
        f"{name}={getattr(plan.config, field)}"
        for name, field in _SETTINGS.items()
        if getattr(plan.config, field) != getattr(config, field)
    )


def refuse_unless_fits(plan: LoadingPlan, machine: Machine) -> None:
    """Raises ModelLoadError with the numbers, and with what would fit."""
    if plan.fits:
        return
    need, form, checkpoint = plan.need, plan.form, plan.checkpoint
    others = " or ".join(
        f"{changed_settings(other, plan.config)} ({readable(other.need.least_bytes)})"
        for other in alternatives(plan, machine)
    )
    rounded = ""
    if form.quantization in ("8bit", "4bit"):
        rounded = f" rounded to {form.quantization[0]} bits"
    elif form.quantization != "none":
        rounded = " rounded in its files"
    raise ModelLoadError(
        f"{checkpoint.model_id} needs {readable(need.loading_bytes)} for its"
        f" {checkpoint.num_parameters / 1e6:,.0f} M weights as {dtype_name(form.dtype)}{rounded}"
        f" and {readable(need.workspace_bytes)} to work in, but only {readable(plan.free_bytes)}"
        f" are free here: {f'{others} would fit; else ' if others else ''}"
        "take a smaller model or give the service more memory."
    )


def refuse_sequential(config: EngineConfig, model_id: str, reasons: Reasons) -> None:
    """Raises ModelLoadError if batching was asked for and is not possible."""
    if config.engine == "batched" and reasons.sequential is not None:
        raise ModelLoadError(
            f"LLM_ENGINE=batched, but {model_id} cannot be batched because"
            f" {reasons.sequential}; use auto or sequential."
        )


def _refuse_settings_of_packed(checkpoint: Checkpoint, config: EngineConfig) -> None:
    packed, folder = checkpoint.packed, checkpoint.folder
    if packed is None:
        return
    if config.quantization not in ("auto", packed.quantization):
        raise ModelLoadError(
            f"LLM_QUANTIZATION={config.quantization}, but {folder} holds weights in"
            f" {packed.quantization}: use auto, or the model that they were made from."
        )
    if config.engine == "sequential" or config.device == "cuda":
        raise ModelLoadError(
            f"{folder} holds weights in {packed.quantization}, which only the batched engine reads,"
            " on a CPU; use auto, or the model that they were made from."
        )


def asked_context(config: EngineConfig, model_id: str, longest: int) -> int:
    if config.max_context is None:
        return longest
    if config.max_context > longest:
        raise ModelLoadError(
            f"LLM_MAX_CONTEXT={config.max_context} is more than the {longest} tokens of"
            f" {model_id}'s longest context."
        )
    return config.max_context


def asked_input(config: EngineConfig, model_id: str, longest: int) -> int:
    """The longest input of a model that makes embeddings.

    Without LLM_MAX_CONTEXT it is bounded: the time of an input grows with the square of its
    length, and nothing else is computed meanwhile.
    """
    asked = asked_context(config, model_id, longest)
    return asked if config.max_context is not None else min(asked, _LONGEST_INPUT)


def num_threads(config: EngineConfig, machine: Machine) -> int:
    return max(1, int(machine.cpu_cores)) if config.threads is None else config.threads


def free_bytes(device: torch.device, machine: Machine) -> int:
    """On the device, before anything is loaded."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return machine.memory_available_bytes
