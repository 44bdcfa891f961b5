"""A minimal HTTP/1.1 client (RFC 9112) on asyncio streams and h11, for bodies that must leave no copy.

``request``: one request, one connection, one answer (``engine.net.http_pool`` keeps connections, for bodies without
digits). The body goes from the caller's buffer to the transport untouched; when
``request`` is over, however it ends, nothing refers to the body any more and the caller may wipe it. General clients
were measured to leave one or two copies of a body in memory, this way leaves none.

What failed tells what may have happened at the other end::

    HttpError
    ├── NotSent       not one byte of the request left: repeating it is safe, nothing was done
    ├── Unanswered    the request left, in whole or in part, and no answer came
    └── BadAnswer     something came that is no usable answer: garbage, too large, a redirect, cut off

No message holds a path, a query, a credential or a body. The names tell what is known, not only
that it failed.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLContext
from urllib.parse import unquote, urlsplit

import h11

from engine.errors import Error
from engine.net.tls import client_context

__all__ = (
    "MAX_RESPONSE",
    "BadAnswer",
    "Exchange",
    "HttpError",
    "HttpResponse",
    "NotSent",
    "Target",
    "Unanswered",
    "request",
    "request_head",
    "shown_url",
    "split_url",
)

USER_AGENT = "paytone"
MAX_HEAD = 16 * 1024
"Bytes of an answer's status line and headers; what h11, Apache and nginx allow is 8 to 16 KiB."
MAX_INFORMATIONAL = 8
"1xx answers before the final one; a server that sends more only wants to keep us."
MAX_RESPONSE = 64 * 1024
"Bytes of an answer's body, unless the caller says otherwise."
READ_SIZE = 16 * 1024
CLOSE_S = 1.0
NOT_LET_IN = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    }
)
"""Alerts about our certificate. In TLS 1.3 they come after our side of the handshake, and behind our request: which a
server that never finished its side cannot have read (RFC 8446 §4.4.2.4, §6.2)."""


class HttpError(Error):
    """Root of what can go wrong with a request."""


class NotSent(HttpError):  # noqa: N818
    """Not one byte of the request left this machine."""


class Unanswered(HttpError):  # noqa: N818
    """The request left, in whole or in part, and no answer came."""


class BadAnswer(HttpError):  # noqa: N818
    """The answer cannot be used; ``status`` is its status code when it had one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A complete answer."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    "Names in lower case."
    body: bytes

    def header(self, name: str) -> str:
        """Return the first header of this name (lower case), as Latin-1; empty when there is none."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a URL points."""

    is_https: bool
    host: str
    port: int
    path: str
    "Path and query."
    basic_auth: tuple[str, str] | None
    "User and password of the URL."
    bare_url: str
    "The URL without user, password and fragment: what is signed and may be shown."

    @property
    def authority(self) -> str:
        """Value of the Host header (RFC 9110 §7.2): the port only when it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_https else 80) else f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Target({self.authority})"  # neither the password nor a token in the query


def split_url(url: str, *, allow_insecure: bool = False) -> Target:
    """Take an http(s) URL apart; raise ``ValueError``, which never repeats the URL, when it can't be requested."""
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError("the URL holds characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the URL cannot be read") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("the URL must start with https:// and name a host")
    if parts.scheme == "http" and not allow_insecure:
        raise ValueError("the URL must start with https://")
    basic_auth = None
    if parts.username is not None:
        basic_auth = (unquote(parts.username), unquote(parts.password or ""))
    return Target(
        is_https=parts.scheme == "https",
        host=host,
        port=port if port is not None else (443 if parts.scheme == "https" else 80),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        basic_auth=basic_auth,
        bare_url=parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl(),
    )


