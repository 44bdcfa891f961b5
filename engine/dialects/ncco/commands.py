"""What an NCCO wants done on its call, as commands; what came of them are methods of the interpreter.

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
from engine.dialects.ncco.actions import Connect, Conversation, EventTarget, Input, Pay, Record, Stream, Talk

__all__ = (
    "AnswerCall",
    "Asking",
    "Begin",
    "BeginRecording",
    "Command",
    "FetchNcco",
    "Finished",
    "Outcome",
    "Reason",
    "Source",
    "Stop",
    "TellError",
    "Wait",
    "Warn",
    "Work",
)

Work = Talk | Stream | Input | Conversation | Connect | Pay
"What takes time. Of an `Input` the outcome is its event's ``dtmf``; of the others it is of no interest here."
Reason = Literal["", "error", "hung-up"]
"Empty: the NCCO has come to its end."
Asking = Literal["answer", "input", "notify", "connect"]
"What a request is about."
Outcome = Mapping[str, Any]
"""Of `Input`: ``digits``, ``timed_out``. Of `Connect` with ``synchronous``: ``status``, the state of the called side
that may be answered with an NCCO (``timeout``, ``failed``, ``rejected``, ``unanswered``, ``busy``), empty else. Of all
others: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the first NCCO is: fetched by ``answer``, or ``text`` as it came."""

    answer: EventTarget | None = None
    "URL absolute."
    text: bytes = field(default=b"", repr=False)
    "JSON; with it only that."
    fallback: EventTarget | None = None
    "Asked when an answer or event URL fails (`FetchNcco`); None: nothing is."


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCall:
    """Answer the call if it still rings; ``answered`` of the interpreter tells when it is up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchNcco:
    """Ask the application: ``fetched`` with what it answered, or ``fetch_failed``.

    Twice, then twice at ``fallback``, where the connection, the time or the status (429, 5xx) was to blame; any other
    status of 400 and more is a failure of the URL that leads to ``fallback`` at once.
    """

    token: int
    asking: Asking
    target: EventTarget | None
    "None: the application's event URL, if it has one: else ``fetch_failed``."
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Besides what is known of the call: of an input ``dtmf`` (and ``speech``, or in the old form ``timed_out``); of a
    notify the payload, which is sent as it is, without anything else; of a connect ``status``."""
    base_url: str = field(default="", repr=False)
    "What a relative URL is resolved against."
    fallback: EventTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Do something that takes time: ``ended``, with its outcome."""

    token: int
    work: Work
    heard_first: tuple[Talk | Stream, ...] = ()
    "Of an `Input`: what is heard meanwhile, until the first key (``bargeIn``), which is a key of the entry."
    base_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRecording:
    """Begin a recording beside the NCCO; nothing is told of it to the interpreter."""

    record: Record
    base_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TellError:
    """Tell the application's event URL what is wrong (``reason``), and log it; it repeats no value."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Something is odd about the NCCO, which goes on; may be logged as it is."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The NCCO is over: the call is ended, or refused when it still rings."""

    reason: Reason


Command = AnswerCall | FetchNcco | Begin | BeginRecording | Wait | TellError | Warn | Stop | Finished
