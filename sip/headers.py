"""The header fields of a message (RFC 3261 §7.3), and Via and CSeq read into values.

``Headers`` keeps text. Names are compared in any case and compact forms are long forms (§7.3.3). Fields of one name
keep their order; the order between different names carries no meaning (§7.3.1) and is that of first appearance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sip.errors import ParseError
from sip.grammar import (
    HOST,
    LWS,
    TOKEN,
    Params,
    find_param,
    format_params,
    parse_host,
    parse_number,
    parse_params,
    split_list,
)
from sip.uri import NameAddr

__all__ = ("MAGIC_COOKIE", "CSeq", "Headers", "Via", "parse_contact", "parse_routes")

MAGIC_COOKIE = "z9hG4bK"
"How a branch of RFC 3261 begins (§8.1.1.7)."

_MAX_CSEQ = 2**32 - 1  # must fit in 32 bits (§20.16); we send below 2**31 (§8.1.1.5)

_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

# Comma-separated by grammar. Authorization and its kin, Date, Subject and anything unknown are never split: a comma
# there is part of the one value.
_LISTS = (
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Allow-Events",
    "Call-Info", "Contact", "Content-Encoding", "Content-Language", "Diversion", "Error-Info", "History-Info",
    "In-Reply-To", "P-Asserted-Identity", "P-Associated-URI", "P-Preferred-Identity", "Path", "Proxy-Require",
    "Reason", "Record-Route", "Reject-Contact", "Remote-Party-ID", "Require", "Route", "Service-Route", "Supported",
    "Unsupported", "User-to-User", "Via", "Warning",
)  # fmt: skip
_SINGLES = (
    "Authentication-Info", "Authorization", "CSeq", "Call-ID", "Content-Disposition", "Content-Length",
    "Content-Type", "Date", "Event", "Expires", "From", "Identity", "Identity-Info", "MIME-Version", "Max-Forwards",
    "Min-Expires", "Min-SE", "Organization", "Priority", "Privacy", "Proxy-Authenticate", "Proxy-Authorization",
    "RAck", "RSeq", "Recv-Info", "Refer-To", "Referred-By", "Replaces", "Reply-To", "Request-Disposition",
    "Retry-After", "SIP-ETag", "SIP-If-Match", "Server", "Session-Expires", "Session-ID", "Subject",
    "Subscription-State", "Timestamp", "To", "User-Agent", "WWW-Authenticate", "Info-Package",
)  # fmt: skip

_LIST_KEYS = frozenset(name.lower() for name in _LISTS)
_SPELLING = {name.lower(): name for name in (*_LISTS, *_SINGLES)}
# Spellings met on the wire, straight to the key: saves lowering a string per header.
_KEYS = {
    **{name: name.lower() for name in (*_LISTS, *_SINGLES)},
    **{name.lower(): name.lower() for name in (*_LISTS, *_SINGLES)},
    **{letter: name.lower() for letter, name in _COMPACT.items()},
    **{letter.upper(): name.lower() for letter, name in _COMPACT.items()},
}
_NAME = re.compile(TOKEN)
_SECRET_KEYS = frozenset({"authorization", "proxy-authorization"})


def _header_key(name: str) -> str:
    """Return the one key of a header name: lower case, long form."""
    return _KEYS.get(name) or name.lower()


class Headers:
    """An ordered multi-map of header fields."""

    __slots__ = ("_spelling", "_values")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        self._spelling: dict[str, str] = {}
        for name, value in fields:
            self.add(name, value)

    def add_lines(self, lines: Iterable[str]) -> bool:
        """Append a field for each ``name: value`` line; False when one of them has no proper name (it is left out)."""
        values, good = self._values, True
        for line in lines:
            name, colon, value = line.partition(":")
            key = _KEYS.get(name)
            if key is None:
                name = name.rstrip(LWS)
                if _NAME.fullmatch(name) is None:
                    good = False
                    continue
                key = _header_key(name)
                if key not in _SPELLING:
                    self._spelling.setdefault(key, name)
            if not colon:
                good = False
                continue
            value = value.strip(LWS)
            known = values.get(key)
            if known is None:
                values[key] = [value]
            else:
                known.append(value)
        return good

    def first_repeated(self, names: Iterable[str]) -> str | None:
        """Return the first of these names (in their usual spelling) that is on more than one line, or None."""
        for name in names:
            if len(self._values.get(_KEYS[name], ())) > 1:
                return name
        return None

    def get(self, name: str) -> str | None:
        """Return the first field's value as it stands on its line, or None."""
        values = self._values.get(_KEYS.get(name) or name.lower())
        return values[0] if values else None

    def lines(self, name: str) -> list[str]:
        """Return each field's value as it stands on its line, in order, unsplit."""
        return list(self._values.get(_KEYS.get(name) or name.lower(), ()))

    def get_all(self, name: str) -> list[str]:
        """Return every element: comma lists are split where the grammar has lists, empty elements are left out."""
        key = _KEYS.get(name) or name.lower()
        values = self._values.get(key, ())
        if key not in _LIST_KEYS:
            return list(values)
        return [part for value in values for part in (piece.strip(LWS) for piece in split_list(value)) if part]

    def count(self, name: str) -> int:
        """Return on how many lines the header appears."""
        return len(self._values.get(_header_key(name), ()))

    def add(self, name: str, value: str) -> None:
        """Append a field after those of the same name."""
        key = _KEYS.get(name)
        if key is None:
            key = name.lower()
            if key not in _SPELLING:
                self._spelling.setdefault(key, name)
        values = self._values.get(key)
        if values is None:
            self._values[key] = [value]
        else:
            values.append(value)

    def prepend(self, name: str, value: str) -> None:
        """Put a field before those of the same name (a Via or a Route of ours)."""
        self.set(name, [value, *self.lines(name)])

    def set(self, name: str, value: str | Iterable[str]) -> None:
        """Replace every field of that name by one, or by one for each value; none removes the header."""
        values = [value] if isinstance(value, str) else list(value)
        if not values:
            self.remove(name)
            return
        key = _header_key(name)
        if key not in _SPELLING:
            self._spelling.setdefault(key, name)
        self._values[key] = values

    def set_first(self, name: str, value: str) -> None:
        """Replace the first element, which can be the first of a comma list; adds the header when it is missing."""
        self.set(name, [value, *self.get_all(name)[1:]])

    def remove(self, name: str) -> None:
        """Drop every field of that name, if there is one."""
        key = _header_key(name)
        self._values.pop(key, None)
        self._spelling.pop(key, None)

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield (name, value) for each line, long names in their usual spelling."""
        for key, values in self._values.items():
            name = _SPELLING.get(key) or self._spelling[key]
            for value in values:
                yield name, value

    def copy(self) -> Headers:
        """Return an independent copy."""
        clone = Headers()
        clone._values = {key: list(values) for key, values in self._values.items()}
        clone._spelling = dict(self._spelling)
        return clone

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _header_key(name) in self._values

    def __len__(self) -> int:
        return sum(map(len, self._values.values()))

    def __eq__(self, other: object) -> bool:
        return self._values == other._values if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ((name, "***" if name.lower() in _SECRET_KEYS else value) for name, value in self.items())
        return f"Headers([{', '.join(f'({name!r}, {value!r})' for name, value in shown)}])"


# via-parm = sent-protocol LWS sent-by *( SEMI via-params ); sent-protocol = name SLASH version SLASH transport
# sent-by  = host [ COLON port ]
_VIA = re.compile(
    rf"[ \t]*+({TOKEN})[ \t]*+/[ \t]*+({TOKEN})[ \t]*+/[ \t]*+({TOKEN})[ \t]++"
    rf"({HOST})[ \t]*+(?::[ \t]*+([0-9]++)[ \t]*+)?(?:;(.*))?",
    re.DOTALL,
)
_CSEQ = re.compile(rf"([0-9]++)[ \t]++({TOKEN})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """One Via (RFC 3261 §20.42, RFC 3581). ``host`` is without the brackets of an IPv6 reference."""

    transport: str = "UDP"
    host: str
    port: int | None = None
    params: Params = ()
    protocol: str = "SIP/2.0"

    @classmethod
    def parse(cls, text: str) -> Via:
        """Parse one element of a Via header; raises ParseError."""
        match = _VIA.fullmatch(text)
        if match is None:
            raise ParseError("malformed", where="Via", section="RFC 3261 §20.42")
        name, version, transport, host, port, params = match.groups()
        return cls(
            protocol=f"{name}/{version}".upper(),
            transport=transport.upper(),
            host=parse_host(host, where="Via"),
            port=None if port is None else parse_number(port, where="Via port", limit=65535),
            params=() if params is None else parse_params(params, where="Via"),
        )

    @property
    def branch(self) -> str | None:
        """The transaction's branch, or None."""
        return find_param(self.params, "branch") or None

    @property
    def has_cookie(self) -> bool:
        """Whether the branch identifies the transaction by itself: magic cookie and something behind it.

        Without, RFC 3261 §17.2.3 matches as RFC 2543 did (the cookie alone: RFC 4475 §3.2.1).
        """
        branch = self.branch
        return branch is not None and branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE)

    @property
    def received(self) -> str | None:
        """Address the request came from, without brackets (RFC 5118 §4.5 has it both ways)."""
        value = find_param(self.params, "received")
        return value.strip("[]") or None if value else None

    @property
    def wants_rport(self) -> bool:
        """Whether ``rport`` is there at all, with or without a value (RFC 3581 §4)."""
        return find_param(self.params, "rport") is not None

    @property
    def rport(self) -> int | None:
        """The port in ``rport``; None when it is missing, has no value or one that is no port."""
        value = find_param(self.params, "rport")
        if not value or not value.isascii() or not value.isdigit() or len(value) > 5:
            return None
        port = int(value)
        return port if 0 < port < 65536 else None

    def param(self, name: str) -> str | None:
        """Return a parameter unquoted, ``""`` when it has no value, or None."""
        return find_param(self.params, name)

    def with_source(self, host: str, port: int) -> Via:
        """Return the Via as a server keeps it: ``received`` (RFC 3261 §18.2.1) and ``rport`` (RFC 3581 §4) filled in.

        What the peer wrote into ``received`` itself is replaced: it says where we send.
        """
        params = [pair for pair in self.params if pair[0].lower() not in ("received", "rport")]
        if self.wants_rport:
            params.append(("rport", str(port)))
        if self.wants_rport or host != self.host:
            params.append(("received", f"[{host}]" if ":" in host else host))
        return replace(self, params=tuple(params))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.protocol}/{self.transport} {host}{port}{format_params(self.params)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method (RFC 3261 §20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Parse the header's value; raises ParseError."""
        match = _CSEQ.fullmatch(text)
        if match is None:
            raise ParseError("malformed", where="CSeq", section="RFC 3261 §20.16")
        return cls(parse_number(match.group(1), where="CSeq", limit=_MAX_CSEQ), match.group(2))

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_contact(headers: Headers) -> tuple[NameAddr, ...]:
    """Read every Contact, in order. The ``*`` of a REGISTER is left out; raises ParseError."""
    return tuple(NameAddr.parse(text) for text in headers.get_all("Contact") if text != "*")


def parse_routes(headers: Headers, name: str = "Route") -> tuple[NameAddr, ...]:
    """Read Route or Record-Route, topmost first; raises ParseError.

    RFC 3261 §20.30 wants the angle brackets; without them a parameter of the URI (``lr``) is one of the header.
    """
    routes = []
    for text in headers.get_all(name):
        if "<" not in text:
            raise ParseError("URI needs angle brackets", where=name, section="RFC 3261 §20.30")
        routes.append(NameAddr.parse(text))
    return tuple(routes)
