"""Turns the hidden states of a text's tokens into one vector.

The steps are those of sentence-transformers' modules, which models for embeddings are made with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
POOLING_MODES: tuple[PoolingMode, ...] = get_args(PoolingMode)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": nn.functional.gelu,
    "SiLU": nn.functional.silu,
    "Sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer on the pooled vector."""

    weight: Tensor  # [num_outputs, num_inputs]
    bias: Tensor | None
    activation: str  # a name in ACTIVATIONS

    def __call__(self, vectors: Tensor) -> Tensor:
        made = nn.functional.linear(vectors, self.weight, self.bias)
        return ACTIVATIONS[self.activation](made)

    @property
    def num_bytes(self) -> int:
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)


@dataclass(frozen=True, slots=True)
class Normalize:
    """Scales vectors to length 1."""

    def __call__(self, vectors: Tensor) -> Tensor:
        return normalize(vectors, dim=-1)


@dataclass(frozen=True, slots=True)
class EmbeddingHead:
    """Pools the hidden states in each of `modes`, joins the results, and applies `steps`."""

    modes: Sequence[PoolingMode]
    steps: Sequence[Dense | Normalize]

    def __call__(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Return vectors [texts, dimensions] in float32.

        `hidden` is [texts, tokens, width]; text i has `lengths[i]` tokens, and padding after them.
        """
        hidden = hidden.float()
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        mask = (positions < lengths[:, None]).unsqueeze(-1)
        vectors = torch.cat([_pool(hidden, mask, lengths, mode) for mode in self.modes], dim=-1)
        for step in self.steps:
            vectors = step(vectors)
        return vectors

    @property
    def num_bytes(self) -> int:
        return sum(step.num_bytes for step in self.steps if isinstance(step, Dense))


def _pool(hidden: Tensor, mask: Tensor, lengths: Tensor, mode: PoolingMode) -> Tensor:
    rows = torch.arange(len(hidden), device=hidden.device)
    counts = lengths[:, None].to(hidden.dtype)
    match mode:
        case "cls":
            return hidden[:, 0]
        case "lasttoken":
            return hidden[rows, lengths - 1]
        case "max":
            return hidden.masked_fill(~mask, -torch.inf).amax(dim=1)
        case "mean":
            return (hidden * mask).sum(dim=1) / counts
        case "mean_sqrt_len_tokens":
            return (hidden * mask).sum(dim=1) / counts.sqrt()
        case "weightedmean":
            places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
            weights = mask * places[None, :, None].to(hidden.dtype)
            return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
