"""One stack for all tests here, built from the working tree. See scripts/test-stack.sh."""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.stack.compose import Stack, docker

HEALTHY_SECONDS = 90


def is_there(image: str) -> bool:
    """Whether `image` is here or can be had."""
    for command in (["image", "inspect", image], ["pull", "--quiet", image]):
        if subprocess.run(["docker", *command], capture_output=True).returncode == 0:
            return True
    return False


@pytest.fixture(scope="session")
def has_grafana() -> bool:
    images = docker("compose", "config", "--images").split()
    return all(is_there(image) for image in images if "grafana" in image)


@pytest.fixture(scope="session")
def stack(has_grafana: bool) -> Iterator[Stack]:
    """Up and healthy, with one replica; leave it so."""
    without = frozenset() if has_grafana else frozenset({"grafana"})
    stack = Stack(f"llm_service_test_{os.getpid()}", without=without)
    docker("compose", "build", "--quiet", env=stack.env)
    try:
        started = time.monotonic()
        stack.up()
        stack.seconds_to_healthy = time.monotonic() - started
        stack.load_per_core = os.getloadavg()[1] / (os.cpu_count() or 1)
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def key(stack: Stack) -> str:
    """The key with every scope."""
    return stack.shown_secrets()[0]
