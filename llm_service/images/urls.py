"""Which URLs images may be fetched from: `LLM_IMAGE_URLS`, and the spelling of a URL.

URLs that parsers read differently are refused rather than repaired: what was checked must be what
is fetched. So a host is a plain name in lower-case ASCII; an address in any spelling is none.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm_service.images.errors import BadImage

OFF = "off"
ANY_HOST = "https"
HTTPS_PORT = 443
MAX_URL = 2048  # characters
_PLAIN = re.compile(r"[!-\[\]-~]+")  # printable ASCII without space and backslash
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
# Where the last label is a number, libraries read the host as an address: 127.1, 0x7f.1, 2130706433
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port to connect to, and what to ask for there."""

    host: str
    port: int
    target: str  # path and query

    @property
    def url(self) -> str:
        port = "" if self.port == HTTPS_PORT else f":{self.port}"
        return f"https://{self.host}{port}{self.target}"


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """`allowed` has hosts with their ports; None: all hosts, on the port of https."""

    is_on: bool
    allowed: frozenset[tuple[str, int]] | None = None

    @classmethod
    def of(cls, setting: str) -> "UrlPolicy":
        """Read `LLM_IMAGE_URLS`: `off`, `https`, or hosts. Raises ValueError."""
        setting = setting.strip().lower()
        if setting in ("", OFF):
            return cls(is_on=False)
        if setting == ANY_HOST:
            return cls(is_on=True)
        items = [item.strip() for item in setting.split(",") if item.strip()]
        return cls(is_on=True, allowed=frozenset(map(_host_and_port, items)))

    def place(self, url: str) -> Place:
        """Return where `url` leads. Raises BadImage if it may not be fetched."""
        if not self.is_on:
            raise BadImage(
                "is a URL, and this service does not fetch images: send a data URL, such as"
                " data:image/png;base64,..."
            )
        place = _parsed(url)
        if self.allowed is None:
            if place.port != HTTPS_PORT:
                raise BadImage(f"is a URL with a port other than {HTTPS_PORT}")
        elif (place.host, place.port) not in self.allowed:
            raise BadImage("is a URL of a host from which this service does not fetch images")
        return place


def _parsed(url: str) -> Place:
    if len(url) > MAX_URL:
        raise BadImage(f"is a URL of more than {MAX_URL} characters")
    if not _PLAIN.fullmatch(url):
        raise BadImage("is a URL with characters that have to be percent-encoded")
    try:
        parts = urlsplit(url)
        port = HTTPS_PORT if parts.port is None else parts.port
    except ValueError:
        raise BadImage("is not a valid URL") from None
    if parts.scheme != "https":
        raise BadImage("is a URL of another scheme than https")
    if "@" in parts.netloc:
        raise BadImage("is a URL with a user name")
    host = parts.netloc.partition(":")[0].lower()
    if not is_host_name(host):
        raise BadImage("is a URL whose host is not a plain host name")
    path = parts.path or "/"
    return Place(host, port, f"{path}?{parts.query}" if parts.query else path)


def is_host_name(host: str) -> bool:
    """Return whether `host` is a name, and cannot be read as an address in any spelling."""
    if len(host) > 253 or not _HOST.fullmatch(host):
        return False
    return not _NUMBER.fullmatch(host.rpartition(".")[2])


def _host_and_port(item: str) -> tuple[str, int]:
    host, sign, port = item.partition(":")
    is_port = not sign or (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536)
    if not is_host_name(host) or not is_port:
        raise ValueError(
            f"{item!r} is not a host: write off, https, or hosts such as images.example or"
            " images.example:8443."
        )
    return host, int(port) if sign else HTTPS_PORT
