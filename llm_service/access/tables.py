"""The tables of the database, as the newest version of `migrations` makes them."""

import secrets

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(32), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the secret, hex
    Column("prefix", String(16), nullable=False),
    Column("scopes", String(100), nullable=False),  # comma-separated
    Column("rpm", Integer, nullable=False),
    Column("cache_salt", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),  # seconds since 1970, like all times here
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)
is_live = keys.c.revoked_at.is_(None)
Index("keys_live_name", keys.c.name, unique=True, sqlite_where=is_live, postgresql_where=is_live)

# Secrets that a key had before it was rotated, and that still open the same until then. A table
# of its own: a key that is rotated twice has two of them, and older versions don't mind it.
former_secrets = Table(
    "former_secrets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("key_id", String(32), nullable=False, index=True),
    Column("valid_until", BigInteger, nullable=False),
)

# What a key did on a day (UTC). `key_id` may be of a key that the settings provide.
usage = Table(
    "usage",
    metadata,
    Column("key_id", String(50), primary_key=True),
    Column("day", String(10), primary_key=True),  # 2026-11-21
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
)


def new_key_id() -> str:
    return "key_" + secrets.token_hex(8)
