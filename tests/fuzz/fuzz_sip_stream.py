"""Fuzz target: a stream of octets, cut as the input says, into the framer and on into an endpoint.

Runs under atheris (``python tests/fuzz/fuzz_sip_stream.py [corpus]``). The first octet says how long the pieces are.
Nothing may raise, every cut gives the same, an error is the last, and what is held stays within one message.
``tests/property/test_sip_stream.py`` feeds it without atheris.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.address import Address, Transport
from sip.framing import Framed, FramingError, StreamFramer, refusal
from sip.parser import MAX_MESSAGE
from sip.stun import binding_response
from tests.support.sip_pair import BOB, make_endpoint

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b"\x07\r\n\r\nOPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=a\r\nTo: <sip:b>\r\n"
    b"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 2\r\n\r\nab\r\nSIP/2.0 200 OK\r\nl: 0\r\n\r\n",
    b"\x01BYE sip:b SIP/2.0\r\nCall-ID: 1\r\n\r\n",
    b"\xff\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
)

PEER = Address("192.0.2.1", 40000, Transport.TCP, 1, 1)


def one_input(data: bytes) -> None:
    """Run one input."""
    size, stream = (data[0] or 1, data[1:]) if data else (1, b"")
    whole = StreamFramer().receive(stream)
    framer, found = StreamFramer(), list[Framed]()
    for start in range(0, len(stream), size):
        found += framer.receive(stream[start : start + size])
        if len(framer._buffer) > MAX_MESSAGE + size:
            raise AssertionError("more than a message is held")
    if found != whole:
        raise AssertionError("the cut changed the messages")
    if any(isinstance(item, FramingError) for item in found[:-1]):
        raise AssertionError("something came behind an error")
    endpoint = make_endpoint(BOB)
    for item in found:
        if isinstance(item, bytes):
            endpoint.receive_datagram(item, PEER, 0.0)
        elif isinstance(item, FramingError):
            refusal(item, PEER)
    binding_response(stream, PEER)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
