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

__all__ = ("one_input",)


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
