"""HTTP with connections that are kept (RFC 9112 §9.3), for webhooks and documents; bodies with digits never come here.

Laws:

- Every connection goes to an address that the egress rules passed, and to no other; it lives for ``lifetime_s`` at
  most, so that a changed name is asked again.
- A kept connection may have been closed by the server in the meantime. A request is sent on one only when it may be
  repeated, and is repeated once, on a new connection, when not one byte of an answer came.
- An idle connection is closed after ``idle_s``; of one host there are ``max_per_host`` at most, in use and idle, and
  ``max_idle`` idle ones in all. An answer with anything behind it ends its connection.
- One limit of time counts for all: waiting for a connection, resolving, connecting, sending, the answer's last byte.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

import h11

from engine.net.egress import Egress
from engine.net.http import (
    MAX_HEAD,
    MAX_RESPONSE,
    Exchange,
    HttpResponse,
    NotSent,
    Target,
    Unanswered,
    request_head,
    split_url,
)
from engine.net.tls import client_context

__all__ = ("MAX_PER_HOST", "HttpPool")

IDLE_S = 15.0
"Servers close theirs after 5 (Apache, Node) to 75 s (nginx)."
LIFETIME_S = 300.0
MAX_PER_HOST = 16
MAX_IDLE = 64
CONNECT_S = 3.0
"For an address, when the name has another one to try."

_Origin = tuple[bool, str, int]


@dataclass(eq=False, slots=True)
class _Kept:
    """An open connection."""

    exchange: Exchange
    http: h11.Connection
    ends_at: float
    timer: asyncio.TimerHandle | None = None
    is_used: bool = False


@dataclass(eq=False, slots=True)
class _Host:
    """The connections to one origin."""

    limit: asyncio.Semaphore
    idle: deque[_Kept] = field(default_factory=deque)
    users: int = 0
    "Requests that are under way or wait for a connection."


class HttpPool:
    """Sends requests to where ``egress`` lets them. Without ``tls`` the system's authorities are trusted."""

    def __init__(
        self,
        egress: Egress,
        *,
        tls: SSLContext | None = None,
        idle_s: float = IDLE_S,
        lifetime_s: float = LIFETIME_S,
        max_per_host: int = MAX_PER_HOST,
        max_idle: int = MAX_IDLE,
    ) -> None:
        self._egress = egress
        self._tls = tls
        self._idle_s = idle_s
        self._lifetime_s = lifetime_s
        self._max_per_host = max_per_host
        self._max_idle = max_idle
        self._hosts: dict[_Origin, _Host] = {}
        self._idle = 0
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that are open and wait for a request."""
        return self._idle

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float,
        max_response: int = MAX_RESPONSE,
        allow_insecure: bool = False,
        redirects: bool = False,
        is_repeatable: bool = False,
    ) -> HttpResponse:
        """Send one request and return its answer, whatever the status but a redirect, and that too with ``redirects``.

        ``is_repeatable`` says that it does no harm when the request arrives twice; GET and HEAD always are. Raise
        ``ValueError`` for a URL or a header that can't be sent, else ``EgressRefused``, ``NotSent``, ``Unanswered`` or
        ``BadAnswer``, none of which repeats path, query or credentials.
        """
        target = split_url(url, allow_insecure=allow_insecure)
        used: list[_Kept] = []

        async def once(connection: _Kept) -> HttpResponse:
            used[:] = [connection]
            http = connection.exchange.next_request() if connection.is_used else connection.http
            connection.is_used = True
            is_kept = False
            try:
                head = request_head(http, method, target, headers, len(body), keep_alive=True)
                await connection.exchange.send(head, body)
                response = await connection.exchange.receive(max_response, redirects=redirects)
                is_kept = connection.exchange.is_reusable
                return response
            finally:
                if not is_kept or not self._keep(target, connection):
                    await connection.exchange.close()

        try:
            async with asyncio.timeout(timeout_s), self._place(target):
                if (is_repeatable or method in ("GET", "HEAD")) and (kept := self._take(target)) is not None:
                    try:
                        return await once(kept)
                    except Unanswered:
                        if kept.exchange.was_heard:
                            raise
                return await once(await self._connect(target))
        except TimeoutError:
            if used and used[0].exchange.began:
                raise Unanswered(f"{target.authority} did not answer within {timeout_s:g} s") from None
            raise NotSent(f"{target.authority} could not be reached within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Close what is idle; what is under way ends on its own, and nothing is kept any more."""
        self._closed = True
        for host in self._hosts.values():
            for kept in host.idle:
                self._drop(kept)
            host.idle.clear()
        self._egress.close()
        await asyncio.sleep(0)  # in which the transports close

    # -- connections -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _place(self, target: Target) -> AsyncIterator[None]:
        """Wait until the origin may have one more connection in use."""
        origin = _origin(target)
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = _Host(asyncio.Semaphore(self._max_per_host))
        host.users += 1
        try:
            async with host.limit:
                yield
        finally:
            host.users -= 1
            self._forget(origin)

    async def _connect(self, target: Target) -> _Kept:
        if target.is_https and self._tls is None:
            # Reading the authorities takes tens of milliseconds.
            self._tls = await asyncio.to_thread(client_context)
        tls = self._tls if target.is_https else None
        addresses = await self._egress.addresses(target.host, target.port)
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await self._connect_to(target, address, tls)
            except (NotSent, TimeoutError):
                continue
        return await self._connect_to(target, addresses[-1], tls)

    async def _connect_to(self, target: Target, address: str, tls: SSLContext | None) -> _Kept:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        exchange = Exchange(http, target)
        await exchange.connect(tls, address)
        return _Kept(exchange, http, asyncio.get_running_loop().time() + self._lifetime_s)

    def _take(self, target: Target) -> _Kept | None:
        """Return an idle connection that still looks well; the one used last, so that the others may end."""
        idle = self._hosts[_origin(target)].idle
        while idle:
            kept = idle.pop()
            if not kept.exchange.is_stale:
                self._idle -= 1
                if kept.timer is not None:
                    kept.timer.cancel()
                return kept
            self._drop(kept)
        return None

    def _keep(self, target: Target, kept: _Kept) -> bool:
        """Put a connection aside for the next request; return False when it can't be."""
        loop = asyncio.get_running_loop()
        wait_s = min(self._idle_s, kept.ends_at - loop.time())
        if self._closed or wait_s <= 0 or self._idle >= self._max_idle:
            return False
        origin = _origin(target)
        self._hosts[origin].idle.append(kept)
        self._idle += 1
        kept.timer = loop.call_later(wait_s, self._expire, origin, kept)
        return True

    def _expire(self, origin: _Origin, kept: _Kept) -> None:
        self._hosts[origin].idle.remove(kept)
        self._drop(kept)
        self._forget(origin)

    def _drop(self, kept: _Kept) -> None:
        self._idle -= 1
        if kept.timer is not None:
            kept.timer.cancel()
        kept.exchange.abort()

    def _forget(self, origin: _Origin) -> None:
        host = self._hosts.get(origin)
        if host is not None and not host.users and not host.idle:
            del self._hosts[origin]


def _origin(target: Target) -> _Origin:
    return target.is_https, target.host, target.port
