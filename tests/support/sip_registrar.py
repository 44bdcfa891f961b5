"""The registrar's side of a registration, for ``Solo``: accounts to register, and the answers that REGISTER gets."""

from __future__ import annotations

from sip.address import Address
from sip.endpoint import Account
from sip.events import RegistrationChanged, RegistrationStatus
from sip.message import Request, Response
from sip.uri import Uri
from tests.support.sip_pair import Solo

__all__ = ("PASSWORD", "REGISTRAR", "accepted", "account", "registering", "reply", "requests_in", "states")

REGISTRAR = Address("192.0.2.200", 5060)
PASSWORD = "a password"


def account(**changes: object) -> Account:
    fields: dict[str, object] = {
        "id": "trunk",
        "aor": Uri(user="pay", host="pbx.example"),
        "registrar": Uri(host="pbx.example"),
        "next_hops": (REGISTRAR,),
        "username": "pay",
        "password": PASSWORD,
    }
    return Account(**(fields | changes))  # type: ignore[arg-type]


def registering(**changes: object) -> tuple[Solo, Request]:
    """Return an endpoint whose first REGISTER is out, and that."""
    solo = Solo.at()
    solo.endpoint.register(account(**changes), solo.now)
    solo.collect()
    return solo, solo.last(Request)


def reply(request: Request, status: int, **headers: str) -> Response:
    """Return a response; underscores in the names of headers stand for hyphens."""
    response = Response.to_request(request, status, to_tag="registrar")
    for name, value in headers.items():
        response.headers.set(name.replace("_", "-"), value)
    return response


def accepted(request: Request, expires_s: int = 300, **headers: str) -> Response:
    """Return a 200 with the Contact as it came, and somebody else's before it."""
    contact = f"<sip:other@192.0.2.9>;expires=9, {request.contact};expires={expires_s}"
    return reply(request, 200, **({"Contact": contact, "Expires": "77"} | headers))


def states(solo: Solo) -> list[RegistrationStatus]:
    """Return the states told since the last time."""
    changes = [event.state for event in solo.events if isinstance(event, RegistrationChanged)]
    solo.events.clear()
    return changes


def requests_in(messages: list[Request | Response]) -> list[Request]:
    return [message for message in messages if isinstance(message, Request)]
