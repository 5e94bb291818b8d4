"""Decides which models the batched engine can serve: by their configuration, then by a trial.

Owns that judgement. A model passes if its own forward pass and ours (paged, ragged and in chunks)
give the same logits. A model with an unforeseen trait is therefore never served wrongly.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from llm_service.engine.batched.model_runner import ModelRunner
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.kernels import attention
from llm_service.engine.kernels.attention import AttentionOptions
from llm_service.engine.kernels.kv_cache import KVCache, LayerShape
from llm_service.engine.loading.layer_config import per_layer
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams

_TRIED_TOKENS = 3  # the first by the prompt, then by the cache
_LAYER_TYPES = {"full_attention", "sliding_attention"}
# These encode a position by the length of the whole text, so a text's KV would change
# as it grows, and a batch would need one length for all.
_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
# Rounding differs with the shape of a matrix product; a wrong model differs by far more.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}


class UnfitLayers(Exception):
    """Why the layers of a model do not fit the paged KV cache: the end of a sentence."""


def why_not_batchable(model: PreTrainedModel, whole: PreTrainedModel | None = None) -> str | None:
    """Completes the sentence "it cannot be batched because ..."; None if it can be.

    Runs the model a few times over a dozen tokens, and leaves it as it was. If it is a part of
    another one, `whole` is that, whose answers are the right ones.
    """
    return _stated_reason(model) or _found_reason(model, whole or model)


@torch.inference_mode()
def why_shell_not_batchable(shell: PreTrainedModel, *, traces: bool) -> str | None:
    """Return why not, as far as a model without weights (on the meta device) shows it.

    Every reason found here would be found with weights as well, but not the other way round.
    Without `traces`, only the configuration is asked.
    """
    reason = _stated_reason(shell)
    if reason is not None or not traces:
        return reason
    try:
        with _paged(shell):
            return _window_reason(shell.config, _trace(shell))
    except UnfitLayers as error:
        return str(error)
    except Exception:  # what fails without numbers may work with them
        return None


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer keeps per position, and how it attends."""

    shape: LayerShape
    options: AttentionOptions


@torch.inference_mode()
def traced_layers(model: PreTrainedModel) -> list[Layer]:
    """The layers, as observed while the model runs. Layer i is at index i."""
    trace = _trace(model)
    return [trace.layers[i] for i in range(len(trace.layers))]


def layer_shapes(model: PreTrainedModel) -> list[LayerShape]:
    return [layer.shape for layer in traced_layers(model)]


def why_not_runnable(model: PreTrainedModel) -> str | None:
    """Completes the sentence "it cannot be served because ..."; None if `generate` answers."""
    try:
        logits = _run_briefly(model)
    except Exception as error:  # whatever the model raises is the reason
        return f"it does not run ({type(error).__name__}: {error})"
    return None if torch.isfinite(logits.amax(dim=-1)).all() else "its logits are not finite"


@torch.inference_mode()
def why_no_states(model: PreTrainedModel) -> str | None:
    """Completes the sentence "it cannot be served because ..."; None if it has hidden states."""
    run: Any = model
    ids = torch.tensor([_plain_ids(model.config)], device=model.device)
    try:
        states = run(input_ids=ids).last_hidden_state
    except Exception as error:  # whatever the model raises is the reason
        return f"it does not run ({type(error).__name__}: {error})"
    return None if torch.isfinite(states).all() else "its hidden states are not finite"


@torch.inference_mode()
def _run_briefly(model: PreTrainedModel) -> Tensor:
    """Let `generate` answer a few tokens greedily; its logits [_TRIED_TOKENS, vocab_size]."""
    generate: Any = model.generate
    make: Any = GenerationConfig
    ids = torch.tensor([_plain_ids(model.config)], device=model.device)
    own, model.generation_config = model.generation_config, make(pad_token_id=0)
    try:
        answer = generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=_TRIED_TOKENS,
            return_dict_in_generate=True,
            output_logits=True,
        )
    finally:
        model.generation_config = own
    return torch.cat(answer.logits)


def _plain_ids(config: PreTrainedConfig) -> list[int]:
    """Some token ids, except those to which the configuration gives a meaning (images, ...)."""
    special = set(_token_ids(config.to_dict()))
    size = config.get_text_config().vocab_size
    ids = (i * 7919 % size for i in range(1, size))
    return list(islice((i for i in ids if i not in special), 7))


def _token_ids(stated: Mapping[Any, Any]) -> Iterator[int]:
    for name, value in stated.items():
        if isinstance(value, dict):
            yield from _token_ids(value)
        elif "token" in str(name):
            yield from (i for i in _flattened(value) if isinstance(i, int))


