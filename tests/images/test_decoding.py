"""Files become upright RGB pixels, or are refused before they cost much."""

import base64
import contextlib
import io
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from llm_service.engine.picture import Picture
from llm_service.images.decoding import open_image
from llm_service.images.errors import BadImage
from llm_service.images.formats import format_of
from llm_service.images.sources import ImageSource, read_inline
from tests.images.files import (
    MAX_BYTES,
    MAX_PIXELS,
    bad_files,
    chunk,
    gradient,
    jpeg_with_scans,
    png,
    saved,
)

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)
BAD = bad_files()


def decode(content: bytes, max_pixels: int | None = None) -> Picture:
    return open_image(content, MAX_PIXELS).decode(max_pixels)


def pixel(picture: Picture, x: int, y: int) -> tuple[int, ...]:
    start = 3 * (y * picture.width + x)
    return tuple(picture.pixels[start : start + 3])


def corners(size: tuple[int, int] = (6, 4)) -> Image.Image:
    """A white image whose upper left corner is red, and whose upper right one is blue."""
    image = Image.new("RGB", size, "white")
    image.putpixel((0, 0), RED)
    image.putpixel((size[0] - 1, 0), BLUE)
    return image


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})],
)
def test_pixels_are_rgb_rows_from_the_top(file_format: str, options: dict[str, Any]) -> None:
    picture = decode(saved(corners(), file_format, **options))
    assert (picture.width, picture.height) == (6, 4)
    assert picture.pixels == corners().tobytes()


def test_a_jpeg_is_decoded_as_pillow_does() -> None:
    content = saved(gradient(), "JPEG", progressive=True)
    assert decode(content).pixels == Image.open(_file(content)).convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_the_orientation_of_a_camera_is_applied(file_format: str, orientation: int) -> None:
    turns = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored so, it must be turned back
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turn = turns[orientation]
    stored = corners() if turn is None else corners().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    picture = decode(saved(stored, file_format, exif=exif.tobytes(), **options))
    assert (picture.width, picture.height) == (6, 4)
    assert picture.pixels == corners().tobytes()


def test_broken_exif_does_not_spoil_an_image() -> None:
    content = saved(corners(), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(content).pixels == corners().tobytes()


def test_transparent_parts_show_white() -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    for file_format in ("PNG", "WEBP"):
        picture = decode(saved(image, file_format, lossless=True))
        assert [pixel(picture, x, 0) for x in range(3)] == [WHITE, RED, (127, 127, 127)]


def test_a_palette_may_have_a_transparent_color() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    for file_format in ("PNG", "GIF"):
        opaque = decode(saved(image, file_format))
        assert [pixel(opaque, x, 0) for x in range(2)] == [(0, 0, 0), RED]
        holed = decode(saved(image, file_format, transparency=0))
        assert [pixel(holed, x, 0) for x in range(2)] == [WHITE, RED]


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_is_gray(mode: str) -> None:
    image = Image.new("L", (2, 1), 0)
    image.putpixel((1, 0), 255)
    picture = decode(saved(image.convert(mode), "PNG"))
    assert [pixel(picture, x, 0) for x in range(2)] == [(0, 0, 0), WHITE]


def test_cmyk_is_converted() -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    red, green, blue = pixel(decode(saved(image, "JPEG", quality=95)), 16, 16)
    assert red > 240
    assert green < 15
    assert blue < 15


def test_sixteen_bits_keep_their_upper_half() -> None:
    values = [0, 255, 256, 0x8000, 0xFFFF]
    gray = png(5, 1, b"\0" + struct.pack(">5H", *values), depth=16, color=0)
    assert decode(gray).pixels == bytes(v >> 8 for v in values for _ in range(3))
    color = png(1, 1, b"\0" + struct.pack(">3H", 0x12FF, 0x8000, 0xFFFF), depth=16, color=2)
    assert decode(color).pixels == bytes([0x12, 0x80, 0xFF])


def test_sixteen_bits_may_have_a_transparent_color() -> None:
    transparent = chunk(b"tRNS", struct.pack(">H", 300))
    rows = b"\0" + struct.pack(">2H", 300, 301)
    gray = decode(png(2, 1, rows, depth=16, color=0, extra=transparent))
    assert [pixel(gray, x, 0) for x in range(2)] == [WHITE, (1, 1, 1)]
    transparent = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    rows = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0)
    color = decode(png(2, 1, rows, depth=16, color=2, extra=transparent))
    assert [pixel(color, x, 0) for x in range(2)] == [WHITE, (0, 0, 0)]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_its_first_frame(file_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "white")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert decode(content).pixels == bytes(RED) * 64


def test_the_hash_covers_size_pixels_and_what_detail_allows() -> None:
    content = saved(corners(), "PNG")
    picture = decode(content)
    assert len(picture.content_hash) == sha256().digest_size
    # The same pixels in another file are the same picture.
    assert decode(saved(corners(), "WEBP", lossless=True)).content_hash == picture.content_hash
    others = [
        decode(content, 100),
        decode(saved(corners((4, 6)), "PNG")),
        decode(saved(Image.frombytes("RGB", (4, 6), corners().tobytes()), "PNG")),
    ]
    assert len({picture.content_hash, *(other.content_hash for other in others)}) == 4


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_words(name: str) -> None:
    source = ImageSource(base64.b64encode(BAD[name]).decode(), "images.0")
    with pytest.raises(BadImage) as refused:
        decode(read_inline(source, MAX_BYTES))
    assert refused.value.words.startswith(("is ", "has "))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("most of a PNG", "is truncated"),
        ("most of a JPEG", "is truncated"),
        ("most of a GIF", "is truncated"),
        ("PNG of few rows", "is truncated"),
        ("PNG of one pixel too many", "more than the 1,000,000 that are allowed"),
        ("PNG of 10 gigapixels", "more than the 1,000,000 pixels that are allowed"),
        ("JPEG of 100 scans", "has more than 32 scans"),
        ("nothing", "is empty"),
        ("SVG", "is an SVG"),
        ("SVG after a declaration", "is an SVG"),
        ("TIFF", "is a TIFF"),
        ("BMP", "is a BMP"),
        ("PDF", "is a PDF"),
        ("HEIC", "is an HEIC"),
        ("AVIF", "is an AVIF"),
        ("HTML", "is an HTML"),
        ("text", "is not an image in a known format: send PNG, JPEG, WebP or GIF"),
    ],
)
def test_a_refusal_says_what_is_wrong(name: str, words: str) -> None:
    with pytest.raises(BadImage) as refused:
        decode(BAD[name])
    assert words in refused.value.words


def test_a_usual_number_of_scans_is_accepted() -> None:
    assert decode(jpeg_with_scans(8)).width == 64


def test_the_first_bytes_decide_the_format() -> None:
    assert format_of(saved(corners(), "PNG")) == "PNG"
    assert format_of(b"RIFF\0\0\0\0WAVE") is None
    assert format_of(b"") is None


def test_bombs_leave_no_memory_behind() -> None:
    bombs = [BAD[name] for name in BAD if "giga" in name or " MB of " in name or "zeros" in name]
    largest = saved(Image.new("RGB", (1000, 1000)), "PNG")
    for content in (*bombs, largest):  # what is loaded once
        _try(content)
    before = _resident_bytes()
    for _ in range(20):
        for content in (*bombs, largest):
            _try(content)
    assert _resident_bytes() - before < 32 * 2**20


def _try(content: bytes) -> None:
    with contextlib.suppress(BadImage):
        decode(content)


def _resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def _file(content: bytes) -> Any:
    return io.BytesIO(content)
