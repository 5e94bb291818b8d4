"""Tiny models with random weights, one per architecture, and a byte-level tokenizer.

Small enough to run thousands of steps in a test; sliding windows and soft-capping small
enough to matter. The weights are spread wide, so that the two likeliest tokens are never
so close that rounding could swap them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from llm_service.engine.config import EngineConfig, KernelSet, Quantization
from llm_service.engine.formats import ModelFormat
from llm_service.engine.formats.declarations import PLAIN
from llm_service.engine.kernels.fused import FusedDecoder
from llm_service.engine.kernels.kv_cache import LayerShape
from llm_service.engine.loading import quantization
from llm_service.engine.loading.checkpoint import Checkpoint
from llm_service.engine.loading.compatibility import layer_shapes
from llm_service.engine.loading.form import Form, Reasons, choose_form, without_fusing
from llm_service.engine.loading.loader import LoadedModel
from llm_service.machine import Machine

VOCAB_SIZE = 258  # the 256 bytes, <|endoftext|> and a control token
EOS = 256
CONTROL = 257
MAX_CONTEXT = 256
# Random models rarely say <|endoftext|>; with some bytes as well, answers end by themselves.
EOS_TOKEN_IDS = frozenset({EOS, *range(8)})

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_CONTEXT,
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": None,
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_COMMON, head_dim=16),
    "qwen2": lambda: Qwen2Config(**{**_COMMON, "head_dim": 16}),
    "qwen3": lambda: Qwen3Config(**_COMMON, head_dim=16),
    "mistral": lambda: MistralConfig(**_COMMON, head_dim=16, sliding_window=11),
    "phi3": lambda: Phi3Config(**{**_COMMON, "hidden_size": 64}, sliding_window=13),  # heads of 16
    "gemma2": lambda: Gemma2Config(
        **_COMMON,
        head_dim=8,
        sliding_window=9,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=8.0,
        query_pre_attn_scalar=16,
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **_COMMON,
        head_dim=8,
        sliding_window=10,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
}


@cache
def tiny_model(architecture: str) -> PreTrainedModel:
    """As transformers would serve it: never touched by our engine."""
    return fresh_model(architecture)


# With layers that the kernels compute; the others' do not have the form for that.
FUSED = {f"fused {name}": name for name in ("llama", "qwen2", "qwen3", "mistral", "phi3")}


@cache
def served_model(name: str, scheme: Quantization = "none") -> PreTrainedModel:
    """The weights of `tiny_model`, for engines: they change how it attends."""
    model = fresh_model(FUSED.get(name, name))
    if name in FUSED:
        assert prepare(model, scheme)[0].is_fused
    return model


def prepare(
    model: PreTrainedModel,
    scheme: Quantization = "none",
    *,
    is_batched: bool = True,
    kernels: KernelSet = "auto",
) -> tuple[Form, Reasons]:
    """Give `model` the form that a plan chooses for it; what came out, as the loader tells it."""
    form, reasons = chosen_form(model, scheme, is_batched=is_batched, kernels=kernels)
    unfused = quantization.prepare(model, form)
    if unfused is None:
        return form, reasons
    return without_fusing(form, EngineConfig()), replace(reasons, unfused=unfused)


def chosen_form(
    shell: PreTrainedModel,
    scheme: Quantization,
    *,
    is_batched: bool = True,
    kernels: KernelSet = "auto",
) -> tuple[Form, Reasons]:
    """What a plan chooses for a model with these modules, which needs no weights."""
    dtype: Any = str(shell.dtype).removeprefix("torch.")
    config = EngineConfig(
        dtype=dtype,
        quantization=scheme,
        kernels=kernels,
        engine="auto" if is_batched else "sequential",
    )
    return choose_form(
        config, checkpoint_of(shell), Machine.detect(), torch.device("cpu"), quantizer=None
    )


def checkpoint_of(shell: PreTrainedModel) -> Checkpoint:
    return Checkpoint(
        model_id="tiny",
        folder=Path("tiny"),
        is_on_hub=False,
        config=shell.config,
        shell=shell,
        packed=None,
        max_context=MAX_CONTEXT,
        sequential=None,
    )


def shapes_of(model: PreTrainedModel) -> list[LayerShape]:
    first = model.get_decoder().layers[0]
    return first.layer_shapes if isinstance(first, FusedDecoder) else layer_shapes(model)


def fresh_model(architecture: str, to: torch.device | torch.dtype | None = None) -> PreTrainedModel:
    """One to change; its weights are the same every time. Moved or converted if `to` is given."""
    with torch.random.fork_rng(devices=[]):  # it is made on the CPU
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            CONFIGS[architecture](), attn_implementation="eager"
        )
    made: Any = model.float().eval()
    return made if to is None else made.to(to)


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """As a share of what is expected."""
    return (torch.dist(found, expected) / torch.linalg.vector_norm(expected)).item()


@cache
def byte_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|control|>"],
    )
    assert len(fast) == VOCAB_SIZE
    return fast


def loaded_model(
    model: PreTrainedModel,
    *,
    eos_token_ids: frozenset[int] = EOS_TOKEN_IDS,
    layer_shapes: Sequence[LayerShape] = (),
) -> LoadedModel:
    """As the loader would hand `model` to an engine, the batched one if it has shapes."""
    return LoadedModel(
        model=model,
        tokenizer=byte_tokenizer(),
        model_id="tiny",
        folder=Path("tiny"),
        form=Form(
            dtype=model.dtype,
            quantization="none",
            kernels=None,
            is_fused=False,
            kv_dtype=model.dtype,
        ),
        reasons=Reasons(sequential=None if layer_shapes else "a test asks for that"),
        layer_shapes=tuple(layer_shapes),
        num_parameters=model.num_parameters(),
        weights_bytes=model.num_parameters() * 4,
        max_context=MAX_CONTEXT,
        eos_token_ids=eos_token_ids,
        format=ModelFormat(PLAIN),
        notes=(),
        default_sampling={},
        load_seconds=0.0,
    )


@cache
def greedy_reference(
    architecture: str, prompt: tuple[int, ...], max_tokens: int
) -> tuple[int, ...]:
    """What `transformers.generate` answers to `prompt` alone, without our engine."""
    return generate_greedily(tiny_model(FUSED.get(architecture, architecture)), prompt, max_tokens)


def generate_greedily(
    model: PreTrainedModel, prompt: tuple[int, ...], max_tokens: int
) -> tuple[int, ...]:
    """`model` must attend as transformers made it."""
    ids = torch.tensor([prompt], device=model.device)
    generate: Any = model.generate  # which torch takes for a tensor or a module
    output = generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=sorted(EOS_TOKEN_IDS),
        pad_token_id=EOS,
    )
    return tuple(output[0, len(prompt) :].tolist())
