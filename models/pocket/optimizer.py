"""Owns the optimisers: Muon for the matrices of the layers, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from models.pocket import parallel

# Newton-Schulz coefficients of the Muon paper: fast to an almost orthogonal matrix.
_COEFFICIENTS = (3.4445, -4.775, 2.0315)
_ITERATIONS = 5


def _orthogonal(update: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    wide: Tensor = update if update.shape[0] <= update.shape[1] else update.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide if update.shape[0] <= update.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, in float32: most CPUs have no fast bfloat16."""

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float, decay: float) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            aims = [self._aim(weight, group["momentum"]) for weight in group["params"]]
            steps = parallel.shared(_orthogonal, aims)
            for weight, step in zip(group["params"], steps, strict=True):
                rate = group["lr"] * max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"]).add_(step, alpha=-rate)

    def _aim(self, weight: Tensor, momentum: float) -> Tensor:
        """Gradient with Nesterov momentum, kept by every worker."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        assert weight.grad is not None
        average: Tensor = state["momentum"]
        average.lerp_(weight.grad, 1 - momentum)
        return torch.lerp(weight.grad, average, momentum)


class Optimizers:
    """Both optimisers, driven by one factor on their learning rates."""

    def __init__(
        self, model: nn.Module, inner: list[nn.Parameter], matrix_rate: float, other_rate: float
    ) -> None:
        """`inner` are the matrices of the layers."""
        chosen = {id(p) for p in inner}
        others = [p for p in model.parameters() if id(p) not in chosen]
        self._rates = (matrix_rate, other_rate)
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            Muon(inner, matrix_rate, momentum=0.95, decay=0.05),
            torch.optim.AdamW(others, other_rate, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self, factor: float) -> None:
        for part, rate in zip(self._parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
