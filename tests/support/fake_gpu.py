"""A GPU whose numbers are the test's."""

from dataclasses import replace
from typing import Any

from llm_service.engine import GpuUse
from tests.support.fake_engine import INFO, LOCAL

ON_GPU = replace(INFO, local=replace(LOCAL, device="cuda"))


class FakeGpu:
    """Implements `llm_service.observability.gpu.ReadGpu`."""

    def __init__(self) -> None:
        self._use = GpuUse("0", 5000, 4000, 0.75)
        self.is_lost = False
        self.num_reads = 0

    def change(self, **values: Any) -> None:
        self._use = replace(self._use, **values)

    def __call__(self) -> GpuUse:
        self.num_reads += 1
        if self.is_lost:
            raise RuntimeError("CUDA error: device lost")
        return self._use
