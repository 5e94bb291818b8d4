"""What an admission gives: the right to do one request, and what a caller sees of its limit."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from llm_service.access.api_key import ApiKey
from llm_service.errors import RateLimited


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit as the caller sees it. `reset_seconds`: until `remaining` next grows."""

    limit: int
    remaining: int
    reset_seconds: float

    def headers(self) -> dict[str, str]:
        """OpenAI's names and its way to write durations."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{math.ceil(self.reset_seconds)}s",
        }


class RequestLimitExceeded(RateLimited):
    """The key's requests per minute are spent. `retry_after` is in whole seconds, rounded up."""

    def __init__(self, key: ApiKey, limit_state: LimitState) -> None:
        seconds = max(1, math.ceil(limit_state.reset_seconds))
        super().__init__(
            f"The key '{key.name}' has used its {key.rpm} requests per minute."
            f" The next one is accepted in {seconds} {'second' if seconds == 1 else 'seconds'}.",
            retry_after=seconds,
        )
        self.limit_state = limit_state


class Permit:
    """The right to do one request, already charged. Ends once: settled or refunded.

    Neither waits nor raises, so that both may stand in a `finally` of a cancelled task.
    `snapshot` is None where the key has no limit per minute.
    """

    def __init__(
        self,
        key: ApiKey,
        cost: int,
        snapshot: LimitState | None,
        give_back: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        """`give_back` undoes the admission; `release` frees its choices, however it ended."""
        self.key = key
        self.cost = cost
        self.snapshot = snapshot
        self._give_back = give_back
        self._release = release
        self._is_open = True

    def settle(self, usage_tokens: int) -> None:
        """The request was served with `usage_tokens` of its `cost`; it stays counted."""
        assert usage_tokens >= 0
        self._end()

    def refund(self) -> None:
        """The request was not served: as if it had never been admitted."""
        if self._end():
            self._give_back()

    def _end(self) -> bool:
        """Whether it was open till now."""
        was_open, self._is_open = self._is_open, False
        if was_open:
            self._release()
        return was_open
