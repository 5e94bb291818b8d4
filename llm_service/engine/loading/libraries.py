"""Whether there is memory for torch and transformers: asked before they are imported.

An import that runs into the memory limit is killed without a word.
"""

from llm_service import machine
from llm_service.engine.loading.model_files import ModelLoadError

# What importing them adds to a process, pages of their files left out.
LIBRARIES_BYTES = 240 * 2**20


def refuse_without_room() -> None:
    """Raises ModelLoadError where the import alone could not succeed."""
    free = machine.memory_use().available_bytes
    if free < LIBRARIES_BYTES:
        raise ModelLoadError(
            f"Only {machine.readable(free)} of memory are free here, and PyTorch alone takes"
            f" {machine.readable(LIBRARIES_BYTES)}: give the service more memory."
        )
