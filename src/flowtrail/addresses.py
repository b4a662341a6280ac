"""Network addresses: which of them are one client, and which are proxies that the settings name."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from flowtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(1024)
def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the network of an IPv6 address, of which one machine may have 2^64."""
    try:
        parsed = _parsed(address)
    except ValueError:
        return address[:100]
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


def networks(proxies: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of proxies that the settings trust; raises ConfigurationError for what is none."""
    try:
        return tuple(ipaddress.ip_network(proxy) for proxy in proxies)
    except ValueError:
        raise ConfigurationError("FLOWTRAIL_TRUSTED_PROXIES: each must be an address, or a network like 10.0.0.0/8") from None


def is_in(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is one of the networks'."""
    try:
        parsed = _parsed(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Of an IPv4 address that came over IPv6 the former. Raises ValueError."""
    parsed = ipaddress.ip_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed
