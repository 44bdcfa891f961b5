"""Registration (RFC 3261 §10.2): binds our Contact to an address of record, and keeps it bound.

Laws: one REGISTER is out at a time (§10.2: none before the final response to the one before). Call-ID and From tag
stay, CSeq counts (§10.2.4). A binding is renewed between 50 and 90 % of its time, at random, so that a thousand
accounts do not come at once. What fails is tried again after 30 s, then twice as long each time, up to 30 min.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from sip.address import Address
from sip.agent import UserAgent
from sip.credentials import ClientAuthentication, Credentials
from sip.errors import LocalProtocolError
from sip.events import RegistrationChanged, RegistrationStatus
from sip.headers import Headers
from sip.message import Request, Response
from sip.timers import Timer
from sip.transaction import ClientTransaction, Failure
from sip.uri import NameAddr, Uri

__all__ = ("IGNORED", "TABLE", "Account", "Action", "Input", "Registration", "State")

REFRESH_EARLIEST = 0.5
REFRESH_LATEST = 0.9
FIRST_RETRY_S = 30.0
LONGEST_RETRY_S = 1800.0
MAX_EXPIRES_S = 2**31 - 1
"A registrar's number beyond this is no number of seconds."
MIN_EXPIRES_LIMIT_S = 86_400
"A registrar that wants more than a day (423) is not believed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account at a registrar. The password does not show in a ``repr``."""

    id: str
    aor: Uri
    "Address of record: what peers dial."
    registrar: Uri
    next_hop: Address
    username: str
    password: str = field(repr=False)
    expires_s: int = 300
    display_name: str = ""


class State(StrEnum):
    """Where a registration stands."""

    UNREGISTERED = "unregistered"
    REGISTERING = "registering"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    FAILED = "failed"
    LEAVING = "leaving"  # asked to unregister while a REGISTER is out
    UNREGISTERING = "unregistering"


class Input(StrEnum):
    """What can happen to it."""

    REGISTER = "register"
    UNREGISTER = "unregister"
    ACCEPTED = "2xx"
    CHALLENGED = "401 or 407 that we can answer"
    TOO_BRIEF = "423 that we can follow"
    REFUSED = "any other final response"
    UNANSWERED = "no response"
    REFRESH_DUE = "refresh due"
    RETRY_DUE = "retry due"


class Action(StrEnum):
    """What a step asks for."""

    SEND = "send REGISTER"
    SEND_REMOVAL = "send REGISTER with Expires: 0"
    SCHEDULE_REFRESH = "schedule the refresh"
    SCHEDULE_RETRY = "schedule the next try"
    TELL = "tell the application"


TABLE: Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]] = MappingProxyType(
    {
        (State.UNREGISTERED, Input.REGISTER): (State.REGISTERING, (Action.SEND, Action.TELL)),
        (State.REGISTERING, Input.ACCEPTED): (State.REGISTERED, (Action.SCHEDULE_REFRESH, Action.TELL)),
        (State.REGISTERING, Input.CHALLENGED): (State.REGISTERING, (Action.SEND,)),
        (State.REGISTERING, Input.TOO_BRIEF): (State.REGISTERING, (Action.SEND,)),
        (State.REGISTERING, Input.REFUSED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REGISTERING, Input.UNANSWERED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REGISTERING, Input.UNREGISTER): (State.LEAVING, (Action.TELL,)),
        (State.REGISTERED, Input.REFRESH_DUE): (State.REFRESHING, (Action.SEND,)),
        (State.REGISTERED, Input.UNREGISTER): (State.UNREGISTERING, (Action.SEND_REMOVAL, Action.TELL)),
        (State.REFRESHING, Input.ACCEPTED): (State.REGISTERED, (Action.SCHEDULE_REFRESH,)),
        (State.REFRESHING, Input.CHALLENGED): (State.REFRESHING, (Action.SEND,)),
        (State.REFRESHING, Input.TOO_BRIEF): (State.REFRESHING, (Action.SEND,)),
        (State.REFRESHING, Input.REFUSED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REFRESHING, Input.UNANSWERED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REFRESHING, Input.UNREGISTER): (State.LEAVING, (Action.TELL,)),
        (State.FAILED, Input.RETRY_DUE): (State.REGISTERING, (Action.SEND, Action.TELL)),
        (State.FAILED, Input.REGISTER): (State.REGISTERING, (Action.SEND, Action.TELL)),
        (State.FAILED, Input.UNREGISTER): (State.UNREGISTERED, (Action.TELL,)),
        # Whatever became of the REGISTER, a binding may be there; to a registrar that is silent it makes no difference.
        (State.LEAVING, Input.ACCEPTED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.CHALLENGED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.TOO_BRIEF): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.REFUSED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.UNANSWERED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.ACCEPTED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.CHALLENGED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.UNREGISTERING, Input.TOO_BRIEF): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.REFUSED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.UNANSWERED): (State.UNREGISTERED, (Action.TELL,)),
    }
)

