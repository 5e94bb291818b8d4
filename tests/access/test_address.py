"""Whose request it is, whatever the headers claim."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from llm_service.access.address import ClientAddress
from tests.access.test_ip_guard import from_address

PROXIES = "10.0.0.0/8, fd00::/8"


def test_a_forwarded_address_is_believed_from_nobody_by_default() -> None:
    assert ClientAddress()(from_address("203.0.113.7", "198.51.100.1")) == "203.0.113.7"


def test_a_forwarded_address_is_not_believed_from_a_stranger() -> None:
    client = ClientAddress(PROXIES)
    assert client(from_address("203.0.113.7", "198.51.100.1")) == "203.0.113.7"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # left of it: made up by the client
        (["1.1.1.1", "198.51.100.1"], "198.51.100.1"),  # in two headers
        (["198.51.100.1, 10.1.1.1, 10.2.2.2"], "198.51.100.1"),  # through a chain of ours
        (["10.1.1.1"], "10.1.1.1"),  # from within
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8::1]:4711"], "2001:db8::/64"),
        (["1.1.1.1, unknown"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_names_the_right_most_stranger(forwarded: list[str], expected: str) -> None:
    assert ClientAddress(PROXIES)(from_address("10.0.0.1", *forwarded)) == expected


def test_an_ipv6_subscriber_has_one_bucket_for_all_addresses() -> None:
    client = ClientAddress()
    one, other = from_address("2001:db8:1:2::3"), from_address("2001:db8:1:2:ffff::4")
    assert client(one) == client(other) == "2001:db8:1:2::/64"
    assert client(from_address("2001:db8:1:3::3")) != client(one)


def test_ipv4_written_as_ipv6_is_the_same_address() -> None:
    assert ClientAddress()(from_address("::ffff:203.0.113.7")) == "203.0.113.7"
    proxied = from_address("::ffff:10.0.0.1", "198.51.100.1")
    assert ClientAddress(PROXIES)(proxied) == "198.51.100.1"


def test_a_unix_socket_and_a_request_object_have_an_address_too() -> None:
    assert ClientAddress()(from_address(None)) == "unknown"
    assert ClientAddress()(from_address("")) == "unknown"
    assert ClientAddress()(Request(from_address("203.0.113.7"))) == "203.0.113.7"


@given(st.lists(st.text(st.characters(codec="latin-1"), max_size=60), max_size=4))
def test_no_header_whatever_makes_it_fail(values: list[str]) -> None:
    scope = from_address("10.0.0.1")
    scope["headers"] = [(b"x-forwarded-for", value.encode("latin-1")) for value in values]
    assert ClientAddress(PROXIES)(scope)
