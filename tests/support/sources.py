"""A gate of source addresses without rules: whole networks are open."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from sip.address import Address

__all__ = ("OpenNetworks",)


class OpenNetworks:
    """`engine.net.transports.SourceGate` that admits what comes from some networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self.expected: set[str] = set()

    def admit_source(self, source: Address, now: float) -> bool:
        return any(ipaddress.ip_address(source.host) in network for network in self._networks)

    def expect(self, host: str) -> None:
        self.expected.add(host)
