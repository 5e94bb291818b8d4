"""What an engine is built from. Frozen; None means: chosen by `machine.py` at load."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """One word per thing: the names are those of the `LLM_` settings."""

    model_id: str = "pocket"
    device: str = "auto"
    dtype: str = "auto"
    quantization: str = "auto"
    kv_cache_dtype: str = "auto"
    kernels: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    kv_cache_bytes: int | None = None
    max_batch_size: int | None = None
    max_batched_tokens: int = 512
    max_inter_token_ms: int = 200
    speculation: str = "prompt_lookup"
    max_context: int | None = None
    block_size: int = 16
    prefix_cache: bool = True
    max_waiting: int = 256
    served_name: str | None = None  # the name that requests give; None: the model's own
