"""Loads a model, or refuses in words before it is loaded, and plans its resources.

Owns the reading of weights and tokenizer, and the facts about a model that the rest needs. It
runs no model and knows nothing of requests. What is known before the weights are read is
`outline`'s, and where the files come from `model_files`' business.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.build import KernelsUnavailable
from llm_service.engine.kernels.files import FilesUnusable, load_fused
from llm_service.engine.kernels.fused import fused_decoder
from llm_service.engine.kernels.kv_cache import LayerShape, position_bytes
from llm_service.engine.loading import memory, model_files, quantization
from llm_service.engine.loading.compatibility import (
    layer_shapes,
    why_not_batchable,
    why_not_runnable,
)
from llm_service.engine.loading.contents import read_contents
from llm_service.engine.loading.memory import Resources
from llm_service.engine.loading.model_config import model_class, stored_dtype
from llm_service.engine.loading.model_files import (
    ModelFiles,
    ModelLoadError,
    Progress,
    bundled_models,
)
from llm_service.engine.loading.outline import (
    ModelOutline,
    asked_context,
    choose_dtype,
    choose_kv_dtype,
    free_bytes,
    num_threads,
    outline_again,
    outline_model,
    refuse_unless_fits,
)
from llm_service.engine.loading.quantization import CannotQuantize, Prepared
from llm_service.machine import Machine, return_free_memory

__all__ = [
    "LoadedModel",
    "ModelLoadError",
    "Resources",
    "bundled_models",
    "load_model",
    "plan_resources",
]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in eval mode on its device, with what the rest needs to know about it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    model_id: str
    folder: Path
    device: torch.device
    dtype: torch.dtype  # of the weights, before they were quantized
    quantization: str  # none, 8bit, 4bit, or transformers' name for its own
    kernels: str  # their instruction set; empty: torch does all the work
    layer_shapes: tuple[LayerShape, ...]  # empty: it keeps its own cache
    kv_dtype: torch.dtype
    num_parameters: int
    weights_bytes: int
    max_context: int
    eos_token_ids: frozenset[int]
    sequential_reason: str  # empty: it can be batched
    notes: tuple[str, ...]
    default_sampling: Mapping[str, Any]
    load_seconds: float


def load_model(config: EngineConfig, machine: Machine, progress: Progress) -> LoadedModel:
    """Find and load `config.model_id`; raises ModelLoadError with what to do about it.

    `progress` hears a line per stage and, while downloading, one every few seconds.
    """
    started = time.monotonic()
    torch.set_num_threads(num_threads(config, machine))  # else one per core of the host
    outline = outline_model(config, machine, progress)
    refuse_unless_fits(outline, config, machine)
    files, device = outline.files, outline.device
    contents = read_contents(files.folder, outline.config)
    folder = _with_weights(files, progress)
    progress(f"loading {files.model_id} from {folder}")
    served, why_unquantized = _read(outline, config, folder)
    if served is None:
        config = replace(config, quantization="none")
        outline = outline_again(outline, config, machine)
        refuse_unless_fits(outline, config, machine)
        served, _ = _read(outline, config, folder)
    assert served is not None
    dtype = outline.form.dtype if outline.keeps else choose_dtype(config, device, machine)
    model, prepared, reason = served.model, served.prepared, served.sequential_reason
    return LoadedModel(
        model=model,
        tokenizer=contents.tokenizer,
        model_id=files.model_id,
        folder=folder,
        device=device,
        dtype=outline.form.dtype,
        quantization=prepared.quantization,
        kernels=prepared.kernels,
        layer_shapes=served.layer_shapes,
        kv_dtype=choose_kv_dtype(config, prepared, dtype),
        num_parameters=outline.num_parameters,
        weights_bytes=prepared.weights_bytes,
        max_context=outline.max_context,
        eos_token_ids=contents.eos_token_ids,
        sequential_reason=reason,
        notes=(
            *([f"runs one request at a time because {reason}"] if reason else ()),
            *([f"is not quantized because then {why_unquantized}"] if why_unquantized else ()),
            *prepared.notes,
            *contents.notes,
        ),
        default_sampling=contents.default_sampling,
        load_seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """A model in the form in which it is served."""

    model: PreTrainedModel
    prepared: Prepared
    layer_shapes: tuple[LayerShape, ...]
    sequential_reason: str


def _read(outline: ModelOutline, config: EngineConfig, folder: Path) -> tuple[_Served | None, str]:
    """The model; or None, and why it cannot be served quantized: its memory is free again then."""
    try:
        read = _map_packed if outline.packed else _read_plain
        return read(outline, config, folder), ""
    except CannotQuantize as error:
        return None, str(error)


def _read_plain(outline: ModelOutline, config: EngineConfig, folder: Path) -> _Served:
    model = _read_model(folder, outline)
    model.eval()  # type: ignore[no-untyped-call]
    if outline.device.type == "cuda" and outline.form.dtype is torch.float32:
        # Some containers switch TensorFloat-32 on, which keeps three decimal digits.
        torch.set_float32_matmul_precision("highest")
    reason = why_not_batchable(model)
    is_batched = not reason and config.engine != "sequential"
    if not is_batched and (why := why_not_runnable(model)):
        raise ModelLoadError(f"The model in {folder} cannot be served because {why}.")
    shapes = () if reason else tuple(layer_shapes(model))
    prepared = _prepare(config, model, outline, is_batched=is_batched)
    _give_memory_back(outline.device)
    return _Served(model, prepared, shapes, reason)


def _map_packed(outline: ModelOutline, config: EngineConfig, folder: Path) -> _Served:
    """Weights that `llm-service quantize` wrote; the model was tried then."""
    assert outline.packed is not None
    model = outline.shell
    model.eval()  # type: ignore[no-untyped-call]
    try:
        kernels = quantization.chosen_kernels(config.kernels)
        load_fused(model, folder, outline.packed, kernels)
    except (FilesUnusable, KernelsUnavailable, SafetensorError, OSError, KeyError) as error:
        raise ModelLoadError(f"The weights in {folder} cannot be used: {error}.") from error
    size = quantization.num_bytes(model)
    prepared = Prepared(outline.packed.quantization, kernels.instruction_set, True, size)
    decoder = fused_decoder(model)
    assert decoder is not None
    return _Served(model, prepared, tuple(decoder.layer_shapes), "")


def examine_folder(outline: ModelOutline, config: EngineConfig) -> tuple[list[str], list[str]]:
    """Why `load_model` would refuse what the outline lets pass, and what it would leave out.

    Reads no numbers of weights, and nothing of weights that do not fit or are yet to be downloaded.
    The outline is used up: a packed model's shell gets its weights.
    """
    folder = outline.files.folder
    reasons: list[str] = []
    notes: list[str] = []
    try:
        notes += read_contents(folder, outline.config).notes
    except ModelLoadError as error:
        reasons.append(str(error))
    try:
        if not outline.files.is_on_hub or model_files.has_weights(folder):
            _examine_weights(outline, config)
    except ModelLoadError as error:
        reasons.append(str(error))
    return reasons, notes


def _examine_weights(outline: ModelOutline, config: EngineConfig) -> None:
    """Raises ModelLoadError where weights are missing, cut off, or not those of the model."""
    folder = outline.files.folder
    for file in model_files.weight_files(folder):
        model_files.refuse_unless_whole(file)
    if outline.fits and outline.packed:
        _map_packed(outline, config, folder)
    elif outline.fits and outline.quantizer is None:
        # any other type would copy them
        mapped = replace(outline.form, dtype=stored_dtype(outline.config))
        _read_model(folder, replace(outline, form=mapped, device=torch.device("cpu")))


def plan_resources(config: EngineConfig, loaded: LoadedModel, machine: Machine) -> Resources:
    """Threads, KV-cache bytes, batch and context: as configured, else what the machine allows.

    `machine` was detected before the weights were loaded. Raises ModelLoadError when the
    configuration asks for what cannot be.
    """
    threads = num_threads(config, machine)
    max_context = asked_context(config, loaded.model_id, loaded.max_context)
    if loaded.sequential_reason or config.engine == "sequential":
        return Resources(threads, 0, 1, max_context)
    per_token = sum(position_bytes(shape, loaded.kv_dtype) for shape in loaded.layer_shapes)
    return memory.plan(
        config,
        threads=threads,
        max_context=max_context,
        bytes_per_token=per_token,
        free_bytes=_free_for_cache(config, loaded, machine),
    )


def _prepare(
    config: EngineConfig, model: PreTrainedModel, outline: ModelOutline, *, is_batched: bool
) -> Prepared:
    if outline.keeps:
        return Prepared(outline.keeps.name, "", False, quantization.num_bytes(model))
    if model.device.type != "cpu":
        prepared = Prepared("none", "", False, quantization.num_bytes(model))
    else:
        prepared = quantization.prepare(
            model, config.quantization, is_batchable=is_batched, kernels=config.kernels
        )
    if outline.quantizer is None:
        return prepared
    note = (
        f"comes with {outline.quantizer.name} weights, which are turned back into plain ones first"
    )
    return replace(prepared, notes=(note, *prepared.notes))


def _with_weights(files: ModelFiles, progress: Progress) -> Path:
    """The folder with its weights in it, all of them whole."""
    folder = files.folder
    if files.is_on_hub:
        folder = model_files.download_weights(files.model_id, progress)
    for file in model_files.weight_files(folder):
        model_files.refuse_unless_whole(file)
    return folder


def _give_memory_back(device: torch.device) -> None:
    """Return what was freed: nothing as large comes later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # else it does not count as free when the KV cache is sized
    return_free_memory()


