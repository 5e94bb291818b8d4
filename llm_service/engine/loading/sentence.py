"""Reads how a model makes embeddings from its folder, in the layout of sentence-transformers.

`modules.json` names the parts: a transformer, a pooling, and layers on the pooled vector. A model
without it gets the usual pooling for its kind, with a note.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from llm_service.engine.embedding.head import (
    ACTIVATIONS,
    POOLING_MODES,
    Dense,
    EmbeddingHead,
    Normalize,
    PoolingMode,
)
from llm_service.engine.loading import model_files
from llm_service.engine.loading.model_files import ModelLoadError, Progress, read_json

MODULES = "modules.json"
# The keys of 1_Pooling/config.json, in the order in which several modes are joined.
_POOLING_KEYS: Mapping[PoolingMode, str] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseFiles:
    """A linear layer on the pooled vector, without its numbers."""

    folder: Path
    num_inputs: int
    num_outputs: int
    has_bias: bool
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceLayout:
    """What becomes of a model's hidden states; `notes` tell the operator what was assumed."""

    transformer: str = ""  # the subfolder of the model and its tokenizer
    pooling: tuple[PoolingMode, ...]
    steps: tuple[DenseFiles | Normalize, ...] = ()
    max_tokens: int | None = None  # None: as many as the model can read
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    notes: tuple[str, ...] = ()

    def width(self, hidden_size: int) -> int:
        """The number of dimensions of an embedding."""
        width = hidden_size * len(self.pooling)
        for step in self.steps:
            if isinstance(step, DenseFiles):
                width = step.num_outputs
        return width

    @property
    def is_normalized(self) -> bool:
        return bool(self.steps) and isinstance(self.steps[-1], Normalize)


def assumed_layout(*, is_causal: bool) -> SentenceLayout:
    """The layout of a model whose folder states none."""
    mode: PoolingMode = "lasttoken" if is_causal else "mean"
    words = "last token" if is_causal else "mean over the tokens"
    note = (
        f"has no {MODULES}, which would say how it makes embeddings: they are the {words} of the"
        " last hidden states, scaled to length 1"
    )
    return SentenceLayout(pooling=(mode,), steps=(Normalize(),), notes=(note,))


def read_layout(folder: Path) -> SentenceLayout:
    """Raises ModelLoadError if it states something that is not offered, or contradicts itself."""
    modules = _read_modules(folder)
    (kind, transformer), (pooling_kind, pooling), *rest = modules
    if kind != "Transformer" or pooling_kind != "Pooling":
        raise ModelLoadError(
            f"{folder / MODULES} begins with {kind} and {pooling_kind}, but only models that begin"
            " with Transformer and Pooling are served."
        )
    stated = _stated(folder, "config_sentence_transformers.json")
    prompts, default = _prompts(folder, stated)
    modes = _pooling_modes(folder / pooling / "config.json", has_prompts=any(prompts.values()))
    return SentenceLayout(
        transformer=transformer,
        pooling=modes,
        steps=tuple(_step(folder, each, path) for each, path in rest if each != "Dropout"),
        max_tokens=_max_tokens(folder / transformer),
        prompts=prompts,
        default_prompt=default,
    )


def download_parts(model_id: str, folder: Path, progress: Progress) -> None:
    """Download what `modules.json` names in subfolders, which other models do not need."""
    if (folder / MODULES).is_file():
        parts = [path for _, path in _read_modules(folder) if path]
        if parts:
            model_files.download_folders(model_id, parts, progress)


def read_head(layout: SentenceLayout, device: torch.device) -> EmbeddingHead:
    """The layout with its numbers. Raises ModelLoadError."""
    steps = [
        _dense(step, device) if isinstance(step, DenseFiles) else step for step in layout.steps
    ]
    return EmbeddingHead(layout.pooling, steps)


def refuse_wrong_widths(layout: SentenceLayout, hidden_size: int) -> None:
    """Raises ModelLoadError unless each part takes what the part before it gives."""
    width = hidden_size * len(layout.pooling)
    for step in layout.steps:
        if isinstance(step, DenseFiles):
            if step.num_inputs != width:
                raise ModelLoadError(
                    f"{step.folder / 'config.json'} takes vectors of {step.num_inputs} numbers, but"
                    f" gets {width}."
                )
            width = step.num_outputs


