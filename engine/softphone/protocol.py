"""The softphone's line protocol: commands in, events out, one JSON object a line.

The softphone is a process of its own (`engine.softphone.__main__`). Commands come on its standard input, so that the
keys of a card never stand in a process list; events go to its standard output. No event, error or ``repr`` holds a key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, get_type_hints

from engine.errors import SoftphoneError

__all__ = (
    "MAX_LINE_BYTES",
    "Answer",
    "Call",
    "CallState",
    "Command",
    "Event",
    "Failure",
    "HangUp",
    "Hold",
    "Incoming",
    "KeyMode",
    "Keys",
    "KeysDone",
    "Media",
    "Play",
    "PlayDone",
    "Quit",
    "Ready",
    "Record",
    "Register",
    "Registered",
    "Sound",
    "SoundState",
    "State",
    "Unhold",
    "Unregister",
    "decode_command",
    "decode_event",
    "encode",
)

MAX_LINE_BYTES = 65_536
"Longest line either side takes; the longest command (a URI and a password) stays far below."
MAX_KEYS = 256
KEYS = frozenset("0123456789*#ABCD")
MIN_KEY_MS, MAX_KEY_MS = 10, 10_000


class KeyMode(StrEnum):
    """How a key travels."""

    IN_BAND = "in-band"  # as two tones in the audio
    TELEPHONE_EVENT = "telephone-event"  # RFC 4733
    INFO = "info"  # SIP INFO, application/dtmf-relay


class CallState(StrEnum):
    """Where a call stands; the order is the order of a call's life."""

    CALLING = "calling"
    INCOMING = "incoming"
    EARLY = "early"
    CONFIRMED = "confirmed"
    DISCONNECTED = "disconnected"


