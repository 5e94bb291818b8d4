"""Fetching images by URL reaches what is public and allowed, and nothing else."""

import asyncio
import contextlib
import gzip
from typing import Any

import pytest

from llm_service.images.addresses import is_public
from llm_service.images.errors import BadImage
from llm_service.images.fetching import MAX_REDIRECTS
from llm_service.images.urls import UrlPolicy
from tests.images.web import PUBLIC, Web, reply, serving

IMAGE = b"\x89PNG\r\n\x1a\n and so on"
NAMES = {"images.example": [[PUBLIC]], "cdn.example": [["2606:2800:220:1::1"]]}
URL = "https://images.example/a.png"


def answer_image(path: str, writer: asyncio.StreamWriter) -> None:
    reply(writer, IMAGE, Content_Type="text/plain")


def fetch(
    url: str,
    *,
    setting: str = "https",
    names: Any = NAMES,
    answer: Any = answer_image,
    max_bytes: int = 1000,
    seconds: float = 10,
) -> tuple[bytes | str, Web]:
    """Return the body, or the words of the refusal; and the web."""

    async def run() -> tuple[bytes | str, Web]:
        async with serving(setting, names, answer, seconds=seconds) as (fetcher, web):
            try:
                return await fetcher.fetch(url, max_bytes), web
            except BadImage as error:
                return error.words, web

    return asyncio.run(run())


def refused(url: str, **options: Any) -> Web:
    words, web = fetch(url, **options)
    assert isinstance(words, str), f"{url} was fetched"
    return web


def test_an_image_is_fetched_from_the_address_that_was_resolved() -> None:
    body, web = fetch("https://Images.Example/a/b.png?size=2#top")
    assert body == IMAGE
    assert web.asked == ["images.example"]
    assert web.connected == [(PUBLIC, 443)]
    assert web.paths == ["/a/b.png?size=2"]


@pytest.mark.parametrize(
    "url", ["https://images.example#@127.0.0.1/a.png:80", "https://images.example:/a.png:x"]
)
def test_what_follows_the_host_does_not_change_where_a_url_leads(url: str) -> None:
    body, web = fetch(url)
    assert body == IMAGE
    assert web.asked == ["images.example"]


def test_fetching_is_off_by_default() -> None:
    words, web = fetch(URL, setting="off")
    assert "does not fetch images" in str(words)
    assert web.asked == []
    assert UrlPolicy.of("") == UrlPolicy.of("off")


# Ways to reach something that is not public, or that a parser could read in two ways.
WAYS_IN = [
    # addresses in place of names, in every spelling
    "https://127.0.0.1/a.png",
    "https://127.0.0.1:443/a.png",
    "https://127.1/a.png",
    "https://127.0.1/a.png",
    "https://2130706433/a.png",
    "https://0x7f000001/a.png",
    "https://0x7f.0.0.1/a.png",
    "https://0177.0.0.1/a.png",
    "https://017700000001/a.png",
    "https://127.0.0.1./a.png",
    "https://0/a.png",
    "https://0.0.0.0/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/a.png",
    f"https://{PUBLIC}/a.png",
    "https://[::1]/a.png",
    "https://[::]/a.png",
    "https://[::ffff:127.0.0.1]/a.png",
    "https://[::ffff:7f00:1]/a.png",
    "https://[::127.0.0.1]/a.png",
    "https://[64:ff9b::7f00:1]/a.png",
    "https://[2002:7f00:1::]/a.png",
    "https://[fe80::1%25eth0]/a.png",
    "https://[2606:2800:220:1::1]/a.png",
    # other letters and digits
    "https://①②⑦.⓪.⓪.①/a.png",
    "https://127。0。0。1/a.png",
    "https://\uff4cocalhost/a.png",
    "https://%6c%6f%63alhost/a.png",
    "https://images.example%00.evil.example/a.png",
    # other spellings of the place
    "https://user@images.example/a.png",
    "https://user:pass@images.example/a.png",
    "https://images.example@127.0.0.1/a.png",
    "https://images.example\\@127.0.0.1/a.png",
    "https://127.0.0.1\t/a.png",
    "https://images.example\r\nHost:x/a.png",
    "https:// images.example/a.png",
    "https://images.example./a.png",
    "https://images..example/a.png",
    "https://-images.example/a.png",
    "https:///a.png",
    "https:images.example/a.png",
    "https://images.example:8443/a.png",
    "https://images.example:22/a.png",
    "https://images.example:99999/a.png",
    "https://images.example:4 43/a.png",
    # other schemes
    "http://images.example/a.png",
    "HTTP://images.example/a.png",
    "file:///etc/passwd",
    "ftp://images.example/a.png",
    "//images.example/a.png",
    "https://images.example/" + "a" * 3000,
]
# Where a redirect leads to these, they are relative: they name an allowed place.
RELATIVE = {"https:///a.png", "https:images.example/a.png", "//images.example/a.png"}


@pytest.mark.parametrize("url", WAYS_IN)
def test_a_url_that_could_lead_elsewhere_is_refused_before_anything_is_asked(url: str) -> None:
    every_name = {"localhost": [["127.0.0.1"]], **NAMES}
    web = refused(url, names=every_name)
    assert web.asked == []
    assert web.connected == []


