"""Where requests to addresses that others named may go: webhooks and documents, never an address inside (SSRF).

Laws:

- A name is resolved once. Every address that it has is judged, and the connection is made to an address that passed:
  a name whose answer changes in between (DNS rebinding) gains nothing.
- What is not for everybody on the Internet is refused: private, loopback, link-local (the clouds' metadata services
  live there), shared, documentation, benchmark, multicast, reserved; of IPv6 everything outside 2000::/3 (IANA
  special-purpose registries, RFC 6890). An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged itself.
- ``webhooks.allow`` admits networks, and host names whatever their address.
- Ports are free. Connectors' URLs are the operator's own and are not judged here.

A NAT64 prefix of the operator's own network (RFC 6052 §2.2) can't be told from any other address: keep its gateway from
forwarding to inside.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from engine.net.http import NotSent

__all__ = ("Egress", "EgressRefused", "Resolve", "is_public")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"Returns a host's addresses as text; raises ``OSError`` when it has none."

MAX_ADDRESSES = 8
"Of one name; more are not tried."
RESOLVERS = 4
"Threads that wait for the system's resolver: one that hangs holds up no other part of the engine."

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own, RFC 6598
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and 169.254.169.254
        "168.63.129.16/32",  # Azure's host, a public address that answers from inside
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo, ORCHID
        "2001:db8::/32",
        "3fff::/20",  # documentation, RFC 9637
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_6TO4 = ipaddress.IPv6Network("2002::/16")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_NUMBERS = re.compile(r"[0-9./-]+")  # a mistyped network, and never the name of a host


class EgressRefused(NotSent):
    """The target is an address inside, and ``webhooks.allow`` does not admit it."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one for everybody on the Internet; raise ``ValueError`` when it is none."""
    return _is_public(ipaddress.ip_address(address.partition("%")[0]))


def _is_public(ip: _Ip) -> bool:
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _REFUSED_V4)
    if (inner := _embedded(ip)) is not None:
        return _is_public(inner)
    return ip in _PUBLIC_V6 and not any(ip in network for network in _REFUSED_V6)


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that packets to ``ip`` end up at."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in _6TO4:
        return ipaddress.IPv4Address(int(ip) >> 80 & 0xFFFFFFFF)
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


class Egress:
    """The rules. ``allow`` holds networks and host names; raise ``ValueError`` for what is neither."""

    def __init__(self, allow: Sequence[str] = (), *, resolve: Resolve | None = None) -> None:
        self._networks: list[_Network] = []
        self._hosts: set[str] = set()
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                host = _plain(entry)
                if not _HOST.fullmatch(host) or _NUMBERS.fullmatch(host):
                    raise ValueError(f"{entry!r} is neither a network, such as 10.0.0.0/24, nor a host name") from None
                self._hosts.add(host)
        self._resolve = resolve or self._by_the_system
        self._threads: ThreadPoolExecutor | None = None

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of ``host`` that may be connected to, in the resolver's order.

        Raise ``EgressRefused`` when it has none of those, ``NotSent`` when it has none at all.
        """
        try:
            found = [host] if _is_address(host) else list(await self._resolve(host, port))
        except (OSError, UnicodeError):
            raise NotSent(f"{host} cannot be reached: the name has no address") from None
        found = [text for text in dict.fromkeys(found) if _is_address(text)][:MAX_ADDRESSES]
        if not found:
            raise NotSent(f"{host} cannot be reached: the name has no address")
        if _plain(host) in self._hosts:
            return found
        if admitted := [text for text in found if self._admits(text)]:
            return admitted
        raise EgressRefused(f"{host} is an address inside; add it to webhooks.allow if it is meant")

    def close(self) -> None:
        """Let go of the threads; what the resolver still owes is not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _admits(self, text: str) -> bool:
        ip: _Ip = ipaddress.ip_address(text.partition("%")[0])
        if _is_public(ip):
            return True
        inner = _embedded(ip) if isinstance(ip, ipaddress.IPv6Address) else None
        return any(one in network for network in self._networks for one in (ip, inner) if one is not None)

    async def _by_the_system(self, host: str, port: int) -> Sequence[str]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="egress")
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]


def _plain(host: str) -> str:
    return host.lower().rstrip(".")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
