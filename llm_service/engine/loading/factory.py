"""Puts an engine together from a configuration: load the model, choose the engine, build it."""

from collections.abc import Callable

import torch

from llm_service.engine import Engine, EngineInfo, Observe, PromptTokenizer
from llm_service.engine.batched.block_manager import BlockManager
from llm_service.engine.batched.core import EngineCore, Runner
from llm_service.engine.batched.drafts import Drafter, PromptLookup
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.batched.model_runner import ModelRunner
from llm_service.engine.batched.sampler import Sampler
from llm_service.engine.batched.scheduler import Scheduler
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.kv_cache import KVCache, block_bytes
from llm_service.engine.kernels.library import load_kernels
from llm_service.engine.kernels.reductions import FusedReductions, Reductions
from llm_service.engine.loading.form import dtype_name
from llm_service.engine.loading.loader import (
    LoadedModel,
    ModelLoadError,
    Resources,
    load_model,
    plan_resources,
)
from llm_service.engine.loading.memory import kernel_workspace_bytes
from llm_service.engine.sequential import SequentialEngine
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vocabulary import Vocabulary
from llm_service.errors import ServiceError
from llm_service.machine import Machine


def load_engine(
    config: EngineConfig,
    observe: Observe,
    *,
    progress: Callable[[str], None] = lambda line: None,
) -> Engine:
    """Load the configured model and return its engine, not yet started. Takes seconds.

    `observe` gives the observer of a model that is loaded. Raises ModelLoadError with what to do
    about it.
    """
    machine = Machine.detect()
    loaded = load_model(config, machine, progress)
    resources = plan_resources(config, loaded, machine)
    engine = (
        batched_engine(loaded, resources, config, observe)
        if loaded.is_batched
        else SequentialEngine(loaded, resources, config, observe)
    )
    _try_chat_template(engine.tokenizer, progress)
    return engine


def _try_chat_template(tokenizer: PromptTokenizer, progress: Callable[[str], None]) -> None:
    """Report a template that does not work; trying it also prepares it for the first request."""
    if tokenizer.has_chat_template:
        try:
            tokenizer.encode_chat([{"role": "user", "content": "Hello"}])
        except ServiceError as error:
            progress(f"chat does not work with this model: {error}")


def batched_engine(
    loaded: LoadedModel,
    resources: Resources,
    config: EngineConfig,
    observe: Observe,
    *,
    backoff: Backoff | None = None,
) -> BatchedEngine:
    """Build the batched engine for a model that can be batched."""
    tokenizer = SealedTokenizer(loaded.tokenizer)
    info = engine_info(loaded, resources, config)

    def build() -> EngineCore:
        torch.set_num_threads(info.threads)  # OpenMP keeps the number per thread
        return build_core(loaded, info, config)

    return BatchedEngine(build, info, tokenizer, observe(info), backoff or Backoff())


def build_core(
    loaded: LoadedModel,
    info: EngineInfo,
    config: EngineConfig,
    *,
    wrap_runner: Callable[[Runner], Runner] = lambda runner: runner,
) -> EngineCore:
    """Build a core with an empty KV cache, of the sizes and limits in `info`.

    `wrap_runner` receives the runner that computes the steps and returns the one to use.
    """
    cache = KVCache(
        loaded.layer_shapes,
        info.num_blocks,
        info.block_size,
        dtype=loaded.form.kv_dtype,
        device=loaded.model.device,
    )
    scheduler = Scheduler(
        BlockManager(info.num_blocks, info.block_size, prefix_cache=config.prefix_cache),
        max_batch_size=info.max_batch_size,
        max_batched_tokens=info.max_batched_tokens,
        max_context=info.max_context,
        max_inter_token_seconds=config.max_inter_token_ms / 1000,
        drafter=choose_drafter(config),
    )
    return EngineCore(
        scheduler,
        wrap_runner(ModelRunner(loaded.model, cache)),
        Sampler(info.vocab_size, loaded.eos_token_ids, _reductions(loaded)),
        Vocabulary(loaded.tokenizer, size=info.vocab_size, eos_token_ids=loaded.eos_token_ids),
        max_context=info.max_context,
    )


def choose_drafter(config: EngineConfig) -> Drafter | None:
    """Return the drafter that LLM_SPECULATION names; None: no tokens are drafted."""
    return PromptLookup() if config.speculation == "prompt_lookup" else None


def _reductions(loaded: LoadedModel) -> Reductions | None:
    kernels = loaded.form.kernels
    return None if kernels is None else FusedReductions(load_kernels(kernels))


def engine_info(loaded: LoadedModel, resources: Resources, config: EngineConfig) -> EngineInfo:
    """Return what the batched engine will be with these resources.

    Raises ModelLoadError if the KV cache would not hold a single block.
    """
    bytes_per_block = block_bytes(loaded.layer_shapes, config.block_size, loaded.form.kv_dtype)
    num_blocks = resources.kv_cache_bytes // bytes_per_block
    if num_blocks < 1:
        raise ModelLoadError(
            f"The KV cache of {resources.kv_cache_bytes} bytes does not hold one block of"
            f" {bytes_per_block} bytes: raise LLM_KV_CACHE_BYTES."
        )
    # a step has room for one token of each running sequence
    max_batched_tokens = max(config.max_batched_tokens, resources.max_batch_size)
    return EngineInfo(
        model_id=config.served_name or loaded.model_id,
        architecture=type(loaded.model).__name__,
        engine="batched",
        device=loaded.model.device.type,
        dtype=dtype_name(loaded.form.dtype),
        quantization=loaded.form.quantization,
        num_parameters=loaded.num_parameters,
        # any sequence must fit when it runs alone
        max_context=min(resources.max_context, num_blocks * config.block_size),
        max_batch_size=resources.max_batch_size,
        max_batched_tokens=max_batched_tokens,
        max_waiting=config.max_waiting,
        threads=resources.threads,
        weights_bytes=loaded.weights_bytes,
        kv_cache_bytes=num_blocks * bytes_per_block,
        block_size=config.block_size,
        num_blocks=num_blocks,
        has_prefix_cache=config.prefix_cache,
        compute_bytes=kernel_workspace_bytes(
            loaded.model, max_batched_tokens, resources.max_batch_size
        ),
        load_seconds=loaded.load_seconds,
        kernels=loaded.form.kernels or "",
        kv_cache_dtype=dtype_name(loaded.form.kv_dtype),
        vocab_size=loaded.model.config.vocab_size,
        notes=(*loaded.notes, *resources.notes),
        default_sampling=loaded.default_sampling,
    )
