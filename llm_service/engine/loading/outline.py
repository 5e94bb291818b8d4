"""What is known of a model before its weights are read: where it would run, and in what bytes.

Owns the choice of device and number types, and the refusal of what does not fit. It reads no
weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.build import usable_instruction_sets
from llm_service.engine.kernels.files import Facts
from llm_service.engine.kernels.fused import CACHE_TYPES
from llm_service.engine.loading import memory, model_files, quantization, quantizers
from llm_service.engine.loading.layer_config import largest
from llm_service.engine.loading.memory import Form, MemoryNeed, Resources
from llm_service.engine.loading.model_config import packed_facts, read_config, shell_of
from llm_service.engine.loading.model_files import ModelFiles, ModelLoadError, Progress
from llm_service.engine.loading.quantizers import Quantizer
from llm_service.machine import Machine, readable

CONTEXT_WHEN_UNSTATED = 2048
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
# What may be tried where a model does not fit, from the least loss to the smallest.
_SMALLER = (("bfloat16", "none"), ("auto", "8bit"), ("auto", "4bit"))


@dataclass(frozen=True, slots=True)
class ModelOutline:
    """A model that could be loaded, and what it would take here."""

    files: ModelFiles
    config: PreTrainedConfig
    shell: PreTrainedModel  # all of its modules, no weights
    packed: Facts | None  # its weights are as `llm-service quantize` wrote them
    quantizer: Quantizer | None  # transformers' own, where it reads or makes the weights
    device: torch.device
    form: Form
    num_parameters: int
    max_context: int  # the model's own
    need: MemoryNeed
    free_bytes: int
    plan: Resources | None
    why_no_plan: str

    @property
    def keeps(self) -> Quantizer | None:
        """The quantizer, where it is not one that only turns weights back into plain ones."""
        return None if self.quantizer is None or self.quantizer.is_undone else self.quantizer

    @property
    def fits(self) -> bool:
        """Whether it can be loaded; `plan` says whether it can answer then."""
        return self.need.least_bytes <= self.free_bytes


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings that would make a model fit."""

    settings: Mapping[str, str]
    outline: ModelOutline

    @property
    def words(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.settings.items())


def outline_model(config: EngineConfig, machine: Machine, progress: Progress) -> ModelOutline:
    """Find `config.model_id` and foresee its memory. Raises ModelLoadError where it is no model."""
    files = model_files.locate(config.model_id, progress)
    model_files.refuse_malformed(files.folder)
    model_config = read_config(files.folder)
    shell = shell_of(model_config, files.folder)
    try:
        return _outline(config, machine, files, model_config, shell)
    except ModelLoadError:
        raise
    except Exception as error:  # a configuration that states what nobody thought of
        raise ModelLoadError(
            f"The config.json in {files.folder} cannot be used: {type(error).__name__}: {error}."
        ) from error


def outline_again(outline: ModelOutline, config: EngineConfig, machine: Machine) -> ModelOutline:
    """The same model with other settings."""
    return _outline(config, machine, outline.files, outline.config, outline.shell)


def choices(outline: ModelOutline, config: EngineConfig, machine: Machine) -> Iterator[Choice]:
    """Other settings with which the model of `outline` would fit and answer."""
    asked: dict[str, str | int | None] = {
        "LLM_DTYPE": config.dtype,
        "LLM_QUANTIZATION": config.quantization,
        "LLM_MAX_CONTEXT": config.max_context,
        "LLM_KV_CACHE_BYTES": config.kv_cache_bytes,
    }
    tried = set()
    has_its_form = outline.packed or (outline.keeps and outline.keeps.asked is None)
    smaller = () if has_its_form else _SMALLER
    for dtype, scheme in ((config.dtype, config.quantization), *smaller):
        other = replace(
            config, dtype=dtype, quantization=scheme, max_context=None, kv_cache_bytes=None
        )
        try:
            found = outline_again(outline, other, machine)
        except ModelLoadError:  # not to be had here
            continue
        if found.plan is None or not found.fits or found.form in tried:
            continue
        tried.add(found.form)
        fitting: dict[str, str | int] = {"LLM_DTYPE": dtype, "LLM_QUANTIZATION": scheme}
        if config.max_context:
            fitting["LLM_MAX_CONTEXT"] = min(config.max_context, found.plan.max_context)
        if config.kv_cache_bytes:
            fitting["LLM_KV_CACHE_BYTES"] = min(config.kv_cache_bytes, found.plan.kv_cache_bytes)
        settings = {name: str(value) for name, value in fitting.items() if value != asked[name]}
        if settings:
            yield Choice(settings, found)


