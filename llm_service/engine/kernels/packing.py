"""Packs weights into the layout that the kernels read: panels of 16 channels (csrc/linear.h).

Owns the schemes: how weights are rounded, and how they lie in memory.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from llm_service.engine.kernels import library

PANEL = 16
GROUP = 32  # inputs that share a scale, in 4 bits
PARTS = ("weights", "scales", "sums", "lower", "error_bounds", "bias")
_ROWS = 1024  # packed at a time; whole panels
_DEVIATIONS = 6


class Scheme(IntEnum):
    """linear.h's."""

    FLOAT32 = 0
    BFLOAT16 = 1
    INT8 = 2
    INT4 = 3
    PLANES = 4  # INT8's numbers, with upper and lower bits in separate arrays


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """A matrix [num_outputs, num_inputs], packed. `struct` points into the tensors.

    INT8 and PLANES have `scales` [n]; those of INT4 are in its panels. INT8 has `sums` [n], of the
    weights of each channel. PLANES has `lower`, the lower bits, and `error_bounds` [n], of results
    computed without them.
    """

    scheme: Scheme
    num_outputs: int
    num_inputs: int
    weights: Tensor
    scales: Tensor | None = None
    sums: Tensor | None = None
    lower: Tensor | None = None
    error_bounds: Tensor | None = None
    bias: Tensor | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}

    @property
    def struct(self) -> library.Linear:
        return library.Linear(
            scheme=self.scheme,
            n=_padded(self.num_outputs, PANEL),
            k=_padded(self.num_inputs, GROUP),
            num_outputs=self.num_outputs,
            **{name: tensor.data_ptr() for name, tensor in self.tensors.items()},
        )

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


