"""What a call out says and where it goes: the target, the caller, credentials, the route. Pure.

Laws:

- Telephone numbers (``tel:`` or digits alone) go to the gateway, as the user part of its URI (RFC 3261 §19.1.6).
- A password is answered with only towards the account's own domain: registrar, gateway, or a route of the account.
  Whoever a redirection names gets neither digest, asserted identity nor X- headers (RFC 3325 §5).
- A redirection from outside never leads back to that domain or to a number: a callee that answers 302 must not make
  calls at our cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine.config import AccountConfig, Config, secret_from_environment
from engine.errors import CallError
from sip.credentials import Credentials
from sip.errors import ParseError
from sip.replaces import Replaces
from sip.uri import NameAddr, Uri

__all__ = ("DialPlan", "OutboundCall", "plan_call")

MAX_HEADERS = 16
MAX_HEADER_CHARS = 256
RING_RANGE_S = (1.0, 280.0)
"Below the three minutes of a proxy's timer C and the endpoint's own limit of a set-up."
_NUMBER = re.compile(r"\+?[0-9*#]{2,32}")
_SEPARATORS = re.compile(r"(?<=[0-9)])[-. ()]+(?=[0-9(])")
"Visual separators of RFC 3966 §5.1.1."
_HEADER_NAME = re.compile(r"[Xx]-[A-Za-z0-9-]{1,48}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_USER = re.compile(r"[A-Za-z0-9._~+*#-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCall:
    """A call to be placed. What is empty or None is taken from ``[outbound]``."""

    to: str
    "``sip:``, ``sips:`` or ``tel:`` URI, or a telephone number."
    form: str = ""
    "The form that runs once the call is answered, where nothing else does."
    account: str = ""
    "Name of the ``[account.NAME]`` to call under."
    caller: str = ""
    "Who calls: a number, or a SIP URI."
    display_name: str = ""
    assert_identity: bool | None = None
    "Say the caller in P-Asserted-Identity too (RFC 3325)."
    ring_s: float | None = None
    "Seconds, 1 to 280, until a call that nobody answers is given up."
    headers: Mapping[str, str] = field(default_factory=dict)
    "X- headers of the INVITE."
    username: str = ""
    "Who a challenge of the target's own host is answered as, in place of the account; no redirection gets it."
    password: str = field(default="", repr=False)
    replaces: str = field(default="", repr=False)
    "The call at the target that this one takes the place of (RFC 3891), as its peer sees it."
    referred_by: str = field(default="", repr=False)
    "Who asked for the call by REFER, as they said it (RFC 3892); left out where it is no line of ASCII."


@dataclass(frozen=True, slots=True, kw_only=True)
class DialPlan:
    """How a call is placed: everything but addresses."""

    target: Uri
    "Request-URI of the first try."
    from_: NameAddr
    dialled: str
    "What the record calls the callee."
    caller: str
    ring_s: float
    follow_redirects: bool
    account: str
    "Under which the call is placed; empty: none."
    _gateway: Uri | None
    _routes: tuple[NameAddr, ...]
    _domain: frozenset[str]
    _credentials: Credentials | None
    _extras: tuple[tuple[str, str], ...]
    _own_credentials: Credentials | None = None
    "Of this call, for its target's host alone."

    def first_hop(self, target: Uri) -> Uri:
        """Return the URI whose addresses the INVITE for ``target`` goes to: the first route's, else the target's."""
        return self._routes[0].uri if self._routes else target

    def credentials(self, target: Uri) -> Credentials | None:
        """Return what a challenge on the way to ``target`` may be answered with."""
        if self._own_credentials is not None and target.host.lower() == self.target.host.lower():
            return self._own_credentials
        return self._credentials if self.trusts(target) else None

    def headers(self, target: Uri) -> tuple[tuple[str, str], ...]:
        """Return the headers of the INVITE for ``target`` beyond the usual ones."""
        routes = tuple(("Route", str(route)) for route in self._routes)
        return routes + (self._extras if target is self.target or self.trusts(target) else ())

    def trusts(self, target: Uri) -> bool:
        """Whether a call to ``target`` is the account's own business: its domain is, or all calls go by its route."""
        return bool(self._routes) or target.host.lower() in self._domain

    def followed(self, source: Uri, contacts: Iterable[NameAddr]) -> list[NameAddr]:
        """Return the contacts of a redirection that came from ``source`` which may be called."""
        if not self.follow_redirects:
            return []
        inside = self.trusts(source)
        kept: list[NameAddr] = []
        for contact in contacts:
            uri = contact.uri
            if uri.scheme == "tel":
                number = _number(uri.user or "")
                if not inside or number is None or self._gateway is None:
                    continue
                uri = _at_gateway(number, self._gateway)
            if uri.is_sip and uri.host and (inside or not self.trusts(uri)):
                kept.append(replace(contact, uri=uri))
        return kept


