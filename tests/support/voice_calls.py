"""Calls of the Voice API that a test plays: an engine without telephones, its programs, what is heard beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

from engine.api.deps import ApiDeps, Resource
from engine.api.vonage import control, files
from engine.api.vonage.calls import Calls
from engine.api.vonage.orders import CallOrder
from engine.dialects.ncco.actions import Stream, Talk
from engine.dialects.ncco.identity import call_uuid
from engine.errors import ProgramError
from engine.ledger import Ledger
from engine.program import CallControl, CallState, Program
from engine.programs.ncco.legs import NccoLegs
from engine.programs.ncco.program import NccoProgram
from tests.support.api import FakeExchange
from tests.support.call_control import FakeCall
from tests.support.voice import (
    SHOP,
    VoiceScene,
    voice_scene,
)

__all__ = ("ID", "NCCO", "NUMBER", "OTHER", "OWN", "THIRD", "FakeLive", "FakeProgram", "Scene", "record", "scene_of")

NUMBER, OWN = "15550100777", "15550100001"
NCCO = [{"action": "talk", "text": "Hello"}]
ID, OTHER, THIRD = "1" * 32, "2" * 32, "3" * 32


class FakeProgram(NccoProgram):
    """What the API sees of a program."""

    def __init__(self, order: CallOrder | None = None) -> None:
        self.order = order
        self.led_to: list[object] = []
        self.is_over = False

    def redirect(self, source: object) -> None:
        if self.is_over:
            raise ProgramError("the call is over")
        self.led_to.append(source)


class FakeLive:
    """What is heard beside a program."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.refuse = ""

    def _do(self, what: object) -> None:
        if self.refuse:
            raise ProgramError(self.refuse)
        self.done.append(what)

    def talk(self, work: Talk) -> None:
        self._do(work)

    def stop_talk(self) -> bool:
        self._do("stop talk")
        return True

    def stream(self, work: Stream) -> None:
        self._do(work)

    def stop_stream(self) -> bool:
        self._do("stop stream")
        return True

    def send_digits(self, digits: str) -> None:
        self._do(digits)


class Scene(VoiceScene):
    """An engine whose calls a test plays."""

    live: FakeLive
    programs: list[tuple[str, FakeProgram]]
    "Of calls that were placed: whose, and what runs."

    @property
    def exchange(self) -> FakeExchange:
        return self.api.exchange

    async def create(self, **parameters: Any) -> tuple[int, Any]:
        body = {"to": [{"type": "phone", "number": NUMBER}], "from": {"type": "phone", "number": OWN}, "ncco": NCCO}
        body |= parameters
        return await self.ask("POST", "/calls", json={key: value for key, value in body.items() if value is not None})

    def up(
        self, call_id: str = ID, app: str = SHOP, *, state: CallState = CallState.ANSWERED, **facts: Any
    ) -> tuple[FakeCall, FakeProgram]:
        """Let there be a call of an application."""
        call, program = self.exchange.add(call_id, state=state, **facts), FakeProgram()
        call.program = cast(Program, program)
        leg = self.legs.watch(call.facts, app=app)
        leg.status = "answered" if state is CallState.ANSWERED else "ringing"
        return call, program

    async def change(self, call_id: str = ID, headers: dict[str, str] | None = None, **body: Any) -> tuple[int, Any]:
        return await self.ask("PUT", f"/calls/{call_uuid(call_id)}", json=body, headers=headers)


async def record(
    ledger: Ledger,
    call_id: str,
    *,
    app: str = SHOP,
    answered: bool = True,
    ended: bool = True,
    cause: str = "remote_bye",
    direction: str = "out",
    parent_id: str = "",
) -> None:
    """Let there be the record of a call."""
    await ledger.record_call_start(
        call_id, sip_call_id="x", caller=OWN, dialled=NUMBER, form=app, direction=direction, parent_id=parent_id
    )
    if answered:
        await ledger.record_call_answer(call_id)
    if ended:
        await ledger.record_call_end(call_id, cause=cause)


@asynccontextmanager
async def scene_of(ledger: Ledger, config: Any, **more: Any) -> AsyncIterator[Scene]:
    live = FakeLive()
    programs: list[tuple[str, FakeProgram]] = []
    known: list[Scene] = []

    def make_program(call: CallControl, order: CallOrder, app: str, deps: ApiDeps) -> Program:
        assert deps.context.ncco is not None
        deps.context.ncco.watch(call.facts, app=app, event=order.event)
        programs.append((app, FakeProgram(order)))
        return cast(Program, programs[-1][1])

    def resources(_legs: NccoLegs) -> Iterator[Resource]:
        yield Calls(lambda: known[0].exchange.up, make_program=make_program).add_routes
        yield lambda app, deps: control.add_routes(app, deps, controls=lambda _call, _context: live)
        yield files.add_routes

    async with voice_scene(ledger, config, resources, **more) as opened:
        scene = Scene(opened.api, opened.legs)
        scene.live, scene.programs = live, programs
        known.append(scene)
        yield scene
