"""Keys: made once, stored as hashes, found, refused, expired, revoked, and never leaked."""

import asyncio
import hashlib
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, event

from llm_service.access import keys as keys_module
from llm_service.access.keys import ApiKey, KeyStore, KeyStoreUnavailable, Scope
from llm_service.errors import (
    AuthenticationFailed,
    Conflict,
    InvalidRequest,
    NotFound,
)

pytestmark = pytest.mark.anyio

ALL = frozenset(Scope)
INFERENCE = frozenset({Scope.INFERENCE})
STATIC = SecretStr("a-static-key-of-the-operator")


def static_store(tmp_path: Path, **settings: SecretStr) -> KeyStore:
    return KeyStore.open(tmp_path / "state", default_rpm=60, **settings)


# Stored keys


async def test_a_new_key_is_found_by_its_secret_with_all_it_was_given(store: KeyStore) -> None:
    expires_at = datetime(2100, 1, 1, tzinfo=UTC)
    made, secret = store.create("alice", frozenset({Scope.METRICS}), 7, expires_at)
    found = await store.find(secret)
    assert found == made
    assert (found.name, found.scopes, found.rpm) == ("alice", frozenset({Scope.METRICS}), 7)
    assert (found.expires_at, found.source) == (expires_at, "database")


def test_a_secret_has_256_random_bits_and_a_prefix(store: KeyStore) -> None:
    secrets = {store.create(f"key{number}", ALL)[1] for number in range(5)}
    assert len(secrets) == 5
    assert all(secret.startswith("llms_") and len(secret) == 5 + 43 for secret in secrets)


async def test_a_wrong_key_is_nobodys(store: KeyStore) -> None:
    _, secret = store.create("alice", ALL)
    for wrong in ("", "llms_", secret[:-1], secret + "x", secret.upper(), "ключ", "\udcff"):
        assert await store.find(wrong) is None


def test_only_the_hash_is_stored(store: KeyStore, tmp_path: Path) -> None:
    _, secret = store.create("alice", ALL)
    store.close()
    content = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert secret.encode() not in content
    assert secret.removeprefix("llms_").encode() not in content
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in content


def test_the_database_is_readable_by_its_owner_alone(store: KeyStore, tmp_path: Path) -> None:
    store.create("alice", ALL)
    state = tmp_path / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {path.name for path in state.iterdir()} >= {"service.sqlite"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}
    with sqlite3.connect(state / "service.sqlite") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


@pytest.mark.parametrize("name", ["", "Alice", "a b", "a.b", "a" * 33, "é", "a\n", "llms_x:y"])
def test_a_bad_name_is_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 32") as caught:
        store.create(name, ALL)
    assert caught.value.param == "name"


def test_a_name_is_taken_once(store: KeyStore) -> None:
    first, _ = store.create("alice", INFERENCE)
    with pytest.raises(Conflict, match="'alice' already"):
        store.create("alice", ALL)
    store.revoke(first.id)
    assert store.create("alice", ALL)[0].id != first.id


