"""Weights that transformers' own quantizers read or make: hub checkpoints that come quantized, and
bitsandbytes on CUDA.

Owns whether they can be had here, in words, before anything is loaded. Rounding on a CPU is
`quantization`'s.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedConfig
from transformers.quantizers.auto import AutoHfQuantizer

from llm_service.engine.loading.model_files import ModelLoadError

# transformers names what it misses one at a time, and not always by name.
_PACKAGES = {
    "gptq": ("optimum", "gptqmodel"),
    "awq": ("gptqmodel", "accelerate"),
    "compressed-tensors": ("compressed_tensors",),
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "fp8": ("accelerate",),
}
_SCALES_BITS = 0.5  # a 16-bit scale for each 32 weights, the finest that is usual
# It would say so at each layer of each step that it casts its inputs.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
_REASONS = (ImportError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Quantizer:
    """How transformers quantizes a model's linear layers, the head excepted."""

    name: str  # of the method in config.json, or 8bit and 4bit where we ask for it
    weight_bits: float | None  # in memory; None: they are turned back into plain numbers
    asked: BitsAndBytesConfig | None = None  # to round plain weights by
    dtype: torch.dtype | None = None  # in which it was made to compute

    @property
    def is_undone(self) -> bool:
        return self.weight_bits is None


def quantizer_of(
    config: PreTrainedConfig, name: str, quantization: str, device: torch.device
) -> Quantizer | None:
    """By what the checkpoint `name` comes quantized; None: by nothing.

    Where the method can turn its weights back, `config` is changed to have that done: the model is
    then as good as unquantized. Raises ModelLoadError where it cannot be read here.
    """
    holder = next((c for c in (config, config.get_text_config()) if _stated(c)), None)
    if holder is None:
        return None
    stated = _stated(holder)
    method = str(stated.get("quant_method", "unknown")) if isinstance(stated, dict) else "unknown"
    try:
        _refuse_without_packages(method)
        parsed = AutoHfQuantizer.from_config(dict(stated)).quantization_config
        if hasattr(parsed, "dequantize"):
            holder.quantization_config = {**stated, "dequantize": True}
        AutoHfQuantizer.from_config(dict(_stated(holder))).validate_environment()
        bits = 4.0 if stated.get("load_in_4bit") else float(stated.get("bits", 8))
    except _REASONS as error:
        raise ModelLoadError(
            f"{name} holds weights that are quantized already ({method}), and they cannot be used"
            f" here: {str(error).rstrip('.')}. Else take the checkpoint that they were made from,"
            " with LLM_QUANTIZATION=4bit."
        ) from error
    is_undone = hasattr(parsed, "dequantize")
    possible = ("auto", "none") if is_undone else ("auto",)
    is_ours = is_undone and device.type == "cpu"  # there, plain weights can be rounded again
    if not is_ours and quantization not in possible:
        raise ModelLoadError(
            f"LLM_QUANTIZATION={quantization}, but {name} holds weights that are quantized already"
            f" ({method}): use auto, or the checkpoint that they were made from."
        )
    if is_undone:
        return Quantizer(method, None)
    dtype = holder.dtype if isinstance(holder.dtype, torch.dtype) else None
    return Quantizer(method, bits + _SCALES_BITS, dtype=dtype)


def bitsandbytes(quantization: str) -> Quantizer:
    """8 or 4 bits on CUDA. Raises ModelLoadError where bitsandbytes is not there for it."""
    config = bitsandbytes_config(quantization)
    try:
        _refuse_without_packages("bitsandbytes")
        AutoHfQuantizer.from_config(config, pre_quantized=False).validate_environment()
    except _REASONS as error:
        raise ModelLoadError(
            f"LLM_QUANTIZATION={quantization} on CUDA cannot be had here:"
            f" {str(error).rstrip('.')}. It comes with the extra `cuda` of this package"
            " (pip install 'llm_service[cuda]'); else use LLM_QUANTIZATION=none or LLM_DEVICE=cpu."
        ) from error
    # Scales are rounded themselves: 8 bits for each 64 weights, and 32 for each 256 of them.
    weight_bits = 8.0 + _SCALES_BITS if quantization == "8bit" else 4.13
    return Quantizer(quantization, weight_bits, config)


def bitsandbytes_config(quantization: str) -> BitsAndBytesConfig:
    """LLM.int8 (Dettmers et al. 2022), or NF4 with rounded scales (Dettmers et al. 2023)."""
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )


def _stated(config: PreTrainedConfig) -> Mapping[str, Any]:
    return getattr(config, "quantization_config", None) or {}


def _refuse_without_packages(method: str) -> None:
    missing = [name for name in _PACKAGES.get(method, ()) if find_spec(name) is None]
    if missing:
        names = " ".join(name.replace("_", "-") for name in missing)
        raise ImportError(f"Python packages are missing for it (pip install {names})")
