"""Registration (RFC 3261 §10.2): binds our Contact to an address of record, and keeps it bound.

Laws: one REGISTER is out at a time (§10.2: none before the final response to the one before). Call-ID and From tag
stay, CSeq counts (§10.2.4). A binding is renewed between 50 and 90 % of its time, at random, so that a thousand
accounts do not come at once. An address that does not answer, or answers 503, gives way to the next (RFC 3263 §4.3),
and the one that works is kept. When all have failed they are tried again after 30 s, then twice as long each time, up
to 30 min; after a refusal of the account itself the first wait is 5 min, because registrars lock out who insists.

Over a connection the registration lives and dies with it: requests come in by it, refreshes go by it, and when it is
gone the account registers again at once, though not more than once in 30 s for a registrar that hangs up each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from sip.address import Address
from sip.agent import UserAgent
from sip.binding import Binding, read_binding, seconds
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
FIRST_RETRY_WHEN_REFUSED_S = 300.0
REFUSALS = frozenset({401, 403, 404, 407})
"Wrong password, not allowed, no such account: it takes a person to change that."
LONGEST_RETRY_S = 1800.0
FLOW_RECOVERY_S = 30.0
"How far apart registrations are that a lost connection calls for."
KEEPALIVE_S = (95.0, 120.0)
"Without a Flow-Timer (RFC 5626 §4.4.1)."
KEEPALIVE_SHARE = (0.8, 1.0)
"Of the Flow-Timer (RFC 5626 §4.4.1)."
PING = b"\r\n\r\n"
"RFC 5626 §3.5.1."
MIN_EXPIRES_LIMIT_S = 86_400
"A registrar that wants more than a day (423) is not believed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account at a registrar. The password does not show in a ``repr``."""

    id: str
    aor: Uri
    "Address of record: what peers dial."
    registrar: Uri
    next_hops: tuple[Address, ...]
    "Addresses of the outbound proxy, or else of the registrar, best first; one at least."
    username: str
    password: str = field(repr=False)
    realm: str = ""
    "The only realm whose challenges are answered; empty: any."
    expires_s: int = 300
    display_name: str = ""
    contact_user: str = ""
    "User part of the Contact; empty: that of ``aor``."
    outbound_proxy: Uri | None = None
    "Becomes the first Route of the account's requests; the next hops are its addresses."
    instance_id: str = ""
    "Any text that stays the same over restarts and is ours alone; empty: neither GRUU nor RFC 5626."
    gruu: bool = True
    "Whether a GRUU is asked for (RFC 5627)."
    outbound: bool | None = None
    "Whether RFC 5626 is offered; None: over connections."

    def __post_init__(self) -> None:
        if not self.next_hops:
            raise LocalProtocolError("an account needs a next hop")

    @property
    def instance(self) -> str:
        """The +sip.instance: ``<urn:uuid:...>`` made of ``instance_id`` (RFC 5626 §4.1), empty without."""
        return f"<urn:uuid:{_uuid_of(self.instance_id)}>" if self.instance_id else ""


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
    AMENDED = "423 or 439 that we can follow"
    ANOTHER_WAY = "no response or 503, and another address or connection is left"
    REFUSED = "any other final response"
    UNANSWERED = "no response"
    FLOW_LOST = "the connection is gone"
    REFRESH_DUE = "refresh due"
    RETRY_DUE = "retry due"


class Action(StrEnum):
    """What a step asks for."""

    SEND = "send REGISTER"
    SEND_REMOVAL = "send REGISTER with Expires: 0"
    SCHEDULE_REFRESH = "schedule the refresh"
    SCHEDULE_RECOVERY = "schedule the refresh at once, or when enough time has passed since the last such one"
    SCHEDULE_RETRY = "schedule the next try"
    TELL = "tell the application"