@pytest.mark.parametrize(
    ("scopes", "rpm", "days", "param"),
    [(frozenset(), 1, 1, "scopes"), (ALL, -1, 1, "rpm"), (ALL, 1, -1, "expires_at")],
)
def test_what_makes_no_sense_is_refused(
    store: KeyStore, scopes: frozenset[Scope], rpm: int, days: int, param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.create("alice", scopes, rpm, datetime.now(UTC) + timedelta(days=days))
    assert caught.value.param == param


def test_a_key_made_without_a_limit_gets_the_default(store: KeyStore) -> None:
    assert store.create("alice", ALL)[0].rpm == 600
    assert store.create("bob", ALL, 0)[0].rpm == 0


async def test_an_expired_key_is_refused_in_words_even_when_remembered(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, secret = store.create("alice", ALL, None, soon)
    assert await store.find(secret) is not None

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Later":
            return cls.fromtimestamp(soon.timestamp() + 1, tz)

    monkeypatch.setattr("llm_service.access.api_key.datetime", Later)
    with pytest.raises(AuthenticationFailed, match="The key 'alice' has expired on"):
        await store.find(secret)


async def test_a_revoked_key_stops_at_once(store: KeyStore) -> None:
    made, secret = store.create("alice", INFERENCE)
    assert await store.find(secret) is not None
    revoked = store.revoke(made.id)
    assert revoked.revoked_at is not None
    assert await store.find(secret) is None
    for change in (store.revoke, store.rotate):
        with pytest.raises(Conflict, match="The key 'alice' was revoked on 20"):
            change(made.id)
    with pytest.raises(NotFound, match="no key with the id 'key_0'"):
        store.revoke("key_0")


async def test_a_rotated_key_keeps_all_but_its_secret(store: KeyStore) -> None:
    made, old = store.create("alice", INFERENCE, 7)
    assert await store.find(old) is not None
    rotated, new = store.rotate(made.id)
    until = rotated.old_secret_until
    assert until is not None
    assert timedelta(hours=23, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=24)
    assert rotated == replace(made, prefix=new[:9], old_secret_until=until)
    assert await store.find(new) == rotated
    assert await store.find(old) == rotated
    with pytest.raises(NotFound, match="no key with the id 'key_0'"):
        store.rotate("key_0")


async def test_an_old_secret_ends_when_its_overlap_does(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, first = store.create("alice", INFERENCE)
    _, second = store.rotate(made.id, timedelta(hours=1))
    _, third = store.rotate(made.id, timedelta(hours=3))
    now = time.time()
    for hours, valid in ((0.5, [first, second, third]), (2, [second, third]), (4, [third])):
        monkeypatch.setattr(time, "time", lambda hours=hours: now + hours * 3600)
        store._cache.clear()
        found = [secret for secret in (first, second, third) if await store.find(secret)]
        assert found == valid
    assert store.get(made.id).old_secret_until is None


async def test_a_rotation_without_an_overlap_ends_all_old_secrets(store: KeyStore) -> None:
    made, first = store.create("alice", INFERENCE)
    _, second = store.rotate(made.id)
    rotated, third = store.rotate(made.id, timedelta(0))
    assert rotated.old_secret_until is None
    assert [bool(await store.find(secret)) for secret in (first, second, third)] == [0, 0, 1]


async def test_a_revocation_ends_old_secrets_too(store: KeyStore) -> None:
    made, old = store.create("alice", INFERENCE)
    _, new = store.rotate(made.id)
    assert store.revoke(made.id).old_secret_until is None
    assert await store.find(old) is None
    assert await store.find(new) is None


def test_a_rotation_that_is_refused_keeps_no_secret_of_it(store: KeyStore) -> None:
    made, _ = store.create("alice", INFERENCE)
    store.create("admin", ALL)
    store.revoke(made.id)
    with pytest.raises(Conflict):
        store.rotate(made.id)
    with store.database.begin() as db:
        assert db.exec_driver_sql("SELECT count(*) FROM former_secrets").scalar() == 0


# As version 0.1.0 made it.
OLD_SCHEMA = """
CREATE TABLE keys (
    id VARCHAR(32) NOT NULL, name VARCHAR(32) NOT NULL, digest VARCHAR(64) NOT NULL,
    prefix VARCHAR(16) NOT NULL, scopes VARCHAR(100) NOT NULL, rpm INTEGER NOT NULL,
    cache_salt VARCHAR(32) NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT,
    revoked_at BIGINT, PRIMARY KEY (id), UNIQUE (digest)
);
CREATE UNIQUE INDEX keys_live_name ON keys (name) WHERE revoked_at IS NULL;
CREATE TABLE usage (
    key_id VARCHAR(50) NOT NULL, day VARCHAR(10) NOT NULL, requests BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, last_used_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
);
"""


async def test_a_database_of_the_version_before_opens_and_its_keys_can_be_rotated(
    tmp_path: Path,
) -> None:
    secret = "llms_" + "x" * 43
    digest = hashlib.sha256(secret.encode()).hexdigest()
    with sqlite3.connect(tmp_path / "service.sqlite") as old:
        old.executescript(OLD_SCHEMA)
        old.execute(
            "INSERT INTO keys VALUES ('key_1', 'alice', ?, 'llms_xxxx', 'inference,admin', 7,"
            " 'salt', 1700000000, NULL, NULL)",
            [digest],
        )
    old.close()
    store = KeyStore.open(tmp_path)
    assert store.bootstrap() is None
    found = await store.find(secret)
    assert found is not None
    assert (found.name, found.rpm, found.old_secret_until) == ("alice", 7, None)
    _, new = store.rotate("key_1")
    assert await store.find(secret) == await store.find(new)
    store.close()


def test_names_that_mix_two_keys_up_are_told(tmp_path: Path) -> None:
    plain = KeyStore.open(tmp_path)
    plain.create("admin", ALL)
    made, _ = plain.create("alice", INFERENCE)
    with plain.database.begin() as db:  # as an earlier version allowed
        db.exec_driver_sql("UPDATE keys SET name = 'other' WHERE id = ?", (made.id,))
    plain.close()
    store = KeyStore.open(tmp_path, admin_key=SecretStr("an-admin-key-for-tests"))
    told = "\n".join(store.name_conflicts())
    assert "The stored key 'other' has a name that stands for no key" in told
    assert "The name 'admin' belongs to a stored key and to one of the settings" in told
    assert store.named("admin").source == "database"  # so that it can be rotated and revoked
    store.close()


async def test_a_revocation_in_another_process_is_noticed_within_two_seconds(
    store: KeyStore, tmp_path: Path
) -> None:
    made, secret = store.create("alice", INFERENCE)
    assert await store.find(secret) is not None
    code = "import sys, pathlib; from llm_service.access.keys import KeyStore;"
    code += "KeyStore.open(pathlib.Path(sys.argv[1])).revoke(sys.argv[2])"
    process = [sys.executable, "-c", code, str(tmp_path / "state"), made.id]
    await asyncio.to_thread(subprocess.run, process, check=True)
    async with asyncio.timeout(2):
        while await store.find(secret) is not None:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.05)


async def test_a_lookup_that_overlaps_a_revocation_is_not_remembered(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, secret = store.create("alice", INFERENCE)
    select = store._select

    def select_then_revoke(digest: str) -> ApiKey | None:
        key = select(digest)
        store.revoke(made.id)
        return key

    monkeypatch.setattr(store, "_select", select_then_revoke)
    await store.find(secret)
    monkeypatch.undo()
    assert await store.find(secret) is None


async def test_a_key_in_use_is_not_read_from_the_database_for_each_request(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = store.create("alice", ALL)
    queries: list[str] = []
    event.listen(store.database._engine, "before_cursor_execute", lambda *_: queries.append("q"))
    monkeypatch.setattr(keys_module, "CACHE_SECONDS", 60)
    for _ in range(50):
        assert await store.find(secret) is not None
    assert len(queries) == 1


def test_keys_are_listed_by_name_without_secrets(store: KeyStore) -> None:
    secrets = [store.create(name, ALL)[1] for name in ("carol", "alice", "bob")]
    listed = store.list_keys()
    assert [key.name for key in listed] == ["alice", "bob", "carol"]
    assert not any(secret in repr(listed) for secret in secrets)


def test_each_key_has_a_cache_salt_of_its_own_that_outlives_rotation(store: KeyStore) -> None:
    alice, _ = store.create("alice", INFERENCE)
    bob, _ = store.create("bob", ALL)
    assert alice.cache_salt != bob.cache_salt
    assert store.rotate(alice.id)[0].cache_salt == alice.cache_salt
    store.revoke(alice.id)
    assert store.create("alice", ALL)[0].cache_salt != alice.cache_salt  # another tenant


# The first start


async def test_the_first_start_makes_an_admin_key_once(store: KeyStore) -> None:
    secret = store.bootstrap()
    assert secret is not None
    found = await store.find(secret)
    assert found is not None
    assert (found.name, found.scopes, found.rpm) == ("admin", ALL, 600)
    assert store.bootstrap() is None


def test_no_admin_key_is_made_when_there_are_keys_or_one_is_given(
    store: KeyStore, tmp_path: Path
) -> None:
    store.create("alice", ALL)
    assert store.bootstrap() is None
    given = KeyStore.open(tmp_path / "other", admin_key=STATIC)
    assert given.bootstrap() is None
    assert [key.name for key in given.list_keys()] == ["admin"]
    given.close()


def test_the_first_starts_of_one_database_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Many first starts, since two of them collide now and then only."""
    num_starts = 6
    together = threading.Barrier(num_starts)

    def start(state: Path) -> str | None:
        store = KeyStore.open(state)
        together.wait()
        try:
            return store.bootstrap()
        finally:
            store.close()

    with ThreadPoolExecutor(num_starts) as threads:
        for number in range(40):
            secrets = list(threads.map(start, [tmp_path / f"{number}" / "state"] * num_starts))
            assert [secret is not None for secret in secrets].count(True) == 1


# Keys of the settings


async def test_keys_of_the_settings_are_found_with_their_scopes(tmp_path: Path) -> None:
    pairs = SecretStr(" alice:alices-secret-key-0001 , bob:bobs:secret:key-0002,")
    store = static_store(tmp_path, admin_key=STATIC, api_keys=pairs)
    admin = await store.find(STATIC.get_secret_value())
    alice = await store.find("alices-secret-key-0001")
    bob = await store.find("bobs:secret:key-0002")
    assert admin is not None
    assert alice is not None
    assert bob is not None
    assert (admin.name, admin.scopes, admin.source) == ("admin", ALL, "settings")
    assert (alice.name, alice.scopes) == ("alice", frozenset({Scope.INFERENCE, Scope.METRICS}))
    assert (bob.name, bob.rpm) == ("bob", 60)
    assert alice.cache_salt != bob.cache_salt
    assert await store.find("alices-secret-key-0002") is None
    store.close()


async def test_the_metrics_key_opens_metrics_alone(tmp_path: Path) -> None:
    store = static_store(tmp_path, metrics_key=STATIC)
    key = await store.find(STATIC.get_secret_value())
    assert key is not None
    assert (key.name, key.scopes, key.source) == (
        "prometheus",
        frozenset({Scope.METRICS}),
        "settings",
    )
    assert store.bootstrap() is not None  # nobody could manage keys with it
    store.close()


async def test_keys_of_the_settings_work_without_a_database(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:////{tmp_path}/missing\0folder/x.sqlite")
    store = static_store(tmp_path, admin_key=STATIC, database_url=url)
    assert await store.find(STATIC.get_secret_value()) is not None


def test_keys_of_the_settings_cannot_be_changed_here(tmp_path: Path) -> None:
    store = static_store(tmp_path, admin_key=STATIC)
    for change in (store.revoke, store.rotate, lambda key_id: store.change(key_id, {"rpm": 1})):
        with pytest.raises(Conflict, match="'admin' is in the settings"):
            change("settings:admin")
    with pytest.raises(Conflict, match="settings have a key named 'admin'"):
        store.create("admin", ALL)
    store.close()


@pytest.mark.parametrize(
    ("pairs", "others", "words"),
    [
        ("SENTINEL-without-a-name", {}, "entry 1 is not name:key"),
        ("ok:SENTINEL-long-enough,SENTINEL-long-enough", {}, "entry 2 is not name:key"),
        ("Bad Name:SENTINEL-long-enough", {}, "entry 1 is not name:key"),
        ("a:SENTINEL", {}, "entry 1: the key must have at least 16"),
        ("a:SENTINEL with spaces in it", {}, "entry 1: the key must have"),
        ("anonymous:SENTINEL-long-enough", {}, "entry 1 has the reserved name"),
        ("other:SENTINEL-long-enough", {}, "entry 1 has the reserved name"),
        ("a:SENTINEL-long-enough,a:SENTINEL-another-one", {}, "a name stands twice"),
        ("a:SENTINEL-long-enough,b:SENTINEL-long-enough", {}, "two names have the same key"),
        ("admin:SENTINEL-1-long-enough", {"admin_key": "SENTINEL-2-long-enough"}, "stands twice"),
        ("prometheus:SENTINEL-1-long", {"metrics_key": "SENTINEL-2-long"}, "LLM_METRICS_KEY: the"),
        ("prometheus:SENTINEL-1-longer", {"metrics_key": "SENTINEL-2-longer"}, "stands twice"),
        ("a:SENTINEL-long-enough", {"metrics_key": "SENTINEL-long-enough"}, "have the same key"),
        ("a:SENTINEL-long-enough", {"admin_key": "SENTINEL"}, "LLM_ADMIN_KEY: the key must have"),
        ("a:SENTINEL-long-enough", {"admin_key": ""}, "LLM_ADMIN_KEY: the key must have"),
    ],
)
def test_a_malformed_setting_is_refused_in_words_without_the_key(
    tmp_path: Path, pairs: str, others: dict[str, str], words: str
) -> None:
    secrets: dict[str, Any] = {name: SecretStr(secret) for name, secret in others.items()}
    with pytest.raises(ValueError, match=words) as caught:
        KeyStore.open(tmp_path, api_keys=SecretStr(pairs), **secrets)
    assert "SENTINEL" not in "".join(traceback.format_exception(caught.value))


# A database that fails


async def test_a_database_that_fails_is_503_in_words_and_lets_nobody_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = KeyStore.open(tmp_path / "file")
    for _ in range(2):
        with pytest.raises(KeyStoreUnavailable) as caught:
            await store.find("SENTINEL-key")
        assert caught.value.status == 503
        assert caught.value.message == (
            "The key database cannot be read: the file cannot be opened."
        )
    assert caplog.text.count("The key database cannot be read") == 1  # not once a request
    assert store.problem == caught.value.message
    assert "SENTINEL" not in caplog.text
    with pytest.raises(KeyStoreUnavailable):
        store.list_keys()


async def test_a_database_that_is_destroyed_while_running_is_503(
    store: KeyStore, tmp_path: Path
) -> None:
    _, secret = store.create("alice", ALL)
    store.close()  # writes the log into the file that is now destroyed
    (tmp_path / "state" / "service.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(KeyStoreUnavailable):
        await store.find(secret)


async def test_a_database_that_hangs_is_503_in_time(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(keys_module, "_LOOKUP_SECONDS", 0.1)
    monkeypatch.setattr(store, "_select", lambda _digest: release.wait(60))
    outcomes = await asyncio.gather(
        *(store.find(f"key-{number}") for number in range(20)), return_exceptions=True
    )
    release.set()
    assert [type(outcome) for outcome in outcomes] == [KeyStoreUnavailable] * 20


def test_a_failing_write_does_not_show_the_hash(
    store: KeyStore, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    made, secret = store.create("alice", ALL)
    engine = create_engine(f"sqlite:///{tmp_path}/state/service.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE keys")
    engine.dispose()
    with pytest.raises(KeyStoreUnavailable) as caught:
        store.rotate(made.id)
    everything = caplog.text + "".join(traceback.format_exception(caught.value))
    assert "no such table" in everything
    assert hashlib.sha256(secret.encode()).hexdigest() not in everything


async def test_no_secret_and_no_hash_shows_in_logs_and_reprs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pairs = SecretStr("alice:SENTINEL-alices-key")
    store = static_store(tmp_path, admin_key=SecretStr("SENTINEL-admin-key"), api_keys=pairs)
    made, secret = store.create("bob", ALL)
    store.create("carol", ALL)
    _, rotated = store.rotate(made.id)
    found = [await store.find(s) for s in ("SENTINEL-alices-key", rotated, "SENTINEL-wrong")]
    shown = repr([store, store._static_keys, store.database, made, found, store.list_keys()])
    everything = shown + caplog.text
    for each in (secret, rotated, "SENTINEL-alices-key", "SENTINEL-admin-key"):
        assert each not in everything
        assert hashlib.sha256(each.encode()).hexdigest() not in everything
    assert "SENTINEL" not in everything
    assert made.cache_salt not in everything
    store.close()
