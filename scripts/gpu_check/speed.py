"""Measures tokens per second with the shapes of real models, and compares memory as predicted.

Weights are random and created on the device. It steps the engine's core like
`llm-service bench engine`: without HTTP, greedy, without speculation.
"""

import gc
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from benchmarks.checkpoints import CONFIGS
from benchmarks.vocabulary import SPECIAL, build_tokenizer
from llm_service.bench.engine import Bench, Phase, PhaseResult
from llm_service.bench.prompts import Prompts
from llm_service.engine.config import Device, EngineConfig
from llm_service.engine.loading import memory, quantizers
from llm_service.engine.loading.compatibility import layer_shapes, why_not_batchable
from llm_service.engine.loading.form import Form
from llm_service.engine.loading.loader import LoadedModel, Resources
from llm_service.engine.loading.memory import MemoryNeed
from llm_service.engine.loading.quantization import num_bytes
from llm_service.machine import readable
from scripts.gpu_check.answers import require_bitsandbytes
from scripts.gpu_check.part import Failed, Figures, Part, Skipped
from tests.engine.models import loaded_model

_REPETITIONS = 2
_WEIGHTS_TOLERANCE = 0.05
_FORMS = {"none": "bf16", "8bit": "8bit", "4bit": "NF4"}


@dataclass(frozen=True, slots=True)
class _Case:
    """One model with one type of weights."""

    name: str
    config: PreTrainedConfig
    quantization: str
    streams: tuple[int, ...]
    prompt_tokens: int  # before decoding
    output_tokens: int
    prefills: tuple[int, ...]
    needs_seconds: float


def run(part: Part) -> None:
    for case in _cases(part.has_real_shapes):
        part.check(
            f"{case.name} in {_FORMS[case.quantization]}",
            partial(_measure, part.device, case),
            needs_seconds=case.needs_seconds,
        )


def _cases(has_real_shapes: bool) -> list[_Case]:
    if not has_real_shapes:
        tiny = partial(_Case, "tiny", CONFIGS["tiny"])
        return [tiny(q, (1, 4), 16, 4, (64,), 5.0) for q in _FORMS]
    seconds = {"none": 20.0, "8bit": 45.0, "4bit": 30.0}
    names = [("qwen2.5-0.5b", "none"), *(("qwen2.5-7b", q) for q in _FORMS)]
    return [
        _Case(name, CONFIGS[name], q, (1, 16, 64), 128, 64, (512, 2048), seconds[q])
        for name, q in names
    ]


def _measure(device: torch.device, case: _Case) -> Figures:
    if case.quantization != "none":
        require_bitsandbytes()
    phases = [Phase("decode", n, case.prompt_tokens, case.output_tokens) for n in case.streams]
    phases += [Phase("prefill", 1, n, 1) for n in case.prefills]
    # a spare block per stream, which the scheduler requires to admit another
    config = EngineConfig(
        device=cast(Device, device.type), speculation="none", max_batch_size=max(case.streams)
    )
    per_stream = case.prompt_tokens + case.output_tokens + 2 * config.block_size
    num_tokens = max(max(case.streams) * per_stream, max(case.prefills) + 2 * config.block_size)
    form = _form(case.quantization)
    per_token = memory.kv_bytes_per_token(case.config, form.kv_dtype)
    resources = Resources(
        threads=torch.get_num_threads(),
        kv_cache_bytes=num_tokens * per_token,
        max_batch_size=max(case.streams),
        max_context=min(num_tokens, case.config.max_position_embeddings),
    )
    need = _predicted(case, form, config)
    before = _settled(device)
    _refuse_unless_fits(device, case, need, resources)
    loaded = _loaded(device, case)
    weights = _settled(device) - before
    bench = Bench(config, loaded, resources)
    results = bench.measure(phases, _REPETITIONS, Prompts(seed=1))
    figures: dict[str, Any] = {
        **{_label(result): round(result.median("tokens_per_s"), 1) for result in results},
        "phases": [result.as_json() for result in results],
        "memory": _memory(device, weights, before, need, resources.kv_cache_bytes),
    }
    if problem := _problem(figures["memory"]):
        raise Failed(problem, figures)
    return figures


def _label(result: PhaseResult) -> str:
    phase = result.phase
    if phase.kind == "decode":
        return f"decode {phase.num_sequences}, tok/s"
    return f"prefill {phase.prompt_tokens}, tok/s"


def _form(quantization: str) -> Form:
    return Form(
        dtype=torch.bfloat16,
        quantization=quantization,
        kernels=None,
        is_fused=False,
        kv_dtype=torch.bfloat16,
        quantizer=None if quantization == "none" else quantizers.bitsandbytes(quantization),
    )


