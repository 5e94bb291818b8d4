"""/api/keys: make, list, change, rotate and revoke keys. Every route needs the scope admin."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from llm_service.access.api_key import ApiKey, Scope
from llm_service.access.key_rows import MAX_OVERLAP, MAX_RPM, OVERLAP
from llm_service.access.keys import KeyChanges
from llm_service.access.usage import NUM_DAYS, KeyUsage
from llm_service.api.dependencies import AdminKey, CurrentServices, Services
from llm_service.api.json_route import JsonRoute
from llm_service.api.responses import ErrorEnvelope
from llm_service.errors import InvalidRequest

log = structlog.get_logger()

router = APIRouter(
    prefix="/api/keys", route_class=JsonRoute, responses={409: {"model": ErrorEnvelope}}
)

_END_OF_TIME = 253402300799  # the last second that a datetime can hold

Scopes = Annotated[list[Scope], Field(min_length=1, max_length=10, fail_fast=True)]
Rpm = Annotated[int, Field(ge=0, le=MAX_RPM, description="Requests per minute; 0: no limit.")]
KeyId = Annotated[str, Path(pattern=r"^[a-z0-9_:-]{1,50}$")]
UnixSeconds = Annotated[float, Field(ge=0, le=_END_OF_TIME, allow_inf_nan=False)]


class NewKey(BaseModel):
    """Without `rpm` the key gets LLM_DEFAULT_RPM; without `expires_at` it never expires."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(description="1 to 32 of a-z, 0-9, _ and -.")]
    scopes: Scopes
    rpm: Rpm | None = None
    expires_at: UnixSeconds | None = None


class KeyChange(BaseModel):
    """Fields that are not sent stay as they are. With `expires_at` null the key never expires."""

    model_config = ConfigDict(extra="forbid")

    scopes: Scopes | None = None
    rpm: Rpm | None = None
    expires_at: UnixSeconds | None = None


