"""The one place that masks: what looks like a card number or like keys that were pressed leaves only as a mask.

``redact_text`` runs over every log line and over every text from a peer that is kept. It is a net under code that does
not handle digits in the first place, so it prefers to mask too much:

* 12 to 19 digits, with single spaces or dashes between them or without, that pass the Luhn check or have the prefix
  and length of a common brand (a card number with one wrong key is still nearly a card number);
* more than 19 digits on end, which may be several numbers one after the other;
* the value after a name that carries keys or secrets: ``Signal=5`` of SIP INFO, ``"cvv":"737"``, ``digits=4111``;
* media keys of SDES (``inline:...``, RFC 4568).

Left readable, because logs need them: numbers that start with 0 or 1 (times in milliseconds since 1970, US numbers with
country code), and digits inside a word such as a hexadecimal identifier unless prefix, length and check digit all fit.

``redact_sip`` does the same for a whole SIP message, and knows where in it secrets stand. It answers with as many
octets as it got and moves no line end, so that Content-Length and every header stay true. What it cannot read it masks:

* credentials (``Authorization`` and its kin): only user name, realm, URI, algorithm and the like stay, and only where
  the whole value follows the grammar of RFC 3261 §25.1;
* headers that carry secrets by their purpose or by their name, passwords in SIP URIs, headers put into URIs;
* bodies: of INFO whole; session descriptions stay but for their keys (``k=``, ``a=crypto``, ``a=key-mgmt``,
  ``a=ice-pwd``, anything that looks like key material); of a ``message/sipfrag`` its status line stays; every other
  body goes whole;
* what could be a card number, also when folds, dots, brackets or percent escapes stand in it. No last four here.

The length of a body stays, and an INFO that writes ``*`` as 10 is one octet longer than one that writes 5.
"""

from __future__ import annotations

import re

__all__ = ("mask_card", "redact_sip", "redact_text")

_MIN_DIGITS, _MAX_DIGITS = 12, 19  # ISO/IEC 7812: PANs in use
_SHOWN = 4  # PCI DSS 3.4.1 permits the last four

_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_GROUP = re.compile(r"[0-9]+")
_BRANDED = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"  # visa 13, 16, 19
    r"|(?:5[1-5]|2[2-7])[0-9]{14}"  # mastercard 16
    r"|3[47][0-9]{13}"  # amex 15
    r"|3(?:[0689][0-9]{12}|[05689][0-9]{14})"  # diners-club 14 and 16, jcb 16
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2})[0-9]{12}(?:[0-9]{3})?"  # discover, unionpay 16 and 19
)
# The run of keys is taken whole, never given back: a long one must not take quadratic time.
_NAMED = re.compile(
    r"(?<![a-z])"
    r"(signal|digits?|dtmf|cvv2?|cvc2?|card_?number|security_?code|(?:bank_?)?account_?number)"
    r"""(\\?["']?\s*[=:]\s*\\?["']?)(?=[*\#A-D]*+[0-9])([0-9*\#A-D]++)([0-9a-z]?)""",
    re.IGNORECASE,
)
_INLINE = re.compile(r"(?<![a-z])(inline:\s*)([A-Za-z0-9+/=]{16,})([|0-9^:]*)", re.IGNORECASE)


def mask_card(last_four: str, length: int, mask_char: str = "*") -> str:
    """Return ``length`` characters: one ``mask_char`` per hidden digit, then the last four (`dialects.md` D-19)."""
    return mask_char * max(0, length - len(last_four)) + last_four


def redact_text(text: str) -> str:
    """Return the text with everything masked that could be a card number or pressed keys."""
    text = _INLINE.sub(_mask_inline, _NAMED.sub(_mask_named, text))
    return _RUN.sub(_mask_run, text)


def _mask_named(match: re.Match[str]) -> str:
    if match[4] and match[3].isalnum():
        return match[0]  # "5ms"
    return match[1] + match[2] + "*" * len(match[3]) + match[4]


def _mask_inline(match: re.Match[str]) -> str:
    return match[1] + "*" * len(match[2]) + match[3]


def _mask_run(match: re.Match[str]) -> str:
    run = match[0]
    groups = [(group.start(), group.end()) for group in _GROUP.finditer(run)]
    before = match.string[max(0, match.start() - 1) : match.start()]
    after = match.string[match.end() : match.end() + 1]
    pieces: list[str] = []
    done = 0
    for start, end, shown in _numbers(run, groups, inside_word=before.isalpha() or after.isalpha()):
        digits = run[start:end].replace(" ", "").replace("-", "")
        pieces += (run[done:start], mask_card(digits[len(digits) - shown :], len(digits)))
        done = end
    return "".join(pieces) + run[done:]


