"""Session descriptions (RFC 8866): parse, look into, change by ``dataclasses.replace``, serialize.

What is not understood survives a round trip: attributes of any name, bandwidths, the lines nobody uses any more.
Liberal in what costs nothing (LF line ends, a missing ``s=`` or ``t=``, blank lines); strict in ``o=``, ``c=`` and
``m=``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip.errors import LocalProtocolError, ParseError

__all__ = (
    "DIRECTIONS",
    "MAX_MEDIA",
    "MAX_SDP",
    "Connection",
    "MediaDescription",
    "Origin",
    "RtpMap",
    "SessionDescription",
    "parse",
)

MAX_SDP = 32768
"Octets. A WebRTC offer with all its candidates stays under 10,000."
MAX_MEDIA = 32
"m= lines; each one must be answered (RFC 3264 §6)."

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

Attributes = tuple[tuple[str, str | None], ...]

# §9: each line is <type>=<value>, no white space around "=". "m=" begins a media description.
_SESSION_TYPES = frozenset("vosiuepcbtrzkam")
_MEDIA_TYPES = frozenset("icbka")
_BEFORE_CONNECTION = frozenset("uep")  # of the lines that are only kept; the others (r, z, k) follow t=
# m=<media> <port>[/<number of ports>] <proto> <fmt> ...   A rejected stream without a format (port 0) is seen.
_MEDIA = re.compile(r"([!-~]++) ++([0-9]{1,5}+)(?:/([0-9]{1,5}+))? ++([!-~]++)((?: ++[!-~]++)*) *+")
_CONNECTION = re.compile(r"(IN) ++(IP4|IP6) ++([0-9A-Za-z.:\-_/]++) *+")
_RTPMAP = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`{|}~\-]++)/([0-9]{1,7}+)(?:/([0-9]{1,2}+))?")
_PORT = re.compile(r"[0-9]{1,5}+")
_MILLISECONDS = re.compile(r"([0-9]{1,4}+)(?:\.[0-9]*+)?")
# What holds keys: SDES (RFC 4568), under any name that a mistake may give it, and k= (RFC 8866 §5.12).
_KEYS = re.compile(r"((?:^a=crypto:|^k=|inline:)).*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The ``o=`` line. Ids stay text: they may be larger than any integer type (RFC 8866 §5.2)."""

    username: str = "-"
    session_id: str
    session_version: str
    address_type: str = "IP4"
    address: str

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.session_version} IN {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A ``c=`` line. ``address`` is without the TTL and count of a multicast address, which are kept in ``suffix``."""

    address_type: str = "IP4"
    address: str
    suffix: str = ""

    def __str__(self) -> str:
        return f"IN {self.address_type} {self.address}{self.suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpMap:
    """``a=rtpmap``: encoding name as written, clock rate in Hz, channels."""

    encoding: str
    rate_hz: int
    channels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaDescription:
    """One ``m=`` section."""

    media: str
    port: int
    "0 means that the stream is refused or switched off."
    port_count: int | None = None
    protocol: str = "RTP/AVP"
    formats: tuple[str, ...] = ()
    information: str | None = None
    connection: Connection | None = None
    "Its own c= line (the first one), None when the session's is meant."
    bandwidth: tuple[str, ...] = ()
    other: tuple[tuple[str, str], ...] = ()
    attributes: Attributes = ()

    def __repr__(self) -> str:
        return f"MediaDescription({_shown(_media_lines(self))})"

    def attribute(self, name: str) -> str | None:
        """Return the value of the first attribute of that name, ``""`` for a bare one, None when there is none."""
        return _attribute(self.attributes, name)

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of all attributes of that name, in their order."""
        return tuple(value for key, value in self.attributes if key == name and value is not None)

    def rtpmap(self, pt: int | str) -> RtpMap | None:
        """Return the mapping of a payload type; None when there is none or it is malformed."""
        value = self._of_format("rtpmap", pt)
        match = None if value is None else _RTPMAP.fullmatch(value)
        if match is None:
            return None
        encoding, rate_hz, channels = match.groups()
        return RtpMap(encoding=encoding, rate_hz=int(rate_hz), channels=int(channels or 1))

    def fmtp(self, pt: int | str) -> str | None:
        """Return the format parameters of a payload type, or None."""
        return self._of_format("fmtp", pt)

    def _of_format(self, name: str, pt: int | str) -> str | None:
        wanted = str(pt)
        for key, value in self.attributes:
            if key == name and value is not None:
                number, _, rest = value.partition(" ")
                if number == wanted:
                    return rest.strip()
        return None

    @property
    def direction(self) -> str | None:
        """The section's own direction attribute; None when the session's, or the default, is meant."""
        return _direction(self.attributes)

    @property
    def ptime_ms(self) -> int | None:
        """``a=ptime``: milliseconds of audio per packet that the describer wants to receive."""
        return _milliseconds(self.attribute("ptime"))

    @property
    def maxptime_ms(self) -> int | None:
        """``a=maxptime``: the most milliseconds per packet that the describer can receive."""
        return _milliseconds(self.attribute("maxptime"))

    @property
    def rtcp_mux(self) -> bool:
        """Whether RTCP may come to the RTP port (RFC 5761)."""
        return self.attribute("rtcp-mux") is not None

    @property
    def rtcp_port(self) -> int:
        """Where RTCP goes: ``a=rtcp`` (RFC 3605), else the port above RTP's; 0 when there is none."""
        value = self.attribute("rtcp")
        match = None if value is None else _PORT.match(value)
        if match is not None and int(match.group()) < 65536:
            return int(match.group())
        return self.port + 1 if 0 < self.port < 65535 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """A whole description."""

    version: int = 0
    origin: Origin
    session_name: str = "-"
    information: str | None = None
    connection: Connection | None = None
    bandwidth: tuple[str, ...] = ()
    times: tuple[str, ...] = ("0 0",)
    other: tuple[tuple[str, str], ...] = ()
    "u=, e=, p=, r=, z= and k= lines, as (type, value)."
    attributes: Attributes = ()
    media: tuple[MediaDescription, ...] = ()

    def __repr__(self) -> str:
        return f"SessionDescription({_shown(self._lines())})"

    def attribute(self, name: str) -> str | None:
        """Return the value of the first session-level attribute of that name, ``""`` for a bare one, or None."""
        return _attribute(self.attributes, name)

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return the section's connection, its own or the session's (§5.7)."""
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> str:
        """Return the section's direction: its own, the session's, or ``sendrecv`` (§6.7)."""
        return media.direction or _direction(self.attributes) or "sendrecv"

    def serialize(self) -> bytes:
        """Return the description in the order of RFC 8866 §5; raises LocalProtocolError for a line end in a value."""
        lines = self._lines()
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
            raise LocalProtocolError("line end inside a session description's value")
        return f"{text}\r\n".encode("utf-8", "surrogateescape")

    def _lines(self) -> list[str]:
        lines = [f"v={self.version}", f"o={self.origin}", f"s={self.session_name or ' '}"]
        if self.information is not None:
            lines.append(f"i={self.information}")
        lines += [f"{kind}={value}" for kind, value in self.other if kind in _BEFORE_CONNECTION]
        if self.connection is not None:
            lines.append(f"c={self.connection}")
        lines += [f"b={value}" for value in self.bandwidth]
        lines += [f"t={value}" for value in self.times]
        lines += [f"{kind}={value}" for kind, value in self.other if kind not in _BEFORE_CONNECTION]
        lines += _attribute_lines(self.attributes)
        for section in self.media:
            lines += _media_lines(section)
        return lines


def parse(data: bytes) -> SessionDescription:
    """Parse a session description; raises ParseError, ``where`` naming the line."""
    if len(data) > MAX_SDP:
        raise ParseError("too large", where="SDP", status_hint=413)
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").removesuffix("\r")
    session = _Section()
    sections: list[tuple[MediaDescription, _Section]] = []
    current = session
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip("\0 "):
            continue  # blank lines, and the NUL that some senders end the body with
        kind, value = line[0], line[2:]
        where = f"SDP line {number}"
        if line[1:2] != "=" or "\r" in line:
            raise ParseError("not type=value", where=where, section="RFC 8866 §5")
        where = f"{where} ({kind}=)" if kind in _SESSION_TYPES else where
        if session.version is None and kind != "v":
            raise ParseError("v= does not come first", where=where, section="RFC 8866 §5")
        if kind == "m":
            if len(sections) == MAX_MEDIA:
                raise ParseError("too many media descriptions", where=where)
            current = _Section()
            sections.append((_parse_media(value, where), current))
        elif kind in (_MEDIA_TYPES if sections else _SESSION_TYPES):
            current.take(kind, value, where)
        else:
            # §5: "SDP parsers MUST completely ignore any session description that contains a type letter that
            # [they do] not understand."
            raise ParseError("line type not allowed here", where=where, section="RFC 8866 §5")
    if session.version is None or session.origin is None:
        raise ParseError("v= or o= missing", where="SDP", section="RFC 8866 §5")
    return SessionDescription(
        version=session.version,
        origin=session.origin,
        session_name=session.session_name or "-",
        information=session.information,
        connection=session.connection,
        bandwidth=tuple(session.bandwidth),
        times=tuple(session.times) or ("0 0",),
        # In the order in which they are written, whatever order they came in.
        other=tuple(sorted(session.other, key=lambda line: line[0] not in _BEFORE_CONNECTION)),
        attributes=tuple(session.attributes),
        media=tuple(section.finish(media) for media, section in sections),
    )


class _Section:
    """The lines of the session or of one media description while they are read."""

    __slots__ = (
        "attributes",
        "bandwidth",
        "connection",
        "information",
        "origin",
        "other",
        "session_name",
        "times",
        "version",
    )

    def __init__(self) -> None:
        self.version: int | None = None
        self.origin: Origin | None = None
        self.session_name = ""
        self.information: str | None = None
        self.connection: Connection | None = None
        self.bandwidth: list[str] = []
        self.times: list[str] = []
        self.other: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str | None]] = []

    def take(self, kind: str, value: str, where: str) -> None:
        if kind == "a":
            name, colon, rest = value.partition(":")
            if name:  # an attribute without a name means nothing, and is no reason to lose a call
                self.attributes.append((name, rest if colon else None))
        elif kind == "c":
            # Several c= lines in a section are layers of a multicast (§5.7): the first is the base layer.
            connection = _parse_connection(value, where)
            self.connection = self.connection or connection
        elif kind == "v":
            if self.version is not None or value.strip() != "0":
                raise ParseError("version is not 0", where=where, section="RFC 8866 §5.1")
            self.version = 0
        elif kind == "o":
            if self.origin is not None:
                raise ParseError("more than one", where=where, section="RFC 8866 §5.2")
            self.origin = _parse_origin(value, where)
        elif kind == "s":
            self.session_name = value.strip(" ")
        elif kind == "i":
            self.information = value
        elif kind == "b":
            self.bandwidth.append(value)
        elif kind == "t":
            self.times.append(value)
        else:
            self.other.append((kind, value))

    def finish(self, media: MediaDescription) -> MediaDescription:
        return MediaDescription(
            media=media.media,
            port=media.port,
            port_count=media.port_count,
            protocol=media.protocol,
            formats=media.formats,
            information=self.information,
            connection=self.connection,
            bandwidth=tuple(self.bandwidth),
            other=tuple(self.other),
            attributes=tuple(self.attributes),
        )


def _parse_origin(value: str, where: str) -> Origin:
    parts = value.split()
    if len(parts) != 6 or parts[3] != "IN":
        raise ParseError("malformed", where=where, section="RFC 8866 §5.2")
    username, session_id, session_version, _, address_type, address = parts
    return Origin(
        username=username,
        session_id=session_id,
        session_version=session_version,
        address_type=address_type,
        address=address,
    )


def _parse_connection(value: str, where: str) -> Connection:
    match = _CONNECTION.fullmatch(value)
    if match is None:
        raise ParseError("malformed", where=where, section="RFC 8866 §5.7")
    address, slash, suffix = match.group(3).partition("/")
    return Connection(address_type=match.group(2), address=address, suffix=slash + suffix)


def _parse_media(value: str, where: str) -> MediaDescription:
    match = _MEDIA.fullmatch(value)
    if match is None:
        raise ParseError("malformed", where=where, section="RFC 8866 §5.14")
    media, port, count, protocol, formats = match.groups()
    if int(port) > 65535 or (not formats and int(port) != 0):
        raise ParseError("port too large or no format", where=where, section="RFC 8866 §5.14")
    return MediaDescription(
        media=media,
        port=int(port),
        port_count=None if count is None else int(count),
        protocol=protocol,
        formats=tuple(formats.split()),
    )


def _media_lines(section: MediaDescription) -> list[str]:
    count = "" if section.port_count is None else f"/{section.port_count}"
    lines = [" ".join((f"m={section.media} {section.port}{count} {section.protocol}", *section.formats))]
    if section.information is not None:
        lines.append(f"i={section.information}")
    if section.connection is not None:
        lines.append(f"c={section.connection}")
    lines += [f"b={value}" for value in section.bandwidth]
    lines += [f"{kind}={value}" for kind, value in section.other]
    return lines + _attribute_lines(section.attributes)


def _shown(lines: list[str]) -> str:
    """Return the lines for a ``repr``: in one, without keys."""
    return "; ".join(ascii(_KEYS.sub(r"\1...", line))[1:-1] for line in lines)


def _attribute_lines(attributes: Attributes) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _attribute(attributes: Attributes, name: str) -> str | None:
    for key, value in attributes:
        if key == name:
            return "" if value is None else value
    return None


def _direction(attributes: Attributes) -> str | None:
    for name, value in attributes:
        if value is None and name in DIRECTIONS:
            return name
    return None


def _milliseconds(value: str | None) -> int | None:
    match = None if value is None else _MILLISECONDS.fullmatch(value.strip())
    return int(match.group(1)) if match else None
