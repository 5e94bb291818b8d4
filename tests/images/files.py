"""Image files that tests make: good ones, and ones that are broken in many ways."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

MAX_PIXELS = 1_000_000
MAX_BYTES = 400_000


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(
    width: int, height: int, rows: bytes, *, depth: int = 8, color: int = 2, extra: bytes = b""
) -> bytes:
    """A PNG file; `rows` are its rows, each after a zero, `extra` further chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def gradient(size: int = 64) -> Image.Image:
    return Image.linear_gradient("L").convert("RGB").resize((size, size))


def jpeg_with_scans(number: int) -> bytes:
    """A progressive JPEG file whose last scan is repeated."""
    content = saved(gradient(), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * number + content[-2:]


def bad_files() -> dict[str, bytes]:
    """Files that must be refused, by what is wrong with them."""
    image = gradient()
    whole = {name: saved(image, name) for name in ("PNG", "JPEG", "WEBP", "GIF")}
    halves = {
        f"most of a {name}": content[: len(content) * 3 // 4] for name, content in whole.items()
    }
    heads = {f"{name} of 20 bytes": content[:20] for name, content in whole.items()}
    size = struct.pack("<I", 30)
    canvas = b"\xff\xff\xff\xff\xff\x00"  # 2^24 wide, 65,536 high
    bombs = {
        "PNG of 10 gigapixels": png(100_000, 100_000, b""),
        "PNG of one pixel too many": png(MAX_PIXELS + 1, 1, b""),
        "PNG of 2^31 x 1": png(2**31 - 1, 1, b""),
        "gray PNG that is all zeros": png(20_000, 20_000, b"\0" * 9_000_000, depth=1, color=0),
        "WebP of 1,000 gigapixels": b"RIFF" + size + b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas,
        "GIF of 4 gigapixels": b"GIF89a\xff\xff\xff\xff\0\0\0" + whole["GIF"][13:],
        "GIF with a frame beyond its canvas": b"GIF89a\x0a\0\x0a\0\0\0\0,"
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
        + b"\x08\x01\0\0;",
        "JPEG of 4 gigapixels": _jpeg_of(65500, 65500),
        "JPEG of 100 scans": jpeg_with_scans(100),
        "PNG with 80 MB of compressed text": png(
            8,
            8,
            b"\0" * 25 * 8,
            extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 1_000_000)) * 80,
        ),
        "PNG with 50 MB of color profile": png(
            8,
            8,
            b"\0" * 25 * 8,
            extra=chunk(b"iCCP", b"k\0\0" + zlib.compress(b"a" * 50_000_000)),
        ),
        "file of too many bytes": whole["PNG"] + b"\0" * MAX_BYTES,
    }
    broken = {
        "PNG without rows": png(64, 64, b""),
        "PNG of few rows": png(64, 64, b"\0" * 300),
        "PNG of width zero": png(0, 5, b""),
        "PNG of height zero": png(5, 0, b""),
        "PNG of 7 bits": png(8, 8, b"", depth=7),
        "PNG of a color type that does not exist": png(8, 8, b"", color=5),
        "PNG with a wrong checksum": whole["PNG"][:60] + b"xxxx" + whole["PNG"][64:],
        "PNG that is not compressed": whole["PNG"].replace(b"IDAT\x78", b"IDAT\x00"),
        "GIF of size zero": b"GIF89a\0\0\0\0\0\0\0;",
        "GIF without a frame": whole["GIF"][:13] + b";",
        "JPEG without a size": whole["JPEG"].replace(b"\xff\xc0", b"\xff\xfe"),
        "JPEG of noise": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8,
        "WebP of noise": b"RIFF" + struct.pack("<I", 2052) + b"WEBPVP8 " + bytes(range(256)) * 8,
        "nothing": b"",
    }
    others = {
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "SVG after a declaration": b'\xef\xbb\xbf <?xml version="1.0"?>\n<!-- x --><svg></svg>',
        "TIFF": saved(image, "TIFF"),
        "BMP": saved(image, "BMP"),
        "ICO": saved(image, "ICO"),
        "PDF": saved(image, "PDF"),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 64,
        "JPEG XL": b"\xff\x0a" + b"\0" * 64,
        "HEIC": b"\0\0\0\x18ftypheic" + b"\0" * 64,
        "AVIF": b"\0\0\0\x1cftypavif" + b"\0" * 64,
        "video": b"\0\0\0\x18ftypisom" + b"\0" * 64,
        "PSD": b"8BPS\0\1" + b"\0" * 64,
        "PPM": saved(image, "PPM"),
        "HTML": b"<!doctype html><html><body>Not found</body></html>",
        "text": b"This is not an image.",
        "zeros": b"\0" * 100,
    }
    return {**halves, **heads, **bombs, **broken, **others}


def _jpeg_of(width: int, height: int) -> bytes:
    content = saved(gradient(), "JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]