TABLE: Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]] = MappingProxyType(
    {
        (State.UNREGISTERED, Input.REGISTER): (State.REGISTERING, (Action.SEND, Action.TELL)),
        (State.REGISTERING, Input.ACCEPTED): (State.REGISTERED, (Action.SCHEDULE_REFRESH, Action.TELL)),
        (State.REGISTERING, Input.CHALLENGED): (State.REGISTERING, (Action.SEND,)),
        (State.REGISTERING, Input.AMENDED): (State.REGISTERING, (Action.SEND,)),
        (State.REGISTERING, Input.ANOTHER_WAY): (State.REGISTERING, (Action.SEND,)),
        (State.REGISTERING, Input.REFUSED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REGISTERING, Input.UNANSWERED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REGISTERING, Input.UNREGISTER): (State.LEAVING, (Action.TELL,)),
        (State.REGISTERED, Input.REFRESH_DUE): (State.REFRESHING, (Action.SEND,)),
        (State.REGISTERED, Input.FLOW_LOST): (State.REGISTERED, (Action.SCHEDULE_RECOVERY,)),
        (State.REGISTERED, Input.UNREGISTER): (State.UNREGISTERING, (Action.SEND_REMOVAL, Action.TELL)),
        (State.REFRESHING, Input.ACCEPTED): (State.REGISTERED, (Action.SCHEDULE_REFRESH,)),
        (State.REFRESHING, Input.CHALLENGED): (State.REFRESHING, (Action.SEND,)),
        (State.REFRESHING, Input.AMENDED): (State.REFRESHING, (Action.SEND,)),
        (State.REFRESHING, Input.ANOTHER_WAY): (State.REFRESHING, (Action.SEND,)),
        (State.REFRESHING, Input.REFUSED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REFRESHING, Input.UNANSWERED): (State.FAILED, (Action.SCHEDULE_RETRY, Action.TELL)),
        (State.REFRESHING, Input.UNREGISTER): (State.LEAVING, (Action.TELL,)),
        (State.FAILED, Input.RETRY_DUE): (State.REGISTERING, (Action.SEND, Action.TELL)),
        (State.FAILED, Input.REGISTER): (State.REGISTERING, (Action.SEND, Action.TELL)),
        (State.FAILED, Input.UNREGISTER): (State.UNREGISTERED, (Action.TELL,)),
        # Whatever became of the REGISTER, a binding may be there; to a registrar that is silent it makes no difference.
        (State.LEAVING, Input.ACCEPTED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.CHALLENGED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.AMENDED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.ANOTHER_WAY): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.REFUSED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.LEAVING, Input.UNANSWERED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.ACCEPTED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.CHALLENGED): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.UNREGISTERING, Input.AMENDED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.ANOTHER_WAY): (State.UNREGISTERING, (Action.SEND_REMOVAL,)),
        (State.UNREGISTERING, Input.REFUSED): (State.UNREGISTERED, (Action.TELL,)),
        (State.UNREGISTERING, Input.UNANSWERED): (State.UNREGISTERED, (Action.TELL,)),
    }
)

_RESPONSES = (
    Input.ACCEPTED, Input.CHALLENGED, Input.AMENDED, Input.ANOTHER_WAY, Input.REFUSED, Input.UNANSWERED,
)  # fmt: skip
_WAITING = (State.UNREGISTERED, State.REGISTERED, State.FAILED)

