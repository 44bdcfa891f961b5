"""A run between an NCCO's interpreter and a call: what it hands on to whom, and that it ends whatever happens."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from engine.config import parse
from engine.dialects.ncco.actions import EventTarget, Input, Pay, Record, Talk
from engine.dialects.ncco.commands import (
    AnswerCall,
    Begin,
    BeginRecording,
    Command,
    FetchNcco,
    Finished,
    Source,
    Stop,
    TellError,
    Wait,
    Warn,
)
from engine.dialects.ncco.errors import NccoError
from engine.errors import ProgramError
from engine.net.http import HttpResponse
from engine.program import CallState
from engine.programs.ncco.legs import Leg, NccoLegs
from engine.programs.ncco.run import NccoRun
from tests.support.acting import FakeAction
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

URL = "https://app.example/answer"
TALK = Talk(text="Hello.")
PAY = Pay(properties={})
CONFIG = '[connector.sandbox]\ntype = "sandbox"\n'


class Script:
    """An interpreter that wants what a test says, and writes down what it is told."""

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()
        self.told: list[tuple[Any, ...]] = []
        self.fails_at = ""

    def _note(self, what: str, *more: Any) -> None:
        self.told.append((what, *more))
        if what == self.fails_at:
            raise RuntimeError("with 4242424242424242 in it")

    def start(self, now: float) -> None:
        self._note("start")

    def answered(self, now: float) -> None:
        self._note("answered")

    def fetched(self, token: int, body: bytes, url: str, now: float) -> None:
        self._note("fetched", token, body, url)

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        self._note("fetch_failed", token, reason)

    def ended(self, token: int, outcome: Mapping[str, Any], now: float) -> None:
        self._note("ended", token, dict(outcome))

    def replace(self, source: Source, now: float) -> None:
        self._note("replace", source)

    def hang_up(self, now: float) -> None:
        self._note("hang_up")
        self.commands.append(Finished(reason="hung-up"))

    def next_command(self) -> Command | None:
        return self.commands.popleft() if self.commands else None


@dataclass
class Errors:
    """What the application is told that is wrong."""

    told: list[str] = field(default_factory=list)

    def tell_error(self, leg: Leg, reason: str) -> None:
        self.told.append(reason)


class Shop:
    """Makes `FakeAction`s."""

    def __init__(self) -> None:
        self.made: list[FakeAction] = []
        self.error: Exception | None = None

    def _make(self, ended: Callable[..., None]) -> FakeAction:
        if self.error is not None:
            raise self.error
        self.made.append(FakeAction(ended))
        return self.made[-1]

    def begin(self, command: Begin, ended: Callable[..., None]) -> FakeAction:
        return self._make(ended)

    def record(self, record: Record, base_url: str, ended: Callable[[], None]) -> FakeAction:
        return self._make(ended)


class Scene:
    def __init__(self) -> None:
        self.script = Script()
        self.shop = Shop()
        self.errors = Errors()
        self.call = FakeCall(state=CallState.ANSWERED)
        self.web = FakeWeb()
        self.finished: list[str] = []
        self.answers = 0
        leg = Leg(
            facts=self.call.facts,
            app="shop",
            application_id="a",
            uuid="u",
            conversation_uuid="CON-u",
            event=None,
            started_at=datetime(2026, 11, 22, tzinfo=UTC),
        )
        self.run = NccoRun(
            self.script,
            self.call,
            context_of(self.web, FakePrompts(), config=parse(CONFIG)),
            self.shop,
            self.finished.append,
            leg=leg,
            legs=cast("NccoLegs", self.errors),
            answer=self._answer,
        )

    def _answer(self) -> None:
        self.answers += 1

    def want(self, *commands: Command) -> None:
        """Have the interpreter want something, now."""
        self.script.commands.extend(commands)
        self.run.begin(self.now)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.script.told if entry[0] in names]

    async def over(self) -> None:
        for action in self.shop.made:
            action.over.set()
        self.run.hang_up(self.now)
        await self.run.done()


def test_what_is_begun_ends_once_and_its_outcome_is_told() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(AnswerCall(), Begin(token=1, work=Input()))
        assert s.answers == 1
        (action,) = s.shop.made
        assert action.happened == ["start"]
        action.end({"digits": "12", "timed_out": False})
        action.end({"digits": "34", "timed_out": False})
        assert s.told("ended") == [("ended", 1, {"digits": "12", "timed_out": False})]
        await s.over()

    run(scene)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NccoError("[2].amount", "a number above 0 is wanted"), "Syntax error in NCCO. [2].amount: a number above 0"),
        (NccoError("", "the call has a payment already"), "pay: the call has a payment already"),
        (RuntimeError("4242424242424242"), "pay: it could not be carried out"),
    ],
)
def test_an_action_that_cannot_begin_is_an_error_and_the_next_one_follows(
    error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        s = Scene()
        s.shop.error = error
        s.want(Begin(token=1, work=PAY))
        assert s.told("ended") == [("ended", 1, {})]
        assert len(s.errors.told) == 1
        assert s.errors.told[0].startswith(told)
        assert s.finished == []
        await s.over()

    run(scene)
    assert "4242" not in caplog.text


def test_an_answer_is_handed_on_with_where_it_came_from_and_a_failure_with_why() -> None:
    async def scene() -> None:
        s = Scene()
        s.web.pages[URL] = HttpResponse(status=200, headers=(), body=b"[]")
        target = EventTarget(url=URL, method="GET")
        s.want(FetchNcco(token=1, asking="answer", target=target), FetchNcco(token=2, asking="input", target=None))
        await settle()
        assert ("fetched", 1, b"[]", URL) in s.script.told
        assert s.told("fetch_failed") == [("fetch_failed", 2, "the application has no event URL")]
        await s.over()

    run(scene)


def test_what_is_stopped_is_told_nothing_and_still_waited_for() -> None:
    async def scene() -> None:
        s = Scene()
        waits = (Wait(token=2, seconds=1.0), Stop(token=1), Stop(token=2))
        s.want(Begin(token=1, work=PAY), *waits)
        (action,) = s.shop.made
        action.over.clear()  # it waits for its connector
        assert action.happened == ["start", "stop"]
        action.ended({})
        await later(2.0)
        assert s.told("ended") == []
        s.run.hang_up(s.now)
        done = asyncio.ensure_future(s.run.done())
        await settle()
        assert not done.done(), "a payment at its connector is given up"
        action.over.set()
        await done

    run(scene)


def test_waits_end_by_themselves_but_the_endless_one() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Wait(token=1, seconds=5.0), Wait(token=2, seconds=math.inf))
        await later(4.0)
        assert s.told("ended") == []
        await later(2.0)
        assert s.told("ended") == [("ended", 1, {})]
        await s.over()
        assert s.finished == ["hung-up"]

    run(scene)


def test_keys_of_a_payment_are_heard_by_nobody_else() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(BeginRecording(record=Record()), Begin(token=1, work=PAY))
        recording, payment = s.shop.made
        recording.wants_digits = payment.wants_digits = True
        s.run.digit(4, s.now)
        s.run.count_digit("in-band")
        assert payment.happened == ["start", ("digit", 4), ("count_digit", "in-band")]
        assert recording.happened == ["start"]
        payment.wants_digits = False
        s.run.digit(5, s.now)
        assert recording.happened == ["start"]
        payment.end({})
        s.run.digit(6, s.now)
        assert recording.happened == ["start", ("digit", 6)]
        await s.over()

    run(scene)


def test_a_recording_without_an_end_runs_beside_what_follows_and_a_second_one_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        s = Scene()
        s.want(BeginRecording(record=Record()), BeginRecording(record=Record()), Begin(token=1, work=TALK))
        assert len(s.shop.made) == 2
        s.shop.made[0].end()
        s.want(BeginRecording(record=Record()))
        assert len(s.shop.made) == 3
        await s.over()

    run(scene)
    assert "runs already" in caplog.text


@pytest.mark.parametrize("record", [Record(end_on_key="#"), Record(end_on_silence_s=3.0), Record(timeout_s=10.0)])
def test_a_recording_that_something_ends_is_a_message_that_is_waited_for(record: Record) -> None:
    async def scene() -> None:
        s = Scene()
        s.want(BeginRecording(record=record), Begin(token=1, work=TALK))
        assert len(s.shop.made) == 1
        s.shop.made[0].end()
        assert len(s.shop.made) == 2
        await s.over()

    run(scene)


def test_another_ncco_ends_the_wait_for_a_message() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(BeginRecording(record=Record(end_on_key="#")), Begin(token=1, work=TALK))
        source = Source(text=b"[]")
        s.script.commands.clear()
        s.script.commands.append(Begin(token=2, work=TALK))
        s.run.replace(source, s.now)
        assert s.shop.made[0].happened == ["start", "stop"]
        assert s.told("replace") == [("replace", source)]
        assert len(s.shop.made) == 2
        await s.over()

    run(scene)


def test_a_recording_that_cannot_begin_is_an_error_and_the_ncco_goes_on() -> None:
    async def scene() -> None:
        s = Scene()
        s.shop.error = RuntimeError("no disk")
        s.want(BeginRecording(record=Record(end_on_key="#")), Wait(token=1, seconds=1.0))
        await later(2.0)
        assert s.errors.told == ["record: it could not be carried out"]
        assert s.told("ended") == [("ended", 1, {})]
        await s.over()

    run(scene)


def test_errors_and_oddities_are_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        s = Scene()
        s.want(TellError(reason="Syntax error in NCCO. [0]: no"), Warn(where="[1]", reason="odd"))
        assert s.errors.told == ["Syntax error in NCCO. [0]: no"]
        await s.over()

    caplog.set_level(logging.WARNING)
    run(scene)
    assert "an NCCO: odd" in caplog.text


@pytest.mark.parametrize("at", ["start", "ended", "answered"])
def test_an_interpreter_that_fails_ends_the_ncco_and_nothing_else(at: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        s = Scene()
        s.script.fails_at = at
        s.want(Begin(token=1, work=TALK))
        s.run.answered(s.now)
        if s.shop.made:
            s.shop.made[0].end({})
        assert s.finished == ["error"]
        with pytest.raises(ProgramError):
            s.run.replace(Source(text=b"[]"), s.now)
        await s.over()

    run(scene)
    assert "4242" not in caplog.text


def test_the_end_of_the_ncco_is_told_once_and_nothing_happens_behind_it() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Finished(reason=""), Begin(token=1, work=TALK))
        assert s.finished == [""]
        assert s.shop.made == []
        await s.over()
        assert s.finished == [""]

    run(scene)
