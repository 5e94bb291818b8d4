"""Cancels a request on the replica that runs it, whichever replica was asked, through Redis.

Every replica listens on one channel. The replica that gets the call publishes a question there.
Each replica that receives it cancels what it runs under that id, and publishes how many requests
those were. Redis stores nothing. Without Redis there are no other replicas to ask. This module
knows no requests: it is given the function that cancels them.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from llm_service.access.redis import RedisAway, RedisLink

CHANNEL = "llm:cancellations"
ANSWER_SECONDS = 2.0

CancelHere = Callable[[str, str], int]  # request id and who wants it -> number of requests


@dataclass(frozen=True, slots=True)
class Answers:
    """What other replicas cancelled. If not `is_complete`, some may not have been reached."""

    num_cancelled: int
    is_complete: bool


class Cancellations:
    """One per service. Everything runs on the event loop."""

    def __init__(self, link: RedisLink | None) -> None:
        self._link = link
        self._answers: dict[str, asyncio.Queue[int]] = {}  # by question

    async def ask(self, request_id: str, by: str) -> Answers:
        """Ask all replicas to cancel `request_id`. This one is asked too, so cancel here first."""
        if self._link is None:
            return Answers(0, is_complete=True)
        question = secrets.token_hex(8)
        self._answers[question] = asyncio.Queue()
        try:
            return await self._ask(self._link, question, request_id, by)
        finally:
            del self._answers[question]

    async def run(self, cancel_here: CancelHere) -> None:
        """Listen and answer, until cancelled."""
        if self._link is not None:
            hear = partial(self._hear, self._link, cancel_here)
            await self._link.hear(CHANNEL, hear)

    async def _ask(self, link: RedisLink, question: str, request_id: str, by: str) -> Answers:
        num_cancelled = 0
        if not link.is_up:
            return Answers(num_cancelled, is_complete=False)
        asked = {"question": question, "request_id": request_id, "by": by}
        try:
            num_hearers = await link.publish(CHANNEL, json.dumps(asked))
            async with asyncio.timeout(ANSWER_SECONDS):
                for _ in range(num_hearers):
                    num_cancelled += await self._answers[question].get()
        except (RedisAway, TimeoutError):
            return Answers(num_cancelled, is_complete=False)
        return Answers(num_cancelled, is_complete=True)

    async def _hear(self, link: RedisLink, cancel_here: CancelHere, message: bytes) -> None:
        try:
            heard = json.loads(message)
        except ValueError:
            return
        match heard:
            case {"question": str(question), "request_id": str(request_id), "by": str(by)}:
                answer = {"answers": question, "num_cancelled": cancel_here(request_id, by)}
                with contextlib.suppress(RedisAway):
                    await link.publish(CHANNEL, json.dumps(answer))
            case {"answers": str(question), "num_cancelled": int(num_cancelled)}:
                if question in self._answers:
                    self._answers[question].put_nowait(num_cancelled)
