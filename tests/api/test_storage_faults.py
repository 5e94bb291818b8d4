"""The service starts and serves without its database, says what is missing, and heals.

Full and read-only disks are small file systems of the test's own, which only root can mount.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from llm_service.access import opening
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

CHAT = "/v1/chat/completions"
BODY = {"model": "pocket", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
STRANGER = "llms_nobody-has-this-key"
WAIT_SECONDS = 30


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MIN_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(opening, "MAX_PAUSE_SECONDS", 0.1)


def until(is_reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def service_at(state: Path, *, has_static_keys: bool = True) -> RunningService:
    keys = {} if has_static_keys else {"admin_key": None}
    return RunningService(state, engine=FakeEngine(), **keys)


def status_of(service: RunningService, key: str | None) -> int:
    with service.client(key) as http:
        return http.post(CHAT, json=BODY).status_code


def health(service: RunningService, key: str | None = None) -> tuple[int, dict[str, Any]]:
    with service.client(key) as http:
        answer = http.get("/health")
        return answer.status_code, answer.json()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Half a MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this container may not mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert os.statvfs(folder).f_bavail == 0
    return filler


class Faults:
    """Each makes the state folder unusable; `mend` undoes it. `why` is what callers are told."""

    why: ClassVar[str]

    def __init__(self, state: Path) -> None:
        self.state = state
        self.file = state / "service.sqlite"

    def make(self) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        raise NotImplementedError


class NotADatabase(Faults):
    why = "the file is not an SQLite database"

    def make(self) -> None:
        self.state.mkdir()
        self.file.write_bytes(b"this is somebody's letter, and no database" * 300)

    def mend(self) -> None:
        assert self.file.read_bytes() == b"this is somebody's letter, and no database" * 300
        self.file.unlink()


class Damaged(Faults):
    """A database whose pages after the first are garbage."""

    why = "the file is damaged"

    def make(self) -> None:
        self.state.mkdir()
        with sqlite3.connect(self.file) as db:
            db.execute("CREATE TABLE precious (x)")
            db.executemany("INSERT INTO precious VALUES (?)", [("y" * 500,)] * 100)
        db.close()
        whole = self.file.read_bytes()
        # The schema's page keeps its header only.
        self.broken = whole[:100] + b"\xff" * 4000 + whole[4100:]
        self.file.write_bytes(self.broken)

    def mend(self) -> None:
        assert self.file.read_bytes() == self.broken
        self.file.unlink()


class NoFolder(Faults):
    why = "the file cannot be opened"

    def make(self) -> None:
        self.state.write_text("a file where the folder should be")

    def mend(self) -> None:
        assert self.state.read_text() == "a file where the folder should be"
        self.state.unlink()


@pytest.mark.parametrize("kind", [NotADatabase, Damaged, NoFolder])
def test_keys_of_the_settings_work_without_the_database_and_it_heals(
    tmp_path: Path, kind: type[Faults], capfd: pytest.CaptureFixture[str]
) -> None:
    fault = kind(tmp_path / "state")
    fault.make()
    sentence = f"The key database cannot be read: {kind.why}."
    with service_at(fault.state) as service:
        assert sentence in capfd.readouterr().out  # banner
        assert status_of(service, ADMIN_KEY) == 200
        assert status_of(service, None) == 401
        with service.client(STRANGER) as http:
            refused = http.post(CHAT, json=BODY)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "key_store_unavailable"
            assert refused.json()["error"]["message"] == sentence
        for key in (None, STRANGER, ADMIN_KEY):
            status, answer = health(service, key)
            assert (status, answer["status"]) == (200, "ok")
            assert answer["warnings"][0] == f"{sentence} Stored keys do not work until it can be."
        with service.client() as http:
            assert "llm_key_database_up 0.0" in http.get("/metrics").text
            assert http.get("/api/keys").status_code == 503
        fault.mend()
        until(lambda: "warnings" not in health(service)[1])
        assert status_of(service, STRANGER) == 401
        with service.client() as http:
            assert "llm_key_database_up 1.0" in http.get("/metrics").text
            made = http.post("/api/keys", json={"name": "late", "scopes": ["inference"]}).json()
        assert status_of(service, made["key"]) == 200


def test_without_any_key_it_says_so_and_makes_the_first_admin_key_when_it_can(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fault = NotADatabase(tmp_path / "state")
    fault.make()
    sentence = f"The key database cannot be read: {fault.why}."
    with service_at(fault.state, has_static_keys=False) as service:
        assert status_of(service, STRANGER) == 503
        assert health(service) == (503, {"status": "unavailable", "reason": sentence})
        with service.client(None) as http:
            assert http.get("/healthz").status_code == 200
        assert "llms_" not in capfd.readouterr().out
        fault.mend()
        until(lambda: health(service)[0] == 200)
        output = ""

        def is_told() -> bool:
            nonlocal output
            output += capfd.readouterr().out
            return "llms_" in output

        until(is_told)
        [secret] = re.findall(r"llms_[\w-]{43}", output)
        assert status_of(service, secret) == 200


def test_a_database_that_breaks_while_it_serves_heals_too(tmp_path: Path) -> None:
    with service_at(tmp_path / "state") as service:
        with service.client() as http:
            made = http.post("/api/keys", json={"name": "early", "scopes": ["inference"]}).json()
        file, away = tmp_path / "state", tmp_path / "away"
        service.app.state.runtime.keys.database.close()
        file.rename(away)
        file.write_text("not a folder")
        assert status_of(service, STRANGER) == 503
        assert health(service, STRANGER)[0] == 200
        assert status_of(service, ADMIN_KEY) == 200
        file.unlink()
        away.rename(file)
        until(lambda: "warnings" not in health(service)[1])
        assert status_of(service, made["key"]) == 200


def test_a_full_disk_at_the_start_is_named_and_heals(small_disk: Path) -> None:
    filler = fill(small_disk)
    with service_at(small_disk / "state") as service:
        assert status_of(service, ADMIN_KEY) == 200
        [warning, *_] = health(service)[1]["warnings"]
        assert "the disk is full" in warning
        filler.unlink()
        until(lambda: "warnings" not in health(service)[1])


def test_a_disk_that_fills_up_keeps_keys_valid_and_says_what_cannot_be_written(
    small_disk: Path,
) -> None:
    with service_at(small_disk / "state") as service:
        with service.client() as http:
            made = http.post("/api/keys", json={"name": "early", "scopes": ["inference"]}).json()
            filler = fill(small_disk)
            refused = [
                http.post("/api/keys", json={"name": f"late-{number}", "scopes": ["inference"]})
                for number in range(200)
            ][-1]
            assert refused.status_code == 503
            assert refused.json()["error"]["message"] == (
                "The key database cannot be written: the disk is full. Nothing was changed."
            )
        assert status_of(service, made["key"]) == 200
        assert health(service)[0] == 200
        filler.unlink()
        with service.client() as http:
            again = http.post("/api/keys", json={"name": "again", "scopes": ["inference"]})
            assert again.status_code == 201


def test_a_read_only_disk_serves_keys_of_the_settings(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with service_at(small_disk / "state") as service:
        assert status_of(service, ADMIN_KEY) == 200
        assert "the file system is read-only" in json.dumps(health(service)[1])
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        until(lambda: "warnings" not in health(service)[1])


def test_a_postgresql_that_does_not_answer_ends_no_start(tmp_path: Path) -> None:
    url = SecretStr("postgresql+psycopg://llm:SENTINEL@127.0.0.1:1/llm")
    with RunningService(tmp_path, engine=FakeEngine(), database_url=url) as service:
        assert status_of(service, ADMIN_KEY) == 200
        told = json.dumps(health(service)[1])
        assert "the database server does not answer" in told
        assert "SENTINEL" not in told
        assert "127.0.0.1" not in told


def test_the_first_key_is_told_also_when_the_model_does_not_load(
    tmp_path: Path,
) -> None:
    environment = {
        **os.environ,
        "LLM_STATE_DIR": str(tmp_path / "state"),
        "LLM_MODEL_ID": str(tmp_path / "no-model"),
        "LLM_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "llm_service", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"llms_[\w-]{43}", done.stdout)
