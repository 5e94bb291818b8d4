"""Makes pixels of an image file: upright, RGB, the first frame, alpha over white.

Runs in worker threads. The file's header is read first, so that an image that is too large is
refused before memory for its pixels is allocated.
"""

import io
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image

from llm_service.engine.picture import Picture
from llm_service.images.errors import BadImage
from llm_service.images.formats import READABLE, READABLE_WORDS, format_of
from llm_service.images.limits import BYTES_PER_PIXEL

_ORIENTATION = 0x0112  # the EXIF tag
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NOTHING = Image.new("1", (1, 1))
# Encoders write about ten scans. Each takes the time of the whole image, and a few bytes of a file.
_MAX_SCANS = 32
_START_OF_SCAN = b"\xff\xda"
_HIGH_BYTES = [value >> 8 for value in range(65536)]
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(slots=True)
class OpenImage:
    """An image of which only the header has been read."""

    image: Image.Image
    num_file_bytes: int

    @property
    def num_bytes(self) -> int:
        """What the file and the decoded image take."""
        return self.num_file_bytes + self.image.width * self.image.height * BYTES_PER_PIXEL

    def decode(self, max_pixels: int | None) -> Picture:
        """Return the pixels, once. `max_pixels` is passed on. Raises BadImage."""
        try:
            self.image.load()
            rgb = _as_rgb(_upright(self.image))
        except MemoryError:
            raise
        except Exception as error:  # what a codec raises for a broken file is not specified
            raise BadImage(_broken_words(error)) from None
        finally:
            self.image = _NOTHING  # frees the memory of the original
        pixels = rgb.tobytes()
        return Picture(
            width=rgb.width,
            height=rgb.height,
            pixels=pixels,
            content_hash=_hash(rgb.width, rgb.height, max_pixels, pixels),
            max_pixels=max_pixels,
        )


def open_image(content: bytes, max_pixels: int) -> OpenImage:
    """Read the header. Raises BadImage for other formats, broken headers and too many pixels."""
    if not content:
        raise BadImage("is empty")
    name = format_of(content)
    if name not in READABLE:
        if name is None:
            raise BadImage(f"is not an image in a known format: send {READABLE_WORDS}")
        raise BadImage(f"is {_article(name)} {name} file: send {READABLE_WORDS}")
    if name == "JPEG" and content.count(_START_OF_SCAN) > _MAX_SCANS:
        raise BadImage(f"has more than {_MAX_SCANS} scans")
    try:
        image = Image.open(io.BytesIO(content), formats=[name.upper()])
    except _TOO_LARGE:
        raise BadImage(f"has more than the {max_pixels:,} pixels that are allowed") from None
    except MemoryError:
        raise
    except Exception:  # as in `decode`
        raise BadImage(f"is not a valid {name} file") from None
    num_pixels = image.width * image.height
    if num_pixels < 1:
        raise BadImage("has no pixels")
    if num_pixels > max_pixels:
        raise BadImage(
            f"has {image.width} x {image.height} pixels, which is more than the {max_pixels:,}"
            " that are allowed"
        )
    return OpenImage(image, len(content))


def _article(name: str) -> str:
    return "an" if name[0] in "AEHIS" and name.isupper() else "a"


def _broken_words(error: Exception) -> str:
    """Say that the file ends early, if that is what is wrong. The library's words stay inside."""
    is_cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return "is truncated: its file ends too early" if is_cut else "is broken and cannot be decoded"


def _upright(image: Image.Image) -> Image.Image:
    """Apply the orientation that cameras write into EXIF. Broken EXIF does not spoil an image."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:
        return image
    method = _TRANSPOSES.get(orientation) if isinstance(orientation, int) else None
    if method is None:
        return image
    # The transparent color is not in the copy's info where a mode other than P has one.
    turned = image.transpose(method)
    turned.info |= {k: v for k, v in image.info.items() if k == "transparency"}
    return turned


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB. Transparent parts show white; 16 bits lose their lower half."""
    if image.mode.startswith("I"):
        return _gray16_as_rgb(image)
    transparency = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(transparency, tuple) and max(transparency) > 255:
        # A file of 16 bits, of which the pixels have the upper half.
        image.info["transparency"] = tuple(value >> 8 for value in transparency)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
    return _over_white(with_alpha.convert("RGB"), with_alpha.getchannel("A"))


def _gray16_as_rgb(image: Image.Image) -> Image.Image:
    values = image.convert("I")
    gray = values.point(_HIGH_BYTES, "L").convert("RGB")
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return gray
    opaque = [0 if value == transparent else 255 for value in range(65536)]
    return _over_white(gray, values.point(opaque, "L"))


def _over_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    white = Image.new("RGB", rgb.size, "white")
    white.paste(rgb, mask=alpha)
    return white


def _hash(width: int, height: int, max_pixels: int | None, pixels: bytes) -> bytes:
    digest = sha256(f"{width} {height} {max_pixels} ".encode())
    digest.update(pixels)
    return digest.digest()
