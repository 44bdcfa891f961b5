"""A small registrar: digest with MD5, one password for every account, bindings last as long as it is told."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from sip.auth import Challenge, verify
from sip.errors import ParseError
from sip.message import Request, Response
from sip.parser import parse_message

__all__ = ("PASSWORD", "SmallRegistrar", "running_registrar")

PASSWORD = "one-password-for-all"
"Made up; it lives for one test."


class SmallRegistrar(asyncio.DatagramProtocol):
    """Takes REGISTER, on loopback."""

    def __init__(self, expires_s: int) -> None:
        self.registered: Counter[str] = Counter()
        "How many times each user registered with the right password."
        self.port = 0
        self._expires_s = expires_s
        self._challenge = Challenge(realm="day.test", nonce=secrets.token_hex(8), algorithm="MD5", qop=("auth",))
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            request = parse_message(data)
        except ParseError:
            return
        if isinstance(request, Request) and request.method == "REGISTER" and self._transport is not None:
            self._transport.sendto(self._answer(request).serialize(), addr)

    def _answer(self, request: Request) -> Response:
        text = request.headers.get("Authorization")
        if text is None or not verify(text, method="REGISTER", password=PASSWORD, challenge=self._challenge):
            response = Response.to_request(request, 401, to_tag="registrar")
            response.headers.set("WWW-Authenticate", str(self._challenge))
            return response
        response = Response.to_request(request, 200, to_tag="registrar")
        if request.headers.get("Expires") != "0":
            self.registered[request.to.uri.user or ""] += 1
            response.headers.set("Contact", f"{request.headers.get('Contact')};expires={self._expires_s}")
        return response

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def running_registrar(*, expires_s: int) -> AsyncIterator[SmallRegistrar]:
    """Run a registrar on a free port; it grants ``expires_s`` whatever is asked."""
    registrar = SmallRegistrar(expires_s)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: registrar, local_addr=("127.0.0.1", 0))
    try:
        yield registrar
    finally:
        registrar.close()
        await asyncio.sleep(0)  # asyncio closes the socket in its next round
