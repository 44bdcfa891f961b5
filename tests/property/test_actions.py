"""Actions, whatever happens on their call and in whatever order: each tells its states by its grammar, and one last."""

from __future__ import annotations

import asyncio
import re
import weakref
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dialects.signalwire.devices import Device
from engine.dialects.signalwire.digits import Collected, DigitRules, Ended
from engine.dialects.spoken import Pause, Play, Ring, Say
from engine.errors import CallError
from engine.program import CallState
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.connecting import ConnectAction
from engine.programs.actions.dialling import outbound_of
from engine.programs.actions.keying import KeyingAction
from engine.programs.actions.playing import PlayAction
from engine.programs.actions.protocol import Action
from engine.programs.actions.referring import ReferAction
from sip.events import OfferAnswered, OfferRefused
from tests.support.call_control import FakeCall
from tests.support.call_parts import SESSION, described
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle
from tests.unit.engine.test_call import Scene
from tests.unit.engine.test_call import run as run_call

ITEMS = (
    Say(text="Hello."),
    Say(text="No such voice."),
    Play(url="https://a.example/a.wav", loop=2),
    Play(url="https://a.example/broken.wav"),
    Play(url="relative.wav"),
    Play(digits="1w2"),
    Pause(length_s=0.5),
    Pause(length_s=0.0),
    Ring(country="de", length_s=7.0),
)
BROKEN = {"No such voice.", "https://a.example/broken.wav"}
STEP = st.tuples(st.integers(0, 15), st.integers(0, 15))
STEPS = st.lists(STEP, max_size=25)


class Told:
    """What an action told, as text: a letter a state."""

    def __init__(self) -> None:
        self.text = ""

    def state(self, state: Any, *_: Any) -> None:
        self.text += f"{state.value} "

    def result(self, found: Collected) -> None:
        self.text += f"{found.ended.value} "

    def done(self) -> None:
        self.text += "done "


class Bench:
    """A call, what runs on it, and the far ends."""

    def __init__(self, state: CallState = CallState.ANSWERED) -> None:
        self.prompts = FakePrompts()
        self.prompts.broken = set(BROKEN)
        self.call = FakeCall(state=state)
        self.exchange = FakeExchange()
        self.context = context_of(FakeWeb(), self.prompts, exchange=self.exchange)
        self.told = Told()
        self.over = False

    async def common(self, action: Action, what: int, value: int) -> None:
        """Let something happen that can happen to any action."""
        now = self.context.now()
        match what:
            case 0 | 1 | 2:
                action.play_finished(self.call.tokens[-1] if self.call.tokens else 1, value == 0, now)
            case 3 | 4:
                action.count_digit("info")
                action.digit(value, now)
                action.digit_ended(now)
            case 5:
                action.digit(value - 8 if value < 8 else value + 8, now)
            case 6:
                await later(value / 2)
            case 7:
                await later(value * 60.0)
            case 8 if value < 3:
                action.stop(now)
            case 9 if value < 3:
                action.hang_up(now)
                self.over = True
        await settle()

    async def end(self, action: Action) -> str:
        """Hang up; return what was told."""
        action.hang_up(self.context.now())
        said = self.told.text
        action.stop(self.context.now())
        action.digit(1, self.context.now())
        for token in self.call.tokens[-2:]:
            action.play_finished(token, False, self.context.now())
        await later(100_000.0)
        await action.done()
        assert self.told.text == said, "nothing is told after the end"
        return said


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(st.sampled_from(ITEMS), max_size=4),
    loop=st.integers(0, 3),
    interruptible=st.booleans(),
    steps=STEPS,
)
def test_playing(items: list[Any], loop: int, interruptible: bool, steps: list[tuple[int, int]]) -> None:
    async def play() -> None:
        bench = Bench()
        action = PlayAction(
            items,
            bench.call,
            bench.context,
            on_state=bench.told.state,
            loop=loop,
            interruptible=interruptible,
            volume_db=-3.0,
        )
        action.start(bench.context.now())
        for what, value in steps:
            match what:
                case 10 | 11:
                    action.pause()
                case 12 | 13:
                    action.resume()
                case 14:
                    action.set_volume(value * 10.0 - 75.0)
                case _:
                    await bench.common(action, what, value)
        said = await bench.end(action)
        assert re.fullmatch(r"(playing )?(paused playing )*(paused )?(finished|error) ", said), said
        for before, after in zip(bench.call.asked, bench.call.asked[1:], strict=False):
            assert before[0] != "play" or after[0] in ("set_volume", "pause_playing"), "as loud as before"

    run(play)


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(st.sampled_from(ITEMS), max_size=2),
    max_digits=st.integers(0, 5),
    terminators=st.sampled_from(["", "#", "*#"]),
    timers=st.booleans(),
    continuous=st.booleans(),
    steps=STEPS,
)
def test_collecting(
    items: list[Any], max_digits: int, terminators: str, timers: bool, continuous: bool, steps: list[tuple[int, int]]
) -> None:
    async def play() -> None:
        bench = Bench()
        keyed: list[str] = []
        results: list[Collected] = []

        def result(found: Collected) -> None:
            results.append(found)
            bench.told.result(found)

        action = CollectAction(
            DigitRules(max_digits=max_digits, terminators=terminators),
            bench.call,
            bench.context,
            on_result=result,
            on_key=keyed.append,
            items=items,
            start_timers=timers,
            continuous=continuous,
        )
        action.start(bench.context.now())
        for what, value in steps:
            if what == 10:
                action.start_timers(bench.context.now())
            elif what == 11:
                action.set_volume(float(value))
            else:
                await bench.common(action, what, value)
            assert action.wants_digits is not action.is_over
        said = await bench.end(action)
        last = r"(digits |no_input |stopped )" if not continuous else r"(digits )*(no_input |stopped )"
        assert re.fullmatch(last, said), said
        for found in results:
            assert len(found.digits) <= max(max_digits, 1)
            assert not set(found.digits) & set(terminators)
            assert found.ended is not Ended.DIGITS or found.digits in keyed, "each key was told"

    run(play)


