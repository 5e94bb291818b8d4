"""The stack under test: a compose project of its own, on free ports, thrown away at the end."""

import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx2 as httpx

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")

# A command that hangs should fail the test, not the whole run.
COMMAND_SECONDS = 600
WAIT_SECONDS = 120
POLL_SECONDS = 0.2


def docker(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Standard output of a docker command that must succeed."""
    result = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    assert result.returncode == 0, f"docker {' '.join(arguments)}: {result.stderr[-3000:]}"
    return result.stdout


def eventually(get: Callable[[], T | None], what: str, seconds: float = WAIT_SECONDS) -> T:
    """Ask until the answer is true; containers send no events that say so."""
    ends = time.monotonic() + seconds
    while True:
        if answer := get():
            return answer
        assert time.monotonic() < ends, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


class Stack:
    """docker-compose.yml as a project of its own."""

    def __init__(self, name: str, *, without: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.seconds_to_healthy = 0.0
        self.load_per_core = 0.0  # while it started
        ports = _free_ports(3)
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.api_url = f"http://127.0.0.1:{ports[1]}"
        self.grafana_url = f"http://127.0.0.1:{ports[2]}"
        self.env = {
            "COMPOSE_PROJECT_NAME": name,
            "DASHBOARD_PORT": str(ports[0]),
            "SERVICE_PORT": str(ports[1]),
            "GRAFANA_PORT": str(ports[2]),
            "LLM_SUBNET": f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}",
            "LLM_MEMORY_LIMIT": "3g",
            "LLM_MODEL_ID": "",
        }
        services = self.compose("config", "--services").split()
        self.services = sorted(set(services) - without)

    def compose(self, *arguments: str) -> str:
        return docker("compose", *arguments, env=self.env)

    def up(self, *arguments: str) -> None:
        """Start what is not running, and wait until all of it is healthy."""
        long_running = [name for name in self.services if name != "secrets"]
        wait = ["--wait", "--wait-timeout", str(COMMAND_SECONDS - 30)]
        self.compose("up", "--detach", "--no-build", *wait, *arguments, *long_running)

    def scale(self, replicas: int) -> None:
        self.up("--no-recreate", "--scale", f"llm_service={replicas}")

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "30")

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """What `docker inspect` says of each; without names, of all, those that ended too."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        answer: list[dict[str, Any]] = json.loads(docker("inspect", *ids))
        return answer

    def run(self, service: str, *command: str) -> str:
        """A command in a running container of `service`."""
        return self.compose("exec", "-T", service, *command)

    def shown_secrets(self) -> tuple[str, str]:
        """The key with every scope and Grafana's password, as `make key` shows them."""
        words = self.compose("run", "--rm", "--no-deps", "-T", "secrets")
        key, password = re.findall(r"^(?:API|Grafana).*\s(\S+)$", words, re.MULTILINE)
        return key, password

    def new_key(self, name: str, rpm: int) -> str:
        return self.run(
            "llm_service", "llm-service", "keys", "create", "--name", name, "--rpm", str(rpm)
        ).strip()

    def client(self, key: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120)

    def query(self, expression: str) -> dict[str, float]:
        """What Prometheus says now, by instance."""
        path = httpx.URL("/api/v1/query", params={"query": expression})
        url = f"http://127.0.0.1:9090{path}"
        answer = json.loads(self.run("prometheus", "wget", "-q", "-O", "-", url))
        return {
            series["metric"].get("instance", ""): float(series["value"][1])
            for series in answer["data"]["result"]
        }


def complete(http: httpx.Client) -> int:
    """The status of the shortest of all requests."""
    body = {"model": "pocket", "prompt": "Hi", "max_tokens": 1}
    return http.post("/v1/completions", json=body).status_code


def burst(stack: Stack, key: str, requests: int) -> list[int]:
    """Statuses of `requests` requests, sent as fast as they go."""
    with stack.client(key) as http, ThreadPoolExecutor(24) as pool:
        return list(pool.map(lambda _: complete(http), range(requests)))


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
