"""Charges an inference request to its key before any work is done for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llm_service.access.api_key import ApiKey
from llm_service.access.limits import Limiter, Permit
from llm_service.engine import ModelInfo


class Admission:
    """Charges requests to their keys, and bounds the choices that one key may have at once."""

    def __init__(self, limiter: Limiter, max_choices_per_key: int | None) -> None:
        """If `max_choices_per_key` is None, the bound follows from each model's slots and queue."""
        self._limiter = limiter
        self._max_choices_per_key = max_choices_per_key

    @asynccontextmanager
    async def charged(
        self, key: ApiKey, info: ModelInfo, num_choices: int = 0
    ) -> AsyncIterator[Permit]:
        """Charge one request for `num_choices` sequences of a model. Raises RateLimited.

        If the body fails, the charge is given back: a prompt that turns out to be wrong costs the
        key's budget of refused requests instead (`access/refusals`). After the body the permit is
        open, unless the body has ended it.
        """
        permit = await self._limiter.admit(
            key, 0, num_choices=num_choices, max_choices=self.choices_per_key(info)
        )
        try:
            yield permit
        except BaseException:
            permit.refund()
            raise

    def choices_per_key(self, info: ModelInfo) -> int:
        """By default one key can fill every slot and half of the queue, but no more."""
        if self._max_choices_per_key is not None:
            return self._max_choices_per_key
        return info.max_batch_size + info.max_waiting // 2