_RESPONSES = (Input.ACCEPTED, Input.CHALLENGED, Input.TOO_BRIEF, Input.REFUSED, Input.UNANSWERED)
_WAITING = (State.UNREGISTERED, State.REGISTERED, State.FAILED)

IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        *((state, event) for state in _WAITING for event in _RESPONSES),  # nothing is out
        *((state, Input.REFRESH_DUE) for state in State if state is not State.REGISTERED),
        *((state, Input.RETRY_DUE) for state in State if state is not State.FAILED),
        *((state, Input.UNREGISTER) for state in (State.UNREGISTERED, State.LEAVING, State.UNREGISTERING)),
        # A LocalProtocolError to the caller: the account is there already.
        *((state, Input.REGISTER) for state in (State.REGISTERING, State.REGISTERED, State.REFRESHING)),
        *((state, Input.REGISTER) for state in (State.LEAVING, State.UNREGISTERING)),
    }
)

_TOLD: Mapping[State, RegistrationStatus] = MappingProxyType(
    {
        State.UNREGISTERED: RegistrationStatus.UNREGISTERED,
        State.REGISTERING: RegistrationStatus.REGISTERING,
        State.REGISTERED: RegistrationStatus.REGISTERED,
        State.REFRESHING: RegistrationStatus.REGISTERED,
        State.FAILED: RegistrationStatus.FAILED,
        State.LEAVING: RegistrationStatus.UNREGISTERING,
        State.UNREGISTERING: RegistrationStatus.UNREGISTERING,
    }
)


