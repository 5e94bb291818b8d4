"""Quantized linear layers without kernels: the same rounding, multiplied by torch."""

from torch import Tensor
from torch.nn.functional import linear, pad

from llm_service.engine.kernels.packing import Scheme, round_channels, round_groups
from llm_service.engine.kernels.quantized import QuantizedLinear

# The lower bound of a row's peak, so that 127 divided by it is finite.
_LEAST_PEAK = 1e-30


class TorchLinear(QuantizedLinear):
    """x W^T + b, with W [num_outputs, num_inputs] in 8 or 4 bits and x in 8 bits per row.

    Weights of 4 bits take a byte each.
    """

    _values: Tensor
    _scales: Tensor
    _bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, scheme: Scheme) -> None:
        outputs, inputs = weight.shape
        super().__init__(inputs, outputs, weight.dtype, has_bias=bias is not None)
        rounded = round_channels if scheme is Scheme.INT8 else round_groups
        values, scales = rounded(weight)
        self.register_buffer("_values", values, persistent=False)
        self.register_buffer("_scales", scales, persistent=False)
        self.register_buffer("_bias", None if bias is None else bias.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., num_inputs] of any float type in, [..., num_outputs] of the same type out."""
        rows = x.reshape(-1, self.in_features).float()
        peaks = rows.abs().amax(dim=1, keepdim=True).clamp(min=_LEAST_PEAK)
        rounded = (rows * (127 / peaks)).round_() * (peaks / 127)
        weight = (self._values * self._scales.unsqueeze(-1).float()).flatten(1)
        rounded = pad(rounded, (0, weight.shape[1] - self.in_features))
        return linear(rounded, weight, self._bias).to(x.dtype).view(*x.shape[:-1], -1)
