"""Reads the memory and utilization of the engine's GPU through torch."""

import torch

from llm_service.engine import GpuUse


def gpu_use() -> GpuUse:
    """Return the use of the current CUDA device. Raises RuntimeError if there is none."""
    index = torch.cuda.current_device()
    free, total = torch.cuda.mem_get_info(index)
    return GpuUse(
        gpu=str(index),
        memory_used_bytes=total - free,
        reserved_bytes=torch.cuda.memory_reserved(index),
        utilization_ratio=_utilization_ratio(index),
    )


def _utilization_ratio(index: int) -> float | None:
    try:
        return torch.cuda.utilization(index) / 100
    # Missing nvidia-ml-py, MIG and some containers each raise a different error.
    except Exception:
        return None
