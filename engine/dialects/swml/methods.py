"""A SWML document as data (`dialects.md` §3.1, §3.6).

`Document` is what was read and checked as far as it can be without the values of variables. The argument of a step is
kept as written; when its turn comes, variables are put in and ``engine.dialects.swml.arguments`` makes one of the
classes below of it. Nested blocks (``then``, ``case``, ``on_return`` ...) are steps as well, checked beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.dialects.signalwire.devices import Devices
from engine.dialects.signalwire.digits import DigitRules
from engine.dialects.spoken import Spoken

__all__ = (
    "Answer",
    "Arguments",
    "Branch",
    "Connect",
    "Document",
    "Execute",
    "Goto",
    "Hangup",
    "Label",
    "Pay",
    "Play",
    "Prompt",
    "Record",
    "RecordCall",
    "Request",
    "Return",
    "Section",
    "SendDigits",
    "Set",
    "SipRefer",
    "Sleep",
    "Step",
    "StopRecordCall",
    "Switch",
    "Transfer",
    "Unset",
    "UserEvent",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: a method and its argument as written."""

    method: str
    argument: Any = field(repr=False)
    "What stands behind the method's name: plain data (None, bool, int, float, str, list, dict)."
    path: str
    "Where it stands, such as ``sections.main[2].cond[0].then[1].play``."
    blocks: Mapping[str, Section] = field(default_factory=dict, repr=False)
    """Nested steps by where they stand in the argument: ``[0].then`` and ``[0].else`` of a cond, ``case.VALUE`` and
    ``default`` of a switch, ``on_return``, ``result.case.VALUE``, ``result.default``, ``result[0].then`` ..."""


Section = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document."""

    sections: Mapping[str, Section]


# -- arguments, once variables are put in; a method without a class of its own here is told in its comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``answer``."""

    max_duration_s: float = 14400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup:
    """``hangup``."""

    reason: Literal["hangup", "busy", "decline"] = "hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """``play``."""

    items: tuple[Spoken, ...]
    volume_db: float = 0.0
    auto_answer: bool = True
    status_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """``prompt``."""

    items: tuple[Spoken, ...]
    digits: DigitRules
    volume_db: float = 0.0
    wants_speech: bool = False
    "Whether any ``speech_*`` was given: speech is not recognised here, keys are taken all the same."
    status_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """``record``: until silence, a terminator or the limit; and what `RecordCall` begins beside the document."""

    stereo: bool = False
    format: Literal["wav", "mp3", "mp4"] = "wav"
    direction: Literal["speak", "listen", "both"] = "speak"
    terminators: str = "#"
    beep: bool = False
    input_sensitivity: float = 44.0
    initial_timeout_s: float = 4.0
    end_silence_timeout_s: float = 5.0
    max_length_s: float = 0.0
    "0: the engine's limit."
    status_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCall:
    """``record_call``."""

    record: Record
    control_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRecordCall:
    """``stop_record_call``; an empty ``control_id`` means the last one that was begun."""

    control_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDigits:
    """``send_digits``."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One item of a ``cond``, or of ``result``: ``when`` is empty of the last ``else``."""

    when: str
    then: Section
    otherwise: Section = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """``switch``, or ``result`` as one; an empty ``variable`` means the one that the method set (``return_value``)."""

    variable: str
    cases: Mapping[str, Section]
    default: Section | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """``connect``."""

    devices: Devices
    ringback: tuple[Spoken, ...] = ()
    max_duration_s: float = 14400.0
    answer_on_bridge: bool = False
    call_state_url: str = field(default="", repr=False)
    call_state_events: tuple[str, ...] = ("ended",)
    transfer_after_bridge: str = field(default="", repr=False)
    result: Switch | tuple[Branch, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """``label``."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto:
    """``goto``."""

    label: str
    when: str = ""
    max: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """``execute``."""

    dest: str = field(repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)
    on_return: Section = ()
    result: Switch | tuple[Branch, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """``return``."""

    value: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """``transfer``."""

    dest: str = field(repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """``set``: names, perhaps with dots, and values."""

    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unset:
    """``unset``."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """``sleep``; ``math.inf`` for -1."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``request``."""

    url: str = field(repr=False)
    method: Literal["GET", "POST", "PUT", "DELETE"]
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: str | Mapping[str, Any] | None = field(default=None, repr=False)
    "A mapping goes as JSON."
    timeout_s: float = 0.0
    "0: the engine's limit."
    save_variables: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SipRefer:
    """``sip_refer``."""

    to_uri: str = field(repr=False)
    status_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """``user_event``."""

    event: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """``pay``: properties as written, variables put in; ``engine.dialects.signalwire.pay`` makes an order of them."""

    properties: Mapping[str, Any] = field(repr=False)


Arguments = (
    Answer
    | Hangup
    | Play
    | Prompt
    | Record
    | RecordCall
    | StopRecordCall
    | SendDigits
    | tuple[Branch, ...]
    | Switch
    | Connect
    | Label
    | Goto
    | Execute
    | Return
    | Transfer
    | Set
    | Unset
    | Sleep
    | Request
    | SipRefer
    | UserEvent
    | Pay
)
"What a step asks for; a tuple of `Branch` is a ``cond``."
