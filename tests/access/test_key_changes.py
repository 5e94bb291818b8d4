"""Keys after they are made: changed, rotated, revoked; the last admin; keys of an older version."""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from llm_service.access.api_key import digest_of
from llm_service.access.key_rows import KeyChanges
from llm_service.access.keys import ApiKey, KeyStore, KeyStoreUnavailable, Scope
from llm_service.errors import Conflict, InvalidRequest

pytestmark = pytest.mark.anyio

ALL = frozenset(Scope)
INFERENCE = frozenset({Scope.INFERENCE})
LATER = datetime(2100, 1, 1, tzinfo=UTC)


async def test_a_change_takes_effect_at_once_and_leaves_the_rest(store: KeyStore) -> None:
    made, secret = store.create("alice", INFERENCE, 7, LATER)
    assert await store.find(secret) == made
    changed = store.change(made.id, {"rpm": 9})
    assert await store.find(secret) == changed
    assert (changed.rpm, changed.scopes, changed.expires_at) == (9, INFERENCE, LATER)
    store.change(made.id, {"scopes": frozenset({Scope.METRICS})})
    unlimited = store.change(made.id, {"expires_at": None})
    assert (unlimited.rpm, unlimited.scopes, unlimited.expires_at) == (
        9,
        frozenset({Scope.METRICS}),
        None,
    )
    assert (unlimited.id, unlimited.cache_salt) == (made.id, made.cache_salt)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"scopes": frozenset()}, "scopes"),
        ({"rpm": -1}, "rpm"),
        ({"rpm": 10**6 + 1}, "rpm"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    store: KeyStore, changes: KeyChanges, param: str
) -> None:
    made, _ = store.create("alice", INFERENCE)
    with pytest.raises(InvalidRequest) as caught:
        store.change(made.id, changes)
    assert caught.value.param == param
    assert store.get(made.id) == made


async def test_revoked_keys_stay_listed_and_open_nothing(store: KeyStore) -> None:
    first, secret = store.create("alice", INFERENCE)
    store.revoke(first.id)
    second, _ = store.create("alice", INFERENCE)
    assert await store.find(secret) is None
    assert {key.id for key in store.all_keys()} == {first.id, second.id}
    assert store.list_keys() == [second]
    assert store.named("alice") == second
    assert store.get(first.id).revoked_at is not None


REVOCATIONS: list[Callable[[KeyStore, str], object]] = [
    lambda store, key_id: store.revoke(key_id),
    lambda store, key_id: store.change(key_id, {"scopes": INFERENCE}),
    lambda store, key_id: store.change(key_id, {"expires_at": LATER}),
]


@pytest.mark.parametrize("shut_out", REVOCATIONS)
def test_nobody_shuts_out_the_last_admin(
    store: KeyStore, shut_out: Callable[[KeyStore, str], object]
) -> None:
    admin, _ = store.create("boss", ALL)
    store.create("alice", INFERENCE)
    gone, _ = store.create("gone", ALL)
    store.revoke(gone.id)
    with pytest.raises(Conflict, match="'boss' is the last one with the scope 'admin'"):
        shut_out(store, admin.id)
    assert store.get(admin.id) == admin
    store.change(admin.id, {"rpm": 5})
    store.create("deputy", ALL)
    shut_out(store, admin.id)


def test_an_admin_key_that_has_expired_is_no_door(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, _ = store.create("boss", ALL)
    store.create("deputy", ALL, None, datetime.now(UTC) + timedelta(hours=1))
    in_two_hours = (datetime.now(UTC) + timedelta(hours=2)).timestamp()
    monkeypatch.setattr("llm_service.access.key_rows.time.time", lambda: in_two_hours)
    with pytest.raises(Conflict):
        store.revoke(admin.id)


def test_the_last_stored_admin_may_go_where_the_settings_have_one(tmp_path: Path) -> None:
    before = KeyStore.open(tmp_path)
    admin, _ = before.create("boss", ALL)
    before.close()
    store = KeyStore.open(tmp_path, admin_key=SecretStr("a-static-key-of-the-operator"))
    assert store.revoke(admin.id).revoked_at is not None
    store.close()


def test_of_two_admins_who_shut_each_other_out_one_remains(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def revoke(pair: tuple[KeyStore, ApiKey]) -> bool:
        store, key = pair
        together.wait()
        try:
            store.revoke(key.id)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for number in range(8):
            stores = [KeyStore.open(tmp_path / f"{number}") for _ in range(2)]
            admins = [stores[0].create(name, ALL)[0] for name in ("one", "two")]
            assert sorted(threads.map(revoke, zip(stores, admins, strict=True))) == [False, True]
            for store in stores:
                store.close()


async def test_a_store_whose_keys_are_all_revoked_gets_an_admin_key_again(store: KeyStore) -> None:
    made, _ = store.create("alice", INFERENCE)
    store.revoke(made.id)
    secret = store.bootstrap()
    assert secret is not None
    assert (await store.find(secret) or made).name == "admin"


async def test_keys_of_version_0_1_go_on_working(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "service.sqlite")
    database.execute(
        "CREATE TABLE api_keys (name VARCHAR(32) NOT NULL PRIMARY KEY, digest VARCHAR(64) NOT NULL"
        " UNIQUE, scopes VARCHAR(100) NOT NULL, rpm INTEGER NOT NULL, cache_salt VARCHAR(32) NOT"
        " NULL, created_at BIGINT NOT NULL, expires_at BIGINT)"
    )
    row = ("alice", digest_of("llms_old"), "inference,admin", 7, "salt", 1_700_000_000, None)
    database.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    database.commit()
    database.close()
    for _ in range(2):  # the second start finds them adopted
        store = KeyStore.open(tmp_path)
        assert store.bootstrap() is None
        key = await store.find("llms_old")
        assert key is not None
        assert (key.name, key.scopes, key.rpm) == (
            "alice",
            frozenset({Scope.INFERENCE, Scope.ADMIN}),
            7,
        )
        assert (key.cache_salt, key.prefix, key.id[:4]) == ("salt", "llms_", "key_")
        store.close()


async def test_a_call_to_a_database_that_hangs_ends_in_words(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr("llm_service.access.keys._CALL_SECONDS", 0.1)
    with pytest.raises(KeyStoreUnavailable):
        await store.call(release.wait, 60)
    release.set()
