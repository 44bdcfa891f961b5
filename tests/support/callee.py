"""A callee made of text, on a UDP socket of loopback: answers what the test says, and keys in early media."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from dsp.dtmf import CODES
from engine.rtp import RtpPacket
from sip.message import Request, Response
from sip.offer_answer import LocalCapabilities, answer
from sip.parser import parse_message
from sip.payload_types import events_of
from sip.sdp import SessionDescription, parse

__all__ = ("ScriptedCallee", "running_callee")

LOOPBACK = "127.0.0.1"
WAIT_S = 45.0


class ScriptedCallee(asyncio.DatagramProtocol):
    """Takes requests into a queue; retransmissions are dropped. Each answer is the test's."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.seen: list[Request] = []
        self.port = 0
        self.tag = "callee"
        self._known: set[tuple[str | None, str]] = set()
        self._source: dict[str, tuple[str, int]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind((LOOPBACK, 0))
        self._sequence = itertools.count(100)
        self._timestamp = itertools.count(8000, 8000)

    @property
    def uri(self) -> str:
        return f"sip:callee@{LOOPBACK}:{self.port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse_message(data)
        if not isinstance(message, Request):
            return
        key = (message.via.branch, message.method)
        if key not in self._known:
            self._known.add(key)
            self._source[message.call_id] = addr
            self.seen.append(message)
            self.requests.put_nowait(message)

    async def take(self, method: str) -> Request:
        """Return the next request, which must be of this method."""
        async with asyncio.timeout(WAIT_S):
            request = await self.requests.get()
        assert request.method == method
        return request

    def respond(
        self,
        request: Request,
        status: int,
        *,
        tag: str = "",
        sdp: SessionDescription | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        response = Response.to_request(request, status, to_tag=tag or self.tag)
        response.headers.set("Contact", f"<sip:callee@{LOOPBACK}:{self.port}>")
        for name, value in headers:
            response.headers.set(name, value)
        if sdp is not None:
            response.headers.set("Content-Type", "application/sdp")
            response.body = sdp.serialize()
        assert self._transport is not None
        self._transport.sendto(response.serialize(), self._source[request.call_id])

    def sdp(self, invite: Request) -> SessionDescription:
        """Return an answer to the INVITE's offer, with our RTP port in it."""
        local = LocalCapabilities(
            address=LOOPBACK, rtp_port=self._rtp.getsockname()[1], session_id=1, session_version=1
        )
        return answer(parse(invite.body), local)[0]

    def key(self, invite: Request, keys: str) -> None:
        """Send keys as telephone-events (RFC 4733) to where the offer wants them, each with its three end packets."""
        audio = next(media for media in parse(invite.body).media if media.media == "audio")
        event_pt = next(number for number, rate_hz in events_of(audio) if rate_hz == 8000)
        for key in keys:
            timestamp = next(self._timestamp)
            for number, (end, duration) in enumerate([(0, 160), (0, 480), (0x80, 640), (0x80, 640), (0x80, 640)]):
                packet = RtpPacket(
                    payload_type=event_pt,
                    marker=number == 0,
                    sequence=next(self._sequence),
                    timestamp=timestamp,
                    ssrc=77,
                    payload=bytes([CODES[key], end | 10, duration >> 8, duration & 0xFF]),
                )
                self._rtp.sendto(packet.to_bytes(), (LOOPBACK, audio.port))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()
        self._rtp.close()


@asynccontextmanager
async def running_callee() -> AsyncIterator[ScriptedCallee]:
    """Listen on a free port of loopback."""
    callee = ScriptedCallee()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: callee, local_addr=(LOOPBACK, 0))
    callee.port = transport.get_extra_info("sockname")[1]
    try:
        yield callee
    finally:
        callee.close()