def _flattened(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _stated_reason(model: PreTrainedModel) -> str | None:
    config = model.config
    if config.is_encoder_decoder:
        return "it is an encoder-decoder model"
    if config.get_text_config() is not config:
        return "it takes more than text"
    if not model._supports_attention_backend:
        return "its attention cannot be replaced"
    if getattr(model, "_is_stateful", False):
        return "it keeps a state beside the KV cache"
    if odd_layers := set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES:
        return f"it has layers of type {', '.join(sorted(odd_layers))}"
    if getattr(config, "num_kv_shared_layers", 0):
        return "some of its layers share one KV cache"
    if odd_rope := set(_rope_types(config)) & _LENGTH_DEPENDENT_ROPE:
        return f"its position encoding ({odd_rope.pop()}) depends on the length of the text"
    return None


def _rope_types(config: PreTrainedConfig) -> Iterator[str]:
    """The one rope type, or that of each layer type."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for each in (parameters, *parameters.values()):
        if isinstance(each, dict) and "rope_type" in each:
            yield each["rope_type"]


@torch.inference_mode()
def _found_reason(model: PreTrainedModel, whole: PreTrainedModel) -> str | None:
    try:
        expected = [_own_logits(whole, prompt) for prompt in _prompts(model)]
        with _paged(model):
            trace = _trace(model)
            if reason := _window_reason(model.config, trace):
                return reason
            found = _paged_logits(model, layer_shapes(model))
    except UnfitLayers as error:
        return str(error)
    except Exception as error:  # whatever the model raises is the reason
        return f"it does not run on the paged KV cache ({type(error).__name__}: {error})"
    tolerance = _TOLERANCE.get(model.dtype, 0.0)
    for ours, own in zip(found, expected, strict=True):
        if not torch.dist(ours, own) <= tolerance * torch.linalg.vector_norm(own):
            return "its answers on the paged KV cache differ from its own"
    return None


def _window_reason(config: PreTrainedConfig, trace: "_Trace") -> str | None:
    """Compare the windows that layers ask for: a text as short as ours cannot show them."""
    windows, kinds = per_layer(config, "sliding_window"), per_layer(config, "layer_types")
    for index, layer in trace.layers.items():
        is_sliding = kinds[index] in (None, "sliding_attention")
        if layer.options.window != (windows[index] if is_sliding else None):
            return "its sliding window does not reach the attention function"
    return None


@dataclass(slots=True)
class _Trace:
    """Attends within one text, without a cache, and records the shape and options of each layer."""

    layers: dict[int, Layer] = field(default_factory=dict)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions
    ) -> Tensor:
        if layer in self.layers or key.shape != value.shape:
            raise UnfitLayers(f"layer {layer} does not have one key and one value per position")
        self.layers[layer] = Layer(LayerShape(key.shape[1], key.shape[2]), options)
        return attention.attend_within(query, key, value, options)


def _trace(model: PreTrainedModel) -> _Trace:
    trace = _Trace()
    ids = torch.tensor([[0]], device=model.device)
    with _paged(model):
        model(input_ids=ids, position_ids=torch.zeros_like(ids), use_cache=False, paged=trace)
    if sorted(trace.layers) != list(range(model.config.num_hidden_layers)):
        raise UnfitLayers(f"only its layers {sorted(trace.layers)} attend")
    return trace


@contextmanager
def _paged(model: PreTrainedModel) -> Iterator[None]:
    before = model.config._attn_implementation
    attention.register()
    model.set_attn_implementation(attention.IMPLEMENTATION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _prompts(model: PreTrainedModel) -> list[tuple[int, ...]]:
    size = model.config.vocab_size
    return [tuple(i * 7919 % size for i in range(1, 8)), tuple(i * 104729 % size for i in range(6))]


def _own_logits(model: PreTrainedModel, prompt: tuple[int, ...]) -> Tensor:
    ids = torch.tensor([prompt], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[0, -1]
    return logits


def _paged_logits(model: PreTrainedModel, shapes: list[LayerShape]) -> list[Tensor]:
    """Logits after each prompt, computed side by side in three ragged steps over one cache."""
    cache = KVCache(shapes, num_blocks=8, block_size=2, dtype=model.dtype, device=model.device)
    runner = ModelRunner(model, cache)
    first, second = [_sequence(prompt) for prompt in _prompts(model)]
    first.block_table, second.block_table = [5, 0, 3, 6], [7, 2, 4]
    _run(runner, [(first, 3), (second, 4)])
    _run(runner, [(second, 1), (first, 3)])
    logits = _run(runner, [(first, 1), (second, 1)])
    return [logits[0], logits[1]]


def _sequence(prompt: tuple[int, ...]) -> Sequence:
    request = GenerationRequest("probe", Prompt(prompt), SamplingParams(max_tokens=1))
    return Sequence.from_request(request, submitted=0.0)


def _run(runner: ModelRunner, work: list[tuple[Sequence, int]]) -> Tensor:
    items = [
        ScheduledSequence(
            sequence,
            num_tokens,
            is_sampled=num_tokens == sequence.num_uncomputed_tokens,
            is_decode=False,
        )
        for sequence, num_tokens in work
    ]
    logits = runner.forward(ScheduledBatch(items))
    for sequence, num_tokens in work:
        sequence.num_computed_tokens += num_tokens
    return logits
