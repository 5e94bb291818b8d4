"""`llm-service keys`, as a program: what is on stdout, on stderr, and its exit code."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from llm_service.access.keys import KeyStore, Scope
from llm_service.cli.keys import keys_app

pytestmark = pytest.mark.anyio


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("LLM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LLM_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def keys(*args: str) -> Result:
    result = CliRunner().invoke(keys_app, args)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return Result(result.exit_code, result.stdout, result.stderr)


async def find(state: Path, secret: str) -> str | None:
    store = KeyStore.open(state)
    key = await store.find(secret)
    store.close()
    return None if key is None else key.name


async def test_create_prints_the_key_alone_on_stdout(state: Path) -> None:
    result = keys("create", "--name", "alice", "--scopes", "inference,metrics", "--rpm", "60")
    assert result.code == 0
    assert re.fullmatch(r"llms_[\w-]{43}\n", result.out)
    assert result.err == (
        "Key 'alice' made: inference, metrics; 60 requests per minute; does not expire."
        " It is shown only now.\n"
    )
    assert await find(state, result.out.strip()) == "alice"


def test_the_program_itself_separates_the_key_from_the_words(state: Path) -> None:
    command = [sys.executable, "-m", "llm_service", "keys", "create", "--name", "alice"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"llms_[\w-]{43}\n", done.stdout)
    assert done.stderr.startswith("Key 'alice' made: inference; 600 requests per minute;")


def test_list_shows_a_table_and_never_a_secret(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_API_KEYS", "static:SENTINEL-long-enough")
    secret = keys("create", "--name", "bob", "--rpm", "0", "--expires", "2099-12-31").out.strip()
    result = keys("list")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0][-4:] == ["OLD", "SECRET", "UNTIL", "FROM"]
    assert lines[1][:3] == ["bob", "inference", "unlimited"]
    assert lines[1][-4:] == ["2100-01-01", "00:00", "-", "database"]
    assert lines[2] == ["static", "inference,metrics", "600", "-", "-", "-", "settings"]
    assert secret not in result.out
    assert "SENTINEL" not in result.out + result.err


async def test_rotate_prints_the_new_key_and_revoke_prints_none(state: Path) -> None:
    old = keys("create", "--name", "alice").out.strip()
    rotated = keys("rotate", "alice")
    assert "the old one stays valid until" in rotated.err
    assert await find(state, rotated.out.strip()) == "alice"
    assert await find(state, old) == "alice"
    revoked = keys("revoke", "alice")
    assert (revoked.code, revoked.out) == (0, "")
    assert revoked.err == "Key 'alice' revoked.\n"
    assert await find(state, rotated.out.strip()) is None
    assert await find(state, old) is None


async def test_rotate_now_ends_the_old_secret(state: Path) -> None:
    old = keys("create", "--name", "alice").out.strip()
    rotated = keys("rotate", "alice", "--now")
    assert "the old one is no longer valid" in rotated.err
    assert await find(state, old) is None
    assert await find(state, rotated.out.strip()) == "alice"


async def test_a_rotation_that_was_never_told_leaves_the_old_secret_valid(state: Path) -> None:
    """As if the program had been killed between the change and the words, twice."""
    old = keys("create", "--name", "alice").out.strip()
    keys("rotate", "alice")
    keys("rotate", "alice")
    assert await find(state, old) == "alice"


@pytest.mark.parametrize("overlap", ["a day", "-1h", "31d"])
async def test_rotate_takes_an_overlap_of_up_to_30_days(state: Path, overlap: str) -> None:
    old = keys("create", "--name", "alice").out.strip()
    assert keys("rotate", "alice", f"--overlap={overlap}").code in (1, 2)
    assert keys("rotate", "alice", "--overlap", "30d").code == 0
    assert await find(state, old) == "alice"


@pytest.mark.parametrize("name", ["anonymous", "other"])
def test_create_refuses_a_name_that_is_a_label_of_metrics(state: Path, name: str) -> None:
    made = keys("create", "--name", name)
    assert (made.code, made.out) == (1, "")
    assert "reserved" in made.err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["create", "--name", "Alice"], 1, "A name is 1 to 32"),
        (["create", "--name", "taken"], 1, "There is a key named 'taken' already."),
        (["create", "--name", "a", "--scopes", "root"], 2, "--scopes takes inference, metrics"),
        (["create", "--name", "a", "--expires", "soon"], 2, "--expires takes a duration"),
        (["create", "--name", "a", "--expires", "9999-12-31"], 2, "--expires takes a duration"),
        (["create", "--name", "a", "--expires", "2020-01-01"], 1, "The expiry is in the past."),
        (["create", "--name", "a", "--rpm", "-1"], 1, "rpm is 0 (unlimited)"),
        (["revoke", "nobody"], 1, "There is no key named 'nobody'."),
        (["rotate", "nobody"], 1, "There is no key named 'nobody'."),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    state: Path, args: list[str], code: int, words: str
) -> None:
    keys("create", "--name", "taken")
    result = keys(*args)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"error: {words}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LLM_PORT", "http", "LLM_PORT: "),
        ("LLM_ADMIN_KEY", "SENTINEL", "LLM_ADMIN_KEY: the key must have at least 16"),
        ("LLM_API_KEYS", "SENTINEL", "LLM_API_KEYS: entry 1 is not name:key"),
        ("LLM_DATABASE_URL", "SENTINEL", "LLM_DATABASE_URL cannot be used: it is not like"),
        ("LLM_DATABASE_URL", "foo://a:SENTINEL@b/c", "LLM_DATABASE_URL cannot be used: it"),
        ("LLM_DATABASE_URL", "mysql://a:SENTINEL@b/c", "LLM_DATABASE_URL cannot be used: it"),
        ("LLM_DATABASE_URL", "postgresql+x://SENTINEL@b", "LLM_DATABASE_URL cannot be used: it"),
        ("LLM_DATABASE_URL", "sqlite:////dev/null/x", "The key database cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_said_without_their_secrets(
    state: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = keys("list")
    assert result.code == 1
    assert f"error: {words}" in result.err
    assert "SENTINEL" not in result.out + result.err


@pytest.mark.parametrize(("expires", "days"), [("30d", 30), ("2w", 14), ("36h", 1.5)])
def test_an_expiry_may_be_a_duration(state: Path, expires: str, days: float) -> None:
    assert keys("create", "--name", "alice", "--expires", expires).code == 0
    [key] = KeyStore.open(state).list_keys()
    assert key.expires_at is not None
    assert key.created_at is not None
    lifetime = (key.expires_at - key.created_at).total_seconds()
    assert lifetime == pytest.approx(days * 86400, abs=2)


def test_every_command_option_and_scope_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "keys-and-limits.md").read_text("utf-8")
    program: Any = typer.main.get_command(keys_app)
    assert set(program.commands) == set(re.findall(r"llm-service keys (\w+)", text))
    options = {name for option in program.commands["create"].params for name in option.opts}
    assert options - {"--help"} == set(re.findall(r"^\| `(--\w+)`", text, re.MULTILINE))
    assert all(f"| `{scope}` |" in text for scope in Scope)
