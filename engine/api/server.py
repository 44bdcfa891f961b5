"""The HTTP server of the REST interface, on the engine's loop: aiohttp behind an accept loop of ours.

Laws:

- Whoever asks is known before a handler runs: credentials and what they are good for (`engine.api.realm`), the rate
  (`engine.api.limits`). The only public path is RELAY's, whose clients show their token in their first frame.
- Whatever goes wrong is answered in the dialect's shape, and never with a traceback: a client learns a number and a
  sentence, the log the cause. Neither queries nor bodies nor credentials reach the log.
- Nobody waits for ever: a TLS handshake ``HANDSHAKE_S``, a header ``KEEPALIVE_S``, a body ``BODY_S``
  (``twilio.answers``). Beyond ``max_connections`` connections wait to be served; beyond the rate requests are refused.
- TLS 1.2 at least (PCI DSS 4.2.1); certificate files that were changed hold from the next handshake on.

While the engine drains the interface goes on: an agent must be able to complete the payment of a call that is up.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from engine.api.deps import ApiDeps, Resource
from engine.api.errors import ApiError, not_found
from engine.api.limits import TokenBucket
from engine.api.realm import USER, Realm
from engine.api.twilio.answers import error_answer
from engine.api.twilio.realm import AccountRealm
from engine.api.vonage.answers import refusal as voice_refusal
from engine.api.vonage.realm import VoiceRealm
from engine.api.vonage.tokens import Tokens, has_voice
from engine.config import split_address
from engine.errors import ConfigError, LedgerError
from engine.log import fields
from engine.metrics import HTTP_CONNECTIONS, HTTP_IN_FLIGHT, HTTP_REQUESTS, HTTP_SECONDS
from engine.net.tls import TlsFiles

__all__ = ("USER", "ApiServer", "listen_on", "make_application")

log = logging.getLogger("engine.api")

HANDSHAKE_S = 10.0
KEEPALIVE_S = 30.0
"How long a connection may be without a whole header: after it was opened, and after an answer."
LINGER_S = 2.0
"How long the rest of a body is taken that nobody wants any more."
STOP_S = 10.0
"How long requests under way may take once the server stops."
BACKLOG = 512
ACCEPTED_AT_ONCE = 64
"Connections taken before the loop does something else."
AFTER_FAILURE_S = 0.1
MAX_HEADERS = 64
MAX_HEADER_LINE = 16_384
"Octets: a token that is too long (`vonage.tokens.MAX_TOKEN`) gets here, and is refused as its dialect does."
_METHODS = frozenset(hdrs.METH_ALL)
_CODES = {404: 20404, 405: 20004, 413: 20413}
_MESSAGES = {
    405: "The method is not allowed for this resource",
    413: "The request is too large",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Gate:
    """The one middleware: who asks, how fast, and what an error becomes."""

    def __init__(
        self, deps: ApiDeps, realms: Sequence[Realm], now: Callable[[], float], public: Collection[str]
    ) -> None:
        """``realms``: a request is of the first one that has its path; the last one has all."""
        self._public = frozenset(public)
        self._realms = tuple(realms)
        self._now = now
        api = deps.config.api
        self._bucket = TokenBucket(api.requests_per_s, api.burst, now())

    @web.middleware
    async def middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if self._is_public(request):  # a connection that lasts: neither in flight nor of a duration that tells anything
            return await self._answer(request, handler)
        began = self._now()
        with HTTP_IN_FLIGHT.track_inprogress():
            answer = await self._answer(request, handler)
        took_s = self._now() - began
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        method = request.method if request.method in _METHODS else "other"
        HTTP_REQUESTS.labels(route=route, method=method, status=str(answer.status)).inc()
        HTTP_SECONDS.labels(route=route).observe(took_s)
        log.info(
            "request",
            extra=fields(
                method=method,
                route=route,
                status=answer.status,
                ms=round(1000 * took_s, 1),
                source=request.remote,
                user=request.get(USER, ""),
            ),
        )
        return answer

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        path = _route_of(request) or request.path
        realm = next(realm for realm in self._realms if realm.has(path))
        try:
            if not self._is_public(request):
                self._admit(request, realm)
            return await handler(request)
        except ApiError as error:
            return realm.refusal(error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return realm.refusal(_translated(error, request))
        except LedgerError as error:
            log.error("a request cannot be answered: %s", error, extra=fields(path=_route_of(request)))
            return realm.refusal(ApiError(503, 20503, "The ledger is not available", headers={"Retry-After": "5"}))
        except ConnectionError:
            raise  # of the client's own: nobody hears an answer
        except Exception:
            log.exception("a request failed", extra=fields(path=_route_of(request)))
            return realm.refusal(ApiError(500, 20500, "Internal server error"))

    def _is_public(self, request: web.Request) -> bool:
        return _route_of(request) in self._public

    def _admit(self, request: web.Request, realm: Realm) -> None:
        """Let a request in, or raise ``ApiError``."""
        now = self._now()
        realm.admit(request, _route_of(request), now)
        if not self._bucket.take(now):
            wait_s = str(self._bucket.wait_s(now))
            raise ApiError(429, 20429, "Too many requests: ask again later", headers={"Retry-After": wait_s})


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _translated(error: web.HTTPException, request: web.Request) -> ApiError:
    """Return what aiohttp refused by itself, as an error of the dialect."""
    if error.status == 404:
        return not_found(request.path)
    headers = {str(name): error.headers[name] for name in (hdrs.ALLOW,) if name in error.headers}
    code = _CODES.get(error.status, 20500 if error.status >= 500 else 20001)
    return ApiError(error.status, code, _MESSAGES.get(error.status, "The request cannot be taken"), headers=headers)


def _realms(deps: ApiDeps) -> list[Realm]:
    tokens = Tokens(deps.config)
    return [*([VoiceRealm(tokens, clock=deps.clock)] if tokens else ()), AccountRealm(deps)]


def make_application(
    deps: ApiDeps, resources: Sequence[Resource], *, now: Callable[[], float], public: Collection[str] = ()
) -> web.Application:
    """Return the application with the routes of the resources; ``now`` is the loop's clock.

    ``public`` are paths whose handlers find out themselves who asks. Raise ``ConfigError`` when the environment does
    not hold a secret that the configuration names, or a public key cannot be used.
    """
    gate = _Gate(deps, _realms(deps), now, public)
    app = web.Application(middlewares=[gate.middleware], client_max_size=deps.config.api.max_body_kb * 1024)
    for add_routes in resources:
        add_routes(app, deps)
    return app


class _Connection(RequestHandler):
    """One client's connection, which says when it is gone."""

    __slots__ = ("_on_lost", "_refusal")

    def __init__(
        self,
        server: web.Server,
        on_lost: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        refusal: Callable[[ApiError], web.Response],
    ) -> None:
        """``refusal`` is the answer to what is no HTTP: of which dialect it is meant to be nobody knows."""
        settings: dict[str, Any] = {
            "keepalive_timeout": KEEPALIVE_S,
            "access_log": None,  # the middleware has one that knows what must not be in it
            "lingering_time": LINGER_S,
            "max_line_size": MAX_HEADER_LINE,
            "max_field_size": MAX_HEADER_LINE,
            "max_headers": MAX_HEADERS,
            "auto_decompress": False,  # nobody of the vendor's clients compresses a form
        }
        super().__init__(server, loop=loop, **settings)
        self._on_lost = on_lost
        self._refusal = refusal

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        on_lost, self._on_lost = self._on_lost, _nothing
        on_lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what no handler saw: a request that is no HTTP. Its text may hold credentials, and is told nobody."""
        log.info("a request cannot be read", extra=fields(source=request.remote, error=type(exc).__name__))
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun")
        code, text = (20500, "Internal server error") if status >= 500 else (20001, "The request is not valid HTTP")
        answer = self._refusal(ApiError(status, code, text))
        answer.force_close()
        return answer


def _nothing() -> None:
    pass


def listen_on(address: str, where: str) -> socket.socket:
    """Return a listening socket for ``HOST:PORT``; raise ``ConfigError`` with the remedy when there can be none."""
    host, port = split_address(address)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on {address}: {error.strerror}",
            where=where,
            remedy="stop the other program (ss -tlpn) or choose another address",
        ) from None
    return sock


class ApiServer:
    """Serves ``[api]``. Made by ``await ApiServer.start(...)``, given back by ``await stop()``."""

    def __init__(
        self, runner: web.AppRunner, max_connections: int, refusal: Callable[[ApiError], web.Response] = error_answer
    ) -> None:
        """``refusal`` is the answer to what is no HTTP."""
        self._runner = runner
        self._max_connections = max_connections
        self._refusal = refusal
        self._n_open = 0
        self._listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._is_accepting = True
        self._opening: set[asyncio.Task[None]] = set()
        self.http_address: tuple[str, int] | None = None
        "Host and port of the listener without TLS."
        self.https_address: tuple[str, int] | None = None

    @classmethod
    async def start(cls, deps: ApiDeps, resources: Sequence[Resource], *, public: Collection[str] = ()) -> ApiServer:
        """Listen and serve; raise ``ConfigError`` when an address, a certificate or a secret is no good.

        ``public`` are paths whose handlers find out themselves who asks.
        """
        api = deps.config.api
        if api.is_on and not deps.account_sid and not public and not has_voice(deps.config):
            raise ConfigError(
                "the HTTP interface needs an account, the token of a project whose clients connect by RELAY, or an "
                "application with a public key",
                where="[twilio] account_sid",
                remedy="set account_sid and auth_token_env, or project and token_env in [signalwire], or public_key of "
                "an NCCO application, or take listen and tls_listen out of [api]",
            )
        tls = TlsFiles(**api.tls.model_dump(), table="api.tls") if api.tls_listen else None
        app = make_application(deps, resources, now=asyncio.get_running_loop().time, public=public)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=STOP_S)
        await runner.setup()
        # Whose paths are all there is: an account's dialect where there is an account.
        is_voice = has_voice(deps.config) and not deps.account_sid
        server = cls(runner, api.max_connections, voice_refusal if is_voice else error_answer)
        try:
            if api.listen:
                server.http_address = server._listen(api.listen, "api.listen", None)
            if api.tls_listen:
                server.https_address = server._listen(api.tls_listen, "api.tls_listen", _server_context(tls))
        except BaseException:
            await server.stop()
            raise
        log.info("serving", extra=fields(http=server.http_address or "off", https=server.https_address or "off"))
        return server

    async def stop(self) -> None:
        """Take no more requests, let those under way finish (at most ``STOP_S``) and close everything."""
        self._pause()
        for sock, _ in self._listeners:
            sock.close()
        self._listeners.clear()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self._runner.cleanup()

    def _listen(self, address: str, where: str, context: ssl.SSLContext | None) -> tuple[str, int]:
        sock = listen_on(address, where)
        self._listeners.append((sock, context))
        asyncio.get_running_loop().add_reader(sock, self._accept, sock, context)
        host, port = sock.getsockname()[:2]
        return host, port

    def _pause(self) -> None:
        """Leave new connections to the kernel."""
        self._is_accepting = False
        for sock, _ in self._listeners:
            asyncio.get_running_loop().remove_reader(sock)

    def _resume(self) -> None:
        if not self._is_accepting and self._n_open < self._max_connections:
            self._is_accepting = True
            for sock, context in self._listeners:
                asyncio.get_running_loop().add_reader(sock, self._accept, sock, context)

    def _accept(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED_AT_ONCE):
            if self._n_open >= self._max_connections:
                self._pause()
                return
            try:
                connection, _ = sock.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:  # out of descriptors, most likely: others will give some back
                log.warning("a connection cannot be taken: %s", error.strerror)
                self._pause()
                loop.call_later(AFTER_FAILURE_S, self._resume)
                return
            connection.setblocking(False)
            self._n_open += 1
            HTTP_CONNECTIONS.inc()
            task = loop.create_task(self._open(connection, context))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        server = self._runner.server
        assert server is not None
        protocol = _Connection(server, self._lost, loop, self._refusal)
        options: dict[str, Any] = {} if context is None else {"ssl_handshake_timeout": HANDSHAKE_S}
        try:
            await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context, **options)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            log.debug("a connection was not opened", extra=fields(error=type(error).__name__))
            connection.close()
            protocol.connection_lost(None)
        except asyncio.CancelledError:
            connection.close()
            protocol.connection_lost(None)
            raise

    def _lost(self) -> None:
        HTTP_CONNECTIONS.dec()
        self._n_open -= 1
        if self._listeners:
            self._resume()


def _server_context(tls: TlsFiles | None) -> ssl.SSLContext:
    """Return a context that lets each handshake have the certificate as it is on the disk then."""
    assert tls is not None
    context = tls.server
    if context is None:
        raise ConfigError("tls_listen wants a certificate", where="[api.tls]", remedy="set certificate and key")
    files = tls

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        if (current := files.server) is not None:
            connection.context = current

    context.sni_callback = choose
    return context