@cache  # a model has few shapes, many times over
def packed_parts(
    num_outputs: int, num_inputs: int, scheme: Scheme
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The shape and type of each tensor of a packed matrix without bias."""
    one_panel = _pack_rows(torch.empty(PANEL, num_inputs, device="meta"), scheme)
    num_panels = _padded(num_outputs, PANEL) // PANEL
    return {
        name: ((num_panels * part.shape[0], *part.shape[1:]), part.dtype)
        for name, part in one_panel.items()
    }


def bias_shape(num_outputs: int) -> tuple[int, ...]:
    """The shape of a packed matrix' bias, which is float32."""
    return (_padded(num_outputs, PANEL),)


def pack(weight: Tensor, bias: Tensor | None, scheme: Scheme) -> PackedLinear:
    """`weight` [num_outputs, num_inputs] of any float type, `bias` [num_outputs].

    A part of the rows at a time: a large vocabulary in float32 would take more memory than the
    packed matrix.
    """
    num_outputs, num_inputs = weight.shape
    n = _padded(num_outputs, PANEL)
    tensors: dict[str, Tensor] = {}
    for first in range(0, num_outputs, _ROWS):
        rows = weight[first : first + _ROWS]
        for name, part in _pack_rows(rows, scheme).items():
            width = _padded(len(rows), PANEL) // len(part)  # 1, or PANEL where a part has panels
            if name not in tensors:
                tensors[name] = part.new_empty(n // width, *part.shape[1:])
            tensors[name][first // width : first // width + len(part)] = part
    if bias is not None:
        tensors["bias"] = pad(bias.float(), (0, n - num_outputs))
    return PackedLinear(scheme, num_outputs, num_inputs, **tensors)


def _pack_rows(weight: Tensor, scheme: Scheme) -> dict[str, Tensor]:
    """A PackedLinear's tensors."""
    n, k = _padded(weight.shape[0], PANEL), _padded(weight.shape[1], GROUP)
    padded = pad(weight, (0, k - weight.shape[1], 0, n - weight.shape[0]))
    if scheme is Scheme.FLOAT32:
        return {"weights": padded.float().view(-1, PANEL, k).transpose(1, 2).contiguous()}
    if scheme is Scheme.BFLOAT16:
        return {"weights": _panels(padded.bfloat16(), 2).contiguous()}
    if scheme is Scheme.INT4:
        return {"weights": _pack_groups(padded)}
    values, scales = round_channels(padded)
    if scheme is Scheme.PLANES:
        return {"scales": scales} | _planes(values, scales)
    sums = values.sum(dim=1, dtype=torch.int32)
    return {"weights": _panels(values, 4).contiguous(), "scales": scales, "sums": sums}


def _planes(values: Tensor, scales: Tensor) -> dict[str, Tensor]:
    """The upper and the lower bits of `values` [n, k], and bounds of what the lower ones add."""
    whole = values.to(torch.int16) + 128
    upper, lower = (whole >> 4).to(torch.uint8), (whole & 15).to(torch.uint8)
    return {
        "weights": _nibbles(upper.view(len(values), -1, GROUP)).contiguous(),
        "lower": _nibbles(lower.view(len(values), -1, GROUP)).contiguous(),
        "error_bounds": _error_bounds(values.float(), lower.float() - 7.5) * scales,
    }


def _error_bounds(values: Tensor, rests: Tensor) -> Tensor:
    """Bounds [n] of |rests @ x| for inputs x of norm 1: probabilistic, far below the worst case.

    The component of a rest along its channel counts in full, since inputs that give a large
    result point along the channel. The component across is random to the inputs, and counts as
    _DEVIATIONS standard deviations.
    """
    along: Tensor = (rests * values).sum(dim=1) / values.norm(dim=1).clamp(min=1.0)
    across = (rests.square().sum(dim=1) - along.square()).clamp(min=0.0).sqrt()
    spread: Tensor = across * (_DEVIATIONS / math.sqrt(values.shape[1]))
    return spread + along.abs()


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """Alternating panels of two matrices [n, ...], n a multiple of 16: [2 n, ...]."""
    pairs = torch.stack([m.view(-1, PANEL, *m.shape[1:]) for m in (first, second)], dim=1)
    return pairs.flatten(0, 2)


def _panels(values: Tensor, width: int) -> Tensor:
    """[n, k] -> [n/16, k/width, 16, width]"""
    n, k = values.shape
    return values.view(n // PANEL, PANEL, k // width, width).transpose(1, 2)


def round_channels(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values [n, k] and float32 scales [n]: the largest weight of a channel becomes 127."""
    weight = weight.float()
    scales = weight.abs().amax(dim=1) / 127
    divisor = torch.where(scales > 0, scales, 1.0)
    return (weight / divisor[:, None]).round_().to(torch.int8), scales


def round_groups(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values, -8 to 7, [n, groups, 32] and bfloat16 scales [n, groups].

    The weight with the largest magnitude becomes -8: the scale has the opposite of its sign.
    """
    weight = pad(weight, (0, _padded(weight.shape[1], GROUP) - weight.shape[1]))
    groups = weight.float().view(len(weight), -1, GROUP)
    at = groups.abs().argmax(dim=2, keepdim=True)
    scales = (groups.gather(2, at)[:, :, 0] / -8).bfloat16()
    divisor = torch.where(scales != 0, scales, 1.0).float()[:, :, None]
    return (groups / divisor).round_().clamp_(-8, 7).to(torch.int8), scales


def _pack_groups(weight: Tensor) -> Tensor:
    """uint8 [n/16, k/32, 288]: 16 scales, then 256 bytes of `_nibbles`."""
    values, scales = round_groups(weight)
    n, groups = scales.shape
    nibbles = _nibbles((values + 8).view(torch.uint8))
    scale_bytes = scales.view(n // PANEL, PANEL, groups).transpose(1, 2).contiguous()
    return torch.cat([scale_bytes.view(torch.uint8), nibbles], dim=2)


def _nibbles(values: Tensor) -> Tensor:
    """Numbers of 4 bits [n, k/32, 32], packed as bytes [n/16, k/32, 256] (csrc/linear.h)."""
    n, groups, _ = values.shape
    parts = values.view(n // PANEL, PANEL, groups, 2, 4, 4)
    low, high = parts.permute(3, 0, 2, 4, 1, 5).flatten(3)
    bytes_: Tensor = low | (high << 4)
    return bytes_


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
