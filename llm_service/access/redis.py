"""The link to Redis: a deadline on each call, a circuit breaker, recovery in the background.

Redis holds only what is perishable, so its absence is never an error for a caller: a
failing call raises RedisAway at once and whoever called counts in this process instead.
After one failure nobody tries again; a background probe finds out when Redis is back.
It knows nothing of limits.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from llm_service.access.observer import LimitObserver, NullLimitObserver

CALL_SECONDS = 0.25
MAX_CALL_SECONDS = 1.0
PROBE_SECONDS = 1.0
WATCH_SECONDS = 5.0
LISTEN_SECONDS = 30.0
_MAX_CONNECTIONS = 6  # two of them listen
_SLICE_SECONDS = 0.05
_SCHEMES = ("redis://", "rediss://", "unix://")

_log = logging.getLogger(__name__)
T = TypeVar("T")


class RedisAway(Exception):
    """Redis did not answer in time, or not with success."""


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class RedisLink:
    """One per service. `is_up` is what the last call or probe found; optimistic at first."""

    def __init__(
        self,
        url: str,
        observer: LimitObserver | None = None,
        *,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        """Raises ValueError, without the URL in it, when `url` is not a Redis URL."""
        if not url.startswith(_SCHEMES):
            raise ValueError(f"LLM_REDIS_URL must begin with one of {', '.join(_SCHEMES)}.")
        self.url = url
        self.is_up = True
        # Runs when Redis answers again, before anyone else uses it.
        self.before_recovery: Callable[[], Awaitable[None]] | None = None
        self._observer = observer or NullLimitObserver()
        self._probe_seconds = probe_seconds
        self._client = _connect(url)
        self._num_answers = 0
        self._recovery: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"RedisLink(is_up={self.is_up})"

    async def start(self) -> None:
        """Find out whether Redis is there and say so; never fails."""
        with contextlib.suppress(RedisAway):
            await self.ping()
            self._observer.redis_up(True)

    async def watch(self) -> None:
        """Find out, until cancelled, that Redis has gone, also while no request asks it."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self.is_up:  # else the recovery asks
                with contextlib.suppress(RedisAway):
                    await self.ping()

    async def ping(self) -> None:
        await self.call("ping", self._client.ping())

    def script(self, source: str) -> Callable[[list[str], list[Any]], Awaitable[Any]]:
        """A Lua script, sent by hash, as a function of its keys and arguments."""
        script = self._client.register_script(source)

        def run(keys: list[str], args: list[Any]) -> Awaitable[Any]:
            return script(keys=keys, args=args)

        return run

    async def publish(self, channel: str, message: str) -> int:
        """How many hear it, in all processes. Raises RedisAway; works during a recovery, too."""
        return await self.call("publish", self._client.publish(channel, message))

    async def hear(
        self,
        channel: str,
        handle: Callable[[bytes], Awaitable[None]],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Await `handle` of each message on `channel`, until cancelled; listens again if that ends.

        `before` runs each time before listening begins.
        """
        while True:
            with contextlib.suppress(RedisError, OSError, RedisAway):
                if before is not None:
                    await before()
                async with contextlib.aclosing(self.listen(channel)) as messages:
                    async for message in messages:
                        await handle(message)
            await asyncio.sleep(PROBE_SECONDS)

    async def listen(self, channel: str) -> AsyncGenerator[bytes]:
        """What is published from now on, for ever. Raises RedisError or OSError when that ends.

        It trips no breaker: nobody's request waits for it.
        """
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(channel)
            while True:
                message = await subscription.get_message(timeout=LISTEN_SECONDS)
                if _is_cancelled():  # redis-py loses a cancellation that meets its timeout
                    raise asyncio.CancelledError
                if message is None:
                    await subscription.ping()  # finds out that the other side is gone
                elif message["type"] == "message":
                    yield message["data"]

    async def call(self, op: str, answer: Awaitable[T]) -> T:
        """Wait for `answer`; if it fails or stays out, trip the breaker and raise RedisAway."""
        started = time.perf_counter()
        try:
            return await self._wait_for(answer)
        except Exception as error:  # whatever a client library may throw, nobody's request fails
            raise self.report_failure(error) from error
        finally:
            self._observer.redis_operation(op, time.perf_counter() - started)

    def report_failure(self, error: BaseException) -> RedisAway:
        """Trip the breaker, whoever met the failure; must be called on the event loop."""
        if self.is_up:
            self.is_up = False
            # The type alone: messages of connection errors carry addresses.
            _log.warning("Redis is away (%s): limits are counted in-process", type(error).__name__)
            self._observer.redis_up(False)
            self._recovery = asyncio.get_running_loop().create_task(self._recover())
        return RedisAway(type(error).__name__)

    async def aclose(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait({self._recovery})
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _wait_for(self, answer: Awaitable[T]) -> T:
        """`answer`, or TimeoutError once Redis has answered nobody for CALL_SECONDS.

        Not measured by the clock alone. In slices, because an event loop that stalls for
        longer would otherwise find its timer expired before it reads the answer that has
        long been there; from the last answer to anyone, because a long queue of our own
        doesn't mean that Redis is away. Still there is an end to it, at MAX_CALL_SECONDS.
        """
        task = asyncio.ensure_future(answer)
        num_silent = 0
        try:
            for _ in range(round(MAX_CALL_SECONDS / _SLICE_SECONDS)):
                num_answers = self._num_answers
                done, _pending = await asyncio.wait({task}, timeout=_SLICE_SECONDS)
                if done:
                    result = task.result()
                    self._num_answers += 1
                    return result
                num_silent = num_silent + 1 if num_answers == self._num_answers else 0
                if num_silent * _SLICE_SECONDS >= CALL_SECONDS:
                    break
            raise TimeoutError
        finally:
            task.cancel()

    async def _recover(self) -> None:
        while not self.is_up:
            await asyncio.sleep(self._probe_seconds)
            with contextlib.suppress(RedisAway):
                await self.ping()
                if self.before_recovery is not None:
                    await self.before_recovery()
                # No await from here on: whoever asks next finds Redis complete.
                self.is_up = True
        _log.warning("Redis is back: limits are shared again")
        self._observer.redis_up(True)


def _connect(url: str) -> Redis:
    # Our deadline comes first; the socket's own only ends what we no longer wait for. A retry
    # here would multiply the deadline.
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=None,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # two commands less on each new connection
        )
    except ValueError:
        raise ValueError("LLM_REDIS_URL is not a URL that redis-py understands.") from None
    return Redis.from_pool(pool)