def _numbers(run: str, groups: list[tuple[int, int]], *, inside_word: bool) -> list[tuple[int, int, int]]:
    """Return (start, end, digits to show) of what to mask in a run.

    A number may begin and end with any group. Where suspects overlap all of them go, so that figures beside a card
    number cannot draw the mask away from its end.
    """
    found: list[tuple[int, int, int]] = []
    for first, (start, _) in enumerate(groups):
        digits = ""
        for last in range(first, len(groups)):
            end = groups[last][1]
            digits += run[groups[last][0] : end]
            if len(digits) > _MAX_DIGITS and last > first:
                break
            sizes = [stop - begin for begin, stop in groups[first : last + 1]]
            if len(digits) > _MAX_DIGITS:
                shown = 0
            elif len(digits) >= _MIN_DIGITS and _is_suspect(digits, sizes, inside_word=inside_word):
                shown = _SHOWN
            else:
                continue
            if found and start < found[-1][1]:
                begun, ended, _ = found.pop()
                # The last four are shown of one number, not of what several make together.
                found.append((begun, max(ended, end), shown if begun == start or end <= ended else 0))
            else:
                found.append((start, end, shown))
    return found


def _is_suspect(digits: str, sizes: list[int], *, inside_word: bool) -> bool:
    if digits[0] in "01":
        return False
    checked = _luhn_is_valid(digits)
    branded = _BRANDED.fullmatch(digits) is not None
    # Cards are written in fours (or 4-6-5), or key by key; "160 320 480 640" is a row of figures.
    written_as_card = len(sizes) == 1 or sizes[0] == 4 or (len(set(sizes)) == 1 and sizes[0] <= 2)
    if inside_word or not written_as_card:
        return checked and branded
    return checked or branded


