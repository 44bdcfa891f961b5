"""The calls that RELAY clients lead: finds the program for each command, and the client's calls when it is gone.

Laws: a command reaches a call of its own client alone; whoever asks for another's is told that there is none. Nothing
of what a client sends raises, and no fault of one call shows on another's.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

from engine.config import RelayApp
from engine.dialects.relay import events
from engine.dialects.relay.reading import BAD, BUSY, GONE, UNSUPPORTED, RequestRefused
from engine.dialects.relay.requests import Dial, read_command
from engine.dialects.signalwire.pay import PayRefused
from engine.errors import BusyError, CallError, ConfigError, Error, ProgramError
from engine.events import CallRinging, EngineEvent
from engine.log import fields
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.relay.dial import RelayDial
from engine.programs.relay.link import RelaySession, Sessions
from engine.programs.relay.program import Fallback, RelayProgram
from engine.programs.weak import weakly

__all__ = ("RelayCalls",)

log = logging.getLogger("engine.programs.relay")

MAX_DIALS = 1000
"Diallings of all clients that nobody has answered yet."


class RelayCalls:
    """``engine.programs.relay.link.CommandHandler``; made once by ``engine.service``."""

    def __init__(self, context: ProgramContext, sessions: Sessions) -> None:
        self.sessions = sessions
        self._context = context
        self._programs: weakref.WeakValueDictionary[str, RelayProgram] = weakref.WeakValueDictionary()
        "By the id of the call."
        self._led: dict[str, weakref.WeakValueDictionary[str, RelayProgram]] = {}
        "Of each session, by its protocol."
        self._dials: dict[tuple[str, str], RelayDial] = {}
        "By the session's protocol and the tag."

    def program_of(self, name: str, app: RelayApp, call: CallControl) -> RelayProgram:
        """Return the program of a call that a route gives to an application, or that is handed on to it."""
        return RelayProgram(
            self,
            self._context,
            label=name,
            relay_context=app.context,
            fallback=Fallback(app.fallback_app, app.fallback_form),
            answer_timeout_s=app.answer_timeout_s,
        ).run_on(call)

    def observe(self, event: EngineEvent) -> None:
        """Note what the engine tells observers: that a call out rings."""
        if isinstance(event, CallRinging) and (program := self._programs.get(event.call_id)) is not None:
            program.ringing()

    # -- engine.programs.relay.program.Registry ------------------------------------------------------------------

    def led(self, program: RelayProgram, session: RelaySession) -> None:
        """Note that a session leads a call from now on."""
        call_id = program.facts.call_id
        self._programs[call_id] = program
        self._led.setdefault(session.protocol, weakref.WeakValueDictionary())[call_id] = program
        self.sessions.count_calls(session, 1)

    def left(self, program: RelayProgram, session: RelaySession) -> None:
        """Note that it does not any more."""
        call_id = program.facts.call_id
        if self._programs.get(call_id) is program:
            del self._programs[call_id]
        calls = self._led.get(session.protocol)
        if calls is not None and calls.get(call_id) is program:
            del calls[call_id]
            if not calls:
                del self._led[session.protocol]
        self.sessions.count_calls(session, -1)

    # -- engine.programs.relay.link.CommandHandler ---------------------------------------------------------------

    def command(self, session: RelaySession, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out a request and return its result."""
        try:
            return self._command(session, method, params)
        except RequestRefused as refused:
            return events.refused(refused)
        except PayRefused as refused:
            return {"code": refused.code, "message": str(refused)}
        except (BusyError, ProgramError) as error:
            return {"code": BUSY, "message": str(error)}
        except (CallError, ConfigError) as error:
            return {"code": BAD, "message": str(error)}
        except Error as error:
            log.warning("a RELAY command cannot be carried out: %s", error, extra=fields(method=method[:64]))
            return {"code": "500", "message": str(error)}
        except Exception as error:
            # No text of the exception: it may hold what the client sent.
            log.error("a RELAY command broke down", extra=fields(method=method[:64], error=type(error).__name__))
            return {"code": "500", "message": "internal error"}

    def _command(self, session: RelaySession, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if method == "calling.dial":
            command = read_command(method, params)
            assert isinstance(command, Dial)
            return self._dial(session, command)
        if not method.startswith("calling."):
            raise RequestRefused(UNSUPPORTED, "this method is not carried out here")
        call_id = params.get("call_id")
        if not isinstance(call_id, str) or not call_id:
            raise RequestRefused(BAD, "call_id: is missing")
        program = self._programs.get(call_id)
        if program is None or program.session is not session or program.is_over:
            raise RequestRefused(GONE, "there is no such call, or not any more")
        return program.carry_out(read_command(method, params))

    def session_over(self, session: RelaySession) -> None:
        """Give the calls of a client that is gone for good to their fallback."""
        for key, dial in [*self._dials.items()]:
            if dial.session is session:
                del self._dials[key]
                dial.stop()
        loop = asyncio.get_running_loop()
        for program in [*self._led.get(session.protocol, {}).values()]:
            # Not within what is told just now: a queue that runs over ends its session.
            loop.call_soon(weakly(program.client_gone))

    # -- calling.dial --------------------------------------------------------------------------------------------

    def _dial(self, session: RelaySession, command: Dial) -> Mapping[str, Any]:
        key = (session.protocol, command.tag)
        if key in self._dials:
            raise RequestRefused(BUSY, "tag: it is being dialled")
        if len(self._dials) >= MAX_DIALS:
            raise RequestRefused(BUSY, "too much is being dialled at a time")
        dial = RelayDial(
            command,
            session,
            self._context,
            make_program=partial(self._outbound, session),
            over=lambda dial: self._dialled(dial),
        )
        self._dials[key] = dial
        try:
            dial.start()
        except Exception:
            del self._dials[key]
            raise
        return events.accepted(message="Dialing")

    def _outbound(self, session: RelaySession, tag: str, limit_s: float | None) -> RelayProgram:
        return RelayProgram(self, self._context, label="relay", session=session, tag=tag, limit_s=limit_s)

    def _dialled(self, dial: RelayDial) -> None:
        self._dials.pop((dial.session.protocol, dial.tag), None)
