"""What both pay machines do alike: keys and time in, commands out, one prompt at a time, an entry that is being keyed.

A machine of its own adds the table, the actions that it names, and what it asks for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from datetime import date
from enum import Enum, auto

from engine.pay.checkout import Checkout
from engine.pay.commands import Command, Finish, Play, StopPlaying
from engine.pay.fields import Facts
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action
from engine.pay.results import Result
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer

__all__ = ("NEVER", "PROMPT_LIMIT_S", "Machine", "Outside")

PROMPT_LIMIT_S = 300.0
"A prompt not reported finished after so long is taken for finished: nothing may hang on a lost event."
NEVER = -math.inf

_CANCEL_KEY, _FINISH_KEY = 10, 11  # RFC 4733 §3.2 event codes of "*" and "#"


class Outside(Enum):
    """What reaches either machine from outside; each machine's inputs have members of these names."""

    DIGIT = auto()
    FINISH_KEY = auto()
    LATE_FINISH_KEY = auto()
    CANCEL_KEY = auto()
    PROMPT_FINISHED = auto()
    TIMER = auto()
    HANG_UP = auto()
    STOP = auto()
    FAULT = auto()


class Machine(ABC):
    """One payment on one call, sans-IO.

    ``today`` gives the date for expiry checks, ``transaction_id`` a fresh identity for each submission.
    """

    def __init__(self, order: PayOrder, *, today: Callable[[], date], transaction_id: Callable[[], str]) -> None:
        self._order = order
        self._today = today
        self._checkout = Checkout(order, transaction_id=transaction_id)
        self._commands: deque[Command] = deque()
        self._deadline: float | None = None
        self._token = 0
        self._playing: int | None = None
        self._key = -1
        self._late_finish_until = NEVER
        self._entry = Secret(1)
        self._entry_too_long = False
        self._n_readings = 0
        self._error = ""
        self._hung_up = False
        self._stopped = False

    @abstractmethod
    def _happened(self, what: Outside, now: float, code: int = -1) -> None:
        """Look up what follows and do it; ``code`` is a digit's."""

    @abstractmethod
    def _answered(self, now: float) -> None:
        """Go on after the connector's answer, which the checkout has."""

    # -- inputs --------------------------------------------------------------------------------------------------

    def digit(self, code: int, now: float) -> None:
        """Take a key by its RFC 4733 event code: 0 to 9, 10 for ``*``, 11 for ``#``; others are ignored."""
        what = self._kind_of(code, now)
        if what is not None:
            self._happened(what, now, code)

    def prompt_finished(self, token: int, now: float) -> None:
        """Note that a prompt has played to its end; one that was stopped or is not the latest is ignored."""
        if token == self._playing:
            self._playing = None
            self._happened(Outside.PROMPT_FINISHED, now)

    def connector_answered(self, answer: ConnectorAnswer, now: float, *, transaction_id: str | None = None) -> None:
        """Take the connector's last word on the outstanding submission, and wipe the secrets.

        Ignored when nothing is outstanding, or ``transaction_id`` is given and is not the outstanding one.
        """
        if self._checkout.take_answer(answer, transaction_id):
            self._error = self._checkout.error
            self._answered(now)

    def hang_up(self, now: float) -> None:
        """Note that the caller is gone: ends the payment, or leaves the end to the connector's answer."""
        self._hung_up = True
        self._happened(Outside.HANG_UP, now)

    def stop(self, now: float) -> None:
        """End the payment for the application: at once, or, when it was submitted, by the connector's answer."""
        self._stopped = True
        self._happened(Outside.STOP, now)

    def fault(self, now: float) -> None:
        """Note that the engine cannot go on: ends the payment with `Result.INTERNAL_ERROR`, at once.

        When it was submitted, the connector's answer decides; when its end is already being said, that end stands.
        """
        self._happened(Outside.FAULT, now)

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`, in monotonic seconds; None: not at all."""
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Note that time has passed; early calls are harmless."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._happened(Outside.TIMER, now)

    # -- outputs -------------------------------------------------------------------------------------------------

    def next_command(self) -> Command | None:
        """Return the next thing to do, None when there is none."""
        return self._commands.popleft() if self._commands else None

    # -- parts ---------------------------------------------------------------------------------------------------

    def _kind_of(self, code: int, now: float) -> Outside | None:
        if 0 <= code <= 9:
            return Outside.DIGIT
        if code == _CANCEL_KEY:
            return Outside.CANCEL_KEY
        if code != _FINISH_KEY:
            return None
        # Callers end with # even an entry that was taken before they could. It must not count as the next one, empty.
        if now <= self._late_finish_until and len(self._entry) == 0:
            self._late_finish_until = NEVER
            return Outside.LATE_FINISH_KEY
        return Outside.FINISH_KEY

    @property
    def _facts(self) -> Facts:
        return Facts(
            today=self._today(),
            accepted=self._order.accepted,
            card_type=self._checkout.collected.masked.card_type,
            min_postal_code_length=self._order.min_postal_code_length,
        )

    def _play(self, step: str, actions: tuple[Action, ...], now: float, *, interruptible: bool) -> None:
        self._token += 1
        self._playing = self._token
        self._deadline = now + PROMPT_LIMIT_S
        self._commands.append(Play(token=self._token, step=step, actions=actions, interruptible=interruptible))

    def _hush(self) -> None:
        if self._playing is not None:
            self._playing = None
            self._commands.append(StopPlaying())

    def _tell_result(self, result: Result) -> None:
        end = self._checkout.result(result, error=self._error, hung_up=self._hung_up, stopped=self._stopped)
        self._commands.append(Finish(end))
