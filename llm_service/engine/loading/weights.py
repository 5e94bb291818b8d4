"""Reads a model's weights: plain ones, those that transformers quantizes, and packed ones.

Owns the checks that weights are complete and are those of the model. What is made of them is
planned in `plan`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModel, GenerationConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from llm_service.engine.kernels.files import FilesUnusable, load_fused
from llm_service.engine.kernels.library import load_kernels
from llm_service.engine.loading import model_files
from llm_service.engine.loading.checkpoint import Checkpoint, model_class, remove_pooler
from llm_service.engine.loading.contents import contents_of
from llm_service.engine.loading.model_files import ModelLoadError, Progress
from llm_service.engine.loading.plan import LoadingPlan


def complete_weights(checkpoint: Checkpoint, progress: Progress) -> Path:
    """Download the weight files if need be; returns their folder once each of them is whole."""
    folder = checkpoint.folder
    if checkpoint.is_on_hub:
        downloaded = model_files.download_weights(checkpoint.model_id, progress)
        folder = folder if checkpoint.is_in_subfolder else downloaded
    for file in model_files.weight_files(folder):
        model_files.refuse_unless_whole(file)
    return folder


def read_weights(plan: LoadingPlan, folder: Path) -> PreTrainedModel:
    """The model with its weights, on its device and in eval mode. Raises ModelLoadError."""
    if plan.checkpoint.packed is not None:
        return _map_packed(plan, folder)
    return _read_plain(plan, folder)


def check_folder(plan: LoadingPlan) -> tuple[list[str], list[str]]:
    """Why `load_model` would refuse the files of a model with this plan, and what it would ignore.

    Reads no numbers of weights, and nothing of weights that do not fit or are not downloaded yet.
    The plan is used up: a packed model's shell gets its weights.
    """
    checkpoint = plan.checkpoint
    reasons: list[str] = []
    notes: list[str] = []
    try:
        notes += contents_of(checkpoint).notes
    except ModelLoadError as error:
        reasons.append(str(error))
    try:
        _check_weights(plan)
    except ModelLoadError as error:
        reasons.append(str(error))
    return reasons, notes


def _check_weights(plan: LoadingPlan) -> None:
    """Raises ModelLoadError if weights are missing, cut off, or not those of the model."""
    checkpoint, folder = plan.checkpoint, plan.checkpoint.folder
    if checkpoint.is_on_hub and not model_files.has_weights(folder):
        return
    for file in model_files.weight_files(folder):
        model_files.refuse_unless_whole(file)
    if plan.fits and checkpoint.packed is not None:
        _map_packed(plan, folder)
    elif plan.fits and plan.form.quantizer is None:
        # Weights of the stored type are mapped; any other type would copy them.
        form = replace(plan.form, dtype=checkpoint.stored_dtype)
        _read_plain(replace(plan, form=form, device=torch.device("cpu")), folder)


def _map_packed(plan: LoadingPlan, folder: Path) -> PreTrainedModel:
    """Map the weights that `llm-service quantize` wrote into the shell, which becomes the model."""
    checkpoint = plan.checkpoint
    assert checkpoint.packed is not None
    try:
        if plan.form.kernels is None:
            raise FilesUnusable(f"they need the compiled kernels: {plan.reasons.kernels}")
        load_fused(checkpoint.shell, folder, checkpoint.packed, load_kernels(plan.form.kernels))
    except (FilesUnusable, SafetensorError, OSError) as error:
        raise ModelLoadError(f"The weights in {folder} cannot be used: {error}.") from error
    model: PreTrainedModel = checkpoint.shell.eval()  # type: ignore[no-untyped-call]
    return model


def _read_plain(plan: LoadingPlan, folder: Path) -> PreTrainedModel:
    """Read the weights onto the device; transformers makes or keeps them quantized if planned."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    config, form = plan.checkpoint.config, plan.form
    kept = form.kept_quantizer
    if plan.device.type == "cuda" and form.dtype is torch.float32:
        # Some containers switch TensorFloat-32 on, which keeps three decimal digits.
        torch.set_float32_matmul_precision("highest")
    model: PreTrainedModel
    report: Mapping[str, Any]
    makes_embeddings = plan.makes_embeddings
    kind: Any = AutoModel if makes_embeddings else model_class(config)
    # Else it reads generation_config.json, whose fields `contents` checks as far as used.
    options = {} if makes_embeddings else {"generation_config": GenerationConfig()}  # type: ignore[no-untyped-call]
    try:
        model, report = kind.from_pretrained(  # a pair, as output_loading_info asks
            folder,
            config=config,
            dtype=form.dtype,
            quantization_config=kept.asked if kept else None,
            device_map={"": plan.device} if kept else None,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    except Exception as error:  # transformers may raise anything at wrong weights
        raise ModelLoadError(f"The weights in {folder} cannot be used: {error}") from error
    if makes_embeddings:
        remove_pooler(model)
        missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
        report = {**report, "missing_keys": missing}
    _refuse_incomplete(folder, report)
    model.eval()  # type: ignore[no-untyped-call]
    if kept:  # they are on their device already, and some kinds cannot be moved
        return model
    if form.is_converted:  # some methods turn back into bfloat16, whatever was asked for
        for parameter in model.parameters():  # not buffers: rotary tables need float32
            parameter.data = parameter.data.to(form.dtype)
    model.to(plan.device)  # type: ignore[arg-type]
    return model


def _refuse_incomplete(folder: Path, report: Mapping[str, Any]) -> None:
    """transformers fills what is missing with random numbers, and only warns."""
    if missing := sorted(report["missing_keys"]):
        raise ModelLoadError(
            f"The weights in {folder} lack {len(missing)} tensors of the model,"
            f" such as {missing[0]}."
        )
    if mismatched := sorted(report["mismatched_keys"]):
        name, found, expected = mismatched[0]
        raise ModelLoadError(
            f"The weights in {folder} do not fit config.json: {name} is {list(found)}, not"
            f" {list(expected)} ({len(mismatched)} such tensors)."
        )
