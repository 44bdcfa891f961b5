"""An NCCO as data (`dialects.md` §6.1, §6.3): what ``engine.dialects.ncco.reading`` makes of the JSON.

Everything was checked and has its default; URLs are as written, numbers without blanks. Speech is not recognised here,
and of endpoints those that are no telephone are refused by the reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = (
    "Connect",
    "Conversation",
    "Endpoint",
    "EventTarget",
    "Input",
    "Ncco",
    "NccoAction",
    "Notify",
    "Pay",
    "Record",
    "Stream",
    "Talk",
    "Wait",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTarget:
    """Where something is told."""

    url: str = field(repr=False)
    "As written; a relative one is resolved against where the NCCO came from."
    method: Literal["GET", "POST"] = "POST"
    "GET: what is told is the query."


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """``talk``: speak a text."""

    text: str = field(repr=False)
    "Plain text, or an SSML document (``<speak>...</speak>``)."
    language: str = "en-US"
    style: int = 0
    loop: int = 1
    "0: until something else happens."
    level: float = 0.0
    "-1 to 1."
    barge_in: bool = False
    "As written: the interpreter knows that it stays on until an `Input`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """``stream``: play an audio file."""

    url: str = field(repr=False)
    loop: int = 1
    level: float = 0.0
    barge_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """``input``: collect keys."""

    timeout_s: float = 3.0
    "Silence that ends it, at most 10; from the end of what plays, and after each key."
    max_digits: int = 4
    "At most 20."
    submit_on_hash: bool = False
    wants_speech: bool = False
    "Speech was asked for beside keys: nobody listens, and the event says so with an empty ``speech``."
    is_old: bool = False
    "Written without ``type``, as before there was speech: its event has ``dtmf`` as text, beside ``timed_out``."
    event: EventTarget | None = None
    "None: the application's event URL."


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """``record``: record the call beside what follows, until something ends it."""

    format: Literal["mp3", "wav", "ogg"] = "mp3"
    split: bool = False
    "``conversation``: who is on the call, and what they hear, on channels of their own."
    channels: int = 1
    end_on_silence_s: float = 0.0
    "3 to 10; 0: not."
    end_on_key: str = ""
    timeout_s: float = 0.0
    "Longest, 3 to 7200 seconds; 0: until the call ends."
    beep_start: bool = False
    event: EventTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """``conversation``: meet others under a name, within one application."""

    name: str
    music_on_hold: str = field(default="", repr=False)
    "URL of what is heard until it begins."
    start_on_enter: bool = True
    end_on_exit: bool = False
    record: bool = False
    mute: bool = False
    can_speak: tuple[str, ...] | None = None
    "Who hears this one, by ``uuid``; None: everybody."
    can_hear: tuple[str, ...] | None = None
    "Whom this one hears; None: everybody."
    event: EventTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Whom `Connect`, or a call by the Voice API, calls."""

    type: Literal["phone", "sip", "vbc"]
    to: str = field(repr=False)
    "A number, a ``sip:`` or ``sips:`` URI, or an extension of the PBX."
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    "Sent with the INVITE as X- headers; names without the ``X-``."
    dtmf_answer: str = field(default="", repr=False)
    "Keyed when it is answered: 0-9 * #, and ``p`` for half a second."
    on_answer_url: str = field(default="", repr=False)
    "NCCO that the called side hears before it is connected; empty: none."
    ringback_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """``connect``: call somebody and let both hear each other."""

    endpoint: Endpoint
    caller: str = field(default="", repr=False)
    "Who is seen to call; empty: the application's number, else who calls here."
    timeout_s: float = 60.0
    "How long it may ring."
    limit_s: float = 7200.0
    "How long the two may talk."
    synchronous: bool = False
    "Whether the answer to an event replaces the NCCO (``eventType``)."
    ringback_url: str = field(default="", repr=False)
    event: EventTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """``notify``: tell the application something of its own; its answer may replace the NCCO."""

    payload: Mapping[str, Any] = field(repr=False)
    event: EventTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """``wait``: be silent for a while."""

    timeout_s: float = 10.0
    "0.1 to 7200."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """``pay``: its members are judged by ``engine.dialects.ncco.pay`` when its turn comes, and when it is read."""

    properties: Mapping[str, Any] = field(repr=False)
    "As written, without ``action``, ``eventUrl`` and ``eventMethod``."
    event: EventTarget | None = None


NccoAction = Talk | Stream | Input | Record | Conversation | Connect | Notify | Wait | Pay
Ncco = tuple[NccoAction, ...]
"Actions in their order; when the last one is over, so is the call."
