"""Puts an engine together from a configuration: load the model, choose the engine, build it."""

from collections.abc import Callable

import torch

from llm_service.engine import (
    Conversation,
    EmbeddingInfo,
    Engine,
    KVCacheInfo,
    LocalEngineInfo,
    ModelInfo,
    Observe,
    PromptTokenizer,
    Vision,
)
from llm_service.engine.batched.block_manager import BlockManager
from llm_service.engine.batched.core import EngineCore, Runner
from llm_service.engine.batched.drafts import Drafter, PromptLookup
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.batched.model_runner import ModelRunner
from llm_service.engine.batched.positions import (
    LINEAR_POSITIONS,
    PROMPT_POSITIONS,
    PositionScheme,
)
from llm_service.engine.batched.sampler import Sampler
from llm_service.engine.batched.scheduler import Scheduler
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.budget import Budget, Turn
from llm_service.engine.config import EngineConfig
from llm_service.engine.embedding.core import EmbeddingCore
from llm_service.engine.embedding.encoder import Encoder
from llm_service.engine.embedding.engine import EmbeddingEngine
from llm_service.engine.grammar_compiler import GrammarCompiler
from llm_service.engine.kernels.kv_cache import KVCache, block_bytes
from llm_service.engine.kernels.library import load_kernels
from llm_service.engine.kernels.reductions import FusedReductions, Reductions
from llm_service.engine.loading.form import dtype_name
from llm_service.engine.loading.language_part import encoder_parameters
from llm_service.engine.loading.loader import (
    LoadedModel,
    ModelLoadError,
    Resources,
    load_model,
    plan_resources,
)
from llm_service.engine.loading.memory import (
    FEATURE_BYTES,
    FEATURE_CACHE_BYTES,
    kernel_workspace_bytes,
)
from llm_service.engine.sequential import SequentialEngine
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vision.encoder import PictureEncoder
from llm_service.engine.vision.inputs import InputsPlacer
from llm_service.engine.vision.placer import Limits, PicturePlacer
from llm_service.engine.vocabulary import Vocabulary
from llm_service.errors import ServiceError
from llm_service.machine import Machine

# An input of an embedding is a fraction of the work of an answer, and clients send them by the
# hundred: a place in the queue holds this many.
_INPUTS_PER_PLACE = 32


def load_engine(
    config: EngineConfig,
    observe: Observe,
    budget: Budget,
    *,
    progress: Callable[[str], None] = lambda line: None,
) -> Engine:
    """Load the configured model and return its engine, not yet started. Takes seconds.

    `observe` gives the observer of a model that is loaded. The model takes memory from `budget`;
    whoever stops the engine gives it back. Raises ModelLoadError with what to do about it.
    """
    with budget.loading() as machine:
        return _load_engine(config, observe, budget, machine, progress)


def _load_engine(
    config: EngineConfig,
    observe: Observe,
    budget: Budget,
    machine: Machine,
    progress: Callable[[str], None],
) -> Engine:
    loaded = load_model(config, machine, progress)
    resources = plan_resources(config, loaded, machine)
    info = model_info(loaded, resources, config)
    is_on_cpu = loaded.model.device.type == "cpu"
    assert info.local is not None
    try:
        budget.take(info.model_id, info.local.held_bytes if is_on_cpu else 0)
    except ValueError as error:
        raise ModelLoadError(str(error)) from error
    turn = budget.turn if is_on_cpu else Turn()
    if loaded.head is not None:
        return embedding_engine(loaded, info, config, observe, turn=turn)
    engine = (
        batched_engine(loaded, info, config, observe, turn=turn)
        if loaded.is_batched
        else SequentialEngine(
            loaded.model,
            loaded.tokenizer,
            info,
            observe,
            eos_token_ids=loaded.eos_token_ids,
            model_format=loaded.format,
            turn=turn,
            vision=None
            if loaded.reader is None
            else InputsPlacer(loaded.reader, info.max_context, info.max_waiting),
        )
    )
    _try_chat_template(engine.tokenizer, progress)
    return engine


def _try_chat_template(tokenizer: PromptTokenizer, progress: Callable[[str], None]) -> None:
    """Report a template that does not work; trying it also prepares it for the first request."""
    if tokenizer.has_chat_template:
        try:
            tokenizer.encode_chat(Conversation([{"role": "user", "content": "Hello"}]))
        except ServiceError as error:
            progress(f"chat does not work with this model: {error}")