def plan_call(
    call: OutboundCall, config: Config, *, own_host: str, own_port: int, routes: tuple[NameAddr, ...] = ()
) -> DialPlan:
    """Plan a call; raise ``CallError`` that says what is wrong with it, ``ConfigError`` for a missing password.

    ``own_host`` and ``own_port`` stand in From where no account gives a domain. ``routes`` are the account's: outbound
    proxy and Service-Route (RFC 3608).
    """
    if call.form and call.form not in config.forms:
        raise CallError(f"there is no [form.{call.form}] (known: {', '.join(sorted(config.forms)) or 'none'})")
    ring_s = config.outbound.ring_s if call.ring_s is None else call.ring_s
    low, high = RING_RANGE_S
    if not low <= ring_s <= high:
        raise CallError(f"ring_s is {low:g} to {high:g} seconds")
    name = call.account or config.outbound.account
    account = config.accounts.get(name)
    if name and account is None:
        raise CallError(f"there is no [account.{name}] (known: {', '.join(sorted(config.accounts)) or 'none'})")
    gateway = _gateway(config.outbound.gateway, account)
    target, dialled = _target(call.to, gateway)
    registrar = Uri.parse(account.registrar) if account is not None else None
    if registrar is not None:
        own = Uri(user=account.user if account else None, host=registrar.host, port=registrar.port)
    else:
        own = Uri(user="paytone", host=own_host, port=own_port)
    caller = _caller(call.caller or config.outbound.caller, own)
    asserts = config.outbound.assert_identity if call.assert_identity is None else call.assert_identity
    extras = [("P-Asserted-Identity", f"<{caller}>")] if asserts else []
    extras += _extra_headers(call.headers)
    extras += _transfer_headers(call)
    if not _HEADER_VALUE.fullmatch(call.display_name):
        raise CallError("the display name holds a control character, or one that is not ASCII")
    domain = {uri.host.lower() for uri in (registrar, gateway if account is not None else None) if uri is not None}
    return DialPlan(
        target=target,
        from_=NameAddr(display_name=call.display_name, uri=caller),
        dialled=dialled,
        caller=caller.user or "anonymous",
        ring_s=ring_s,
        follow_redirects=config.outbound.follow_redirects,
        account=name,
        _gateway=gateway,
        _routes=routes,
        _domain=frozenset(domain),
        _credentials=_credentials(name, account),
        _extras=tuple(extras),
        _own_credentials=Credentials(username=call.username, password=call.password) if call.username else None,
    )


def _target(text: str, gateway: Uri | None) -> tuple[Uri, str]:
    """Return the Request-URI of what is to be called, and what the record calls it."""
    text = text.strip()
    number = _number(text.partition(";")[0][4:] if text[:4].lower() == "tel:" else text)
    if number is not None:
        if gateway is None:
            raise CallError(
                "a telephone number needs a gateway: set [outbound] gateway, or an account, or call sip:NUMBER@HOST"
            )
        return _at_gateway(number, gateway), number
    try:
        uri = Uri.parse(text)
    except ParseError:
        uri = None
    if uri is None or not uri.is_sip:
        raise CallError("what is called is no SIP URI and no number: write sip:USER@HOST, tel:+NUMBER or +NUMBER")
    if uri.headers or uri.password is not None or uri.param("method") is not None:
        raise CallError("a URI to be called has neither a password, nor headers, nor a method")
    return uri, uri.username or uri.host


def _number(text: str) -> str | None:
    bare = _SEPARATORS.sub("", text.strip()).replace("(", "").replace(")", "")
    return bare if _NUMBER.fullmatch(bare) else None


def _at_gateway(number: str, gateway: Uri) -> Uri:
    # §19.1.6; "#" must be escaped in a user part (§25.1).
    return replace(gateway, user=number.replace("#", "%23"), params=(*gateway.params, ("user", "phone")))


def _gateway(text: str, account: AccountConfig | None) -> Uri | None:
    if text:
        return Uri.parse(text)
    return Uri.parse(account.registrar) if account is not None else None


def _caller(text: str, own: Uri) -> Uri:
    """Return the URI of From: our own, with another user, or another altogether."""
    if not text:
        return own
    if text.lower().startswith(("sip:", "sips:")):
        try:
            uri = Uri.parse(text)
        except ParseError:
            raise CallError("the caller is no SIP URI") from None
        return replace(uri, password=None, params=(), headers=())
    user = _number(text) or text
    if not _USER.fullmatch(user):
        raise CallError("the caller is a number, a user name or a SIP URI")
    return replace(own, user=user.replace("#", "%23"))


def _extra_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    if len(headers) > MAX_HEADERS:
        raise CallError(f"at most {MAX_HEADERS} headers can be given")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise CallError("only headers whose names begin with X- can be given")
        if len(value) > MAX_HEADER_CHARS or not _HEADER_VALUE.fullmatch(value):
            raise CallError(f"{name} is no line of at most {MAX_HEADER_CHARS} ASCII characters")
    return list(headers.items())


def _transfer_headers(call: OutboundCall) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    if call.replaces:
        try:
            headers.append(("Replaces", str(Replaces.parse(call.replaces))))
        except ParseError:
            raise CallError("what is to be replaced is no call: Call-ID, to-tag and from-tag are wanted") from None
        if len(headers[0][1]) > MAX_HEADER_CHARS or not _HEADER_VALUE.fullmatch(headers[0][1]):
            raise CallError(f"Replaces is no line of at most {MAX_HEADER_CHARS} ASCII characters")
    if call.referred_by and len(call.referred_by) <= MAX_HEADER_CHARS and _HEADER_VALUE.fullmatch(call.referred_by):
        headers.append(("Referred-By", call.referred_by))
    return headers


def _credentials(name: str, account: AccountConfig | None) -> Credentials | None:
    if account is None or not account.password_env:
        return None
    password = secret_from_environment(account.password_env, f"account.{name}.password_env")
    return Credentials(username=account.auth_user or account.user, password=password)
