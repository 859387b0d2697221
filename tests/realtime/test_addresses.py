"""What stands for an address in a limit."""

from __future__ import annotations

import pytest

from realtime.addresses import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:DB8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:/run/portal.sock", "unix:/run/portal.sock"),
        ("x" * 5000, "x" * 45),
    ],
)
def test_an_address_counts_by_what_one_customer_has(address: str, network: str) -> None:
    assert network_of(address) == network
