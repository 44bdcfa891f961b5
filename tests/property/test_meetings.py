"""Queues and conferences: in any order of coming and going each is told once, and no name is remembered for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dialects.twiml.commands import DialOut, Parameters, Queue
from engine.dialects.twiml.verbs import Conference, Dial, DialQueue, Enqueue
from engine.program import CallControl, CallState
from engine.programs.dial import make_dial
from engine.programs.queue import QueueVerb
from engine.programs.verb import Verb
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, config_of, context_of, settle

BASE = "https://app.example.com/voice"
HAPPENS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30)


class PairedCall(FakeCall):
    """Bridged on both sides, as calls are."""

    def bridge(self, other: CallControl, *, relay_keys: bool = True) -> None:
        super().bridge(other, relay_keys=relay_keys)
        assert isinstance(other, PairedCall)
        other.bridged_with = self

    def unbridge(self) -> None:
        other = self.bridged_with
        super().unbridge()
        if isinstance(other, PairedCall):
            other.bridged_with = None


class Party:
    def __init__(self, number: int) -> None:
        self.call = PairedCall(state=CallState.ANSWERED, call_id=f"{number:032x}")
        self.outcomes: list[dict[str, str]] = []
        self.verb: Verb
        self.is_stopped = self.is_gone = False

    def ended(self, parameters: Parameters) -> None:
        assert not self.is_stopped
        self.outcomes.append(dict(parameters))

    @property
    def is_over(self) -> bool:
        return bool(self.outcomes) or self.is_stopped


class Case:
    def __init__(self) -> None:
        self.exchange, web = FakeExchange(), FakeWeb()
        web.pages["https://app.example.com/soon"] = "<Response><Say>Soon</Say></Response>"
        self.context = context_of(web, FakePrompts(), config=config_of(), exchange=self.exchange)
        self.parties: list[Party] = []

    def come(self, what: int, how: int) -> None:
        party = Party(len(self.parties) + 1)
        self.parties.append(party)
        ended, call = party.ended, party.call
        if what == 0:
            command = Queue(token=1, enqueue=Enqueue(name=str(how & 1)), base_url=BASE)
            party.verb = QueueVerb(command, call, self.context, BASE, ended)
        else:
            target: dict[str, Any] = {"queue": DialQueue(name=str(how & 1), url="/soon" if how & 2 else "")}
            if what == 2:
                room = Conference(
                    name=str(how & 1),
                    start_on_enter=not how & 2,
                    end_on_exit=bool(how & 4),
                    max_participants=3,
                )
                target = {"conference": room}
            dial = Dial(hangup_on_star=True, timeout_s=60.0, time_limit_s=300, **target)
            party.verb = make_dial(DialOut(token=1, dial=dial, base_url=BASE), call, self.context, BASE, ended)
        party.verb.start(self.context.now())

    def happen(self, what: int, which: int) -> None:
        party = self.parties[which % len(self.parties)]
        now = self.context.now()
        if party.is_gone or party.is_over:
            return
        if what == 3:
            party.is_gone = True
            party.call.state = CallState.ENDED
            party.verb.hang_up(now)
        elif what == 4:
            party.is_stopped = True
            party.verb.stop(now)
        elif what == 5:
            party.verb.digit(10, now)
        elif what == 6 and party.call.tokens:
            party.verb.play_finished(party.call.tokens.pop(), False, now)

    def check(self) -> None:
        for party in self.parties:
            assert len(party.outcomes) <= 1
            other = party.call.bridged_with
            if other is not None and not party.is_gone:
                peer = next(one for one in self.parties if one.call is other)
                assert not party.is_over
                assert not peer.is_over
                assert "mask_line" in [what for what, _ in party.call.asked]
                assert "mask_line" in [what for what, _ in peer.call.asked]
            if party.call.room is not None:
                assert not party.is_over


@settings(max_examples=60, deadline=None)
@given(happens=HAPPENS)
def test_whoever_meets_in_whatever_order_is_told_once(happens: list[tuple[int, int]]) -> None:
    async def play() -> None:
        case = Case()
        for what, which in happens:
            if what <= 2:
                case.come(what, which)
            elif what == 7:
                await later(float(1 << which))
            elif case.parties:
                case.happen(what, which)
            await settle()
            case.check()
        for party in case.parties:
            if not party.is_over:
                party.call.state = CallState.ENDED
                party.verb.hang_up(asyncio.get_running_loop().time())
        await settle()
        case.check()
        assert all(party.is_over for party in case.parties)
        assert (len(case.context.queues), len(case.context.rooms)) == (0, 0)
        assert all(room.closed for room in case.exchange.rooms)
        for party in case.parties:
            await party.verb.done()

    run(play)
