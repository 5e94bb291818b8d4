"""The client's address: the peer's, or the one that a trusted proxy forwards."""

import ipaddress
from collections.abc import Mapping
from typing import Any

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_IPV6_SUBSCRIBER_PREFIX = 64


class ClientAddress:
    """Maps an ASGI scope or a Request to the client's address, as the text that is counted."""

    def __init__(self, trusted_proxies: str = "") -> None:
        """`trusted_proxies`: addresses or networks, comma-separated. Raises ValueError."""
        self._trusted = [_network(text) for text in trusted_proxies.split(",") if text.strip()]

    def __call__(self, connection: Mapping[str, Any]) -> str:
        peer = connection.get("client")
        address = _parse(peer[0]) if peer else None
        if address is None:  # a Unix socket, or a test client
            return (peer and peer[0]) or "unknown"
        return _group(self._client_of(address, connection))

    def is_trusted(self, connection: Mapping[str, Any]) -> bool:
        """Whether the peer itself is one of the trusted proxies."""
        peer = connection.get("client")
        address = _parse(peer[0]) if peer else None
        return address is not None and self._is_trusted(address)

    def _client_of(self, address: _IP, connection: Mapping[str, Any]) -> _IP:
        """Return the right-most hop that is not a trusted proxy; hops left of it may be forged."""
        for hop in reversed(_forwarded_for(connection)):
            if not self._is_trusted(address):
                break
            named = _parse(hop)
            if named is None:
                break
            address = named
        return address

    def _is_trusted(self, address: _IP) -> bool:
        return any(address in network for network in self._trusted)


def _forwarded_for(connection: Mapping[str, Any]) -> list[str]:
    values = [value for name, value in connection["headers"] if name.lower() == b"x-forwarded-for"]
    return b",".join(values).decode("latin-1").split(",") if values else []


def _parse(text: str) -> _IP | None:
    """Parse an address, with or without port and brackets. IPv4 mapped to IPv6 becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _group(address: _IP) -> str:
    """Group IPv6 addresses by /64, because one subscriber can choose any address in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_SUBSCRIBER_PREFIX), strict=False))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(
            f"LLM_TRUSTED_PROXIES: {text.strip()!r} is not an address or a network."
        ) from None
