"""What a SWML document wants done on its call, as commands; what came of them are methods of the interpreter.

Laws: each command with a ``token`` is answered once, by the method that its docstring names, unless the interpreter has
cancelled it with `Stop`; tokens are unique within an interpreter, and one at most is open. `Finished` is the last
command. When the call has ended, what `Begin` began is not stopped but left to end by itself, as a payment at its
connector has to: nothing is told of it to the interpreter, which takes no harm when it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.dialects.commands import Stop, Wait
from engine.dialects.swml.errors import ScriptError
from engine.dialects.swml.methods import Connect, Pay, Play, Prompt, Record, RecordCall, Request, SipRefer

__all__ = (
    "AnswerCall",
    "Begin",
    "BeginRecordCall",
    "Command",
    "EndRecordCall",
    "FetchDocument",
    "Finished",
    "KeyDigits",
    "Outcome",
    "Reason",
    "SendUserEvent",
    "Source",
    "Stop",
    "Wait",
    "Warn",
    "Work",
)

Work = Play | Prompt | Record | Connect | Pay | Request | SipRefer
Reason = Literal["", "hangup", "busy", "decline", "error", "hung-up"]
"Empty: the document has come to its end; ``hangup``, ``busy`` and ``decline`` are what it says in its ``hangup``."
Outcome = Mapping[str, Any]
"Variables that a method sets (``pay_result``, ``prompt_value`` ...), plain data."


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the first document is: fetched from ``url``, or ``text`` as it came."""

    url: str = field(default="", repr=False)
    "Absolute; what the document names is relative to it. With a ``text`` only that."
    text: str = field(default="", repr=False)
    content_type: str = ""
    "Of ``text``; empty: JSON or YAML, by what it looks like."
    fallback_url: str = field(default="", repr=False)
    "Asked once, when the first document cannot be had or read; empty: there is none."


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchDocument:
    """Request a document: ``fetched`` or ``fetch_failed``. The body is what `dialects.md` §3.1 says."""

    token: int
    url: str = field(repr=False)
    "Absolute."
    vars: Mapping[str, Any] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCall:
    """Answer the call if it still rings; ``answered`` of the interpreter tells when it is up.

    Of a call that is up it only sets ``max_duration_s``, and nothing waits for it.
    """

    max_duration_s: float | None = None
    "From its answer on; None: as it was."


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Do something that takes time: ``ended``, with the variables that it sets."""

    token: int
    work: Work
    base_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRecordCall:
    """Begin a recording beside the document; what is known of it at once comes by ``set_variables``."""

    record: RecordCall


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRecordCall:
    """End one; an empty ``control_id`` means the last one."""

    control_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDigits:
    """Key digits towards the far end: ``ended`` when they are through."""

    token: int
    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendUserEvent:
    """Tell an event of the application's own to whoever watches the call."""

    event: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Something is wrong with the document, which goes on, or ends with `Finished`; may be logged as it is."""

    code: ScriptError
    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The document is over: the call is ended, or refused when it still rings."""

    reason: Reason


Command = (
    FetchDocument
    | AnswerCall
    | Begin
    | Wait
    | BeginRecordCall
    | EndRecordCall
    | KeyDigits
    | SendUserEvent
    | Warn
    | Stop
    | Finished
)