@pytest.mark.parametrize("url", [url for url in WAYS_IN if url not in RELATIVE])
def test_a_redirect_is_checked_like_the_first_url(url: str) -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> None:
        one_line = url.replace("\r\n", " ").encode().decode("latin-1")
        reply(writer, b"", 302, Location=one_line)

    web = refused(URL, names={"localhost": [["127.0.0.1"]], **NAMES}, answer=answer)
    assert web.connected == [(PUBLIC, 443)]
    assert web.asked == ["images.example"]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["172.16.0.1"],
        ["192.168.1.1"],
        ["169.254.169.254"],
        ["100.100.100.200"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["255.255.255.255"],
        ["192.0.0.192"],
        ["168.63.129.16"],
        ["::1"],
        ["::"],
        ["fe80::1"],
        ["fe80::1%lo"],
        ["fd00:ec2::254"],
        ["ff02::1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:93.184.216.34"],
        ["::127.0.0.1"],
        ["64:ff9b::a9fe:a9fe"],
        ["64:ff9b:1::1"],
        ["2002:7f00:1::"],
        ["2001:0:1::1"],
        ["2001:db8::1"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        ["nonsense"],
        [],
    ],
    ids=str,
)
def test_a_name_of_something_that_is_not_public_is_not_connected_to(addresses: list[str]) -> None:
    words, web = fetch(URL, names={"images.example": [addresses]})
    assert "not on the public internet" in str(words)
    assert web.asked == ["images.example"]
    assert web.connected == []


def test_a_refusal_does_not_tell_a_private_name_from_one_that_does_not_exist() -> None:
    private, _ = fetch(URL, names={"images.example": [["10.0.0.1"]]})
    unknown, _ = fetch(URL, names={})
    assert private == unknown


def test_a_resolver_that_changes_its_mind_changes_nothing() -> None:
    rebinding = {"images.example": [[PUBLIC], ["127.0.0.1"]]}
    body, web = fetch(URL, names=rebinding)
    assert body == IMAGE
    assert web.asked == ["images.example"]
    assert web.connected == [(PUBLIC, 443)]


def test_a_redirect_to_the_same_name_is_resolved_and_checked_again() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> None:
        reply(writer, b"", 302, Location="/b.png")

    rebinding = {"images.example": [[PUBLIC], ["127.0.0.1"]]}
    web = refused(URL, names=rebinding, answer=answer)
    assert web.asked == ["images.example"] * 2
    assert web.connected == [(PUBLIC, 443)]


def test_a_redirect_to_a_public_place_is_followed() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/a.png":
            reply(writer, b"moved", 301, Location="//cdn.example/b.png")
        else:
            reply(writer, IMAGE)

    body, web = fetch(URL, answer=answer)
    assert body == IMAGE
    assert web.connected == [(PUBLIC, 443), ("2606:2800:220:1::1", 443)]
    assert web.paths == ["/a.png", "/b.png"]


def test_redirects_end() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> None:
        reply(writer, b"", 307, Location=path + "x")

    words, web = fetch(URL, answer=answer)
    assert "redirects more than" in str(words)
    assert len(web.paths) == MAX_REDIRECTS + 1


def test_a_redirect_without_a_place_is_refused() -> None:
    refused(URL, answer=lambda path, writer: reply(writer, b"", 302))


def test_the_certificate_has_to_name_the_host() -> None:
    web = refused("https://other.example/a.png", names={"other.example": [[PUBLIC]]})
    assert web.connected == [(PUBLIC, 443)]
    assert web.paths == []


@pytest.mark.parametrize("status", [204, 304, 401, 403, 404, 500, 503])
def test_only_a_200_has_an_image(status: int) -> None:
    words, _ = fetch(URL, answer=lambda path, writer: reply(writer, IMAGE, status))
    assert f"status {status}" in str(words)


def test_a_file_that_is_declared_too_large_is_not_read() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> None:
        reply(writer, b"x", Content_Length="1001")

    words, _ = fetch(URL, answer=answer)
    assert words == "is larger than the 1,000 bytes that are allowed"


def test_a_file_that_becomes_too_large_is_not_read_further() -> None:
    sent = 0

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        reply(writer, b"", Transfer_Encoding="chunked")
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent += 4096
                await writer.drain()

    words, _ = fetch(URL, answer=answer)
    assert words == "is larger than the 1,000 bytes that are allowed"
    assert sent < 50_000_000


def test_a_compressed_body_is_not_expanded() -> None:
    body = gzip.compress(b"\0" * 100_000)
    fetched, _ = fetch(URL, answer=lambda path, w: reply(w, body, Content_Encoding="gzip"))
    assert fetched == body


def test_a_slow_server_is_given_up() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        reply(writer, b"", Content_Length="900")
        writer.write(b"x")
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()  # the client leaves first

    words, _ = fetch(URL, answer=answer, seconds=0.5)
    assert words == "is a URL that could not be fetched within 0.5 seconds"


def test_what_is_no_http_is_refused() -> None:
    def answer(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")

    words, _ = fetch(URL, answer=answer)
    assert words == "is a URL that could not be fetched"


def test_hosts_can_be_listed_with_their_ports() -> None:
    setting = "images.example, cdn.example:8443"
    assert fetch(URL, setting=setting)[0] == IMAGE
    body, web = fetch("https://cdn.example:8443/a.png", setting=setting)
    assert (body, web.connected) == (IMAGE, [("2606:2800:220:1::1", 8443)])
    for url in (
        "https://cdn.example/a.png",
        "https://images.example:8443/a.png",
        "https://a.images.example/a.png",
        "https://images.example.evil.example/a.png",
    ):
        assert refused(url, setting=setting).asked == []
    # A list says less than `https`, never more: what is listed has to be public, too.
    assert refused(URL, setting=setting, names={"images.example": [["10.0.0.1"]]}).connected == []


@pytest.mark.parametrize("setting", ["a b", "127.0.0.1", "x:0", "x:99999", "*.example", "[::1]"])
def test_a_setting_that_names_no_hosts_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        UrlPolicy.of(setting)


def test_public_addresses_are_public() -> None:
    for address in ("1.1.1.1", PUBLIC, "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"):
        assert is_public(address), address
