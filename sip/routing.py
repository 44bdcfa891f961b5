"""Where messages go: responses by the top Via, requests by route set and remote target.

Deviations, all for safety or for NAT, none of which a well-behaved peer notices:

- ``maddr`` in a Via is not followed (RFC 3261 §18.2.2 would): it lets a sender choose who gets our responses.
- An in-dialog request goes to the address that the last packet of the dialog came from when its next hop is not an
  IP literal (this core has no DNS), cannot be a unicast peer, asks for a transport that is not ours, is a private
  address while the packets come from a public one (a phone behind NAT that writes its own address into Contact), or
  when the dialog runs on a connection to that host already.
"""

from __future__ import annotations

import ipaddress

from sip.address import Address, Transport
from sip.headers import Via
from sip.message import Request
from sip.uri import NameAddr, Uri

__all__ = ("DEFAULT_PORT", "apply_route_set", "next_hop", "response_destination", "stamp_source")

DEFAULT_PORT = 5060
"RFC 3261 §19.1.2, for UDP and TCP."


def stamp_source(request: Request, source: Address) -> None:
    """Write into the top Via where the request came from (RFC 3261 §18.2.1, RFC 3581 §4)."""
    via = request.via
    if via.wants_rport or via.received is not None or via.host != source.host:
        request.stamp_via(via.with_source(source.host, source.port))


def response_destination(via: Via, source: Address) -> Address:
    """Return where responses to a request with this top Via go.

    By the connection that the request came on (§18.2.2). Over UDP always the host that it came from: with ``rport`` to
    the port it came from (RFC 3581 §4), without to the port of the Via (RFC 3261 §18.2.2).
    """
    if via.wants_rport or source.transport.is_reliable:
        return source
    return source._replace(port=via.port or DEFAULT_PORT)


def apply_route_set(target: Uri, route_set: tuple[NameAddr, ...]) -> tuple[Uri, tuple[NameAddr, ...]]:
    """Return Request-URI and Route of an in-dialog request (RFC 3261 §12.2.1.1), strict routers included."""
    if not route_set or route_set[0].uri.param("lr") is not None:
        return target.without_headers(), route_set
    # A strict router wants itself in the Request-URI and the target at the end of the Route.
    return route_set[0].uri.without_headers(), (*route_set[1:], NameAddr(uri=target.without_headers()))


def next_hop(target: Uri, route_set: tuple[NameAddr, ...], last_source: Address) -> Address:
    """Return where an in-dialog request goes: the first Route, else the remote target, else back to the source."""
    uri = route_set[0].uri if route_set else target
    if not uri.is_sip or last_source.transport in (Transport.WS, Transport.WSS):
        return last_source  # RFC 7118 §5: a browser is reached by its own connection only
    transport = _transport_of(uri, last_source)
    port = (Transport.UDP if transport is None else transport).default_port if uri.port is None else uri.port
    if transport is None or port == 0:
        return last_source
    try:
        host = ipaddress.ip_address(uri.host)
        seen = ipaddress.ip_address(last_source.host.partition("%")[0])
    except ValueError:
        return last_source
    if host.is_unspecified or host.is_multicast or host.version != seen.version or uri.host == "255.255.255.255":
        return last_source
    if host.is_private and not seen.is_private:
        return last_source
    if transport is not last_source.transport:
        return Address(uri.host, port, transport)
    # RFC 5923 §4: a connection that is there is used again, whatever port the Contact names.
    if transport.is_reliable and uri.host == last_source.host:
        return last_source
    return Address(uri.host, port, transport, last_source.listener)


def _transport_of(uri: Uri, last_source: Address) -> Transport | None:
    """Return the transport that a URI asks for (§19.1.1, RFC 3263 §4.1); None for one that we do not have."""
    named = uri.param("transport")
    secure = uri.scheme == "sips"
    if named is None:
        if uri.host == last_source.host:
            return last_source.transport
        return Transport.TLS if secure else Transport.UDP
    try:
        transport = Transport(named.upper())
    except ValueError:
        return None
    return Transport.TLS if secure and transport is Transport.TCP else transport
