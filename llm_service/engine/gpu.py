"""What the GPU that the engine computes on says of itself, asked through torch."""

import torch

from llm_service.engine import GpuUse


def gpu_use() -> GpuUse:
    """The current CUDA device now. Raises RuntimeError where there is none, or it is lost."""
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
    # Without nvidia-ml-py, on a part of a GPU, in some containers: each has an error of its own.
    except Exception:
        return None