def refuse_unless_fits(outline: ModelOutline, config: EngineConfig, machine: Machine) -> None:
    """Raises ModelLoadError with the numbers, and with what would fit."""
    if outline.fits:
        return
    need, form = outline.need, outline.form
    others = " or ".join(
        f"{choice.words} ({readable(choice.outline.need.least_bytes)})"
        for choice in choices(outline, config, machine)
    )
    rounded = ""
    if form.quantization != "none":
        is_ours = form.quantization in ("8bit", "4bit")
        rounded = f" rounded {f'to {form.quantization[0]} bits' if is_ours else 'in its files'}"
    raise ModelLoadError(
        f"{outline.files.model_id} needs {readable(need.loading_bytes)} for its"
        f" {outline.num_parameters / 1e6:,.0f} M weights as {dtype_name(form.dtype)}{rounded} and"
        f" {readable(need.workspace_bytes)} to work in, but only {readable(outline.free_bytes)} are"
        f" free here: {f'{others} would fit; else ' if others else ''}"
        "take a smaller model or give the service more memory."
    )


def asked_context(config: EngineConfig, model_id: str, longest: int) -> int:
    if config.max_context is not None and config.max_context > longest:
        raise ModelLoadError(
            f"LLM_MAX_CONTEXT={config.max_context} is more than the {longest} tokens that"
            f" {model_id} can see."
        )
    return config.max_context or longest


def num_threads(config: EngineConfig, machine: Machine) -> int:
    return config.threads or max(1, int(machine.cpu_cores))


