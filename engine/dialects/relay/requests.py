"""What a RELAY client commands: ``calling.*`` requests, read and checked (`dialects.md` §2.3 to §2.5). Pure.

Laws:

- Everything is checked before anybody hears anything; what is wrong is a `RequestRefused` that names the parameter and
  repeats no value of it. Keys that are not known are passed over, as the vendor does.
- A number or a boolean may come as text (D-24), media and devices flat or with ``params`` (D-23).
- Parameters of ``calling.pay`` are not read here but by ``engine.dialects.signalwire.pay``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from engine.dialects.relay.media import read_devices, read_items, refer_target
from engine.dialects.relay.reading import BAD, UNSUPPORTED, Reader, RequestRefused
from engine.dialects.signalwire.devices import Devices
from engine.dialects.signalwire.digits import KEYS, DigitRules
from engine.dialects.spoken import Spoken
from engine.dialects.swml.methods import Record

__all__ = (
    "Answer",
    "Collect",
    "Command",
    "Connect",
    "Control",
    "Detect",
    "Dial",
    "Disconnect",
    "End",
    "Hold",
    "Pass",
    "Pay",
    "Play",
    "RecordAudio",
    "Refer",
    "RequestRefused",
    "SendDigits",
    "Transfer",
    "UserEvent",
    "read_command",
)

MAX_KEYS = 1000
MAX_DEST = 262_144
"Characters of ``dest``, which may be a document."
MAX_MINUTES = 1440
MAX_WAIT_S = 3600.0
VOLUME_DB = (-40.0, 40.0)
FINAL_REASONS = ("hangup", "busy", "decline", "cancel", "noAnswer", "error", "abandoned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``calling.answer``."""

    max_duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """``calling.end``."""

    reason: str = "hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """``calling.pass``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """``calling.play``."""

    control_id: str
    items: tuple[Spoken, ...]
    volume_db: float = 0.0
    loop: int = 1
    "How often; 0: without end."


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """``calling.collect``, and ``calling.play_and_collect`` when there are ``items``."""

    control_id: str
    rules: DigitRules
    items: tuple[Spoken, ...] = ()
    volume_db: float = 0.0
    tells_start: bool = False
    tells_partial: bool = False
    is_continuous: bool = False
    starts_timers: bool = True
    "False: the first key is waited for without limit until ``collect.start_input_timers``."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAudio:
    """``calling.record``."""

    control_id: str
    settings: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDigits:
    """``calling.send_digits``."""

    control_id: str
    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detect:
    """``calling.detect`` of keys."""

    control_id: str
    digits: str = KEYS
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """``calling.connect``."""

    devices: Devices
    ringback: tuple[Spoken, ...] = ()
    tag: str = ""
    max_duration_s: float = 14400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """``calling.disconnect``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """``calling.transfer``."""

    kind: Literal["url", "document", "app"]
    dest: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """``calling.hold`` and ``calling.unhold``."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refer:
    """``calling.refer``."""

    to: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """``calling.pay``: properties as they came."""

    control_id: str
    properties: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """``calling.user_event``."""

    event: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What is done to something that runs: ``calling.play.stop`` and the like."""

    kind: Literal["play", "collect", "record", "detect", "pay"]
    verb: Literal["stop", "pause", "resume", "volume", "start_input_timers"]
    control_id: str
    volume_db: float = 0.0
    is_skipped: bool = False
    "Of ``record.pause``: what is said meanwhile is left out, in place of silence."


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """``calling.dial``: about no call yet."""

    tag: str
    devices: Devices
    max_duration_s: float | None = None


Command = (
    Answer
    | End
    | Pass
    | Play
    | Collect
    | RecordAudio
    | SendDigits
    | Detect
    | Connect
    | Disconnect
    | Transfer
    | Hold
    | Refer
    | Pay
    | UserEvent
    | Control
    | Dial
)


def read_command(method: str, params: Mapping[str, Any]) -> Command:
    """Return what a request asks for; raise `RequestRefused`, code 501 for a method that is not carried out."""
    reader = Reader(params)
    if (read := _READERS.get(method)) is not None:
        return read(reader)
    if (control := _CONTROLS.get(method)) is not None:
        kind, verb = control
        return Control(
            kind=kind,
            verb=verb,
            control_id=_control_id(reader),
            volume_db=reader.number("volume", None, *VOLUME_DB) if verb == "volume" else 0.0,
            is_skipped=verb == "pause" and reader.choice("behavior", "silence", ("silence", "skip")) == "skip",
        )
    raise RequestRefused(UNSUPPORTED, "this method is not carried out here")


def _control_id(reader: Reader) -> str:
    return reader.text("control_id", None, 128)


def _answer(reader: Reader) -> Answer:
    return Answer(max_duration_s=_minutes(reader, None))


def _end(reader: Reader) -> End:
    reason = reader.text("reason", "hangup", 64)
    return End(reason=reason if reason in FINAL_REASONS else "hangup")


def _minutes(reader: Reader, default: float | None) -> float | None:
    """Return ``max_duration`` in seconds; 0 is no limit of its own."""
    minutes = reader.number("max_duration", 0.0, 0.0, MAX_MINUTES)
    return minutes * 60.0 if minutes else default


def _play(reader: Reader) -> Play:
    reader.choice("direction", "listen", ("listen",))
    return Play(
        control_id=_control_id(reader),
        items=read_items(reader, "play"),
        volume_db=reader.number("volume", 0.0, *VOLUME_DB),
        loop=reader.whole("loop", 1, 0, 1000),
    )


def _play_and_collect(reader: Reader) -> Collect:
    collect = reader.table("collect")
    return Collect(
        control_id=_control_id(reader),
        rules=_rules(collect),
        items=read_items(reader, "play"),
        volume_db=reader.number("volume", 0.0, *VOLUME_DB),
        tells_start=collect.flag("send_start_of_input", default=False),
        tells_partial=collect.flag("partial_results", default=False),
    )


def _collect(reader: Reader) -> Collect:
    return Collect(
        control_id=_control_id(reader),
        rules=_rules(reader),
        tells_start=reader.flag("send_start_of_input", default=False),
        tells_partial=reader.flag("partial_results", default=False),
        is_continuous=reader.flag("continuous", default=False),
        # The vendor names no default; without a limit an entry that nobody makes would never end.
        starts_timers=reader.flag("start_input_timers", default=True),
    )


def _rules(reader: Reader) -> DigitRules:
    if reader.has("speech") and not reader.has("digits"):
        raise RequestRefused(UNSUPPORTED, f"{reader.path('speech')}: speech is not recognised here, ask for digits")
    digits = reader.table("digits")
    return DigitRules(
        max_digits=digits.whole("max", MAX_KEYS if digits.has("terminators") else 1, 1, MAX_KEYS),
        terminators=digits.keys("terminators", "", KEYS, len(KEYS)),
        digit_timeout_s=digits.number("digit_timeout", 5.0, 0.1, MAX_WAIT_S),
        initial_timeout_s=reader.number("initial_timeout", 4.0, 0.0, MAX_WAIT_S) or math.inf,
    )


def _record(reader: Reader) -> RecordAudio:
    audio = reader.table("record", {}).table("audio", {})
    wanted = audio.choice("format", "wav", ("wav", "mp3", "mp4"))
    direction = audio.choice("direction", "speak", ("speak", "listen", "both"))
    return RecordAudio(
        control_id=_control_id(reader),
        settings=Record(
            stereo=audio.flag("stereo", default=False),
            format="mp3" if wanted == "mp3" else "mp4" if wanted == "mp4" else "wav",
            direction="both" if direction == "both" else "listen" if direction == "listen" else "speak",
            terminators=audio.keys("terminators", "#*", KEYS, len(KEYS)),
            beep=audio.flag("beep", default=False),
            input_sensitivity=audio.number("input_sensitivity", 44.0, 0.0, 100.0),
            initial_timeout_s=audio.number("initial_timeout", 5.0, 0.0, MAX_WAIT_S),
            end_silence_timeout_s=audio.number("end_silence_timeout", 1.0, 0.0, MAX_WAIT_S),
            max_length_s=audio.number("max_length", 0.0, 0.0, MAX_MINUTES * 60.0),
        ),
    )


def _send_digits(reader: Reader) -> SendDigits:
    digits = reader.keys("digits", None, KEYS + "W", MAX_KEYS)
    return SendDigits(control_id=_control_id(reader), digits=digits)


def _detect(reader: Reader) -> Detect:
    detect = reader.table("detect")
    kind = detect.text("type", None, 32)
    if kind != "digit":
        raise RequestRefused(UNSUPPORTED, "detect.type: only digit is detected here")
    wanted = detect.table("params", {})
    return Detect(
        control_id=_control_id(reader),
        digits=(wanted if wanted.has("digits") else detect).keys("digits", KEYS, KEYS, len(KEYS)) or KEYS,
        timeout_s=reader.number("timeout", 30.0, 0.1, MAX_WAIT_S),
    )


def _connect(reader: Reader) -> Connect:
    return Connect(
        devices=read_devices(reader, "devices"),
        ringback=read_items(reader, "ringback") if reader.has("ringback") else (),
        tag=reader.text("tag", "", 128),
        max_duration_s=_minutes(reader, 14400.0) or 14400.0,
    )


def _dial(reader: Reader) -> Dial:
    return Dial(
        tag=reader.text("tag", None, 128),
        devices=read_devices(reader, "devices"),
        max_duration_s=_minutes(reader, None),
    )


def _transfer(reader: Reader) -> Transfer:
    value = reader.value("dest")
    if isinstance(value, Mapping):
        raise RequestRefused(BAD, "dest: a document is given as text")
    dest = reader.text("dest", None, MAX_DEST, lines=True).strip()
    lower = dest[:8].lower()
    if lower.startswith(("https://", "http://")):
        return Transfer(kind="url", dest=dest)
    if lower.startswith(("sip:", "sips:", "tel:", "+")):
        raise RequestRefused(UNSUPPORTED, "dest: somebody else is called by connect; transfer takes a document")
    if dest.startswith("{") or "\n" in dest:
        return Transfer(kind="document", dest=dest)
    return Transfer(kind="app", dest=dest)


def _refer(reader: Reader) -> Refer:
    return Refer(to=refer_target(reader.table("device")))


def _pay(reader: Reader) -> Pay:
    passed = {name: value for name, value in reader.all() if name not in ("node_id", "call_id", "control_id")}
    return Pay(control_id=_control_id(reader), properties=passed)


def _user_event(reader: Reader) -> UserEvent:
    passed = {name: value for name, value in reader.all() if name not in ("node_id", "call_id")}
    return UserEvent(event=passed)


_READERS: Mapping[str, Callable[[Reader], Command]] = MappingProxyType(
    {
        "calling.answer": _answer,
        "calling.end": _end,
        "calling.pass": lambda reader: Pass(),
        "calling.play": _play,
        "calling.play_and_collect": _play_and_collect,
        "calling.collect": _collect,
        "calling.record": _record,
        "calling.send_digits": _send_digits,
        "calling.detect": _detect,
        "calling.connect": _connect,
        "calling.disconnect": lambda reader: Disconnect(),
        "calling.transfer": _transfer,
        "calling.hold": lambda reader: Hold(on=True),
        "calling.unhold": lambda reader: Hold(on=False),
        "calling.refer": _refer,
        "calling.pay": _pay,
        "calling.user_event": _user_event,
        "calling.dial": _dial,
    }
)
_Kind = Literal["play", "collect", "record", "detect", "pay"]
_Verb = Literal["stop", "pause", "resume", "volume", "start_input_timers"]
_CONTROLS: Mapping[str, tuple[_Kind, _Verb]] = MappingProxyType(
    {
        "calling.play.stop": ("play", "stop"),
        "calling.play.pause": ("play", "pause"),
        "calling.play.resume": ("play", "resume"),
        "calling.play.volume": ("play", "volume"),
        "calling.play_and_collect.stop": ("collect", "stop"),
        "calling.play_and_collect.volume": ("collect", "volume"),
        "calling.collect.stop": ("collect", "stop"),
        "calling.collect.start_input_timers": ("collect", "start_input_timers"),
        "calling.record.stop": ("record", "stop"),
        "calling.record.pause": ("record", "pause"),
        "calling.record.resume": ("record", "resume"),
        "calling.detect.stop": ("detect", "stop"),
        "calling.pay.stop": ("pay", "stop"),
    }
)
