"""A verb that runs for long on a call: a payment, a recording, a call to somebody else, a queue.

`engine.programs.twiml` makes one by a `MakeVerb` for each `StartPay`, `StartRecord`, `DialOut` and `Queue` of the
interpreter, hands it what happens on the call while it runs, and takes its outcome::

    start            once, right after it was made
    digit, ...       while it runs; `play_finished` only of playlists that the verb began
    ended(...)       called by the verb, once, with the outcome; not after `stop`, but after `hang_up` all the same
    told             whether the application took that outcome
    done             awaited before the call is forgotten

Laws: ``make`` and the methods are called on the event loop and return at once; what takes time is a task of the verb
that `done` waits for. A verb holds its call by ``weakref.proxy``, as all programs do, and forgets ``ended`` when it
has called it. ``ended`` may be called from within ``start``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engine.dialects.twiml.commands import Parameters
from engine.program import CallControl
from engine.programs.context import ProgramContext

__all__ = ("Ended", "MakeVerb", "Verb", "VerbMakers")

Ended = Callable[[Parameters], None]
"Takes the outcome of a verb: the parameters of its action request beyond the standard ones."


class Verb(Protocol):
    """What runs under one token of a document."""

    def start(self, now: float) -> None:
        """Begin. ``now`` is the loop's clock, as everywhere here."""

    def digit(self, code: int, now: float) -> None:
        """Take a key that was pressed (RFC 4733 event code)."""

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over; those of others are to be passed over."""

    def hang_up(self, now: float) -> None:
        """Note that the call is over: come to an end, and call ``ended`` if there is an outcome to be told."""

    def stop(self, now: float) -> None:
        """Give up: the document goes on elsewhere (`commands.Stop`). Nothing is told, ``ended`` is not called."""

    def told(self, delivered: bool) -> None:
        """Learn what became of the outcome: whether the application took it (any 2xx answer), or could not be reached.

        Called once after ``ended``: with False too when there was no request about it at all. A verb whose outcome
        must not be lost hands it to the outbox then.
        """

    async def done(self) -> None:
        """Wait until all that the verb still owes somebody is written; more than one may wait, and more than once."""


MakeVerb = Callable[[Any, CallControl, ProgramContext, str, Ended], Verb]
"""Makes the verb of a command from ``(command, call, context, base_url, ended)``: ``PayVerb``, ``RecordVerb``, ...

``base_url`` is what relative URLs are relative to, empty for an inline document.
"""

VerbMakers = Mapping[type, MakeVerb]
"By the class of the command."
