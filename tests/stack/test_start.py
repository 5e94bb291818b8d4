"""The stack starts by itself, closed and without a default that anyone could know."""

import json
import re
import socket
import subprocess

import httpx2 as httpx
import psutil
import pytest

from llm_service.api.dashboard import SECURITY_HEADERS
from tests.stack.compose import Stack, complete, docker, eventually
from tests.stack.conftest import HEALTHY_SECONDS

pytestmark = pytest.mark.stack


def test_all_is_healthy_within_90_seconds(stack: Stack) -> None:
    for container in stack.containers(*stack.services):
        state = container["State"]
        if container["Config"]["Labels"]["com.docker.compose.service"] == "secrets":
            assert (state["Status"], state["ExitCode"]) == ("exited", 0)
        else:
            assert state["Health"]["Status"] == "healthy", container["Name"]
    # Of a machine that has nothing else to do: where others want its cores, it takes longer.
    assert stack.seconds_to_healthy < HEALTHY_SECONDS * max(1.0, stack.load_per_core)


def test_no_process_is_root_and_none_has_a_capability(stack: Stack) -> None:
    for container in stack.containers(*stack.services):
        name, host = container["Name"], container["HostConfig"]
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        if container["State"]["Running"]:
            _header, *processes = docker("top", container["Id"], "-eo", "pid,uid").splitlines()
            assert processes, name
            assert "0" not in {process.split()[1] for process in processes}, name
        else:
            assert container["Config"]["User"] not in ("", "0", "root"), name


@pytest.mark.parametrize("service", ["llm_service", "dashboard", "redis", "prometheus"])
def test_the_root_file_system_cannot_be_written_to(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    for path in ("/made", "/etc/made", "/usr/made"):
        # As root, for whom no file mode stands in the way.
        command = ["docker", "exec", "--user", "0", container["Id"], "touch", path]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode != 0, path
        assert "Read-only file system" in result.stderr
    docker("exec", container["Id"], "touch", "/tmp/made")


def test_memory_processes_and_logs_are_bounded(stack: Stack) -> None:
    for container in stack.containers(*stack.services):
        name, host = container["Name"], container["HostConfig"]
        assert 0 < host["Memory"] <= 4 * 2**30, name
        assert 0 < host["PidsLimit"] <= 512, name
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}, name
    (service,) = stack.containers("llm_service")
    assert service["HostConfig"]["Memory"] == 3 * 2**30  # LLM_MEMORY_LIMIT=3g
    assert service["Config"]["StopTimeout"] > 20 + 5  # LLM_DRAIN_SECONDS, and uvicorn's margin


def test_nothing_listens_beyond_this_machine(stack: Stack) -> None:
    published = {
        (port["HostIp"], port["HostPort"])
        for container in stack.containers(*stack.services)
        for ports in container["NetworkSettings"]["Ports"].values()
        for port in ports or []
    }
    names = ["DASHBOARD_PORT", "SERVICE_PORT"] + ["GRAFANA_PORT"] * ("grafana" in stack.services)
    assert published == {("127.0.0.1", stack.env[name]) for name in names}
    others = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    for address in others:
        with socket.socket() as probe:
            probe.settimeout(5)
            assert probe.connect_ex((address, int(stack.env["DASHBOARD_PORT"]))) != 0, address


def test_redis_and_prometheus_cannot_reach_out(stack: Stack) -> None:
    """Not even a server on the network that is the service's way out, which the service reaches."""

    def reaches(service: str, *command: str) -> bool:
        (container,) = stack.containers(service)
        command = ("docker", "exec", container["Id"], *command)
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    network = f"{stack.name}_egress"
    (prometheus,) = stack.containers("prometheus")
    image = prometheus["Config"]["Image"]
    server = docker("run", "--detach", "--network", network, image).strip()
    try:
        (facts,) = json.loads(docker("inspect", server))
        outside = (
            f"http://{facts['NetworkSettings']['Networks'][network]['IPAddress']}:9090/-/ready"
        )
        ask = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)"
        eventually(lambda: reaches("llm_service", "python", "-c", ask, outside), "the way out")
        for service in ("redis", "prometheus"):
            wget = ("wget", "-q", "-T", "5", "-O", "/dev/null")
            assert reaches(service, *wget, "http://prometheus:9090/-/ready"), service
            assert not reaches(service, *wget, outside), service
    finally:
        docker("rm", "--force", "--volumes", server)


