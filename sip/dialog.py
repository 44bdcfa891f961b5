"""A dialog (RFC 3261 §12): two tags, two CSeq counters, a remote target and a route set.

Laws: the route set is fixed when the dialog begins (§12.1), the remote target changes with each target refresh
(§12.2); a request of the peer whose CSeq is not above the last is out of order (§12.2.2). An early dialog becomes
confirmed by a 2xx and ends with the INVITE's refusal; a confirmed one ends with BYE, or when the peer no longer knows
it (§12.2.1.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from sip.address import Address
from sip.headers import Headers
from sip.message import Request, Response
from sip.routing import apply_route_set, next_hop
from sip.uri import NameAddr, Uri

__all__ = ("IGNORED", "TABLE", "Dialog", "DialogId", "Input", "State", "dialog_id_of_request")

MAX_FORWARDS = "70"  # §8.1.1.6

DialogId = tuple[str, str, str]
"Call-ID, local tag, remote tag; the remote tag is empty for a peer of RFC 2543."


class State(StrEnum):
    """States of a dialog."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """What changes a dialog's state."""

    SUCCESS = "2xx to INVITE"
    REFUSED = "300-699 to INVITE, or none"
    BYE = "BYE"
    GONE = "481 or 408 in the dialog"


TABLE = MappingProxyType(
    {
        (State.EARLY, Input.SUCCESS): State.CONFIRMED,
        (State.EARLY, Input.REFUSED): State.TERMINATED,
        (State.EARLY, Input.BYE): State.TERMINATED,
        (State.EARLY, Input.GONE): State.TERMINATED,
        (State.CONFIRMED, Input.BYE): State.TERMINATED,
        (State.CONFIRMED, Input.GONE): State.TERMINATED,
    }
)
IGNORED = frozenset(
    {
        (State.CONFIRMED, Input.SUCCESS),  # a retransmitted 2xx, or that of a re-INVITE
        (State.CONFIRMED, Input.REFUSED),  # of a re-INVITE: the dialog stays (§14.1)
        *((State.TERMINATED, event) for event in Input),
    }
)


@dataclass(slots=True, eq=False)
class Dialog:
    """One dialog, seen from our side."""

    call_id: str
    local: NameAddr
    "Our From or To, with our tag."
    remote: NameAddr
    "The peer's, with its tag."
    target: Uri
    "The peer's Contact: where requests are addressed."
    route_set: tuple[NameAddr, ...]
    local_cseq: int
    remote_cseq: int | None
    last_source: Address
    "Where the dialog's last packet came from."
    state: State = State.EARLY
    session_id: str = ""
    "Session-ID of our requests (RFC 7989); empty: none."

    @classmethod
    def of_server(cls, request: Request, local_tag: str, source: Address, *, first_cseq: int) -> Dialog:
        """Begin the dialog of an INVITE that came in (§12.1.1)."""
        contact = request.contact
        return cls(
            call_id=request.call_id,
            local=request.to.with_tag(local_tag),
            remote=request.from_,
            # RFC 2543 had no Contact; then From is the best there is, and next_hop falls back to the source.
            target=contact.uri if contact is not None else request.from_.uri,
            route_set=request.record_routes,
            local_cseq=first_cseq,
            remote_cseq=request.cseq.number,
            last_source=source,
        )

    @classmethod
    def of_client(cls, request: Request, response: Response, source: Address) -> Dialog:
        """Begin the dialog that a response to our INVITE opens (§12.1.2)."""
        contact = response.contact
        return cls(
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            target=contact.uri if contact is not None else request.uri,
            route_set=tuple(reversed(response.record_routes)),
            local_cseq=request.cseq.number,
            remote_cseq=None,
            last_source=source,
        )

    @property
    def id(self) -> DialogId:
        """Its identity."""
        return (self.call_id, self.local.tag or "", self.remote.tag or "")

    @property
    def destination(self) -> Address:
        """Where our requests in it go."""
        return next_hop(self.target, self.route_set, self.last_source)

    def feed(self, event: Input) -> None:
        """Take one step."""
        self.state = TABLE.get((self.state, event), self.state)

    def confirm(self, request: Request, response: Response) -> None:
        """Take the 2xx to our INVITE: it may name another target and route set than the 1xx did (§13.2.2.4)."""
        self.route_set = tuple(reversed(response.record_routes))
        if response.contact is not None:
            self.target = response.contact.uri
        self.local_cseq = max(self.local_cseq, request.cseq.number)
        self.feed(Input.SUCCESS)

    def accept(self, request: Request, source: Address) -> bool:
        """Take note of a request in the dialog (not ACK, not CANCEL); False when it is out of order (§12.2.2: 500)."""
        number = request.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        self.last_source = source
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Follow the Contact of a target refresh that was accepted: the peer's (§12.2.2), or ours (§12.2.1.2)."""
        if message.contact is not None:
            self.target = message.contact.uri

    def request(self, method: str, *, cseq: int | None = None) -> Request:
        """Build a request in the dialog (§12.2.1.1), without Via. ACK takes the ``cseq`` of its INVITE."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        uri, routes = apply_route_set(self.target, self.route_set)
        headers = Headers([("Max-Forwards", MAX_FORWARDS)])
        headers.set("Route", [str(route) for route in routes])
        headers.set("From", str(self.local))
        headers.set("To", str(self.remote))
        headers.set("Call-ID", self.call_id)
        headers.set("CSeq", f"{cseq} {method}")
        if self.session_id:
            headers.set("Session-ID", self.session_id)
        return Request(method, uri, headers)


def dialog_id_of_request(request: Request) -> DialogId:
    """Return the dialog that a request names, from our side: the To tag is ours (§12.2.2)."""
    return (request.call_id, request.to.tag or "", request.from_.tag or "")
