"""What a registrar grants: the 2xx to REGISTER, read (RFC 3261 §10.2.4, RFC 3608, RFC 5626 §4.2, RFC 5627 §4.2).

Path is for proxies and is left alone (RFC 3327 §5.1). What is malformed counts as not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.errors import ParseError
from sip.headers import parse_routes
from sip.message import Response
from sip.uri import NameAddr, Uri

__all__ = ("Binding", "read_binding", "seconds")

MAX_EXPIRES_S = 2**31 - 1
"A registrar's number beyond this is no number of seconds."
MAX_SERVICE_ROUTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the registrar keeps, and what it gives with it."""

    expires_s: int
    service_route: tuple[NameAddr, ...] = ()
    "Route of the account's requests outside dialogs (RFC 3608 §5)."
    public_gruu: Uri | None = None
    "A Contact that reaches us, and nobody else of this address of record, from anywhere (RFC 5627 §3.1)."
    temporary_gruu: Uri | None = None
    "The same without a hint at who we are."
    is_outbound: bool = False
    "The registrar keeps to RFC 5626: requests come on the connection that the REGISTER went by."
    flow_timer_s: int | None = None
    "How long that connection may be silent (RFC 5626 §4.4.1); None: the registrar did not say."


def read_binding(response: Response, *, contact: Uri, instance: str, asked_s: int) -> Binding:
    """Read a 2xx. ``contact`` is ours, ``instance`` the value of our +sip.instance or empty."""
    ours = _find_contact(response, contact, instance)
    granted = seconds(ours.param("expires") or "") if ours is not None else None
    has_instance = ours is not None and instance != "" and _instance_of(ours) == instance.lower()
    # RFC 5626 §6: the registrar says so with Require, though not every one does: a Flow-Timer says it too.
    flow_timer_s = seconds(response.headers.get("Flow-Timer") or "") or None
    required = {token.lower() for token in response.headers.get_all("Require")}
    return Binding(
        expires_s=granted or seconds(response.headers.get("Expires") or "") or asked_s,
        service_route=_service_route(response),
        public_gruu=_gruu(ours, "pub-gruu") if has_instance else None,
        temporary_gruu=_gruu(ours, "temp-gruu") if has_instance else None,
        is_outbound="outbound" in required or flow_timer_s is not None,
        flow_timer_s=flow_timer_s,
    )


def seconds(text: str) -> int | None:
    """Read a number of seconds as headers have it; None for anything else."""
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return min(int(text), MAX_EXPIRES_S)


def _find_contact(response: Response, contact: Uri, instance: str) -> NameAddr | None:
    contacts = response.contacts
    if instance:
        # RFC 5626 §4.2, RFC 5627 §4.2: the instance says which is ours, whatever became of the URI on the way.
        for candidate in contacts:
            if _instance_of(candidate) == instance.lower():
                return candidate
    for candidate in contacts:
        # A registrar may write our Contact in its own way (no port, another host behind NAT); alone it is ours.
        if len(contacts) == 1 or candidate.uri.equivalent(contact):
            return candidate
    return None


def _instance_of(contact: NameAddr) -> str:
    return (contact.param("+sip.instance") or "").lower()  # RFC 8141 §3.1: of a urn:uuid the case does not count


def _service_route(response: Response) -> tuple[NameAddr, ...]:
    try:
        routes = parse_routes(response.headers, "Service-Route")
    except ParseError:
        return ()
    # RFC 3608 §5: loose routers; half a route would lead astray.
    if len(routes) > MAX_SERVICE_ROUTES or any(route.uri.param("lr") is None for route in routes):
        return ()
    return routes


def _gruu(contact: NameAddr | None, name: str) -> Uri | None:
    text = contact.param(name) if contact is not None else None
    if not text:
        return None
    try:
        uri = Uri.parse(text)
    except ParseError:
        return None
    # RFC 5627 §3.1: a GRUU is a SIP URI with the parameter gr.
    return uri if uri.is_sip and uri.param("gr") is not None else None
