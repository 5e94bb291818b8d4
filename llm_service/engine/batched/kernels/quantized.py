"""What a quantized linear layer answers to code that asks a plain one for its weights."""

import math

import torch
from torch import Tensor, nn


class QuantizedLinear(nn.Module):
    """A linear layer that tells the type, device and shape of its weights, but not their numbers.

    Some models cast what they give to a layer to the type of its weights.
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, dtype: torch.dtype, *, has_bias: bool
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = num_inputs, num_outputs
        self._dtype, self._has_bias = dtype, has_bias

    @property
    def weight(self) -> Tensor:
        """Not a number everywhere, so that nothing computed from it passes for a result."""
        return torch.tensor(math.nan, dtype=self._dtype).expand(self.out_features, self.in_features)

    @property
    def bias(self) -> Tensor | None:
        return torch.tensor(math.nan).expand(self.out_features) if self._has_bias else None
