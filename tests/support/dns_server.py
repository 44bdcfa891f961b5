"""An authoritative DNS server on loopback, UDP and TCP on one port, that can also misbehave."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

__all__ = ("DnsServer", "running_dns_server")

SOA = "ns.example. admin.example. 1 3600 600 86400 60"


@dataclass
class DnsServer(asyncio.DatagramProtocol):
    """Answers for every name: what ``zone`` has, NXDOMAIN for names that are not in it."""

    zone: dict[tuple[str, str], list[str]]
    "Records as text by (name without final dot, kind)."
    ttl_s: int = 300
    silent: set[str] = field(default_factory=set)
    "Kinds that are never answered; ``*`` for all."
    garbage: set[str] = field(default_factory=set)
    "Kinds that are answered with octets that are no answer."
    refused: set[str] = field(default_factory=set)
    "Kinds that are answered with SERVFAIL."
    truncated: set[str] = field(default_factory=set)
    "Kinds that UDP has no room for."
    asked: list[tuple[str, str]] = field(default_factory=list)
    "Every question that came, in order."
    by_tcp: int = 0
    port: int = 0
    _transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # in Python 3.11 none by inheritance

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        reply = self.reply(data, by_udp=True)
        if reply is not None:
            self._transport.sendto(reply, addr)

    async def serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        self.by_tcp += 1
        reply = self.reply(await reader.readexactly(length), by_udp=False)
        if reply is not None:
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
        writer.close()

    def reply(self, data: bytes, *, by_udp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if self.silent & {kind, "*"}:
            return None
        if kind in self.garbage:
            return data[:2] + b"\xff\xff" + bytes(7)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA | dns.flags.AA
        if kind in self.refused:
            answer.set_rcode(dns.rcode.SERVFAIL)
            return answer.to_wire()
        if kind in self.truncated and by_udp:
            answer.flags |= dns.flags.TC
            return answer.to_wire()
        self._fill(answer, name, kind)
        return answer.to_wire()

    def _fill(self, answer: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(4):  # an alias and what is behind it, as a resolver gives them
            if records := self.zone.get((name, kind)):
                answer.answer.append(dns.rrset.from_text(f"{name}.", self.ttl_s, "IN", kind, *records))
                return
            alias = self.zone.get((name, "CNAME"))
            if not alias:
                break
            answer.answer.append(dns.rrset.from_text(f"{name}.", self.ttl_s, "IN", "CNAME", *alias))
            name = alias[0].rstrip(".")
        if not answer.answer and name not in {known for known, _ in self.zone}:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        answer.authority.append(dns.rrset.from_text("example.", self.ttl_s, "IN", "SOA", SOA))


@asynccontextmanager
async def running_dns_server(
    zone: Mapping[tuple[str, str], Iterable[str]], *, ttl_s: int = 300
) -> AsyncIterator[DnsServer]:
    """Serve ``zone`` on a free port of loopback."""
    server = DnsServer({key: list(records) for key, records in zone.items()}, ttl_s=ttl_s)
    loop = asyncio.get_running_loop()
    streams = await asyncio.start_server(server.serve_stream, "127.0.0.1", 0)
    server.port = streams.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", server.port))
    try:
        yield server
    finally:
        transport.close()
        streams.close()
        await streams.wait_closed()
