"""Who is bridged with a caller hears no key that is captured: the session, the cover and the media plane together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import ulaw_decode
from engine.call.sound import Sound
from engine.media import DigitEnded, DigitMerger, DigitReceived
from engine.payment_run import PaymentGuard
from engine.program import CallFacts, CallState
from engine.programs.cover import RUN_ON_S, TAIL_S
from tests.support.agent_desk import CALL_ID, CARD_ENTRIES, VISA, AgentDesk, ProgramOfCall
from tests.support.rtp_peer import EVENT_PT, MediaCase, audio, media_case
from tests.support.stepped_loop import SteppedLoop, on_stepped_loop, settled

TICK = 160
TICK_S = 0.02
CODES = "0123456789*#"


class Side(Sound):
    """The media half of a call, and as much of the other as keys need to find their way."""

    def __init__(self, case: MediaCase, call_id: str) -> None:
        super().__init__(cast(Any, None))
        self._ended = None
        self._leg = case.plane.open_leg()
        self.peer = case.peer(self._leg)
        case.configure(self._leg, self.peer)
        self.case = case
        self.facts = CallFacts(call_id=call_id, direction="in", caller="1", dialled="2")
        self.state = CallState.ANSWERED
        self.guard = PaymentGuard()
        self.program = ProgramOfCall()
        self.merger = DigitMerger()
        self.at = 0

    def say(self, samples: NDArray[np.int16], *, events: str = "") -> None:
        """Let who is called here speak, a packet in each tick; with ``events`` each key of them goes as both."""
        n_key = (len(samples) // TICK) // len(events) if events else 0
        for i, start in enumerate(range(0, len(samples) - TICK + 1, TICK)):
            self.peer.send_audio(samples[start : start + TICK], timestamp=self.at)
            if events and i % n_key < 5:
                into = i % n_key
                stamp = self.at - into * TICK
                key = CODES.index(events[min(i // n_key, len(events) - 1)])
                self.peer.send_event(key, timestamp=stamp, duration=TICK * (into + 1), marker=into == 0, end=into == 4)
            self.tick()

    def tick(self) -> None:
        self.at += TICK
        events = self.case.tick()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        loop.clock += TICK_S
        for event in events:
            if event.leg_id != self._leg.id:  # type: ignore[union-attr]
                continue
            match event:
                case DigitReceived() if self.merger.receive(event) is not None:
                    wanted = (one for one in self._companions if one.wants_digits)
                    taker = next(wanted, self.program)
                    taker.count_digit(event.source)
                    taker.digit(event.code, loop.clock)
                case DigitEnded():
                    self.merger.end(event, loop.clock)
                    for companion in self._companions:
                        companion.digit_ended(loop.clock)

    def drop(self) -> None:
        """Let go of what ran beside the program, for the next application."""
        self._companions.clear()

    async def rest(self, seconds: float) -> None:
        """Silence of the caller; timers are due within it."""
        for _ in range(int(seconds / TICK_S)):
            self.say(np.zeros(TICK, np.int16))
            await settled()


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with media_case() as one:
        yield one


def heard_by(side: Side) -> tuple[NDArray[np.int16], int]:
    """What arrived at a peer, and how many telephone-events."""
    packets = side.peer.received()
    sound = [ulaw_decode(packet.payload) for packet in packets if packet.payload_type == 0]
    return np.concatenate(sound or [np.zeros(0, np.int16)]), sum(p.payload_type == EVENT_PT for p in packets)


def keys_in(samples: NDArray[np.int16]) -> list[Any]:
    return list(DtmfDetector(SENSITIVE).process(samples))


def bridged(case: MediaCase) -> tuple[Side, Side]:
    caller, agent = Side(case, CALL_ID), Side(case, "d" * 32)
    caller.mask_line()
    caller.bridge(cast(Any, agent))
    return caller, agent


class TestCounted:
    """Several may want the mask at once; nobody takes it off for the others."""

    def test_the_mask_is_on_until_the_last_one_lets_go(self, case: MediaCase) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = bridged(case)
            caller.mask(True)
            caller.mask(True)
            caller.mask(False)
            caller.say(generate("4242"))
            assert keys_in(heard_by(agent)[0]) == []
            caller.mask(False)
            await caller.rest(0.2)
            heard_by(agent)
            caller.say(generate("4242"))
            await caller.rest(0.2)
            assert len(keys_in(heard_by(agent)[0])) == 2 * 4  # each begins and ends

        check()

    def test_one_that_was_wanted_before_there_was_a_line_is_on_from_its_first_sample(self, case: MediaCase) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = Side(case, CALL_ID), Side(case, "d" * 32)
            caller.mask(True)
            caller.mask_line()
            caller.bridge(cast(Any, agent))
            caller.say(generate("4242"))
            assert keys_in(heard_by(agent)[0]) == []

        check()

    def test_letting_go_too_often_does_not_unmask_the_next_one(self, case: MediaCase) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = bridged(case)
            caller.mask(False)
            caller.mask(True)
            caller.say(generate("4242"))
            assert keys_in(heard_by(agent)[0]) == []

        check()


class TestCaptured:
    """An agent's session on a caller whose keys come as the far end sends them."""

    @pytest.mark.parametrize("as_events", [False, True])
    @pytest.mark.parametrize("on_ms", [60, 140])
    def test_the_agent_hears_speech_before_and_after_and_no_key_between(
        self, case: MediaCase, as_events: bool, on_ms: int
    ) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = bridged(case)
            desk = AgentDesk()
            desk.calls[CALL_ID] = cast(Any, caller)
            session = desk.create()

            async def key(name: str, keys: str) -> None:
                desk.update(session, Capture=name, IdempotencyKey=name)
                for char in keys:
                    caller.say(generate(char, on_ms=on_ms, off_ms=100), events=char if as_events else "")
                    await settled()

            caller.say(audio(0.5))
            assert np.max(np.abs(heard_by(agent)[0])) > 4000
            await key("payment-card-number", VISA + "#")
            await key("expiration-date", "1228")
            await key("security-code", "739")
            await key("postal-code", "94105#")
            await caller.rest(RUN_ON_S + TAIL_S)
            samples, n_events = heard_by(agent)
            assert (keys_in(samples), n_events, caller.program.keys) == ([], 0, [])
            desk.update(session, Status="complete")
            await settled()
            assert desk.result["Result"] == "success"
            assert desk.told[-2]["Required"] == ""
            (submission,) = desk.charging.submissions
            assert submission.card_number is not None
            caller.say(audio(0.5))
            assert np.max(np.abs(heard_by(agent)[0])) > 4000
            caller.say(generate("7"), events="7" if as_events else "")
            assert caller.program.keys == [7]

        check()

    def test_a_key_that_is_held_beyond_the_entry_is_never_heard(self, case: MediaCase) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = bridged(case)
            desk = AgentDesk()
            desk.calls[CALL_ID] = cast(Any, caller)
            session = desk.create()
            desk.update(session, Capture="expiration-date")
            caller.say(generate("122"))
            for _ in range(8):  # 4 s of one key
                caller.say(generate("8", on_ms=500, off_ms=0, ramp_ms=0))
                await settled()
            await caller.rest(RUN_ON_S + 1)
            assert keys_in(heard_by(agent)[0]) == []
            assert desk.told[-1]["ExpirationDate"] == "1228"

        check()

    def test_who_keys_on_after_a_complete_entry_is_not_heard_either(self, case: MediaCase) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = bridged(case)
            desk = AgentDesk()
            desk.calls[CALL_ID] = cast(Any, caller)
            session = desk.create()
            desk.update(session, Capture="expiration-date")
            for char in "1228" + "739":
                caller.say(generate(char, off_ms=400))
                await settled()
            assert keys_in(heard_by(agent)[0]) == []
            assert caller.program.keys == []

        check()

    @pytest.mark.soak
    @pytest.mark.parametrize("as_events", [False, True])
    def test_of_200_captures_the_agent_hears_no_key(self, case: MediaCase, as_events: bool) -> None:
        @on_stepped_loop
        async def check() -> None:
            caller, agent = bridged(case)
            random = np.random.default_rng(7)
            n_captures = 0
            while n_captures < 200:
                desk = AgentDesk()
                desk.calls[CALL_ID] = cast(Any, caller)
                session = desk.create()
                for name, keys in (*CARD_ENTRIES.items(), ("postal-code", "10001#")):
                    desk.update(session, Capture=name, IdempotencyKey=str(n_captures))
                    n_captures += 1
                    for char in keys:
                        tones = generate(
                            char,
                            on_ms=float(random.integers(45, 250)),
                            off_ms=float(random.integers(100, 300)),  # two keys that adjoin are one press
                            level_dbm0=float(random.integers(-24, -5)),
                            high_minus_low_db=float(random.integers(-4, 5)),
                        )
                        hiss = random.normal(0, 20, len(tones)).astype(np.int16)
                        caller.say(np.add(tones // 2, hiss), events=char if as_events else "")
                        await settled()
                    assert keys_in(heard_by(agent)[0]) == []
                await caller.rest(RUN_ON_S + TAIL_S)
                samples, n_events = heard_by(agent)
                assert (keys_in(samples), n_events) == ([], 0)
                desk.update(session, Status="complete")
                await settled()
                assert desk.result["Result"] == "success"
                caller.drop()

        check()
