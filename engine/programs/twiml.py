"""A TwiML application's call: the program that fetches its documents and carries them out.

A call in fetches while it rings, and is answered by the first verb that speaks or listens; a call out fetches when it
is answered. The end of the document is the end of the call. REST requests give a live call another document
(`TwimlProgram.redirect`).
"""

from __future__ import annotations

import asyncio
import weakref

from engine.config import TwimlApp
from engine.dialects.twiml.commands import Source
from engine.dialects.twiml.interpreter import Interpreter
from engine.dialects.twiml.verbs import Play
from engine.errors import ProgramError
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.document_run import DocumentRun
from engine.programs.speech import Speech
from engine.programs.status import StatusPlan, plan_of

__all__ = ("TwimlProgram", "program_of", "source_of")


def source_of(app: TwimlApp) -> Source:
    """Return where an application's documents come from."""
    return Source(url=app.url, method=app.method, fallback_url=app.fallback_url, fallback_method=app.fallback_method)


def program_of(name: str, app: TwimlApp, call: CallControl, context: ProgramContext) -> TwimlProgram:
    """Return the program of a call that a route gives to an application."""
    return TwimlProgram(call, source_of(app), context, label=name, status=plan_of(app))


class TwimlProgram:
    """``engine.program.Program`` of one call; ``status`` says where the call's progress is told.

    http documents are taken when the first one is http, which is somebody's choice, or with
    ``[twilio] allow_insecure_callbacks``.
    """

    def __init__(
        self,
        call: CallControl,
        source: Source,
        context: ProgramContext,
        *,
        label: str,
        status: StatusPlan | None = None,
        send_digits: str = "",
        time_limit_s: float | None = None,
    ) -> None:
        """``send_digits`` are keyed once a call out is answered, before its document; w waits for half a second.

        ``time_limit_s`` is how long the call may last from its answer on.
        """
        self.label = label
        self._call: CallControl = weakref.proxy(call)
        self._facts = call.facts
        self._context = context
        self._source = source
        self._send_digits = send_digits
        self._time_limit_s = time_limit_s
        self._limit: asyncio.TimerHandle | None = None
        self._keying: Speech | None = None
        self._begun = False
        self._answered_at: float | None = None
        self._over = False
        self._run = self._run_of(source)
        if status is not None:
            context.status.watch(call.facts, status)

    def _run_of(self, source: Source) -> DocumentRun:
        me = weakref.proxy(self)
        twilio = self._context.config.twilio
        return DocumentRun(
            Interpreter(
                source,
                is_inbound=self._facts.direction == "in",
                allow_insecure=twilio.allow_insecure_callbacks,
                max_document=twilio.max_document_kb * 1024,
            ),
            self._call,
            self._context,
            lambda reason: me._finished(reason),
            allow_insecure=twilio.allow_insecure_callbacks or source.url.startswith("http:"),
        )

    # -- Program -------------------------------------------------------------------------------------------------

    def offered(self, now: float) -> None:
        """Fetch the document while the call rings; it says whether the call is answered."""
        self._begin(now)

    def start(self, now: float) -> None:
        """Both sides hear each other: a call out begins now."""
        self._answered_at = now
        self._arm()
        if self._begun:
            self._run.answered(now)
        elif self._send_digits:
            me = weakref.proxy(self)
            keys = (Play(digits=self._send_digits),)
            self._keying = Speech(keys, self._call, self._context, lambda by_digit: me._keyed())
            self._keying.start()
        else:
            self._begin(now)
            self._run.answered(now)

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        self._run.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        self._run.digit_ended(now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        self._run.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        if self._keying is not None:
            self._keying.play_finished(token, interrupted_by_digit)
        self._run.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is over: outcomes of its verbs are still told."""
        if not self._over:
            self._over = True
            self._context.status.hung_up(self._facts.call_id)
        self._arm()
        if self._keying is not None:
            self._keying.stop()
        self._run.hang_up(now)

    async def done(self) -> None:
        """Wait until the verbs are over and their outcomes are told, or in the outbox."""
        if self._keying is not None:
            await self._keying.done()
        await self._run.done()

    # -- for the REST interface ----------------------------------------------------------------------------------

    def redirect(self, source: Source) -> None:
        """Go on with another document, now; raise ``ProgramError`` when the call is over."""
        if self._over or self._call.state is CallState.ENDED:
            raise ProgramError("the call is over: it takes no other document")
        if self._begun:
            self._run.redirect(source, self._context.now())
        else:
            self._run = self._run_of(source)

    def tell_status(self, plan: StatusPlan | None) -> None:
        """Tell the call's progress elsewhere from now on; None: nowhere."""
        self._context.status.watch(self._facts, plan)

    def limit(self, seconds: float) -> None:
        """End the call when it has lasted so long since its answer: at once if it has already."""
        self._time_limit_s = seconds
        self._arm()

    # -- inside --------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        self._begun = True
        self._run.begin(now)

    def _keyed(self) -> None:
        now = self._context.now()
        if not self._over:
            self._begin(now)
            self._run.answered(now)

    def _arm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if not self._over and self._time_limit_s is not None and self._answered_at is not None:
            me = weakref.proxy(self)
            at = self._answered_at + self._time_limit_s
            self._limit = asyncio.get_running_loop().call_at(at, lambda: me._too_long())

    def _too_long(self) -> None:
        self._limit = None
        self._call.hang_up("time limit")

    def _finished(self, reason: str) -> None:
        if not self._over:
            self._call.hang_up("")
