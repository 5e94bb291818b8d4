"""The versions of the database's schema: which one a database has, and how it gets the newest.

`MIGRATIONS[n - 1]` turns a database of version n - 1 into one of version n; version 0 is empty. A
migration that a release had is never changed: whoever has run it will not run it again. A new one
is added at the end, together with the change of `tables.py`, whose tables it must lead to.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable, DropTable

from llm_service.access.tables import new_key_id

Migration = Callable[[Connection], None]

# Has one row. Version 1 did not have it, and a database of version 1 may be only readable: the
# table is made with a new database, or by the first migration of an old one.
schema_version = Table("schema_version", MetaData(), Column("version", Integer, nullable=False))

_LOCK = 0x6C6C6D73  # any number, the same for every process of ours


class NewerSchema(SQLAlchemyError):
    """The database was made by a version of the service that is newer than this one."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"its schema has version {found} and this release knows versions up to {known}: run"
            " the release that made it, or a newer one, or restore a backup from before"
        )


def first_tables(connection: Connection) -> None:
    """Version 1. A database from before the first release may have a part of it."""
    for statement in _FIRST_TABLES:
        connection.exec_driver_sql(statement)
    if inspect(connection).has_table("api_keys"):
        _adopt_old_keys(connection)


MIGRATIONS: tuple[Migration, ...] = (first_tables,)


def migrate(engine: Engine, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the database to the version that `migrations` lead to: wholly or not at all.

    Several processes may do so at once. Nothing is written if it has that version. Raises
    NewerSchema if its version is newer.
    """
    with engine.connect() as connection:
        if _is_current(connection, migrations):
            return
    with engine.begin() as connection:
        _lock(connection)
        if _is_current(connection, migrations):  # another process was first
            return
        for migration in migrations[_version_of(connection) :]:
            migration(connection)
        connection.execute(CreateTable(schema_version, if_not_exists=True))
        connection.execute(delete(schema_version))
        connection.execute(insert(schema_version).values(version=len(migrations)))


def _is_current(connection: Connection, migrations: Sequence[Migration]) -> bool:
    version = _version_of(connection)
    if version > len(migrations):
        raise NewerSchema(version, len(migrations))
    return version == len(migrations)


def _version_of(connection: Connection) -> int:
    tables = inspect(connection)
    if tables.has_table(schema_version.name):
        return int(connection.execute(select(schema_version.c.version)).scalar_one())
    is_first = all(map(tables.has_table, ("keys", "former_secrets", "usage")))
    return 1 if is_first and not tables.has_table("api_keys") else 0


def _lock(connection: Connection) -> None:
    """Let other processes that want to migrate wait until the transaction ends."""
    if connection.dialect.name == "sqlite":
        # Without it, Python's driver would begin no transaction before the tables are made.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


# In words that SQLite and PostgreSQL both understand.
_FIRST_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS keys (
        id VARCHAR(32) NOT NULL,
        name VARCHAR(32) NOT NULL,
        digest VARCHAR(64) NOT NULL,
        prefix VARCHAR(16) NOT NULL,
        scopes VARCHAR(100) NOT NULL,
        rpm INTEGER NOT NULL,
        cache_salt VARCHAR(32) NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        revoked_at BIGINT,
        PRIMARY KEY (id),
        UNIQUE (digest)
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS keys_live_name ON keys (name) WHERE revoked_at IS NULL",
    """
    CREATE TABLE IF NOT EXISTS former_secrets (
        digest VARCHAR(64) NOT NULL,
        key_id VARCHAR(32) NOT NULL,
        valid_until BIGINT NOT NULL,
        PRIMARY KEY (digest)
    )
    """,
    "CREATE INDEX IF NOT EXISTS ix_former_secrets_key_id ON former_secrets (key_id)",
    """
    CREATE TABLE IF NOT EXISTS usage (
        key_id VARCHAR(50) NOT NULL,
        day VARCHAR(10) NOT NULL,
        requests BIGINT NOT NULL,
        prompt_tokens BIGINT NOT NULL,
        output_tokens BIGINT NOT NULL,
        last_used_at BIGINT NOT NULL,
        PRIMARY KEY (key_id, day)
    )
    """,
)


def _adopt_old_keys(connection: Connection) -> None:
    """Take over the keys from before the first release, which deleted keys that it revoked."""
    names = ("name", "digest", "scopes", "rpm", "cache_salt", "created_at", "expires_at")
    old = Table("api_keys", MetaData(), *map(Column, names))
    new = Table("keys", MetaData(), *map(Column, ("id", "prefix", *names)))
    rows = connection.execute(select(old)).mappings().all()
    adopted = [{**row, "id": new_key_id(), "prefix": "llms_"} for row in rows]
    if adopted:
        connection.execute(insert(new), adopted)
    connection.execute(DropTable(old))
