"""What an INVITE says of its caller and of the way the call took.

Laws: nothing here raises and nothing is verified. Whatever cannot be read is left out, numbers and lengths are
bounded. P-Asserted-Identity and Remote-Party-ID count only from a peer that is trusted (RFC 3325 §3, §9.1: outside of
the trust domain they are removed), as anybody can write them. User-to-User may hold what a bank wants kept secret: it,
the other headers and the numbers do not show in a ``repr``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sip.errors import ParseError
from sip.headers import Headers
from sip.session_id import peer_session_id
from sip.uri import NameAddr

__all__ = ("CallerIdentity", "Diversion", "HistoryEntry", "caller_identity")

MAX_ENTRIES = 32
"Of one kind of header; the rest is left out."
MAX_VALUE = 1024
"Characters of one value; a longer one is left out, as half of one could mean something else."
MAX_NAME = 64

_INDEX = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,31}")
_PRIVACY = frozenset({"header", "session", "user", "none", "critical", "id", "history"})
"RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1."
_NO_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversion:
    """One time that the call was diverted before it came to us (RFC 5806)."""

    by: NameAddr = field(repr=False)
    "Who was called then and passed the call on."
    reason: str
    "Lower case, such as ``user-busy``, ``no-answer``, ``unconditional``; empty without one."
    counter: int | None
    "How many diversions this entry stands for, 1 to 99 or so; None when it does not say."


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One target that the request was sent to before (RFC 7044)."""

    target: NameAddr = field(repr=False)
    index: str
    "Its place in the tree, such as ``1.2``; empty without one."
    cause: int | None
    "Why it went on from there: the status in the URI's ``cause`` (RFC 4458) or its Reason; None without one."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerIdentity:
    """Who calls and how the call came here, as far as the headers say. Empty where they say nothing."""

    asserted: tuple[NameAddr, ...] = field(default=(), repr=False)
    "P-Asserted-Identity (RFC 3325), else Remote-Party-ID of the calling party; from a trusted peer only."
    privacy: frozenset[str] = frozenset()
    "What the caller wants withheld (RFC 3323): ``id``, ``user``, ``header``, ``session``, ``history``, ``critical``."
    diversions: tuple[Diversion, ...] = ()
    "The latest first (RFC 5806 §4)."
    history: tuple[HistoryEntry, ...] = ()
    "The oldest first, the last one being how the request came to us (RFC 7044 §5)."
    user_to_user: tuple[str, ...] = field(default=(), repr=False)
    "Each as it came, parameters included (RFC 7433). Not to be logged."
    alert_info: tuple[str, ...] = ()
    "How to ring (RFC 3261 §20.4), each as it came; never to be fetched."
    session_id: str = ""
    "The caller's half of Session-ID (RFC 7989), 32 hexadecimal digits; the same on every hop of the call."
    other: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_HEADERS, repr=False)
    "Headers whose name begins with ``X-``, by name as written, each value as it came."

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller wants its identity withheld from those who need not know it (RFC 3325 §7)."""
        return bool(self.privacy & {"id", "user", "header"})


def caller_identity(headers: Headers, *, trusted: bool) -> CallerIdentity:
    """Read the headers of an INVITE; ``trusted`` says whether the peer's word for its callers is taken."""
    return CallerIdentity(
        asserted=(_asserted(headers) or _remote_party(headers)) if trusted else (),
        privacy=_privacy(headers),
        diversions=tuple(
            Diversion(by=by, reason=_short(by.param("reason")).lower(), counter=_number(by.param("counter")))
            for by in _addresses(headers.get_all("Diversion"))
        ),
        history=tuple(_history_entry(entry) for entry in _addresses(headers.get_all("History-Info"))),
        user_to_user=_bounded(headers.get_all("User-to-User")),
        alert_info=_bounded(headers.get_all("Alert-Info")),
        session_id=peer_session_id(headers),
        other=_other(headers),
    )


def _bounded(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(value for value in values if 0 < len(value) <= MAX_VALUE)[:MAX_ENTRIES]


def _addresses(values: Iterable[str]) -> tuple[NameAddr, ...]:
    found: list[NameAddr] = []
    for value in _bounded(values):
        try:
            found.append(NameAddr.parse(value))
        except ParseError:
            continue
    return tuple(found)


def _asserted(headers: Headers) -> tuple[NameAddr, ...]:
    # RFC 3325 §9.1: one or two, of sip, sips or tel; RFC 5876 §4.1 takes more. One of each kind is what has a meaning.
    return tuple(
        one for one in _addresses(headers.get_all("P-Asserted-Identity")) if one.uri.is_sip or one.uri.scheme == "tel"
    )


def _remote_party(headers: Headers) -> tuple[NameAddr, ...]:
    # A draft that never became a standard and that PBXes still write; of several parties the calling one counts.
    parties = _addresses(headers.get_all("Remote-Party-ID"))
    return tuple(one for one in parties if (one.param("party") or "calling").lower() == "calling")


def _privacy(headers: Headers) -> frozenset[str]:
    wanted = {
        piece.strip().lower() for line in headers.lines("Privacy")[:MAX_ENTRIES] for piece in re.split("[;,]", line)
    } & _PRIVACY
    for party in _remote_party(headers):
        if (party.param("privacy") or "off").lower() not in ("off", "no", ""):
            wanted.add("id")
    # RFC 3323 §4.2: "none" forbids a service to add any; the others say what they say.
    return frozenset(wanted - {"none"})


def _history_entry(entry: NameAddr) -> HistoryEntry:
    index = entry.param("index") or ""
    cause = _number(entry.uri.param("cause"))
    for reason in entry.uri.header_values("Reason"):
        if cause is None and (match := re.search(r"(?i)\bcause[ \t]{0,9}=[ \t]{0,9}([0-9]{1,3})(?![0-9])", reason)):
            cause = int(match.group(1))
    return HistoryEntry(target=entry, index=index if _INDEX.fullmatch(index) else "", cause=cause)


def _other(headers: Headers) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, value in headers.items():
        if not name.lower().startswith("x-") or len(name) > MAX_NAME or len(value) > MAX_VALUE:
            continue
        if name not in found and len(found) >= MAX_ENTRIES:
            continue
        values = found.setdefault(name, [])
        if len(values) < MAX_ENTRIES:
            values.append(value)
    return MappingProxyType({name: tuple(values) for name, values in found.items()})


def _short(text: str | None) -> str:
    return text if text is not None and len(text) <= MAX_NAME else ""


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 3 else None