def _predicted(case: _Case, form: Form, config: EngineConfig) -> MemoryNeed:
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(case.config)  # type: ignore[no-untyped-call]
    return memory.predict(
        shell,
        form,
        max_context=case.config.max_position_embeddings,
        max_batch_size=max(case.streams),
        max_batched_tokens=config.max_batched_tokens,
        is_batched=True,
    )


def _refuse_unless_fits(
    device: torch.device, case: _Case, need: MemoryNeed, resources: Resources
) -> None:
    """Raise Skipped if memory is too small: weights are created unrounded, then rounded."""
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    plain = _predicted(case, _form("none"), EngineConfig()).weights.total
    least = plain + need.workspace_bytes + resources.kv_cache_bytes
    if free < least:
        raise Skipped(f"it takes {readable(least)}, and {readable(free)} are free")


def _loaded(device: torch.device, case: _Case) -> LoadedModel:
    torch.manual_seed(0)
    with torch.device(device):
        # a copy, because the engine changes it
        config = deepcopy(case.config)
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.bfloat16
        )
    model.eval().requires_grad_(False)
    if case.quantization != "none":
        _round(model, case.quantization)
    if (reason := why_not_batchable(model)) is not None:
        raise Failed(f"it cannot be batched because {reason}")
    loaded = loaded_model(model, layer_shapes=layer_shapes(model), eos_token_ids=frozenset())
    return replace(
        loaded,
        tokenizer=_tokenizer(case.config.vocab_size),
        model_id=case.name,
        form=replace(loaded.form, quantization=case.quantization),
        weights_bytes=num_bytes(model),
        max_context=case.config.max_position_embeddings,
    )


def _tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=build_tokenizer(vocab_size), eos_token=SPECIAL[2], pad_token=SPECIAL[0]
    )


def _round(model: PreTrainedModel, quantization: str) -> None:
    """Replace linear layers except the head, as transformers does for bitsandbytes."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child is not head:
                setattr(parent, name, _rounded(child, quantization))


def _rounded(linear: nn.Linear, quantization: str) -> nn.Module:
    import bitsandbytes  # may be absent

    config = quantizers.bitsandbytes_config(quantization)
    device, layers = linear.weight.device, bitsandbytes.nn
    sizes = linear.in_features, linear.out_features, linear.bias is not None
    if quantization == "8bit":
        new: nn.Module = layers.Linear8bitLt(
            *sizes, has_fp16_weights=False, threshold=config.llm_int8_threshold, device="meta"
        )
        # the copy from the CPU rounds it
        new.weight = layers.Int8Params(
            linear.weight.data.cpu(), requires_grad=False, has_fp16_weights=False
        ).to(device)
    else:
        new = layers.Linear4bit(
            *sizes,
            compute_dtype=config.bnb_4bit_compute_dtype,
            compress_statistics=config.bnb_4bit_use_double_quant,
            quant_type=config.bnb_4bit_quant_type,
            device="meta",
        )
        new.weight = layers.Params4bit(
            linear.weight.data,
            requires_grad=False,
            compress_statistics=config.bnb_4bit_use_double_quant,
            quant_type=config.bnb_4bit_quant_type,
            module=new,
        ).to(device)
    new.bias = linear.bias
    return new.eval()


def _settled(device: torch.device) -> int:
    """Collect garbage, restart the count of the peak, and return the bytes in use."""
    gc.collect()
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _memory(
    device: torch.device, weights: int, before: int, need: MemoryNeed, kv_cache_bytes: int
) -> Figures:
    """Return predicted and measured bytes; None if torch does not count them."""
    predicted = {
        "weights": need.weights.total,
        "kv_cache": kv_cache_bytes,
        "workspace": need.workspace_bytes,
    }
    if device.type != "cuda":
        return {"predicted": predicted, "measured": None}
    peak = torch.cuda.max_memory_allocated(device) - before
    measured = {
        "weights": weights,
        "workspace": peak - weights - kv_cache_bytes,
        "peak": peak,
        "reserved": torch.cuda.max_memory_reserved(device),
    }
    return {"predicted": predicted, "measured": measured}


def _problem(found: Figures) -> str:
    """Return the fault of the prediction; empty if there is none.

    The prediction includes memory of the process besides torch's tensors, so the peak of the
    tensors must stay below it.
    """
    predicted, measured = found["predicted"], found["measured"]
    if measured is None:
        return ""
    if abs(measured["weights"] - predicted["weights"]) > _WEIGHTS_TOLERANCE * predicted["weights"]:
        return (
            f"weights take {readable(measured['weights'])},"
            f" {readable(predicted['weights'])} were predicted"
        )
    total = sum(predicted.values())
    if measured["peak"] > total:
        return f"the peak is {readable(measured['peak'])}, {readable(total)} were predicted"
    return ""
