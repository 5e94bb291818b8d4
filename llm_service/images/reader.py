"""Turns the images of a request into pictures: counted, fetched, checked, decoded, in this order.

Every step has a bound, and no step runs on the event loop. Headers of all images are read before
any of them is decoded, so that a request with one image that is too large costs nothing.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import anyio
from anyio import to_thread

from llm_service.engine.picture import Picture
from llm_service.errors import ImageMemoryFull, InvalidRequest
from llm_service.images.decoding import OpenImage, open_image
from llm_service.images.errors import BadImage
from llm_service.images.fetching import Fetcher
from llm_service.images.limits import ImageLimits
from llm_service.images.sources import ImageSource, read_inline

MAX_FETCHING = 8  # images that are fetched at once


class ImageReader:
    """Reads images. One per service: what the images of all requests take is counted together."""

    def __init__(self, limits: ImageLimits, fetcher: Fetcher) -> None:
        self.limits = limits
        self._fetcher = fetcher
        # One at a time: decoding takes several times the memory of its result for a moment.
        self._decoding = anyio.CapacityLimiter(1)
        self._fetching = anyio.Semaphore(MAX_FETCHING)
        self.num_held_bytes = 0

    @asynccontextmanager
    async def read(self, sources: Sequence[ImageSource]) -> AsyncIterator[list[Picture]]:
        """Yield the pictures, which count as held until the block is left.

        Raises InvalidRequest that names the image's field, and ImageMemoryFull.
        """
        self._check(sources)
        held = _Held(self)
        try:
            opened: list[OpenImage] = []
            for source in sources:
                opened.append(await self._open(source))
                held.add(opened[-1].num_bytes, source.param)
            yield [
                await self._decode(source, image)
                for source, image in zip(sources, opened, strict=True)
            ]
        finally:
            self.num_held_bytes -= held.num_bytes

    def _check(self, sources: Sequence[ImageSource]) -> None:
        """Refuse what can be refused before any image is looked at."""
        limit = self.limits.max_images
        if len(sources) > limit:
            raise InvalidRequest(
                f"The request has {len(sources)} images; {limit} are allowed.",
                param=sources[limit].param,
            )
        for source in sources:
            if source.is_remote:
                with _naming(source):
                    self._fetcher.check(source.text)

    async def _open(self, source: ImageSource) -> OpenImage:
        limits = self.limits
        with _naming(source):
            if source.is_remote:
                async with self._fetching:
                    content = await self._fetcher.fetch(source.text, limits.max_bytes)
                read = partial(open_image, content, limits.max_pixels)
            else:
                read = partial(_open_inline, source, limits)
            return await to_thread.run_sync(read, limiter=self._decoding)

    async def _decode(self, source: ImageSource, image: OpenImage) -> Picture:
        with _naming(source):
            decode = partial(image.decode, source.max_pixels)
            return await to_thread.run_sync(decode, limiter=self._decoding)


class _Held:
    """What the images of one request take."""

    def __init__(self, reader: ImageReader) -> None:
        self.num_bytes = 0
        self._reader = reader

    def add(self, num_bytes: int, param: str) -> None:
        self.num_bytes += num_bytes
        self._reader.num_held_bytes += num_bytes
        limit = self._reader.limits.max_held_bytes
        if self.num_bytes > limit:
            raise InvalidRequest(
                f"The images of the request are too large together: decoded, they take more than"
                f" {limit // 2**20} MiB.",
                param=param,
            )
        if self._reader.num_held_bytes > limit:
            raise ImageMemoryFull(
                "The service holds as many images as it can. Try again in a second.",
                retry_after=1,
            )


def _open_inline(source: ImageSource, limits: ImageLimits) -> OpenImage:
    return open_image(read_inline(source, limits.max_bytes), limits.max_pixels)


@contextmanager
def _naming(source: ImageSource) -> Iterator[None]:
    """Turn what is wrong with an image into an error that names its field."""
    try:
        yield
    except BadImage as error:
        raise InvalidRequest(f"{source.param} {error.words}.", param=source.param) from None