class SoundState(StrEnum):
    """Whether the other end is heard: a prompt began, or it was quiet for long enough that it ended."""

    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Register at a registrar with digest credentials; later calls use that account."""

    NAME: ClassVar[str] = "register"
    registrar: str
    "SIP URI, such as ``sip:192.0.2.1:5060``."
    username: str
    password: str = field(repr=False)
    expires_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister:
    """Take the registration back."""

    NAME: ClassVar[str] = "unregister"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Call a SIP URI."""

    NAME: ClassVar[str] = "call"
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer the ringing call; a status from 300 on refuses it."""

    NAME: ClassVar[str] = "answer"
    call: int = 0
    "Number of the call; 0 is the latest."
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Press keys one after the other; ``keys-done`` follows once the last one is out."""

    NAME: ClassVar[str] = "keys"
    keys: str = field(repr=False)
    mode: KeyMode = KeyMode.TELEPHONE_EVENT
    on_ms: int = 80
    off_ms: int = 80
    call: int = 0

    def __post_init__(self) -> None:
        # The message must not repeat what was keyed.
        if not self.keys or len(self.keys) > MAX_KEYS or not KEYS.issuperset(self.keys):
            raise SoftphoneError(f"keys must be 1 to {MAX_KEYS} of 0-9, *, #, A-D")
        if not (MIN_KEY_MS <= self.on_ms <= MAX_KEY_MS and MIN_KEY_MS <= self.off_ms <= MAX_KEY_MS):
            raise SoftphoneError(f"on_ms and off_ms must be {MIN_KEY_MS} to {MAX_KEY_MS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Play a mono WAV file (8 kHz, 16 bit) to the other end, once; ``play-done`` follows."""

    NAME: ClassVar[str] = "play"
    file: str
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Write what the call hears to a WAV file; before a call it applies to the next one. Complete at its end."""

    NAME: ClassVar[str] = "record"
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Put the call on hold (re-INVITE, sendonly or inactive)."""

    NAME: ClassVar[str] = "hold"
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhold:
    """Take the call off hold."""

    NAME: ClassVar[str] = "unhold"
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End the call: BYE, CANCEL or a refusal, whatever its state asks for."""

    NAME: ClassVar[str] = "hangup"
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit:
    """End all calls and the process. The end of standard input means the same."""

    NAME: ClassVar[str] = "quit"


Command = Register | Unregister | Call | Answer | Keys | Play | Record | Hold | Unhold | HangUp | Quit


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The softphone listens; always the first event."""

    NAME: ClassVar[str] = "ready"
    sip_port: int
    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Somebody calls."""

    NAME: ClassVar[str] = "incoming"
    call: int
    from_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A call changed its state; ``disconnected`` is its last event."""

    NAME: ClassVar[str] = "state"
    call: int
    state: CallState
    status: int = 0
    "SIP status that led here, 0 when there is none."
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The call's audio changed: flowing or not (held, not yet negotiated)."""

    NAME: ClassVar[str] = "media"
    call: int
    active: bool
    codec: str = ""
    srtp: str = ""
    "Crypto suite; empty for plain RTP."


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registration succeeded, failed or ended."""

    NAME: ClassVar[str] = "registered"
    registered: bool
    status: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysDone:
    """A ``keys`` command ended; not ``completed`` when the call ended first."""

    NAME: ClassVar[str] = "keys-done"
    call: int
    completed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayDone:
    """A file was played to its end."""

    NAME: ClassVar[str] = "play-done"
    call: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The other end began to be heard, or fell silent."""

    NAME: ClassVar[str] = "sound"
    call: int
    state: SoundState


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A command could not be carried out."""

    NAME: ClassVar[str] = "error"
    message: str
    command: str = ""
    "Name of the command that failed, empty when it could not be read."


Event = Ready | Incoming | State | Media | Registered | KeysDone | PlayDone | Sound | Failure

_COMMANDS: Mapping[str, type[Command]] = {
    kind.NAME: kind for kind in (Register, Unregister, Call, Answer, Keys, Play, Record, Hold, Unhold, HangUp, Quit)
}
_EVENTS: Mapping[str, type[Event]] = {
    kind.NAME: kind for kind in (Ready, Incoming, State, Media, Registered, KeysDone, PlayDone, Sound, Failure)
}


def encode(message: Command | Event) -> bytes:
    """Return the message as one line, newline included."""
    verb = "event" if message.NAME in _EVENTS else "do"
    body: dict[str, Any] = {verb: message.NAME}
    body.update((spec.name, getattr(message, spec.name)) for spec in fields(message))
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def decode_command(line: bytes) -> Command:
    """Read one command; raises `SoftphoneError`, whose message names the field and never the content."""
    command: Command = _decode(line, "do", _COMMANDS)
    return command


def decode_event(line: bytes) -> Event:
    """Read one event; raises `SoftphoneError`."""
    event: Event = _decode(line, "event", _EVENTS)
    return event


def _decode(line: bytes, verb: str, kinds: Mapping[str, Any]) -> Any:
    try:
        # RecursionError: a deeply nested line is a ValueError's business here, not a crash.
        body = json.loads(line)
    except (ValueError, RecursionError):
        raise SoftphoneError("a line is one JSON object") from None
    if not isinstance(body, dict):
        raise SoftphoneError("a line is one JSON object")
    name = body.pop(verb, None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise SoftphoneError(f"'{verb}' must be one of {', '.join(sorted(kinds))}")
    hints = get_type_hints(kind)
    specs = {spec.name: spec for spec in fields(kind)}
    if unknown := sorted(set(body) - set(specs)):
        # Names of fields only: a value may be what was keyed.
        raise SoftphoneError(f"{kind.NAME}: {len(unknown)} unknown field(s); known are {', '.join(sorted(specs))}")
    values: dict[str, Any] = {}
    for key, spec in specs.items():
        if key in body:
            values[key] = _convert(body[key], hints[key], f"{kind.NAME}.{key}")
        elif spec.default is MISSING:
            raise SoftphoneError(f"{kind.NAME}.{key} is missing")
    return kind(**values)


def _convert(value: object, wanted: Any, where: str) -> object:
    """Return the JSON value as the field's type; a bool is no int here."""
    if issubclass(wanted, StrEnum):
        if isinstance(value, str) and value in tuple(wanted):
            return wanted(value)
        raise SoftphoneError(f"{where} must be one of {', '.join(wanted)}")
    if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return value
    raise SoftphoneError(f"{where} must be of type {wanted.__name__}")
