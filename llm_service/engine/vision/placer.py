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
from llm_service.engine.vision.cache import FeatureCache, LiveFeatures, SeenPicture
from llm_service.engine.vision.encoder import Features, PictureEncoder
from llm_service.engine.vision.reader import PictureReader, Reading
from llm_service.errors import ContextLengthExceeded, InvalidRequest, Overloaded, ServiceError

T = TypeVar("T")
_KEPT_INPUTS = ("image_grid_thw",)  # what positions need; the pixels are large


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the work: tokens of a prompt, requests that wait, bytes of features.

    At most `cache_bytes` of the `feature_bytes` are of pictures that are in no prompt.
    """

    max_context: int
    max_waiting: int
    cache_bytes: int
    feature_bytes: int


class Places:
    """Bounds the requests whose pictures are read or wait for it."""

    def __init__(self, max_waiting: int) -> None:
        self._num_free = max_waiting

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place. Raises Overloaded if there is none."""
        if self._num_free <= 0:
            raise Overloaded(
                "Too many requests with images are waiting already; the queue is full.",
                retry_after=1,
            )
        self._num_free -= 1
        try:
            yield
        finally:
            self._num_free += 1


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
        self._live = LiveFeatures()
        self._places = Places(limits.max_waiting)
        self._thread = ThreadPoolExecutor(
            1, "vision", initializer=torch.set_num_threads, initargs=(threads,)
        )

    async def place(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], salt: str
    ) -> Prompt:
        refuse_wrong_number(token_ids, self._reader.placeholder_id, pictures)
        if not pictures:
            return Prompt(tuple(token_ids))
        with self._places.taken():
            await self._refuse_too_long(token_ids, pictures, salt)
            seen: list[SeenPicture] = []
            for picture in pictures:
                self._refuse_overload(seen)
                seen.append(await self._run(self._see, picture, salt))
            return await self._run(self._prompt, token_ids, pictures, seen)

    def _refuse_overload(self, own: Sequence[SeenPicture]) -> None:
        """Raise Overloaded if the features of other requests take all the memory there is.

        A request alone is never refused, since the context bounds it.
        """
        num_bytes = self._live.num_bytes - sum(seen.num_bytes for seen in own)
        if num_bytes >= self._limits.feature_bytes:
            raise Overloaded(
                "The images of other requests take all the memory that there is for images.",
                retry_after=1,
            )

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
        parts = tuple(_parts(features, reading))
        self._live.watch(parts)
        return SeenPicture(replace(reading, inputs=kept), parts)

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
    pairs = zip(seen.reading.runs, seen.parts, strict=True)
    for number, ((begin, end), part) in enumerate(pairs):
        content_hash = sha256(picture.content_hash + number.to_bytes(4)).digest()
        yield Attachment(start + begin, end - begin, content_hash, part.embeddings, part.deepstack)


def _parts(features: Features, reading: Reading) -> Iterator[Features]:
    """Yield the features of each run."""
    first = 0
    for begin, end in reading.runs:
        last = first + end - begin
        deepstack = tuple(each[first:last] for each in features.deepstack)
        yield Features(features.embeddings[first:last], deepstack)
        first = last
