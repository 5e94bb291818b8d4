"""The events that access control reports. It uses no metrics library.

All methods are called on the event loop, must not block and must not raise.
"""

from typing import Literal, Protocol

LimitName = Literal["requests", "concurrency", "ip", "refused"]


class LimitObserver(Protocol):
    """`observability.metrics.Metrics` is the real one; `NullLimitObserver` hears nothing."""

    def redis_up(self, is_up: bool) -> None:
        """Limits are shared through Redis (True) or counted in this process (False)."""

    def redis_operation(self, op: str, seconds: float) -> None:
        """One round trip, failed ones included; `op` is from a short fixed list."""

    def rejected(self, key_name: str, limit: LimitName) -> None:
        """A request was refused; `key_name` is `anonymous` where no key was known."""


class NullLimitObserver:
    """Hears nothing; for tests and the command line."""

    def redis_up(self, is_up: bool) -> None: ...

    def redis_operation(self, op: str, seconds: float) -> None: ...

    def rejected(self, key_name: str, limit: LimitName) -> None: ...