def shown_url(url: str) -> str:
    """Return what of a URL may be shown: no user, password, query or fragment; a question mark tells of a query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "?"
    return f"{parts.scheme}://{host}{parts.path}" + ("?" if parts.query else "")


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | bytearray = b"",
    timeout_s: float,
    tls: SSLContext | None = None,
    max_response: int = MAX_RESPONSE,
    basic_auth: tuple[str, str] | None = None,
    allow_insecure: bool = False,
    addresses: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
) -> HttpResponse:
    """Send one request and return its answer, whatever the status but a redirect.

    ``timeout_s`` bounds all of it, from the name's resolution to the answer's last byte. ``max_response`` bounds the
    answer's body, in bytes. ``basic_auth`` replaces user and password of the URL. Without ``tls`` the system's
    authorities are trusted. ``addresses`` gives the addresses of a host and port that may be connected to
    (``engine.net.egress``), or raises ``NotSent``; without it the system's resolver is asked. Raise ``ValueError`` for
    a URL or a header that can't be sent, else ``NotSent``, ``Unanswered`` or ``BadAnswer``.
    """
    target = split_url(url, allow_insecure=allow_insecure)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    head = request_head(connection, method, target, headers, len(body), basic_auth=basic_auth, keep_alive=False)
    exchange = Exchange(connection, target)
    try:
        async with asyncio.timeout(timeout_s):
            context = (tls or client_context()) if target.is_https else None
            await _connect(exchange, context, await addresses(target.host, target.port) if addresses else [""])
            await exchange.send(head, body)
            return await exchange.receive(max_response)
    except TimeoutError:
        if exchange.began:
            raise Unanswered(f"{target.authority} did not answer within {timeout_s:g} s") from None
        raise NotSent(f"{target.authority} could not be reached within {timeout_s:g} s") from None
    finally:
        await exchange.close()


async def _connect(exchange: Exchange, tls: SSLContext | None, addresses: Sequence[str]) -> None:
    """Connect to the first address that takes it; raise ``NotSent``."""
    for address in addresses[:-1]:
        try:
            await exchange.connect(tls, address)
        except NotSent:
            continue
        return
    await exchange.connect(tls, addresses[-1])


def request_head(
    connection: h11.Connection,
    method: str,
    target: Target,
    headers: Mapping[str, str],
    length: int,
    *,
    basic_auth: tuple[str, str] | None = None,
    keep_alive: bool,
) -> bytes:
    """Return a request's line and headers for a body of ``length`` bytes; raise ``ValueError`` for what can't be sent.

    Without ``basic_auth`` user and password of the target are taken.
    """
    fields = {"Host": target.authority, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if not keep_alive:
        fields["Connection"] = "close"
    fields |= {"Content-Length": str(length), **headers}
    basic_auth = basic_auth or target.basic_auth
    if basic_auth is not None:
        # RFC 7617 §2: user and password in UTF-8, joined by a colon.
        fields["Authorization"] = "Basic " + base64.b64encode(":".join(basic_auth).encode()).decode()
    try:
        data = connection.send(h11.Request(method=method, target=target.path, headers=list(fields.items())))
    except (h11.LocalProtocolError, UnicodeEncodeError):
        raise ValueError("a header or the method holds characters that HTTP does not allow") from None
    assert data is not None
    return data


class Exchange:
    """One connection with one request on it, or with one after the other."""

    def __init__(self, connection: h11.Connection, target: Target) -> None:
        self._http = connection
        self._target = target
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.began = False
        "Whether a byte of the request may have left."
        self._heard = False

    @property
    def was_heard(self) -> bool:
        """Whether a byte of the answer came."""
        return self._heard

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow: both sides are done, nothing came behind the answer, nobody hung up."""
        assert self._reader is not None
        return (
            self._http.our_state is h11.DONE
            and self._http.their_state is h11.DONE
            and not self._http.trailing_data[0]
            and not self.is_stale
        )

    @property
    def is_stale(self) -> bool:
        """Whether the peer hung up, or the connection broke."""
        assert self._reader is not None
        assert self._writer is not None
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.transport.is_closing()

    def next_request(self) -> h11.Connection:
        """Make ready for another request on this connection; return what its head is written with."""
        self._http.start_next_cycle()
        self.began = self._heard = False
        return self._http

    async def connect(self, tls: SSLContext | None, address: str = "") -> None:
        """Connect to the target's host, or to ``address``, which is the host's; raise ``NotSent``."""
        target = self._target
        try:
            self._reader, self._writer = await asyncio.open_connection(
                address or target.host, target.port, ssl=tls, server_hostname=target.host if tls else None
            )
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a host name that IDNA refuses; ssl.SSLError is an OSError
            reason = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__
            raise NotSent(f"{target.authority} cannot be reached: {reason}") from None

    async def send(self, head: bytes, body: bytes | bytearray) -> None:
        """Send a request; that the connection broke tells ``receive``."""
        assert self._writer is not None
        self.began = True
        try:
            self._writer.write(head)
            if body:
                # The very buffer, never a copy; it is read until the answer is in or the transport is aborted.
                chunks = self._http.send_with_data_passthrough(h11.Data(data=body))  # type: ignore[arg-type]
                for chunk in chunks or ():
                    self._writer.write(chunk)
            self._http.send(h11.EndOfMessage())
            await self._writer.drain()
        except OSError:
            # A server may refuse early and close: its answer may be there to be read (RFC 9112 §9.5).
            return

    async def receive(self, max_response: int, *, redirects: bool = False) -> HttpResponse:
        """Return the answer; raise ``Unanswered`` or ``BadAnswer``. ``redirects``: those are answers too."""
        response = await self._final_response()
        status, headers = response.status_code, [(bytes(name), bytes(value)) for name, value in response.headers]
        if 300 <= status < 400 and not redirects:
            raise BadAnswer(f"{self._target.authority} redirects, which is not followed", status=status)
        for name, value in headers:
            if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                raise BadAnswer(
                    f"{self._target.authority} answers in an encoding that was not asked for", status=status
                )
        body = bytearray()
        while not isinstance(event := await self._next_event(status), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise BadAnswer(f"{self._target.authority} closed in the middle of its answer", status=status)
            body += event.data
            if len(body) > max_response:
                raise BadAnswer(f"{self._target.authority} answers with more than {max_response} bytes", status=status)
        return HttpResponse(status=status, headers=headers, body=bytes(body))

    async def _final_response(self) -> h11.Response:
        for _ in range(MAX_INFORMATIONAL + 1):
            event = await self._next_event(None)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Unanswered(f"{self._target.authority} closed without an answer")
        raise BadAnswer(f"{self._target.authority} sends 1xx without end")

    async def _next_event(self, status: int | None) -> h11.Event:
        assert self._reader is not None
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._read(status))
        except h11.RemoteProtocolError:
            if status is None and not self._heard:
                raise Unanswered(f"{self._target.authority} closed without an answer") from None
            raise BadAnswer(f"{self._target.authority} answers what is not HTTP", status=status) from None
        if event is h11.PAUSED or not isinstance(event, h11.Event):
            raise BadAnswer(f"{self._target.authority} wants to switch protocols", status=status)
        return event

    async def _read(self, status: int | None) -> bytes:
        assert self._reader is not None
        try:
            data = await self._reader.read(READ_SIZE)
        except OSError as error:
            if not self._heard and getattr(error, "reason", "") in NOT_LET_IN:
                raise NotSent(f"{self._target.authority} does not accept our certificate") from None
            if status is None and not self._heard:
                raise Unanswered(f"{self._target.authority} reset the connection") from None
            raise BadAnswer(f"{self._target.authority} reset the connection within its answer", status=status) from None
        self._heard = self._heard or bool(data)
        return data

    def abort(self) -> None:
        """Drop the connection at once; safe when there is none."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        """Drop the connection and with it every reference to the body; safe when there is none."""
        if self._writer is None:
            return
        # Aborted, not closed: closing would flush, and what is flushed may be wiped by then.
        self._writer.transport.abort()
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