def batched_engine(
    loaded: LoadedModel,
    info: ModelInfo,
    config: EngineConfig,
    observe: Observe,
    *,
    turn: Turn | None = None,
    backoff: Backoff | None = None,
) -> BatchedEngine:
    """Build the batched engine for a model that can be batched."""
    tokenizer = SealedTokenizer(loaded.tokenizer)
    assert info.local is not None
    threads = info.local.threads

    def build() -> EngineCore:
        torch.set_num_threads(threads)  # OpenMP keeps the number per thread
        return build_core(loaded, info, config)

    return BatchedEngine(
        build,
        info,
        tokenizer,
        GrammarCompiler(_vocabulary(loaded, info), tokenizer),
        observe(info),
        backoff or Backoff(),
        turn or Turn(),
        loaded.format,
        _vision(loaded, info, turn or Turn()),
    )


def _vision(loaded: LoadedModel, info: ModelInfo, turn: Turn) -> Vision | None:
    """Return what puts pictures into prompts of a batched model; None if it does not see."""
    if loaded.reader is None:
        return None
    assert info.local is not None
    limits = Limits(info.max_context, info.max_waiting, FEATURE_CACHE_BYTES, FEATURE_BYTES)
    encoder = PictureEncoder(loaded.whole)
    return PicturePlacer(loaded.reader, encoder, limits, turn=turn, threads=info.local.threads)


def embedding_engine(
    loaded: LoadedModel,
    info: ModelInfo,
    config: EngineConfig,
    observe: Observe,
    *,
    turn: Turn | None = None,
    backoff: Backoff | None = None,
) -> EmbeddingEngine:
    """Build the engine of a model that makes embeddings."""
    assert loaded.head is not None
    assert info.local is not None
    encoder, threads, turn = Encoder(loaded.model, loaded.head), info.local.threads, turn or Turn()
    max_tokens = info.local.max_batched_tokens

    def build() -> EmbeddingCore:
        torch.set_num_threads(threads)  # OpenMP keeps the number per thread
        return EmbeddingCore(
            encoder,
            turn,
            max_inputs=info.max_batch_size,
            max_tokens=max_tokens,
            max_shared_seconds=config.max_inter_token_ms / 1000,
        )

    tokenizer = SealedTokenizer(loaded.tokenizer, closes_texts=True)
    return EmbeddingEngine(build, info, tokenizer, observe(info), backoff or Backoff(), turn)


def build_core(
    loaded: LoadedModel,
    info: ModelInfo,
    config: EngineConfig,
    *,
    wrap_runner: Callable[[Runner], Runner] = lambda runner: runner,
) -> EngineCore:
    """Build a core with an empty KV cache, of the sizes and limits in `info`.

    `wrap_runner` receives the runner that computes the steps and returns the one to use.
    """
    local = info.local
    assert local is not None
    assert local.kv_cache is not None
    num_blocks, block_size = local.kv_cache.num_blocks, local.kv_cache.block_size
    cache = KVCache(
        loaded.layer_shapes,
        num_blocks,
        block_size,
        dtype=loaded.form.kv_dtype,
        device=loaded.model.device,
    )
    scheduler = Scheduler(
        BlockManager(num_blocks, block_size, prefix_cache=config.prefix_cache),
        max_batch_size=info.max_batch_size,
        max_batched_tokens=local.max_batched_tokens,
        max_context=info.max_context,
        max_inter_token_seconds=config.max_inter_token_ms / 1000,
        drafter=choose_drafter(config),
    )
    return EngineCore(
        scheduler,
        wrap_runner(ModelRunner(loaded.model, cache, _position_scheme(loaded))),
        Sampler(info.vocab_size, loaded.eos_token_ids, _reductions(loaded)),
        _vocabulary(loaded, info),
        max_context=info.max_context,
    )


def _position_scheme(loaded: LoadedModel) -> PositionScheme:
    is_seeing = loaded.reader is not None
    has_axes = is_seeing and PictureEncoder(loaded.whole).has_axes
    return PROMPT_POSITIONS if has_axes else LINEAR_POSITIONS


def _vocabulary(loaded: LoadedModel, info: ModelInfo) -> Vocabulary:
    return Vocabulary(loaded.tokenizer, size=info.vocab_size, eos_token_ids=loaded.eos_token_ids)


def choose_drafter(config: EngineConfig) -> Drafter | None:
    """Return the drafter that LLM_SPECULATION names; None: no tokens are drafted."""
    return PromptLookup() if config.speculation == "prompt_lookup" else None


