"""An image of a conversation, as the engine takes it. Imports neither torch nor Pillow."""

from dataclasses import dataclass

# Larger pictures are scaled down, whatever the model's processor allows, because the memory that an
# encoder takes grows with them. It is the limit that transformers sets for Qwen's models: on a CPU,
# the 1280 tokens that such a picture becomes take some 15 s.
MAX_PIXELS = 1280 * 28 * 28


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a conversation, decoded: upright, RGB, rows from the top.

    `pixels` has three bytes per pixel. `content_hash` identifies the picture: 32 bytes, SHA-256 of
    the size, the pixels and `max_pixels`. A picture with more than `max_pixels` pixels, or with
    more than MAX_PIXELS, is scaled down to them. The model's own processor may scale it further.
    """

    width: int
    height: int
    pixels: bytes
    content_hash: bytes
    max_pixels: int | None = None
