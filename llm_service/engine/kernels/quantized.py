"""A quantized linear layer whose weights can be read like those of a plain one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

# Attributes and methods of a weight that do not read its numbers.
FACTS = frozenset(
    getattr(Tensor, name) if callable(getattr(Tensor, name)) else getattr(Tensor, name).__get__
    for name in (
        "dtype", "device", "shape", "ndim", "is_cuda", "is_cpu", "is_meta", "layout",
        "requires_grad", "size", "dim", "numel", "element_size", "is_floating_point",
    )
)  # fmt: skip


class QuantizedLinear(nn.Module):
    """A linear layer whose weight and bias can be read, as some models do besides calling it.

    Reading type, device or shape is free; numbers are computed at each use, which is slow.
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, dtype: torch.dtype, *, has_bias: bool
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = num_inputs, num_outputs
        self._dtype, self._has_bias = dtype, has_bias

    @property
    def weight(self) -> Tensor:
        """[out_features, in_features], rounded."""
        return _lazy(self._read_weight, (self.out_features, self.in_features), self._dtype)

    @property
    def bias(self) -> Tensor | None:
        return _lazy(self._read_bias, (self.out_features,), self._dtype) if self._has_bias else None

    @torch.inference_mode()
    def _read_weight(self) -> Tensor:
        """Multiply the unit matrix, whose rows are not changed by the rounding of inputs."""
        product: Tensor = self(torch.eye(self.in_features)) - self(torch.zeros(1, self.in_features))
        return product.T.to(self._dtype)

    @torch.inference_mode()
    def _read_bias(self) -> Tensor:
        bias: Tensor = self(torch.zeros(1, self.in_features))[0]
        return bias.to(self._dtype)


class _LazyTensor(Tensor):
    """A placeholder for the tensor that `make` returns; calls it only where numbers are used."""

    make: Callable[[], Tensor]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in FACTS:
            args, kwargs = tree_map_only(_LazyTensor, lambda lazy: lazy.make(), (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def _lazy(make: Callable[[], Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    tensor: Any = torch.zeros((), dtype=dtype).expand(shape).as_subclass(_LazyTensor)
    tensor.make = make
    lazy: Tensor = tensor
    return lazy
