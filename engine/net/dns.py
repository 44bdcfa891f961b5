"""Locating servers on the network: the questions of ``sip.targets`` to the DNS, with a cache (RFC 3263, RFC 2308).

Laws:

- An answer is kept for its time to live, at most ``LONGEST_TTL_S``; that there is none, as the zone says, at most
  ``LONGEST_NEGATIVE_S``. When nobody answers, what was known before serves on for ``STALE_S`` (RFC 8767), and nobody is
  asked again for ``RETRY_S``: a dead resolver does not hold up every call.
- ``/etc/hosts`` comes before the DNS. Names of one label and of ``.local`` are the system resolver's (getaddrinfo).
- Each lookup ends within ``timeout_s``, each search within three of them; the cache is bounded; one question is asked
  once, however many wait for it.
- A target that failed is tried last for ``FAILED_S`` (§4.3 leaves it open): a call does not wait for a host that is
  known to be down, and one that all are down does not end the search.

Asked of hosts in /etc/resolv.conf, or of ``servers``. Everything runs on one asyncio loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from engine.config import DnsConfig, split_address
from engine.errors import TargetError
from engine.log import fields
from sip.address import Address, Transport
from sip.errors import LocalProtocolError
from sip.targets import Answer, HostRecord, NamingRecord, Question, ServiceRecord, locate
from sip.uri import Uri

__all__ = ("Resolver",)

log = logging.getLogger("engine.net.dns")

LONGEST_TTL_S = 3600.0
LONGEST_NEGATIVE_S = 300.0
STALE_S = 86_400.0
RETRY_S = 10.0
FAILED_S = 30.0
MAX_CACHED = 2048
MAX_FAILED = 1024
MAX_ALIASES = 8
"CNAMEs behind each other across answers; a loop of them ends here."
DNS_PORT = 53
SYSTEM_RESOLVER_TTL_S = 30.0
"getaddrinfo tells no time to live."
HOSTS = Path("/etc/hosts")


@dataclass(slots=True)
class _Cached:
    answer: Answer
    until: float
    stale_until: float
    is_failure: bool = False


class Resolver:
    """Finds the addresses of URIs. ``families`` are 4 and 6 as far as we have sockets, most wanted first."""

    def __init__(
        self,
        config: DnsConfig,
        *,
        families: Sequence[int] = (4,),
        fraction: Callable[[], float] | None = None,
        hosts: Path = HOSTS,
    ) -> None:
        self._families = tuple(families)
        self._timeout_s = config.timeout_s
        self._servers = config.servers
        self._fraction = fraction or SystemRandom().random
        self._hosts_path = hosts
        self._hosts: dict[str, list[str]] = {}
        self._hosts_read: tuple[int, int] | None = None
        self._client: dns.asyncresolver.Resolver | None = None
        self._cache: OrderedDict[Question, _Cached] = OrderedDict()
        self._asked: dict[Question, asyncio.Task[Answer]] = {}
        self._failed: OrderedDict[Address, float] = OrderedDict()

    async def targets(self, uri: Uri, *, transports: Sequence[Transport]) -> tuple[Address, ...]:
        """Return the addresses of a URI in the order in which they are to be tried, one at least.

        ``transports`` are those that we speak, most wanted first. Raises TargetError that says why there is none.
        """
        loop = asyncio.get_running_loop()
        search = locate(uri, transports=transports, families=self._families, fraction=self._fraction)
        asked: list[Question] = []
        try:
            async with asyncio.timeout(3 * self._timeout_s + 1.0):
                questions = next(search)
                while True:
                    asked += questions
                    questions = search.send(await asyncio.gather(*(self._answer(question) for question in questions)))
        except StopIteration as done:
            found: tuple[Address, ...] = done.value
        except LocalProtocolError as error:
            raise TargetError(f"{_shown(uri)} cannot be reached: {error}") from None
        except TimeoutError:
            raise TargetError(f"{_shown(uri)} cannot be reached: the DNS does not answer") from None
        if not found:
            silent = any(entry.is_failure for question in asked if (entry := self._cache.get(question)))
            why = (
                "the DNS does not answer"
                if silent
                else "the name has no address"
                if asked
                else "there is no socket for its address family here"
            )
            raise TargetError(f"{_shown(uri)} cannot be reached: {why}")
        return self._by_health(found, loop.time())

    def mark_failed(self, address: Address, now: float) -> None:
        """Try this address after the others for ``FAILED_S`` seconds from ``now`` (the loop's time)."""
        key = address._replace(listener=0, flow=0)
        self._failed.pop(key, None)
        self._failed[key] = now + FAILED_S
        while len(self._failed) > MAX_FAILED:
            self._failed.popitem(last=False)

    def _by_health(self, found: tuple[Address, ...], now: float) -> tuple[Address, ...]:
        return tuple(sorted(found, key=lambda address: self._failed.get(address, 0.0) > now))

    # -- one question --------------------------------------------------------------------------------------------

    async def _answer(self, question: Question) -> Answer:
        cached = self._cache.get(question)
        now = asyncio.get_running_loop().time()
        if cached is not None and now < cached.until:
            return cached.answer
        task = self._asked.get(question)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(question))
            self._asked[question] = task
            task.add_done_callback(lambda _: self._asked.pop(question, None))
        return await asyncio.shield(task)  # one who gives up does not take the answer from the others

    async def _ask(self, question: Question) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            answer, ttl_s = await self._look_up(question)
        except (OSError, TimeoutError, dns.exception.DNSException) as error:
            now = loop.time()
            old = self._cache.get(question)
            is_known = old is not None and now < old.stale_until and not old.is_failure
            log.warning(
                "a DNS question has no answer",
                extra=fields(name=question.name, kind=question.kind, error=type(error).__name__, known=is_known),
            )
            if old is not None and is_known:
                old.until = now + RETRY_S
                return old.answer
            self._keep(question, _Cached((), now + RETRY_S, 0.0, is_failure=True))
            return ()
        limit_s = LONGEST_TTL_S if answer else LONGEST_NEGATIVE_S
        until = loop.time() + min(max(ttl_s, 0.0), limit_s)
        self._keep(question, _Cached(answer, until, until + STALE_S))
        return answer

    def _keep(self, question: Question, entry: _Cached) -> None:
        self._cache.pop(question, None)
        self._cache[question] = entry
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)

    async def _look_up(self, question: Question) -> tuple[Answer, float]:
        """Return the answer and for how many seconds it holds; raises when nobody gives one."""
        name = question.name.lower()
        if question.kind in ("A", "AAAA"):
            known = self._known_hosts().get(name)
            if known is not None:
                version = 4 if question.kind == "A" else 6
                found = [HostRecord(host) for host in known if ipaddress.ip_address(host).version == version]
                return found, 0.0
            if "." not in name or name.endswith(".local"):
                return await self._system(name, question.kind), SYSTEM_RESOLVER_TTL_S
        for _ in range(MAX_ALIASES):
            answer, alias, ttl_s = await self._query(name, question.kind)
            if answer or not alias or alias == name:
                return answer, ttl_s
            name = alias  # the server gave the alias and not what is behind it
        return (), LONGEST_NEGATIVE_S

    async def _query(self, name: str, kind: str) -> tuple[Answer, str, float]:
        """Ask the DNS; return records, the name at the end of the CNAMEs, seconds."""
        try:
            reply = await self._dns().resolve(
                f"{name}.", kind, raise_on_no_answer=False, lifetime=self._timeout_s, search=False
            )
            chain = reply.chaining_result
        except dns.resolver.NXDOMAIN as error:
            responses = error.responses().values()  # type: ignore[no-untyped-call]
            seconds = [response.resolve_chaining().minimum_ttl for response in responses]
            return (), "", float(min(seconds, default=0))
        except (dns.exception.SyntaxError, dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return (), "", LONGEST_NEGATIVE_S  # no name of the DNS: what is asked has no answer ever
        records = [] if reply.rrset is None else [_record(kind, record) for record in reply.rrset]
        return records, chain.canonical_name.to_text(omit_final_dot=True).lower(), float(chain.minimum_ttl)

    def _dns(self) -> dns.asyncresolver.Resolver:
        """Return the client; made at the first question, so that a missing resolv.conf stops nobody who needs none."""
        if self._client is None:
            client = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                client.nameservers = [_server(text) for text in self._servers]
            client.timeout = max(0.25, self._timeout_s / 2)  # of one try: a lost datagram leaves time for another
            client.cache = None
            self._client = client
        return self._client

    async def _system(self, name: str, kind: str) -> Answer:
        family = socket.AF_INET if kind == "A" else socket.AF_INET6
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await loop.getaddrinfo(name, None, family=family, type=socket.SOCK_DGRAM)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL):
                raise
            return ()
        hosts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
        return [HostRecord(host) for host in hosts]

    def _known_hosts(self) -> dict[str, list[str]]:
        """Return the names of the hosts file with their addresses; read again when the file has changed."""
        try:
            status = self._hosts_path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._hosts_read:
                self._hosts = _parse_hosts(self._hosts_path.read_text(encoding="utf-8", errors="replace"))
                self._hosts_read = stamp
        except OSError:
            self._hosts = {}
        return self._hosts


def _parse_hosts(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        host, *names = line.partition("#")[0].split() or [""]
        try:
            ipaddress.ip_address(host)
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.lower().rstrip("."), []).append(host)
    return found


def _server(text: str) -> dns.nameserver.Nameserver:
    try:
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(text)), DNS_PORT)
    except ValueError:
        host, port = split_address(text)
        return dns.nameserver.Do53Nameserver(host, port)


def _record(kind: str, record: object) -> NamingRecord | ServiceRecord | HostRecord:
    """Return a record of the DNS library's as ``sip.targets`` takes it."""

    def text(name: str) -> str:
        value = getattr(record, name)
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

    match kind:
        case "NAPTR":
            order, preference = int(text("order")), int(text("preference"))
            return NamingRecord(order, preference, text("flags"), text("service"), text("replacement"))
        case "SRV":
            return ServiceRecord(int(text("priority")), int(text("weight")), int(text("port")), text("target"))
        case _:
            return HostRecord(text("address"))


def _shown(uri: Uri) -> str:
    """Return a URI as far as it may stand in a log: without its user."""
    return f"{uri.scheme}:{uri.host}" + (f":{uri.port}" if uri.port is not None else "")
