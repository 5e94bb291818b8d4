"""Knows a file's format by its first bytes. What a sender says about the type is not believed."""

READABLE = ("PNG", "JPEG", "WebP", "GIF")
READABLE_WORDS = "PNG, JPEG, WebP or GIF"

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%PDF-", "PDF"),
    (b"8BPS", "PSD"),
    (b"\0\0\1\0", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}  # other brands of an ISO file with images are HEIC's
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"hevm", b"hevs"}
)
_NUM_TEXT = 1024  # bytes in which a file of text shows what it is


def format_of(content: bytes) -> str | None:
    """Return the name of the format, one of READABLE or another known one; None: unknown."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        if brand in _BRANDS:
            return _BRANDS[brand]
        return "HEIC" if brand in _HEIC_BRANDS else "video"
    for beginning, name in _BEGINNINGS:
        if content.startswith(beginning):
            return name
    return _text_format(content[:_NUM_TEXT])


def _text_format(beginning: bytes) -> str | None:
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in text:
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "HTML"
    return "XML" if text.startswith(b"<?xml") else None
