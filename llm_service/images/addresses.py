"""Which addresses are on the public internet, so that fetching an image cannot reach anything else.

The list is our own: what `ipaddress` calls global depends on the version of Python. Addresses that
carry an IPv4 address inside (mapped, NAT64, 6to4, Teredo) are refused whatever it is, because it
depends on the network where they lead.
"""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a provider's NAT; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; some clouds' metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # a cloud's host services, in public space
    )
)
_GLOBAL_6 = IPv6Network(
    "2000::/3"
)  # all that is assigned; NAT64, mapped and local ones are outside
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)


def is_public(text: str) -> bool:
    """Return whether `text` is an address, without a zone, on the public internet."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        is_global = address.scope_id is None and address in _GLOBAL_6
        return is_global and not any(address in network for network in _NOT_PUBLIC_6)
    return not any(address in network for network in _NOT_PUBLIC_4)
