"""Metrics of the GPU, read at each scrape. Registered only if the engine uses a GPU."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from llm_service.engine import GpuUse

ReadGpu = Callable[[], GpuUse]


class GpuCollector(Collector):
    """Yields no samples while the GPU cannot be read, so that the other metrics still work."""

    def __init__(self, read: ReadGpu) -> None:
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        memory, utilization = _families()
        try:
            use = self._read()
        except RuntimeError:
            return
        memory.add_metric([use.gpu], use.memory_used_bytes)
        yield memory
        if use.utilization_ratio is not None:
            utilization.add_metric([use.gpu], use.utilization_ratio)
            yield utilization


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "llm_gpu_memory_used_bytes", "GPU memory in use, by all processes.", labels=["gpu"]
        ),
        GaugeMetricFamily(
            "llm_gpu_utilization_ratio",
            "Share of the last moments in which the GPU computed; absent where it does not tell.",
            labels=["gpu"],
        ),
    )


def compute_bytes(read: ReadGpu, held_bytes: int) -> int:
    """GPU memory that torch reserved beyond `held_bytes`; 0 while it cannot be read."""
    try:
        return max(0, read().reserved_bytes - held_bytes)
    except RuntimeError:
        return 0
