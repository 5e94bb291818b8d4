"""What callers write in place of an image: a data URL, bare base64, or the address of a web page.

Nothing else is read: no local path, no `file:` URL.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from llm_service.images.errors import BadImage

# What `detail` of a chat request allows, in pixels. None: what the engine takes at most.
DETAILS: dict[str, int | None] = {
    "low": 512 * 512,
    "auto": 768 * 768,
    "high": None,
    "original": None,
}
_DATA_URL = re.compile(r"data:(?P<type>[^,;]{0,100})(?P<parameters>(?:;[^,;]{0,100}){0,8}),", re.I)
_WEB_URL = re.compile(r"https?://", re.I)
_MARKDOWN = re.compile(r"\s*!?\[[^\]]{0,1000}\]\(\s*<?(?P<url>[^\s>)]+)>?(?:\s[^)]{0,1000})?\)\s*")
_SPACE = re.compile(r"\s")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:")
_MAX_HEAD = 1024  # characters of a data URL before its comma


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image of a request: its text, the field that has it, and what `detail` allows."""

    text: str
    param: str
    max_pixels: int | None = DETAILS["auto"]

    @property
    def is_remote(self) -> bool:
        return _WEB_URL.match(self.text) is not None


def without_markdown(text: str) -> str:
    """Return the URL of a Markdown link, `[words](url)` or `![words](url)`; else the text."""
    beginning = text[:64].lstrip()
    if not beginning.startswith(("[", "![")):
        return text
    match = _MARKDOWN.fullmatch(text)
    return text if match is None else match["url"]


def read_inline(source: ImageSource, max_bytes: int) -> bytes:
    """Return the bytes of a data URL or of bare base64. Raises BadImage."""
    text = source.text
    if text[:5].lower() == "data:":
        match = _DATA_URL.match(text, 0, _MAX_HEAD)
        if match is None:
            raise BadImage("is not a valid data URL: send data:image/png;base64,...")
        if "base64" not in match["parameters"].lower().split(";"):
            raise BadImage("must be a data URL in base64: data:image/png;base64,...")
        text = text[match.end() :]
    elif _SCHEME.match(text):
        raise BadImage(
            "must be a data URL, such as data:image/png;base64,..., or an https URL where the"
            " service allows these"
        )
    return _from_base64(text, max_bytes)


def _from_base64(text: str, max_bytes: int) -> bytes:
    # Line breaks are common, and few; what is left is 4 characters for 3 bytes.
    if len(text) > max_bytes * 4 // 3 + 4:
        text = _SPACE.sub("", text)
        if len(text) > max_bytes * 4 // 3 + 4:
            raise too_large(max_bytes)
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = _from_lenient_base64(text)
    if len(content) > max_bytes:
        raise too_large(max_bytes)
    return content


def _from_lenient_base64(text: str) -> bytes:
    """Accept white space, the alphabet of URLs, and missing padding."""
    plain = _SPACE.sub("", text).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("is not valid base64") from None


def too_large(max_bytes: int) -> BadImage:
    return BadImage(f"is larger than the {max_bytes:,} bytes that are allowed")