@settings(max_examples=20, deadline=None)
@given(digits=st.text("0123456789*#ABCDwWxyz ", max_size=60), steps=STEPS)
def test_keying(digits: str, steps: list[tuple[int, int]]) -> None:
    async def play() -> None:
        bench = Bench()
        action = KeyingAction(digits, bench.call, bench.context, on_done=bench.told.done)
        action.start(bench.context.now())
        for what, value in steps:
            await bench.common(action, what, value)
        assert await bench.end(action) == "done "
        codes = [code for what, keys in bench.call.asked if what == "send_digits" for code in keys]
        wanted = ["0123456789*#ABCD".index(key) for key in digits if key in "0123456789*#ABCD"]
        assert codes == wanted[: len(codes)]
        assert not action.is_complete or codes == wanted

    run(play)


@settings(max_examples=25, deadline=None)
@given(
    groups=st.lists(st.integers(0, 3), max_size=3),
    unreachable=st.sets(st.integers(0, 8)),
    is_answered=st.booleans(),
    steps=STEPS,
)
def test_connecting(groups: list[int], unreachable: set[int], is_answered: bool, steps: list[tuple[int, int]]) -> None:
    async def play() -> None:
        bench = Bench(CallState.ANSWERED if is_answered else CallState.RINGING)
        numbers = iter(range(100))
        devices = tuple(tuple(Device(to=f"sip:{next(numbers)}@pbx.example") for _ in range(n)) for n in groups)
        bench.exchange.unreachable = {f"sip:{number}@pbx.example" for number in unreachable}
        action = ConnectAction(devices, bench.call, bench.context, on_state=bench.told.state, max_duration_s=1800.0)
        action.start(bench.context.now())
        for what, value in steps:
            at = value % max(1, len(bench.exchange.calls))
            leg = bench.exchange.calls[at] if bench.exchange.calls else None
            match what:
                case 10 | 11 if leg is not None and leg.state in (CallState.QUEUED, CallState.RINGING):
                    bench.exchange.answer(at)
                case 12 | 13 if leg is not None and leg.state is not CallState.ENDED:
                    bench.exchange.end(at, ("busy", "no-answer", "remote_bye")[value % 3])
                case 14:
                    action.disconnect(bench.context.now())
                case 10 | 11 | 12 | 13:
                    pass
                case _:
                    await bench.common(action, what, value)
            bridged = bench.call.bridged_with
            assert action.is_connected is (bridged is not None)
            up = [call for call in bench.exchange.calls if call.state is CallState.ANSWERED]
            assert len(up) <= 1, "nobody but who is connected stays on the line"
        said = await bench.end(action)
        assert re.fullmatch(r"connecting (failed |connected disconnected )", said), said
        assert all(call.state is CallState.ENDED for call in bench.exchange.calls)

    run(play)


