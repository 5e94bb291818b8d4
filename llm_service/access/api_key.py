"""The data of a key, whatever its source. The secret is never part of it."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

ADMIN_NAME = "admin"
METRICS_NAME = "prometheus"
# Metric labels for requests without a key, and for all keys beyond the first 50.
RESERVED_NAMES = ("anonymous", "other")
KEY_NAME = re.compile(r"[a-z0-9_-]{1,32}")


class Scope(StrEnum):
    """What a key gives access to. No scope includes another."""

    INFERENCE = "inference"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `rpm` 0 is unlimited; `cache_salt` keeps prefix caches apart.

    `name` is unique among valid keys, `id` among all keys that ever existed.
    """

    name: str
    scopes: frozenset[Scope]
    rpm: int
    source: Literal["database", "settings", "anonymous"]
    cache_salt: str = field(repr=False)
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    id: str = ""
    prefix: str = ""  # the first characters of the secret; empty for a key from the settings
    old_secret_until: datetime | None = None  # when the last secret from before a rotation ends

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


ANONYMOUS = ApiKey(
    name="anonymous",
    scopes=frozenset({Scope.INFERENCE, Scope.METRICS}),
    rpm=0,
    source="anonymous",
    cache_salt="anonymous",
    id="anonymous",
)


def digest_of(secret: str) -> str:
    """SHA-256 in hex; `keys.py` says why that is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
