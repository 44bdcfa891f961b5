"""Fuzz target: text into the URI and name-addr parsers (RFC 3261 §19.1, §20.10).

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any text: a value or a ParseError, a value that is
written and read again as the same, and comparisons that do not raise.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.address import Address, Transport
from sip.errors import ParseError
from sip.routing import apply_route_set, next_hop
from sip.uri import NameAddr, Uri

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b"sip:alice@192.0.2.1",
    b"sips:+1555%30100;phone-context=x:pw@host.example:5061;transport=TCP;lr;maddr=239.1.1.1?Subject=a&Replaces=b%3Bc",
    b"sip:[2001:db8::1]:5060;user=phone",
    b"tel:+1-555-0100;ext=5",
    b'"Alice \\"A\\" Example" <sip:alice@host>;tag=1;q=0.5',
    b"Bob <sip:bob@host.example;lr>;expires=3600",
    b"sip:bob@host;tag=x",
    b"<urn:service:sos>",
)
SOURCES = (
    Address("192.0.2.1", 5060),
    Address("192.0.2.1", 40000, Transport.TCP, 2, 7),
    Address("2001:db8::7", 5061, Transport.TLS, 3, 8, "pbx.example"),
    Address("192.0.2.7", 443, Transport.WSS, 4, 9),
)
OTHER = Uri.parse("sip:alice@192.0.2.1;transport=udp")


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    text = data.decode("utf-8", "surrogateescape")
    for source in SOURCES:
        try:
            uri = Uri.parse(text)
        except ParseError:
            break
        assert Uri.parse(str(uri)) == uri
        assert uri.equivalent(uri)
        assert uri.equivalent(OTHER) == OTHER.equivalent(uri)
        _ = uri.username, uri.param("transport"), uri.param("lr"), uri.without_headers()
        hop = next_hop(uri, (), source)
        assert 0 < hop.port < 65536
        assert hop.host
        apply_route_set(uri, (NameAddr(uri=uri),))
    try:
        address = NameAddr.parse(text)
    except ParseError:
        return
    assert NameAddr.parse(str(address)) == address
    assert address.tag != ""
    assert NameAddr.parse(str(address.with_tag("t"))).tag == "t"
    _ = address.param("expires"), address.without_params(), repr(address)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
