"""REFER in a session, in both directions (RFC 3515, 3892, 4488, 6665; transfer: RFC 5589).

Laws: the application decides on each REFER that comes in; what it does not decide in time is declined. After a 202
the referrer hears of the outcome by NOTIFY, and its subscription ends at the first final one, when its time is up, or
with the session. One REFER of ours is out at a time, and it is told final exactly once, before the session's end.
A NOTIFY may come before the 202 (RFC 6665 §4.1.2.4). Nothing here changes the session itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from sip.agent import UserAgent
from sip.dialog import Dialog
from sip.errors import LocalProtocolError, ParseError
from sip.events import ReferProgress, ReferReceived, SessionId
from sip.grammar import find_param, parse_params
from sip.message import REASON_PHRASES, Request, Response
from sip.replaces import Replaces
from sip.timers import Timer
from sip.transaction import ClientTransaction, ClientUser, Failure, ServerTransaction
from sip.uri import NameAddr, Uri

__all__ = (
    "ALLOW_EVENTS",
    "INCOMING_IGNORED",
    "INCOMING_TABLE",
    "OUTGOING_IGNORED",
    "OUTGOING_TABLE",
    "InAction",
    "InInput",
    "InState",
    "OutAction",
    "OutInput",
    "OutState",
    "Referrals",
)

ALLOW_EVENTS = (("Allow-Events", "refer"),)
"The one event package that is known (RFC 6665 §8.2.2)."
DECISION_S = 4.0
"How long the application may think about a REFER; the peer repeats it for 32 s (timer F)."
MAX_INCOMING = 4
"REFERs of one session that wait for a decision or are reported on."
SIPFRAG = "message/sipfrag;version=2.0"
_RETRY_LATER = (("Retry-After", "10"),)
_SCHEMES = ("sip", "sips", "tel")
_REPEATED = ("Event", "Subscription-State", "Content-Type", "Refer-To", "Referred-By", "Supported")
_STATUS_LINE = re.compile(rb"SIP/2\.0[ \t]++([1-6][0-9]{2})(?:[ \t]++([^\r\n]{0,200}))?", re.IGNORECASE)


class InState(StrEnum):
    """Where a REFER of the peer stands."""

    RECEIVED = "received"  # the application has to decide
    ACTIVE = "active"  # the peer is told what becomes of it
    OVER = "over"


class InInput(StrEnum):
    """What can happen to it."""

    ACCEPT = "accept"
    ACCEPT_UNTOLD = "accept, and the peer wants no reports"
    REFUSE = "refuse"
    REPORT = "report"
    REPORT_LAST = "last report"
    RENEW = "SUBSCRIBE"
    LEAVE = "SUBSCRIBE with Expires: 0"
    NOT_WANTED = "NOTIFY refused or unanswered"
    TIME_UP = "time up"
    HANG_UP = "we hang up"
    ENDED = "session ended"


class InAction(StrEnum):
    """What a step asks for."""

    ACCEPT = "send 202"
    REFUSE = "send 300-699"
    NOTIFY = "send NOTIFY"
    NOTIFY_LAST = "send NOTIFY, terminated: no resource"
    NOTIFY_TIME_UP = "send NOTIFY, terminated: time-out"


INCOMING_TABLE: Mapping[tuple[InState, InInput], tuple[InState, tuple[InAction, ...]]] = MappingProxyType(
    {
        (InState.RECEIVED, InInput.ACCEPT): (InState.ACTIVE, (InAction.ACCEPT, InAction.NOTIFY)),
        (InState.RECEIVED, InInput.ACCEPT_UNTOLD): (InState.OVER, (InAction.ACCEPT,)),
        (InState.RECEIVED, InInput.REFUSE): (InState.OVER, (InAction.REFUSE,)),
        (InState.RECEIVED, InInput.TIME_UP): (InState.OVER, (InAction.REFUSE,)),
        (InState.RECEIVED, InInput.HANG_UP): (InState.OVER, (InAction.REFUSE,)),
        (InState.RECEIVED, InInput.ENDED): (InState.OVER, (InAction.REFUSE,)),
        (InState.ACTIVE, InInput.REPORT): (InState.ACTIVE, (InAction.NOTIFY,)),
        (InState.ACTIVE, InInput.REPORT_LAST): (InState.OVER, (InAction.NOTIFY_LAST,)),
        (InState.ACTIVE, InInput.RENEW): (InState.ACTIVE, (InAction.NOTIFY,)),
        (InState.ACTIVE, InInput.LEAVE): (InState.OVER, (InAction.NOTIFY_TIME_UP,)),
        (InState.ACTIVE, InInput.NOT_WANTED): (InState.OVER, ()),
        (InState.ACTIVE, InInput.TIME_UP): (InState.OVER, (InAction.NOTIFY_TIME_UP,)),
        (InState.ACTIVE, InInput.HANG_UP): (InState.OVER, (InAction.NOTIFY_LAST,)),
        (InState.ACTIVE, InInput.ENDED): (InState.OVER, ()),
    }
)
INCOMING_IGNORED: frozenset[tuple[InState, InInput]] = frozenset(
    {
        # A LocalProtocolError to the caller: it has not accepted yet, or has.
        (InState.RECEIVED, InInput.REPORT),
        (InState.RECEIVED, InInput.REPORT_LAST),
        (InState.ACTIVE, InInput.ACCEPT),
        (InState.ACTIVE, InInput.ACCEPT_UNTOLD),
        (InState.ACTIVE, InInput.REFUSE),
        # There is no subscription yet: the SUBSCRIBE gets 403, and no NOTIFY was sent.
        (InState.RECEIVED, InInput.RENEW),
        (InState.RECEIVED, InInput.LEAVE),
        (InState.RECEIVED, InInput.NOT_WANTED),
        *((InState.OVER, event) for event in InInput),
    }
)


class OutState(StrEnum):
    """Where a REFER of ours stands."""

    SENT = "sent"
    ACCEPTED = "accepted"  # 202, and nothing was reported yet
    REPORTED = "reported"
    SETTLED = "settled"  # the outcome is known, the subscription is still open
    OVER = "over"


class OutInput(StrEnum):
    """What can happen to it."""

    ACCEPTED = "2xx"
    ACCEPTED_UNTOLD = "2xx without a subscription"
    REFUSED = "300-699"
    UNANSWERED = "no response"
    REPORT = "NOTIFY that is not the last"
    OUTCOME = "NOTIFY with a final status"
    TERMINATED = "NOTIFY that ends the subscription"
    TIME_UP = "time up"
    ENDED = "session ended"


class OutAction(StrEnum):
    """What a step asks for."""

    TELL = "tell the application"
    TELL_FINAL = "tell the application, for the last time"


_OPEN = (OutState.SENT, OutState.ACCEPTED, OutState.REPORTED)

OUTGOING_TABLE: Mapping[tuple[OutState, OutInput], tuple[OutState, OutAction | None]] = MappingProxyType(
    {
        (OutState.SENT, OutInput.ACCEPTED): (OutState.ACCEPTED, OutAction.TELL),
        (OutState.SENT, OutInput.ACCEPTED_UNTOLD): (OutState.OVER, OutAction.TELL_FINAL),
        (OutState.SENT, OutInput.REFUSED): (OutState.OVER, OutAction.TELL_FINAL),
        (OutState.SENT, OutInput.UNANSWERED): (OutState.OVER, OutAction.TELL_FINAL),
        **{(state, OutInput.REPORT): (OutState.REPORTED, OutAction.TELL) for state in _OPEN},
        **{(state, OutInput.OUTCOME): (OutState.SETTLED, OutAction.TELL_FINAL) for state in _OPEN},
        **{(state, OutInput.TERMINATED): (OutState.OVER, OutAction.TELL_FINAL) for state in _OPEN},
        **{(state, OutInput.TIME_UP): (OutState.OVER, OutAction.TELL_FINAL) for state in _OPEN},
        **{(state, OutInput.ENDED): (OutState.OVER, OutAction.TELL_FINAL) for state in _OPEN},
        (OutState.SETTLED, OutInput.TERMINATED): (OutState.OVER, None),
        (OutState.SETTLED, OutInput.TIME_UP): (OutState.OVER, None),
        (OutState.SETTLED, OutInput.ENDED): (OutState.OVER, None),
    }
)
_ANSWERS = (OutInput.ACCEPTED, OutInput.ACCEPTED_UNTOLD, OutInput.REFUSED, OutInput.UNANSWERED)
OUTGOING_IGNORED: frozenset[tuple[OutState, OutInput]] = frozenset(
    {
        # A NOTIFY came before the answer: the REFER was accepted, whatever the answer says (RFC 6665 §4.1.2.4).
        *((state, event) for state in (OutState.ACCEPTED, OutState.REPORTED, OutState.SETTLED) for event in _ANSWERS),
        (OutState.SETTLED, OutInput.REPORT),
        (OutState.SETTLED, OutInput.OUTCOME),
        *((OutState.OVER, event) for event in OutInput),
    }
)


class Send(Protocol):
    """How a request in the session's dialog is sent."""

    def __call__(
        self,
        method: str,
        now: float,
        *,
        headers: Iterable[tuple[str, str]],
        body: bytes = b"",
        again: bool = False,
        user: ClientUser | None,
    ) -> ClientTransaction:
        """Send it; ``again`` with the answer to a challenge. ``user`` hears of the response."""


