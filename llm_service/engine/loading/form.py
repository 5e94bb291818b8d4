"""Chooses in what numbers a model is held and what computes with them, before weights are read.

Owns the choice of device, number types, quantization and kernels, and the reasons for it in words.
What a form costs in bytes is in `memory`; `quantization` gives it to a model.
"""

from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.build import KernelsUnavailable, usable_instruction_sets
from llm_service.engine.kernels.fused import CACHE_TYPES, why_not_fusable
from llm_service.engine.kernels.library import Kernels, load_kernels
from llm_service.engine.loading.checkpoint import Checkpoint
from llm_service.engine.loading.language_part import is_batched_family
from llm_service.engine.loading.model_files import ModelLoadError
from llm_service.engine.loading.quantizers import Quantizer
from llm_service.machine import Machine

# A smaller model is fast enough in full precision, and rounding costs it more quality.
WORTH_QUANTIZING = 100_000_000
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a model is held and computed: as planned, and then as it came out."""

    dtype: torch.dtype  # in which the weights are read
    quantization: str  # none, 8bit, 4bit, or the name of transformers' own method
    kernels: str | None  # their instruction set; None: torch computes everything
    is_fused: bool  # one call of the kernels computes all layers; the embedding is packed too
    kv_dtype: torch.dtype
    # transformers' own, where it rounds the weights or reads rounded ones
    quantizer: Quantizer | None = None
    # of the encoder of a batched model that sees; None: it has none, or its weights stay as read
    encoder_dtype: torch.dtype | None = None

    @property
    def kept_quantizer(self) -> Quantizer | None:
        """The quantizer, unless it only turns rounded weights back into plain ones."""
        return None if self.quantizer is None or self.quantizer.is_undone else self.quantizer

    @property
    def is_converted(self) -> bool:
        """Whether rounded weights are turned back into plain ones when they are read."""
        return self.quantizer is not None and self.quantizer.is_undone


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why a model is served as it is. `notes` says which sentence each one ends."""

    sequential: str | None = None  # None: the model is batched
    unquantized: str | None = None
    converted: str | None = None
    kernels: str | None = None
    quantization: str | None = None
    unfused: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the operator should know, in sentences about "the model"."""
        sentences = (
            ("runs one request at a time because ", self.sequential),
            ("is not quantized because then ", self.unquantized),
            ("", self.converted),
            ("computes with torch alone, which is slower, because ", self.kernels),
            ("", self.quantization),
            ("runs its layers part by part because ", self.unfused),
        )
        return tuple(beginning + reason for beginning, reason in sentences if reason is not None)


def choose_form(
    config: EngineConfig,
    checkpoint: Checkpoint,
    machine: Machine,
    device: torch.device,
    quantizer: Quantizer | None,
) -> tuple[Form, Reasons]:
    """Raises ModelLoadError where the configuration asks for what this model cannot have."""
    if checkpoint.sentence is not None:
        return _embedding_form(config, checkpoint, machine, device, quantizer)
    dtype = choose_dtype(config, device, machine)
    form = Form(
        dtype=dtype,
        quantization="none",
        kernels=None,
        is_fused=False,
        kv_dtype=dtype,
        quantizer=quantizer,
        # It is computed by torch, in the type that is fast here, however the layers are stored.
        encoder_dtype=dtype if is_batched_family(checkpoint.config) else None,
    )
    asked = "LLM_ENGINE=sequential asks for that" if config.engine == "sequential" else None
    reasons = Reasons(sequential=asked or checkpoint.sequential, converted=_why_converted(form))
    if checkpoint.packed is not None:
        form, reasons = _packed_form(form, reasons, config, checkpoint)
    elif (kept := form.kept_quantizer) is not None:
        form = _kept_form(form, config, kept)
    elif device.type == "cpu":
        form, reasons = _form_on_cpu(form, reasons, config, checkpoint)
    if reasons.sequential is not None or form.kept_quantizer is not None:
        form = replace(form, encoder_dtype=None)
    return with_kv_dtype(form, config), reasons


def _embedding_form(
    config: EngineConfig,
    checkpoint: Checkpoint,
    machine: Machine,
    device: torch.device,
    quantizer: Quantizer | None,
) -> tuple[Form, Reasons]:
    """The form of a model that makes embeddings: torch computes it, and by default exactly.

    Embeddings outlive the process that made them, so on every CPU they have to be the same.
    """
    if config.engine == "sequential":
        raise ModelLoadError(
            f"LLM_ENGINE=sequential, but {checkpoint.model_id} makes embeddings: use auto."
        )
    if quantizer is not None:
        raise ModelLoadError(
            f"{checkpoint.model_id} makes embeddings, which quantized weights are not supported"
            " for: use a checkpoint with plain weights, and LLM_QUANTIZATION=auto on CUDA."
        )
    is_exact = config.dtype == "auto" and device.type == "cpu"
    dtype = torch.float32 if is_exact else choose_dtype(config, device, machine)
    scheme = "none" if config.quantization == "auto" else config.quantization
    kernels, why_none = (None, None) if scheme == "none" else find_kernels(config.kernels)
    form = Form(
        dtype=dtype,
        quantization=scheme,
        kernels=None if kernels is None else kernels.instruction_set,
        is_fused=False,
        kv_dtype=dtype,
    )
    return form, Reasons(kernels=why_none)


def _why_converted(form: Form) -> str | None:
    if form.quantizer is None or not form.is_converted:
        return None
    return f"comes with {form.quantizer.name} weights, which are first turned back into plain ones"


def _packed_form(
    form: Form, reasons: Reasons, config: EngineConfig, checkpoint: Checkpoint
) -> tuple[Form, Reasons]:
    """The form of weights that `llm-service quantize` wrote; they need the kernels."""
    assert checkpoint.packed is not None
    library, why_none = find_kernels(config.kernels)
    form = replace(
        form,
        dtype=_as_stored(checkpoint.shell) if config.dtype == "auto" else form.dtype,
        quantization=checkpoint.packed.quantization,
        kernels=None if library is None else library.instruction_set,
        is_fused=True,
    )
    return form, replace(reasons, kernels=why_none)


def _kept_form(form: Form, config: EngineConfig, quantizer: Quantizer) -> Form:
    """The form of weights that transformers keeps rounded, and computes with."""
    dtype = quantizer.dtype or form.dtype
    if config.dtype not in ("auto", dtype_name(dtype)):
        raise ModelLoadError(
            f"LLM_DTYPE={config.dtype}, but the quantized weights of {config.model_id} are made to"
            f" compute in {dtype_name(dtype)}: use auto."
        )
    return replace(form, dtype=dtype, quantization=quantizer.name)


def _form_on_cpu(
    form: Form, reasons: Reasons, config: EngineConfig, checkpoint: Checkpoint
) -> tuple[Form, Reasons]:
    """Plain weights on a CPU, which we round and pack ourselves."""
    shell = checkpoint.shell
    kernels, why_no_kernels = find_kernels(config.kernels)
    scheme, why_scheme = _choose_scheme(shell, config.quantization, kernels)
    dtype, is_fused, unfused = form.dtype, False, None
    if kernels is not None and config.engine != "sequential":
        layers = why_not_fusable(shell)
        # Weights of the stored type stay in their file, so a model that only looks fusable is
        # read in it as well: a conversion would hold all weights in memory first.
        if config.dtype == "auto" and not (layers or _why_plain(scheme, kernels, shell.dtype)):
            dtype = _as_stored(shell)
        if reasons.sequential is None:
            unfused = _why_plain(scheme, kernels, dtype) or layers
            is_fused = unfused is None
    is_used = kernels is not None and (is_fused or scheme != "none")
    form = replace(
        form,
        dtype=dtype,
        quantization=scheme,
        kernels=kernels.instruction_set if kernels is not None and is_used else None,
        is_fused=is_fused,
    )
    return form, replace(reasons, kernels=why_no_kernels, quantization=why_scheme, unfused=unfused)


def without_fusing(form: Form, config: EngineConfig) -> Form:
    """The form of a model whose layers turn out not to be fusable."""
    kernels = None if form.quantization == "none" else form.kernels
    return with_kv_dtype(replace(form, is_fused=False, kernels=kernels), config)


def without_batching(form: Form, config: EngineConfig) -> Form:
    """The form of a model that turns out not to be batchable."""
    return replace(without_fusing(form, config), encoder_dtype=None)


def find_kernels(name: str) -> tuple[Kernels | None, str | None]:
    """The kernels that LLM_KERNELS=`name` asks for, built first if need be; or why there are none.

    `name` is auto, none or an instruction set.
    """
    if name == "none":
        return None, "LLM_KERNELS=none asks for that"
    try:
        return load_kernels(None if name == "auto" else name), None
    except KernelsUnavailable as error:
        return None, str(error)


def refuse_unusable_kernels(config: EngineConfig, machine: Machine) -> None:
    usable = usable_instruction_sets(machine.cpu_flags)
    if config.kernels not in ("auto", "none", *usable):
        raise ModelLoadError(
            f"LLM_KERNELS={config.kernels}, but this CPU lacks those instructions: use auto,"
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
    """The configured type; `auto` takes bfloat16 only if the hardware multiplies it natively."""
    if config.dtype != "auto":
        return _DTYPES[config.dtype]
    is_fast = machine.is_bfloat16_fast
    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_fast else torch.float32


def with_kv_dtype(form: Form, config: EngineConfig) -> Form:
    """The form with the KV cache's type as configured. Raises ModelLoadError if it cannot be."""
    offered = list(CACHE_TYPES) if form.is_fused else [form.dtype]
    if config.kv_cache_dtype != "auto":
        asked = _DTYPES[config.kv_cache_dtype]
        if asked not in offered:
            raise ModelLoadError(
                f"LLM_KV_CACHE_DTYPE={config.kv_cache_dtype} is not available for this model here;"
                f" use auto, {' or '.join(map(dtype_name, offered))}."
            )
        return replace(form, kv_dtype=asked)
    if form.is_fused and form.quantization != "none":
        return replace(form, kv_dtype=torch.bfloat16)
    # The kernels compute in float32, which a cache in bfloat16 would round.
    is_exact = form.is_fused and config.dtype == "auto"
    return replace(form, kv_dtype=torch.float32 if is_exact else form.dtype)


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _choose_scheme(
    shell: PreTrainedModel, asked: str, kernels: Kernels | None
) -> tuple[str, str | None]:
    """The scheme, and why, if it was not asked for and is worth a note."""
    if asked != "auto":
        return asked, None
    if shell.num_parameters() < WORTH_QUANTIZING:
        return "none", None
    if kernels is None or not kernels.is_tuned:
        return "none", "is not quantized because that would not make it faster on this CPU"
    return "8bit", "is quantized to 8 bits because reading the weights limits the decoding speed"


def _why_plain(scheme: str, kernels: Kernels, dtype: torch.dtype) -> str | None:
    """Why torch had better compute with weights of this type if they are not rounded."""
    if scheme != "none":
        return None
    if not kernels.is_tuned:
        return "the kernels are not made for this CPU"
    return "the kernels read no float16" if dtype is torch.float16 else None


def _as_stored(shell: PreTrainedModel) -> torch.dtype:
    """The stored type, as far as the kernels read it: they compute in float32 on every CPU."""
    return torch.bfloat16 if shell.config.dtype is torch.bfloat16 else torch.float32
