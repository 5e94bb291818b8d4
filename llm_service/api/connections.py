"""All open connections: how many there may be, and which one gives way to a new one.

A client that holds many connections and sends nothing must not keep others out. Beyond a bound,
a new connection closes the one that has waited longest for its client. A new connection is
refused only if all others are at work.
"""

import resource
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from llm_service.access.address import ClientAddress
from llm_service.errors import TooManyConnections

# File descriptors for the database, Redis, the log, the model's files and a refused connection.
RESERVED_DESCRIPTORS = 128


class Connection(Protocol):
    def evict(self) -> None:
        """Close at once."""


class Connections:
    """Counts connections by the address of their peer. Every method is called on the event loop."""

    def __init__(self, *, max_total: int, max_per_address: int, trusted_proxies: str = "") -> None:
        self._max_total = min(max_total, max(1, _max_descriptors() - RESERVED_DESCRIPTORS))
        # One address cannot take what is left for all the others.
        self._max_per_address = min(max_per_address, max(1, self._max_total // 2))
        self._address_of = ClientAddress(trusted_proxies)
        self._addresses: dict[Connection, str] = {}
        self._counts = Counter[str]()
        self._waiting: dict[Connection, None] = {}  # for their clients, the longest first

    @property
    def num_open(self) -> int:
        return len(self._addresses)

    def add(self, connection: Connection, client: tuple[str, int] | None) -> None:
        """Count a new connection, which waits for its client.

        Raises TooManyConnections, and then does not count it.
        """
        peer: Mapping[str, Any] = {"client": client, "headers": []}
        address = "" if self._address_of.is_trusted(peer) else self._address_of(peer)
        if address and self._counts[address] >= self._max_per_address:
            self._make_room(address)
        if self.num_open >= self._max_total:
            self._make_room(None)
        self._addresses[connection] = address
        self._counts[address] += 1
        self._waiting[connection] = None

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection that has ended; does nothing if it is not counted."""
        address = self._addresses.pop(connection, None)
        self._waiting.pop(connection, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def set_waiting(self, connection: Connection, is_waiting: bool) -> None:
        """Record whether the connection waits for its client, and may be closed for another."""
        self._waiting.pop(connection, None)
        if is_waiting and connection in self._addresses:
            self._waiting[connection] = None

    def _make_room(self, address: str | None) -> None:
        """Close the connection that has waited longest for its client: one of `address`, or any."""
        for connection in self._waiting:
            if address is None or self._addresses[connection] == address:
                self.remove(connection)
                connection.evict()
                return
        whose = "are open" if address is None else "are open from this address"
        raise TooManyConnections(
            f"As many connections as the service allows {whose}. Try again in a second.",
            retry_after=1,
        )


def _max_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
