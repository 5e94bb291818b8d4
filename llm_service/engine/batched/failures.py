"""Tells a step that found no memory from a step that failed otherwise."""

import torch

from llm_service.engine.kernels.library import KernelError, Status
from llm_service.errors import EngineFailed, OutOfMemory

# How torch's allocator for the CPU begins; it raises a plain RuntimeError.
_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


def failure_of(error: Exception) -> EngineFailed:
    """Return what to tell the requests that were in flight when a step raised `error`."""
    if _is_out_of_memory(error):
        return OutOfMemory("The engine ran out of memory while it worked on this request.")
    return EngineFailed("The engine failed while it worked on this request.")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, KernelError):
        return error.status is Status.OUT_OF_MEMORY
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _CPU_ALLOCATOR in str(error)
