"""/api/keys: the whole life of a key over HTTP, at once, in words, and never a secret twice."""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from llm_service.access import database
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

CHAT = "/v1/chat/completions"
BODY = {"model": "pocket", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
USER_KEY = "user-key-for-tests-0123456789"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    state = tmp_path_factory.mktemp("state")
    keys = SecretStr(f"user:{USER_KEY}")
    with RunningService(state, engine=FakeEngine(), api_keys=keys, drain_seconds=1) as running:
        yield running


@pytest.fixture
def admin(running: RunningService) -> Iterator[httpx.Client]:
    with running.client() as http:
        yield http


def create(admin: httpx.Client, name: str, **options: Any) -> dict[str, Any]:
    answer = admin.post("/api/keys", json={"name": name, "scopes": ["inference"], **options})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


def listed(admin: httpx.Client, key_id: str) -> dict[str, Any]:
    keys = admin.get("/api/keys").json()["keys"]
    (key,) = [key for key in keys if key["id"] == key_id]
    return key


def status_of(running: RunningService, secret: str) -> int:
    with running.client(secret) as http:
        return http.post(CHAT, json=BODY).status_code


def test_a_new_key_is_told_once_and_works_at_once(
    running: RunningService, admin: httpx.Client
) -> None:
    expires_at = time.time() + 3600
    made = create(admin, "fresh", rpm=5, expires_at=expires_at)
    secret = made.pop("key")
    assert made["prefix"] == secret[:9]
    assert (made["name"], made["scopes"], made["rpm"]) == ("fresh", ["inference"], 5)
    assert made["expires_at"] == pytest.approx(expires_at, abs=1)
    assert made["source"] == "database"
    assert made["remaining"] == {"requests": 5, "reset_seconds": 0}
    assert status_of(running, secret) == 200
    text = admin.get("/api/keys").text
    assert secret not in text
    assert secret.removeprefix(made["prefix"]) not in text


def test_usage_and_what_remains_are_those_of_the_key(
    running: RunningService, admin: httpx.Client
) -> None:
    made = create(admin, "worker", rpm=5)
    with running.client(made["key"]) as http:
        usage = http.post(CHAT, json=BODY).json()["usage"]
        http.post(CHAT, json=BODY)
    key = listed(admin, made["id"])
    assert key["remaining"]["requests"] == 3
    assert 0 < key["remaining"]["reset_seconds"] <= 60
    assert key["usage"]["requests"] == 2
    assert key["usage"]["prompt_tokens"] == 2 * usage["prompt_tokens"]
    assert key["usage"]["output_tokens"] == 2 * usage["completion_tokens"] == 8
    assert key["last_used_at"] == pytest.approx(time.time(), abs=60)
    days = key["usage"]["last_7_days"]
    assert len(days) == 7
    today = datetime.now(UTC).date().isoformat()
    if days[-1]["date"] == today:  # else midnight has just passed
        assert days[-1] == {
            "date": today,
            "requests": 2,
            "prompt_tokens": key["usage"]["prompt_tokens"],
            "output_tokens": 8,
        }
    assert sum(day["requests"] for day in days) == 2


def test_looking_at_the_keys_charges_none(running: RunningService, admin: httpx.Client) -> None:
    made = create(admin, "watched", rpm=3)
    for _ in range(5):
        assert listed(admin, made["id"])["remaining"]["requests"] == 3


def test_keys_of_the_settings_are_listed_with_usage_and_cannot_be_changed(
    running: RunningService, admin: httpx.Client
) -> None:
    assert status_of(running, USER_KEY) == 200
    key = listed(admin, "settings:user")
    assert (key["name"], key["source"], key["prefix"]) == ("user", "settings", "")
    assert (key["rpm"], key["remaining"], key["created_at"]) == (0, None, None)
    assert key["usage"]["requests"] == 1
    for refused in (
        admin.delete("/api/keys/settings:user"),
        admin.post("/api/keys/settings:user/rotate"),
        admin.patch("/api/keys/settings:user", json={"rpm": 5}),
        admin.post("/api/keys", json={"name": "user", "scopes": ["inference"]}),
    ):
        assert refused.status_code == 409
        assert "settings" in refused.json()["error"]["message"]


def test_a_change_takes_effect_at_once(running: RunningService, admin: httpx.Client) -> None:
    made = create(admin, "changing", rpm=1)
    assert status_of(running, made["key"]) == 200
    assert status_of(running, made["key"]) == 429
    changed = admin.patch(f"/api/keys/{made['id']}", json={"rpm": 0}).json()
    assert (changed["rpm"], changed["remaining"]) == (0, None)
    assert "key" not in changed
    assert status_of(running, made["key"]) == 200
    admin.patch(f"/api/keys/{made['id']}", json={"scopes": ["metrics"]})
    assert status_of(running, made["key"]) == 403


def test_an_expiry_can_be_set_and_taken_away(admin: httpx.Client) -> None:
    made = create(admin, "lasting", expires_at=time.time() + 3600)
    changed = admin.patch(f"/api/keys/{made['id']}", json={"expires_at": None})
    assert changed.json()["expires_at"] is None


def test_a_rotated_key_has_a_new_secret_and_the_same_usage(
    running: RunningService, admin: httpx.Client
) -> None:
    made = create(admin, "rotating")
    assert status_of(running, made["key"]) == 200
    rotated = admin.post(f"/api/keys/{made['id']}/rotate").json()
    assert rotated["id"] == made["id"]
    assert rotated["usage"]["requests"] == 1
    assert rotated["old_secret_valid_until"] == pytest.approx(time.time() + 24 * 3600, abs=60)
    assert listed(admin, made["id"])["old_secret_valid_until"] == rotated["old_secret_valid_until"]
    assert status_of(running, made["key"]) == 200
    assert status_of(running, rotated["key"]) == 200


def test_a_key_that_leaked_is_rotated_without_an_overlap(
    running: RunningService, admin: httpx.Client
) -> None:
    made = create(admin, "leaked")
    earlier = admin.post(f"/api/keys/{made['id']}/rotate", json={"overlap_seconds": 60}).json()
    rotated = admin.post(f"/api/keys/{made['id']}/rotate", json={"overlap_seconds": 0}).json()
    assert rotated["old_secret_valid_until"] is None
    assert status_of(running, made["key"]) == 401
    assert status_of(running, earlier["key"]) == 401
    assert status_of(running, rotated["key"]) == 200


@pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "a day"])
def test_an_overlap_out_of_range_changes_nothing(
    running: RunningService, admin: httpx.Client, overlap: object
) -> None:
    made = create(admin, f"odd-{len(str(overlap))}")
    refused = admin.post(f"/api/keys/{made['id']}/rotate", json={"overlap_seconds": overlap})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "overlap_seconds"
    assert listed(admin, made["id"])["old_secret_valid_until"] is None
    assert status_of(running, made["key"]) == 200