class Rotation(BaseModel):
    """`overlap_seconds`: how long the old secret stays valid beside the new one; 0: it ends now."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: Annotated[int, Field(ge=0, le=int(MAX_OVERLAP.total_seconds()))] = int(
        OVERLAP.total_seconds()
    )


class DayOut(BaseModel):
    date: str
    requests: int
    prompt_tokens: int
    output_tokens: int


class KeyUsageOut(BaseModel):
    """Totals since the key was made, and by day (UTC, today last). Requests count when they end."""

    requests: int
    prompt_tokens: int
    output_tokens: int
    last_7_days: list[DayOut]


class RemainingOut(BaseModel):
    """`reset_seconds` is the time until more than `requests` are accepted."""

    requests: int
    reset_seconds: float


class KeyOut(BaseModel):
    """Times are unix seconds. `remaining` is null without a limit, and after the key has ended.

    `prefix` is the beginning of the secret; empty for a key that the settings provide.
    `old_secret_valid_until` is when the last secret from before a rotation ends; null: none.
    """

    id: str
    name: str
    scopes: list[Scope]
    rpm: int
    created_at: float | None
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    source: Literal["database", "settings"]
    prefix: str
    old_secret_valid_until: float | None
    remaining: RemainingOut | None
    usage: KeyUsageOut


class KeyWithSecret(KeyOut):
    """`key` is the secret, shown only now."""

    key: str


class KeysOut(BaseModel):
    keys: list[KeyOut]


@router.get("", response_model=KeysOut)
async def list_keys(admin: AdminKey, services: CurrentServices) -> KeysOut:
    """List all keys, revoked ones too: the newest first, those of the settings last."""
    usage = await services.keys.call(services.usage.read)
    keys = await services.keys.call(services.keys.all_keys)
    return KeysOut(
        keys=await asyncio.gather(*(_key_out(services, key, usage) for key in keys)),
    )


@router.post("", response_model=KeyWithSecret, status_code=201)
async def create_key(body: NewKey, admin: AdminKey, services: CurrentServices) -> KeyWithSecret:
    """Make a key. Its secret is in this answer and nowhere else."""
    key, secret = await services.keys.call(
        services.keys.create, body.name, frozenset(body.scopes), body.rpm, _time(body.expires_at)
    )
    services.metrics.key_added(key.name)
    _audit("key created", admin, key)
    out = await _key_out(services, key, {})
    return KeyWithSecret(**dict(out), key=secret)


@router.patch("/{key_id}", response_model=KeyOut)
async def change_key(
    key_id: KeyId, body: KeyChange, admin: AdminKey, services: CurrentServices
) -> KeyOut:
    """Give a key other scopes, another limit or another expiry, at once."""
    usage = await services.keys.call(services.usage.read)
    before = {key.id: key.rpm for key in await services.keys.call(services.keys.all_keys)}
    key = await services.keys.call(services.keys.change, key_id, _changes(body))
    _audit("key changed", admin, key)
    if key.rpm != (rpm := before.get(key.id, key.rpm)):
        words = f"The limit of {key.name} was changed from {_rpm(rpm)} to {_rpm(key.rpm)}."
        services.events.add("limit", words)
    return await _key_out(services, key, usage)


@router.post("/{key_id}/rotate", response_model=KeyWithSecret)
async def rotate_key(
    key_id: KeyId, admin: AdminKey, services: CurrentServices, body: Rotation | None = None
) -> KeyWithSecret:
    """Give a key a new secret; the old one stays valid for `overlap_seconds`, a day by default."""
    # First, so that nothing can fail between the change and the answer that tells the secret.
    usage = await services.keys.call(services.usage.read)
    overlap = timedelta(seconds=(body or Rotation()).overlap_seconds)
    key, secret = await services.keys.call(services.keys.rotate, key_id, overlap)
    _audit("key rotated", admin, key)
    out = await _key_out(services, key, usage)
    return KeyWithSecret(**dict(out), key=secret)


@router.delete("/{key_id}", response_model=KeyOut)
async def revoke_key(key_id: KeyId, admin: AdminKey, services: CurrentServices) -> KeyOut:
    """Revoke a key: it is refused from now on. Its running requests go on."""
    usage = await services.keys.call(services.usage.read)
    key = await services.keys.call(services.keys.revoke, key_id)
    _audit("key revoked", admin, key)
    return await _key_out(services, key, usage)


def _changes(body: KeyChange) -> KeyChanges:
    """Only `expires_at` may be null. Raises InvalidRequest."""
    sent = body.model_fields_set
    if not sent:
        raise InvalidRequest("Send at least one of the fields scopes, rpm and expires_at.")
    changes: KeyChanges = {}
    for name in sorted(sent - {"expires_at"}):
        if getattr(body, name) is None:
            raise InvalidRequest(f"{name} cannot be null.", param=name)
    if body.scopes is not None:
        changes["scopes"] = frozenset(body.scopes)
    if body.rpm is not None:
        changes["rpm"] = body.rpm
    if "expires_at" in sent:
        changes["expires_at"] = _time(body.expires_at)
    return changes


def _rpm(rpm: int) -> str:
    return f"{rpm} requests per minute" if rpm else "no limit"


def _audit(event: str, admin: ApiKey, key: ApiKey) -> None:
    """Log who changed which key, by their names."""
    log.info(
        event,
        by=admin.name,
        name=key.name,
        id=key.id,
        scopes=sorted(key.scopes),
        rpm=key.rpm,
        expires_at=key.expires_at.isoformat() if key.expires_at else None,
    )


async def _remaining(services: Services, key: ApiKey) -> RemainingOut | None:
    if key.revoked_at is not None or key.is_expired:
        return None
    state = await services.limiter.peek(key)
    if state is None:
        return None
    return RemainingOut(requests=state.remaining, reset_seconds=round(state.reset_seconds, 3))


async def _key_out(services: Services, key: ApiKey, usages: Mapping[str, KeyUsage]) -> KeyOut:
    assert key.source != "anonymous"
    usage = usages.get(key.id, KeyUsage())
    return KeyOut(
        id=key.id,
        name=key.name,
        scopes=[scope for scope in Scope if scope in key.scopes],
        rpm=key.rpm,
        created_at=_seconds(key.created_at),
        expires_at=_seconds(key.expires_at),
        revoked_at=_seconds(key.revoked_at),
        last_used_at=usage.total.last_used_at or None,
        source=key.source,
        prefix=key.prefix,
        old_secret_valid_until=_seconds(key.old_secret_until),
        remaining=await _remaining(services, key),
        usage=_usage_out(usage, datetime.now(UTC).date()),
    )


def _usage_out(usage: KeyUsage, today: date) -> KeyUsageOut:
    days = [today - timedelta(days=ago) for ago in reversed(range(NUM_DAYS))]
    return KeyUsageOut(
        requests=usage.total.requests,
        prompt_tokens=usage.total.prompt_tokens,
        output_tokens=usage.total.output_tokens,
        last_7_days=[_day_out(day, usage) for day in days],
    )


def _day_out(day: date, usage: KeyUsage) -> DayOut:
    counts = usage.on(day)
    return DayOut(
        date=day.isoformat(),
        requests=counts.requests,
        prompt_tokens=counts.prompt_tokens,
        output_tokens=counts.output_tokens,
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
