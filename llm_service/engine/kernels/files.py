"""Reads and writes fused models in files, which are mapped into memory without a copy.

Owns the format: an ordinary model folder, except that `model.safetensors` holds packed weights and
`config.json` says so under `llm_service`.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm_service.engine.kernels import library
from llm_service.engine.kernels.attention import AttentionOptions
from llm_service.engine.kernels.fused import (
    FusedDecoder,
    FusedEmbedding,
    PackedLayer,
)
from llm_service.engine.kernels.head import FusedHead
from llm_service.engine.kernels.library import Kernels
from llm_service.engine.kernels.packing import GROUP, PANEL, PARTS, PackedLinear, Scheme

CONFIG_KEY = "llm_service"
_WEIGHTS = "model.safetensors"
_FORMAT = f"packed-2/{PANEL}/{GROUP}"  # another packing needs another name
_STORED_NAMES = {"error_bounds": "doubts"}  # of parts whose name in files is an older one
_LINEARS = ("qkv", "output", "gate_up", "down")
_NORMS = ("attention_norm", "mlp_norm", "query_norm", "key_norm")


class FilesUnusable(Exception):
    """Why a folder cannot be loaded as a fused model."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What `config.json` adds to the model's own configuration."""

    quantization: str
    num_parameters: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    eps: float
    how: list[dict[str, Any]]  # each layer's attention
    shapes: dict[str, list[int]]  # scheme, num_outputs, num_inputs of each packed matrix
    fingerprint: str  # a hash of the tensors' names, types, shapes and first bytes
    format: str = _FORMAT

    @classmethod
    def of_config(cls, stated: dict[str, Any]) -> Self:
        if stated.get("format") != _FORMAT:
            raise FilesUnusable(
                f"its weights are packed as {stated.get('format')!r}, not as {_FORMAT!r}:"
                " quantize the model again"
            )
        if missing := {field.name for field in fields(cls)} - stated.keys():
            raise FilesUnusable(f"config.json lacks {', '.join(sorted(missing))}")
        return cls(**{field.name: stated[field.name] for field in fields(cls)})


def save_fused(
    model: PreTrainedModel, source: Path, folder: Path, *, quantization: str, num_parameters: int
) -> None:
    """Write a fused `model`, read from `source`, into the new `folder`."""
    parts: Any = model
    (decoder,) = parts.get_decoder().layers
    named = dict(_named_matrices(decoder, parts))
    tensors = {
        f"{n}.{_STORED_NAMES.get(part, part)}": tensor
        for n, packed in named.items()
        for part, tensor in packed.tensors.items()
    }
    for i, layer in enumerate(decoder.layers):
        norms = ((name, getattr(layer, name)) for name in _NORMS)
        tensors |= {f"layers.{i}.{name}": norm for name, norm in norms if norm is not None}
    tensors |= {f"rest.{name}": t.contiguous() for name, t in model.state_dict().items()}
    heads = decoder.heads
    facts = Facts(
        quantization=quantization,
        num_parameters=num_parameters,
        num_heads=heads.num_heads,
        num_kv_heads=heads.num_kv_heads,
        head_dim=heads.head_dim,
        eps=heads.eps,
        how=[asdict(layer.options) for layer in decoder.layers],
        shapes={n: [int(p.scheme), p.num_outputs, p.num_inputs] for n, p in named.items()},
        fingerprint=_fingerprint(tensors),
    )
    folder.mkdir(parents=True)
    for file in source.iterdir():
        is_small = file.is_file() and not file.name.startswith(("model.", "pytorch_model"))
        if is_small and file.suffix in (".json", ".txt", ".model", ".jinja", ".md"):
            shutil.copy(file, folder / file.name)
    save_file(tensors, folder / _WEIGHTS, {"format": "pt"})
    (folder / _WEIGHTS).chmod(0o644)  # others, such as a container's user, read it too
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config[CONFIG_KEY] = asdict(facts)
    # Written last: a folder without config.json is no model, so an incomplete one is never loaded.
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def load_fused(model: PreTrainedModel, folder: Path, facts: Facts, kernels: Kernels) -> None:
    """Give `model`, which is on the meta device, the weights in `folder`, mapped into memory."""
    parts: Any = model
    with safe_open(folder / _WEIGHTS, framework="pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if _fingerprint(tensors) != facts.fingerprint:
        raise FilesUnusable("its weights are not those that config.json was written for")
    named = {name: _packed(tensors, name, facts.shapes[name]) for name in facts.shapes}
    layers = []
    for i, how in enumerate(facts.how):
        matrices: Any = {name: named[f"layers.{i}.{name}"] for name in _LINEARS}
        norms: Any = {name: tensors.get(f"layers.{i}.{name}") for name in _NORMS}
        layers.append(PackedLayer(**matrices, **norms, options=AttentionOptions(**how)))
    heads = library.Heads(facts.num_heads, facts.num_kv_heads, facts.head_dim, 0, facts.eps)
    decoder = parts.get_decoder()
    decoder.layers = nn.ModuleList([FusedDecoder(kernels, layers, heads)])
    parts.set_output_embeddings(FusedHead(kernels, named["head"]))
    embedding = named.get("embedding") or named["head"]
    parts.set_input_embeddings(FusedEmbedding(kernels, embedding))
    # The rotary tables are computed, not stored.
    decoder.rotary_emb = type(decoder.rotary_emb)(model.config)
    rest = {n.removeprefix("rest."): t for n, t in tensors.items() if n.startswith("rest.")}
    model.load_state_dict(rest, assign=True)
    if left := [name for name, t in _all_tensors(model) if t.is_meta]:
        raise FilesUnusable(f"it lacks {', '.join(left)}")


def _named_matrices(decoder: FusedDecoder, model: Any) -> Iterator[tuple[str, PackedLinear]]:
    for i, layer in enumerate(decoder.layers):
        for name in _LINEARS:
            yield f"layers.{i}.{name}", getattr(layer, name)
    (head,) = model.get_output_embeddings().packed
    (embedding,) = model.get_input_embeddings().packed
    yield "head", head
    if embedding is not head:
        yield "embedding", embedding


def _packed(tensors: dict[str, Tensor], name: str, shape: list[int]) -> PackedLinear:
    scheme, num_outputs, num_inputs = shape
    parts: Any = {p: tensors.get(f"{name}.{_STORED_NAMES.get(p, p)}") for p in PARTS}
    return PackedLinear(Scheme(scheme), num_outputs, num_inputs, **parts)


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    """Hashes only the beginning of each tensor, so that a large file is not read."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.flatten()[:64].view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _all_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