def test_secrets_are_made_per_installation_and_kept(stack: Stack) -> None:
    other = Stack(f"{stack.name}_other")
    try:
        ours, theirs = stack.shown_secrets(), other.shown_secrets()
        assert not set(ours) & set(theirs)
        assert all(len(secret) >= 32 for secret in (*ours, *theirs))
        assert stack.shown_secrets() == ours
        assert other.shown_secrets() == theirs
    finally:
        other.down()


def test_no_password_or_key_stands_in_a_file_or_an_environment(stack: Stack) -> None:
    shown = set(stack.shown_secrets())
    for container in stack.containers(*stack.services):
        assert not any(secret in " ".join(container["Config"]["Env"]) for secret in shown)
    with stack.client() as http:
        for guess in ("", "admin", "changeme", "llm-service", "secret", "test"):
            headers = {"Authorization": f"Bearer {guess}"} if guess else {}
            assert http.get("/v1/models", headers=headers).status_code == 401


def test_each_container_can_read_its_own_secret_and_no_other(stack: Stack) -> None:
    readable = {
        name: stack.run(
            name, "sh", "-c", "cd /run/secrets/llm; for f in *; do test -r $f && echo $f; done; :"
        ).split()
        for name in ("llm_service", "prometheus")
    }
    assert readable["prometheus"] == ["metrics_token"]
    assert {"admin_key", "metrics_token"} <= set(readable["llm_service"])
    mounts = [mount["Destination"] for mount in stack.containers("dashboard")[0]["Mounts"]]
    assert not any(path.startswith("/run/secrets") for path in mounts)


@pytest.mark.parametrize("address", ["url", "api_url"])
def test_the_dashboard_and_its_files_come_with_a_strict_policy(stack: Stack, address: str) -> None:
    with httpx.Client(base_url=getattr(stack, address)) as http:
        page = http.get("/", headers={"Accept": "text/html"})
        files = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        assert len(files) >= 3
        for path in ("/", *files):
            answer = http.get(path, headers={"Accept": "text/html,*/*"})
            assert answer.status_code == 200, path
            for name, value in SECURITY_HEADERS.items():
                assert answer.headers[name] == value, (path, name)
        assert "immutable" in http.get(files[-1]).headers["Cache-Control"]
        assert page.headers["Cache-Control"] == "no-cache"
        facts = http.get("/").json()  # to what is no browser
        assert facts["service"] == "llm_service"
        assert "behind nginx, as in the compose stack, it is this address" in facts["dashboard"]


def test_prometheus_scrapes_the_service_with_its_own_key(stack: Stack) -> None:
    eventually(
        lambda: list(stack.query('up{job="llm_service"}').values()) == [1],
        "one target that is up",
    )
    eventually(lambda: set(stack.query("llm_ready").values()) == {1}, "llm_ready")


def test_the_key_that_prometheus_has_opens_metrics_and_nothing_else(stack: Stack) -> None:
    token = stack.run("prometheus", "cat", "/run/secrets/llm/metrics_token").strip()
    with stack.client(token) as http:
        assert http.get("/metrics").status_code == 200
        assert complete(http) == 403
        assert http.get("/v1/models").status_code == 403
        assert http.get("/api/keys").status_code == 403


def test_grafana_asks_for_the_password_that_was_made(stack: Stack, has_grafana: bool) -> None:
    if not has_grafana:
        pytest.skip("Grafana's image cannot be had here")
    password = stack.shown_secrets()[1]
    with httpx.Client(base_url=stack.grafana_url) as http:
        assert http.get("/api/org").status_code == 401
        assert http.get("/api/org", auth=("admin", "admin")).status_code == 401
        assert http.get("/api/org", auth=("admin", password)).status_code == 200
        found = http.get("/api/search?type=dash-db", auth=("admin", password)).json()
        assert len(found) >= 2


def test_a_client_cannot_make_up_its_address(stack: Stack) -> None:
    # Last of all: for a minute after it nobody gets in without a key.
    statuses = []
    with stack.client() as http:
        for number in range(80):
            headers = {"X-Forwarded-For": f"203.0.113.{number}", "Authorization": "Bearer wrong"}
            statuses.append(http.get("/v1/models", headers=headers).status_code)
            if statuses[-1] == 429:
                break
    assert statuses[-1] == 429  # LLM_IP_RATE_LIMIT=60/minute
    # Nor does it count against others: the health check comes from an address of its own.
    stack.run("llm_service", "python", "healthcheck.py")
