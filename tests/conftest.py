"""Shared by all tests: the async backend, and one service on the bundled model."""

import os
from collections.abc import Iterator

import openai
import pytest

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
