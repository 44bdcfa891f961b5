"""``connect`` of NCCOs: how who is called is called, what they hear first, what is told and what comes of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any, Literal

import pytest

from engine.dialects.ncco.actions import Connect, Endpoint, EventTarget
from engine.dialects.ncco.commands import Outcome, Source
from engine.dialects.ncco.identity import conversation_uuid
from engine.dialects.twiml.commands import Source as TwimlSource
from engine.errors import ProgramError
from engine.events import CallCreated, CallFailed, CallOutcome
from engine.program import CallControl, CallState
from engine.programs.leg_program import LegProgram
from engine.programs.ncco.connect import NccoConnectAction
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.ncco_calls import BASE, NccoScene
from tests.support.programs import settle

RING = "https://app.example/ring.mp3"


class FakeRun:
    """An NCCO that a called side hears, or that leads it: a test says when it is over."""

    def __init__(self, heard: Callable[[bool], None] = lambda wanted: None) -> None:
        self.heard = heard
        self.happened: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.happened.append(name)

    def digit(self, code: int, now: float) -> None:
        self.happened.append(code)

    def redirect(self, source: Source) -> None:
        self.happened.append(source)

    async def done(self) -> None:
        self.happened.append("done")


class Scene(NccoScene):
    """A call whose NCCO connects it."""

    def __init__(
        self,
        to: str = "+15557654321",
        kind: Literal["phone", "sip", "vbc"] = "phone",
        *,
        endpoint: dict[str, Any] | None = None,
        more: str = "",
        state: CallState = CallState.ANSWERED,
        **how: Any,
    ) -> None:
        super().__init__(more)
        self.one, self.leg = self.call(state=state)
        self.outcomes: list[Outcome] = []
        self.whispers: list[tuple[EventTarget, FakeRun]] = []
        self.programs: list[tuple[Source, FakeRun]] = []
        self.action = NccoConnectAction(
            Connect(endpoint=Endpoint(type=kind, to=to, **(endpoint or {})), **how),
            self.one,
            self.context,
            leg=self.leg,
            base_url=BASE,
            make_program=self._program,
            make_whisper=self._whisper,
            on_over=self.outcomes.append,
        )

    def _program(self, call: CallControl, source: Source) -> Any:
        self.programs.append((source, FakeRun()))
        return self.programs[-1][1]

    def _whisper(self, where: EventTarget, call: CallControl, heard: Callable[[bool], None]) -> Any:
        self.whispers.append((where, FakeRun(heard)))
        return self.whispers[-1][1]

    async def start(self) -> Scene:
        self.action.start(self.context.now())
        await settle()
        return self

    @property
    def called(self) -> FakeCall:
        return self.exchange.calls[-1]

    def is_connected(self) -> bool:
        return self.one.bridged_with is not None

    def fails(self, outcome: CallOutcome) -> None:
        """Nobody answers, told as the engine does."""
        facts = self.called.facts
        created = CallCreated(call_id=facts.call_id, direction="out", caller="", dialled="", parent_id="")
        self.legs.observe(created)
        self.legs.observe(CallFailed(call_id=facts.call_id, outcome=outcome, status=None, reason=""))
        self.exchange.end(len(self.exchange.calls) - 1, outcome.value)


@pytest.mark.parametrize(("kind", "to"), [("phone", "15557654321"), ("vbc", "4711"), ("sip", "sip:a@pbx.example")])
def test_every_kind_of_endpoint_is_called_and_connected(kind: Literal["phone", "sip", "vbc"], to: str) -> None:
    async def play() -> None:
        scene = await Scene(to, kind, timeout_s=20.0).start()
        wanted = scene.exchange.wanted[0]
        assert (wanted.to, wanted.ring_s) == (to, 20.0)
        scene.exchange.answer(0)
        assert scene.is_connected()
        assert scene.outcomes == []
        scene.exchange.end(0, "remote_bye")
        assert scene.outcomes == [{}]
        assert scene.one.times_hung_up == 0, "the NCCO goes on"

    run(play)


def test_headers_go_with_a_sip_uri_only() -> None:
    async def play() -> None:
        headers = {"headers": (("Order", "4711"),)}
        scene = await Scene("sip:a@pbx.example", "sip", endpoint=headers).start()
        assert scene.exchange.wanted[0].headers == {"X-Order": "4711"}
        scene = await Scene(endpoint=headers).start()
        assert scene.exchange.wanted[0].headers == {}

    run(play)


@pytest.mark.parametrize(
    ("more", "caller", "seen"),
    [
        ("", "", "+15551234567"),
        ('number = "+15550001111"', "", "+15550001111"),
        ('number = "+15550001111"', "15552223333", "15552223333"),
    ],
)
def test_who_is_seen_to_call_is_named_else_the_applications_number_else_who_calls(
    more: str, caller: str, seen: str
) -> None:
    async def play() -> None:
        scene = await Scene(more=more, caller=caller).start()
        assert scene.exchange.wanted[0].caller == seen

    run(play)


def test_the_two_are_parted_at_the_limit() -> None:
    async def play() -> None:
        scene = await Scene(limit_s=60.0).start()
        scene.exchange.answer(0)
        await later(59.0)
        assert scene.is_connected()
        await later(1.5)
        assert (scene.outcomes, scene.called.times_hung_up) == ([{}], 1)

    run(play)


def test_the_caller_hears_the_ringing_that_is_wanted_or_else_a_telephones() -> None:
    async def play() -> None:
        scene = await Scene(ringback_url="ring.mp3").start()
        assert scene.one.heard[0] == (RING,)
        scene = await Scene(ringback_url="other.mp3", endpoint={"ringback_url": "ring.mp3"}).start()
        assert scene.one.heard[0] == (RING,)
        usual = (await Scene().start()).one.heard[0]
        scene = Scene(ringback_url=RING)
        scene.prompts.broken.add(RING)
        await scene.start()
        assert scene.one.heard[0] == usual

    run(play)


def test_ringing_is_not_heard_over_a_payments_prompts() -> None:
    async def play() -> None:
        for broken in (set[str](), {RING}):
            scene = Scene(ringback_url=RING)
            scene.prompts.broken = broken
            scene.action.start(scene.context.now())
            scene.one.guard.enter(scene)
            await settle()
            assert scene.one.heard == []
            assert len(asyncio.all_tasks()) == 1, "it is not tried again and again"

    run(play)


def test_keys_are_sent_before_the_two_are_connected() -> None:
    async def play() -> None:
        scene = await Scene(endpoint={"dtmf_answer": "1p2"}).start()
        scene.exchange.answer(0)
        assert scene.called.asked == [("send_digits", (1,))]
        await later(0.7)
        assert scene.called.asked[1] == ("send_digits", (2,))
        assert not scene.is_connected()
        await later(0.2)
        assert scene.is_connected()

    run(play)


def test_the_called_side_hears_its_ncco_first() -> None:
    async def play() -> None:
        scene = await Scene(endpoint={"on_answer_url": "/whisper"}).start()
        scene.exchange.answer(0)
        where, whisper = scene.whispers[0]
        assert (where.url, where.method) == ("https://app.example/whisper", "GET")
        assert not scene.is_connected()
        scene.called.program.digit(5, 0.0)
        assert whisper.happened == ["begin", "answered", 5]
        whisper.heard(True)
        assert scene.is_connected()

    run(play)


def test_a_called_side_whose_ncco_does_not_want_it_is_not_connected() -> None:
    async def play() -> None:
        scene = await Scene(endpoint={"on_answer_url": "/whisper"}, synchronous=True).start()
        scene.exchange.answer(0)
        scene.whispers[0][1].heard(False)
        assert scene.called.times_hung_up == 1
        assert not scene.is_connected()
        assert scene.outcomes == [{"status": ""}]

    run(play)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (CallOutcome.BUSY, "busy"),
        (CallOutcome.NO_ANSWER, "timeout"),
        (CallOutcome.REFUSED, "rejected"),
        (CallOutcome.NOT_FOUND, "failed"),
        (CallOutcome.NO_MEDIA, "failed"),
        (CallOutcome.UNREACHABLE, "unanswered"),
        (CallOutcome.CANCELLED, ""),
    ],
)
def test_why_nobody_was_had_is_the_outcome_where_that_is_wanted(outcome: CallOutcome, status: str) -> None:
    async def play() -> None:
        for synchronous, expected in ((True, {"status": status}), (False, {})):
            scene = await Scene(synchronous=synchronous).start()
            scene.fails(outcome)
            await settle()
            assert scene.outcomes == [expected]

    run(play)


def test_who_cannot_be_called_at_all_is_a_failure() -> None:
    async def play() -> None:
        scene = Scene("4", synchronous=True)
        scene.exchange.unreachable.add("4")
        await scene.start()
        assert scene.outcomes == [{"status": "failed"}]

    run(play)


def test_states_of_the_called_side_are_told_in_the_conversation_of_the_calling_one() -> None:
    async def play() -> None:
        for event, url in ((None, "https://shop.example/events"), (EventTarget(url="/b"), "https://app.example/b")):
            scene = await Scene(event=event).start()
            scene.fails(CallOutcome.BUSY)
            told = await scene.told("status")
            assert [one["status"] for one in told] == ["started", "busy"]
            assert {one["conversation_uuid"] for one in told} == {conversation_uuid(scene.one.facts.call_id)}
            assert {item["url"] for item in scene.box.items} == {url}

    run(play)


def test_an_event_url_that_is_none_is_the_applications() -> None:
    async def play() -> None:
        scene = await Scene(event=EventTarget(url="ftp://app.example/b")).start()
        scene.fails(CallOutcome.BUSY)
        await scene.told("status")
        assert {item["url"] for item in scene.box.items} == {"https://shop.example/events"}

    run(play)


def test_what_a_synchronous_connect_asks_about_is_not_told_besides() -> None:
    async def play() -> None:
        scene = await Scene(synchronous=True).start()
        scene.fails(CallOutcome.BUSY)
        assert [one["status"] for one in await scene.told("status")] == ["started"]

    run(play)


def test_a_called_side_can_be_led_elsewhere_by_nccos_and_by_nothing_else() -> None:
    async def play() -> None:
        scene = await Scene().start()
        scene.exchange.answer(0)
        program = scene.called.program
        assert isinstance(program, LegProgram)
        with pytest.raises(ProgramError, match="no documents of this kind"):
            program.redirect(TwimlSource(url="https://app.example/twiml"))
        assert scene.is_connected()
        first, second = Source(text=b"[]"), Source(text=b"[{}]")
        program.redirect(first)
        assert (scene.outcomes, scene.is_connected(), scene.called.times_hung_up) == ([{}], False, 0)
        program.redirect(second)
        source, led = scene.programs[0]
        assert source is first
        assert led.happened == ["start", second]
        with pytest.raises(ProgramError):
            program.redirect(TwimlSource(url="https://app.example/twiml"))

    run(play)


@pytest.mark.parametrize("answered", [True, False])
def test_the_end_of_the_calling_side_is_the_end_of_both(answered: bool) -> None:
    async def play() -> None:
        scene = await Scene().start()
        if answered:
            scene.exchange.answer(0)
        scene.one.state = CallState.ENDED
        scene.action.hang_up(scene.context.now())
        assert scene.called.times_hung_up == 1
        assert scene.outcomes == [{}]
        scene.action.stop(scene.context.now())
        assert scene.outcomes == [{}]

    run(play)


def test_nothing_of_a_call_lives_on() -> None:
    async def play() -> None:
        scene = await Scene(endpoint={"on_answer_url": "/whisper"}).start()
        scene.exchange.answer(0)
        scene.whispers[0][1].heard(True)
        scene.one.state = CallState.ENDED
        scene.action.hang_up(scene.context.now())
        await scene.action.done()
        gone = weakref.ref(scene.one)
        gc.disable()
        try:
            scene.exchange.calls.clear()
            scene.one = FakeCall()
            assert gone() is None
        finally:
            gc.enable()

    run(play)
