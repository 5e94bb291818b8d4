"""What torch says of a GPU, as the service tells it."""

import pytest
import torch

from llm_service.engine import GpuUse
from llm_service.engine.gpu import gpu_use


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """torch's second GPU, of 1000 bytes; 700 of them are free."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: {1: (700, 1000)}[index])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: {1: 200}[index])
    monkeypatch.setattr(torch.cuda, "utilization", lambda index: {1: 25}[index])
    return monkeypatch


@pytest.mark.usefixtures("cuda")
def test_what_is_not_free_is_used_and_percents_are_shares() -> None:
    assert gpu_use() == GpuUse("1", 300, 200, 0.25)


def test_a_gpu_that_does_not_tell_how_busy_it_is_tells_its_memory(
    cuda: pytest.MonkeyPatch,
) -> None:
    def refuse(index: int) -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    cuda.setattr(torch.cuda, "utilization", refuse)
    assert gpu_use() == GpuUse("1", 300, 200, None)
