"""Exchanges a model's linear layers one by one for quantized ones.

Owns the decision which layers are exchanged. Some models read the weights of a layer in addition
to calling it; such a layer stays as it is. They are found by watching the model run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from llm_service.engine.kernels.fused import FusedLinear
from llm_service.engine.kernels.head import FusedHead
from llm_service.engine.kernels.library import Kernels
from llm_service.engine.kernels.packing import Scheme, pack
from llm_service.engine.kernels.quantized import FACTS
from llm_service.engine.kernels.torch_linear import TorchLinear
from llm_service.engine.loading.language_part import language_modules


@contextmanager
def watched(model: nn.Module) -> Iterator[set[nn.Linear]]:
    """Collect the linear layers of `model` whose weights or biases other modules read.

    Only reads within the context count, and none of a weight's type, device or shape.
    """
    read: set[nn.Linear] = set()
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    for layer in layers:
        layer.__class__ = _WatchedLinear
        layer.__dict__["_report"] = read.add
    try:
        yield read
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            del layer.__dict__["_report"]


def exchange_linears(
    model: PreTrainedModel, kernels: Kernels | None, quantization: str, kept: set[nn.Linear]
) -> None:
    """Quantize each linear layer that reads text and is not in `kept`, the head in 8 bits.

    A vision encoder stays as it is: it is small, and rounding costs it more.
    """
    parts: Any = model
    head = parts.get_output_embeddings()
    exchanged = {m for m in language_modules(model) if type(m) is nn.Linear} - kept
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child in exchanged:
                assert isinstance(child, nn.Linear)
                setattr(parent, name, _quantized(child, kernels, quantization, child is head))


def _quantized(
    child: nn.Linear, kernels: Kernels | None, quantization: str, is_head: bool
) -> nn.Module:
    scheme = Scheme.INT4 if quantization == "4bit" and not is_head else Scheme.INT8
    if kernels is None:
        return TorchLinear(child.weight, child.bias, scheme)
    dtype = child.weight.dtype
    if is_head:
        return FusedHead(kernels, pack(child.weight, child.bias, Scheme.PLANES), dtype)
    return FusedLinear(kernels, pack(child.weight, child.bias, scheme), dtype)


class _WatchedLinear(nn.Linear):
    """A linear layer that reports when other modules read its numbers."""

    def forward(self, x: Tensor) -> Tensor:
        own = self._parameters
        weight = own["weight"]
        assert weight is not None
        return linear(x, weight, own["bias"])

    def __getattr__(self, name: str) -> Any:
        value: Any = super().__getattr__(name)
        if name not in ("weight", "bias") or value is None:
            return value
        watched: Any = value.detach().as_subclass(_WatchedTensor)
        watched.report = lambda: self.__dict__["_report"](self)
        return watched


class _WatchedTensor(Tensor):
    """A weight that reports when its numbers are used."""

    report: Callable[[], None]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in FACTS:
            for value in tree_leaves((args, kwargs)):
                if isinstance(value, _WatchedTensor):
                    value.report()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))
