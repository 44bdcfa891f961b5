"""Fuzz target: header lines into ``Headers``, and each value into the parsers of the headers that we read.

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any text: values or a ParseError, and a Via or CSeq
that is written and read again as the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.errors import ParseError
from sip.grammar import find_param, format_params, parse_params, split_list
from sip.headers import CSeq, Headers, Via, parse_contact, parse_routes

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b"Via: SIP / 2.0 / UDP first.example:4000;ttl=16;maddr=239.0.0.1 ;branch=z9hG4bK1;rport;received=192.0.2.1",
    b"v: SIP/2.0/WSS [2001:db8::1] ;branch=z9hG4bK;rport=5060, SIP/2.0/TCP b",
    b'm: "a, b" <sip:a@b,c>;q=0.1, <sip:d@e>;expires=60, *',
    b"Record-Route: <sip:p1;lr>, <sip:p2;transport=tcp;lr>\nRoute: <sips:p3;lr>;x=y",
    b"CSeq: 4294967295 INVITE\ncseq :1   ACK",
    b'Reason: SIP ;cause=200 ;text="Call completed elsewhere", Q.850;cause=16',
    b"Supported: 100rel,,timer , \nX-Own: a\nx-own: b",
)
NAMES = ("Via", "Contact", "Record-Route", "Route", "CSeq", "Reason", "Supported", "X-Own", "Allow")


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    headers = Headers()
    headers.add_lines(data.decode("utf-8", "surrogateescape").split("\n"))
    assert headers.copy() == headers
    _ = repr(headers), len(headers), list(headers.items())
    for name in NAMES:
        assert headers.count(name) == len(headers.lines(name))
        for value in headers.get_all(name):
            _one_value(value)
    for parse in (parse_contact, parse_routes):
        try:
            parse(headers)
        except ParseError:
            continue


def _one_value(value: str) -> None:
    split_list(value)
    try:
        params = parse_params(value, where="fuzz")
    except ParseError:
        pass
    else:
        assert parse_params(format_params(params).removeprefix(";"), where="fuzz") == params or not params
        find_param(params, "tag")
    try:
        via = Via.parse(value)
    except ParseError:
        pass
    else:
        assert Via.parse(str(via)) == via
        stamped = Via.parse(str(via.with_source("192.0.2.7", 4711)))
        assert stamped.rport == (4711 if via.wants_rport else None)
        _ = via.branch, via.has_cookie, via.received
    try:
        cseq = CSeq.parse(value)
    except ParseError:
        return
    assert CSeq.parse(str(cseq)) == cseq


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
