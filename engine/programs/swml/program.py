"""A SWML application's call: the program that has its document interpreted and carries it out.

A call in runs its document while it rings, and is answered by the first method that speaks, listens or records, or by
``answer``; a call out runs it when it is answered, and so does a call that is handed on. The end of the document is the
end of the call: a call in that still rings is refused, with 486 when the document says that it is busy, 603 when it
declines and 500 when the document is in error.
"""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Callable

from engine.config import Config, SwmlApp
from engine.dialects.swml.checking import read_document
from engine.dialects.swml.commands import Source
from engine.dialects.swml.errors import SwmlError
from engine.dialects.swml.interpreter import Interpreter
from engine.errors import ConfigError
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.swml.fetching import call_object, source_of
from engine.programs.swml.run import SwmlRun
from engine.programs.swml.status import StatusPosts
from engine.programs.swml.works import Works
from engine.programs.weak import held_weakly

__all__ = ("SwmlProgram", "check_documents", "program_of")

_REFUSALS = {"busy": 486, "decline": 603, "error": 500}
"How a call that rings is refused, by why its document ended; 603 for one that ended without answering it."


def check_documents(config: Config) -> None:
    """Raise ``ConfigError`` for a document of the configuration, or a file of it, that cannot be run."""
    limit = config.signalwire.max_document_kb * 1024
    for name, app in config.apps.items():
        if not isinstance(app, SwmlApp) or app.url:
            continue
        where = f"app.{name}.{'file' if app.file else 'document'}"
        source = source_of(app, max_document=limit)
        if not source.text:
            raise ConfigError("there is no document to be read", where=where, remedy="name a JSON or YAML file")
        try:
            read_document(source.text, content_type="", max_bytes=limit)
        except SwmlError as error:
            raise ConfigError(f"{error.code}: {error}", where=where, remedy="correct the document") from None


def program_of(name: str, app: SwmlApp, call: CallControl, context: ProgramContext) -> SwmlProgram:
    """Return the program of a call that a route gives to an application, or that another program hands on to it."""
    limit = context.config.signalwire.max_document_kb * 1024
    return SwmlProgram(call, source_of(app, max_document=limit), context, label=name)


class SwmlProgram:
    """``engine.program.Program`` of one call.

    Documents and requests go by http when the first document does, which is somebody's choice, or with ``[signalwire]
    allow_insecure_callbacks``.
    """

    def __init__(
        self,
        call: CallControl,
        source: Source,
        context: ProgramContext,
        *,
        label: str,
        on_over: Callable[[str], None] | None = None,
    ) -> None:
        """``on_over`` takes why the document ended, once, in place of the call's end; it must not hold the program.

        The reason is that of ``engine.dialects.swml.commands.Finished``. Nothing is told of a document that the call's
        end has ended.
        """
        self.label = label
        self._call = held_weakly(call)
        self._context = context
        self._on_over = on_over
        self._begun = False
        self._answered_at: float | None = None
        self._limit_s: float | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._over = False
        settings = context.config.signalwire
        insecure = settings.allow_insecure_callbacks or source.url.startswith("http:")
        channel = f"swml:{uuid.uuid4()}"
        self._posts = StatusPosts(context, call_id=call.facts.call_id, channel=channel, allow_insecure=insecure)
        me = weakref.proxy(self)
        self._run = SwmlRun(
            Interpreter(
                source,
                call=call_object(call.facts, CallState.RINGING, settings),  # `start` tells it anew
                envs={},
                max_document=settings.max_document_kb * 1024,
            ),
            self._call,
            context,
            Works(self._call, context, self._posts, channel=channel, allow_insecure=insecure),
            lambda reason: me._finished(reason),
            answer=lambda limit_s: me._answer(limit_s),
            allow_insecure=insecure,
        )

    # -- Program -------------------------------------------------------------------------------------------------

    def offered(self, now: float) -> None:
        """Run the document while the call rings; it says whether the call is answered."""
        self._begun = True
        self._run.begin(now)

    def start(self, now: float) -> None:
        """Both sides hear each other: a call out, and one that was handed on, begins now."""
        if self._over:
            return
        self._answered_at = now
        self._arm()
        self._run.answered(now)
        if not self._begun:
            self._begun = True
            self._run.begin(now)

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
        self._run.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is over: what became of its methods is still told."""
        self._over = True
        self._arm()
        self._run.hang_up(now)

    async def done(self) -> None:
        """Wait until all methods are over and their status posts in the outbox."""
        await self._run.done()
        await self._posts.done()

    # -- inside --------------------------------------------------------------------------------------------------

    def _answer(self, limit_s: float | None) -> None:
        if limit_s is not None:
            self._limit_s = limit_s
            self._arm()
        if self._call.state is CallState.RINGING:
            self._call.answer()

    def _arm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if not self._over and self._limit_s is not None and self._answered_at is not None:
            me = weakref.proxy(self)
            at = self._answered_at + self._limit_s
            self._limit = asyncio.get_running_loop().call_at(at, lambda: me._too_long())

    def _too_long(self) -> None:
        self._limit = None
        self._call.hang_up("time limit")

    def _finished(self, reason: str) -> None:
        if self._over:
            return
        on_over, self._on_over = self._on_over, None
        if on_over is not None:
            self._over = True
            self._arm()
            self._run.stop(self._context.now())
            on_over(reason)
        elif self._call.state is CallState.RINGING and self._call.facts.direction == "in":
            self._call.reject(_REFUSALS.get(reason, 603))
        else:
            self._call.hang_up("")
