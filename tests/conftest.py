"""Shared by all tests: the async backend, and one service on the bundled model."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from llm_service.control_groups import ROOT
from llm_service.machine import Machine
from tests.support.service import ADMIN_KEY, RunningService

# Tests, and the services that they start, build the kernels with warnings as errors.
os.environ.setdefault("KERNELS_FLAVOUR", "strict")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest test, the browser's, first: the other worker does the rest meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The bundled model on a real socket; the same for all tests, so leave it as it was."""
    with RunningService(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=ADMIN_KEY, max_retries=0) as client:
        yield client


_WITHOUT = {  # the instructions that LLM_KERNELS rules out
    "portable": {"avx2", "avx512f", "avx512_vnni"},
    "avx2": {"avx512f", "avx512_vnni"},
}.get(os.environ.get("LLM_KERNELS", ""), set())


@pytest.fixture(scope="session", autouse=True)
def this_cpu_has_what_llm_kernels_names() -> Iterator[None]:
    """LLM_KERNELS chooses the kernels of services; make tests in this process follow it."""
    detect = Machine.detect

    def limited(root: Path = ROOT) -> Machine:
        machine = detect(root)
        if root != ROOT:
            return machine
        return replace(machine, cpu_flags=machine.cpu_flags - _WITHOUT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "detect", limited)
        yield
