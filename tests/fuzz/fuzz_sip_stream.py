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

__all__ = ("one_input",)

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