@settings(max_examples=20, deadline=None)
@given(refused=st.booleans(), steps=STEPS)
def test_referring(refused: bool, steps: list[tuple[int, int]]) -> None:
    async def play() -> None:
        bench = Bench()
        bench.call.cannot_refer = "no" if refused else ""
        action = ReferAction("sip:a@pbx.example", bench.call, bench.context, on_state=bench.told.state)
        action.start(bench.context.now())
        for what, value in steps:
            if what >= 10 and bench.call.refer_report is not None:
                status = (None, 100, 180, 200, 202, 403, 404, 480, 486, 487, 500, 503, 600, 603, 700, 0)[value]
                bench.call.refer_report(status, "", what >= 13)
            else:
                await bench.common(action, what, value)
        said = await bench.end(action)
        last = "cancelled|busy|noAnswer|disconnected|error|success"
        assert re.fullmatch(rf"inProgress ({last}) ", said), said
        assert bench.call.times_hung_up <= int("success" in said)

    run(play)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.integers(0, 11), max_size=30))
def test_holding(steps: list[int]) -> None:
    """Whatever the far end does with our offers, nothing of who is held is taken, and in the end all is as it was."""

    async def play() -> None:
        scene = Scene(described("m=audio 4000 RTP/AVP 0"))
        scene.acknowledge()
        other = Scene(described("m=audio 4100 RTP/AVP 0"))
        other.acknowledge()
        for one in (scene, other):
            leg: Any = one.plane.leg
            leg.bridge = leg.unbridge = lambda *_, **__: None
        call: Any = scene.call
        answered = 0

        def offers() -> int:
            return sum(what == "offer" for what, _ in scene.signals.sent)

        def settles(refuse: bool) -> None:
            nonlocal answered
            if answered == offers():
                return
            answered += 1
            if refuse:
                call.offer_refused(OfferRefused(session=SESSION, status=488))
            else:
                line = "a=recvonly" if "sendonly" in str(scene_offer().serialize()) else "a=sendrecv"
                answer = described("m=audio 4000 RTP/AVP 0", line)
                call.answered_again(OfferAnswered(session=SESSION, answer=answer))

        def scene_offer() -> Any:
            return [sdp for what, sdp in scene.signals.sent if what == "offer"][-1]

        wants_bridge = False
        for step in steps:
            match step:
                case 0 | 1 | 2:
                    call.put_on_hold(True)
                case 3 | 4 | 5:
                    call.put_on_hold(False)
                case 6 | 7:
                    settles(False)
                case 8:
                    settles(True)
                case 9:
                    scene.offer(described("m=audio 4000 RTP/AVP 0"))
                case 10:
                    call.bridge(weakref.proxy(other.call))
                    wants_bridge = True
                case 11:
                    call.unbridge()
                    wants_bridge = False
            if call.on_hold:
                assert scene.configured["receiving"] is False
                assert call.bridged_with is None
            assert offers() - answered in (0, 1), "one offer at a time"
        call.put_on_hold(False)
        while answered < offers():
            settles(False)
        assert not call.on_hold
        assert scene.configured["receiving"] is True
        assert (call.bridged_with is not None) is wants_bridge
        await asyncio.sleep(0)

    run_call(play())


@settings(max_examples=50, deadline=None)
@given(text=st.text("sip:@.+0123456789abX-=?&%;<>\r\n ", max_size=40))
def test_whom_a_device_names_is_a_call_or_an_error_that_says_so(text: str) -> None:
    try:
        wanted = outbound_of(Device(to=text, headers=((text, text),)))
    except CallError:
        return
    assert wanted.ring_s == 60.0
    assert all(name[:2].lower() == "x-" for name in wanted.headers)


def test_the_fuzzers_seeds_hold() -> None:
    from tests.fuzz import fuzz_actions  # which imports this

    for seed in fuzz_actions.SEEDS:
        fuzz_actions.one_input(seed)
