"""What the kernel reports about this process and its limits, read at each scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from llm_service import machine


class MachineCollector(Collector):
    """Memory by kind and throttling, read at each look; the limits, read once at the start."""

    def __init__(self) -> None:
        # The engine is sized by them at the start too, and finding them takes milliseconds.
        self._memory_limit = machine.memory_use().limit_bytes
        self._cpu_limit = machine.cpu_cores()

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        memory = machine.process_memory()
        kinds = GaugeMetricFamily(
            "llm_process_memory_bytes",
            "Resident memory of the process, as the kernel splits it.",
            labels=["type"],
        )
        kinds.add_metric(["anon"], memory.anon_bytes)
        kinds.add_metric(["file"], memory.file_bytes)
        kinds.add_metric(["shmem"], memory.shmem_bytes)
        yield kinds
        yield GaugeMetricFamily(
            "llm_memory_limit_bytes",
            "Memory that the process may use: the container's limit or the machine's memory.",
            self._memory_limit,
        )
        yield GaugeMetricFamily(
            "llm_cpu_limit_cores",
            "Cores that the process may use: the quota, the cpuset or the machine's cores.",
            self._cpu_limit,
        )
        yield CounterMetricFamily(
            "llm_cpu_throttled_seconds_total",
            "Time that the CPU quota held the process back; no sample where it is not counted.",
            machine.throttled_seconds(),
        )
