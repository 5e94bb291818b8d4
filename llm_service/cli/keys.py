"""`llm-service keys`: create, list, revoke and rotate keys in the key database.

Only a new secret goes to stdout, so that `KEY=$(llm-service keys create ...)` works; messages
go to stderr. Exit codes: 0 done, 1 refused or failed, 2 misused.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, NoReturn

import typer

from llm_service.access.keys import ApiKey, KeyStore, Scope
from llm_service.config import Settings, words_of
from llm_service.errors import ServiceError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

keys_app = typer.Typer(
    help="Create, list, revoke and rotate API keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="Name of the key.")]


@keys_app.command()
def create(
    name: Annotated[str, typer.Option(help="1 to 32 of a-z, 0-9, _ and -.")],
    scopes: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(Scope)}.")
    ] = Scope.INFERENCE.value,
    rpm: Annotated[
        int | None,
        typer.Option(help="Requests per minute, 0: unlimited; default: LLM_DEFAULT_RPM."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="Like 12h, 30d or 2026-12-31 (the end of that day, UTC)."),
    ] = None,
) -> None:
    """Create a key and print it. It cannot be shown again."""
    with _store() as store:
        key, secret = store.create(name, _scopes(scopes), rpm, _expiry(expires))
    _tell(f"Key '{key.name}' made: {_describe(key)}. It is shown only now.")
    print(secret)


@keys_app.command("list")
def list_keys() -> None:
    """Show all keys, never their secrets."""
    with _store() as store:
        keys = store.list_keys()
    rows = [("NAME", "SCOPES", "RPM", "CREATED", "EXPIRES", "OLD SECRET UNTIL", "FROM")]
    rows += [
        (
            key.name,
            ",".join(scope for scope in Scope if scope in key.scopes),
            str(key.rpm or "unlimited"),
            _day(key.created_at),
            _day(key.expires_at) + (" (expired)" if key.is_expired else ""),
            _day(key.old_secret_until),
            key.source,
        )
        for key in keys
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


@keys_app.command()
def revoke(name: Name) -> None:
    """Revoke a key. Running services refuse it within a second."""
    with _store() as store:
        store.revoke(store.named(name).id)
    _tell(f"Key '{name}' revoked.")


@keys_app.command()
def rotate(
    name: Name,
    overlap: Annotated[
        str, typer.Option(help="How long the old secret stays valid, like 90m, 24h or 7d.")
    ] = "24h",
    now: Annotated[
        bool, typer.Option("--now", help="End the old secret at once, for a key that has leaked.")
    ] = False,
) -> None:
    """Give a key a new secret and print it. The old one stays valid for a day by default."""
    duration = timedelta(0) if now else _duration(overlap)
    if duration is None:
        _fail("--overlap takes a duration like 90m, 24h or 7d.", 2)
    with _store() as store:
        key, secret = store.rotate(store.named(name).id, duration)
    until = key.old_secret_until
    ends = f"stays valid until {_day(until)} UTC" if until else "is no longer valid"
    _tell(f"Key '{key.name}' rotated: {_describe(key)}. It is shown only now; the old one {ends}.")
    print(secret)


@contextmanager
def _store() -> Iterator[KeyStore]:
    """Open the key database. Errors that a user can cause give one line and exit code 1."""
    try:
        settings = Settings()
        store = KeyStore.open(
            settings.state_dir,
            database_url=settings.database_url,
            admin_key=settings.admin_key,
            metrics_key=settings.metrics_key,
            api_keys=settings.api_keys,
            default_rpm=settings.default_rpm,
        )
    except ValueError as error:
        _fail(" ".join(words_of(error)), 1)
    try:
        yield store
    except ServiceError as error:
        _fail(error.message, 1)
    finally:
        store.close()


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(scope.strip()) for scope in text.split(","))
    except ValueError:
        _fail(f"--scopes takes {', '.join(Scope)}, comma-separated.", 2)


def _expiry(text: str | None) -> datetime | None:
    """Return the time after a duration from now, or the end of a day."""
    if text is None:
        return None
    duration = _duration(text)
    if duration is not None:
        return datetime.now(UTC) + duration
    try:
        day = datetime.combine(date.fromisoformat(text), time.min, UTC)
        return day + timedelta(days=1)
    except (ValueError, OverflowError):
        _fail("--expires takes a duration like 12h or 30d, or a day like 2026-12-31.", 2)


def _duration(text: str) -> timedelta | None:
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if found is None:
        return None
    amount, unit = found.groups()
    return timedelta(**{_UNITS[unit]: int(amount)})


def _describe(key: ApiKey) -> str:
    rpm = f"{key.rpm} requests per minute" if key.rpm else "no limit"
    expires = f"until {_day(key.expires_at)}" if key.expires_at else "does not expire"
    return f"{', '.join(sorted(key.scopes))}; {rpm}; {expires}"


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _tell(words: str) -> None:
    print(words, file=sys.stderr)


def _fail(words: str, code: int) -> NoReturn:
    _tell(f"error: {words}")
    raise typer.Exit(code)