class Registration:
    """The registration of one account. ``on_over`` is called with its id when nothing is left to do."""

    def __init__(self, agent: UserAgent, account: Account, on_over: Callable[[str], object]) -> None:
        self.account = account
        self._on_over = on_over
        self.state = State.UNREGISTERED
        self._agent = agent
        credentials = Credentials(username=account.username, password=account.password)
        self._authentication = ClientAuthentication(credentials, agent.entropy)
        self._call_id = agent.new_call_id()
        self._from = NameAddr(display_name=account.display_name, uri=account.aor).with_tag(agent.new_tag())
        self._cseq = 0
        self._asked_s = account.expires_s
        self._granted_s = 0
        self._failures = 0
        self._retry_after_s = 0.0
        self._removing = False
        self._status: int | None = None
        self._reason = ""

    def register(self, now: float) -> None:
        """Begin."""
        if (self.state, Input.REGISTER) not in TABLE:
            raise LocalProtocolError(f"the account is {self.state}")
        self._authentication.begin()
        self._feed(Input.REGISTER, now)

    def unregister(self, now: float) -> None:
        """Remove the binding; nothing when that is under way."""
        self._status, self._reason = None, ""
        self._feed(Input.UNREGISTER, now)

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Take the refresh or the retry timer."""
        self._authentication.begin()
        self._status, self._reason = None, ""
        self._feed(Input.REFRESH_DUE if timer is Timer.REFRESH else Input.RETRY_DUE, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take the registrar's response."""
        if response.status < 200:
            return
        self._status, self._reason = response.status, response.reason
        self._retry_after_s = 0.0
        event = Input.REFUSED
        if response.status < 300:
            event = Input.ACCEPTED
            self._granted_s = self._granted(response)
            self._failures = 0
        elif self._authentication.accept(response):
            event = Input.CHALLENGED
        elif response.status == 423 and self._follow_min_expires(response):
            event = Input.TOO_BRIEF
        else:
            self._retry_after_s = float(_seconds((response.headers.get("Retry-After") or "").split("(")[0]) or 0)
        self._feed(event, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that the registrar did not answer."""
        self._status, self._reason = None, f"no response ({failure})"
        self._retry_after_s = 0.0
        self._feed(Input.UNANSWERED, now)

    def _feed(self, event: Input, now: float) -> None:
        step = TABLE.get((self.state, event))
        if step is None:
            return
        was_removing = self.state is State.UNREGISTERING
        self.state, actions = step
        if self.state is State.UNREGISTERING and not was_removing and event is not Input.CHALLENGED:
            self._authentication.begin()  # a new request, challenged anew
        self._agent.timers.disarm_all(self)
        for action in actions:
            self._perform(action, now)
        if self.state is State.UNREGISTERED:
            self._on_over(self.account.id)

    def _perform(self, action: Action, now: float) -> None:
        timers = self._agent.timers
        match action:
            case Action.SEND:
                self._send(self._asked_s, now)
            case Action.SEND_REMOVAL:
                self._send(0, now)
            case Action.SCHEDULE_REFRESH:
                share = REFRESH_EARLIEST + (REFRESH_LATEST - REFRESH_EARLIEST) * self._agent.fraction()
                timers.arm(self, Timer.REFRESH, now + max(1.0, self._granted_s * share))
            case Action.SCHEDULE_RETRY:
                wait_s = min(FIRST_RETRY_S * 2 ** min(self._failures, 10), LONGEST_RETRY_S)
                self._failures += 1
                timers.arm(self, Timer.RETRY, now + max(wait_s, min(self._retry_after_s, LONGEST_RETRY_S)))
            case Action.TELL:
                self._agent.emit(
                    RegistrationChanged(
                        account_id=self.account.id,
                        state=_TOLD[self.state],
                        status=self._status,
                        reason=self._reason,
                        expires_s=self._granted_s if self.state is State.REGISTERED else None,
                    )
                )

    def _send(self, expires_s: int, now: float) -> None:
        self._cseq += 1
        headers = Headers([("Max-Forwards", "70")])
        headers.set("From", str(self._from))
        headers.set("To", str(self._from.without_params()))
        headers.set("Call-ID", self._call_id)
        headers.set("CSeq", f"{self._cseq} REGISTER")
        registrar = self.account.registrar
        # §10.2: no user part and no headers in the Request-URI.
        request = Request("REGISTER", Uri(scheme=registrar.scheme, host=registrar.host, port=registrar.port), headers)
        self._agent.identify(request, self.account.next_hop, contact_user=self.account.aor.user)
        request.headers.set("Expires", str(expires_s))
        self._authentication.apply(request)
        self._agent.layer.request(request, self.account.next_hop, self, now)

    def _granted(self, response: Response) -> int:
        """Return how long the registrar keeps our binding (§10.2.4): Contact's own word before Expires."""
        ours = self._agent.contact_uri(self.account.aor.user, self.account.next_hop)
        contacts = response.contacts
        for contact in contacts:
            # A registrar may write our Contact in its own way (no port, another host behind NAT); alone it is ours.
            if len(contacts) == 1 or contact.uri.equivalent(ours):
                granted = _seconds(contact.param("expires") or "")
                if granted:
                    return granted
        return _seconds(response.headers.get("Expires") or "") or self._asked_s

    def _follow_min_expires(self, response: Response) -> bool:
        wanted = _seconds(response.headers.get("Min-Expires") or "")
        if not wanted or not self._asked_s < wanted <= MIN_EXPIRES_LIMIT_S:
            return False
        self._asked_s = wanted
        return True


def _seconds(text: str) -> int | None:
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return min(int(text), MAX_EXPIRES_S)
