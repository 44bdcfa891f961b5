"""Fuzz target: one datagram into the SIP parser.

Runs under atheris (``python tests/fuzz/fuzz_sip_message.py [corpus]``); the property tests feed ``one_input`` without
it. What must hold for any bytes: a message or a ParseError, and a message can be read and written without another
error.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.errors import ParseError
from sip.message import Request, Response
from sip.parser import is_keepalive, parse_message

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b"INVITE sip:pay@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
    b'From: "Alice" <sip:alice@192.0.2.1>;tag=a\r\nTo: <sip:pay@192.0.2.2>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n'
    b"Contact: <sip:alice@192.0.2.1:5060;transport=tcp>\r\nMax-Forwards: 70\r\nRecord-Route: <sip:192.0.2.9;lr>\r\n"
    b"Supported: 100rel, timer,replaces\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    b"SIP/2.0 200 OK\r\nv: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK2;received=[2001:db8::2]\r\n"
    b"f: <sips:a@[2001:db8::1]>;tag=a\r\nt: b <tel:+15550100;phone-context=x>;tag=b\r\ni: 2@x\r\nCSeq: 2 BYE\r\n"
    b"m: *\r\nk:\r\n timer\r\nl: 0\r\n\r\n",
)


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    is_keepalive(data)
    try:
        message = parse_message(data)
    except ParseError as error:
        _check_error(error)
        return
    _check(message)


def _check_error(error: ParseError) -> None:
    assert error.status_hint in (400, 505, 513)
    assert error.where
    assert str(error).startswith(error.where)
    if error.partial is not None:
        assert error.partial.via.host
        Response.to_request(error.partial, error.status_hint, to_tag="t").serialize()


def _check(message: Request | Response) -> None:
    assert message.call_id
    assert 0 <= message.cseq.number < 2**32
    assert message.max_forwards is None or 0 <= message.max_forwards <= 255
    assert message.via.port is None or 0 <= message.via.port <= 65535
    for address in (message.from_, message.to, *message.contacts, *message.routes, *message.record_routes):
        assert type(address).parse(str(address)) == address
        assert address.uri.equivalent(address.uri)
        assert address.tag != ""
    _ = message.content_type, message.via.received, message.via.rport, message.via.branch
    for name in ("Supported", "Require", "Allow", "Via"):
        message.headers.get_all(name)
    repr(message)
    wire = message.serialize()
    again = parse_message(wire)
    assert again.serialize() == wire
    assert again.body == message.body
    if isinstance(message, Request):
        assert isinstance(again, Request)
        assert again.uri == message.uri
        Response.to_request(message, 200, to_tag="t").serialize()


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
