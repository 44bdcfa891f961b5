"""``<Enqueue>``: callers wait in a queue until somebody takes them or they leave; ``<Dial><Queue>`` takes one.

Laws: first come, first served. Who is taken gets the mask's delay line and is connected; when the two part the waiting
side's document goes on with ``QueueResult=bridged``, whoever hung up. A queue holds `MAX_WAITING` callers; one more is
told ``queue-full``. A queue that nobody waits in is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from functools import partial

from dsp.mask import MaskFill
from engine.dialects.twilio import call_sid
from engine.dialects.twiml.commands import DialOut, Parameters, Queue
from engine.dialects.twiml.verbs import DialQueue
from engine.dialects.urls import resolved
from engine.errors import MediaError
from engine.log import fields
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.leg_program import MakeWhisper, Whisper
from engine.programs.meeting import Queues
from engine.programs.side_document import whisper_on
from engine.programs.verb import Ended
from engine.programs.waiting import Waiting
from engine.programs.weak import weakly

__all__ = ("MAX_WAITING", "QueueVerb", "TakeVerb")

log = logging.getLogger("engine.programs.queue")

MAX_WAITING = 1000
"Callers in one queue; as many queues as there are calls can be."
STAR = 10


class QueueVerb:
    """``engine.programs.verb.Verb`` for an ``Enqueue``."""

    def __init__(self, command: Queue, call: CallControl, context: ProgramContext, base_url: str, ended: Ended) -> None:
        enqueue = command.enqueue
        self.call = call
        self._context = context
        self._ended: Ended | None = ended
        self._queues: Queues = context.queues
        self._queue = self._queues.named(enqueue.name)
        self._since = 0.0
        self._waited_s = 0.0
        self._whisper: Whisper | None = None
        "What is heard before the two are connected."
        self._heard: list[Whisper] = []
        "Documents that are over and still waited for."
        self._taker: Callable[[], None] | None = None
        "Tells who took the caller that they part."
        self._then: Callable[[bool], None] = lambda wanted: None
        self._waiting = Waiting(
            call,
            context,
            url=enqueue.wait_url,
            method=enqueue.wait_method,
            base_url=base_url,
            left=weakly(self.leave),
            parameters=_Place(self),
        )

    # -- engine.programs.verb.Verb -------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Wait, or be taken at once where somebody waits for a caller."""
        self._since = now
        if len(self._queue.waiting) >= MAX_WAITING:
            log.warning("a queue is full", extra=fields(call=self.call.facts.call_id))
            # The document goes on behind us, not within us.
            asyncio.get_running_loop().call_soon(self._finish, "queue-full")
            return
        self._queue.waiting.append(self)
        self._waiting.start(now)
        if self._queue.takers:
            self._queue.takers[0].somebody_waits()

    def digit(self, code: int, now: float) -> None:
        """Take a key: the document of who waits may ask for one."""
        if self._whisper is not None:
            self._whisper.digit(code, now)
        elif self._taker is None:
            self._waiting.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        self._waiting.play_finished(token, by_digit, now)
        if self._whisper is not None:
            self._whisper.play_finished(token, by_digit, now)

    def hang_up(self, now: float) -> None:
        """The caller is gone."""
        self._finish("bridged" if self._taker is not None else "hangup")

    def stop(self, now: float) -> None:
        """The document goes on elsewhere."""
        self._ended = None
        self._let_go(now)

    def told(self, delivered: bool) -> None:
        """Nothing."""

    async def done(self) -> None:
        """Wait for the documents of who waits."""
        await self._waiting.done()
        for document in self._heard:
            await document.done()

    # -- in the queue --------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """The document of who waits leads out of the queue."""
        self._finish("leave")

    def taken_by(self, parted: Callable[[], None], now: float) -> None:
        """Wait no more: somebody is about to be connected; ``parted`` is called when this side goes first."""
        self._waited_s = max(0.0, now - self._since)
        self._taker = parted
        self._waiting.stop(now)
        if self in self._queue.waiting:
            self._queue.waiting.remove(self)

    def hear(self, make: MakeWhisper, then: Callable[[bool], None], now: float) -> None:
        """Hear a document before the two are connected; ``then`` takes whether they are to be."""
        self._whisper = whisper = make(self.call, weakly(self._has_heard))
        self._then = then
        whisper.begin(now)
        whisper.answered(now)

    def _has_heard(self, wanted: bool) -> None:
        self._end_whisper()
        self._then(wanted)

    def _end_whisper(self) -> None:
        whisper, self._whisper = self._whisper, None
        if whisper is not None:
            whisper.stop(self._context.now())
            self._heard.append(whisper)

    def part(self, result: str = "bridged") -> None:
        """Whoever took the caller is gone."""
        self._taker = None
        self._finish(result)

    def place(self) -> Parameters:
        """Return what requests of the waiting document tell."""
        waiting = self._queue.waiting
        return (
            ("QueueSid", self._queue.sid),
            ("QueuePosition", str(waiting.index(self) + 1 if self in waiting else 0)),
            ("QueueTime", str(round(max(0.0, self._context.now() - self._since)))),
            ("CurrentQueueSize", str(len(waiting))),
        )

    def _finish(self, result: str) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        now = self._context.now()
        waited_s = self._waited_s if result == "bridged" else max(0.0, now - self._since)
        self._let_go(now)
        ended((("QueueResult", result), ("QueueSid", self._queue.sid), ("QueueTime", str(round(waited_s)))))

    def _let_go(self, now: float) -> None:
        self._waiting.stop(now)
        self._end_whisper()
        if self in self._queue.waiting:
            self._queue.waiting.remove(self)
        taker, self._taker = self._taker, None
        if taker is not None:
            self.call.unbridge()
            taker()
        self._queues.forget(self._queue)


