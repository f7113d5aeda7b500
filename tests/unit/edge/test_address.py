"""Who a client is, whatever it writes into its own X-Forwarded-For."""

from ipaddress import ip_network

import pytest

from slipstream.edge.address import client_address, counted_as

OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1,10.1.1.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 10.9.9.9, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2,10.0.0.3"], "10.0.0.2"),
        ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:DB8:0::5]:4711"], "2001:db8::5"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", ["198.51.100.1"], ""),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_the_list_is_read_from_the_right_as_far_as_it_is_ours(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, OURS) == client


@pytest.mark.parametrize(
    "entry", ["", " ", "unknown", "_hidden", "198.51.100", "198.51.100.1.5", "0x7f.1", "198.51.100.1\udcff", "[::1"]
)
def test_an_entry_that_is_no_address_ends_the_walk(entry: str) -> None:
    assert client_address("10.0.0.1", [f"192.0.2.66,{entry}"], OURS) == "10.0.0.1"
    assert client_address("10.0.0.1", [f"192.0.2.66,{entry},10.0.0.2"], OURS) == "10.0.0.2"


def test_nobody_is_believed_where_no_proxy_is_trusted() -> None:
    assert client_address("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"


def test_a_header_full_of_our_own_addresses_is_not_walked_to_its_end() -> None:
    assert client_address("10.0.0.1", ["192.0.2.66," + "10.0.0.2," * 5_000 + "10.0.0.3"], OURS) == "10.0.0.2"


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", ""),
    ],
)
def test_one_client_is_an_ipv4_address_or_a_64_of_ipv6(address: str, client: str) -> None:
    assert counted_as(address) == client
