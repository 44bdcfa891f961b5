"""What an ``Endpoint`` reports.

For each session the order is: ``InviteReceived`` (or the call of ``invite``), whatever happens, and exactly one
``SessionEnded``, which is the last. Bodies and keyed digits do not show in a ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from sip.address import Address
from sip.headers import Headers
from sip.sdp import SessionDescription
from sip.uri import NameAddr, Uri

if TYPE_CHECKING:
    from sip.replaces import Replaces

__all__ = (
    "EndCause",
    "Event",
    "InfoDigitReceived",
    "InfoReceived",
    "InviteReceived",
    "OfferAnswered",
    "OfferReceived",
    "OfferRefused",
    "OfferRequested",
    "ReferProgress",
    "ReferReceived",
    "RegistrationChanged",
    "RegistrationStatus",
    "SessionAnswered",
    "SessionCancelled",
    "SessionConfirmed",
    "SessionEnded",
    "SessionId",
    "SessionRinging",
)

SessionId = NewType("SessionId", int)
"One INVITE session: a dialog and the negotiation on it. Never used twice by one endpoint."


class EndCause(StrEnum):
    """Why a session ended."""

    REMOTE_BYE = "remote_bye"
    LOCAL_BYE = "local_bye"
    CANCELLED = "cancelled"
    "The caller gave up before the final response: the peer's CANCEL, or ours."
    REJECTED = "rejected"
    "A final response of 300 to 699, the peer's or ours."
    ACK_TIMEOUT = "ack_timeout"
    "Our 2xx was never acknowledged (RFC 3261 §13.3.1.4)."
    TIMEOUT = "timeout"
    "The peer did not answer a request, or nobody answered the call."
    TRANSPORT_ERROR = "transport_error"


class RegistrationStatus(StrEnum):
    """Where a registration stands."""

    UNREGISTERED = "unregistered"
    REGISTERING = "registering"
    REGISTERED = "registered"
    FAILED = "failed"
    "Refused or unanswered; it is tried again by itself."
    UNREGISTERING = "unregistering"


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteReceived:
    """A peer calls. ``ring``, ``answer``, ``reject`` or ``hang_up`` this session."""

    session: SessionId
    request_uri: Uri
    from_: NameAddr
    to: NameAddr
    source: Address
    call_id: str
    offer: SessionDescription | None
    "None: the peer wants our offer in the 200 and brings its answer in the ACK (RFC 3261 §13.2.1)."
    headers: Headers = field(repr=False)
    replaces: SessionId | None = None
    "The session whose place this one takes (RFC 3891): once this one is confirmed, the endpoint hangs that one up."
    admitted_by: str = ""
    "Rule of the gate that let the call in, and the user who proved who it is: ``pbx``, ``phones:frontdesk``."
    is_trusted: bool = False
    "Whether the peer's P-Asserted-Identity is to be believed (RFC 3325 §5)."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRinging:
    """A provisional response above 100 to our INVITE."""

    session: SessionId
    status: int
    early: SessionDescription | None
    "Of early media (183)."
    peer: Address | None = None
    "Which of the next hops it came from: those before it in the list did not answer."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAnswered:
    """Our INVITE was answered with 2xx; the ACK is on its way."""

    session: SessionId
    answer: SessionDescription | None
    "None when the peer sent none that could be read: hang up."
    peer: Address | None = None
    "Which of the next hops it came from."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfirmed:
    """The ACK to our 2xx came: to that of the first INVITE, or to that of a re-INVITE."""

    session: SessionId
    answer: SessionDescription | None
    "The answer to an offer that our 2xx carried; None when it carried an answer, or when the ACK brought none."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCancelled:
    """The peer sent CANCEL before our final response; ``SessionEnded`` follows."""

    session: SessionId
    reason: str
    'Its Reason header (RFC 3326), such as ``SIP;cause=200;text="Call completed elsewhere"``, or empty.'


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The session is over: the last event of each session."""

    session: SessionId
    cause: EndCause
    status: int | None
    "Status of the response that ended it, if one did."
    reason: str
    contacts: tuple[NameAddr, ...] = ()
    "Of a 300 to 399 to our INVITE: where to call instead, the best first (RFC 3261 §8.1.3.4; ``sip.redirect``)."


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferReceived:
    """An offer in a re-INVITE, an UPDATE or a PRACK: ``answer_offer`` or ``refuse_offer``.

    By UPDATE and PRACK it can come before the call is answered, once our reliable 183 has described our media.
    """

    session: SessionId
    offer: SessionDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRequested:
    """A re-INVITE without an offer: ``answer_offer`` with one of ours; the answer comes in ``SessionConfirmed``."""

    session: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAnswered:
    """The peer answered an offer of ours: that of ``offer``, or that of a reliable 183 to an INVITE without one.

    It comes without being asked for too, when a peer's answer to a session refresh differs from its last.
    """

    session: SessionId
    answer: SessionDescription | None
    "None when the peer sent none that could be read: hang up."


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRefused:
    """The peer did not take the offer of ``offer``; the session goes on as it was (RFC 3261 §14.1)."""

    session: SessionId
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoDigitReceived:
    """A key came as SIP INFO."""

    session: SessionId
    event: int = field(repr=False)
    "RFC 4733 event number, 0 to 15."
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoReceived:
    """An INFO of a type that is not DTMF; it was answered with 415."""

    session: SessionId
    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferReceived:
    """The peer asks us to call somebody (RFC 3515): ``accept_refer`` or ``refuse_refer``.

    Undecided it is declined after four seconds. The session goes on as it is until somebody hangs up.
    """

    session: SessionId
    refer_id: int
    refer_to: NameAddr
    "Whom to call: ``sip``, ``sips`` or ``tel``. Headers of the URI are a peer's wish, not to be copied unread."
    replaces: Replaces | None
    "The call that ours shall replace at its peer (attended transfer): goes into our INVITE as ``Replaces``."
    referred_by: str
    "Referred-By as it came (RFC 3892), not verified; empty without one."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferProgress:
    """What became of a REFER of ours so far."""

    session: SessionId
    status: int | None
    "Of the peer's answer (202: it tries), then of the call it made; None when nobody said."
    reason: str
    final: bool
    "Whether this is the last word. With a status below 200 or without one, the outcome is not known."


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationChanged:
    """A registration changed its state."""

    account_id: str
    state: RegistrationStatus
    status: int | None
    "Of the registrar's response; None without one."
    reason: str
    expires_s: int | None
    "How long the registrar keeps the binding, when ``registered``."
    flow_timer_s: int | None = None
    "How long the connection to it may be silent (RFC 5626 §4.4.1), when the registrar said so; it is kept alive."


Event = (
    InviteReceived
    | SessionRinging
    | SessionAnswered
    | SessionConfirmed
    | SessionCancelled
    | SessionEnded
    | OfferAnswered
    | OfferReceived
    | OfferRefused
    | OfferRequested
    | InfoDigitReceived
    | InfoReceived
    | ReferReceived
    | ReferProgress
    | RegistrationChanged
)
