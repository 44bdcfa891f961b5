"""What a TwiML document wants done on its call, as commands; what came of them are methods of the interpreter.

Laws: each command with a ``token`` is answered once by the method its docstring names, unless the interpreter has
cancelled it with `Stop` before; tokens are unique within an interpreter. `Finished` is the last command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.dialects.twiml.verbs import Dial, Enqueue, Method, Pay, Record, Spoken

__all__ = (
    "Answer",
    "Command",
    "DialOut",
    "Fetch",
    "Finished",
    "Parameters",
    "Queue",
    "Reason",
    "Reject",
    "Source",
    "Speak",
    "StartPay",
    "StartRecord",
    "Stop",
    "Warn",
)

Reason = Literal["", "hangup", "rejected", "leave", "hung-up", "error", "loop"]
Parameters = tuple[tuple[str, str], ...]
"Form parameters in order; a name may come twice."


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a document comes from."""

    url: str = ""
    method: Method = "POST"
    text: str = ""
    "The document itself, in place of ``url``."
    fallback_url: str = ""
    fallback_method: Method = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Request a document: ``fetched`` or ``fetch_failed``."""

    token: int
    url: str
    "Absolute."
    method: Method
    parameters: Parameters = field(default=(), repr=False)
    "Beyond the standard ones, which whoever carries this out adds."
    about: int = 0
    "Token of the verb whose outcome this tells; 0: of none. A payment's must arrive, whatever becomes of the call."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer the call, if it is one that rings at us: ``answered`` when both sides hear each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Refuse the call with a SIP status."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """Say, play and pause in order: ``spoken``."""

    token: int
    items: tuple[Spoken, ...]
    interruptible: bool
    "Whether a key ends it in the same tick."
    base_url: str = ""
    "What relative URLs of ``items`` are relative to."


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPay:
    """Take a payment: ``ended`` with the parameters of its result (`dialects.md` §4.3)."""

    token: int
    pay: Pay
    base_url: str
    "Of the document: what relative URLs are relative to; empty: it came inline."


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """Record the caller: ``ended`` with RecordingUrl, RecordingSid, RecordingDuration, Digits; none: nothing heard."""

    token: int
    record: Record
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOut:
    """Connect the call with others: ``ended`` with DialCallStatus, DialCallSid, DialCallDuration, ..."""

    token: int
    dial: Dial
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Let the caller wait: ``ended`` with QueueResult, QueueSid, QueueTime."""

    token: int
    enqueue: Enqueue
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Give up what runs under a token, a `Fetch` included; nothing is answered for it any more.

    A payment that is stopped when it cannot be taken back tells its outcome itself, to its action and by the outbox.
    """

    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Log a fault of the document or of the application."""

    code: int
    "Of the vendor: 11200 not retrieved, 12100 cannot be parsed, 12200 passed over, ..."
    message: str
    "With the remedy, without anything that a caller keyed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The document is over: hang up, or go back to whoever had it run."""

    reason: Reason = ""
    """Empty: its end was reached; ``hangup``: by the verb; ``rejected``: after `Reject`, or by the verb in a whisper;
    ``leave``: by the verb; ``hung-up``: the far end did; ``error``: no document could be run; ``loop``: documents
    followed each other without end."""


Command = Fetch | Answer | Reject | Speak | StartPay | StartRecord | DialOut | Queue | Stop | Warn | Finished
