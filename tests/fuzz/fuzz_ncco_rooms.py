"""Fuzz conversations of NCCO applications, and what REST plays to those in them, in any order.

Two bytes are one thing that happens: what, and to whom or how. What must hold after each, once all is settled: who is
not over is in the one conversation of its application and name, and in no other; those who hear each other are of one
conversation, 16 at most; a conversation that nobody is in is forgotten, and its room closed; who is muted by its NCCO
is muted while it is in; nothing is begun to be played to a call with a payment. Each is over once, and at the end
nothing is left.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.ncco.actions import Stream, Talk
from engine.dialects.ncco.identity import conversation_uuid, named_conversation
from engine.errors import MediaError, ProgramError
from engine.program import CallState
from engine.programs.ncco.live import LiveControl
from engine.programs.shared_room import MAX_IN_ROOM
from tests.support.exchange import later, run
from tests.support.ncco_calls import MUSIC, Guest, NccoScene
from tests.support.programs import settle

__all__ = ("SEEDS", "one_input")

logging.getLogger("engine").addHandler(logging.NullHandler())

MOST = 40
"Calls of one input."
SEEDS = [
    bytes((0, 0, 0, 0, 0, 4, 1, 2, 0, 0)),  # a moderator ends it, and all come back
    bytes((0, 3, 0, 1, 5, 0, 0, 0, 7, 1, 2, 0, 6, 0, 7, 0)),  # a payment, a talk
    bytes((0, 0) * 18 + (1, 3, 0, 0)),  # a full room
    bytes((0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 8, 1, 0, 0, 4, 2)),  # no room, no media
    bytes((0, 64, 0, 16, 0, 32, 0, 128, 3, 0, 2, 1, 7, 3, 4, 9)),
]


class _Happenings:
    def __init__(self) -> None:
        self.scene = NccoScene()
        self.guests: list[Guest] = []
        self.spec: dict[Guest, tuple[str, str, bool]] = {}
        "Application, name and whether it is muted."
        self.heard_at_payment: dict[Guest, int] = {}

    def enter(self, how: int) -> None:
        if len(self.guests) >= MOST:
            return
        app, name, mute = ("shop", "bank")[how >> 6 & 1], f"room {how >> 7}", bool(how & 8)
        options: dict[str, Any] = {
            "start_on_enter": not how & 1,
            "music_on_hold": MUSIC if how & 2 else "",
            "end_on_exit": bool(how & 4),
            "mute": mute,
            "can_hear": () if how & 16 else None,
        }
        guest = self.scene.guest(name, app=app, **options)
        self.guests.append(guest)
        self.spec[guest] = (app, name, mute)
        if how & 32:  # its NCCO goes into the same conversation again
            guest.next = lambda: self.enter(how & ~32)  # type: ignore[method-assign]

    def happens(self, what: int, value: int) -> None:
        if what == 0 or not self.guests:
            self.enter(value)
            return
        guest = self.guests[value % len(self.guests)]
        call, now = guest.call, self.scene.context.now()
        match what:
            case 1:
                self.hang_up(guest)
            case 2:
                guest.action.stop(now)
            case 3:
                token = call.tokens[-1] if call.tokens else 1
                guest.action.play_finished(token, False, now)
                for companion in call.companions:
                    companion.play_finished(token, False, now)
            case 5 if not call.guard.busy:
                call.guard.enter(self)
                self.heard_at_payment[guest] = len(call.heard)
            case 6:
                call.guard.leave(self)
                self.heard_at_payment.pop(guest, None)
            case 7:
                self.ask(guest, value)
            case 8:

                def refuse(room: object, *, muted: bool = False) -> None:
                    raise MediaError("no media")

                call.join = refuse  # type: ignore[method-assign]
            case 9:
                self.scene.exchange.full = not self.scene.exchange.full
            case 10:
                guest.action.start(now)
            case _:
                guest.action.digit(value % 16, now)

    def ask(self, guest: Guest, value: int) -> None:
        control = LiveControl(guest.call, self.scene.context)
        with suppress(ProgramError):
            match value % 5:
                case 0:
                    control.talk(Talk(text="Hello", loop=value % 3))
                case 1:
                    control.stream(Stream(url=MUSIC, loop=0))
                case 2:
                    control.stop_talk()
                case 3:
                    control.stop_stream()
                case _:
                    control.send_digits("1p2")

    def hang_up(self, guest: Guest) -> None:
        guest.call.state = CallState.ENDED
        for companion in guest.call.companions:
            companion.hang_up(self.scene.context.now())
        guest.hang_up()

    def check(self) -> None:
        rooms, exchange = self.scene.context.conversations, self.scene.exchange
        begun = 0
        for app in ("shop", "bank"):
            for name in ("room 0", "room 1"):
                inside = [
                    guest for guest in self.guests if self.spec[guest][:2] == (app, name) and guest.times_over == 0
                ]
                room = rooms.find(named_conversation(self.scene.context.config.apps[app].id_for(app), name))  # type: ignore[union-attr]
                assert [guest.action for guest in inside] == ([] if room is None else room.members)
                assert len(inside) <= MAX_IN_ROOM
                begun += room is not None and room.has_begun
                heard = {id(guest.call.room) for guest in inside}
                assert heard <= ({id(None)} if room is None or not room.has_begun else {id(inside[0].call.room)})
        assert sum(not room.closed for room in exchange.rooms) == begun
        for guest in self.guests:
            assert guest.times_over <= 1
            assert guest.times_over == 0 or guest.call.room is None
            muted = [on for what, on in guest.call.asked if what == "mute"]
            assert bool(muted and muted[-1]) is (self.spec[guest][2] and guest.is_in)
            own = conversation_uuid(guest.call.facts.call_id)
            assert guest.call.state is CallState.ENDED or (guest.times_over == 1) is (
                guest.leg.conversation_uuid == own
            )
            assert len(guest.call.heard) <= self.heard_at_payment.get(guest, len(guest.call.heard))


def one_input(data: bytes) -> None:
    """Run one input."""

    async def play() -> None:
        happenings = _Happenings()
        for what, value in zip(data[:200:2], data[1:200:2], strict=False):
            if what % 16 == 4:
                await later(value / 8)
            else:
                happenings.happens(what % 16, value)
                await settle()
            happenings.check()
        while any(guest.times_over == 0 or guest.call.state is not CallState.ENDED for guest in happenings.guests):
            for guest in list(happenings.guests):
                happenings.hang_up(guest)
        await later(1000.0)
        for guest in happenings.guests:
            await guest.action.done()
            for companion in guest.call.companions:
                await companion.done()
            assert guest.times_over == 1
        happenings.check()
        await happenings.scene.legs.close()
        assert all(room.closed for room in happenings.scene.exchange.rooms)
        assert len(happenings.scene.context.conversations) == 0

    run(play)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
