"""A call that a RELAY client leads: offered to one client of its context, carried out what it commands.

::

    in:  offered -> calling.call.receive to a client -> it answers, ends it, passes it on, or lets the time go by
    out: placed for a client (calling.dial) -> states with its tag -> answered

Laws:

- A call in that no client takes goes to the application's fallback, or is refused with 480. So does one whose client is
  gone for good: what runs is stopped, a payment at its connector is waited for, then the fallback leads the call.
- At the end of the call every thing that runs has its last event before ``ending`` and ``ended`` are told; a payment
  whose connector is being asked delays them until it answers.
- A client that has the call no more is told ``ended``: nothing of a call stays with it for ever.
- The program holds its call by ``weakref``, and neither hooks nor timers hold the program.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from engine.config import SwmlApp
from engine.dialects.relay import events
from engine.dialects.relay.reading import BUSY, GONE, RequestRefused
from engine.dialects.relay.requests import (
    Answer,
    Command,
    Control,
    Dial,
    Disconnect,
    End,
    Hold,
    Pass,
    Transfer,
    UserEvent,
)
from engine.dialects.signalwire.identity import end_reason
from engine.errors import ConfigError
from engine.log import fields
from engine.program import CallControl, CallFacts, CallState, Program
from engine.programs.context import ProgramContext
from engine.programs.relay.link import RelaySession, Sessions
from engine.programs.relay.running import Running
from engine.programs.relay.works import Works
from engine.programs.swml.program import program_of as swml_program
from engine.programs.weak import weakly

__all__ = ("DialOwner", "Fallback", "Registry", "RelayProgram")

log = logging.getLogger("engine.programs.relay")

NO_CLIENT = 480
"SIP status for a call that no client takes (RFC 3261 §21.4.18)."
_REFUSALS = {"busy": 486, "decline": 603, "noAnswer": 480, "error": 500, "cancel": 480, "abandoned": 480}
DECLINED = 603


class DialOwner(Protocol):
    """Who dials: hears of each of its calls until one is answered."""

    def leg_answered(self, program: RelayProgram) -> bool:
        """Note that somebody answered; return False when nobody is wanted any more."""

    def leg_over(self, program: RelayProgram, cause: str) -> None:
        """Note that somebody did not."""


class Registry(Protocol):
    """Who finds the programs for the commands of clients: ``engine.programs.relay.calls``."""

    sessions: Sessions

    def led(self, program: RelayProgram, session: RelaySession) -> None:
        """Note that a session leads a call from now on."""

    def left(self, program: RelayProgram, session: RelaySession) -> None:
        """Note that it does not any more."""


class Fallback:
    """What leads a call that no client does."""

    def __init__(self, app: str = "", form: str = "") -> None:
        self.app = app
        self.form = form

    def __bool__(self) -> bool:
        return bool(self.app or self.form)


class RelayProgram:
    """``engine.program.Program`` of one call."""

    def __init__(
        self,
        registry: Registry,
        context: ProgramContext,
        *,
        label: str,
        relay_context: str = "",
        fallback: Fallback | None = None,
        answer_timeout_s: float = 30.0,
        session: RelaySession | None = None,
        tag: str = "",
        limit_s: float | None = None,
    ) -> None:
        """``session`` is whose call out this is; without one a client of ``relay_context`` is looked for.

        ``limit_s`` is how long the call may last from its answer on. `run_on` gives it its call.
        """
        self.label = label
        self.facts: CallFacts
        self._registry = registry
        self._context = context
        self._relay_context = relay_context
        self._fallback = fallback or Fallback()
        self._answer_timeout_s = answer_timeout_s
        self._session = session
        self._tag = tag
        self._limit_s = limit_s
        self._owner: DialOwner | None = None
        self._had: list[RelaySession] = []
        "Clients that passed the call on, or let the time go by."
        self._call: CallControl
        self._reference: Callable[[], CallControl | None]
        self._running: Running
        self._works: Works
        self._timers: dict[Literal["answer", "limit"], asyncio.TimerHandle] = {}
        self._answered_at: float | None = None
        self._is_answering = False
        self._told_state = ""
        self._end_reason = ""
        self._then: Callable[[], None] | None = None
        "What follows when nothing runs any more."
        self._successor: Program | None = None
        "What leads the call in our place."
        self._is_over = False
        self._is_told_over = False

    def run_on(self, call: CallControl) -> RelayProgram:
        """Take the call, and return the program."""
        self.facts = call.facts
        self._call = weakref.proxy(call)
        self._reference = weakref.ref(call)
        self._running = Running(call.facts.call_id, now=self._context.now, idle=weakly(self._idle))
        self._works = Works(self._call, self._context, self._running, weakly(self._tell), f"relay:{uuid.uuid4()}")
        session = self._session
        if session is not None:
            self._registry.led(self, session)
            self._tell_state("created")
        return self

    @property
    def session(self) -> RelaySession | None:
        """Who leads the call; None: nobody, or somebody else's program."""
        return None if self._is_told_over else self._session

    @property
    def is_over(self) -> bool:
        """Whether the call is over: its client's commands come too late."""
        return self._is_over

    # -- Program -------------------------------------------------------------------------------------------------

    def offered(self, now: float) -> None:
        """Offer a call in that rings to a client."""
        self._offer()

    def start(self, now: float) -> None:
        """Both sides hear each other."""
        self._answered_at = now
        if self._successor is not None:
            self._tell_state("answered")
            self._successor.start(now)
            return
        owner, self._owner = self._owner, None
        if owner is None and self._session is None and self._then is None:  # handed on when it was up already
            self._offer()
            return
        self._tell_state("answered")
        if owner is not None and not owner.leg_answered(self):
            self.give_up("somebody else answered")
            return
        self._arm_limit()
        self._running.up(now)

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        if self._successor is None:
            self._running.digit(code, now)
        elif not self._running.passes_over(now):
            self._successor.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        if self._successor is not None:
            self._successor.digit_ended(now)
        else:
            self._running.digit_ended(now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        if self._successor is not None:
            self._successor.count_digit(source)
        else:
            self._running.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        self._running.play_finished(token, interrupted_by_digit, now)
        if self._successor is not None:
            self._successor.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is over: all that runs ends, then the client is told."""
        if self._successor is not None:
            self._successor.hang_up(now)
        if self._is_over:
            return
        self._is_over = True
        self._then = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        owner, self._owner = self._owner, None
        self._running.hang_up(now)
        if not self._running:
            self._tell_over()
        if owner is not None:
            owner.leg_over(self, self._call.cause)

    async def done(self) -> None:
        """Wait until nothing is owed any more."""
        await self._running.done()
        self._tell_over()
        if self._successor is not None:
            await self._successor.done()

    # -- for who dials -------------------------------------------------------------------------------------------

    def dialled_by(self, owner: DialOwner) -> None:
        """Tell somebody of the answer, or of the end without one."""
        self._owner = weakref.proxy(owner)

    def give_up(self, reason: str) -> None:
        """End a call out that is not wanted any more."""
        self._owner = None
        self._end_reason = self._end_reason or "cancel"
        self._call.hang_up(reason)

    def never_placed(self) -> None:
        """Note that there is no such call after all."""
        self._owner = None
        if not self._is_over and self._told_state:
            self._is_over = True
            self._end_reason = "error"
            self._tell_over()

    def ringing(self) -> None:
        """Note that a call out rings at the far end."""
        if not self._is_over and self._answered_at is None:
            self._tell_state("ringing")

    # -- clients -------------------------------------------------------------------------------------------------

    def _offer(self) -> None:
        """Offer the call to the next client, or leave it to the fallback."""
        session = self._registry.sessions.choose(self._relay_context, without=self._had)
        if session is None:
            log.info("no RELAY client takes a call", extra=self._fields())
            self._fall_back()
            return
        self._session = session
        self._registry.led(self, session)
        params = events.received(
            self.facts, context=self._relay_context, project=self._context.config.signalwire.project
        )
        if self._answered_at is not None:
            params["call_state"] = "answered"
        self._told_state = params["call_state"]
        session.tell(events.RECEIVE, params)
        if self._answered_at is not None:
            self._arm_limit()
            self._running.up(self._context.now())
        else:
            self._arm("answer", self._context.now() + self._answer_timeout_s, self._too_slow)

    def _pass_on(self, reason: str) -> None:
        """Take the call from its client, and offer it to another one."""
        self._disarm("answer")
        session = self._session
        if session is not None:
            self._had.append(session)
            self._tell_end(reason)
            self._leave()
        self._told_state = ""
        self._offer()

    def _too_slow(self) -> None:
        log.info("a RELAY client lets a call ring for too long", extra=self._fields())
        session = self._session
        if session is not None:
            self._tell_end("abandoned")
            self._leave()
        self._fall_back()

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._registry.left(self, session)

    def client_gone(self) -> None:
        """The client is gone for good: stop what runs, then the fallback leads the call."""
        if self._is_over or self._session is None:
            return
        log.warning("a RELAY client is gone: its call goes to the fallback", extra=self._fields())
        self._leave()
        if self._successor is None:
            self._disarm("answer")
            self._stop_then(self._fall_back)

    def _stop_then(self, then: Callable[[], None]) -> None:
        """End what runs, wait for a payment at its connector, and go on."""
        self._then = then
        self._running.stop(self._context.now())
        if not self._running:
            self._idle()

    def _idle(self) -> None:
        """Nothing runs any more."""
        if self._is_over:
            self._tell_over()
            return
        then, self._then = self._then, None
        if then is not None:
            then()

    def _fall_back(self) -> None:
        """Let the fallback lead the call, or refuse it."""
        call = self._reference()
        make = self._context.program_named
        if call is None or self._is_over or self._call.state is CallState.ENDED:
            return
        if self._fallback and make is not None:
            try:
                self._hand_to(make(self._fallback.app, self._fallback.form, call))
            except ConfigError as error:
                log.error("the fallback of a RELAY application cannot run: %s", error, extra=self._fields())
            else:
                return
        if self.facts.direction == "in" and self._answered_at is None and not self._is_answering:
            self._call.reject(NO_CLIENT)
        else:
            self._call.hang_up("no client")

    def _hand_to(self, program: Program) -> None:
        """Let another program lead the call from now on."""
        self._successor = program
        self._disarm("limit")
        now = self._context.now()
        if self._answered_at is not None:
            program.start(now)
        elif self.facts.direction == "in":
            program.offered(now)

    # -- commands ------------------------------------------------------------------------------------------------

    def carry_out(self, command: Command) -> Mapping[str, Any]:
        """Do what the client wants and return the result; raise `RequestRefused` and errors of the engine."""
        done = events.accepted(call_id=self.facts.call_id)
        if isinstance(command, End):
            self._end(command.reason)
            return done
        if self._successor is not None or self._then is not None:
            raise RequestRefused(GONE, "the call was handed on")
        match command:
            case Answer():
                self._answer(command)
            case Pass():
                if self.facts.direction != "in" or self._is_up_or_answering:
                    raise RequestRefused(BUSY, "the call is answered: it cannot be passed on")
                self._pass_on("cancel")
            case Transfer():
                self._transfer(command)
            case Hold():
                self._hold(command)
            case UserEvent():
                self._tell(events.USER_EVENT, events.of_call(self.facts, self._tag) | dict(command.event))
            case Disconnect():
                return self._works.disconnect(command)
            case Control():
                return self._works.control(command)
            case Dial():
                raise RequestRefused(BUSY, "dial is about no call")
            case _:
                if not self._is_up_or_answering:
                    raise RequestRefused(BUSY, "the call is not answered")
                return self._works.begin(command)
        return done

    @property
    def _is_up_or_answering(self) -> bool:
        return self._answered_at is not None or self._is_answering

    def _answer(self, command: Answer) -> None:
        self._disarm("answer")
        if command.max_duration_s is not None:
            self._limit_s = command.max_duration_s
            self._arm_limit()
        if self.facts.direction == "in" and not self._is_up_or_answering:
            self._is_answering = True
            self._call.answer()

    def _end(self, reason: str) -> None:
        self._end_reason = reason
        if self.facts.direction == "in" and not self._is_up_or_answering:
            self._call.reject(_REFUSALS.get(reason, DECLINED))
        else:
            self._call.hang_up(reason)

    def _hold(self, command: Hold) -> None:
        if self._answered_at is None:
            raise RequestRefused(BUSY, "the call is not answered")
        if self._running.has_kind("pay") or self._call.guard.busy:
            raise RequestRefused(BUSY, "a payment is in progress")
        self._call.put_on_hold(command.on)
        self._tell(events.HOLD, events.of_call(self.facts, self._tag) | {"state": "hold" if command.on else "unhold"})

    def _transfer(self, command: Transfer) -> None:
        call, make = self._reference(), self._context.program_named
        if self._running.has_kind("pay") or self._call.guard.busy:
            raise RequestRefused(BUSY, "a payment is in progress")
        if call is None:
            raise RequestRefused(GONE, "the call is over")
        self._disarm("answer")
        if command.kind == "app":
            if make is None or command.dest not in self._context.config.apps:
                raise RequestRefused("422", "dest: neither a URL, nor a document, nor the name of an application")
            program = make(command.dest, "", call)
        elif command.kind == "url":
            program = swml_program("transfer", SwmlApp(dialect="swml", url=command.dest), call, self._context)
        else:
            program = swml_program("transfer", SwmlApp(dialect="swml", document=command.dest), call, self._context)
        self._stop_then(_nothing)
        if isinstance(program, RelayProgram):  # the call is another client's, or new to the same one
            self._tell_end("hangup")
            self._leave()
        self._hand_to(program)

    # -- what is told --------------------------------------------------------------------------------------------

    def _tell(self, event_type: str, params: Mapping[str, Any]) -> None:
        if self._session is not None and not self._is_told_over:
            told = {**params, "tag": self._tag} if self._tag and "tag" not in params else params
            self._session.tell(event_type, told)

    def _tell_state(self, state: str) -> None:
        if state != self._told_state:
            self._told_state = state
            self._tell(events.STATE, events.state_changed(self.facts, state, tag=self._tag))

    def _tell_end(self, reason: str) -> None:
        for state in ("ending", "ended"):
            self._tell(events.STATE, events.state_changed(self.facts, state, tag=self._tag, end_reason=reason))

    def _tell_over(self) -> None:
        """Tell the end of the call, once nothing runs on it any more."""
        if self._is_told_over or not self._is_over:
            return
        self._tell_end(self._end_reason or end_reason(self._call.cause))
        self._leave()
        self._is_told_over = True

    # -- time ----------------------------------------------------------------------------------------------------

    def _arm(self, name: Literal["answer", "limit"], at: float, method: Callable[[], None]) -> None:
        self._disarm(name)
        self._timers[name] = asyncio.get_running_loop().call_at(at, weakly(method))

    def _disarm(self, name: Literal["answer", "limit"]) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _arm_limit(self) -> None:
        if self._limit_s is not None and self._answered_at is not None and not self._is_over:
            self._arm("limit", self._answered_at + self._limit_s, self._too_long)

    def _too_long(self) -> None:
        self._end_reason = "max_duration"
        self._call.hang_up("time limit")

    def _fields(self) -> dict[str, Mapping[str, object]]:
        return fields(call=self.facts.call_id, app=self.label)


def _nothing() -> None:
    """What follows when something else leads the call at once."""
