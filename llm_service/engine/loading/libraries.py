"""Checks that there is memory for torch and transformers before they are imported.

A process that runs into its memory limit during the import is killed without a message.
"""

from llm_service import machine
from llm_service.engine.loading.model_files import ModelLoadError

# What importing them adds to a process, not counting pages of their files.
LIBRARIES_BYTES = 240 * 2**20


def refuse_without_room() -> None:
    """Raises ModelLoadError if there is not enough memory for the import alone."""
    free = machine.memory_use().available_bytes
    if free < LIBRARIES_BYTES:
        raise ModelLoadError(
            f"Only {machine.readable(free)} of memory are free here, and PyTorch alone takes"
            f" {machine.readable(LIBRARIES_BYTES)}: give the service more memory."
        )
