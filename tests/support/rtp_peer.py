"""The far end of a leg: a plain UDP socket on loopback, and a media plane that is ticked by hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from engine.media import DigitReceived, Leg, ManualPlane, MediaEvent
from engine.rtp import RtpPacket

__all__ = ("MediaCase", "Peer", "audio", "codes", "media_case")

LOOPBACK = "127.0.0.1"
EVENT_PT = 101
TICK_S = 0.02


def audio(seconds: float, *, freq_hz: float = 437.0, amplitude: int = 8000) -> NDArray[np.int16]:
    """A tone that is no key; its samples tell where in it one is."""
    t = np.arange(int(seconds * 8000))
    sweep = np.sin(2 * np.pi * (freq_hz / 8000 * t + t * t * 1e-6))
    return np.asarray(amplitude * sweep, dtype=np.int16)


def codes(events: list[MediaEvent]) -> list[int]:
    """The keys among events, in their order."""
    return [event.code for event in events if isinstance(event, DigitReceived)]


class Peer:
    """A UDP socket that speaks RTP to one leg."""

    def __init__(self, leg: Leg, *, host: str = LOOPBACK, ssrc: int = 0x1234) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()[:2]
        self.leg_address = (host, leg.rtp_port)
        self.rtcp_address = (host, leg.rtcp_port)
        self.ssrc = ssrc
        self.sequence = 0

    def send(
        self,
        *,
        payload: bytes,
        payload_type: int = 0,
        timestamp: int = 0,
        marker: bool = False,
        sequence: int | None = None,
        ssrc: int | None = None,
    ) -> None:
        if sequence is None:
            sequence = self.sequence
            self.sequence = (self.sequence + 1) & 0xFFFF
        packet = RtpPacket(
            payload_type=payload_type,
            marker=marker,
            sequence=sequence,
            timestamp=timestamp & 0xFFFFFFFF,
            ssrc=self.ssrc if ssrc is None else ssrc,
            payload=payload,
        )
        self.send_raw(packet.to_bytes())

    def send_raw(self, data: bytes) -> None:
        self.socket.sendto(data, self.leg_address)

    def send_audio(self, samples: NDArray[np.int16], *, timestamp: int, payload_type: int = 0, **more: Any) -> None:
        payload = ulaw_encode(samples) if payload_type == 0 else alaw_encode(samples)
        self.send(payload=payload, payload_type=payload_type, timestamp=timestamp, **more)

    def send_event(
        self,
        code: int,
        *,
        timestamp: int,
        duration: int = 160,
        end: bool = False,
        payload_type: int = EVENT_PT,
        **more: Any,
    ) -> None:
        payload = bytes([code, (0x80 if end else 0) | 10, duration >> 8, duration & 0xFF])
        self.send(payload=payload, payload_type=payload_type, timestamp=timestamp, **more)

    @staticmethod
    def decoded(samples: NDArray[np.int16], payload_type: int = 0) -> bytes:
        """What is heard of `samples` after their way through G.711."""
        if payload_type == 0:
            return ulaw_decode(ulaw_encode(samples)).tobytes()
        return alaw_decode(alaw_encode(samples)).tobytes()

    def received_raw(self) -> list[bytes]:
        datagrams = []
        while True:
            try:
                datagrams.append(self.socket.recv(2048))
            except BlockingIOError:
                return datagrams

    def received(self) -> list[RtpPacket]:
        return [RtpPacket.parse(data) for data in self.received_raw()]

    def close(self) -> None:
        self.socket.close()


class MediaCase:
    """A plane ticked by hand, its legs, and their peers."""

    def __init__(self, *, host: str = LOOPBACK, threads: int = 1) -> None:
        self.host = host
        self.plane = ManualPlane(host=host, threads=threads)
        self.now = 1000.0
        self.peers: list[Peer] = []
        self.events: list[MediaEvent] = []

    def leg(self, *, record: bool = False, detect_in_band: bool = True, **config: Any) -> tuple[Leg, Peer]:
        """Open and configure a leg with a peer of its own."""
        leg = self.plane.open_leg(record=record, detect_in_band=detect_in_band)
        peer = self.peer(leg)
        self.configure(leg, peer, **config)
        return leg, peer

    def peer(self, leg: Leg, **more: Any) -> Peer:
        peer = Peer(leg, host=self.host, **more)
        self.peers.append(peer)
        return peer

    def configure(self, leg: Leg, peer: Peer, **config: Any) -> None:
        codec = config.pop("codec", "PCMU")
        defaults: dict[str, Any] = {
            "remote": peer.address,
            "codec": codec,
            "send_pt": 0 if codec == "PCMU" else 8,
            "receive_pts": {0: "PCMU", 8: "PCMA", 13: "CN"},
            "event_receive_pt": EVENT_PT,
            "event_send_pt": EVENT_PT,
        }
        leg.configure(**(defaults | config))

    def tick(self, n: int = 1) -> list[MediaEvent]:
        """Let n ticks pass; return the events among them."""
        events = []
        for _ in range(n):
            self.plane.tick(self.now)
            self.now += TICK_S
            events += self.plane.drain_events()
        self.events += events
        return events

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.plane.stop()


@contextmanager
def media_case(*, host: str = LOOPBACK, threads: int = 1) -> Iterator[MediaCase]:
    case = MediaCase(host=host, threads=threads)
    try:
        yield case
    finally:
        case.close()
