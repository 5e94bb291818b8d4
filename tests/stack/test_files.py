"""What can be said of the stack's files without starting them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from llm_service.access.keys import KeyStore
from llm_service.api.dashboard import SECURITY_HEADERS
from llm_service.api.handlers import NEVER_KEPT
from llm_service.cli.serve import SHUTDOWN_MARGIN_SECONDS
from llm_service.config import Settings
from llm_service.observability.middleware import DEFAULT_HEADERS
from tests.stack.compose import ROOT

COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NGINX = ROOT / "dashboard" / "nginx"

# Fixed by the image or by the secrets: setting them, too, would be an error or would hide them.
NOT_PASSED_ON = {"HOST", "PORT", "STATE_DIR"}


def test_every_setting_can_be_given_to_the_stack() -> None:
    environment = SERVICES["llm_service"]["environment"]
    given = {name.removeprefix("LLM_").removesuffix("_FILE") for name in environment}
    missing = {name.upper() for name in Settings.model_fields} - NOT_PASSED_ON - given
    assert not missing, "add them to x-settings in docker-compose.yml"
    unknown = {name for name in environment if name.startswith("LLM_")} - {
        f"LLM_{name.upper()}{suffix}" for name in Settings.model_fields for suffix in ("", "_FILE")
    }
    assert not unknown


def test_every_variable_of_the_compose_file_is_explained_in_the_example_and_no_other() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    used |= set(COMPOSE["x-settings"]) - {f"LLM_{name.upper()}" for name in Settings.model_fields}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#(\w+)=", example, re.MULTILINE)) == used | {"LLM_MODEL_ID"}


def test_the_example_gives_the_defaults_that_the_compose_file_has() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^#(\w+)=(.*)$", example, re.MULTILINE))
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE_TEXT):
        assert shown[name] == default, name


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert not service.get("privileged")
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def test_images_are_pinned_and_need_no_frontend_from_elsewhere() -> None:
    for name, service in SERVICES.items():
        if not service["image"].startswith("llm_service/"):
            assert re.search(r":v?\d+[\w.-]*$", service["image"]), name
    for path in (ROOT / "Dockerfile", ROOT / "dashboard" / "Dockerfile"):
        text = path.read_text(encoding="utf-8")
        assert "# syntax" not in text
        bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
        stages = re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE)
        assert all(base in stages or ":" in base for base in bases)
        assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)


def test_the_images_that_build_the_dashboard_have_its_release_notes() -> None:
    assert "!CHANGELOG.md" in (ROOT / ".dockerignore").read_text().splitlines()
    for path in (ROOT / "Dockerfile", ROOT / "dashboard" / "Dockerfile"):
        stage = path.read_text(encoding="utf-8").split("npm run --silent build")[0]
        assert "\nWORKDIR /dashboard\n" in stage
        assert "\nCOPY CHANGELOG.md /\n" in stage, "the dashboard imports it from the folder above"


def test_a_container_is_stopped_later_than_the_service_has_drained() -> None:
    default = Settings.model_fields["drain_seconds"].default
    for name in ("llm_service", "dashboard"):
        grace = re.search(r":-(\d+)s}", SERVICES[name]["stop_grace_period"])
        assert grace is not None
        assert int(grace[1]) > default + SHUTDOWN_MARGIN_SECONDS, name


def test_nginx_waits_longer_than_the_service_may_take() -> None:
    timeout = re.search(r"proxy_read_timeout (\d+)h;", (NGINX / "proxy.conf").read_text())
    assert timeout is not None
    assert int(timeout[1]) * 3600 > Settings.model_fields["request_timeout_seconds"].default


def test_nginx_sends_the_same_security_headers_as_the_service() -> None:
    text = (NGINX / "security-headers.conf").read_text(encoding="utf-8")
    sent = re.findall(r'^add_header (\S+) (?:"([^"]+)"|(\S+)) always;$', text, re.MULTILINE)
    assert {name: quoted or plain for name, quoted, plain in sent} == SECURITY_HEADERS


def test_what_nginx_answers_itself_has_the_headers_of_the_services_answers() -> None:
    text = (NGINX / "no-store.conf").read_text(encoding="utf-8")
    sent = re.findall(r"^add_header (\S+) (\S+) always;$", text, re.MULTILINE)
    assert dict(sent) == NEVER_KEPT
    assert {(name.lower().encode(), value.encode()) for name, value in sent} == set(DEFAULT_HEADERS)
    answers = re.findall(r"location [^{]+ \{([^{}]*)return", (NGINX / "nginx.conf").read_text())
    assert len(answers) >= 4
    assert all("include no-store.conf;" in answer for answer in answers)


def test_nginx_lets_through_the_headers_that_the_service_takes_and_no_more() -> None:
    text = (NGINX / "nginx.conf").read_text(encoding="utf-8")
    buffers = re.search(r"large_client_header_buffers (\d+) (\d+)k;", text)
    timeout = re.search(r"client_header_timeout (\d+)s;", text)
    assert buffers is not None
    assert timeout is not None
    fields = Settings.model_fields
    assert int(buffers[1]) * int(buffers[2]) * 1024 == fields["max_header_bytes"].default
    assert int(timeout[1]) == fields["header_timeout_seconds"].default


def test_secrets_are_made_once_and_only_for_those_who_need_them(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import make_secrets as m, os, pathlib;"
        "m.FOLDER = pathlib.Path(sys.argv[2]);"
        "m.SERVICE_GROUP = m.PROMETHEUS_GROUP = m.GRAFANA_GROUP = os.getgid(); m.main()"
    )
    command = [sys.executable, "-B", "-c", program, str(ROOT / "docker"), str(tmp_path)]
    shown = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert shown[0].stdout == shown[1].stdout
    files = {path.name: path for path in tmp_path.iterdir()}
    assert set(files) == {"admin_key", "grafana_password", "metrics_token"}
    assert all(path.stat().st_mode & 0o777 == 0o440 for path in files.values())
    content = {name: path.read_text().strip() for name, path in files.items()}
    assert content["admin_key"] in shown[0].stdout
    assert content["metrics_token"] not in shown[0].stdout
    assert len(set(content.values())) == len(content)
    # The service takes them as they are.
    KeyStore.open(
        tmp_path,
        admin_key=SecretStr(content["admin_key"]),
        metrics_key=SecretStr(content["metrics_token"]),
    )
