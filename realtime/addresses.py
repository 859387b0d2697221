"""Network addresses, as limits count them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

IPV6_PREFIX = 64
"""What one IPv6 customer gets at least (RFC 6177), so what one attacker can change at will."""


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return what stands for `address` in a limit: an IPv4 address itself, of an IPv6 one its /64 network.

    An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) counts as IPv4. What is no address stands for itself, cut to
    the length of one: a limit must not be a way to fill memory.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:45]
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, IPV6_PREFIX), strict=False))
