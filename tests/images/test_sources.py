"""What callers write in place of an image."""

import base64

import pytest

from llm_service.images.decoding import open_image
from llm_service.images.errors import BadImage
from llm_service.images.sources import ImageSource, read_inline, without_markdown

CONTENT = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
BASE64 = base64.b64encode(CONTENT).decode()


def read(text: str, max_bytes: int = 1000) -> bytes:
    return read_inline(ImageSource(text, "image"), max_bytes)


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{BASE64}",
        f"DATA:image/png;BASE64,{BASE64}",
        f"data:image/png;charset=utf-8;base64,{BASE64}",
        f"data:;base64,{BASE64}",
        f"data:text/plain;base64,{BASE64}",
        BASE64,
        BASE64.rstrip("="),
        BASE64.replace("+", "-").replace("/", "_"),
        "\n".join(BASE64[i : i + 76] for i in range(0, len(BASE64), 76)),
    ],
    ids=["data", "upper case", "charset", "no type", "other type", "bare", "cut", "url", "lines"],
)
def test_base64_is_read_as_clients_write_it(text: str) -> None:
    assert read(text) == CONTENT


@pytest.mark.parametrize(
    "text",
    [
        "data:image/svg+xml;utf8,<svg/>",
        "data:image/svg+xml,%3Csvg%3E",
        "data:image/png;base64",
        "data:image/png;base64,!!!!",
        "data:" + "a" * 10_000,
        "data:" + ";a" * 10_000 + ",",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "/etc/passwd",
        "../../etc/passwd",
        "~/.ssh/id_rsa",
        "C:\\Windows\\win.ini",
        "ftp://images.example/a.png",
        "gopher://images.example/a.png",
        "blob:https://images.example/1",
        "javascript:alert(1)",
        "s3://bucket/a.png",
        "//images.example/a.png",
    ],
)
def test_nothing_else_is_read(text: str) -> None:
    # What looks like base64 is read as that; it is no image then.
    with pytest.raises(BadImage):
        open_image(read(text), max_pixels=1000)


def test_a_file_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    assert read(BASE64, len(CONTENT)) == CONTENT
    assert read("\n" * 1000 + BASE64, len(CONTENT)) == CONTENT
    for limit in (len(CONTENT) - 1, len(CONTENT) // 2, 1):
        with pytest.raises(BadImage, match="is larger than"):
            read(BASE64, limit)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("![a fox](https://a.example/b.png)", "https://a.example/b.png"),
        ("[a fox](https://a.example/b.png)", "https://a.example/b.png"),
        (' ![](<https://a.example/b.png> "title") ', "https://a.example/b.png"),
        ("![x](data:image/png;base64,AAAA)", "data:image/png;base64,AAAA"),
        ("https://a.example/b.png", "https://a.example/b.png"),
        ("![x](", "![x]("),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_link_in_markdown_stands_for_its_url(text: str, url: str) -> None:
    assert without_markdown(text) == url


def test_a_long_data_url_in_a_link_is_read_quickly() -> None:
    url = "data:image/png;base64," + "A" * 5_000_000
    assert without_markdown(f"![x]({url})") == url
