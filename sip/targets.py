"""Locating servers (RFC 3263): which addresses a URI means, in the order in which they are tried. Sans-IO.

``locate`` is a generator: it yields the DNS questions that it needs answered next, all of which may be asked at once,
takes their answers, and returns the addresses::

    search = locate(uri, transports=(Transport.UDP,), families=(4,), fraction=random.random)
    questions = next(search)
    questions = search.send(answers)        # until StopIteration, whose value are the addresses

Decisions that the RFC leaves open:

- NAPTR records of a domain are all followed, in their order: what comes first is tried first (§4.1 names one).
- A ``sips:`` URI never leads to a transport without TLS (§4.1), whatever the DNS says.
- A target of "." takes the service away (RFC 2782): no address record is asked for in its place.
- Host names of one label have no services: their addresses are asked for at once.
- Over TLS the certificate shall show the domain that was asked for, not what SRV makes of it (RFC 5922 §7.2), so that
  an answer forged on the way is of no use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sip.address import Address, Transport
from sip.errors import LocalProtocolError
from sip.uri import Uri

__all__ = (
    "MAX_TARGETS",
    "Answer",
    "HostRecord",
    "NamingRecord",
    "Question",
    "ServiceRecord",
    "choose_transport",
    "locate",
    "order_services",
)

MAX_TARGETS = 16
"Addresses of one URI: a call that nobody takes ends some time."
MAX_RECORDS = 32
"Of one answer; what is beyond is not looked at."

_SERVICES = {
    "SIP+D2U": Transport.UDP,
    "SIP+D2T": Transport.TCP,
    "SIPS+D2T": Transport.TLS,
    "SIP+D2W": Transport.WS,
    "SIPS+D2W": Transport.WSS,
}
"RFC 3263 §4.1; RFC 7118 §10.2 for WebSocket."
_PREFIXES = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}
"Where SRV records stand (§4.1); WebSocket has none."
_SECURE = {Transport.TCP: Transport.TLS, Transport.TLS: Transport.TLS, Transport.WS: Transport.WSS}


class Question(NamedTuple):
    """One question to the DNS: ``kind`` is NAPTR, SRV, A or AAAA."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class NamingRecord:
    """A NAPTR record (RFC 3403 §4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    "Host name; ``.`` or empty: the service is not offered."


@dataclass(frozen=True, slots=True)
class HostRecord:
    """An A or AAAA record: an IP literal."""

    host: str


Answer = Sequence[NamingRecord | ServiceRecord | HostRecord]
"What the DNS has under a name; empty when it has nothing, or when nobody answers."

_Search = Generator[tuple[Question, ...], Sequence[Answer], tuple[Address, ...]]


class _Host(NamedTuple):
    """A host whose addresses are wanted."""

    name: str
    port: int
    transport: Transport


def choose_transport(uri: Uri, transports: Sequence[Transport]) -> Transport:
    """Return the transport to a host of which the DNS says nothing about transports (§4.1).

    The one that the URI names, else UDP for ``sip:`` and TLS for ``sips:``; without UDP here the first of ours.
    Raises LocalProtocolError when that one is not among ``transports``.
    """
    secure = uri.scheme == "sips"
    named = uri.param("transport")
    if named is None:
        wanted = Transport.TLS if secure else Transport.UDP
        if not secure and wanted not in transports and transports:
            wanted = transports[0]
    else:
        try:
            wanted = Transport(named.upper())
        except ValueError:
            raise LocalProtocolError("the URI asks for a transport that is not known here") from None
        if secure and not wanted.is_secure:
            if wanted not in _SECURE:
                raise LocalProtocolError("a sips: URI cannot be reached over UDP (RFC 3261 §26.2.2)")
            wanted = _SECURE[wanted]
    if wanted not in transports:
        raise LocalProtocolError(f"{wanted} is not spoken here")
    return wanted


def order_services(records: Iterable[ServiceRecord], fraction: Callable[[], float]) -> tuple[ServiceRecord, ...]:
    """Return SRV records in the order in which they are tried: by priority, and at random by weight within one.

    RFC 2782: a server is drawn with a probability in proportion to its weight; one of weight 0 seldom before others.
    ``fraction()`` returns a random number from 0 up to, not including, 1. Every record comes once.
    """
    by_priority: dict[int, list[ServiceRecord]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    ordered: list[ServiceRecord] = []
    for priority in sorted(by_priority):
        left = sorted(by_priority[priority], key=lambda record: record.weight)  # weight 0 first, as RFC 2782 wants
        while left:
            ordered.append(left.pop(_draw([record.weight for record in left], fraction())))
    return tuple(ordered)


def _draw(weights: Sequence[int], fraction: float) -> int:
    total = sum(weights)
    if total == 0:
        return int(fraction * len(weights))
    wanted = int(fraction * (total + 1))  # 0 to the sum, both included
    running = 0
    for index, weight in enumerate(weights):
        running += weight
        if running >= wanted:
            return index
    raise AssertionError(wanted)


def locate(
    uri: Uri, *, transports: Sequence[Transport], families: Sequence[int], fraction: Callable[[], float]
) -> _Search:
    """Find the addresses of a SIP or SIPS URI, at most ``MAX_TARGETS``, none twice.

    ``transports`` are ours, most wanted first; ``families`` are 4 and 6, as far as we have sockets, most wanted first.
    Raises LocalProtocolError for a URI that can never be reached from here: another scheme, a transport that is not
    ours. Returns an empty tuple when the DNS has no address for it.
    """
    if not uri.is_sip:
        raise LocalProtocolError(f"a {uri.scheme}: URI has no address")
    # §4: the target is maddr, when there is one. What the certificate must show is the domain asked for all the same.
    target = (uri.param("maddr") or uri.host).removeprefix("[").removesuffix("]").rstrip(".")
    name = uri.host.rstrip(".")
    literal = _literal(target)
    if literal is not None:
        transport = choose_transport(uri, transports)
        if literal.version not in families:
            return ()
        return (_address(str(literal), uri.port or transport.default_port, transport, name),)
    hosts: Sequence[_Host]
    if uri.port is not None or "." not in target:
        transport = choose_transport(uri, transports)
        hosts = [_Host(target, uri.port or transport.default_port, transport)]
    else:
        hosts = yield from _services(uri, target, transports, fraction)
    return (yield from _addresses(hosts, families, name))


def _services(
    uri: Uri, domain: str, transports: Sequence[Transport], fraction: Callable[[], float]
) -> Generator[tuple[Question, ...], Sequence[Answer], Sequence[_Host]]:
    """Find the hosts of a domain by NAPTR and SRV, else the domain as the host itself."""
    wanted: list[tuple[str, Transport]] = []
    if uri.param("transport") is None:
        (answer,) = yield (Question(domain, "NAPTR"),)
        wanted = _naming(answer, transports, secure=uri.scheme == "sips")
        if not wanted:
            usual = (Transport.TLS,) if uri.scheme == "sips" else (Transport.UDP, Transport.TCP)
            wanted = [(f"{_PREFIXES[t]}.{domain}", t) for t in usual if t in transports]
    else:
        transport = choose_transport(uri, transports)
        if transport in _PREFIXES:
            wanted = [(f"{_PREFIXES[transport]}.{domain}", transport)]
    found: list[_Host] = []
    is_described = False
    if wanted:
        answers = yield tuple(Question(name, "SRV") for name, _ in wanted)
        for (_, transport), services in zip(wanted, answers, strict=True):
            records = [record for record in services[:MAX_RECORDS] if isinstance(record, ServiceRecord)]
            is_described = is_described or bool(records)
            for record in order_services(records, fraction):
                host = record.target.rstrip(".")
                if host and record.port:
                    found.append(_Host(host, record.port, transport))
    if is_described:
        return found
    transport = choose_transport(uri, transports)
    return [_Host(domain, transport.default_port, transport)]


def _naming(answer: Answer, transports: Sequence[Transport], *, secure: bool) -> list[tuple[str, Transport]]:
    """Return what NAPTR records say of transports that we have: SRV name and transport, best first."""
    records = [record for record in answer[:MAX_RECORDS] if isinstance(record, NamingRecord)]
    found: dict[tuple[str, Transport], None] = {}
    for record in sorted(records, key=lambda record: (record.order, record.preference)):
        transport = _SERVICES.get(record.service.upper())
        name = record.replacement.rstrip(".").lower()
        if transport is None or transport not in transports or record.flags.lower() != "s" or not name:
            continue
        if secure and not transport.is_secure:
            continue  # §4.1: only SIPS services
        found[(name, transport)] = None
    return list(found)


def _addresses(hosts: Sequence[_Host], families: Sequence[int], name: str) -> _Search:
    """Ask for the addresses of all hosts at once and list them host by host, family by family."""
    kinds = [{4: "A", 6: "AAAA"}[family] for family in families]
    names = list(dict.fromkeys(host.name for host in hosts if _literal(host.name) is None))[:MAX_TARGETS]
    questions = tuple(Question(asked, kind) for asked in names for kind in kinds)
    answers = dict(zip(questions, (yield questions), strict=True)) if questions else {}
    found: dict[Address, None] = {}
    for host in hosts:
        for family, kind in zip(families, kinds, strict=True):
            answer = answers.get(Question(host.name, kind), ())
            for record in answer[:MAX_RECORDS]:
                literal = _literal(record.host) if isinstance(record, HostRecord) else None
                if literal is not None and literal.version == family and _is_unicast(literal):
                    found[_address(str(literal), host.port, host.transport, name)] = None
    return tuple(found)[:MAX_TARGETS]


def _address(host: str, port: int, transport: Transport, name: str) -> Address:
    shown = name if transport.is_secure and _literal(name) is None else ""
    return Address(host, port, transport, name=shown)


def _literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_unicast(host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return not (host.is_unspecified or host.is_multicast or str(host) == "255.255.255.255")
