"""A device that is not the CPU, for machines without one: `with other_device() as device:`.

Its tensors are computed by the CPU, so their values are real, but an operation that mixes them
with the CPU's is refused, as CUDA does. CUDA itself would move an index from the CPU, silently and
slowly; here that is refused as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_NAME = "otherdevice"


class MixedDevices(Exception):
    """An operation got tensors of both devices."""


@contextmanager
def other_device() -> Iterator[torch.device]:
    if torch._C._get_privateuse1_backend_name() != _NAME:
        _setup_privateuseone_for_python_backend(_NAME)
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # else `torch.tensor(..., device=...)` is not seen
    try:
        with _Mode():
            yield torch.device(_NAME, 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


class _Held(Tensor):
    """A tensor of the other device; `held` is the CPU's that has its values."""

    held: Tensor

    def __new__(cls, held: Tensor) -> Self:
        with torch.inference_mode(held.is_inference()):
            made = Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=torch.device(_NAME, 0),
                requires_grad=held.requires_grad,
            )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        pass

    def __repr__(self) -> str:  # type: ignore[override]  # torch names an option of its own
        return f"{_NAME} {self.held!r}"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch wants this signature and has no types
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees what makes tensors, too."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = tree_leaves((args, kwargs))
    held = {id(leaf.held): leaf for leaf in leaves if isinstance(leaf, _Held)}
    named = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    is_ours = bool(held) if not named else named[0].type == _NAME
    if function is torch.ops.aten.copy_.default:
        is_ours = isinstance(args[0], _Held)
    elif held and not named and any(_is_foreign(leaf) for leaf in leaves):
        raise MixedDevices(f"{function} got tensors of {_NAME} and of the CPU")
    args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), (args, kwargs))
    args, kwargs = tree_map_only(_Held, lambda tensor: tensor.held, (args, kwargs))
    result = function(*args, **kwargs)
    if not is_ours:
        return result
    # What is changed in place stays the same tensor.
    return tree_map_only(Tensor, lambda t: held[id(t)] if id(t) in held else _Held(t), result)


def _is_foreign(leaf: Any) -> bool:
    """A tensor of the CPU; a lone number may be mixed with any device's."""
    return isinstance(leaf, Tensor) and not isinstance(leaf, _Held) and leaf.dim() > 0
