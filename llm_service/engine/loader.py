"""Loads a model, or refuses in words before it is loaded, and plans its resources.

Owns device and dtype, what fits in memory, and the facts about a model that the rest
needs. It runs no model and knows nothing of requests. Code from a model's folder is
never run. Where the files come from is `model_files`' business.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
)
from transformers.utils import logging as transformers_logging

from llm_service.engine import model_files
from llm_service.engine.batched import quantization
from llm_service.engine.batched.compatibility import layer_shapes, why_not_batchable
from llm_service.engine.batched.kernels.fused import CACHE_TYPES
from llm_service.engine.batched.kv_cache import LayerShape, position_bytes
from llm_service.engine.config import EngineConfig
from llm_service.engine.model_files import ModelFiles, ModelLoadError, Progress, bundled_models
from llm_service.machine import Machine

__all__ = [
    "LoadedModel",
    "ModelLoadError",
    "Resources",
    "bundled_models",
    "load_model",
    "plan_resources",
]

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
_SAMPLING_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_CONTEXT_WHEN_UNSTATED = 2048
# What a step's activations and the rest of the process take beside weights and KV cache.
_WORKSPACE_BYTES = 256 * 2**20
_KV_CACHE_SHARE = 0.5
# Of all slots at the longest context, which few texts reach; those that do may be preempted.
_USEFUL_KV_SHARE = 0.125
_SEQUENCES_PER_CORE = 16
_MAX_BATCH_SIZE = 256
# A batch slot that could not hold this many tokens would only cause preemption.
_LEAST_TOKENS_PER_SEQUENCE = 256


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in eval mode on its device, with what the rest needs to know about it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    model_id: str
    device: torch.device
    dtype: torch.dtype  # of the weights, before they were quantized
    quantization: str  # none, 8bit, 4bit
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


@dataclass(frozen=True, slots=True)
class Resources:
    """What the engine may use. `notes` are sentences about choices that limit it."""

    threads: int
    kv_cache_bytes: int
    max_batch_size: int
    max_context: int
    notes: tuple[str, ...] = ()


def load_model(config: EngineConfig, machine: Machine, progress: Progress) -> LoadedModel:
    """Find and load `config.model_id`; raises ModelLoadError with what to do about it.

    `progress` hears a line per stage and, while downloading, one every few seconds.
    """
    started = time.monotonic()
    torch.set_num_threads(_num_threads(config, machine))  # else one per core of the host
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    device = _device(config)
    dtype = _dtype(config, device, machine)
    files = model_files.locate(config.model_id, progress)
    model_config = _read_config(files.folder)
    folder = _with_weights(files, model_config, dtype, _room(device, machine), progress)
    tokenizer = _read_tokenizer(folder)
    progress(f"loading {files.model_id} from {folder}")
    stored = _dtype_to_read(config, model_config, device, dtype)
    model = _read_model(folder, model_config, stored).to(device).eval()  # type: ignore[arg-type]
    reason = why_not_batchable(model)
    shapes = () if reason else tuple(layer_shapes(model))
    num_parameters = model.num_parameters()
    prepared = _prepare(config, model, is_batched=not reason and config.engine != "sequential")
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        model_id=files.model_id,
        device=device,
        dtype=stored,
        quantization=prepared.quantization,
        kernels=prepared.kernels,
        layer_shapes=shapes,
        kv_dtype=_kv_dtype(config, prepared, dtype),
        num_parameters=num_parameters,
        weights_bytes=prepared.weights_bytes,
        max_context=_max_context(model_config, tokenizer),
        eos_token_ids=_eos_token_ids(model, tokenizer),
        sequential_reason=reason,
        notes=((f"runs one request at a time because {reason}",) if reason else ())
        + prepared.notes,
        default_sampling=_default_sampling(folder),
        load_seconds=time.monotonic() - started,
    )


def plan_resources(config: EngineConfig, loaded: LoadedModel, machine: Machine) -> Resources:
    """Threads, KV-cache bytes, batch and context: as configured, else what the machine allows.

    `machine` was detected before the weights were loaded. Raises ModelLoadError when the
    configuration asks for what cannot be.
    """
    threads = _num_threads(config, machine)
    asked_context = config.max_context or loaded.max_context
    if asked_context > loaded.max_context:
        raise ModelLoadError(
            f"LLM_MAX_CONTEXT={asked_context} is more than the {loaded.max_context}"
            f" tokens that {loaded.model_id} can see."
        )
    if loaded.sequential_reason or config.engine == "sequential":
        return Resources(threads, 0, 1, asked_context)
    per_token = sum(position_bytes(shape, loaded.kv_dtype) for shape in loaded.layer_shapes)
    by_cores = min(_SEQUENCES_PER_CORE * threads, _MAX_BATCH_SIZE)
    num_slots = config.max_batch_size or by_cores
    most_useful = max(1, int(num_slots * _USEFUL_KV_SHARE)) * asked_context * per_token
    kv_cache_bytes = config.kv_cache_bytes or min(_kv_room(loaded, machine), most_useful)
    num_tokens = kv_cache_bytes // per_token // config.block_size * config.block_size
    max_context, notes = _context_that_fits(config, asked_context, num_tokens, kv_cache_bytes)
    least_tokens = min(max(1, int(max_context * _USEFUL_KV_SHARE)), _LEAST_TOKENS_PER_SEQUENCE)
    by_memory = max(1, num_tokens // least_tokens)
    max_batch_size = config.max_batch_size or min(by_cores, by_memory)
    return Resources(threads, kv_cache_bytes, max_batch_size, max_context, notes)


def _num_threads(config: EngineConfig, machine: Machine) -> int:
    return config.threads or max(1, int(machine.cpu_cores))


def _device(config: EngineConfig) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise ModelLoadError(
            "LLM_DEVICE=cuda, but PyTorch finds no CUDA device here; use auto or cpu."
        )
    return torch.device("cuda" if has_cuda and config.device != "cpu" else "cpu")


def _dtype(config: EngineConfig, device: torch.device, machine: Machine) -> torch.dtype:
    """As configured; `auto` takes bfloat16 only where the hardware multiplies it itself."""
    if config.dtype != "auto":
        return _DTYPES[config.dtype]
    is_fast = device.type == "cuda" or machine.is_bfloat16_fast
    return torch.bfloat16 if is_fast else torch.float32


def _dtype_to_read(
    config: EngineConfig, model_config: PreTrainedConfig, device: torch.device, dtype: torch.dtype
) -> torch.dtype:
    """`dtype`, or as the weights are stored where kernels compute in float32 whatever they are."""
    stored = getattr(model_config, "dtype", None)
    if device.type != "cpu" or config.dtype != "auto" or stored is not torch.bfloat16:
        return dtype
    with torch.device("meta"):
        shell = _model_class(model_config).from_config(model_config)  # type: ignore[no-untyped-call]
    return dtype if quantization.why_not_fused(shell) else stored


def _prepare(
    config: EngineConfig, model: PreTrainedModel, *, is_batched: bool
) -> quantization.Prepared:
    if model.device.type == "cpu":
        return quantization.prepare(model, config.quantization, is_batchable=is_batched)
    if config.quantization in ("auto", "none"):
        size = model.get_memory_footprint()  # type: ignore[no-untyped-call]
        return quantization.Prepared("none", "", False, int(size))
    raise ModelLoadError(
        f"LLM_QUANTIZATION={config.quantization} is not offered on CUDA yet; use none."
    )


def _kv_dtype(
    config: EngineConfig, prepared: quantization.Prepared, dtype: torch.dtype
) -> torch.dtype:
    if config.kv_cache_dtype == "auto":
        is_rounded = prepared.is_fused and prepared.quantization != "none"
        return torch.bfloat16 if is_rounded else dtype
    asked = _DTYPES[config.kv_cache_dtype]
    if prepared.is_fused:
        if asked in CACHE_TYPES:
            return asked
    elif asked is dtype:
        return asked
    offered = CACHE_TYPES if prepared.is_fused else [dtype]
    raise ModelLoadError(
        f"LLM_KV_CACHE_DTYPE={config.kv_cache_dtype} is not offered for this model here; use auto,"
        f" {' or '.join(map(_name, offered))}."
    )


def _read_config(folder: Path) -> PreTrainedConfig:
    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{folder} holds no model: there is no config.json.")
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise ModelLoadError(
                f"The model in {folder} needs code of its own, and such code is never run here."
            ) from error
        raise ModelLoadError(f"The config.json in {folder} cannot be used: {error}") from error
    if config.is_encoder_decoder:
        raise ModelLoadError(
            f"{folder} holds an encoder-decoder model ({config.model_type});"
            " only decoder-only text models are served."
        )
    if getattr(config, "quantization_config", None):
        raise ModelLoadError(
            f"{folder} holds weights that are quantized already; use the model's unquantized form."
        )
    _model_class(config)
    return config


def _model_class(
    config: PreTrainedConfig,
) -> type[AutoModelForCausalLM] | type[AutoModelForImageTextToText]:
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    raise ModelLoadError(
        f"The architecture {config.model_type!r} does not generate text in the installed"
        " transformers library."
    )


def _with_weights(
    files: ModelFiles, config: PreTrainedConfig, dtype: torch.dtype, room: int, progress: Progress
) -> Path:
    """The folder with its weights in it, once they are known to fit into `room` bytes."""
    folder = files.folder
    if files.is_on_hub:
        stored = getattr(config, "dtype", None) or torch.float32
        size = model_files.hub_weights_bytes(files.model_id)
        if size is not None:
            _refuse_unless_fits(files.model_id, size // stored.itemsize, dtype, room)
        folder = model_files.download_weights(files.model_id, progress)
    num_weights = model_files.num_weights(model_files.weight_files(folder))
    _refuse_unless_fits(files.model_id, num_weights, dtype, room)
    return folder


def _room(device: torch.device, machine: Machine) -> int:
    """Bytes that are free on the device before anything is loaded."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return machine.memory_available_bytes


