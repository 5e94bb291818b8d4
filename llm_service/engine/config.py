"""The configuration of an engine. None means: chosen for machine and model at loading.

`llm_service.config.Settings` takes defaults and types from here, and checks the values.
"""

from dataclasses import dataclass
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantization = Literal["auto", "none", "8bit", "4bit"]
KVCacheDType = Literal["auto", "float32", "bfloat16", "float16", "int8"]
KernelSet = Literal["auto", "none", "avx512", "avx2", "portable"]
EngineKind = Literal["auto", "batched", "sequential"]
FormatName = Literal[
    "auto",
    "plain",
    "reasoning",
    "hermes",
    "qwen_xml",
    "llama_json",
    "mistral",
    "mistral_list",
    "granite",
    "gemma",
]
Speculation = Literal["none", "prompt_lookup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Each field but the last two is the setting `LLM_<NAME>`; docs/settings.md explains them."""

    model_id: str = "pocket"
    device: Device = "auto"
    dtype: DType = "auto"
    quantization: Quantization = "auto"
    kv_cache_dtype: KVCacheDType = "auto"
    kernels: KernelSet = "auto"
    engine: EngineKind = "auto"
    threads: int | None = None
    kv_cache_bytes: int | None = None
    max_batch_size: int | None = None
    max_batched_tokens: int = 512
    max_inter_token_ms: int = 200
    speculation: Speculation = "prompt_lookup"
    model_format: FormatName = "auto"
    max_context: int | None = None
    block_size: int = 16
    prefix_cache: bool = True
    max_waiting: int = 256
    served_name: str | None = None  # the name that requests give; None: the model's own
    embeds: bool = False  # make embeddings with a model that could also generate
