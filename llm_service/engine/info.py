"""Facts about an engine's model, fixed once the engine has started."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class KVCacheInfo:
    """The paged KV cache: `num_blocks` blocks of `block_size` tokens, `num_bytes` in all."""

    dtype: str
    num_blocks: int
    block_size: int
    num_bytes: int
    has_prefix_cache: bool


@dataclass(frozen=True, slots=True)
class LocalEngineInfo:
    """How this process computes a model. Sizes are in bytes and tokens."""

    architecture: str
    num_parameters: int
    hidden_size: int  # width of the embeddings of tokens and attachments
    device: str  # cpu, cuda
    dtype: str  # type of the weights before quantization
    quantization: str
    kernels: str | None  # instruction set; None: no kernels, torch only
    threads: int
    max_batched_tokens: int
    weights_bytes: int
    compute_bytes: int  # the kernels' workspace in the largest step
    load_seconds: float
    kv_cache: KVCacheInfo | None  # None: the model keeps its own cache

    @property
    def kv_cache_bytes(self) -> int:
        """0 if the model keeps its own cache, which is not counted."""
        return 0 if self.kv_cache is None else self.kv_cache.num_bytes

    @property
    def held_bytes(self) -> int:
        """Memory that the model uses while it is served."""
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True)
class EmbeddingInfo:
    """How a model makes embeddings.

    `prompts` are texts to put before an input, by name; `default_prompt` names the one that an
    input without a name gets. `closing_token_ids` end every text.
    """

    dimensions: int
    pooling: str  # "mean", or several, as in "cls+mean"
    is_normalized: bool  # whether embeddings have length 1
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    closing_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Facts about the model that every engine knows, wherever the model is computed.

    `local` is None for an engine that asks another process to compute.
    """

    model_id: str
    engine: str  # batched, sequential, embedding
    vocab_size: int  # token ids are below it
    max_context: int
    max_batch_size: int
    max_waiting: int
    local: LocalEngineInfo | None
    # sentences about choices that the operator should know ("runs sequentially because ...")
    notes: tuple[str, ...] = ()
    # the model folder's own generation_config.json: temperature, top_p, ... used as defaults
    default_sampling: Mapping[str, Any] = field(default_factory=dict)
    # name of the format in which the model writes reasoning and tool calls
    format: str = "plain"
    embedding: EmbeddingInfo | None = None  # None: it generates text
    sees: bool = False  # whether messages may have images
