"""What stands in the database: the tables, and how one of an older version becomes today's."""

import secrets

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

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

# Version 0.1 deleted the keys that it revoked, and knew none by an id.
_old_keys = Table(
    "api_keys",
    MetaData(),
    *(Column(name, keys.c[name].type) for name in ("name", "digest", "scopes", "rpm")),
    *(Column(name, keys.c[name].type) for name in ("cache_salt", "created_at", "expires_at")),
)


def create_tables(connection: Connection) -> None:
    """Make what is missing. Several may do so at once where `connection` can be rolled back."""
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    if inspect(connection).has_table(_old_keys.name):
        _adopt_old_keys(connection)


def new_key_id() -> str:
    return "key_" + secrets.token_hex(8)


def _adopt_old_keys(connection: Connection) -> None:
    rows = connection.execute(select(_old_keys)).mappings().all()
    adopted = [{**row, "id": new_key_id(), "prefix": "llms_"} for row in rows]
    if adopted:
        connection.execute(insert(keys), adopted)
    connection.execute(DropTable(_old_keys))
