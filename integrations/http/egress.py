"""Which addresses outgoing requests may reach: public ones, and the networks an operator allows."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

from integrations.contract import SendError

#: Special-purpose ranges that the standard library calls global in some Python versions.
#: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
SPECIAL = tuple(
    ip_network(n)
    for n in (
        *("192.0.0.0/24", "192.88.99.0/24"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16"),
    )
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IPv6 ranges that carry an IPv4 address in their last 32 bits: NAT64 (RFC 6052) and the retired
#: IPv4-compatible form (RFC 4291). Local NAT64 prefixes (RFC 8215) count as private.
NAT64, COMPATIBLE = ip_network("64:ff9b::/96"), ip_network("::/96")

#: Public by number, yet the virtual machine's own platform service, credentials included.
#: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
PLATFORM = ip_network("168.63.129.16/32")


def allowed_networks() -> list[Network]:
    """`HOLDFAST_EGRESS_ALLOW` as it is now: CIDRs, as a list or separated by commas."""
    value = settings.HOLDFAST_EGRESS_ALLOW
    entries = value.split(",") if isinstance(value, str) else value
    networks: list[Network] = []
    for entry in entries:
        try:
            networks.append(ip_network(str(entry).strip(), strict=False))
        except ValueError:
            raise SendError(
                f"HOLDFAST_EGRESS_ALLOW contains {str(entry)!r}, which is not a network; "
                "write it as 10.0.0.0/8.",
                retryable=False,
            ) from None
    return networks


def refusal(address: str, allowed: Sequence[Network]) -> str:
    """Why this address is not to be reached, or an empty string if it may be."""
    found = _unwrapped(ip_address(address))
    for one in found:
        if any(one in network for network in allowed):
            return ""
    return next((why for one in found if (why := _special(one))), "")


def _unwrapped(address: Address) -> list[Address]:
    """The address and the IPv4 address a translator or tunnel would deliver to."""
    if isinstance(address, IPv4Address):
        return [address]
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo:
        inner = address.teredo[1]
    if inner is None and int(address) > 1 and (address in NAT64 or address in COMPATIBLE):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return [inner, address] if inner else [address]


def _special(address: Address) -> str:
    if address.is_unspecified or address.is_loopback:
        return "this machine itself"
    if address.is_link_local:
        return "a link-local address, where cloud metadata lives"
    if address in PLATFORM:
        return "the cloud platform's own service"
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, IPv6Address) and address.is_site_local:
        return "a private address"
    if any(address in network for network in SPECIAL):
        return "a special-purpose address"
    if address.is_reserved and not _translates(address):
        return "a reserved address"
    return "" if address.is_global or _translates(address) else "a private address"


def _translates(address: Address) -> bool:
    """Forms that only carry an IPv4 address are judged by that address."""
    return isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address in NAT64)
