"""A coarse limit per client address for requests without a valid key, based on slowapi.

There are two counters. The shared one is in Redis; it blocks, so it runs in a thread and
under the link's deadline, and only while Redis is up. The counter
in this process also counts what Redis allows, so that counting does not start at 0 when Redis
goes away or loses its data. Only slowapi's decorator is used: its middlewares break streams and
disconnects, and its header injection fails on results that are not Responses.
"""

import contextlib
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import anyio
from anyio import to_thread
from limits import RateLimitItem, parse_many
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from slowapi import Limiter as SlowLimiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request

from llm_service.access.address import ClientAddress
from llm_service.access.api_key import ANONYMOUS
from llm_service.access.limits import StorageState, storage_state
from llm_service.access.observer import LimitObserver, NullLimitObserver
from llm_service.access.redis import CALL_SECONDS, RedisAway, RedisLink
from llm_service.errors import RateLimited

_NUM_THREADS = 8

# slowapi logs every refused address, which our access log has already.
logging.getLogger("slowapi").setLevel(logging.CRITICAL)


class IpGuard:
    """One per service. Without a `link`, addresses are counted in this process alone."""

    def __init__(
        self,
        limit: str,
        link: RedisLink | None = None,
        trusted_proxies: str = "",
        observer: LimitObserver | None = None,
    ) -> None:
        """`limit` is like `60/minute`. Raises ValueError where it or a proxy is malformed."""
        self._limit = _parse(limit)
        self._address_of = ClientAddress(trusted_proxies)
        self._link = link
        self._observer = observer or NullLimitObserver()
        self._threads = anyio.CapacityLimiter(_NUM_THREADS)
        self._here = _Counter(limit, self._limit, None)
        self._shared = None if link is None else _Counter(limit, self._limit, link)

    @property
    def storage(self) -> StorageState:
        return storage_state(self._link)

    async def check(self, connection: Mapping[str, Any]) -> None:
        """Count this request (an ASGI scope, or a Request) or raise RateLimited."""
        address = self._address_of(connection)
        refusal = await self._check_shared(address) or self._here.refusal(address)
        if refusal is not None:
            self._observer.rejected(ANONYMOUS.name, "ip")
            raise refusal

    async def _check_shared(self, address: str) -> RateLimited | None:
        link, shared = self._link, self._shared
        if link is None or shared is None or not link.is_up:
            return None
        check = to_thread.run_sync(
            shared.refusal, address, abandon_on_cancel=True, limiter=self._threads
        )
        with contextlib.suppress(RedisAway):
            return await link.call("ip", check)
        return None


class _Counter:
    """slowapi's counts of all addresses, in Redis or in this process."""

    def __init__(self, limit: str, item: RateLimitItem, link: RedisLink | None) -> None:
        self._limit = item
        self._slow = _slow_limiter(link)
        # One bucket per address for all routes, so that a scanner does not get one for each path.
        self._check = self._slow.shared_limit(limit, scope="service")(_allowed)

    def refusal(self, address: str) -> RateLimited | None:
        """Count a request, or say why not; blocks and raises RedisError where it is in Redis."""
        # Its own: slowapi checks a request once, whoever asks.
        request = Request({"type": "http", "path": "/", "state": {"address": address}})
        try:
            self._check(request=request)
        except RateLimitExceeded:
            seconds = self._seconds_to_wait(request.state.view_rate_limit[1])
            return RateLimited(
                f"Too many requests without a valid API key from this address:"
                f" {self._limit} are allowed. Try again in {seconds} s, or send a valid key.",
                retry_after=seconds,
            )
        return None

    def _seconds_to_wait(self, identifiers: list[str]) -> int:
        with contextlib.suppress(RedisError, OSError):
            stats = self._slow.limiter.get_window_stats(self._limit, *identifiers)
            # A storage refuses up to and including the moment of reset.
            return max(1, math.floor(stats.reset_time - time.time()) + 1)
        return self._limit.get_expiry()  # certainly enough


class _EnvironmentBlindLimiter(SlowLimiter):
    """slowapi reads RATELIMIT_* from the environment and `.env`, to the point of turning off."""

    def get_app_config(self, key: str, default_value: Any = None) -> Any:
        return default_value


def _slow_limiter(link: RedisLink | None) -> SlowLimiter:
    return _EnvironmentBlindLimiter(
        key_func=_address,
        strategy="moving-window",
        storage_uri="memory://" if link is None else link.url.replace("unix://", "redis+unix://"),
        storage_options={} if link is None else _redis_options(),
        headers_enabled=False,
        key_style="endpoint",
        key_prefix="llm",
    )


def _redis_options() -> dict[str, Any]:
    return {
        "socket_timeout": CALL_SECONDS,
        "socket_connect_timeout": CALL_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }


def _parse(limit: str) -> RateLimitItem:
    """Parse the limit here, because slowapi only logs a malformed one and then applies none."""
    with contextlib.suppress(ValueError):
        items = parse_many(limit)
        # Where there are several, slowapi charges a refused request to those that still had room.
        if len(items) == 1 and items[0].amount > 0:
            return items[0]
    raise ValueError(f"LLM_IP_RATE_LIMIT must be one limit like 60/minute, not {limit!r}.")


def _address(request: Request) -> str:
    address: str = request.state.address
    return address


def _allowed(request: Request) -> None:
    """The function that slowapi's decorator wraps."""