def free_bytes(device: torch.device, machine: Machine) -> int:
    """On the device, before anything is loaded."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return machine.memory_available_bytes


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _outline(
    config: EngineConfig,
    machine: Machine,
    files: ModelFiles,
    model_config: PreTrainedConfig,
    shell: PreTrainedModel,
) -> ModelOutline:
    _refuse_unusable_kernels(config, machine)
    packed = packed_facts(config, model_config, files.folder)
    # Only the CPU's kernels read packed weights.
    device = torch.device("cpu") if packed else choose_device(config)
    quantizer = quantizers.quantizer_of(model_config, files.model_id, config.quantization, device)
    if quantizer is None and device.type == "cuda" and config.quantization in ("8bit", "4bit"):
        quantizer = quantizers.bitsandbytes(config.quantization)
    form = _form(config, shell, device, machine, packed, quantizer)
    longest = _longest_context(model_config, files.folder)
    context = asked_context(config, files.model_id, longest)
    threads = num_threads(config, machine)
    num_slots = memory.slots_wanted(config, threads)
    need = memory.predict(
        shell,
        form,
        max_context=context,
        max_batch_size=num_slots,
        max_batched_tokens=config.max_batched_tokens,
    )
    free = free_bytes(device, machine)
    plan, why_not = None, ""
    try:
        plan = memory.plan(
            config,
            threads=threads,
            max_context=context,
            bytes_per_token=memory.kv_bytes_per_token(model_config, form.kv_dtype),
            free_bytes=free - need.weights.total - need.workspace_bytes,
        )
    except ModelLoadError as error:
        why_not = str(error)
    return ModelOutline(
        files,
        model_config,
        shell,
        packed,
        quantizer,
        device,
        form,
        packed.num_parameters if packed else shell.num_parameters(),
        longest,
        need,
        free,
        plan,
        why_not,
    )


def _form(
    config: EngineConfig,
    shell: PreTrainedModel,
    device: torch.device,
    machine: Machine,
    packed: Facts | None,
    quantizer: Quantizer | None,
) -> Form:
    dtype = choose_dtype(config, device, machine)
    foreseen = quantization.Prepared("none", "", False, 0)
    if packed is not None:
        foreseen = quantization.Prepared(packed.quantization, "packed", True, 0)
    elif quantizer is not None and not quantizer.is_undone:
        foreseen = quantization.Prepared(quantizer.name, "", False, 0)
        dtype = quantizer.dtype or dtype
        if config.dtype not in ("auto", dtype_name(dtype)):
            raise ModelLoadError(
                f"LLM_DTYPE={config.dtype}, but what is quantized in {config.model_id} was made to"
                f" compute in {dtype_name(dtype)}: use auto."
            )
    elif device.type == "cpu":
        is_batched = config.engine != "sequential"
        foreseen = quantization.foresee(
            shell, config.quantization, is_batchable=is_batched, kernels=config.kernels
        )
    if foreseen.is_fused and config.dtype == "auto":
        # The kernels compute in float32 on every CPU, so weights are read as they are stored.
        is_bfloat16 = shell.config.dtype is torch.bfloat16
        dtype = torch.bfloat16 if is_bfloat16 else torch.float32
    return Form(
        dtype=dtype,
        quantization=foreseen.quantization,
        kv_dtype=choose_kv_dtype(config, foreseen, dtype),
        kernels=bool(foreseen.kernels),
        is_fused=foreseen.is_fused,
        weight_bits=quantizer.weight_bits if quantizer else None,
        is_converted=quantizer is not None and quantizer.is_undone,
    )


def _longest_context(config: PreTrainedConfig, folder: Path) -> int:
    """In tokens, as the model states it, or else its tokenizer."""
    file = folder / "tokenizer_config.json"
    stated = model_files.read_json(file).get("model_max_length") if file.is_file() else None
    # transformers writes an astronomical number for a tokenizer without a length
    unstated = CONTEXT_WHEN_UNSTATED
    if isinstance(stated, int) and 0 < stated < 10**9:
        unstated = stated
    return largest(config, "max_position_embeddings", unstated)


def _refuse_unusable_kernels(config: EngineConfig, machine: Machine) -> None:
    usable = usable_instruction_sets(machine.cpu_flags)
    if config.kernels not in ("auto", "none", *usable):
        raise ModelLoadError(
            f"LLM_KERNELS={config.kernels}, which this CPU does not run: use auto,"
            f" {' or '.join(usable)}."
        )


def choose_device(config: EngineConfig) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise ModelLoadError(
            "LLM_DEVICE=cuda, but PyTorch finds no CUDA device here; use auto or cpu."
        )
    return torch.device("cuda" if has_cuda and config.device != "cpu" else "cpu")


def choose_dtype(config: EngineConfig, device: torch.device, machine: Machine) -> torch.dtype:
    """The configured type; `auto` takes bfloat16 only where the hardware multiplies it itself."""
    if config.dtype != "auto":
        return _DTYPES[config.dtype]
    is_fast = machine.is_bfloat16_fast
    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_fast else torch.float32


def choose_kv_dtype(
    config: EngineConfig, prepared: quantization.Prepared, dtype: torch.dtype
) -> torch.dtype:
    """The configured type of the KV cache. `dtype` is the type in which torch computes."""
    if config.kv_cache_dtype == "auto":
        if prepared.is_fused and prepared.quantization != "none":
            return torch.bfloat16
        # A cache in bfloat16 would round what the kernels compute in float32.
        return torch.float32 if prepared.is_fused and config.dtype == "auto" else dtype
    asked = _DTYPES[config.kv_cache_dtype]
    if prepared.is_fused:
        if asked in CACHE_TYPES:
            return asked
    elif asked is dtype:
        return asked
    offered = CACHE_TYPES if prepared.is_fused else [dtype]
    raise ModelLoadError(
        f"LLM_KV_CACHE_DTYPE={config.kv_cache_dtype} is not offered for this model here; use auto,"
        f" {' or '.join(map(dtype_name, offered))}."
    )
