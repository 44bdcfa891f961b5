"""A TwiML document as data: one class a verb, attributes checked and with their defaults (`dialects.md` §4.1, §4.6).

Only ``Pay`` and its prompts keep their attributes as written: ``engine.dialects.twiml.pay`` makes a payment's order of
them, with the vendor's error codes. URLs are as written, perhaps relative to where the document came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.dialects.spoken import Pause, Play, Say

__all__ = (
    "Client",
    "Conference",
    "Dial",
    "DialQueue",
    "Document",
    "Enqueue",
    "Gather",
    "Hangup",
    "Leave",
    "Method",
    "Noun",
    "Number",
    "Pause",
    "Pay",
    "PayPrompt",
    "Play",
    "Record",
    "Redirect",
    "Reject",
    "Say",
    "Sip",
    "Spoken",
    "Verb",
)

Method = Literal["GET", "POST"]
Spoken = Say | Play | Pause
"What a document can have said in a row."


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Collect keys."""

    action: str = ""
    "Empty: the URL of the document."
    method: Method = "POST"
    timeout_s: float = 5.0
    "Silence after what is spoken, and between two keys."
    num_digits: int | None = None
    finish_on_key: str = "#"
    "Some of 0-9 * #; empty: none does."
    action_on_empty_result: bool = False
    barge_in: bool = True
    spoken: tuple[Spoken, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Go on with another document."""

    url: str
    method: Method = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Refuse a call in; only the first verb of the first document can."""

    reason: Literal["rejected", "busy"] = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Record the caller."""

    action: str = ""
    method: Method = "POST"
    timeout_s: float = 5.0
    "Silence that ends it."
    finish_on_key: str = "1234567890*#"
    max_length_s: int = 3600
    play_beep: bool = True
    trim: bool = True
    "Whether silence at both ends is cut off."
    status_callback: str = ""
    status_method: Method = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """Somebody to be called: what `Number`, `Sip` and `Client` have in common."""

    url: str = ""
    "Document that the called side hears before both are connected."
    method: Method = "POST"
    status_callback: str = ""
    status_method: Method = "POST"
    status_events: tuple[str, ...] = ("completed",)
    "initiated, ringing, answered, completed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Noun):
    """A telephone number, by the gateway of ``[outbound]``."""

    number: str
    send_digits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sip(Noun):
    """A SIP URI."""

    uri: str
    "X- headers may stand in its query, as the vendor has it: ``sip:a@b?x-name=value``."
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(Noun):
    """Somebody by name, at ``[twilio] client_uri``."""

    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conference:
    """A room where calls meet."""

    name: str
    muted: bool = False
    start_on_enter: bool = True
    end_on_exit: bool = False
    max_participants: int = 250
    beep: Literal["true", "false", "onEnter", "onExit"] = "true"
    wait_url: str | None = None
    "None: the default music; empty: silence."
    wait_method: Method = "POST"
    record: bool = False
    recording_callback: str = ""
    recording_method: Method = "POST"
    status_callback: str = ""
    status_method: Method = "POST"
    status_events: tuple[str, ...] = ()
    "start, end, join, leave, mute, hold, modify, speaker, announcement."


@dataclass(frozen=True, slots=True, kw_only=True)
class DialQueue:
    """``<Queue>`` in a `Dial`: the caller who has waited longest behind an `Enqueue` of that name."""

    name: str
    url: str = ""
    "Document that the waiting caller hears before both are connected."
    method: Method = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """Connect the caller with somebody else."""

    nouns: tuple[Number | Sip | Client, ...] = ()
    "All are called at once; the first who answers is connected."
    conference: Conference | None = None
    queue: DialQueue | None = None
    "Of ``nouns``, ``conference`` and ``queue`` one is there."
    action: str = ""
    "Empty: the next verb follows."
    method: Method = "POST"
    timeout_s: float = 30.0
    hangup_on_star: bool = False
    time_limit_s: int = 14400
    caller_id: str = ""
    record: str = "do-not-record"
    "... record-from-answer, record-from-ringing, each also with -dual."
    answer_on_bridge: bool = False
    ring_tone: str = ""
    "Country code such as ``us``; empty: that of the engine's default."
    status_callback: str = ""
    "Of its recording (``recordingStatusCallback``)."
    status_method: Method = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    """Let the caller wait, with music, until somebody takes the call or it leaves."""

    name: str
    action: str = ""
    method: Method = "POST"
    wait_url: str | None = None
    wait_method: Method = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Leave the queue: go on behind the `Enqueue`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayPrompt:
    """``<Prompt>``: attributes as written, and what is heard."""

    attributes: Mapping[str, str]
    spoken: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """``<Pay>``: attributes as written."""

    attributes: Mapping[str, str]
    prompts: tuple[PayPrompt, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    "Name and value of each ``<Parameter>``."
    line: int = 0
    "Where it stands in the document, for warnings."


Verb = Say | Play | Pause | Gather | Redirect | Hangup | Reject | Record | Dial | Enqueue | Leave | Pay


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that can be run."""

    verbs: tuple[Verb, ...]
    warnings: tuple[str, ...] = ()
    "What was passed over, each with line and remedy (12200)."
