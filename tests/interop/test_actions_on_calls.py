"""Actions on calls of a whole engine to telephones of PJSIP: keys, hold, REFER, connecting, recording, on the wire."""

from __future__ import annotations

import asyncio
import importlib.util
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.config import parse
from engine.dialects.signalwire.devices import Device
from engine.dialects.signalwire.digits import Collected, DigitRules, Ended
from engine.dialects.spoken import Ring
from engine.dialects.swml.methods import Record
from engine.net.dialling import OutboundCall
from engine.program import CallControl
from engine.program import CallState as EngineCallState
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.connecting import ConnectAction, ConnectState
from engine.programs.actions.keying import KeyingAction
from engine.programs.actions.playing import PlayAction
from engine.programs.actions.protocol import Action
from engine.programs.actions.recording import RecordAction, RecordState
from engine.programs.actions.referring import ReferAction, ReferState
from engine.service import Engine
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, Media
from tests.interop.pjsua_peer import PjsuaPeer
from tests.interop.test_bridged_agents import voice
from tests.interop.transfer_peer import TransferPeer
from tests.support.engine import free_udp_port
from tests.support.recording import write_wav

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        importlib.util.find_spec("pjsua2") is None,
        reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
    ),
]
WAIT_S = 30.0


class Bench:
    """A program that does what a test says; it passes keys on to the action that wants them, else keeps them."""

    label = "bench"

    def __init__(self, call: CallControl, engine: Engine) -> None:
        self.call: CallControl = weakref.proxy(call)
        self.engine = engine
        self.actions: list[Action] = []
        self.keys: list[int] = []
        self.told: list[Any] = []
        self.started = asyncio.Event()
        self.over = asyncio.Event()
        self.changed = asyncio.Event()

    def tells(self, *told: Any) -> None:
        """Take what an action tells: it may be any hook."""
        self.told.append(told[0] if len(told) == 1 else told)
        self.changed.set()

    def begin(self, action: Action) -> None:
        self.actions.append(action)
        action.start(self.engine.programs.now())

    async def wait(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    def is_bridged(self) -> bool:
        return self.call.bridged_with is not None

    def has_told(self, state: Any) -> bool:
        return any(told is state or (isinstance(told, tuple) and told[0] is state) for told in self.told)

    def offered(self, now: float) -> None:
        pass

    def start(self, now: float) -> None:
        self.started.set()

    def digit(self, code: int, now: float) -> None:
        for action in self.actions:
            if action.wants_digits:
                action.digit(code, now)
                return
        self.keys.append(code)
        self.changed.set()

    def digit_ended(self, now: float) -> None:
        for action in self.actions:
            action.digit_ended(now)

    def count_digit(self, source: str) -> None:
        pass

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        for action in self.actions:
            action.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        for action in self.actions:
            action.hang_up(now)
        self.over.set()

    async def done(self) -> None:
        for action in self.actions:
            await action.done()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Engine]:
    config = parse(
        f"""
[sip]
listen = "127.0.0.1:{free_udp_port()}"
[ledger]
url = "sqlite+aiosqlite:///{directory}/ledger.sqlite3"
[prompts]
cache = "{directory}/prompts"
[recording]
directory = "{directory}/recordings"
[connector.sandbox]
type = "sandbox"
database = "{directory}/sandbox.sqlite3"
"""
    )
    engine = Engine(config)
    await engine.start()
    try:
        yield engine
    finally:
        engine.hang_up_all()
        await engine.stop(drain_s=5.0)


async def called(engine: Engine, uri: str, phone: Softphone | None = None) -> Bench:
    """Call somebody who answers."""
    benches: list[Bench] = []

    def make(call: CallControl) -> Bench:
        benches.append(Bench(call, engine))
        return benches[0]

    engine.switchboard.place(OutboundCall(to=uri), make)
    if phone is not None:
        await phone.wait_incoming()
        await phone.answer()
    async with asyncio.timeout(WAIT_S):
        await benches[0].started.wait()
    return benches[0]


async def media(phone: Softphone, *, active: bool, count: int = 1) -> None:
    """Wait until the telephone's audio flows, or does not, as its last word."""
    await phone._next(Media, lambda event: event.active is active, 0, WAIT_S, "for a change of the audio")
    async with asyncio.timeout(WAIT_S), phone._changed:
        await phone._changed.wait_for(
            lambda: [event for event in phone.events if isinstance(event, Media)][-1].active is active
        )


async def settled(bench: Bench) -> None:
    """Wait until our offer is answered."""
    call: Any = bench.call
    async with asyncio.timeout(WAIT_S):
        while call._offer_open:
            await asyncio.sleep(0.02)


async def test_keys_are_collected_and_keyed_back(tmp_path: Path) -> None:
    heard = tmp_path / "keys"
    async with running(tmp_path) as engine, PjsuaPeer(digits=heard) as phone:
        bench = await called(engine, phone.uri, phone)
        rules = DigitRules(max_digits=8, terminators="#", initial_timeout_s=20.0)
        bench.begin(
            CollectAction(rules, bench.call, engine.programs, on_result=bench.tells, items=[Ring(length_s=60.0)])
        )
        await phone.keys("3141#")
        await bench.wait(lambda: bool(bench.told))
        assert bench.told == [Collected(ended=Ended.DIGITS, digits="3141", terminator="#")]
        bench.begin(KeyingAction("27w18", bench.call, engine.programs, on_done=bench.tells))
        await bench.wait(lambda: len(bench.told) == 2)
        async with asyncio.timeout(WAIT_S):
            while not heard.exists() or len(heard.read_text()) < 4:
                await asyncio.sleep(0.05)
        assert heard.read_text() == "2718"


