"""A payment that an application asked for on a call, whatever dialect it speaks: its course, its line, its one end.

The laws:

1. From the first question until the end, and the last key was let go, nothing of the caller reaches a recording (D-28),
   and the mask is on for whoever else hears the call; see `QuietLine`.
2. The end is told once by ``on_result``, at the moment it is known: on a hang-up before the call itself is over, unless
   the connector is being asked, whose answer is the end then.
3. What is posted of it is the dialect's (`Posts`). What has to be told is in the ledger until the outbox has it.
"""

from __future__ import annotations

import logging
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Protocol

from engine.connectors.protocol import Connector
from engine.errors import MediaError
from engine.log import fields
from engine.pay.fields import ErrorType
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.results import PayResult, PayStatus, Result
from engine.pay.submission import PaymentMethod
from engine.payment_run import PaymentRun, SessionInProgressError
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.pay_prompts import PayClips
from engine.programs.quiet_line import QuietLine

__all__ = ("PaymentAction", "Posts")

log = logging.getLogger("engine.pay")


class Posts(Protocol):
    """What the application is told of one payment; holds neither the run nor the action."""

    payment_id: str

    def status(self, run: PaymentRun, status: PayStatus) -> None:
        """Tell a step, by ``run.then``."""

    def result(self, run: PaymentRun, result: PayResult) -> None:
        """Tell the end, by ``run.then``: it is written by then."""

    def never_begun(self, result: PayResult) -> None:
        """Tell the end of a payment that has no run, and no row in the ledger."""

    def reply_to(self) -> Mapping[str, str] | None:
        """Return how the application is told the end should the engine be gone; None: it is not told."""

    def still_owed(self, result: PayResult) -> Mapping[str, str] | None:
        """Return what the ledger keeps until the outbox has the end."""


class PaymentAction:
    """One payment (``engine.programs.actions.protocol.Action``)."""

    def __init__(
        self,
        order: PayOrder,
        connector: str | Connector,
        call: CallControl,
        context: ProgramContext,
        *,
        posts: Posts,
        voice: str = "",
        on_status: Callable[[PayStatus], None] = lambda status: None,
        on_result: Callable[[PayResult], None] = lambda result: None,
    ) -> None:
        """``connector`` is its name or itself; ``voice`` says the engine's own prompts, empty: as they are recorded.

        The hooks are called at once, from within any method, also from `start`; they shall hold neither the action nor
        the program, and are forgotten after the end.
        """
        self._call: CallControl = call if isinstance(call, weakref.ProxyType) else weakref.proxy(call)
        facts = call.facts
        self._call_id = facts.call_id
        self._order = order
        self._line = QuietLine(self._call, now=context.now)
        self._clips = PayClips(context.prompts, order, call_id=self._call_id, voice=voice)
        self._posts = posts
        self._outcome = _Outcome(posts, self._line, self._clips, on_status, on_result)
        self._run = PaymentRun(
            PayMachine(order, today=context.today, transaction_id=lambda: str(uuid.uuid4())),
            order,
            call_id=self._call_id,
            label=call.program.label,
            connector=connector,
            speaker=self._call,
            clips=self._clips,
            context=context.payments,
            guard=call.guard,
            on_status=self._outcome.status,
            on_result=self._outcome.result,
            payment_id=posts.payment_id,
            direction=facts.direction,
            reply_to=posts.reply_to(),
            still_owed=posts.still_owed,
        )
        self._started = False

    # -- inputs --------------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the end was told."""
        return self._outcome.is_over

    @property
    def wants_digits(self) -> bool:
        """Whether keys are the payment's: from its start to its end."""
        return self._started and not self.is_over

    def start(self, now: float) -> None:
        """Begin to ask; a line that cannot be covered is ``internal-error`` at once."""
        if self._started or self.is_over:
            return
        try:
            self._line.hold()
        except MediaError as error:
            log.error("no payment: the line cannot be covered: %s", error, extra=fields(call=self._call_id))
            self._never_begin(Result.INTERNAL_ERROR, ErrorType.INTERNAL_ERROR)
            return
        try:
            self._run.start(now)
        except SessionInProgressError as error:
            self._line.let_go()
            self._never_begin(Result.VALIDATION_ERROR, error.error_type)
            return
        self._started = True
        if not self.is_over:
            self._clips.render_ahead()

    def _never_begin(self, result: Result, error: str) -> None:
        order = self._order
        end = PayResult(
            result=result,
            operation=order.operation,
            payment_method=PaymentMethod(order.method),
            payment_error=str(error),
        )
        self._posts.never_begun(end)
        self._outcome.end(end)

    def digit(self, code: int, now: float) -> None:
        """Take a key."""
        if self._started:
            self._line.digit(code, now)
            self._run.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Do nothing: `QuietLine` hears of it, also when the payment is over."""

    def count_digit(self, source: str) -> None:
        """Note where the key that follows came from."""
        if self._started:
            self._line.count_digit(source)
            self._run.count_digit(source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """A prompt is over."""
        self._run.play_finished(token, by_digit, now)

    def stop(self, now: float) -> None:
        """End it for the application; one that the connector has been asked for ends by its answer."""
        self._end(now, self._run.stop, Result.RELAY_PAY_STOP)

    def hang_up(self, now: float) -> None:
        """The caller is gone: the payment ends, or its connector's answer ends it."""
        self._end(now, self._run.hang_up, Result.CALLER_HUNG_UP)

    def _end(self, now: float, end: Callable[[float], None], result: Result) -> None:
        if self._started:
            end(now)
        elif not self.is_over:
            self._never_begin(result, "")

    async def done(self) -> None:
        """Wait until the payment is over, its result written, and its posts in the outbox."""
        await self._run.done()


class _Outcome:
    """Tells of one payment; holds neither the run nor the action."""

    def __init__(
        self,
        posts: Posts,
        line: QuietLine,
        clips: PayClips,
        on_status: Callable[[PayStatus], None],
        on_result: Callable[[PayResult], None],
    ) -> None:
        self.is_over = False
        self._posts = posts
        self._line = line
        self._clips = clips
        self._on_status: Callable[[PayStatus], None] | None = on_status
        self._on_result: Callable[[PayResult], None] | None = on_result

    def status(self, run: PaymentRun, status: PayStatus) -> None:
        """Tell a step."""
        self._posts.status(run, status)
        if self._on_status is not None:
            self._on_status(status)

    def result(self, run: PaymentRun, result: PayResult) -> None:
        """Tell the end; what the caller still keys is nobody's."""
        self._line.let_go()
        self._posts.result(run, result)
        self.end(result)

    def end(self, result: PayResult) -> None:
        """Tell the end, once."""
        self._clips.close()
        on_result, self._on_result, self._on_status = self._on_result, None, None
        self.is_over = True
        if on_result is not None:
            on_result(result)