@dataclass(slots=True, eq=False)
class _Incoming:
    """A REFER of the peer."""

    owner: Referrals
    id: int
    transaction: ServerTransaction
    event: str
    untold: bool
    state: InState = InState.RECEIVED
    refusal: int = 603
    status: int = 100
    reason: str = ""
    expires_at: float = 0.0

    def handle_timer(self, timer: Timer, now: float) -> None:
        self.owner.step_incoming(self, InInput.TIME_UP, now)


@dataclass(slots=True, eq=False)
class _Outgoing:
    """A REFER of ours."""

    owner: Referrals
    id: int = 0
    state: OutState = OutState.SENT
    status: int | None = None
    reason: str = ""

    def handle_timer(self, timer: Timer, now: float) -> None:
        self.owner.step_outgoing(self, OutInput.TIME_UP, now, reason="no report in time")


class Referrals:
    """What REFER does in one session.

    ``dialog`` returns the session's dialog while it is established and None otherwise, ``send`` sends a request in it,
    ``accept_challenge`` says whether a response is a challenge that the request is worth sending again for.
    """

    def __init__(
        self,
        agent: UserAgent,
        session: SessionId,
        *,
        dialog: Callable[[], Dialog | None],
        send: Send,
        accept_challenge: Callable[[Response], bool],
    ) -> None:
        self._agent = agent
        self._session = session
        self._dialog = dialog
        self._send = send
        self._accept_challenge = accept_challenge
        self._incoming: dict[int, _Incoming] = {}
        self._outgoing: _Outgoing | None = None
        self._referred_before = False

    # -- what the application asks -----------------------------------------------------------------------------------

    def accept(self, refer_id: int, now: float) -> None:
        """Send 202 and the first NOTIFY, 100 Trying (RFC 3515 §2.4.4); 202 alone for ``Refer-Sub: false``."""
        if (refer := self._incoming.get(refer_id)) is not None:
            event = InInput.ACCEPT_UNTOLD if refer.untold else InInput.ACCEPT
            self._demand(refer, event, now)

    def refuse(self, refer_id: int, status: int, now: float) -> None:
        """Send 300 to 699 (403, 603): the session goes on as it was."""
        if not 300 <= status <= 699:
            raise LocalProtocolError("a refusal has a status of 300 to 699")
        if (refer := self._incoming.get(refer_id)) is not None:
            refer.refusal = status
            self._demand(refer, InInput.REFUSE, now)

    def notify(self, refer_id: int, status: int, reason: str, now: float, *, final: bool) -> None:
        """Tell the referrer what became of it; ``final``, or a final status, ends the subscription."""
        if not 100 <= status <= 699 or any(end in reason for end in "\r\n"):
            raise LocalProtocolError("a report has a status of 100 to 699 and a reason of one line")
        if (refer := self._incoming.get(refer_id)) is not None:
            if refer.state is InState.ACTIVE:
                refer.status, refer.reason = status, reason
            self._demand(refer, InInput.REPORT_LAST if final or status >= 200 else InInput.REPORT, now)

    def refer(
        self, refer_to: Uri | None, now: float, *, replaces: Dialog | None = None, referred_by: Uri | None = None
    ) -> None:
        """Ask the peer to call ``refer_to``, or with ``replaces`` to take the place of ours in that dialog."""
        dialog = self._dialog()
        if dialog is None:
            raise LocalProtocolError("REFER needs an established session")
        if self._outgoing is not None and self._outgoing.state in _OPEN:
            raise LocalProtocolError("a REFER of this session is under way")
        target = refer_to if refer_to is not None or replaces is None else replaces.target.without_headers()
        if target is None:
            raise LocalProtocolError("a REFER needs somebody to call")
        if replaces is not None:
            kept = tuple(pair for pair in target.headers if pair[0].lower() != "replaces")
            target = replace(target, headers=(*kept, ("Replaces", Replaces.of(replaces).in_uri())))
        by = NameAddr(uri=referred_by or dialog.local.uri)
        headers = (("Refer-To", f"<{target}>"), ("Referred-By", str(by)))
        self._drop_outgoing()
        outgoing = _Outgoing(self)
        outgoing.id = self._send("REFER", now, headers=headers, user=self).request.cseq.number
        self._outgoing = outgoing

    def leave(self, now: float) -> None:
        """We are about to hang up: referrers hear the last word first."""
        for refer in list(self._incoming.values()):
            self.step_incoming(refer, InInput.HANG_UP, now)

    def end(self, now: float) -> None:
        """The session is over."""
        for refer in list(self._incoming.values()):
            refer.refusal = 481
            self.step_incoming(refer, InInput.ENDED, now)
        if self._outgoing is not None:
            self.step_outgoing(self._outgoing, OutInput.ENDED, now, reason="session ended")
            self._drop_outgoing()

    # -- requests of the peer ----------------------------------------------------------------------------------------

    def receive(self, transaction: ServerTransaction, now: float) -> None:
        """Take a REFER, NOTIFY or SUBSCRIBE in the dialog."""
        if self._dialog() is None:
            # A BYE is under way, or the ACK to our 2xx is: the peer may ask again once it has come.
            later = transaction.request.method == "REFER"
            self._answer(transaction, 500 if later else 481, now, _RETRY_LATER if later else ())
            return
        match transaction.request.method:
            case "REFER":
                self._on_refer(transaction, now)
            case "NOTIFY":
                self._on_notify(transaction, now)
            case _:
                self._on_subscribe(transaction, now)

    def _on_refer(self, transaction: ServerTransaction, now: float) -> None:
        request = transaction.request
        lines = request.headers.lines("Refer-To")
        try:
            if len(lines) != 1:
                raise ParseError("not exactly one", where="Refer-To", section="RFC 3515 §2.4.1")
            # A URI with headers must stand in brackets (RFC 3261 §20). It is alone here, so without them it is clear.
            bare = "?" in lines[0] and "<" not in lines[0]
            refer_to = NameAddr.parse(f"<{lines[0]}>" if bare else lines[0])
            replaces = _replaces_of(refer_to.uri)
        except ParseError:
            self._answer(transaction, 400, now)
            return
        if refer_to.uri.scheme not in _SCHEMES:
            self._answer(transaction, 416, now)  # as of a Request-URI (RFC 3261 §21.4.14)
            return
        if (refer_to.uri.param("method") or "INVITE") != "INVITE":
            self._answer(transaction, 403, now)  # we call on behalf of a peer, and do nothing else
            return
        if len(self._incoming) >= MAX_INCOMING:
            self._answer(transaction, 500, now, _RETRY_LATER)
            return
        number = request.cseq.number
        # RFC 3515 §2.4.6: only the second and later ones must carry an id, and old peers know none.
        event = f"refer;id={number}" if self._referred_before else "refer"
        self._referred_before = True
        untold = (request.headers.get("Refer-Sub") or "").partition(";")[0].strip().lower() == "false"
        refer = self._incoming[number] = _Incoming(self, number, transaction, event, untold)
        self._agent.timers.arm(refer, Timer.SUBSCRIPTION, now + DECISION_S)
        self._agent.emit(
            ReferReceived(
                session=self._session,
                refer_id=number,
                refer_to=refer_to,
                replaces=replaces,
                referred_by=request.headers.get("Referred-By") or "",
            )
        )

    def _on_subscribe(self, transaction: ServerTransaction, now: float) -> None:
        package, event_id = _event(transaction.request)
        if package != "refer":
            self._answer(transaction, 489, now, ALLOW_EVENTS)
            return
        active = [refer for refer in self._incoming.values() if refer.state is InState.ACTIVE]
        found = [refer for refer in active if event_id in (str(refer.id), None)]
        if not found:
            self._answer(transaction, 403, now)  # RFC 3515 §2.4.4: only REFER makes such a subscription
            return
        refer = found[0]
        left_s = max(0, round(refer.expires_at - now))
        leaves = (transaction.request.headers.get("Expires") or "").strip() == "0"
        self._answer(transaction, 200, now, (("Expires", "0" if leaves else str(left_s)),))
        self.step_incoming(refer, InInput.LEAVE if leaves else InInput.RENEW, now)

    def _on_notify(self, transaction: ServerTransaction, now: float) -> None:
        request, refer = transaction.request, self._outgoing
        package, event_id = _event(request)
        if package != "refer":
            self._answer(transaction, 489, now, ALLOW_EVENTS)  # RFC 6665 §4.1.3
            return
        if refer is None or refer.state is OutState.OVER or event_id not in (None, str(refer.id)):
            self._answer(transaction, 481, now)
            return
        self._answer(transaction, 200, now)
        status, reason = _outcome(request.body)
        state, _, params = (request.headers.get("Subscription-State") or "active").partition(";")
        event = OutInput.REPORT
        if state.strip().lower() == "terminated":
            event = OutInput.TERMINATED
        elif status is not None and status >= 200:
            event = OutInput.OUTCOME
        limit_s = self._agent.config.setup_limit_s
        self._agent.timers.arm(refer, Timer.SUBSCRIPTION, now + min(limit_s, _expires_s(params) or limit_s))
        if event is not OutInput.REPORT or status is not None:
            self.step_outgoing(refer, event, now, status=status, reason=reason)

    # -- responses of the peer ---------------------------------------------------------------------------------------

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take the answer to a REFER or NOTIFY of ours."""
        if response.status < 200:
            return
        request, refer = transaction.request, self._outgoing
        if request.method == "NOTIFY":
            self._on_notify_answered(transaction, response, now)
        elif refer is None or refer.id != request.cseq.number:
            return
        elif self._dialog() is not None and self._accept_challenge(response):
            refer.id = self._repeat(transaction, now)
        elif response.status >= 300:
            self.step_outgoing(refer, OutInput.REFUSED, now, status=response.status, reason=response.reason)
        else:
            untold = (response.headers.get("Refer-Sub") or "").strip().lower().startswith("false")
            event = OutInput.ACCEPTED_UNTOLD if untold else OutInput.ACCEPTED
            if refer.state is OutState.SENT:
                # RFC 6665 §4.1.2.4, timer N: the first report comes at once.
                self._agent.timers.arm(refer, Timer.SUBSCRIPTION, now + self._agent.values.limit_s)
            self.step_outgoing(refer, event, now, status=response.status, reason=response.reason)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that the peer did not answer."""
        refer = self._outgoing
        if transaction.request.method == "NOTIFY":
            self._not_wanted(transaction.request, now)
        elif refer is not None and refer.id == transaction.request.cseq.number:
            self.step_outgoing(refer, OutInput.UNANSWERED, now, reason=f"no response ({failure})")

    def _on_notify_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 300:
            return
        if self._dialog() is not None and self._accept_challenge(response):
            self._repeat(transaction, now)
        elif response.status in (405, 408, 481, 489, 501):
            # RFC 5057 §5.1: the subscription is gone, the call is not.
            self._not_wanted(transaction.request, now)

    def _not_wanted(self, notify: Request, now: float) -> None:
        event = notify.headers.get("Event")
        for refer in [refer for refer in self._incoming.values() if refer.event == event]:
            self.step_incoming(refer, InInput.NOT_WANTED, now)

    def _repeat(self, transaction: ClientTransaction, now: float) -> int:
        request = transaction.request
        kept = [(name, value) for name in _REPEATED for value in request.headers.lines(name)]
        sent = self._send(request.method, now, headers=kept, body=request.body, again=True, user=self)
        return sent.request.cseq.number

    # -- the machines ------------------------------------------------------------------------------------------------

    def step_incoming(self, refer: _Incoming, event: InInput, now: float) -> bool:
        """Take one step with a REFER of the peer; False when its state has none."""
        step = INCOMING_TABLE.get((refer.state, event))
        if step is None:
            return False
        refer.state, actions = step
        for action in actions:
            self._perform(refer, action, now)
        if refer.state is InState.OVER:
            self._agent.timers.disarm_all(refer)
            self._incoming.pop(refer.id, None)
        return True

    def _perform(self, refer: _Incoming, action: InAction, now: float) -> None:
        match action:
            case InAction.ACCEPT:
                refer.expires_at = now + self._agent.config.setup_limit_s
                self._agent.timers.arm(refer, Timer.SUBSCRIPTION, refer.expires_at)
                self._answer(refer.transaction, 202, now, (("Refer-Sub", "false"),) if refer.untold else ())
            case InAction.REFUSE:
                self._answer(refer.transaction, refer.refusal, now)
            case InAction.NOTIFY:
                self._notify(refer, f"active;expires={max(0, round(refer.expires_at - now))}", now)
            case InAction.NOTIFY_LAST:
                self._notify(refer, "terminated;reason=noresource", now)
            case InAction.NOTIFY_TIME_UP:
                self._notify(refer, "terminated;reason=timeout", now)

    def step_outgoing(
        self, refer: _Outgoing, event: OutInput, now: float, *, status: int | None = None, reason: str = ""
    ) -> None:
        """Take one step with a REFER of ours."""
        step = OUTGOING_TABLE.get((refer.state, event))
        if step is None:
            return
        refer.state, action = step
        if action is not None:
            final = action is OutAction.TELL_FINAL
            self._agent.emit(ReferProgress(session=self._session, status=status, reason=reason, final=final))
        if refer.state is OutState.OVER:
            self._agent.timers.disarm_all(refer)

    def _drop_outgoing(self) -> None:
        if self._outgoing is not None:
            self._agent.timers.disarm_all(self._outgoing)
            self._outgoing = None

    def _demand(self, refer: _Incoming, event: InInput, now: float) -> None:
        if not self.step_incoming(refer, event, now):
            raise LocalProtocolError(f"cannot {event} a REFER that is {refer.state}")

    def _notify(self, refer: _Incoming, subscription: str, now: float) -> None:
        reason = refer.reason or REASON_PHRASES.get(refer.status, "")
        headers = (("Event", refer.event), ("Subscription-State", subscription), ("Content-Type", SIPFRAG))
        body = f"SIP/2.0 {refer.status} {reason}\r\n".encode("utf-8", "surrogateescape")
        self._send("NOTIFY", now, headers=headers, body=body, user=self)

    def _answer(
        self, transaction: ServerTransaction, status: int, now: float, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        agent, request = self._agent, transaction.request
        response = agent.response(request, status, headers=headers)
        if status < 300:
            user = request.uri.user if request.uri.is_sip else None
            response.headers.set("Contact", agent.contact(user, transaction.destination))  # RFC 3515 §2.2, RFC 6665
        transaction.respond(response, now)


def _replaces_of(uri: Uri) -> Replaces | None:
    values = uri.header_values("Replaces")
    if len(values) > 1:
        raise ParseError("more than one", where="Replaces", section="RFC 3891 §6.1")
    return Replaces.parse(values[0]) if values else None


def _event(request: Request) -> tuple[str, str | None]:
    """Return the event package, lower case, and the id; empty when there is no Event (RFC 6665 §8.2.1)."""
    package, _, params = (request.headers.get("Event") or "").partition(";")
    try:
        event_id = find_param(parse_params(params, where="Event"), "id") if params else None
    except ParseError:
        event_id = None
    return package.strip().lower(), event_id


def _expires_s(params: str) -> float | None:
    try:
        text = find_param(parse_params(params, where="Subscription-State"), "expires") if params else None
    except ParseError:
        return None
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 10 and int(text) else None


def _outcome(body: bytes) -> tuple[int | None, str]:
    """Read the status line that a sipfrag begins with (RFC 3420 §2); (None, "") when there is none."""
    match = _STATUS_LINE.match(body.lstrip(b"\r\n"))
    if match is None:
        return None, ""
    return int(match.group(1)), (match.group(2) or b"").decode("utf-8", "replace").strip()