async def test_a_telephone_is_held_and_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, PjsuaPeer() as phone:
        bench = await called(engine, phone.uri, phone)
        await media(phone, active=True)
        await phone.keys("1")
        await bench.wait(lambda: bench.keys == [1])
        for _ in range(2):
            bench.call.put_on_hold(True)
            await media(phone, active=False)
            bench.call.put_on_hold(False)
            await media(phone, active=True)
        await phone.keys("2")
        await bench.wait(lambda: bench.keys == [1, 2])
        bench.call.put_on_hold(True)
        bench.call.put_on_hold(False)
        bench.call.put_on_hold(True)
        await media(phone, active=False)
        await phone.hang_up()
        async with asyncio.timeout(WAIT_S):
            await bench.over.wait()


async def test_both_hold_each_other_and_let_go(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, PjsuaPeer() as phone:
        bench = await called(engine, phone.uri, phone)
        await media(phone, active=True)
        bench.call.put_on_hold(True)
        await settled(bench)
        await phone.hold()
        bench.call.put_on_hold(False)
        await settled(bench)  # two offers at once are no subject of this
        await phone.unhold()
        await media(phone, active=True)
        await phone.keys("5")
        await bench.wait(lambda: bench.keys == [5])


async def test_a_telephone_follows_a_refer_and_the_call_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, TransferPeer() as caller, TransferPeer() as desk:
        bench = await called(engine, caller.uri)
        bench.begin(ReferAction(desk.uri, bench.call, engine.programs, on_state=bench.tells))
        await bench.wait(lambda: bench.has_told(ReferState.SUCCESS))
        assert [state for state, _ in bench.told] == [ReferState.IN_PROGRESS, ReferState.SUCCESS]
        assert (bench.told[-1][1].refer_status, bench.told[-1][1].notify_status) == (202, 200)
        await desk.wait_state(1, "confirmed")
        async with asyncio.timeout(WAIT_S):
            await bench.over.wait()


async def test_a_telephone_that_gets_nobody_stays_on_the_line(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, TransferPeer() as caller:
        bench = await called(engine, caller.uri)
        nobody = f"sip:nobody@127.0.0.1:{engine.sip_port}"  # the engine itself: it has no route for it
        bench.begin(ReferAction(nobody, bench.call, engine.programs, on_state=bench.tells))
        await bench.wait(lambda: bench.has_told(ReferState.ERROR))
        assert bench.told[-1][1].notify_status == 404
        assert bench.call.state is EngineCallState.ANSWERED


async def test_two_telephones_are_connected_held_and_parted(tmp_path: Path) -> None:
    heard = tmp_path / "keys"
    async with running(tmp_path) as engine, PjsuaPeer() as caller, PjsuaPeer(digits=heard) as agent:
        bench = await called(engine, caller.uri, caller)
        devices = ((Device(to=agent.uri),),)
        action = ConnectAction(devices, bench.call, engine.programs, on_state=bench.tells)
        bench.begin(action)
        await agent.wait_incoming()
        await agent.answer()
        await bench.wait(lambda: bench.has_told(ConnectState.CONNECTED))
        await caller.keys("7")
        async with asyncio.timeout(WAIT_S):
            while not heard.exists():
                await asyncio.sleep(0.05)
        bench.call.put_on_hold(True)
        assert not bench.is_bridged()
        await media(caller, active=False)
        bench.call.put_on_hold(False)
        await media(caller, active=True)
        async with asyncio.timeout(WAIT_S):
            while not bench.is_bridged():
                await asyncio.sleep(0.05)
        await agent.hang_up()
        await bench.wait(lambda: bench.has_told(ConnectState.DISCONNECTED))
        assert bench.call.state is EngineCallState.ANSWERED
        await agent.wait_state(CallState.DISCONNECTED)


async def test_a_telephone_is_recorded_until_its_key(tmp_path: Path) -> None:
    write_wav(tmp_path / "says.wav", voice(1))
    async with running(tmp_path) as engine, PjsuaPeer() as phone:
        bench = await called(engine, phone.uri, phone)
        await media(phone, active=True)
        bench.begin(RecordAction(Record(initial_timeout_s=0.0), bench.call, engine.programs, on_state=bench.tells))
        await phone.play(str(tmp_path / "says.wav"))
        await phone.keys("#")
        await bench.wait(lambda: bench.has_told(RecordState.FINISHED))
        info = bench.told[-1][1]
        assert info.ended_by == "#"
        assert info.duration_s > 1.5
        (file,) = (tmp_path / "recordings").glob("*.wav")
        assert file.stat().st_size == info.size
        bench.begin(PlayAction([Ring()], bench.call, engine.programs, on_state=bench.tells, loop=0))
        await phone.hang_up()
        async with asyncio.timeout(WAIT_S):
            await bench.over.wait()