def _refuse_unless_fits(model_id: str, num_weights: int, dtype: torch.dtype, room: int) -> None:
    needed = num_weights * dtype.itemsize
    if needed + _WORKSPACE_BYTES <= room:
        return
    halve = "set LLM_DTYPE=bfloat16 for half of that, " if dtype.itemsize == 4 else ""
    raise ModelLoadError(
        f"{model_id} needs {_gib(needed)} for its {num_weights / 1e6:,.0f} M weights as"
        f" {_name(dtype)} and {_gib(_WORKSPACE_BYTES)} to work in, but only {_gib(room)} are"
        f" free here: {halve}take a smaller model or give the service more memory."
    )


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    # transformers would make an empty one
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelLoadError(f"{folder} holds no tokenizer ({' or '.join(_TOKENIZER_FILES)}).")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelLoadError(f"The tokenizer in {folder} cannot be used: {error}") from error
    if not tokenizer.is_fast:
        raise ModelLoadError(f"The model in {folder} has no tokenizer.json, which is needed.")
    return tokenizer


def _read_model(folder: Path, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    model: PreTrainedModel
    report: Mapping[str, Any]
    try:
        model, report = _model_class(config).from_pretrained(  # type: ignore[misc]  # a pair, as output_loading_info asks
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelLoadError(f"The weights in {folder} cannot be used: {error}") from error
    # transformers fills what is missing with random numbers and only warns.
    if missing := sorted(report["missing_keys"]):
        raise ModelLoadError(
            f"The weights in {folder} lack {len(missing)} tensors of the model,"
            f" {missing[0]} for one."
        )
    return model


def _max_context(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    stated = getattr(config.get_text_config(), "max_position_embeddings", None)
    # transformers gives tokenizers without a length an astronomical one
    by_tokenizer = min(tokenizer.model_max_length, 10**9)
    return int(stated or (by_tokenizer if by_tokenizer < 10**9 else _CONTEXT_WHEN_UNSTATED))


def _eos_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    sources = (
        getattr(model.generation_config, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        tokenizer.eos_token_id,
    )
    groups = (source if isinstance(source, list) else [source] for source in sources)
    return frozenset(int(i) for group in groups for i in group if i is not None)


def _default_sampling(folder: Path) -> Mapping[str, Any]:
    """What the folder's own generation_config.json says, nothing that transformers adds."""
    file = folder / "generation_config.json"
    stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: stated[name] for name in _SAMPLING_DEFAULTS if stated.get(name) is not None}


def _kv_room(loaded: LoadedModel, machine: Machine) -> int:
    """A share of what stays free beside weights and workspace; on CUDA, of what is free now."""
    free = _room(loaded.device, machine) - _WORKSPACE_BYTES
    if loaded.device.type == "cpu":
        free -= loaded.weights_bytes  # `machine` was looked at before they were loaded
    return max(int(free * _KV_CACHE_SHARE), 0)


def _context_that_fits(
    config: EngineConfig, asked: int, num_tokens: int, kv_cache_bytes: int
) -> tuple[int, tuple[str, ...]]:
    """The context that `num_tokens` cached positions can hold, and why, if it is less."""
    if num_tokens >= asked:
        return asked, ()
    sentence = (
        f"the KV cache of {_gib(kv_cache_bytes)} holds {num_tokens} tokens, not the {asked} of"
        " the longest context"
    )
    if config.max_context is not None or num_tokens < config.block_size:
        raise ModelLoadError(
            f"{sentence}: raise LLM_KV_CACHE_BYTES or the memory limit, or lower LLM_MAX_CONTEXT."
        )
    return num_tokens, (f"{sentence}, so requests are limited to {num_tokens}",)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
