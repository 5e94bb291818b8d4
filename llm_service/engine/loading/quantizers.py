"""Weights that transformers' own quantizers read or make: checkpoints that come quantized, and
bitsandbytes on CUDA.

Owns the check, before anything is loaded, whether such weights can be used here. Rounding on a CPU
is in `quantization`.
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

# transformers names the packages that it misses one at a time, and not always by name.
_PACKAGES = {
    "gptq": ("optimum", "gptqmodel"),
    "awq": ("gptqmodel", "accelerate"),
    "compressed-tensors": ("compressed_tensors",),
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "fp8": ("accelerate",),
}
_SCALES_BITS = 0.5  # a 16-bit scale for each 32 weights, the finest that is usual
# It would log at each layer of each step that it casts its inputs.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
_REASONS = (ImportError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """How transformers quantizes a model's linear layers, the head excepted."""

    name: str  # the method in config.json; 8bit or 4bit if we ask for the rounding
    weight_bits: float | None  # in memory; None: the weights are turned back into plain numbers
    asked: BitsAndBytesConfig | None = None  # how to round plain weights; None: they come rounded
    dtype: torch.dtype | None = None  # in which the method was made to compute

    @property
    def is_undone(self) -> bool:
        return self.weight_bits is None


def choose_quantizer(
    config: PreTrainedConfig, name: str, quantization: str, device: torch.device
) -> Quantizer | None:
    """The quantizer of the checkpoint `name`, or the one that LLM_QUANTIZATION asks for on CUDA.

    None: transformers quantizes nothing. Raises ModelLoadError if it cannot be used here.
    """
    found = _quantizer_of(config, name, quantization, device)
    if found is None and device.type == "cuda" and quantization in ("8bit", "4bit"):
        return bitsandbytes(quantization)
    return found


def _quantizer_of(
    config: PreTrainedConfig, name: str, quantization: str, device: torch.device
) -> Quantizer | None:
    """The quantizer with which the checkpoint was made.

    If its method can turn the weights back, `config` is changed to ask for that.
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
            f" here: {str(error).rstrip('.')}. Or use the checkpoint that they were made from, with"
            " LLM_QUANTIZATION=4bit."
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
        return Quantizer(name=method, weight_bits=None)
    dtype = holder.dtype if isinstance(holder.dtype, torch.dtype) else None
    return Quantizer(name=method, weight_bits=bits + _SCALES_BITS, dtype=dtype)


def bitsandbytes(quantization: str) -> Quantizer:
    """8 or 4 bits on CUDA. Raises ModelLoadError if bitsandbytes is not installed."""
    config = bitsandbytes_config(quantization)
    try:
        _refuse_without_packages("bitsandbytes")
        AutoHfQuantizer.from_config(config, pre_quantized=False).validate_environment()
    except _REASONS as error:
        raise ModelLoadError(
            f"LLM_QUANTIZATION={quantization} on CUDA is not available here:"
            f" {str(error).rstrip('.')}. The extra `cuda` of this package installs it"
            " (pip install 'llm_service[cuda]'). Or use LLM_QUANTIZATION=none or LLM_DEVICE=cpu."
        ) from error
    # The scales are rounded too: 8 bits for each 64 weights, and 32 bits for each 256 scales.
    weight_bits = 8.0 + _SCALES_BITS if quantization == "8bit" else 4.13
    return Quantizer(name=quantization, weight_bits=weight_bits, asked=config)


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
        raise ImportError(f"it needs Python packages (pip install {names})")
