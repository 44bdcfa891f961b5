"""An engine's calls as programs place and find them (``engine.program.Exchange``), and a loop with a test's time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from engine.errors import CallError, MediaError
from engine.media import Room
from engine.net.dialling import OutboundCall
from engine.program import CallControl, CallState, Program
from tests.support.call_control import FakeCall
from tests.support.programs import settle

__all__ = ("Clocked", "FakeExchange", "FakeRoom", "later", "run")


class Clocked(asyncio.SelectorEventLoop):
    """A loop whose time the test moves on."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


async def later(seconds: float) -> None:
    """Let time pass at once."""
    cast("Clocked", asyncio.get_running_loop()).ahead_s += seconds
    await settle()


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene on a `Clocked` loop; what is left of it must not be a task."""
    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(scene())


class FakeRoom:
    """A room of the media plane."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeExchange:
    """Places calls on which nothing happens but what a test says; a call that is hung up is over at once."""

    def __init__(self) -> None:
        self.wanted: list[OutboundCall] = []
        self.calls: list[FakeCall] = []
        self.beside: list[CallControl | None] = []
        self.rooms: list[FakeRoom] = []
        self.unreachable: set[str] = set()
        "Targets that cannot be called at all."
        self.full = False

    def call(self, call_id: str) -> CallControl | None:
        return next((call for call in self.calls if call.facts.call_id == call_id), None)

    def open_room(self) -> Room:
        if self.full:
            raise MediaError("the media plane was stopped")
        self.rooms.append(FakeRoom())
        return cast("Room", self.rooms[-1])

    def place(
        self,
        wanted: OutboundCall,
        make_program: Callable[[CallControl], Program],
        *,
        beside: CallControl | None = None,
    ) -> CallControl:
        self.wanted.append(wanted)
        if wanted.to in self.unreachable:
            raise CallError("what is called is no SIP URI and no number")
        number = len(self.calls) + 1
        call = FakeCall(
            state=CallState.QUEUED,
            call_id=f"{number:032x}",
            direction="out",
            caller=wanted.caller,
            dialled=wanted.to,
            parent_id="" if beside is None else beside.facts.call_id,
        )
        self.calls.append(call)
        self.beside.append(beside)
        call.program = make_program(call)
        call.on_hang_up = lambda: self.end(number - 1, "cancelled")
        return call

    def ring(self, index: int) -> None:
        self.calls[index].state = CallState.RINGING

    def answer(self, index: int) -> None:
        """Somebody answers."""
        self.calls[index].state = CallState.ANSWERED
        self.calls[index].program.start(asyncio.get_running_loop().time())

    def end(self, index: int, cause: str) -> None:
        """A call ends, whoever ended it."""
        call = self.calls[index]
        call.state = CallState.ENDED
        call.cause = call.cause or cause
        call.program.hang_up(asyncio.get_running_loop().time())
        call.bridged_with = None