def _luhn_is_valid(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# -- SIP messages ------------------------------------------------------------------------------------------------------

_END_OF_HEAD = re.compile(r"\n\r?\n")
# A lone CR ends a line too for some readers; a line that begins with white space goes on with the one before (§7.3.1).
_LINE_END = re.compile(r"(?:\r\n?+|\n)(?![ \t])")
_HEADER = re.compile(r"([A-Za-z0-9.!%*_+`'~-]++)\s*+:")
_REQUEST_METHOD = re.compile(r"\s*+([^\s]++)")
_SECRET_BY_NAME = re.compile(
    r"auth|pass|secret|token|cookie|dtmf|digit|signal|cvv|cvc|card|account|(?<![a-z])(?:key|pan|pin|uui)(?![a-z])"
)
_CREDENTIALS = frozenset(
    ("authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info")
)
_SECRET_HEADERS = frozenset(("user-to-user", "x-user-to-user"))
# Asked first, to save the pattern above.
_PLAIN_HEADERS = frozenset(
    (
        *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards", "route"),
        *("record-route", "allow", "supported", "k", "require", "user-agent", "server", "content-type", "c", "expires"),
        *("content-length", "l", "session-expires", "x", "min-se", "p-asserted-identity", "date", "accept"),
    )
)
_LENGTH = re.compile(r"\s*+[0-9]{1,5}+\s*+")

# §25.1: auth-param = token EQUAL ( token / quoted-string ), parted by COMMA; no escapes inside the quotes here.
# Groups are not possessive: before CPython 3.11.5 (gh-106052) one whose last turn fails half-way keeps what it read.
_AUTH_PARAM = r"""[A-Za-z0-9.!%*_+`'~-]++\s*+=\s*+(?:"[^"\\]*+"|[A-Za-z0-9.!%*_+`'~-]++)\s*+"""
_AUTH_VALUE = re.compile(rf"\s*+(?:Digest\s++)?{_AUTH_PARAM}(?:,\s*+{_AUTH_PARAM})*", re.IGNORECASE)
_AUTH_PARAM_PARTS = re.compile(r"""([A-Za-z0-9.!%*_+`'~-]++)(\s*+=\s*+)("[^"\\]*+"|[A-Za-z0-9.!%*_+`'~-]++)""")
_AUTH_SHOWN = frozenset(("username", "realm", "uri", "algorithm", "qop", "nc", "stale", "domain"))

_URI_PASSWORD = re.compile(r"([sS][iI][pP][sS]?:[^\s:@;<>\"]++:)([^\s:@<>\"]++)(?=@)")
_URI_HEADER = re.compile(
    r"(?<![a-z])((?:user-to-user|(?:proxy-)?authorization|body)\s*=\s*)([^\s&<>;,\"]++)", re.IGNORECASE
)
_NAMES = (
    "user-to",
    "authorization",
    "body",
    "inline",
    "signal",
    "digit",
    "dtmf",
    "cvv",
    "cvc",
    "card",
    "code",
    "account",
)
"In small letters, a piece of every name that _URI_HEADER, _KEY_TO_LINE_END and _NAMED know."
_KEY_TO_LINE_END = re.compile(r"(inline\s*+:)(.++)", re.IGNORECASE | re.DOTALL)

_SDP_LINE_END = re.compile(r"\r\n?+|\n")
_SDP_LINE = re.compile(r"([a-z])=(.*+)", re.DOTALL)
_PLAIN_ATTRIBUTES = frozenset(
    ("rtpmap", "fmtp", "ptime", "maxptime", "sendrecv", "sendonly", "recvonly", "inactive", "rtcp", "rtcp-mux", "ssrc")
)
_SDP_SECRET = re.compile(r"\s*+[a-z0-9_.-]*?(?:crypt|key|pwd|pass|secret|token)", re.IGNORECASE)
_SUITE = re.compile(r"\s*+crypto:[0-9]{1,9}+[ \t]++[A-Za-z0-9_]++[ \t]", re.IGNORECASE)
_LEAST_MATERIAL = 38  # characters of Base64: those of the shortest SDES key, 28 octets
_KEY_MATERIAL = re.compile(rf"[A-Za-z0-9+/=_-]{{{_LEAST_MATERIAL},}}+")
_SIPFRAG = re.compile(r"SIP/2\.0 [1-6][0-9]{2}(?=[ \r\n]|$)")
_SPREAD = re.compile(r"[0-9](?:(?:[ \t\r\n.()/,_\x00\x80-\xff-]|%20|%2[dD])*+(?:%3)?[0-9]){11,}+")
_SPREAD_DIGIT = re.compile(r"((?:%3)?[0-9])((?:[ \t\r\n.()/,_\x00\x80-\xff-]|%20|%2[dD])*+)")
_MOST_SPREAD = 64
"Digits in a row, however parted, above which all of them are masked unread: two or three card numbers."

_BLACK = {code: 0x2A for code in range(256) if chr(code) not in " \t\r\n*"}
_WHOLE = dict.fromkeys(range(256), 0x2A)


def redact_sip(data: bytes) -> bytes:
    """Return a SIP message of the same length with everything masked that is, or could be, a secret.

    Takes any octets, never raises, takes linear time; redacting twice changes nothing more.
    """
    text = data.decode("latin-1")  # one character for each octet
    begin = len(text) - len(text.lstrip("\r\n"))
    end = _END_OF_HEAD.search(text, begin)
    at = len(text) if end is None else end.start()
    names = _may_name(text)
    head, kind = _redact_head(text[begin:at], names=names)
    rest = "" if end is None else text[at : end.end()] + _redact_body(text[end.end() :], kind, names=names)
    return (text[:begin] + head + rest).encode("latin-1")


def _redact_head(head: str, *, names: bool) -> tuple[str, str]:
    """Return the start line and headers without secrets, and the type of the body: empty where it must go whole."""
    pieces: list[str] = []
    kind: str | None = None
    shown = True
    start = 0
    for match in _LINE_END.finditer(head):
        pieces += (head[start : match.start()], match[0])
        start = match.end()
    pieces.append(head[start:])
    method = _REQUEST_METHOD.match(pieces[0])
    if method is not None and method[1].upper() == "INFO":
        shown = False
    for index in range(2, len(pieces), 2):
        line = pieces[index]
        header = _HEADER.match(line)
        if header is None:
            pieces[index] = line.translate(_BLACK)
            continue
        name, value_at = header[1].lower(), header.end()
        value = line[value_at:]
        if name in ("content-type", "c"):
            this = value.partition(";")[0].strip().lower()
            kind = this if kind in (None, this) else ""
        elif name in ("content-encoding", "e"):
            shown = shown and value.strip().lower() in ("", "identity")
        elif name == "cseq":
            shown = shown and "info" not in value.lower()
        if name in _CREDENTIALS:
            pieces[index] = line[:value_at] + _redact_credentials(value, names=names)
        elif name in _SECRET_HEADERS or (name not in _PLAIN_HEADERS and _SECRET_BY_NAME.search(name)):
            pieces[index] = line[:value_at] + value.translate(_BLACK)
        elif name in ("content-length", "l") and _LENGTH.fullmatch(value):
            continue
        else:
            pieces[index] = _redact_line(line, names=names)
    pieces[0] = _redact_line(pieces[0], names=names)
    return _mask_spread("".join(pieces)), (kind or "") if shown else ""


def _redact_line(line: str, *, names: bool) -> str:
    """Mask in a start line, a header or a line of SDP what names itself a secret."""
    if "@" in line:
        line = _URI_PASSWORD.sub(_mask_second, line)
    if names and _may_name(line):
        line = _URI_HEADER.sub(_mask_second, line)
        line = _KEY_TO_LINE_END.sub(_mask_second, line)
        line = _NAMED.sub(_mask_named, line)
    return line


def _may_name(text: str) -> bool:
    """Return whether the patterns that know names can match: asked first, of the message and of each line."""
    lower = text.lower()
    return any(word in lower for word in _NAMES)


def _mask_second(match: re.Match[str]) -> str:
    return match[1] + match[2].translate(_BLACK)


def _redact_credentials(value: str, *, names: bool) -> str:
    if _AUTH_VALUE.fullmatch(value) is None or _redact_line(value, names=names) != value:
        return value.translate(_BLACK)
    return _AUTH_PARAM_PARTS.sub(_mask_auth_param, value)


def _mask_auth_param(match: re.Match[str]) -> str:
    name, equals, value = match.groups()
    if name.lower() in _AUTH_SHOWN:
        return match[0]
    if value[0] == '"':
        return f'{name}{equals}"{value[1:-1].translate(_BLACK)}"'
    return name + equals + value.translate(_BLACK)


def _redact_body(body: str, kind: str, *, names: bool) -> str:
    if kind == "application/sdp":
        pieces: list[str] = []
        start = 0
        for match in _SDP_LINE_END.finditer(body):
            pieces += (_redact_sdp_line(body[start : match.start()], names=names), match[0])
            start = match.end()
        pieces.append(_redact_sdp_line(body[start:], names=names))
        return _mask_spread("".join(pieces))
    if kind == "message/sipfrag" and (status := _SIPFRAG.match(body)):
        return status[0] + body[status.end() :].translate(_BLACK)
    return body.translate(_WHOLE)


def _redact_sdp_line(line: str, *, names: bool) -> str:
    match = _SDP_LINE.fullmatch(line)
    if match is None:
        return line.translate(_BLACK)
    kind, value = match.groups()
    if kind == "k":
        return "k=" + value.translate(_BLACK)
    if kind == "a" and value.partition(":")[0] not in _PLAIN_ATTRIBUTES:
        if suite := _SUITE.match(value):
            return "a=" + suite[0] + value[suite.end() :].translate(_BLACK)
        if secret := _SDP_SECRET.match(value):
            return "a=" + secret[0] + value[secret.end() :].translate(_BLACK)
    value = _redact_line(value, names=names)
    return kind + "=" + (value if len(value) < _LEAST_MATERIAL else _KEY_MATERIAL.sub(_mask_all, value))


def _mask_all(match: re.Match[str]) -> str:
    return match[0].translate(_BLACK)


def _mask_spread(text: str) -> str:
    return _SPREAD.sub(_mask_spread_run, text)


def _mask_spread_run(match: re.Match[str]) -> str:
    """Mask the card numbers of a run of digits that anything may part."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    skipped = "3" if before == "%" and match[0][0] == "3" else ""  # of an escaped digit, %34
    pieces = [(part[1], part[2]) for part in _SPREAD_DIGIT.finditer(match[0], len(skipped))]
    if len(pieces) > _MOST_SPREAD:
        return skipped + "".join("*" * len(digit) + gap for digit, gap in pieces)
    plain: list[str] = []
    places: list[int] = []  # of each character of the plain text, the piece it stands for
    for index, (digit, gap) in enumerate(pieces):
        plain.append(digit[-1])
        places.append(index)
        if gap and index + 1 < len(pieces):
            plain.append(" ")
            places.append(index)
    run = "".join(plain)
    groups = [(group.start(), group.end()) for group in _GROUP.finditer(run)]
    hidden: set[int] = set()
    for start, end, _ in _numbers(run, groups, inside_word=False):
        hidden.update(places[start:end])
    return skipped + "".join(
        ("*" * len(digit) if index in hidden else digit) + gap for index, (digit, gap) in enumerate(pieces)
    )
