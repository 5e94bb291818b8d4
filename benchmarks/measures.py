"""What contenders are compared in: each measure a cell of the same client, and the figure of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llm_service.bench.load import Cell, Figures


@dataclass(frozen=True, slots=True)
class Measure:
    """`figure` takes the value from what a cell gave; None: seen while the server ran."""

    label: str
    unit: str
    better: Literal["more", "less"]
    cell: Cell | None = None
    figure: Callable[[Figures], float] | None = None


def _prefill_speed(figures: Figures) -> float:
    """Prompt tokens per second until the first token is there, over HTTP."""
    return float(figures["prompt_tokens"] / figures["ttft_p50"])


MEASURES = {
    "decode_1": Measure(
        "decode, 1 stream",
        "tok/s",
        "more",
        Cell(1, 128, 128, 2),
        lambda figures: float(figures["decode_tokens_per_s"]),
    ),
    "streams_16": Measure(
        "16 streams, 128 in, 128 out",
        "tok/s",
        "more",
        Cell(16, 128, 128, 16),
        lambda figures: float(figures["output_tokens_per_s"]),
    ),
    "prefill_512": Measure(
        "prefill, 512 tokens", "tok/s", "more", Cell(1, 512, 1, 3), _prefill_speed
    ),
    "prefill_2048": Measure(
        "prefill, 2,048 tokens", "tok/s", "more", Cell(1, 2048, 1, 3), _prefill_speed
    ),
    "warm_prefix": Measure(
        "TTFT after a shared prefix of 1,024",
        "s",
        "less",
        Cell(1, 1088, 1, 3, shared_prefix=1024),
        lambda figures: float(figures["ttft_p50"]),
    ),
    "ready": Measure("start to first answer", "s", "less"),
    "memory": Measure("peak anonymous memory", "GB", "less"),
}
