"""Weights in the form that the kernels read: panels of 16 channels (csrc/linear.h).

Owns the schemes: how weights are rounded, and how they lie in memory.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor
from torch.nn.functional import pad

from llm_service.engine.batched.kernels import library

PANEL = 16
GROUP = 32  # inputs that share a scale, in 4 bits
_ROWS = 4096  # packed at a time; whole panels


class Scheme(IntEnum):
    """linear.h's."""

    FLOAT32 = 0
    BFLOAT16 = 1
    INT8 = 2
    INT4 = 3


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """A matrix [num_outputs, num_inputs], packed. `struct` points into the tensors.

    scales and sums [n] are those of INT8; INT4 has its scales in the panels.
    """

    scheme: Scheme
    num_outputs: int
    num_inputs: int
    weights: Tensor
    scales: Tensor | None
    sums: Tensor | None
    bias: Tensor | None

    @property
    def struct(self) -> library.Linear:
        return library.Linear(
            scheme=self.scheme,
            n=_padded(self.num_outputs, PANEL),
            k=_padded(self.num_inputs, GROUP),
            num_outputs=self.num_outputs,
            weights=self.weights.data_ptr(),
            scales=None if self.scales is None else self.scales.data_ptr(),
            sums=None if self.sums is None else self.sums.data_ptr(),
            bias=None if self.bias is None else self.bias.data_ptr(),
        )

    @property
    def num_bytes(self) -> int:
        parts = (self.weights, self.scales, self.sums, self.bias)
        return sum(part.nbytes for part in parts if part is not None)


def pack(weight: Tensor, bias: Tensor | None, scheme: Scheme) -> PackedLinear:
    """`weight` [num_outputs, num_inputs] of any float type, `bias` [num_outputs].

    Some rows at a time: a large vocabulary in float32 would take more than all that is kept.
    """
    num_outputs, num_inputs = weight.shape
    blocks = [_pack_rows(rows, scheme) for rows in torch.split(weight, _ROWS)]
    weights, scales, sums = (
        None if parts[0] is None else parts[0] if len(parts) == 1 else torch.cat(parts)
        for parts in zip(*blocks, strict=True)
    )
    assert weights is not None
    if bias is not None:
        bias = pad(bias.float(), (0, _padded(num_outputs, PANEL) - num_outputs))
    return PackedLinear(scheme, num_outputs, num_inputs, weights, scales, sums, bias)


def _pack_rows(weight: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Panels, and for INT8 scales and sums [n]."""
    n, k = _padded(weight.shape[0], PANEL), _padded(weight.shape[1], GROUP)
    padded = pad(weight, (0, k - weight.shape[1], 0, n - weight.shape[0]))
    if scheme is Scheme.FLOAT32:
        return padded.float().view(-1, PANEL, k).transpose(1, 2).contiguous(), None, None
    if scheme is Scheme.BFLOAT16:
        return _panels(padded.bfloat16(), 2).contiguous(), None, None
    if scheme is Scheme.INT4:
        return _pack_groups(padded), None, None
    values, scales = round_channels(padded)
    return _panels(values, 4).contiguous(), scales, values.sum(dim=1, dtype=torch.int32)


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """Panels of two matrices [n, ...] in turns, n a multiple of 16: [2 n, ...]."""
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

    The weight of the largest size becomes -8, whatever its sign: the scale takes that.
    """
    weight = pad(weight, (0, _padded(weight.shape[1], GROUP) - weight.shape[1]))
    groups = weight.float().view(len(weight), -1, GROUP)
    at = groups.abs().argmax(dim=2, keepdim=True)
    scales = (groups.gather(2, at)[:, :, 0] / -8).bfloat16()
    divisor = torch.where(scales != 0, scales, 1.0).float()[:, :, None]
    return (groups / divisor).round_().clamp_(-8, 7).to(torch.int8), scales


def _pack_groups(weight: Tensor) -> Tensor:
    """uint8 [n/16, k/32, 288]: 16 scales, then four times 16 channels' 4 + 4 inputs."""
    values, scales = round_groups(weight)
    n, groups = scales.shape
    parts = (values + 8).view(torch.uint8).view(n // PANEL, PANEL, groups, 2, 4, 4)
    low, high = parts.permute(3, 0, 2, 4, 1, 5).flatten(3)
    scale_bytes = scales.view(n // PANEL, PANEL, groups).transpose(1, 2).contiguous()
    return torch.cat([scale_bytes.view(torch.uint8), low | (high << 4)], dim=2)


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
