"""Fuzz target: any datagrams at a leg of the media plane, through real sockets: RTP, RTCP, events, from two addresses.

Runs under atheris (``python tests/fuzz/fuzz_media_leg.py [corpus]``); the property tests feed ``one_input`` without
it. An input is cut: one byte says where a datagram comes from and goes to, and how many ticks pass, one how long it is.
What must hold: each datagram is counted as received or dropped, the leg goes on sending, and each key has one end.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.media import DigitEnded, DigitReceived
from engine.rtp import RtpPacket
from engine.rtp import _rtcp as rtcp
from tests.support.rtp_peer import media_case

__all__ = ("SEEDS", "one_input")

MOST = 60


def _datagram(how: int, data: bytes) -> bytes:
    return bytes([how, len(data)]) + data


def _rtp(payload_type: int, sequence: int, timestamp: int, payload: bytes, *, ssrc: int = 9) -> bytes:
    packet = RtpPacket(payload_type=payload_type, sequence=sequence, timestamp=timestamp, ssrc=ssrc, payload=payload)
    return packet.to_bytes()


SEEDS = (
    b"".join(_datagram(1, _rtp(0, n, 160 * n, bytes([n]) * 160)) for n in range(8)),
    b"".join(_datagram(1, _rtp(101, n, 4000, bytes([5, 10 if n < 5 else 0x8A, 0, 160]))) for n in range(8)),
    b"".join(_datagram(1, _rtp(101, n, 4000, bytes([5, 10, n, 160]), ssrc=9 + n // 3)) for n in range(8)),
    _datagram(0x80, rtcp.build(9, b"c", sender=(1, 2, 3, 4, 5), reception=(9, 1, 2, 3, 4, 5, 6), bye=True)),
    _datagram(0x40, _rtp(0, 7, 7, bytes(80))) + _datagram(1, _rtp(13, 8, 8, b"\x40")) + _datagram(1, b"\x00\x01"),
)


def one_input(data: bytes) -> None:
    """Send, tick, and check; raises whatever should not happen."""
    with media_case() as case:
        leg, peer = case.leg(record=True)
        stranger = case.peer(leg)
        sent = 0
        at = 0
        while at + 1 < len(data) and sent < MOST:
            how = data[at]
            datagram = data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
            source = stranger if how & 0x40 else peer
            source.socket.sendto(datagram, source.rtcp_address if how & 0x80 else source.leg_address)
            sent += 1
            case.tick(how & 3)
        case.tick(60)
        statistics = leg.statistics()
        dropped = sum(statistics.discarded_by_cause.values())
        heard = statistics.packets_in + statistics.rtcp_in
        assert heard <= sent <= heard + dropped
        assert statistics.packets_out >= 60
        started = Counter(event.code for event in case.events if isinstance(event, DigitReceived))
        ended = Counter(event.code for event in case.events if isinstance(event, DigitEnded))
        assert all(0 <= code <= 15 for code in started)
        assert started == ended


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
