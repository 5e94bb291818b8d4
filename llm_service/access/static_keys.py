"""Keys that the settings provide, apart from the database.

LLM_ADMIN_KEY, LLM_METRICS_KEY and LLM_API_KEYS.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from llm_service.access.api_key import (
    ADMIN_NAME,
    KEY_NAME,
    METRICS_NAME,
    RESERVED_NAMES,
    ApiKey,
    Scope,
    digest_of,
)

_MIN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class StaticKey:
    """A key and the hash of its secret."""

    key: ApiKey
    digest: str = field(repr=False)


def parse_static_keys(
    admin_key: SecretStr | None,
    metrics_key: SecretStr | None,
    api_keys: SecretStr | None,
    rpm: int,
) -> list[StaticKey]:
    """The keys of the settings of these names. Raises ValueError that names no secret."""
    keys = []
    if admin_key is not None:
        secret = admin_key.get_secret_value()
        keys.append(_static_key("LLM_ADMIN_KEY", ADMIN_NAME, secret, frozenset(Scope), rpm))
    if metrics_key is not None:
        secret = metrics_key.get_secret_value()
        metrics = frozenset({Scope.METRICS})
        keys.append(_static_key("LLM_METRICS_KEY", METRICS_NAME, secret, metrics, rpm))
    pairs = [] if api_keys is None else api_keys.get_secret_value().strip().rstrip(",").split(",")
    scopes = frozenset({Scope.INFERENCE, Scope.METRICS})
    for number, pair in enumerate(pairs, start=1):
        name, colon, secret = pair.strip().partition(":")
        if not colon or not KEY_NAME.fullmatch(name):
            # What stands before the colon may be a key, too, so it isn't repeated.
            raise ValueError(
                f"LLM_API_KEYS: entry {number} is not name:key with a name of"
                " 1 to 32 of a-z, 0-9, _ and -."
            )
        if name in RESERVED_NAMES:
            raise ValueError(
                f"LLM_API_KEYS: entry {number} has the reserved name '{name}', which in metrics"
                " stands for no key: choose another."
            )
        keys.append(_static_key(f"LLM_API_KEYS: entry {number}", name, secret, scopes, rpm))
    _check_distinct(keys)
    return keys


def _static_key(what: str, name: str, secret: str, scopes: frozenset[Scope], rpm: int) -> StaticKey:
    if len(secret) < _MIN_LENGTH or any(char.isspace() for char in secret):
        raise ValueError(
            f"{what}: the key must have at least {_MIN_LENGTH} characters and no spaces."
        )
    key_id = f"settings:{name}"
    key = ApiKey(name, scopes, rpm, "settings", cache_salt=key_id, id=key_id)
    return StaticKey(key, digest_of(secret))


def _check_distinct(keys: Sequence[StaticKey]) -> None:
    if len({static.key.name for static in keys}) < len(keys):
        raise ValueError(
            f"LLM_API_KEYS: a name stands twice ('{ADMIN_NAME}' is LLM_ADMIN_KEY's and"
            f" '{METRICS_NAME}' LLM_METRICS_KEY's)."
        )
    if len({static.digest for static in keys}) < len(keys):
        raise ValueError(
            "LLM_ADMIN_KEY, LLM_METRICS_KEY, LLM_API_KEYS: two names have the same key."
        )