IGNORED: frozenset[tuple[State, Input]] = frozenset(
    {
        *((state, event) for state in _WAITING for event in _RESPONSES),  # nothing is out
        *((state, Input.REFRESH_DUE) for state in State if state is not State.REGISTERED),
        *((state, Input.RETRY_DUE) for state in State if state is not State.FAILED),
        # What is out fails by itself, what is to come opens a connection of its own.
        *((state, Input.FLOW_LOST) for state in State if state is not State.REGISTERED),
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
        self.binding: Binding | None = None
        "What the registrar granted last; None while there is no binding that we know of."
        self.state = State.UNREGISTERED
        self._on_over = on_over
        self._agent = agent
        credentials = Credentials(username=account.username, password=account.password, realm=account.realm)
        self._authentication = ClientAuthentication(credentials, agent.entropy)
        self._call_id = agent.new_call_id()
        self._from = NameAddr(display_name=account.display_name, uri=account.aor).with_tag(agent.new_tag())
        self._cseq = 0
        self._asked_s = account.expires_s
        self._has_outbound = True
        self._failures = 0
        self._retry_after_s = 0.0
        self._status: int | None = None
        self._reason = ""
        self._hops = account.next_hops
        self._hop = 0
        self._hops_left = 0
        self._flow = 0
        self._recovery_at = float("-inf")
        self._is_recovering = False

    # -- what the account's other requests need ----------------------------------------------------------------------

    @property
    def next_hop(self) -> Address:
        """Where requests go: the address that works, by the connection that the registration came by."""
        hop = self._hops[self._hop]
        return hop._replace(flow=self._flow) if hop.transport.is_reliable else hop

    @property
    def route(self) -> tuple[NameAddr, ...]:
        """The Route of requests outside dialogs: outbound proxy, then Service-Route (RFC 3608 §6)."""
        own = self._proxy_route()
        granted = () if self.binding is None else self.binding.service_route
        if own and granted and granted[0].uri.equivalent(own[0].uri):
            return granted
        return own + granted

    # -- what happens ------------------------------------------------------------------------------------------------

    def register(self, now: float) -> None:
        """Begin."""
        if (self.state, Input.REGISTER) not in TABLE:
            raise LocalProtocolError(f"the account is {self.state}")
        self._begin_round()
        self._feed(Input.REGISTER, now)

    def unregister(self, now: float) -> None:
        """Remove the binding; nothing when that is under way."""
        if self.state is State.REGISTERED:
            self._begin_round()
        self._status, self._reason = None, ""
        self._feed(Input.UNREGISTER, now)

    def update(self, next_hops: tuple[Address, ...], now: float) -> None:
        """Take new addresses; see ``Endpoint.update_account``."""
        if not next_hops:
            raise LocalProtocolError("an account needs a next hop")
        if next_hops == self._hops:
            return
        current = self._hops[self._hop]
        self._hops = next_hops
        if current in next_hops:
            self._hop = next_hops.index(current)
        else:
            self._hop, self._flow = 0, 0
        self._hops_left = min(self._hops_left, len(next_hops) - 1)
        if self.state is State.FAILED:
            self._begin_round()
            self._feed(Input.RETRY_DUE, now)

    def flow_closed(self, flow: int, now: float) -> None:
        """Learn that a connection is gone."""
        if flow and flow == self._flow:
            self._lose_flow(now)

    def transport_error(self, destination: Address, now: float) -> None:
        """Learn that ``destination`` cannot be reached: a connection to it that was idle is gone too."""
        hop = self._hops[self._hop]
        if hop.transport.is_reliable and hop[:3] == destination[:3] and destination.flow in (0, self._flow):
            self._lose_flow(now)

    def _lose_flow(self, now: float) -> None:
        self._status, self._reason = None, "the connection is gone"
        self._feed(Input.FLOW_LOST, now)
        self._flow = 0

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Take the refresh, the retry or the keep-alive timer."""
        if timer is Timer.KEEPALIVE:
            self._agent.send(PING, self.next_hop)
            self._schedule_keepalive(now)
            return
        self._begin_round()
        self._status, self._reason = None, ""
        self._feed(Input.REFRESH_DUE if timer is Timer.REFRESH else Input.RETRY_DUE, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take the registrar's response."""
        if response.status < 200:
            return
        self._status, self._reason = response.status, response.reason
        unproven = False
        event = Input.REFUSED
        if response.status < 300:
            event = Input.ACCEPTED
            unproven = self._authentication.learn(response) is False
            if unproven:
                self._reason = "the registrar's proof of the password is wrong (rspauth)"
            if self.state in (State.REGISTERING, State.REFRESHING):
                self._take_binding(response)
        elif self._authentication.accept(response):
            event = Input.CHALLENGED
        elif self._can_amend(response):
            event = Input.AMENDED
        else:
            retry_after_s = seconds((response.headers.get("Retry-After") or "").split("(")[0]) or 0
            self._retry_after_s = max(self._retry_after_s, float(retry_after_s))
            if response.status == 503 and self._take_another_way():
                event = Input.ANOTHER_WAY
        was_refreshing = self.state is State.REFRESHING
        self._feed(event, now)
        if unproven and was_refreshing:
            self._tell()

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that the registrar did not answer."""
        self._status, self._reason = None, f"no response ({failure})"
        had_flow = transaction.destination.flow != 0
        self._flow = 0
        if failure is Failure.TRANSPORT and had_flow:
            self._authentication.begin()
            event = Input.ANOTHER_WAY  # the same address may take another connection
        else:
            event = Input.ANOTHER_WAY if self._take_another_way() else Input.UNANSWERED
        self._feed(event, now)

    # -- steps -------------------------------------------------------------------------------------------------------

    def _feed(self, event: Input, now: float) -> None:
        step = TABLE.get((self.state, event))
        if step is None:
            return
        was_removing = self.state is State.UNREGISTERING
        self.state, actions = step
        if self.state is State.UNREGISTERING and not was_removing and event is not Input.CHALLENGED:
            self._authentication.begin()  # a new request, challenged anew
        if self.state in (State.FAILED, State.UNREGISTERED):
            self.binding = None
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
                assert self.binding is not None  # the response was read before
                share = self._between(REFRESH_EARLIEST, REFRESH_LATEST)
                timers.arm(self, Timer.REFRESH, now + max(1.0, self.binding.expires_s * share))
                self._schedule_keepalive(now)
            case Action.SCHEDULE_RECOVERY:
                if not self._is_recovering:  # a network tells of one loss in several ways
                    self._is_recovering = True
                    self._recovery_at = max(now, self._recovery_at + FLOW_RECOVERY_S)
                timers.arm(self, Timer.REFRESH, self._recovery_at)
            case Action.SCHEDULE_RETRY:
                first_s = FIRST_RETRY_WHEN_REFUSED_S if self._status in REFUSALS else FIRST_RETRY_S
                wait_s = min(first_s * 2 ** min(self._failures, 10), LONGEST_RETRY_S)
                self._failures += 1
                timers.arm(self, Timer.RETRY, now + max(wait_s, min(self._retry_after_s, LONGEST_RETRY_S)))
            case Action.TELL:
                self._tell()

    def _tell(self) -> None:
        binding = self.binding if self.state is State.REGISTERED else None
        self._agent.emit(
            RegistrationChanged(
                account_id=self.account.id,
                state=_TOLD[self.state],
                status=self._status,
                reason=self._reason,
                expires_s=None if binding is None else binding.expires_s,
                flow_timer_s=None if binding is None else binding.flow_timer_s,
            )
        )

    def _send(self, expires_s: int, now: float) -> None:
        account, next_hop = self.account, self.next_hop
        self._cseq += 1
        headers = Headers([("Max-Forwards", "70")])
        headers.set("Route", [str(route) for route in self._proxy_route()])
        headers.set("From", str(self._from))
        headers.set("To", str(self._from.without_params()))
        headers.set("Call-ID", self._call_id)
        headers.set("CSeq", f"{self._cseq} REGISTER")
        registrar = account.registrar
        # §10.2: no user part and no headers in the Request-URI.
        request = Request("REGISTER", Uri(scheme=registrar.scheme, host=registrar.host, port=registrar.port), headers)
        self._agent.identify(request, next_hop, contact_user=self._contact_user)
        request.headers.set("Contact", str(self._contact()))
        supported = ["path"]  # RFC 3327 §5.1: proxies on the way may add themselves
        if account.instance and account.gruu:
            supported.append("gruu")
        if self._offers_outbound:
            supported.append("outbound")
        request.headers.set("Supported", ", ".join(supported))
        request.headers.set("Expires", str(expires_s))
        self._authentication.apply(request)
        self._agent.layer.request(request, next_hop, self, now)

    # -- what it says and reads --------------------------------------------------------------------------------------

    @property
    def _contact_user(self) -> str | None:
        return self.account.contact_user or self.account.aor.user

    @property
    def _offers_outbound(self) -> bool:
        wanted = self.account.outbound
        if wanted is None:
            wanted = self._hops[self._hop].transport.is_reliable
        return wanted and self._has_outbound and self.account.instance != ""

    def _contact(self) -> NameAddr:
        uri = self._agent.contact_uri(self._contact_user, self.next_hop)
        if self.account.registrar.scheme == "sips":
            uri = replace(uri, scheme="sips", params=())  # §8.1.1.8: as secure as the Request-URI
        params: list[tuple[str, str | None]] = []
        if self.account.instance and (self.account.gruu or self._offers_outbound):
            params.append(("+sip.instance", f'"{self.account.instance}"'))
        if self._offers_outbound:
            params.append(("reg-id", "1"))
        return NameAddr(uri=uri, params=tuple(params))

    def _proxy_route(self) -> tuple[NameAddr, ...]:
        proxy = self.account.outbound_proxy
        if proxy is None:
            return ()
        if proxy.param("lr") is None:
            proxy = replace(proxy, params=(*proxy.params, ("lr", None)))
        return (NameAddr(uri=proxy),)

    def _take_binding(self, response: Response) -> None:
        contact = self._contact().uri
        self.binding = read_binding(response, contact=contact, instance=self.account.instance, asked_s=self._asked_s)
        self._failures = 0
        heard_from = self._agent.heard_from
        if heard_from is not None and heard_from.transport is self._hops[self._hop].transport:
            self._flow = heard_from.flow

    def _can_amend(self, response: Response) -> bool:
        """Whether the REGISTER is worth sending again in another form; that is then prepared."""
        if response.status == 439 and self._offers_outbound:
            self._has_outbound = False  # RFC 5626 §11.6: the first hop does not keep to it
            return True
        wanted = seconds(response.headers.get("Min-Expires") or "")
        if response.status != 423 or not wanted or not self._asked_s < wanted <= MIN_EXPIRES_LIMIT_S:
            return False
        self._asked_s = wanted
        return True

    def _begin_round(self) -> None:
        self._authentication.begin()
        self._hops_left = len(self._hops) - 1
        self._retry_after_s = 0.0
        self._is_recovering = False

    def _take_another_way(self) -> bool:
        """Go to the next address; False when each was tried. After the last one the first of the round is next."""
        self._hop, self._flow = (self._hop + 1) % len(self._hops), 0
        if self._hops_left <= 0:
            return False
        self._hops_left -= 1
        self._authentication.begin()
        return True

    def _schedule_keepalive(self, now: float) -> None:
        binding = self.binding
        if binding is None or not binding.is_outbound or not self._hops[self._hop].transport.is_reliable:
            return  # over UDP it takes STUN (RFC 5626 §3.5.2)
        if binding.flow_timer_s is None:
            wait_s = self._between(*KEEPALIVE_S)
        else:
            wait_s = max(1.0, binding.flow_timer_s * self._between(*KEEPALIVE_SHARE))
        self._agent.timers.arm(self, Timer.KEEPALIVE, now + wait_s)

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * self._agent.fraction()


def _uuid_of(seed: str) -> str:
    """Return the UUID of version 8 (RFC 9562 §5.8) that is always this seed's."""
    octets = bytearray(hashlib.sha256(b"paytone instance " + seed.encode("utf-8", "surrogateescape")).digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
