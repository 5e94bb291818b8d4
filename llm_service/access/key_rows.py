"""Converts keys to database rows and back, and checks new and changed keys."""

import hmac
import secrets
import time
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, TypedDict

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    RowMapping,
    Select,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
)

from llm_service.access.api_key import KEY_NAME, RESERVED_NAMES, ApiKey, Scope, digest_of
from llm_service.access.tables import former_secrets, is_live, keys, new_key_id
from llm_service.errors import InvalidRequest

KEY_PREFIX = "llms_"
MAX_RPM = 10**6
OVERLAP = timedelta(hours=24)  # how long the old secret of a rotated key stays valid
MAX_OVERLAP = timedelta(days=30)
_NUM_SHOWN = len(KEY_PREFIX) + 4  # leaves 232 of the 256 bits secret


class KeyChanges(TypedDict, total=False):
    """The changes to a key. Fields that are missing stay as they are."""

    scopes: frozenset[Scope]
    rpm: int
    expires_at: datetime | None


def new_secret() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_row(
    name: str, scopes: frozenset[Scope], rpm: int, expires_at: datetime | None, secret: str
) -> dict[str, Any]:
    return {
        "id": new_key_id(),
        "name": name,
        **secret_columns(secret),
        **changed_columns({"scopes": scopes, "rpm": rpm, "expires_at": expires_at}),
        "cache_salt": secrets.token_hex(8),
        "created_at": int(time.time()),
    }


def secret_columns(secret: str) -> dict[str, Any]:
    return {"digest": digest_of(secret), "prefix": secret[:_NUM_SHOWN]}


def changed_columns(changes: KeyChanges) -> dict[str, Any]:
    columns: dict[str, Any] = dict(changes)
    if "scopes" in changes:
        columns["scopes"] = ",".join(scope for scope in Scope if scope in changes["scopes"])
    if (expires_at := changes.get("expires_at")) is not None:
        columns["expires_at"] = ceil(expires_at.timestamp())
    return columns


def select_keys() -> Select[Any]:
    """Every key as `key_of` reads it."""
    latest = select(func.max(former_secrets.c.valid_until)).where(
        former_secrets.c.key_id == keys.c.id, former_secrets.c.valid_until > int(time.time())
    )
    return select(keys, latest.scalar_subquery().label("old_secret_until"))


def key_of(row: RowMapping) -> ApiKey:
    return ApiKey(
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"].split(",")),
        rpm=row["rpm"],
        source="database",
        cache_salt=row["cache_salt"],
        created_at=_time_of(row["created_at"]),
        expires_at=_time_of(row["expires_at"]),
        revoked_at=_time_of(row["revoked_at"]),
        id=row["id"],
        prefix=row["prefix"],
        old_secret_until=None if row["revoked_at"] else _time_of(row["old_secret_until"]),
    )


def find_key(db: Connection, digest: str) -> ApiKey | None:
    """The valid key with this secret, or with this secret from before a rotation."""
    query = select_keys().where(keys.c.digest == digest, is_live)
    row = db.execute(query).mappings().first()
    if row is not None:
        return key_of(row) if hmac.compare_digest(row["digest"], digest) else None
    is_valid = former_secrets.c.valid_until > int(time.time())
    query = select(former_secrets).where(former_secrets.c.digest == digest, is_valid)
    former = db.execute(query).mappings().first()
    if former is None or not hmac.compare_digest(former["digest"], digest):
        return None
    query = select_keys().where(keys.c.id == former["key_id"], is_live)
    row = db.execute(query).mappings().first()
    return None if row is None else key_of(row)


def keep_old_secret(key_id: str, overlap: timedelta) -> list[Executable]:
    """Keep the present secret valid for `overlap`; without one, all old secrets end."""
    now = int(time.time())
    is_over = former_secrets.c.valid_until <= now
    if not overlap:
        return [delete(former_secrets).where(or_(is_over, former_secrets.c.key_id == key_id))]
    valid_until = literal(now + int(overlap.total_seconds()))
    current = select(keys.c.digest, keys.c.id, valid_until)
    current = current.where(keys.c.id == key_id, is_live)
    return [
        delete(former_secrets).where(is_over),
        insert(former_secrets).from_select(["digest", "key_id", "valid_until"], current),
    ]


def check_name(name: str) -> None:
    if not KEY_NAME.fullmatch(name):
        raise InvalidRequest("A name is 1 to 32 of a-z, 0-9, _ and -.", param="name")
    if name in RESERVED_NAMES:
        raise InvalidRequest(
            f"The names {' and '.join(RESERVED_NAMES)} are reserved: in metrics they stand for"
            " requests without a key and for keys that have no series of their own.",
            param="name",
        )


def check_overlap(overlap: timedelta) -> None:
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise InvalidRequest(
            f"The overlap is 0 to {MAX_OVERLAP.days} days ({int(MAX_OVERLAP.total_seconds())} s).",
            param="overlap_seconds",
        )


def check_changes(changes: KeyChanges) -> None:
    """Raise InvalidRequest if the result would not be a valid key."""
    if "scopes" in changes and not changes["scopes"]:
        raise InvalidRequest(f"Give at least one scope of {', '.join(Scope)}.", param="scopes")
    if "rpm" in changes and not 0 <= changes["rpm"] <= MAX_RPM:
        raise InvalidRequest(f"rpm is 0 (unlimited) to {MAX_RPM}.", param="rpm")
    expires_at = changes.get("expires_at")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidRequest("The expiry is in the past.", param="expires_at")


def takes_admin(changes: KeyChanges) -> bool:
    """Whether the change ends a key's admin scope, now or at a later time."""
    is_narrowed = "scopes" in changes and Scope.ADMIN not in changes["scopes"]
    return is_narrowed or changes.get("expires_at") is not None


def leaves_an_admin(key_id: str) -> ColumnElement[bool]:
    """A condition: the key is not an admin key, or another valid admin key exists."""
    other = keys.alias()
    return or_(
        keys.c.scopes.not_like(f"%{Scope.ADMIN}%"),
        exists(
            select(other.c.id).where(
                other.c.id != key_id,
                other.c.scopes.like(f"%{Scope.ADMIN}%"),
                other.c.revoked_at.is_(None),
                or_(other.c.expires_at.is_(None), other.c.expires_at > int(time.time())),
            )
        ),
    )


def _time_of(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
