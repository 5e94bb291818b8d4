"""Loads a model: examine its folder, plan, read the weights, prepare them, compare with the plan.

Owns that order. A model that turns out otherwise than planned is served as it turned out, with a
note, or refused. It knows nothing of requests.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm_service.engine.config import EngineConfig
from llm_service.engine.embedding.head import EmbeddingHead
from llm_service.engine.formats import ModelFormat
from llm_service.engine.formats.choice import choose_format
from llm_service.engine.formats.declarations import PLAIN
from llm_service.engine.kernels.fused import fused_decoder
from llm_service.engine.kernels.kv_cache import LayerShape, position_bytes
from llm_service.engine.loading import memory, quantization
from llm_service.engine.loading.checkpoint import Checkpoint, examine
from llm_service.engine.loading.compatibility import (
    layer_shapes,
    why_no_states,
    why_not_batchable,
    why_not_runnable,
)
from llm_service.engine.loading.contents import contents_of
from llm_service.engine.loading.form import Form, Reasons, without_batching, without_fusing
from llm_service.engine.loading.language_part import LanguagePart, language_part
from llm_service.engine.loading.memory import Resources
from llm_service.engine.loading.model_files import ModelLoadError, Progress, bundled_models
from llm_service.engine.loading.plan import (
    LoadingPlan,
    asked_context,
    asked_input,
    free_bytes,
    make_plan,
    num_threads,
    refuse_sequential,
    refuse_unless_fits,
)
from llm_service.engine.loading.quantization import CannotQuantize
from llm_service.engine.loading.sentence import SentenceLayout, read_head
from llm_service.engine.loading.sight import find_reader
from llm_service.engine.loading.weights import complete_weights, read_weights
from llm_service.engine.vision.reader import PictureReader
from llm_service.machine import Machine, return_free_memory

__all__ = [
    "LoadedModel",
    "ModelLoadError",
    "Resources",
    "bundled_models",
    "load_model",
    "plan_resources",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in eval mode on its device, and what came out of its plan."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    model_id: str
    folder: Path
    form: Form
    reasons: Reasons
    layer_shapes: tuple[LayerShape, ...]  # empty: the model keeps its own cache
    num_parameters: int
    weights_bytes: int
    max_context: int
    eos_token_ids: frozenset[int]
    format: ModelFormat
    default_sampling: Mapping[str, Any]
    notes: tuple[str, ...]
    load_seconds: float
    sentence: SentenceLayout | None = None  # None: it generates text, and has no `head`
    head: EmbeddingHead | None = None
    reader: PictureReader | None = None  # None: it does not see

    @property
    def whole(self) -> PreTrainedModel:
        """The model with its encoders; `model` is its language part if it is batched."""
        model: PreTrainedModel = getattr(self.model, "whole", self.model)
        return model

    @property
    def is_batched(self) -> bool:
        return self.reasons.sequential is None and self.head is None


def load_model(config: EngineConfig, machine: Machine, progress: Progress) -> LoadedModel:
    """Find and load `config.model_id`; raises ModelLoadError with what to do about it.

    `progress` hears a line per stage and, while downloading, one every few seconds.
    """
    started = time.monotonic()
    torch.set_num_threads(num_threads(config, machine))  # else one per core of the host
    checkpoint = examine(config.model_id, progress, embeds=config.embeds)
    plan = make_plan(checkpoint, config, machine)
    refuse_unless_fits(plan, machine)
    contents = contents_of(checkpoint)
    model_format = _format(config, checkpoint, contents.tokenizer)
    folder = complete_weights(checkpoint, progress)
    progress(f"loading {checkpoint.model_id} from {folder}")
    model, made = _read_and_prepare(plan, folder, machine)
    layout = checkpoint.sentence
    head = None if layout is None else read_head(layout, model.device)
    reader, why_blind = find_reader(checkpoint, folder, contents.tokenizer, model)
    return LoadedModel(
        model=model,
        tokenizer=contents.tokenizer,
        model_id=checkpoint.model_id,
        folder=folder,
        form=made.form,
        reasons=made.reasons,
        layer_shapes=_layer_shapes(model) if made.is_batched and layout is None else (),
        num_parameters=checkpoint.num_parameters,
        weights_bytes=quantization.num_bytes(model) + (0 if head is None else head.num_bytes),
        max_context=checkpoint.max_context,
        eos_token_ids=contents.eos_token_ids,
        format=model_format,
        default_sampling=contents.default_sampling,
        notes=(*made.reasons.notes, *contents.notes, *model_format.notes, *why_blind),
        load_seconds=time.monotonic() - started,
        sentence=layout,
        head=head,
        reader=reader,
    )


def _format(
    config: EngineConfig, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase
) -> ModelFormat:
    asked = None if config.model_format == "auto" else config.model_format
    if checkpoint.sentence is not None:
        return ModelFormat(PLAIN)  # it has no answers
    return choose_format(tokenizer, checkpoint.config.model_type, asked)


def _read_and_prepare(
    plan: LoadingPlan, folder: Path, machine: Machine
) -> tuple[PreTrainedModel, LoadingPlan]:
    """The model, and the plan as it came true."""
    try:
        return _carry_out(plan, folder)
    except CannotQuantize as error:
        reason = str(error)
    # Beyond the `except`, which would keep the first model in memory.
    plain = replace(plan.config, quantization="none")
    plan = make_plan(plan.checkpoint, plain, machine)
    plan = replace(plan, reasons=replace(plan.reasons, unquantized=reason))
    refuse_unless_fits(plan, machine)
    return _carry_out(plan, folder)


def _carry_out(plan: LoadingPlan, folder: Path) -> tuple[PreTrainedModel, LoadingPlan]:
    """Read and prepare the model, and compare: a difference becomes a reason in the plan.

    Raises CannotQuantize.
    """
    model = read_weights(plan, folder)
    if plan.checkpoint.packed is not None:
        return model, plan  # the model was tried when it was written
    if plan.makes_embeddings:
        _prepare_encoder(model, plan, folder)
        return model, plan
    if plan.is_batched:
        part = language_part(model)
        plan = _batched_or_sequential(plan, why_not_batchable(part, model))
        model = part if plan.is_batched else model
        if isinstance(model, LanguagePart):
            model.take_over(plan.form.encoder_dtype)
    if not plan.is_batched and (why := why_not_runnable(model)):
        raise ModelLoadError(f"The model in {folder} cannot be served because {why}.")
    if plan.device.type == "cpu" and plan.form.kept_quantizer is None:
        plan = _fused_or_not(plan, quantization.prepare(model, plan.form))
    _give_memory_back(plan.device)
    return model, plan


def _prepare_encoder(model: PreTrainedModel, plan: LoadingPlan, folder: Path) -> None:
    if why := why_no_states(model):
        raise ModelLoadError(f"The model in {folder} cannot be served because {why}.")
    if plan.device.type == "cpu":
        quantization.prepare_encoder(model, plan.form)
    _give_memory_back(plan.device)


def _batched_or_sequential(plan: LoadingPlan, reason: str | None) -> LoadingPlan:
    """The plan, if the model that it wants to batch cannot be batched because of `reason`."""
    if reason is None:
        return plan
    reasons = replace(plan.reasons, sequential=reason, unfused=None)
    refuse_sequential(plan.config, plan.checkpoint.model_id, reasons)
    return replace(plan, form=without_batching(plan.form, plan.config), reasons=reasons)


def _fused_or_not(plan: LoadingPlan, reason: str | None) -> LoadingPlan:
    """The plan, if the layers that it wants to fuse cannot be fused because of `reason`."""
    if reason is None:
        return plan
    form = without_fusing(plan.form, plan.config)
    return replace(plan, form=form, reasons=replace(plan.reasons, unfused=reason))


def _layer_shapes(model: PreTrainedModel) -> tuple[LayerShape, ...]:
    decoder = fused_decoder(model)
    return tuple(layer_shapes(model) if decoder is None else decoder.layer_shapes)


def plan_resources(config: EngineConfig, loaded: LoadedModel, machine: Machine) -> Resources:
    """Threads, KV-cache bytes, batch and context: as configured, else what the machine allows.

    `machine` was detected before the weights were loaded. Raises ModelLoadError when the
    configuration asks for what cannot be.
    """
    if loaded.sentence is not None:
        return memory.embedding_resources(
            config,
            threads=num_threads(config, machine),
            max_context=asked_input(config, loaded.model_id, loaded.max_context),
        )
    per_token = sum(position_bytes(shape, loaded.form.kv_dtype) for shape in loaded.layer_shapes)
    return memory.plan(
        config,
        threads=num_threads(config, machine),
        max_context=asked_context(config, loaded.model_id, loaded.max_context),
        bytes_per_token=per_token,
        free_bytes=_free_for_cache(config, loaded, machine),
        is_batched=loaded.is_batched,
    )


def _free_for_cache(config: EngineConfig, loaded: LoadedModel, machine: Machine) -> int:
    """What weights and workspace leave; on CUDA, what the workspace leaves of what is free now."""
    device = loaded.model.device
    num_slots = memory.slots_wanted(config, num_threads(config, machine))
    free = free_bytes(device, machine) - memory.workspace_bytes(
        loaded.whole.config, num_slots, config.max_batched_tokens
    )
    if device.type == "cpu":
        free -= loaded.weights_bytes  # `machine` was looked at before they were loaded
    return free


def _give_memory_back(device: torch.device) -> None:
    """Return what was freed: nothing as large comes later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # else it does not count as free when the KV cache is sized
    return_free_memory()
