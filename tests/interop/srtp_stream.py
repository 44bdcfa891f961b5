"""An SRTP stream beside a peer that only signals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from engine.rtp._srtp import SrtpCore
from engine.rtp.srtp import SrtpKeysPair
from tests.support.pcap import Packet

__all__ = ("Heard", "exchange")


@dataclass(slots=True)
class Heard:
    """What came back: packets with a good tag, and others."""

    genuine: int = 0
    refused: int = 0


async def exchange(
    packets: Sequence[Packet], keys: SrtpKeysPair, sock: socket.socket, remote: tuple[str, int]
) -> Heard:
    """Protect and send each packet at its time, and read what comes meanwhile."""
    core = SrtpCore(keys)
    heard = Heard()
    loop = asyncio.get_running_loop()
    start = loop.time()
    sock.setblocking(False)
    for at_ms, packet in packets:
        await asyncio.sleep(max(0.0, start + at_ms / 1000 - loop.time()))
        n, protected = core.protect(packet)
        assert n > len(packet), "a tag follows"
        sock.sendto(protected, remote)
        _read(sock, core, heard)
    core.close()
    return heard


def _read(sock: socket.socket, core: SrtpCore, heard: Heard) -> None:
    while True:
        try:
            packet = sock.recv(2048)
        except BlockingIOError:
            return
        n, _ = core.unprotect(packet)
        if n > 0:
            heard.genuine += 1
        else:
            heard.refused += 1
