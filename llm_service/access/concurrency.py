"""How many choices of each key wait or run now, in this process.

A choice is one sequence of the engine, and it runs in the process that took its request, so
there is nothing to share. It knows nothing of requests per minute.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm_service.access.api_key import ApiKey
from llm_service.access.observer import LimitObserver
from llm_service.errors import InvalidRequest, RateLimited

_MAX_RETRY_SECONDS = 60


class TooManyChoices(RateLimited):
    """The key has as many choices waiting or running as it may."""


@dataclass(slots=True)
class _Use:
    """One key's choices since it last had none running or waiting."""

    since: float
    number: int = 0
    num_ended: int = 0


class Choices:
    """One per service."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uses: dict[str, _Use] = {}  # by key id; only of keys that have choices now

    def take(
        self, key: ApiKey, number: int, limit: int | None, observer: LimitObserver
    ) -> Callable[[], None]:
        """Count `number` more choices of `key`; the returned function frees them, once.

        Raises TooManyChoices if the sum would exceed `limit`, and InvalidRequest if `number` alone
        exceeds it, because then waiting would not help.
        """
        if number == 0:  # such as counting tokens
            return lambda: None
        if limit is not None and number > limit:
            raise InvalidRequest(
                f"{number} choices were asked for (n times the number of prompts); one key may have"
                f" at most {limit} at once here (LLM_MAX_CHOICES_PER_KEY).",
                param="n",
            )
        use = self._uses.get(key.id) or _Use(self._clock())
        if limit is not None and use.number + number > limit:
            observer.rejected(key.name, "concurrency")
            raise self._refusal(key, use, number, limit)
        self._uses[key.id] = use
        use.number += number
        is_held = True

        def free() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._free(key.id, use, number)

        return free

    def num_held(self, key: ApiKey) -> int:
        use = self._uses.get(key.id)
        return 0 if use is None else use.number

    def _free(self, key_id: str, use: _Use, number: int) -> None:
        use.number -= number
        use.num_ended += number
        assert use.number >= 0
        if use.number == 0:
            del self._uses[key_id]

    def _refusal(self, key: ApiKey, use: _Use, number: int, limit: int) -> TooManyChoices:
        num_needed = use.number + number - limit
        seconds_per_choice = (self._clock() - use.since) / max(1, use.num_ended)
        seconds = min(max(1, math.ceil(seconds_per_choice * num_needed)), _MAX_RETRY_SECONDS)
        return TooManyChoices(
            f"The key '{key.name}' has {use.number} choices waiting or running, and may have"
            f" {limit} at once; this request asks for {number} more. At the present pace there is"
            f" room in about {seconds} {'second' if seconds == 1 else 'seconds'}.",
            retry_after=seconds,
        )