class TakeVerb:
    """``engine.programs.verb.Verb`` for a ``Dial`` with a queue in it: connects the call with who waits longest."""

    def __init__(
        self,
        command: DialOut,
        queue: DialQueue,
        call: CallControl,
        context: ProgramContext,
        base_url: str,
        ended: Ended,
    ) -> None:
        self._dial = command.dial
        self._call = call
        self._context = context
        self._ended: Ended | None = ended
        self._queues: Queues = context.queues
        self._queue = self._queues.named(queue.name)
        self._base_url = base_url
        self._document = (resolved(base_url, queue.url) if queue.url else "", queue.method)
        if queue.url and not self._document[0]:
            log.warning("the url of a <Queue> cannot be fetched: the two are connected without", extra=self._fields())
        self._caller: QueueVerb | None = None
        self._sid = ""
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- engine.programs.verb.Verb -------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Take somebody, or wait for one as long as the document says."""
        self._queue.takers.append(self)
        self._call.mask_line(fill=MaskFill(self._context.config.twilio.mask_fill))
        self._timer = asyncio.get_running_loop().call_later(max(1.0, self._dial.timeout_s), self._finish, "no-answer")
        if self._queue.waiting:
            # The document goes on behind us, not within us.
            asyncio.get_running_loop().call_soon(self.somebody_waits)

    def digit(self, code: int, now: float) -> None:
        """Part on ``*``, where the document wants that."""
        if code == STAR and self._dial.hangup_on_star and self._caller is not None:
            self._finish("completed")

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Nothing."""

    def hang_up(self, now: float) -> None:
        """The call is gone: the caller's document goes on."""
        self._finish("completed" if self._since is not None else "canceled")

    def stop(self, now: float) -> None:
        """The document goes on elsewhere."""
        self._ended = None
        self._let_go()

    def told(self, delivered: bool) -> None:
        """Nothing."""

    async def done(self) -> None:
        """Nothing is owed."""

    # -- the one who waits ---------------------------------------------------------------------------------------

    def somebody_waits(self) -> None:
        """Connect the call with who waits longest."""
        if self._ended is None or self._caller is not None or not self._queue.waiting:
            return
        if self in self._queue.takers:
            self._queue.takers.remove(self)
        caller, now = self._queue.waiting[0], self._context.now()
        caller.taken_by(weakly(self.caller_gone), now)
        self._caller = caller
        self._sid = call_sid(caller.call.facts.call_id)
        if self._timer is not None:
            self._timer.cancel()
        url, method = self._document
        if url:
            make = partial(whisper_on, self._context, url, method, self._base_url)
            caller.hear(make, weakly(self._has_heard), now)
        else:
            self._connect(caller)

    def _has_heard(self, wanted: bool) -> None:
        caller = self._caller
        if caller is None:
            return
        if wanted:
            self._connect(caller)
        else:
            self._finish("failed", "error")

    def _connect(self, caller: QueueVerb) -> None:
        now = self._context.now()
        fill = MaskFill(self._context.config.twilio.mask_fill)
        try:
            caller.call.mask_line(fill=fill)
            if self._call.state is CallState.RINGING:
                self._call.answer()
            self._call.bridge(caller.call)
        except MediaError as error:
            log.error("two calls cannot be connected: %s", error, extra=self._fields())
            self._finish("failed", "error")
            return
        self._since = now
        limit_s = max(1.0, float(self._dial.time_limit_s))
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._finish, "completed")

    def _fields(self) -> dict[str, Mapping[str, object]]:
        return fields(call=self._call.facts.call_id)

    def caller_gone(self) -> None:
        """Who was taken went first."""
        self._caller = None
        self._finish("completed")

    def _finish(self, status: str, result: str = "bridged") -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        now, since = self._context.now(), self._since
        self._let_go(result)
        outcome = [("DialCallStatus", status)]
        if self._sid:
            outcome.append(("DialCallSid", self._sid))
        if since is not None:
            outcome.append(("DialCallDuration", str(round(max(0.0, now - since)))))
        outcome.append(("DialBridged", "true" if since is not None else "false"))
        ended(tuple(outcome))

    def _let_go(self, result: str = "bridged") -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self in self._queue.takers:
            self._queue.takers.remove(self)
        caller, self._caller = self._caller, None
        if caller is not None:
            self._call.unbridge()
            caller.part(result)
        self._queues.forget(self._queue)


class _Place:
    """Tells where somebody stands in the queue."""

    def __init__(self, verb: QueueVerb) -> None:
        self._verb = weakref.ref(verb)

    def __call__(self) -> Parameters:
        verb = self._verb()
        return () if verb is None else verb.place()
