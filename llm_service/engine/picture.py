"""An image of a conversation, as the engine takes it. Imports neither torch nor Pillow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a conversation, decoded: upright, RGB, rows from the top.

    `pixels` has three bytes per pixel. `content_hash` identifies the picture: 32 bytes, SHA-256 of
    the size, the pixels and `max_pixels`. A picture with more than `max_pixels` pixels is scaled
    down to them; None: to what the model's own processor chooses.
    """

    width: int
    height: int
    pixels: bytes
    content_hash: bytes
    max_pixels: int | None = None
