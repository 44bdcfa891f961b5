"""URIs (RFC 3261 §19.1) and the name-addr form of From, To, Contact and Route (§20.10).

Text is kept as it came, escapes included, so that what is sent back equals what was received; ``equivalent``,
``param`` and ``username`` look through the escapes.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from sip.errors import ParseError
from sip.grammar import (
    HOST,
    LWS,
    Params,
    find_param,
    format_params,
    match_quoted,
    parse_host,
    parse_number,
    parse_params,
    quote,
    unescape,
    unquote,
)

__all__ = ("NameAddr", "Uri")

# SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]
# The user part takes more than the grammar: phones send "#" of a feature code unescaped.
_SIP = re.compile(
    r"(?:([^\x00-\x20\x7f@:<>\"]++)(?::([^\x00-\x20\x7f@:<>\"]*+))?@)?"
    rf"({HOST})(?::([0-9]++))?"
    r"((?:;[^\x00-\x20\x7f;?@<>\"]++)*)"  # not possessive: see grammar
    r"(?:\?([^\x00-\x20\x7f@<>\"]++))?"
)
# absoluteURI = scheme ":" ( hier-part / opaque-part ); scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):([^\x00-\x20\x7f<>\"]++)")
_SECTION = "RFC 3261 §19.1.1"

# §19.1.4: these make two URIs different even when only one of them has it.
_COMPARED_PARAMS = frozenset({"user", "ttl", "method", "maddr", "transport"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Uri:
    """A URI, as written.

    For ``sip`` and ``sips`` all parts are filled; ``host`` is without the brackets of an IPv6 reference. Any other
    scheme parses too, so that a UAS can answer 416: then ``host`` is empty and ``user`` holds what follows the colon
    (of ``tel`` the number alone, its parameters in ``params``).
    """

    scheme: str = "sip"
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: Params = ()

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Parse one URI without angle brackets; raises ParseError."""
        scheme, colon, rest = text.partition(":")
        lowered = scheme.lower()
        if not colon or lowered not in ("sip", "sips"):
            return _parse_absolute(text)
        match = _SIP.fullmatch(rest)
        if match is None:
            raise ParseError("not a SIP URI", where="URI", section=_SECTION)
        user, password, host, port, params, headers = match.groups()
        return cls(
            scheme=lowered,
            user=user,
            password=password,
            host=parse_host(host, where="URI"),
            port=None if port is None else parse_number(port, where="URI port", limit=65535),
            params=_split_pairs(params[1:], ";") if params else (),
            headers=_split_pairs(headers, "&") if headers else (),
        )

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is ``sip`` or ``sips``."""
        return self.scheme in ("sip", "sips")

    @property
    def username(self) -> str:
        """The user part with its escapes undone; empty when there is none."""
        return "" if self.user is None else unescape(self.user)

    def param(self, name: str) -> str | None:
        """Return a parameter's value, ``""`` for a bare one such as ``lr``, or None; any case, escapes undone."""
        wanted = name.lower()
        for key, value in self.params:
            if key == name or unescape(key).lower() == wanted:
                return "" if value is None else unescape(value)
        return None

    def header_values(self, name: str) -> tuple[str, ...]:
        """Return the values of a header in the ``?`` part (§19.1.1), in any case, escapes undone."""
        wanted = name.lower()
        return tuple(unescape(value or "") for key, value in self.headers if unescape(key).lower() == wanted)

    def without_headers(self) -> Uri:
        """Return the URI without its ``?`` part, which a Request-URI must not have (§19.1.1)."""
        return replace(self, headers=()) if self.headers else self

    def equivalent(self, other: Uri) -> bool:
        """Compare as RFC 3261 §19.1.4 does. Not transitive: parameters in one URI alone mostly do not count."""
        if self.scheme != other.scheme:
            return False
        if not self.is_sip:
            return str(self) == str(other)
        return (
            _unescaped(self.user) == _unescaped(other.user)
            and _unescaped(self.password) == _unescaped(other.password)
            and _host_key(self.host) == _host_key(other.host)
            and self.port == other.port
            and _same_params(self.params, other.params)
            and _folded(self.headers) == _folded(other.headers)
        )

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.user or ''}{format_params(self.params)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        text = f"{self.scheme}:"
        if self.user is not None:
            text += f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        text += host if self.port is None else f"{host}:{self.port}"
        if self.params:
            text += format_params(self.params)
        if self.headers:
            text += "?" + "&".join(name if value is None else f"{name}={value}" for name, value in self.headers)
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAddr:
    """A URI with a display name and header parameters: From, To, Contact, Route and their kin."""

    display_name: str = ""
    uri: Uri
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Parse ``[display-name] <URI>`` or a bare URI, each with parameters; raises ParseError."""
        text = text.strip(LWS)
        display = ""
        if text[:1] == '"':
            end = match_quoted(text)
            if end < 0:
                raise ParseError("quoted string without an end", where="name-addr", section="RFC 3261 §25.1")
            display = unquote(text[:end])
            text = text[end:].lstrip(LWS)
            if text[:1] != "<":
                raise ParseError("no URI after the display name", where="name-addr", section="RFC 3261 §20.10")
        start = text.find("<")
        if start < 0:
            return cls._parse_bare(text)
        if start > 0:
            # The grammar wants tokens. Names with commas, dots or other scripts come unquoted from real PBXs and
            # cannot be mistaken here: everything before "<" is the name (RFC 4475 §3.1.2.15 lets us).
            display = " ".join(text[:start].split())
            if '"' in display or ">" in display:
                raise ParseError("malformed display name", where="name-addr", section="RFC 3261 §25.1")
        end = text.find(">", start)
        if end < 0:
            raise ParseError("no closing angle bracket", where="name-addr", section="RFC 3261 §20.10")
        uri = Uri.parse(text[start + 1 : end])
        rest = text[end + 1 :].lstrip(LWS)
        if not rest:
            return cls(display_name=display, uri=uri)
        if rest[0] != ";":
            raise ParseError("text after the URI", where="name-addr", section="RFC 3261 §20.10")
        return cls(display_name=display, uri=uri, params=parse_params(rest[1:], where="name-addr"))

    @classmethod
    def _parse_bare(cls, text: str) -> NameAddr:
        # §20: with no brackets, what follows a semicolon belongs to the header, and the URI may hold no comma,
        # question mark or semicolon (RFC 4475 §3.1.2.13).
        address, semicolon, rest = text.partition(";")
        if "?" in address or "," in address:
            raise ParseError("URI needs angle brackets", where="name-addr", section="RFC 3261 §20")
        params = parse_params(rest, where="name-addr") if semicolon else ()
        return cls(uri=Uri.parse(address.rstrip(LWS)), params=params)

    @property
    def tag(self) -> str | None:
        """The dialog tag (§19.3), None when there is none or it is empty."""
        return find_param(self.params, "tag") or None

    def param(self, name: str) -> str | None:
        """Return a header parameter unquoted, ``""`` when it has no value, or None."""
        return find_param(self.params, name)

    def with_tag(self, tag: str) -> NameAddr:
        """Return a copy with this tag in place of any other."""
        kept = tuple(pair for pair in self.params if pair[0].lower() != "tag")
        return replace(self, params=(*kept, ("tag", tag)))

    def without_params(self) -> NameAddr:
        """Return a copy without header parameters (the tag among them)."""
        return replace(self, params=())

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"


def _parse_absolute(text: str) -> Uri:
    match = _ABSOLUTE.fullmatch(text)
    if match is None:
        raise ParseError("not a URI", where="URI", section="RFC 3261 §25.1")
    scheme, rest = match.groups()
    scheme = scheme.lower()
    if scheme != "tel":
        return Uri(scheme=scheme, user=rest)
    number, semicolon, params = rest.partition(";")  # RFC 3966 §3: parameters as in a SIP URI
    return Uri(scheme=scheme, user=number, params=_split_pairs(params, ";") if semicolon else ())


def _split_pairs(text: str, separator: str) -> Params:
    pairs: list[tuple[str, str | None]] = []
    for piece in text.split(separator):
        name, equals, value = piece.partition("=")
        if not name:
            raise ParseError("parameter without a name", where="URI", section=_SECTION)
        pairs.append((name, value if equals else None))
    return tuple(pairs)


def _unescaped(text: str | None) -> str | None:
    return None if text is None else unescape(text)


def _host_key(host: str) -> str:
    return str(ipaddress.IPv6Address(host)) if ":" in host else host.lower()


def _folded(pairs: Params) -> dict[str, str]:
    return {unescape(name).lower(): unescape(value or "").lower() for name, value in pairs}


def _same_params(ours: Params, theirs: Params) -> bool:
    mine, other = _folded(ours), _folded(theirs)
    return all(mine.get(name) == other.get(name) for name in (mine.keys() & other.keys()) | _COMPARED_PARAMS)