def _reductions(loaded: LoadedModel) -> Reductions | None:
    kernels = loaded.form.kernels
    return None if kernels is None else FusedReductions(load_kernels(kernels))


def model_info(loaded: LoadedModel, resources: Resources, config: EngineConfig) -> ModelInfo:
    """Return what the engine of this model will be with these resources.

    Raises ModelLoadError if the KV cache would not hold a single block.
    """
    kv_cache = _kv_cache_info(loaded, resources, config) if loaded.is_batched else None
    max_context, max_batched_tokens = resources.max_context, resources.max_context
    embedding = _embedding_info(loaded)
    if embedding is not None:
        max_batched_tokens = config.max_batched_tokens
    if kv_cache is not None:
        # any sequence must fit when it runs alone
        max_context = min(max_context, kv_cache.num_blocks * kv_cache.block_size)
        # a step has room for one token of each running sequence
        max_batched_tokens = max(config.max_batched_tokens, resources.max_batch_size)
    return ModelInfo(
        model_id=config.served_name or loaded.model_id,
        engine=_engine_name(loaded),
        vocab_size=loaded.model.config.get_text_config().vocab_size,
        max_context=max_context,
        max_batch_size=resources.max_batch_size,
        max_waiting=config.max_waiting * (1 if embedding is None else _INPUTS_PER_PLACE),
        local=LocalEngineInfo(
            architecture=type(loaded.model).__name__,
            num_parameters=loaded.num_parameters,
            hidden_size=loaded.model.config.get_text_config().hidden_size,
            device=loaded.model.device.type,
            dtype=dtype_name(loaded.form.dtype),
            quantization=loaded.form.quantization,
            kernels=loaded.form.kernels,
            threads=resources.threads,
            max_batched_tokens=max_batched_tokens,
            weights_bytes=loaded.weights_bytes,
            compute_bytes=kernel_workspace_bytes(
                loaded.model, max_batched_tokens, resources.max_batch_size
            )
            if loaded.is_batched or loaded.form.kernels is not None
            else 0,
            load_seconds=loaded.load_seconds,
            kv_cache=kv_cache,
            encoder_dtype=_encoder_dtype(loaded),
            feature_bytes=FEATURE_BYTES if loaded.is_batched and loaded.reader is not None else 0,
        ),
        notes=(*loaded.notes, *resources.notes),
        default_sampling=loaded.default_sampling,
        format=loaded.format.name,
        embedding=embedding,
        sees=loaded.reader is not None,
    )


def _encoder_dtype(loaded: LoadedModel) -> str | None:
    """The type of the vision encoder's weights, which are never quantized here."""
    if loaded.reader is None:
        return None
    types = [p.dtype for p in encoder_parameters(loaded.whole) if p.is_floating_point()]
    return dtype_name(types[0]) if types else None


def _engine_name(loaded: LoadedModel) -> str:
    if loaded.sentence is not None:
        return "embedding"
    return "batched" if loaded.is_batched else "sequential"


def _embedding_info(loaded: LoadedModel) -> EmbeddingInfo | None:
    layout = loaded.sentence
    if layout is None:
        return None
    return EmbeddingInfo(
        dimensions=layout.width(loaded.model.config.hidden_size),
        pooling="+".join(layout.pooling),
        is_normalized=layout.is_normalized,
        prompts=dict(layout.prompts),
        default_prompt=layout.default_prompt,
        closing_token_ids=SealedTokenizer(loaded.tokenizer, closes_texts=True).closing_token_ids,
    )


def _kv_cache_info(loaded: LoadedModel, resources: Resources, config: EngineConfig) -> KVCacheInfo:
    bytes_per_block = block_bytes(loaded.layer_shapes, config.block_size, loaded.form.kv_dtype)
    num_blocks = resources.kv_cache_bytes // bytes_per_block
    if num_blocks < 1:
        raise ModelLoadError(
            f"The KV cache of {resources.kv_cache_bytes} bytes does not hold one block of"
            f" {bytes_per_block} bytes: raise LLM_KV_CACHE_BYTES."
        )
    return KVCacheInfo(
        dtype=dtype_name(loaded.form.kv_dtype),
        num_blocks=num_blocks,
        block_size=config.block_size,
        num_bytes=num_blocks * bytes_per_block,
        has_prefix_cache=config.prefix_cache,
    )
