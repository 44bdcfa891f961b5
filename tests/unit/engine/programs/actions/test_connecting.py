"""Connecting as an action: who is called in which order, who is heard meanwhile, and what is told at the end."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from engine.dialects.signalwire.devices import Device, Devices
from engine.dialects.spoken import Play
from engine.errors import CallError, MediaError
from engine.program import CallControl, CallState, Transfer
from engine.programs.actions.connecting import ConnectAction, ConnectState
from engine.programs.actions.dialling import MAX_GROUPS, MAX_PARALLEL, outbound_of
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

ANNA, BEN, CLEO = (Device(to=f"sip:{name}@pbx.example") for name in ("anna", "ben", "cleo"))
MUSIC = "https://a.example/music.wav"


class Scene:
    """A call that is connected; ``told`` is (state, who, reason)."""

    def __init__(self, devices: Devices, *, state: CallState = CallState.ANSWERED, **how: Any) -> None:
        self.prompts = FakePrompts()
        self.call = FakeCall(state=state, **how.pop("facts", {}))
        self.exchange = FakeExchange()
        self.context = context_of(FakeWeb(), self.prompts, exchange=self.exchange)
        self.told: list[tuple[ConnectState, str, str]] = []
        self.action = ConnectAction(devices, self.call, self.context, on_state=self._state, **how)

    def _state(self, state: ConnectState, peer: CallControl | None, reason: str) -> None:
        self.told.append((state, "" if peer is None else peer.facts.dialled, reason))

    async def start(self) -> Scene:
        self.action.start(self.context.now())
        await settle()
        return self

    @property
    def called(self) -> list[str]:
        return [wanted.to for wanted in self.exchange.wanted]

    @property
    def states(self) -> list[str]:
        return [state.value for state, _, _ in self.told]

    def did(self, what: str) -> list[Any]:
        return [argument for asked, argument in self.call.asked if asked == what]

    def given_up(self, index: int) -> bool:
        return self.exchange.calls[index].times_hung_up == 1


def test_who_answers_is_connected_behind_the_mask() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),)).start()
        assert scene.states == ["connecting"]
        assert scene.exchange.beside[0] is not None
        scene.exchange.answer(0)
        assert scene.told[1:] == [(ConnectState.CONNECTED, ANNA.to, "")]
        asked = [what for what, _ in scene.call.asked]
        assert asked.index("mask_line") < asked.index("bridge")
        assert "mask_line" in [what for what, _ in scene.exchange.calls[0].asked]
        assert scene.action.is_connected

    run(play)


def test_the_devices_of_a_group_ring_at_once_and_the_first_who_answers_is_it() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA, BEN), (CLEO,))).start()
        assert scene.called == [ANNA.to, BEN.to]
        scene.exchange.answer(1)
        assert scene.given_up(0)
        assert not scene.given_up(1)
        assert scene.told[-1] == (ConnectState.CONNECTED, BEN.to, "")
        assert scene.called == [ANNA.to, BEN.to], "nobody else is called"

    run(play)


def test_groups_are_called_in_turn() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA, BEN), (CLEO,))).start()
        scene.exchange.end(0, "busy")
        assert scene.called == [ANNA.to, BEN.to], "one of the group still rings"
        scene.exchange.end(1, "no-answer")
        assert scene.called[2:] == [CLEO.to]
        scene.exchange.answer(2)
        assert scene.states == ["connecting", "connected"]

    run(play)


def test_an_answer_that_comes_too_late_is_hung_up() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA, BEN),)).start()
        late = scene.exchange.calls[0]
        late.on_hang_up = lambda: None  # its CANCEL crosses the answer
        scene.exchange.answer(1)
        scene.exchange.answer(0)
        assert scene.states == ["connecting", "connected"]
        assert late.times_hung_up >= 1
        assert late.bridged_with is None

    run(play)


@pytest.mark.parametrize(
    ("causes", "reason"),
    [
        (("busy", "no-answer"), "busy"),
        (("unreachable", "no-answer"), "no-answer"),
        (("not-found", "unreachable"), "not-found"),
        (("something new", "something else"), "failed"),
    ],
)
def test_nobody_is_had_for_the_reason_that_came_nearest_to_an_answer(causes: tuple[str, str], reason: str) -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,), (BEN,))).start()
        for index, cause in enumerate(causes):
            scene.exchange.end(index, cause)
        await settle()
        assert scene.told[1:] == [(ConnectState.FAILED, "", reason)]

    run(play)


def test_who_cannot_be_called_at_all_is_passed_over() -> None:
    async def play() -> None:
        scene = Scene(((ANNA,), (Device(to="sip:"), BEN)))
        scene.exchange.unreachable.add(ANNA.to)
        await scene.start()
        assert len(scene.exchange.calls) == 1
        scene.exchange.answer(0)
        assert scene.told[-1] == (ConnectState.CONNECTED, BEN.to, "")
        scene = Scene(((ANNA,),))
        scene.exchange.unreachable.add(ANNA.to)
        scene.action.start(0.0)
        assert scene.states == ["connecting"], "not within the start"
        await settle()
        assert scene.told[-1] == (ConnectState.FAILED, "", "failed")

    run(play)


def test_nobody_to_call_is_a_failure_and_too_many_are_passed_over() -> None:
    async def play() -> None:
        scene = await Scene(()).start()
        assert scene.told[-1] == (ConnectState.FAILED, "", "failed")
        scene = await Scene(((ANNA,) * (MAX_PARALLEL + 5),) * (MAX_GROUPS + 5)).start()
        assert len(scene.called) == MAX_PARALLEL
        index = 0
        while index < len(scene.exchange.calls):
            scene.exchange.end(index, "busy")
            index += 1
        assert len(scene.called) == MAX_PARALLEL * MAX_GROUPS

    run(play)


def test_the_caller_hears_a_ringback_tone_until_somebody_answers() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),)).start()
        assert scene.call.heard == [("ringback us",)]
        scene.action.play_finished(scene.call.tokens[-1], False, 0.0)
        await settle()
        assert len(scene.call.heard) == 2, "it rings on"
        scene.exchange.answer(0)
        assert scene.did("stop_playing") == [None]

    run(play)


def test_the_application_s_own_ringback_and_the_tone_where_it_cannot_be_had() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),), ringback=[Play(url=MUSIC)]).start()
        assert scene.call.heard == [(MUSIC,)]
        scene = Scene(((ANNA,),), ringback=[Play(url=MUSIC)])
        scene.prompts.broken.add(MUSIC)
        await scene.start()
        assert scene.call.heard == [("ringback us",)]

    run(play)


def test_a_call_that_rings_is_answered_when_it_is_connected() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),), state=CallState.RINGING).start()
        assert scene.call.heard == []
        scene.exchange.answer(0)
        asked = [what for what, _ in scene.call.asked]
        assert asked.index("answer") < asked.index("bridge")

    run(play)


def test_a_payment_is_not_rung_over() -> None:
    async def play() -> None:
        scene = Scene(((ANNA,),))
        scene.call.guard.enter(scene)
        await scene.start()
        assert scene.call.heard == []

    run(play)


def test_the_called_side_hangs_up() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),)).start()
        scene.exchange.answer(0)
        scene.exchange.end(0, "remote_bye")
        assert scene.told[2:] == [(ConnectState.DISCONNECTED, ANNA.to, "remote_bye")]
        assert scene.did("unbridge") == [None]
        assert scene.call.times_hung_up == 0, "the application goes on"

    run(play)


@pytest.mark.parametrize("end", ["disconnect", "stop", "hang_up"])
def test_our_side_ends_it_and_nobody_is_left_over(end: str) -> None:
    async def play() -> None:
        reason = "hangup" if end == "hang_up" else "disconnect"
        scene = await Scene(((ANNA,),)).start()
        scene.exchange.answer(0)
        getattr(scene.action, end)(scene.context.now())
        getattr(scene.action, end)(scene.context.now())
        assert scene.told[2:] == [(ConnectState.DISCONNECTED, ANNA.to, reason)]
        assert scene.given_up(0)
        scene = await Scene(((ANNA, BEN), (CLEO,))).start()
        getattr(scene.action, end)(scene.context.now())
        await settle()
        assert scene.told[1:] == [(ConnectState.FAILED, "", reason)]
        assert scene.given_up(0)
        assert scene.given_up(1)
        assert len(scene.called) == 2
        await scene.action.done()

    run(play)


@pytest.mark.parametrize(("device_s", "action_s"), [(60.0, 600.0), (600.0, 60.0)])
def test_the_shorter_limit_ends_it(device_s: float, action_s: float) -> None:
    async def play() -> None:
        device = Device(to=ANNA.to, max_duration_s=device_s)
        scene = await Scene(((device,),), max_duration_s=action_s).start()
        scene.exchange.answer(0)
        await later(59.0)
        assert scene.action.is_connected
        await later(2.0)
        assert scene.told[-1] == (ConnectState.DISCONNECTED, ANNA.to, "time limit")
        assert scene.given_up(0)

    run(play)


def test_two_calls_that_cannot_be_bridged_are_a_failure() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),)).start()

        def cannot(other: CallControl, *, relay_keys: bool = True) -> None:
            raise MediaError("no")

        scene.call.bridge = cannot  # type: ignore[method-assign]
        scene.exchange.answer(0)
        assert scene.told[-1] == (ConnectState.FAILED, "", "no-media")
        assert scene.given_up(0)

    run(play)


def test_a_transfer_by_the_called_side_is_declined() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),)).start()
        scene.exchange.answer(0)
        program: Any = scene.exchange.calls[0].program
        assert program.transfer(Transfer(to="sip:other@example.net", report=lambda *status: None)) is False

    run(play)


def test_who_has_to_agree_first_is_not_called_without_anything_that_asks() -> None:
    async def play() -> None:
        scene = await Scene(((Device(to=ANNA.to, confirm="https://a.example/confirm"), BEN),)).start()
        assert scene.called == [BEN.to]

    run(play)


def test_each_leg_is_told_of_before_anything_happens_on_it() -> None:
    async def play() -> None:
        legs: list[tuple[str, Device]] = []
        scene = Scene(((ANNA, BEN),), on_leg=lambda call, device: legs.append((call.facts.dialled, device)))
        await scene.start()
        assert legs == [(ANNA.to, ANNA), (BEN.to, BEN)]

    run(play)


@pytest.mark.parametrize(
    ("facts", "default", "device", "caller"),
    [
        ({"caller": "+15551234567"}, "", "", "+15551234567"),
        ({"caller": "+15551234567"}, "+15550000", "", "+15550000"),
        ({"caller": "+15551234567"}, "+15550000", "+15559999", "+15559999"),
        ({"caller": "jos\u00e9 m"}, "", "", ""),
        ({"direction": "out", "caller": "+1555", "dialled": "+4470"}, "", "", "+4470"),
    ],
)
def test_who_calls(facts: dict[str, str], default: str, device: str, caller: str) -> None:
    async def play() -> None:
        scene = await Scene(((Device(to=ANNA.to, from_=device),),), facts=facts, caller_default=default).start()
        assert scene.exchange.wanted[0].caller == caller

    run(play)


def test_what_a_device_says_goes_into_its_call() -> None:
    device = Device(
        to="sip:anna@pbx.example?X-Queue=a%20b&Subject=no",
        timeout_s=1000.0,
        headers=(("X-Order", "7"), ("Via", "no")),
        username="u",
        password="p",
    )
    wanted = outbound_of(device, caller="+1555")
    assert (wanted.to, wanted.caller, wanted.ring_s) == ("sip:anna@pbx.example", "+1555", 280.0)
    assert wanted.headers == {"X-Queue": "a b", "X-Order": "7"}
    assert (wanted.username, wanted.password) == ("u", "p")
    with pytest.raises(CallError):
        outbound_of(Device(to="sip:"))
    assert outbound_of(Device(to="+15550100", timeout_s=0.0)).ring_s == 1.0


def test_it_keeps_no_call_alive() -> None:
    async def play() -> None:
        scene = await Scene(((ANNA,),)).start()
        scene.exchange.answer(0)
        scene.exchange.end(0, "remote_bye")
        call, action = weakref.ref(scene.call), weakref.ref(scene.action)
        await scene.action.done()
        del scene
        await settle()
        assert call() is None
        assert action() is None

    gc.disable()
    try:
        run(play)
    finally:
        gc.enable()
