"""Reads and writes fused models in files, which are mapped into memory without a copy.

Owns the format: an ordinary model folder, except that `model.safetensors` holds packed weights,
which `config.json` describes under `llm_service`. The kernels read packed weights without checks,
so a file is used only if each of its tensors has the type and shape that config.json implies.
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

from llm_service.engine.kernels.attention import AttentionOptions
from llm_service.engine.kernels.fused import (
    FusedDecoder,
    FusedEmbedding,
    PackedLayer,
    heads_of,
    matrix_sizes,
    norm_sizes,
    why_not_fusable,
)
from llm_service.engine.kernels.head import FusedHead
from llm_service.engine.kernels.library import Kernels
from llm_service.engine.kernels.packing import (
    GROUP,
    PANEL,
    PARTS,
    PackedLinear,
    Scheme,
    bias_shape,
    packed_parts,
)

CONFIG_KEY = "llm_service"
_WEIGHTS = "model.safetensors"
_FORMAT = f"packed-2/{PANEL}/{GROUP}"  # another packing needs another name
_STORED_NAMES = {"error_bounds": "doubts"}  # of parts whose name in files is an older one
_LINEARS = ("qkv", "output", "gate_up", "down")
_NORMS = ("attention_norm", "mlp_norm", "query_norm", "key_norm")
_SCHEMES = {"8bit": Scheme.INT8, "4bit": Scheme.INT4}

TensorType = tuple[tuple[int, ...], torch.dtype]


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
        facts = cls(**{field.name: stated[field.name] for field in fields(cls)})
        if not (isinstance(facts.shapes, dict) and isinstance(facts.how, list)):
            raise FilesUnusable(f"config.json has no usable shapes and how under {CONFIG_KEY}")
        if facts.quantization not in _SCHEMES:
            raise FilesUnusable(
                f"config.json states the quantization {facts.quantization!r}, not"
                f" {' or '.join(_SCHEMES)}"
            )
        return facts


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
    """Give `model`, which is on the meta device, the weights in `folder`, mapped into memory.

    Raises FilesUnusable if they are not those that config.json describes.
    """
    parts: Any = model
    with safe_open(folder / _WEIGHTS, framework="pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    matrices = _expected_matrices(model, facts)
    options = _attention_options(model, facts)
    _refuse_other_types(tensors, _expected_types(model, matrices))
    if _fingerprint(tensors) != facts.fingerprint:
        raise FilesUnusable("its weights are not those that config.json was written for")
    named = {name: _packed(tensors, name, *matrices[name][:3]) for name in matrices}
    layers = []
    for i, each in enumerate(options):
        linears: Any = {name: named[f"layers.{i}.{name}"] for name in _LINEARS}
        norms: Any = {name: tensors.get(f"layers.{i}.{name}") for name in _NORMS}
        layers.append(PackedLayer(**linears, **norms, options=each))
    decoder = parts.get_decoder()
    heads = heads_of(decoder.layers[0])
    decoder.layers = nn.ModuleList([FusedDecoder(kernels, layers, heads)])
    parts.set_output_embeddings(FusedHead(kernels, named["head"]))
    embedding = named.get("embedding") or named["head"]
    parts.set_input_embeddings(FusedEmbedding(kernels, embedding))
    # The rotary tables are computed, not stored.
    decoder.rotary_emb = type(decoder.rotary_emb)(model.config)
    _load_rest(model, tensors)


Matrix = tuple[Scheme, int, int, bool]  # scheme, outputs, inputs, whether it has a bias


def _expected_matrices(model: PreTrainedModel, facts: Facts) -> dict[str, Matrix]:
    """The packed matrices of `model`, whose modules have the sizes that config.json states."""
    if reason := why_not_fusable(model):
        raise FilesUnusable(f"config.json is not that of a packed model: {reason}")
    parts: Any = model
    scheme = _SCHEMES[facts.quantization]
    expected: dict[str, Matrix] = {
        f"layers.{i}.{name}": (scheme, *size)
        for i, layer in enumerate(parts.get_decoder().layers)
        for name, size in matrix_sizes(layer).items()
    }
    head, embedding = parts.get_output_embeddings(), parts.get_input_embeddings()
    expected["head"] = Scheme.PLANES, head.out_features, head.in_features, head.bias is not None
    if head.weight is not embedding.weight:
        sizes = embedding.num_embeddings, embedding.embedding_dim
        expected["embedding"] = Scheme.PLANES, *sizes, False
    stated = {name: list(matrix[:3]) for name, matrix in expected.items()}
    for name in sorted(stated.keys() | facts.shapes.keys()):
        if stated.get(name) != facts.shapes.get(name):
            raise FilesUnusable(
                f"the matrix {name} is {facts.shapes.get(name, 'absent')} (scheme, outputs,"
                f" inputs), but config.json implies {stated.get(name, 'no such matrix')}"
            )
    return expected


def _attention_options(model: PreTrainedModel, facts: Facts) -> list[AttentionOptions]:
    """The stated options of each layer; heads and layers must be those of `model`."""
    parts: Any = model
    layers = parts.get_decoder().layers
    heads = heads_of(layers[0])
    for name in ("num_heads", "num_kv_heads", "head_dim", "eps"):
        if getattr(facts, name) != getattr(heads, name):
            raise FilesUnusable(
                f"{name} is {getattr(facts, name)!r} under {CONFIG_KEY}, but config.json implies"
                f" {getattr(heads, name)!r}"
            )
    if len(facts.how) != len(layers):
        raise FilesUnusable(
            f"attention is described for {len(facts.how)} layers, but config.json implies"
            f" {len(layers)}"
        )
    try:
        return [AttentionOptions(**how) for how in facts.how]
    except TypeError as error:
        raise FilesUnusable(f"the attention of a layer is not described: {error}") from error


def _expected_types(model: PreTrainedModel, matrices: dict[str, Matrix]) -> dict[str, TensorType]:
    """The shape and type of each tensor in the file, by its name there."""
    parts: Any = model
    expected: dict[str, TensorType] = {}
    for name, (scheme, num_outputs, num_inputs, has_bias) in matrices.items():
        for part, type_ in packed_parts(num_outputs, num_inputs, scheme).items():
            expected[f"{name}.{_STORED_NAMES.get(part, part)}"] = type_
        if has_bias:
            expected[f"{name}.bias"] = bias_shape(num_outputs), torch.float32
    for i, layer in enumerate(parts.get_decoder().layers):
        for name, size in norm_sizes(layer).items():
            expected[f"layers.{i}.{name}"] = (size,), torch.float32
    return expected


def _refuse_other_types(tensors: dict[str, Tensor], expected: dict[str, TensorType]) -> None:
    """Tensors named `rest` are checked where they are given to their modules."""
    packed = {name: t for name, t in tensors.items() if not name.startswith("rest.")}
    for name in sorted(expected.keys() | packed.keys()):
        if name not in packed:
            raise FilesUnusable(f"it lacks {name}")
        if name not in expected:
            raise FilesUnusable(f"it has {name}, which config.json does not imply")
        found = tuple(packed[name].shape), packed[name].dtype
        if found != expected[name]:
            raise FilesUnusable(
                f"{name} is {_type_in_words(found)}, but config.json implies"
                f" {_type_in_words(expected[name])}"
            )


def _type_in_words(type_: TensorType) -> str:
    shape, dtype = type_
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


def _load_rest(model: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
    """Give the modules that are not packed their tensors; all numbers are float32."""
    rest = {n.removeprefix("rest."): t for n, t in tensors.items() if n.startswith("rest.")}
    own = model.state_dict()
    expected = {
        name: (tuple(t.shape), torch.float32 if t.is_floating_point() else t.dtype)
        for name, t in own.items()
    }
    _refuse_other_types(rest, expected)
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


def _packed(
    tensors: dict[str, Tensor], name: str, scheme: Scheme, num_outputs: int, num_inputs: int
) -> PackedLinear:
    parts: Any = {p: tensors.get(f"{name}.{_STORED_NAMES.get(p, p)}") for p in PARTS}
    return PackedLinear(scheme, num_outputs, num_inputs, **parts)


def _fingerprint(tensors: dict[str, Tensor]) -> str:
    """Hash only the beginning of each tensor, so that a large file is not read."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.flatten()[:64].view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _all_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
