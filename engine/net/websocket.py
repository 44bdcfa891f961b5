"""SIP over WebSocket, the server's side (RFC 7118, RFC 6455): one message of SIP in each message of WebSocket.

The protocol is the library's, without a socket. Subprotocol ``sip`` is demanded (RFC 7118 §4.1); extensions are
refused, compression among them: it would let a few octets grow to many in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

from sip.parser import MAX_MESSAGE

__all__ = ("WebSocketLayer",)

# The library logs frames at its debug level, and a frame of ours can hold what a caller keyed.
_silent = logging.getLogger("engine.net.websocket.frames")
_silent.setLevel(logging.CRITICAL + 1)


class WebSocketLayer:
    """One accepted WebSocket: octets in, messages out, and the other way.

    ``origins`` are the pages (``https://pay.example.com``) whose scripts may connect, and with any given a client that
    names none is refused; empty: all may (RFC 6455 §10.2).
    """

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self._protocol = ServerProtocol(
            origins=[Origin(origin) for origin in origins] or None,
            subprotocols=[Subprotocol("sip")],
            max_size=MAX_MESSAGE,
            logger=_silent,
        )
        self._parts = bytearray()

    @property
    def is_established(self) -> bool:
        """Whether the opening handshake is over and the connection is open."""
        return self._protocol.state is State.OPEN

    @property
    def is_over(self) -> bool:
        """Whether the connection is to be closed: the handshake failed, or a close frame went out."""
        return self._protocol.close_expected()

    @property
    def is_within_message(self) -> bool:
        """Whether a message, or the handshake, has begun that is not complete."""
        return bool(self._parts) or self._protocol.state is State.CONNECTING

    def receive(self, data: bytes) -> list[bytes]:
        """Take octets of the network; return the messages that are complete with them. Never raises."""
        self._protocol.receive_data(data)
        messages: list[bytes] = []
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts += event.data
                if event.fin:
                    messages.append(bytes(self._parts))
                    self._parts.clear()
        return messages

    def send(self, message: bytes) -> None:
        """Send one message: as text where it is UTF-8, which clients in browsers expect, else as binary."""
        try:
            message.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(message)
        else:
            self._protocol.send_text(message)

    def data_to_send(self) -> bytes:
        """Return what has to go to the network now."""
        return b"".join(self._protocol.data_to_send())

    def close(self) -> None:
        """Send a close frame (1001, going away) if the connection is open."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1001)
