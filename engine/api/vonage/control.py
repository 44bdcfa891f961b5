"""What an application does to a call that is up: it is ended, muted, led to another NCCO, spoken and keyed into."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.vonage.answers import CALL, VoiceError, json_answer, no_content, request_object
from engine.api.vonage.calls import app_of, legs_of, no_such_call
from engine.api.vonage.orders import CallChange, call_change, digits_order, stream_order, talk_order
from engine.dialects.ncco.actions import Stream, Talk
from engine.dialects.ncco.identity import call_id_of
from engine.errors import MediaError, ProgramError
from engine.log import fields
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.leg_program import LegProgram
from engine.programs.ncco.legs import Leg
from engine.programs.ncco.live import LiveControl
from engine.programs.ncco.program import NccoProgram

__all__ = ("Controls", "LiveActions", "add_routes")

log = logging.getLogger("engine.api.vonage")


class LiveActions(Protocol):
    """What REST lets a call hear beside its program; each raises ``ProgramError`` when it cannot be."""

    def talk(self, work: Talk) -> None:
        """Speak, in place of what is spoken or played."""

    def stop_talk(self) -> bool:
        """Stop what is spoken; return whether anything was."""

    def stream(self, work: Stream) -> None:
        """Play a file, in place of what is spoken or played."""

    def stop_stream(self) -> bool:
        """Stop what is played; return whether anything was."""

    def send_digits(self, digits: str) -> None:
        """Key digits, ``p`` for half a second."""


Controls = Callable[[CallControl, ProgramContext], LiveActions]
"Finds what belongs to a call."


class _Handlers:
    def __init__(self, deps: ApiDeps, controls: Controls) -> None:
        self._deps = deps
        self._legs = legs_of(deps)
        self._controls = controls

    # -- PUT /v1/calls/{uuid} ----------------------------------------------------------------------------------------

    async def update(self, request: web.Request) -> web.Response:
        """Change what becomes of a call; 204."""
        _, app = app_of(request, self._deps)
        self._find(request)  # before its body is judged: of others' calls there is nothing to be said
        change = call_change(await request_object(request), app, self._deps.config)
        call, leg = self._find(request)
        if change.action == "hangup":
            log.info("a call is ended by request", extra=fields(call=leg.facts.call_id))
            call.hang_up("ended by request")
            return no_content()
        _check_up(call)
        try:
            self._change(call, change)
        except (ProgramError, MediaError) as error:
            raise VoiceError(409, str(error)) from None
        log.info("a call is changed by request", extra=fields(call=leg.facts.call_id, action=change.action))
        return no_content()

    def _change(self, call: CallControl, change: CallChange) -> None:
        if change.action in ("mute", "unmute"):
            call.mute(change.action == "mute")
        elif change.action in ("earmuff", "unearmuff"):
            call.earmuff(change.action == "earmuff")
        else:
            program = call.program
            if not isinstance(program, NccoProgram | LegProgram) or change.source is None:
                raise VoiceError(409, "What runs on the call takes no NCCO")
            program.redirect(change.source)

    # -- talk, stream, dtmf ------------------------------------------------------------------------------------------

    async def talk(self, request: web.Request) -> web.Response:
        """Speak into a call; 200 as soon as it has begun."""
        self._find(request)
        talk = talk_order(await request_object(request))
        return self._do(request, lambda live: live.talk(talk), "Talk started")

    async def stop_talk(self, request: web.Request) -> web.Response:
        """Stop that."""
        return self._do(request, lambda live: live.stop_talk(), "Talk stopped")

    async def stream(self, request: web.Request) -> web.Response:
        """Play a file into a call; 200 as soon as it is under way."""
        self._find(request)
        stream = stream_order(await request_object(request))
        return self._do(request, lambda live: live.stream(stream), "Stream started")

    async def stop_stream(self, request: web.Request) -> web.Response:
        """Stop that."""
        return self._do(request, lambda live: live.stop_stream(), "Stream stopped")

    async def dtmf(self, request: web.Request) -> web.Response:
        """Key digits into a call."""
        self._find(request)
        digits = digits_order(await request_object(request))
        return self._do(request, lambda live: live.send_digits(digits), "DTMF sent")

    def _do(self, request: web.Request, act: Callable[[LiveActions], object], message: str) -> web.Response:
        call, leg = self._find(request)
        _check_up(call)
        try:
            act(self._controls(call, self._deps.context))
        except (ProgramError, MediaError) as error:
            raise VoiceError(409, str(error)) from None
        return json_answer({"message": message, "uuid": leg.uuid})

    # -- inside ------------------------------------------------------------------------------------------------------

    def _find(self, request: web.Request) -> tuple[CallControl, Leg]:
        """Return the application's call that a path names; raise ``VoiceError`` (404) when there is none."""
        name, _ = app_of(request, self._deps)
        call_id = call_id_of(request.match_info["uuid"])
        leg = self._legs.find(call_id) if call_id else None
        call = self._deps.exchange.call(call_id) if call_id else None
        if leg is None or call is None or leg.app != name or call.state is CallState.ENDED:
            raise no_such_call()
        return call, leg


def _check_up(call: CallControl) -> None:
    if call.state is not CallState.ANSWERED:
        raise VoiceError(409, "The call is not answered yet")


def add_routes(app: web.Application, deps: ApiDeps, *, controls: Controls = LiveControl) -> None:
    """Add the routes of what is done to a call."""
    handlers = _Handlers(deps, controls)
    app.router.add_put(CALL, handlers.update)
    app.router.add_put(f"{CALL}/talk", handlers.talk)
    app.router.add_delete(f"{CALL}/talk", handlers.stop_talk)
    app.router.add_put(f"{CALL}/stream", handlers.stream)
    app.router.add_delete(f"{CALL}/stream", handlers.stop_stream)
    app.router.add_put(f"{CALL}/dtmf", handlers.dtmf)
