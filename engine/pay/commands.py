"""What the pay machine wants done, in order."""

from __future__ import annotations

from dataclasses import dataclass

from engine.pay.prompt_rules import Action
from engine.pay.results import PayResult, PayStatus
from engine.pay.submission import Submission

__all__ = ("Command", "EmitStatus", "Finish", "Play", "StopPlaying", "Submit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Play the actions one after the other, then call ``prompt_finished(token, now)``."""

    token: int
    "Names this prompt; a new one each time."
    step: str
    actions: tuple[Action, ...]
    interruptible: bool
    "Whether a key may stop it at once, before the machine says so with `StopPlaying`."


@dataclass(frozen=True, slots=True)
class StopPlaying:
    """Stop the prompt that plays; its ``prompt_finished`` need not come and is ignored when it does."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Send the submission, repeating it as the connector's rules say, then call ``connector_answered`` once.

    The call must come whatever happens: an error that leaves open whether money moved is `Outcome.UNKNOWN`. The secrets
    in the submission are wiped by that call and not before.
    """

    submission: Submission


@dataclass(frozen=True, slots=True)
class EmitStatus:
    """Tell the application how far it is."""

    status: PayStatus


@dataclass(frozen=True, slots=True)
class Finish:
    """The payment is over. Comes exactly once, as the last command."""

    result: PayResult


Command = Play | StopPlaying | Submit | EmitStatus | Finish
