"""What the images of a request may cost."""

from dataclasses import dataclass

# Image files and decoded images of all requests together. One request may have as many, so that any
# request can be answered when no other one is there.
MAX_HELD_BYTES = 192 * 2**20
BYTES_PER_PIXEL = 3


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The bounds of the settings: images per request, and bytes and pixels of each."""

    max_images: int
    max_bytes: int
    max_pixels: int

    @property
    def max_held_bytes(self) -> int:
        return max(MAX_HELD_BYTES, self.max_bytes + self.max_pixels * BYTES_PER_PIXEL)