@pytest.mark.parametrize("name", ["anonymous", "other"])
def test_a_name_that_is_a_label_of_metrics_is_refused(admin: httpx.Client, name: str) -> None:
    refused = admin.post("/api/keys", json={"name": name, "scopes": ["inference"]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "name"
    assert "reserved" in refused.json()["error"]["message"]


def test_a_revoked_key_stops_at_once_and_stays_listed(
    running: RunningService, admin: httpx.Client
) -> None:
    made = create(admin, "leaving", rpm=5)
    assert status_of(running, made["key"]) == 200
    revoked = admin.delete(f"/api/keys/{made['id']}")
    assert revoked.status_code == 200
    assert status_of(running, made["key"]) == 401
    key = listed(admin, made["id"])
    assert key["revoked_at"] == pytest.approx(time.time(), abs=60)
    assert key["remaining"] is None
    assert key["usage"]["requests"] == 1
    again = admin.delete(f"/api/keys/{made['id']}")
    assert again.status_code == 409
    assert "was revoked on" in again.json()["error"]["message"]
    assert create(admin, "leaving")["id"] != made["id"]


def test_the_newest_key_is_first_and_those_of_the_settings_last(admin: httpx.Client) -> None:
    create(admin, "newest")
    keys = admin.get("/api/keys").json()["keys"]
    sources = [key["source"] for key in keys]
    assert sources == sorted(sources)
    stored = [key["created_at"] for key in keys if key["source"] == "database"]
    assert stored == sorted(stored, reverse=True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "Bad Name", "scopes": ["inference"]}, "name"),
        ({"name": "ok", "scopes": []}, "scopes"),
        ({"name": "ok", "scopes": ["root"]}, "scopes.0"),
        ({"name": "ok"}, "scopes"),
        ({"name": "ok", "scopes": ["inference"], "rpm": -1}, "rpm"),
        ({"name": "ok", "scopes": ["inference"], "rpm": 1_000_001}, "rpm"),
        ({"name": "ok", "scopes": ["inference"], "rpm": 1.5}, "rpm"),
        ({"name": "ok", "scopes": ["inference"], "expires_at": 1}, "expires_at"),
        ({"name": "ok", "scopes": ["inference"], "expires_at": 1e300}, "expires_at"),
        ({"name": "ok", "scopes": ["inference"], "key": "mine"}, "key"),
    ],
)
def test_what_makes_no_key_is_400_by_the_fields_name(
    admin: httpx.Client, body: dict[str, Any], param: str
) -> None:
    refused = admin.post("/api/keys", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"rpm": None}, "rpm"),
        ({"scopes": None}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"expires_at": 1}, "expires_at"),
        ({"name": "other"}, "name"),
    ],
)
def test_what_makes_no_change_is_400(
    admin: httpx.Client, body: dict[str, Any], param: str | None
) -> None:
    name = f"steady-{time.monotonic_ns()}"[:32]
    made = create(admin, name)
    refused = admin.patch(f"/api/keys/{made['id']}", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    made.pop("key")
    assert listed(admin, made["id"]) == made


def test_a_name_that_is_taken_is_409_and_an_unknown_id_404(admin: httpx.Client) -> None:
    create(admin, "taken")
    taken = admin.post("/api/keys", json={"name": "taken", "scopes": ["inference"]})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "conflict")
    assert taken.json()["error"]["param"] == "name"
    for refused in (
        admin.delete("/api/keys/key_0"),
        admin.post("/api/keys/key_0/rotate"),
        admin.patch("/api/keys/key_0", json={"rpm": 1}),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


def test_only_the_scope_admin_opens_keys(running: RunningService) -> None:
    with running.client(USER_KEY) as user:
        refusals = [
            user.get("/api/keys"),
            user.post("/api/keys", json={"name": "mine", "scopes": ["admin"]}),
            user.patch("/api/keys/x", json={"rpm": 0}),
            user.post("/api/keys/x/rotate"),
            user.delete("/api/keys/x"),
        ]
    assert {refusal.status_code for refusal in refusals} == {403}


def test_the_log_says_who_changed_which_key_and_no_secret(admin: httpx.Client) -> None:
    with capture_logs() as logs:
        made = create(admin, "audited")
        rotated = admin.post(f"/api/keys/{made['id']}/rotate").json()
        admin.patch(f"/api/keys/{made['id']}", json={"rpm": 3})
        admin.delete(f"/api/keys/{made['id']}")
    events = [(line["event"], line["by"]) for line in logs if line.get("name") == "audited"]
    assert events == [
        ("key created", "admin"),
        ("key rotated", "admin"),
        ("key changed", "admin"),
        ("key revoked", "admin"),
    ]
    for secret in (made["key"], rotated["key"], ADMIN_KEY):
        assert secret not in repr(logs)


def test_the_last_admin_key_cannot_be_given_away(tmp_path: Path) -> None:
    with RunningService(tmp_path, engine=FakeEngine(), admin_key=None) as service:
        secret = service.app.state.runtime.new_admin_key
        with service.client(secret) as http:
            (key,) = http.get("/api/keys").json()["keys"]
            refused = http.delete(f"/api/keys/{key['id']}")
            assert refused.status_code == 409
            assert "the last one with the scope 'admin'" in refused.json()["error"]["message"]
            narrowed = http.patch(f"/api/keys/{key['id']}", json={"scopes": ["inference"]})
            assert narrowed.status_code == 409
            rotated = http.post(f"/api/keys/{key['id']}/rotate").json()
        with service.client(rotated["key"]) as http:
            assert http.get("/api/keys").status_code == 200


def test_usage_outlives_a_restart_and_a_database_that_was_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(database, "_SQLITE_BUSY_SECONDS", 1)
    with RunningService(tmp_path, engine=FakeEngine()) as service, service.client() as http:
        made = create(http, "lasting")
        with closing(sqlite3.connect(tmp_path / "service.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert status_of(service, ADMIN_KEY) == 200
            assert status_of(service, made["key"]) == 200
            service.app.state.runtime.usage.write()
            assert status_of(service, made["key"]) == 200
            assert "It is kept in memory" in caplog.text
            other.execute("ROLLBACK")
    with RunningService(tmp_path, engine=FakeEngine()) as service, service.client() as http:
        assert listed(http, made["id"])["usage"]["requests"] == 2
        assert listed(http, "settings:admin")["usage"]["requests"] == 1