def _read_model(folder: Path, outline: ModelOutline) -> PreTrainedModel:
    """On its device, with quantized linear layers where transformers makes or keeps them so."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kept, config, dtype = outline.keeps, outline.config, outline.form.dtype
    model: PreTrainedModel
    report: Mapping[str, Any]
    try:
        model, report = model_class(config).from_pretrained(  # type: ignore[misc]  # a pair, as output_loading_info asks
            folder,
            config=config,
            dtype=dtype,
            quantization_config=kept.asked if kept else None,
            device_map={"": outline.device} if kept else None,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    except Exception as error:  # whatever strange weights make of it
        raise ModelLoadError(f"The weights in {folder} cannot be used: {error}") from error
    # transformers fills what is missing with random numbers and only warns.
    if missing := sorted(report["missing_keys"]):
        raise ModelLoadError(
            f"The weights in {folder} lack {len(missing)} tensors of the model,"
            f" {missing[0]} for one."
        )
    if mismatched := sorted(report["mismatched_keys"]):
        name, found, expected = mismatched[0]
        raise ModelLoadError(
            f"The weights in {folder} do not fit config.json: {name} is {list(found)}, not"
            f" {list(expected)} ({len(mismatched)} such tensors)."
        )
    if kept:  # they are there already, and some do not let themselves be moved
        return model
    if outline.quantizer:  # some are turned back into bfloat16, whatever was asked for
        for parameter in model.parameters():  # not buffers: rotary tables need float32
            parameter.data = parameter.data.to(dtype)
    model.to(outline.device)  # type: ignore[arg-type]
    return model


def _free_for_cache(config: EngineConfig, loaded: LoadedModel, machine: Machine) -> int:
    """What weights and workspace leave; on CUDA, what the workspace leaves of what is free now."""
    num_slots = memory.slots_wanted(config, num_threads(config, machine))
    free = free_bytes(loaded.device, machine) - memory.workspace_bytes(
        loaded.model.config, num_slots, config.max_batched_tokens
    )
    if loaded.device.type == "cpu":
        free -= loaded.weights_bytes  # `machine` was looked at before they were loaded
    return free
