"""Implements `Vision` for models that are not batched: `generate` gets what their processor makes.

The model encodes the pictures itself, within the first step of the request.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from llm_service.engine.picture import Picture
from llm_service.engine.prompt import Prompt
from llm_service.engine.vision.placer import Places, refuse_wrong_number
from llm_service.engine.vision.reader import PictureReader, without_text
from llm_service.errors import ContextLengthExceeded


class InputsPlacer:
    """Used on the event loop; the work is done on a thread of its own."""

    def __init__(self, reader: PictureReader, max_context: int, max_waiting: int) -> None:
        self._reader = reader
        self._max_context = max_context
        self._places = Places(max_waiting)
        self._thread = ThreadPoolExecutor(1, "vision")

    async def place(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], salt: str
    ) -> Prompt:
        refuse_wrong_number(token_ids, self._reader.placeholder_id, pictures)
        if not pictures:
            return Prompt(tuple(token_ids))
        loop = asyncio.get_running_loop()
        with self._places.taken():
            return await loop.run_in_executor(self._thread, self._place, token_ids, pictures)

    def _place(self, token_ids: Sequence[int], pictures: Sequence[Picture]) -> Prompt:
        return prompt_with_inputs(self._reader, token_ids, pictures, self._max_context)


def prompt_with_inputs(
    reader: PictureReader,
    token_ids: Sequence[int],
    pictures: Sequence[Picture],
    max_context: int | None = None,
) -> Prompt:
    """Return the prompt for the model's own `generate`.

    Raises InvalidRequest for a picture that cannot be read, and ContextLengthExceeded.
    """
    ids: list[int] = []
    kinds: list[int] = []
    kinds_field = ""
    rest = iter(pictures)
    for token_id in token_ids:
        if token_id != reader.placeholder_id:
            ids.append(token_id)
            kinds.append(0)
            continue
        reading = reader.read(next(rest))
        ids += reading.token_ids
        kinds += reading.kinds
        kinds_field = reading.kinds_field
        if max_context is not None and len(ids) >= max_context:
            raise ContextLengthExceeded.of_prompt(
                max_context, len(ids), param="messages", is_counted=False
            )

    def inputs() -> dict[str, Any]:
        # All together: processors pad the pictures of one request to the same size.
        found: dict[str, Any] = without_text(reader.read_all(pictures))
        return {**found, kinds_field: torch.tensor([kinds])} if kinds_field else found

    return Prompt(tuple(ids), inputs=inputs)
