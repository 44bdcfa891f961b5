"""The lexical rules that every SIP header shares (RFC 3261 §25.1): one regular expression under each rule.

All quantifiers that could meet again are possessive, so that no input takes more than linear time.
"""

from __future__ import annotations

import ipaddress
import re

from sip.errors import ParseError

__all__ = (
    "HOST",
    "LWS",
    "TOKEN",
    "Params",
    "find_param",
    "format_params",
    "is_token",
    "match_quoted",
    "parse_host",
    "parse_number",
    "parse_params",
    "quote",
    "split_list",
    "unescape",
    "unquote",
)

Params = tuple[tuple[str, str | None], ...]
"Parameters in the order they came: name as written, value as written (quotes kept), None when there is no ``=``."

# LWS = [*WSP CRLF] 1*WSP; folded lines are joined before anything else looks at them (§7.3.1).
LWS = " \t"

# token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]++"
_TOKEN = re.compile(TOKEN)

# quoted-string = SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE
# quoted-pair   = "\" (%x00-09 / %x0B-0C / %x0E-7F)
_QUOTED = re.compile(r'"(?:[^"\\\r\n]|\\[^\r\n])*+"')

# host = hostname / IPv4address / IPv6reference. The underscore is not in the grammar; host names of private networks
# have it, and refusing the call would help nobody.
HOST = r"\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9_.\-]++"

# generic-param = token [ EQUAL gen-value ]; gen-value = token / host / quoted-string, here anything that cannot end
# the parameter. An empty value is not in the grammar and is taken (";lr=" and ";rport=" are seen).
_PARAM = re.compile(
    rf"[ \t]*+({TOKEN})[ \t]*+"
    r'(?:=[ \t]*+("(?:[^"\\\r\n]|\\[^\r\n])*+"|[^\x00-\x20\x7f",;<>]*+)[ \t]*+)?'
)

# Groups of several parts are not possessive: before CPython 3.11.5 (gh-106052) one whose last turn fails half-way keeps
# what it read.
_ELEMENT_COMMA = re.compile(r'(?:[^",<]++|"[^"\\]*+(?:\\.[^"\\]*+)*"|<[^>]*+>)*', re.DOTALL)
_ELEMENT_SEMICOLON = re.compile(r'(?:[^";]++|"[^"\\]*+(?:\\.[^"\\]*+)*")*', re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
# A display name may hold anything once the quote, the backslash and the controls are paired.
_NEEDS_PAIR = re.compile(r'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f"\\]')
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_NUMBER = re.compile(r"[0-9]{1,10}+")


def is_token(text: str) -> bool:
    """Say whether the whole of ``text`` is a token."""
    return _TOKEN.fullmatch(text) is not None


def parse_number(text: str, *, where: str, limit: int, section: str = "RFC 3261 §25.1") -> int:
    """Read 1*DIGIT up to and including ``limit``; leading zeros are fine, ten digits at most.

    Raises ParseError otherwise. ``int()`` alone would take signs, underscores and other scripts' digits.
    """
    # Leading zeros are legal (RFC 4475 §3.1.1.1) and must not push a small number over the ten digits.
    digits = text.lstrip("0") or text[-1:]
    if _NUMBER.fullmatch(digits) is None:
        raise ParseError("not a number of the allowed size", where=where, section=section)
    number = int(digits)
    if number > limit:
        raise ParseError("number too large", where=where, section=section)
    return number


def parse_host(text: str, *, where: str) -> str:
    """Take the brackets off an IPv6 reference and check the address; other hosts come back as they are."""
    if text[:1] != "[":
        return text
    try:
        ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        raise ParseError("not an IPv6 address", where=where, section="RFC 5118 §4.2") from None
    return text[1:-1]


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split at commas (outside quotes and angle brackets) or at semicolons (outside quotes).

    Never raises: text with an open quote comes back in one piece, and whoever parses the piece will say so.
    """
    if separator not in text:
        return [text]
    if '"' not in text and (separator == ";" or "<" not in text):
        return text.split(separator)
    element = _ELEMENT_COMMA if separator == "," else _ELEMENT_SEMICOLON
    parts: list[str] = []
    position = 0
    while True:
        match = element.match(text, position)
        assert match is not None  # the expression matches the empty string too
        parts.append(match.group())
        position = match.end()
        if position == len(text):
            return parts
        if text[position] != separator:
            return [text]
        position += 1


def parse_params(text: str, *, where: str) -> Params:
    """Parse ``name[=value]`` pieces between semicolons, without the first semicolon (generic-param)."""
    params: list[tuple[str, str | None]] = []
    for piece in split_list(text, ";"):
        match = _PARAM.fullmatch(piece)
        if match is None:
            raise ParseError("malformed parameter", where=where, section="RFC 3261 §25.1")
        name, value = match.groups()
        params.append((name, value))
    return tuple(params)


def find_param(params: Params, name: str) -> str | None:
    """Return the first parameter of that name, any case: its unquoted value, ``""`` for one without, else None."""
    wanted = name.lower()
    for key, value in params:
        if key == name or key.lower() == wanted:
            return "" if value is None else unquote(value)
    return None


def format_params(params: Params) -> str:
    """Write parameters as they go on the wire, each with its semicolon in front."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def unquote(text: str) -> str:
    """Take the quotes and the quoted pairs off a quoted-string; other text comes back unchanged."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _PAIR.sub(r"\1", inner) if "\\" in inner else inner


def quote(text: str) -> str:
    """Write text as a quoted-string. Line ends cannot be carried, not even as pairs: they become spaces."""
    flat = text.replace("\r", " ").replace("\n", " ")
    return '"' + _NEEDS_PAIR.sub(r"\\\g<0>", flat) + '"'


def unescape(text: str) -> str:
    """Undo ``%`` escapes (RFC 3261 §19.1.2), as UTF-8 where the octets are; a lone ``%`` stays."""
    if "%" not in text:
        return text
    octets = text.encode("utf-8", "surrogateescape").decode("latin-1")
    plain = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), octets)
    return plain.encode("latin-1").decode("utf-8", "surrogateescape")


def match_quoted(text: str) -> int:
    """Return where the quoted-string at the start of ``text`` ends, or -1 when it does not end."""
    match = _QUOTED.match(text)
    return -1 if match is None else match.end()
