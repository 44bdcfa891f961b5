"""A document on a call: feeds the interpreter with what happens and carries out what it wants.

``engine.programs.twiml`` runs one as the program of a call; what a caller hears who waits in a queue, and what the
called side hears before it is connected, are others.

Laws:

- Each command with a token is answered once, unless it was stopped: a verb that breaks down, a request that comes to
  nothing and an interpreter that fails are answers too, and none of them ends more than this document.
- A hang-up, and a `Stop`, end requests for documents. A request that tells the outcome of a verb goes on to its end,
  and the verb learns what became of it (`Verb.told`): always, once.
- Keys go to the verb that runs, and to the interpreter only while none does. From the end of a payment until its
  outcome is told they go nowhere: they may be the rest of a card number.

What holds of every feeder is said in ``engine.programs.feeder``.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from typing import Protocol

from engine.dialects.twilio import call_status
from engine.dialects.twiml.commands import (
    Answer,
    Command,
    DialOut,
    Fetch,
    Finished,
    Parameters,
    Queue,
    Reject,
    Source,
    Speak,
    StartPay,
    StartRecord,
    Stop,
    Warn,
)
from engine.errors import ProgramError
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.feeder import Feeder
from engine.programs.fetching import Fetched, request_document
from engine.programs.speech import Speech
from engine.programs.verb import Verb

__all__ = ("DocumentRun", "Interpreting")

log = logging.getLogger("engine.programs.document")

PASSED_OVER = 12200
"The vendor's number for a verb that is not carried out."
_LongCommand = StartPay | StartRecord | DialOut | Queue


class Interpreting(Protocol):
    """What a run feeds, and takes commands from: ``engine.dialects.twiml.interpreter.Interpreter``."""

    def start(self, now: float) -> None:
        """Begin: ask for the first document."""

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""

    def fetched(self, token: int, *, status: int, content_type: str, body: bytes, url: str, now: float) -> None:
        """Take an answer to `Fetch`."""

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        """Note that there is no answer to `Fetch`."""

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""

    def spoken(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a `Speak` is over."""

    def ended(self, token: int, parameters: Parameters, now: float) -> None:
        """Take the outcome of a verb."""

    def redirect(self, source: Source, now: float) -> None:
        """Go on with another document."""

    def leave(self, now: float) -> None:
        """Leave the queue."""

    def hang_up(self, now: float) -> None:
        """Note that the call is over."""

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`."""

    def handle_timer(self, now: float) -> None:
        """Note that time has passed."""

    def next_command(self) -> Command | None:
        """Return the next thing to do."""


class DocumentRun(Feeder[Command, Interpreting]):
    """One interpreter on one call, from `begin` to the call of ``finished``, which comes once."""

    def __init__(
        self,
        interpreter: Interpreting,
        call: CallControl,
        context: ProgramContext,
        finished: Callable[[str], None],
        *,
        allow_insecure: bool = False,
    ) -> None:
        """Take the call, or a proxy of it. ``finished`` takes the reason of `Finished`; it must not hold the run.

        ``allow_insecure`` admits http for documents; actions of payments want ``[twilio] allow_insecure_callbacks``.
        """
        super().__init__(interpreter, call, context, finished, timed=interpreter, log=log)
        self._allow_insecure = allow_insecure
        self._speeches: dict[int, Speech] = {}
        "At most one, but for the moment of a change."
        self._verbs: dict[int, Verb] = {}
        "That run, by token."
        self._payments: set[int] = set()
        "Tokens of payments that run, or whose outcome is not told yet."
        self._untold: dict[int, Verb] = {}
        "Verbs with an outcome of which they do not know whether it was taken."
        self._leaving: list[Verb] = []
        "That are over, and still waited for."
        self._fetches: dict[int, asyncio.Task[None]] = {}
        "Requests whose answer the interpreter waits for, by token."
        self._outcomes: dict[int, int] = {}
        "Requests that tell the outcome of a verb, and of which."

    # -- what happens on the call --------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Ask for the first document."""
        self._tell(self._interpreter.start, now)

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""
        self._tell(self._interpreter.answered, now)

    def redirect(self, source: Source, now: float) -> None:
        """Go on with another document; over http if that is asked for."""
        self._allow_insecure = self._allow_insecure or source.url.startswith("http:")
        self._tell(self._interpreter.redirect, source, now)

    def leave(self, now: float) -> None:
        """Leave the queue that this document waits in."""
        self._tell(self._interpreter.leave, now)

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        if self._verbs:
            for verb in [*self._verbs.values()]:
                self._guarded(verb.digit, code, now)
            return
        if self._payments or self._hung_up:
            return
        speeches = [*self._speeches.values()]
        self._tell(self._interpreter.digit, code, now)
        for speech in speeches:
            speech.digit()  # of no effect when the interpreter has stopped it

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        for verb in self._all_verbs():
            self._guarded(verb.digit_ended, now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        for verb in [*self._verbs.values()]:
            self._guarded(verb.count_digit, source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        for speech in [*self._speeches.values()]:
            speech.play_finished(token, by_digit)
        for verb in self._all_verbs():
            self._guarded(verb.play_finished, token, by_digit, now)

    def hang_up(self, now: float) -> None:
        """Note that the call is over: outcomes are still told, nothing else happens."""
        if self._hung_up:
            return
        self._hung_up = True
        self._tell(self._interpreter.hang_up, now)
        for token in (*self._speeches, *self._fetches):
            if token not in self._outcomes:
                self._stop(token, now)
        for verb in [*self._verbs.values()]:
            self._guarded(verb.hang_up, now)
        self._pump()

    def stop(self, now: float) -> None:
        """Give the document up, with all that runs for it; ``finished`` is not called any more."""
        self._finished = None
        self._hung_up = self._closed = True
        for token in (*self._speeches, *self._verbs, *self._fetches):
            self._stop(token, now)
        self._arm()

    async def done(self) -> None:
        """Wait until all that the document and its verbs still owe somebody is written."""
        while self._verbs or self._tasks:
            running = [*self._verbs.items()]
            for _, verb in running:
                await self._see_off(verb)
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for token, _ in running:
                if self._verbs.pop(token, None) is not None:  # it ended without an outcome
                    self._payments.discard(token)
        self._closed = True
        self._arm()

    # -- the interpreter's commands ------------------------------------------------------------------------------

    def _carry_out(self, command: Command) -> None:
        match command:
            case Fetch():
                self._fetch(command)
            case Answer():
                self._call.answer()
            case Reject():
                self._call.reject(command.status)
            case Speak():
                self._speak(command)
            case StartPay() | StartRecord() | DialOut() | Queue():
                self._begin_verb(command)
            case Stop():
                self._stop(command.token, self._context.now())
            case Warn():
                log.warning("%s", command.message, extra=self._fields(code=command.code))
            case Finished():
                self._finish(command.reason)

    def _carried_out(self) -> None:
        for token in self._untold.keys() - set(self._outcomes.values()):
            self._told(token, delivered=False)  # nobody asks to hear of it

    def _speak(self, command: Speak) -> None:
        me, token = weakref.proxy(self), command.token
        self._speeches[token] = speech = Speech(
            command.items,
            self._call,
            self._context,
            lambda by_digit: me._spoken(token, by_digit),
            base_url=command.base_url,
            interruptible=command.interruptible,
        )
        speech.start()

    def _spoken(self, token: int, by_digit: bool) -> None:
        if (speech := self._speeches.pop(token, None)) is not None:
            self._await(speech.done())
            self._tell(self._interpreter.spoken, token, by_digit, self._context.now())

    def _stop(self, token: int, now: float) -> None:
        """Give up what runs under a token, whatever it is; a request that tells an outcome goes on."""
        if (speech := self._speeches.pop(token, None)) is not None:
            speech.stop()
            self._await(speech.done())
        elif (verb := self._verbs.pop(token, None)) is not None:
            self._payments.discard(token)
            self._guarded(verb.stop, now)
            self._await(self._see_off(verb))
        elif (task := self._fetches.pop(token, None)) is not None and token not in self._outcomes:
            task.cancel()

    # -- requests ------------------------------------------------------------------------------------------------

    def _fetch(self, command: Fetch) -> None:
        if command.about in self._untold:
            self._outcomes[command.token] = command.about
        self._fetches[command.token] = self._await(self._request(command))

    async def _request(self, command: Fetch) -> None:
        answer, reason = None, ""
        insecure = self._context.config.twilio.allow_insecure_callbacks
        try:
            answer = await request_document(
                command,
                context=self._context,
                facts=self._facts,
                status=call_status(self._state()),
                allow_insecure=insecure or (self._allow_insecure and command.about not in self._payments),
            )
        except ProgramError as error:
            reason = str(error)
        except Exception as error:
            self._failure("a request failed", error)
            reason = "internal error"
        is_wanted = self._fetches.pop(command.token, None) is not None
        if about := self._outcomes.pop(command.token, 0):
            self._told(about, delivered=answer is not None and answer.is_taken)
        if is_wanted:
            self._tell(self._answer, command, answer, reason)

    def _answer(self, command: Fetch, answer: Fetched | None, reason: str) -> None:
        now = self._context.now()
        if answer is None:
            self._interpreter.fetch_failed(command.token, reason, now)
            return
        log.debug("document", extra=self._fields(status=answer.status, bytes=len(answer.body)))
        self._interpreter.fetched(
            command.token,
            status=answer.status,
            content_type=answer.content_type,
            body=answer.body,
            url=answer.url,
            now=now,
        )

    def _state(self) -> CallState:
        return CallState.ENDED if self._hung_up else self._call.state

    # -- verbs that run for long ---------------------------------------------------------------------------------

    def _begin_verb(self, command: _LongCommand) -> None:
        token, now = command.token, self._context.now()
        me = weakref.proxy(self)
        make = self._context.verbs.get(type(command))
        if make is None:
            message = "a verb is passed over: this engine does not carry it out"
            log.warning(message, extra=self._fields(code=PASSED_OVER, verb=type(command).__name__))
            self._guarded(self._interpreter.ended, token, (), now)
            return
        try:
            verb = make(command, self._call, self._context, command.base_url, lambda found: me._ended(token, found))
        except Exception as error:
            self._failure("a verb cannot begin", error)
            self._guarded(self._interpreter.ended, token, (), now)
            return
        self._verbs[token] = verb
        if isinstance(command, StartPay):
            self._payments.add(token)
        try:
            verb.start(now)
        except Exception as error:
            self._failure("a verb cannot begin", error)
            self._ended(token, ())

    def _ended(self, token: int, parameters: Parameters) -> None:
        if (verb := self._verbs.pop(token, None)) is None:
            return  # stopped, or it said so before
        self._untold[token] = verb
        self._tell(self._interpreter.ended, token, parameters, self._context.now())

    def _told(self, token: int, *, delivered: bool) -> None:
        self._payments.discard(token)
        if (verb := self._untold.pop(token, None)) is not None:
            self._guarded(verb.told, delivered)
            self._await(self._see_off(verb))

    async def _see_off(self, verb: Verb) -> None:
        """Wait for a verb; it hears of its playlists until then."""
        self._leaving.append(verb)
        try:
            await verb.done()
        except Exception as error:
            self._failure("a verb does not come to its end", error)
        finally:
            self._leaving.remove(verb)

    def _all_verbs(self) -> list[Verb]:
        return list(dict.fromkeys((*self._verbs.values(), *self._untold.values(), *self._leaving)))
