"""The paged KV cache: for each layer one tensor of blocks.

Owns the memory. It does not know which block belongs to whom (`block_manager`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What one layer keeps per position: a key and a value for each of its KV heads."""

    num_kv_heads: int
    head_dim: int


class KVCache:
    """`keys[i]` and `values[i]` are [num_blocks + 1, block_size, num_kv_heads, head_dim].

    The last block is `null_block`: it is never written, and pads block tables. In int8 each
    head of each position has a scale, in `key_scales[i]` and `value_scales[i]`
    [num_blocks + 1, block_size, num_kv_heads]; only fused layers read and write that.
    """

    def __init__(
        self,
        layers: Sequence[LayerShape],
        num_blocks: int,
        block_size: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.block_size = block_size
        self.block_bytes = block_bytes(layers, block_size, dtype)
        self.null_block = num_blocks
        self._layers = [
            _zeros((2, num_blocks + 1, block_size, s.num_kv_heads, s.head_dim), dtype, device)
            for s in layers
        ]
        self.keys = [layer[0] for layer in self._layers]
        self.values = [layer[1] for layer in self._layers]
        self._scales = [
            _zeros((2, num_blocks + 1, block_size, s.num_kv_heads), torch.float32, device)
            for s in layers
            if dtype is torch.int8
        ]
        self.key_scales = [scales[0] for scales in self._scales]
        self.value_scales = [scales[1] for scales in self._scales]
        # [num_slots, num_kv_heads, head_dim]: a slot is block * block_size + offset
        self._key_slots = [keys.flatten(0, 1) for keys in self.keys]
        self._value_slots = [values.flatten(0, 1) for values in self.values]

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Store `key` and `value`, each [num_tokens, num_kv_heads, head_dim], at `slots`."""
        self._key_slots[layer].index_copy_(0, slots, key)
        self._value_slots[layer].index_copy_(0, slots, value)

    def clear(self, blocks: Tensor) -> None:
        """Zero `blocks`. Attention multiplies masked positions by 0, and 0 * NaN is NaN:

        what a failed sequence left behind must not reach the next owner of its blocks.
        """
        for layer in (*self._layers, *self._scales):
            layer.index_fill_(1, blocks, 0)


def block_bytes(layers: Sequence[LayerShape], block_size: int, dtype: torch.dtype) -> int:
    """Memory of one block over all layers, keys and values."""
    return block_size * sum(position_bytes(shape, dtype) for shape in layers)


def position_bytes(shape: LayerShape, dtype: torch.dtype) -> int:
    """Key and value of one position in one layer."""
    per_head = shape.head_dim * dtype.itemsize
    if dtype is torch.int8:
        per_head += torch.float32.itemsize  # the scale
    return 2 * shape.num_kv_heads * per_head


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # calloc: the kernel gives zero pages, and gives them only when they are first written.
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    return torch.from_numpy(np.zeros(num_bytes, dtype=np.uint8)).view(dtype).view(shape)
