"""Implements `Vision` for models that are batched: pictures become attachments of a prompt.

Owns the order of the work: every picture of a request is counted before any is encoded, and one is
encoded at a time, in a turn of its own, so that streams wait for one picture at most.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

import torch

from llm_service.engine.batched.failures import failure_of
from llm_service.engine.budget import Turn
from llm_service.engine.picture import Picture
from llm_service.engine.prompt import Attachment, Prompt
from llm_service.engine.vision.cache import FeatureCache, SeenPicture
from llm_service.engine.vision.encoder import PictureEncoder
from llm_service.engine.vision.reader import PictureReader, Reading
from llm_service.errors import ContextLengthExceeded, InvalidRequest, Overloaded, ServiceError

T = TypeVar("T")
_KEPT_INPUTS = ("image_grid_thw",)  # what positions need; the pixels are large


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the work: tokens of a prompt, requests that wait, bytes of features to keep."""

    max_context: int
    max_waiting: int
    cache_bytes: int


class PicturePlacer:
    """Used on the event loop; the work is done on a thread of its own."""

    def __init__(
        self,
        reader: PictureReader,
        encoder: PictureEncoder,
        limits: Limits,
        *,
        turn: Turn,
        threads: int,
    ) -> None:
        """The encoder computes with `threads` threads, and only while it has the `turn`."""
        self._reader = reader
        self._encoder = encoder
        self._limits = limits
        self._turn = turn
        self._cache = FeatureCache(limits.cache_bytes)
        self._num_waiting = 0
        self._thread = ThreadPoolExecutor(
            1, "vision", initializer=torch.set_num_threads, initargs=(threads,)
        )

    async def place(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], salt: str
    ) -> Prompt:
        refuse_wrong_number(token_ids, self._reader.placeholder_id, pictures)
        if not pictures:
            return Prompt(tuple(token_ids))
        with self._admitted():
            await self._refuse_too_long(token_ids, pictures, salt)
            seen = [await self._run(self._see, picture, salt) for picture in pictures]
            return await self._run(self._prompt, token_ids, pictures, seen)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._num_waiting >= self._limits.max_waiting:
            raise Overloaded(
                f"{self._num_waiting} requests with images are waiting already; the queue is full.",
                retry_after=1,
            )
        self._num_waiting += 1
        try:
            yield
        finally:
            self._num_waiting -= 1

    async def _refuse_too_long(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], salt: str
    ) -> None:
        num_tokens = len(token_ids) - len(pictures)
        for picture in pictures:
            num_tokens += await self._run(self._count, picture, salt)
        if num_tokens >= self._limits.max_context:
            raise ContextLengthExceeded.of_prompt(
                self._limits.max_context, num_tokens, param="messages"
            )

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do `work` on the thread; work that has not begun ends with the caller's task."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # The rest runs on the thread.

    def _count(self, picture: Picture, salt: str) -> int:
        """Return the number of tokens that the picture becomes."""
        seen = self._cache.get((salt, picture.content_hash))
        reading = seen.reading if seen else self._reader.read(picture)
        return len(reading.token_ids)

    def _see(self, picture: Picture, salt: str) -> SeenPicture:
        key = salt, picture.content_hash
        seen = self._cache.get(key)
        if seen is None:
            # It is read again: the pixels of all pictures that wait could take gigabytes.
            seen = self._encoded(self._reader.read(picture))
            self._cache.put(key, seen)
        return seen

    def _encoded(self, reading: Reading) -> SeenPicture:
        try:
            with self._turn:
                features = self._encoder.features(reading.inputs, reading.num_features)
        except ServiceError:
            raise
        except Exception as error:
            raise failure_of(error) from error
        kept = {name: reading.inputs[name] for name in _KEPT_INPUTS if name in reading.inputs}
        return SeenPicture(replace(reading, inputs=kept), features)

    def _prompt(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], seen: Sequence[SeenPicture]
    ) -> Prompt:
        ids: list[int] = []
        attachments: list[Attachment] = []
        pairs = zip(pictures, seen, strict=True)
        for token_id in token_ids:
            if token_id != self._reader.placeholder_id:
                ids.append(token_id)
                continue
            picture, each = next(pairs)
            attachments += _attachments(len(ids), picture, each)
            ids += each.reading.token_ids
        runs = [(attachment.start, attachment.end) for attachment in attachments]
        inputs = [each.reading.inputs for each in seen]
        return Prompt(tuple(ids), tuple(attachments), self._encoder.positions(ids, runs, inputs))


def refuse_wrong_number(
    token_ids: Sequence[int], placeholder_id: int, pictures: Sequence[Picture]
) -> None:
    """Raise InvalidRequest unless the template wrote one placeholder for each picture."""
    num_placeholders = list(token_ids).count(placeholder_id)
    if num_placeholders != len(pictures):
        raise InvalidRequest(
            f"The messages have {len(pictures)} images, but the model's chat template has written"
            f" {num_placeholders}: send images only in messages for which it has a place.",
            param="messages",
        )


def _attachments(start: int, picture: Picture, seen: SeenPicture) -> Iterator[Attachment]:
    """Yield one attachment for each run of features; the picture's tokens begin at `start`."""
    features, first = seen.features, 0
    for number, (begin, end) in enumerate(seen.reading.runs):
        last = first + end - begin
        yield Attachment(
            start + begin,
            end - begin,
            sha256(picture.content_hash + number.to_bytes(4)).digest(),
            features.embeddings[first:last],
            tuple(each[first:last] for each in features.deepstack),
        )
        first = last
