"""A payment on a call: carries out what a pay machine wants, whichever machine and whoever asked for it.

The machine (``engine.pay``) decides; a `PaymentRun` plays its prompts, sends its submission through ``Charging``, hands
keys, finished prompts, answers and time to it, and tells its statuses and its result. The built-in form and every
dialect embed one.

The laws:

1. What has to be written is written by one task, in order: the payment's row, what the hooks add, the attempt, the
   result. No webhook overtakes the one before it.
2. The row is written while the first prompt plays. When it cannot be, the machine is told of a fault and nothing is
   sent to the connector; the log says why, and other calls go on.
3. A prompt that has to be spoken first is rendered beside everything else, for ``RENDER_LIMIT_S`` at most. A word of
   the machine that comes before the clip wins; a prompt that cannot be had counts as played, and the log says so.
4. A call has one payment at a time: see `PaymentGuard`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol, TypeVar

from engine.charging import Charging
from engine.connectors.protocol import Connector
from engine.errors import LedgerError, PayError
from engine.events import (
    EngineEvent,
    EntryProgress,
    PaymentFinished,
    PaymentSubmitted,
    PromptFinished,
    PromptStarted,
)
from engine.ledger import Ledger
from engine.log import fields
from engine.metrics import CONNECTOR_SECONDS, PAYMENTS
from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import ErrorType
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action
from engine.pay.results import PayResult, PayStatus
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from prompts.clip import Clip
from prompts.errors import PromptError

__all__ = (
    "TOKENS",
    "Clips",
    "Machine",
    "PaymentContext",
    "PaymentGuard",
    "PaymentRun",
    "SessionInProgressError",
    "Speaker",
)

log = logging.getLogger("engine.payment_run")

RENDER_LIMIT_S = 10.0
"Longest that a caller waits in silence for a prompt that has to be spoken first."
RECORD_LIMIT_S = 15.0
"Longest that a payment's row may take to be written: three times SQLite's patience with a lock."

_T = TypeVar("_T")
_Job = Callable[[], Awaitable[None]]
# A call may carry several payments, one after the other, and a late end of a prompt must not reach the next one's.
TOKENS = count(1)
"Tokens of playlists: none comes twice in a process."


class Machine(Protocol):
    """What a run feeds, and takes commands from: ``PayMachine``, ``CaptureMachine``."""

    def start(self, now: float) -> None:
        """Begin."""

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""

    def prompt_finished(self, token: int, now: float) -> None:
        """Note that a prompt is over."""

    def connector_answered(self, answer: ConnectorAnswer, now: float, *, transaction_id: str | None = None) -> None:
        """Take the connector's answer."""

    def hang_up(self, now: float) -> None:
        """Note that the caller is gone."""

    def stop(self, now: float) -> None:
        """End the payment for the application."""

    def fault(self, now: float) -> None:
        """End the payment for a fault of the engine."""

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`."""

    def handle_timer(self, now: float) -> None:
        """Note that time has passed."""

    def next_command(self) -> Command | None:
        """Return the next thing to do."""


class Speaker(Protocol):
    """What a payment may ask of its call."""

    def play(self, clips: Sequence[Clip], token: int, *, interruptible: bool) -> None:
        """Play clips in order; ``play_finished`` of the run follows once."""

    def stop_playing(self) -> None:
        """Stop what plays."""


class Clips(Protocol):
    """Where a payment's prompts come from, in its language and voice."""

    def ready(self, action: Action) -> Clip | None:
        """Return the clip of an action that can be played at once; None when it has to be rendered."""

    async def render(self, action: Action) -> Clip:
        """Return the clip of an action; raise ``PromptError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentContext:
    """What the payments of an engine share."""

    charging: Charging
    ledger: Ledger
    notify: Callable[[EngineEvent], None]
    now: Callable[[], float]
    "Monotonic seconds, the event loop's clock."


class SessionInProgressError(PayError):
    """The call has a payment already (`dialects.md` §1.3)."""

    error_type = ErrorType.SESSION_IN_PROGRESS

    def __init__(self) -> None:
        super().__init__("a payment is in progress on this call")


class PaymentGuard:
    """One of these for each call: lets one payment at a time begin."""

    def __init__(self) -> None:
        self._owner: object | None = None

    @property
    def busy(self) -> bool:
        """Whether a payment is in progress."""
        return self._owner is not None

    def enter(self, owner: object) -> None:
        """Begin a payment; raise `SessionInProgressError` while another one is not over."""
        if self._owner is not None and self._owner is not owner:
            raise SessionInProgressError
        self._owner = owner

    def leave(self, owner: object) -> None:
        """End a payment; somebody else's is left alone."""
        if self._owner is owner:
            self._owner = None


class PaymentRun:
    """One payment on one call, from its start to its result.

    ``on_status`` and ``on_result`` are called with the run as things happen, without waiting; what they want written
    or sent in order with the rest they hand to `then`. They shall hold neither the run nor its call. ``label`` names
    the payment in the ledger and the metrics: the form's name, or the dialect's. ``direction`` is the call's.
    ``reply_to`` is kept with the payment while it is open: how the application is told its end after a crash
    (``engine.payments``, `Closing`). What ``still_owed`` makes of the result takes its place in the ledger, in the same
    transaction as the result; it stays there until ``Ledger.told``. ``connector`` is a name, or one of
    ``Charging.connector_at``.
    """

    def __init__(
        self,
        machine: Machine,
        order: PayOrder,
        *,
        call_id: str,
        label: str,
        connector: str | Connector,
        speaker: Speaker,
        clips: Clips,
        context: PaymentContext,
        guard: PaymentGuard,
        on_status: Callable[[PaymentRun, PayStatus], None] = lambda run, status: None,
        on_result: Callable[[PaymentRun, PayResult], None] = lambda run, result: None,
        payment_id: str = "",
        direction: str = "in",
        reply_to: Mapping[str, str] | None = None,
        still_owed: Callable[[PayResult], Mapping[str, str] | None] = lambda result: None,
    ) -> None:
        self.payment_id = payment_id or uuid.uuid4().hex
        self._machine = machine
        self._order = order
        self._call_id = call_id
        self._label = label
        self._connector = connector
        self._connector_name = connector if isinstance(connector, str) else connector.name
        # The call keeps its program, and not the other way round: nothing of a call, least of all what was keyed, shall
        # wait in memory for the garbage collector.
        self._speaker: Speaker = speaker if isinstance(speaker, weakref.ProxyType) else weakref.proxy(speaker)
        self._clips = clips
        self._context = context
        self._guard = guard
        self._direction = direction
        self._reply_to = reply_to
        self._still_owed = still_owed
        self._on_status = on_status
        self._on_result = on_result
        self._playing: dict[int, tuple[int, str]] = {}
        "Of what the call was asked to play: the machine's token and the step, by the call's token."
        self._rendering: asyncio.Task[None] | None = None
        self._digits: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._recorded = False
        self._result: PayResult | None = None

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin: the caller can hear us. Once; raise `SessionInProgressError` when the call has a payment already."""
        self._guard.enter(self)
        self._worker = asyncio.get_running_loop().create_task(self._work())
        self._jobs.put_nowait(self._record_payment)
        self._machine.start(now)
        self._carry_out()

    def tell(self, what: Callable[[float], _T]) -> _T:
        """Give the machine an input of its own, such as ``lambda now: machine.capture(step, now)``; return its word."""
        answer = what(self._context.now())
        self._carry_out()
        return answer

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code); one that comes before the start waits in the machine."""
        self._machine.digit(code, now)
        self._carry_out()

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from, for the transcript."""
        self._digits[str(source)] += 1

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """A prompt of ours is over; those of others are passed over."""
        token, step = self._playing.pop(token, (0, ""))
        if not token:
            return
        self._context.notify(PromptFinished(call_id=self._call_id, step=step, barged_in=interrupted_by_digit))
        self._machine.prompt_finished(token, now)
        self._carry_out()

    def stop(self, now: float) -> None:
        """End the payment for the application, at any moment; one that was submitted ends by its answer."""
        self._machine.stop(now)
        self._carry_out()

    def hang_up(self, now: float) -> None:
        """The caller is gone, or the call ends for another reason."""
        self._machine.hang_up(now)
        self._carry_out()

    def then(self, job: _Job) -> None:
        """Do something in order with what is written about this payment; a ``LedgerError`` of it is logged.

        Of no effect once the result is out and its hook has returned, and for a payment that was never started.
        """
        self._jobs.put_nowait(job)

    async def done(self) -> None:
        """Wait until the result is in and everything about it is written; at once when it was never started."""
        if self._worker is not None:
            await self._worker

    @property
    def result(self) -> PayResult | None:
        """How the payment ended; None before."""
        return self._result

    # -- the machine's commands ----------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        if self._worker is None:
            return  # not started: what the machine wants waits
        while (command := self._machine.next_command()) is not None:
            match command:
                case Play():
                    self._play(command)
                case StopPlaying():
                    self._forget_rendering()
                    self._speaker.stop_playing()
                case Submit():
                    self._submit(command.submission)
                case EmitStatus():
                    self._status(command.status)
                case Finish():
                    self._finish(command.result)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._machine.next_timer()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._machine.handle_timer(self._context.now())
        self._carry_out()

    # -- prompts -------------------------------------------------------------------------------------------------

    def _play(self, command: Play) -> None:
        self._forget_rendering()
        ready = [self._clips.ready(action) for action in command.actions]
        clips = [clip for clip in ready if clip is not None]
        if len(clips) == len(ready):
            self._speak(command, clips)
        else:
            self._rendering = asyncio.get_running_loop().create_task(self._render(command, ready))

    def _speak(self, command: Play, clips: list[Clip]) -> None:
        token, step = next(TOKENS), str(command.step)
        self._playing[token] = (command.token, step)
        log.debug("prompt", extra=fields(call=self._call_id, step=step))
        self._context.notify(
            PromptStarted(
                call_id=self._call_id,
                step=step,
                names=tuple(clip.name for clip in clips),
                duration_ms=sum(clip.duration_ms for clip in clips),
            )
        )
        self._speaker.play(clips, token, interruptible=command.interruptible)

    async def _render(self, command: Play, ready: Sequence[Clip | None]) -> None:
        clips: list[Clip] = []
        try:
            async with asyncio.timeout(RENDER_LIMIT_S):
                for action, clip in zip(command.actions, ready, strict=True):
                    clips.append(clip or await self._clips.render(action))
        except (PromptError, TimeoutError) as error:
            # All of it or nothing: "press 1 to confirm" must not be heard without what is to be confirmed.
            reason = str(error) or f"it took more than {RENDER_LIMIT_S:.0f} s"
            log.error("a prompt cannot be said: %s", reason, extra=fields(call=self._call_id, step=command.step))
            clips = []
        except Exception as error:
            # No text of the exception: it may hold what was to be said.
            kind = type(error).__name__
            log.error("a prompt cannot be said", extra=fields(call=self._call_id, step=command.step, error=kind))
            clips = []
        self._rendering = None
        try:
            if clips:
                self._speak(command, clips)
                return
        except Exception:
            log.exception("a prompt cannot be played", extra=fields(call=self._call_id, step=command.step))
        self._machine.prompt_finished(command.token, self._context.now())
        self._carry_out()

    def _forget_rendering(self) -> None:
        if self._rendering is not None:
            self._rendering.cancel()
            self._rendering = None

    # -- the money -----------------------------------------------------------------------------------------------

    def _submit(self, submission: Submission) -> None:
        self._jobs.put_nowait(lambda: self._charge(submission))

    async def _charge(self, submission: Submission) -> None:
        began = time.monotonic()
        if self._recorded:
            self._context.notify(
                PaymentSubmitted(
                    call_id=self._call_id, connector=self._connector_name, transaction_id=submission.transaction_id
                )
            )
            try:
                answer = await self._context.charging.charge(self.payment_id, submission, self._connector)
            except Exception:
                # Charging answers, it does not raise; whatever this is, the caller must not wait for ever.
                log.exception("charging failed", extra=fields(call=self._call_id))
                answer = ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="internal", error_message="internal error")
            # An endpoint that an application names must not make a series of its own.
            label = self._connector if isinstance(self._connector, str) else "url"
            CONNECTOR_SECONDS.labels(connector=label).observe(time.monotonic() - began)
        else:
            message = "the ledger could not be written"
            answer = ConnectorAnswer(outcome=Outcome.FAILED, error_code="ledger", error_message=message)
        log.info(
            "connector answered",
            extra=fields(call=self._call_id, transaction=submission.transaction_id, outcome=answer.outcome),
        )
        self._machine.connector_answered(answer, self._context.now(), transaction_id=submission.transaction_id)
        self._carry_out()

    # -- what is told --------------------------------------------------------------------------------------------

    def _status(self, status: PayStatus) -> None:
        self._context.notify(
            EntryProgress(
                call_id=self._call_id,
                step=str(status.step),
                error_type=str(status.error_type),
                attempt=status.attempt,
                card_number=status.card_number,
                card_type=status.card_type,
                expiration_date=status.expiration_date,
                security_code=status.security_code,
                postal_code=status.postal_code,
            )
        )
        log.log(
            logging.DEBUG if status.partial else logging.INFO,  # not a line for every key
            "payment step",
            extra=fields(call=self._call_id, step=status.step, error=status.error_type, attempt=status.attempt),
        )
        self._tell(lambda: self._on_status(self, status))

    def _finish(self, result: PayResult) -> None:
        self._result = result
        self._forget_rendering()
        PAYMENTS.labels(form=self._label, result=str(result.result)).inc()
        log.info(
            "payment finished",
            extra=fields(
                call=self._call_id, result=result.result, error=result.payment_error, outcome=result.outcome or "none"
            ),
        )
        self._context.notify(
            PaymentFinished(
                call_id=self._call_id,
                result=str(result.result),
                amount=self._order.charged_amount,
                currency=self._order.currency,
                card_number=result.card_number,
                card_type=result.card_type,
                charge_id=result.charge_id,
                token_id=result.token_id,
                error=result.payment_error,
                digits_by_source=tuple(sorted(self._digits.items())),
            )
        )
        self._jobs.put_nowait(lambda: self._record_result(result))
        self._guard.leave(self)
        self._tell(lambda: self._on_result(self, result))
        self._jobs.put_nowait(None)

    def _tell(self, hook: Callable[[], None]) -> None:
        try:
            hook()
        except Exception:
            # Whoever listens must not stop the payment.
            log.exception("a payment could not be told of", extra=fields(call=self._call_id))

    # -- what is written, in order -------------------------------------------------------------------------------

    async def _work(self) -> None:
        while (job := await self._jobs.get()) is not None:
            try:
                await job()
            except LedgerError as error:
                log.error("the ledger could not be written: %s", error, extra=fields(call=self._call_id))
            except Exception:
                log.exception("a payment's work failed", extra=fields(call=self._call_id))

    async def _record_payment(self) -> None:
        try:
            async with asyncio.timeout(RECORD_LIMIT_S):
                await self._context.ledger.start_payment(
                    self.payment_id,
                    call_id=self._call_id,
                    form=self._label,
                    operation=str(self._order.operation),
                    amount=self._order.charged_amount,
                    currency=self._order.currency,
                    method=str(self._order.method),
                    direction=self._direction,
                    connector=self._connector_name,
                    reply_to=self._reply_to,
                )
        except Exception as error:
            # Without its row nothing of this payment could be journalled: better none than one that nobody finds again.
            reason = str(error) if isinstance(error, LedgerError) else type(error).__name__
            log.error("no payment: the ledger could not be written: %s", reason, extra=fields(call=self._call_id))
            self._machine.fault(self._context.now())
            self._carry_out()
        else:
            self._recorded = True

    async def _record_result(self, result: PayResult) -> None:
        if not self._recorded:
            return  # the log has it
        await self._context.ledger.finish_payment(
            self.payment_id,
            result=str(result.result),
            card_type=result.card_type,
            card_number=result.card_number,
            charge_id=result.charge_id,
            token_id=result.token_id,
            error_code=result.payment_error_code,
            error_message=result.payment_error,
            account_number=result.account_number,
            account_type=self._order.bank_account_type if result.account_number else "",
            token_type=str(self._order.token_type) if self._order.tokenizes else "",
            profile_id=result.profile_id,
            reply_to=self._owed(result),
        )

    def _owed(self, result: PayResult) -> Mapping[str, str] | None:
        try:
            return self._still_owed(result)
        except Exception:
            # The result must be written, whoever can be told of it.
            log.exception("what is owed of a payment could not be said", extra=fields(call=self._call_id))
            return None