def _read_modules(folder: Path) -> list[tuple[str, str]]:
    """The kind of each module and its subfolder, checked."""
    file = folder / MODULES
    model_files.refuse_outside(folder, file)
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
        modules = [(str(each["type"]).rpartition(".")[2], str(each["path"])) for each in stated]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelLoadError(
            f"{file} must hold a list of modules, each with a type and a path."
        ) from error
    if len(modules) < 2:
        raise ModelLoadError(f"{file} must name at least a Transformer and a Pooling.")
    for _, path in modules:
        model_files.refuse_outside(folder, folder / path)
    return modules


def _stated(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    model_files.refuse_outside(folder, file)
    return read_json(file) if file.is_file() else {}


def _pooling_modes(file: Path, *, has_prompts: bool) -> tuple[PoolingMode, ...]:
    stated = read_json(file)
    named = stated.get("pooling_mode")
    names = named if isinstance(named, list) else [] if named is None else [named]
    modes = tuple(
        mode for mode in POOLING_MODES if stated.get(_POOLING_KEYS[mode]) is True or mode in names
    )
    if unknown := [name for name in names if name not in POOLING_MODES]:
        raise ModelLoadError(
            f"{file} asks for the pooling {str(unknown[0])[:40]!r}, which is unknown."
        )
    if not modes:
        raise ModelLoadError(
            f"{file} names no pooling: one of {', '.join(_POOLING_KEYS.values())}."
        )
    if stated.get("include_prompt") is False and has_prompts:
        raise ModelLoadError(
            f"{file} leaves the prompt out of the pooling (include_prompt), which is not supported."
        )
    return modes


def _step(folder: Path, kind: str, path: str) -> DenseFiles | Normalize:
    if kind == "Normalize":
        return Normalize()
    if kind != "Dense":
        raise ModelLoadError(
            f"{folder / MODULES} has a module {kind[:40]!r}, but after the pooling only Dense,"
            " Normalize and Dropout are supported."
        )
    file = folder / path / "config.json"
    stated = read_json(file)
    activation = str(stated.get("activation_function", "Tanh")).rpartition(".")[2]
    num_inputs, num_outputs = stated.get("in_features"), stated.get("out_features")
    if activation not in ACTIVATIONS:
        raise ModelLoadError(
            f"{file} has the activation {activation[:40]!r}; supported: {', '.join(ACTIVATIONS)}."
        )
    if not (isinstance(num_inputs, int) and isinstance(num_outputs, int)):
        raise ModelLoadError(f"{file} must state in_features and out_features as whole numbers.")
    return DenseFiles(
        folder=folder / path,
        num_inputs=num_inputs,
        num_outputs=num_outputs,
        has_bias=stated.get("bias", True) is not False,
        activation=activation,
    )


def _dense(files: DenseFiles, device: torch.device) -> Dense:
    file = files.folder / "model.safetensors"
    model_files.refuse_outside(files.folder, file)
    if not file.is_file():
        raise ModelLoadError(
            f"{files.folder} holds no model.safetensors, the weights of its layer."
        )
    model_files.refuse_unless_whole(file)
    tensors = load_file(file, device=str(device))
    shapes: dict[str, Sequence[int]] = {"linear.weight": [files.num_outputs, files.num_inputs]}
    if files.has_bias:
        shapes["linear.bias"] = [files.num_outputs]
    for name, shape in shapes.items():
        found = list(tensors[name].shape) if name in tensors else "not there"
        if found != shape:
            raise ModelLoadError(f"{name} in {file} is {found}, but must be {shape}.")
    bias = tensors["linear.bias"].float() if files.has_bias else None
    return Dense(tensors["linear.weight"].float(), bias, files.activation)


def _max_tokens(folder: Path) -> int | None:
    """The length at which the model was trained, as sentence_bert_config.json states it."""
    stated = _stated(folder, "sentence_bert_config.json")
    if stated.get("do_lower_case") is True:
        raise ModelLoadError(
            f"{folder / 'sentence_bert_config.json'} asks for lower case (do_lower_case), which"
            " only the tokenizer does here: set it in tokenizer_config.json."
        )
    found = stated.get("max_seq_length")
    if found is not None and (not isinstance(found, int) or isinstance(found, bool) or found < 1):
        raise ModelLoadError(
            f"max_seq_length in {folder / 'sentence_bert_config.json'} is {repr(found)[:40]}, but"
            " must be a whole number of at least 1."
        )
    return found


def _prompts(folder: Path, stated: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    prompts, default = stated.get("prompts") or {}, stated.get("default_prompt_name")
    file = folder / "config_sentence_transformers.json"
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ModelLoadError(f"prompts in {file} must be an object of texts.")
    if default is not None and default not in prompts:
        raise ModelLoadError(f"default_prompt_name in {file} is {str(default)[:40]!r}, no prompt.")
    return prompts, default
