"""A run between an interpreter and a call: what it hands on to whom, and that it comes to its end whatever happens."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from engine.config import parse
from engine.dialects.swml.commands import (
    AnswerCall,
    Begin,
    BeginRecordCall,
    Command,
    EndRecordCall,
    FetchDocument,
    Finished,
    KeyDigits,
    SendUserEvent,
    Stop,
    Wait,
    Warn,
)
from engine.dialects.swml.errors import ScriptError
from engine.dialects.swml.methods import Pay, Play, Record, RecordCall
from engine.program import CallState
from engine.programs.swml.run import MAX_RECORDINGS, SwmlRun
from tests.support.acting import FakeAction
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

PLAY = Play(items=())
PAY = Pay(properties={})
CONFIG = '[connector.sandbox]\ntype = "sandbox"\n[signalwire]\nproject = "P"\n'


class Script:
    """An interpreter that wants what a test says, and writes down what it is told."""

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()
        self.told: list[tuple[Any, ...]] = []
        self.due: float | None = None
        self.fails_at = ""

    def _note(self, what: str, *more: Any) -> None:
        self.told.append((what, *more))
        if what == self.fails_at:
            raise RuntimeError("with 4242424242424242 in it")

    def start(self, now: float) -> None:
        self._note("start")

    def answered(self, now: float) -> None:
        self._note("answered")

    def fetched(self, token: int, *, status: int, content_type: str, body: bytes, url: str, now: float) -> None:
        self._note("fetched", token, status, body)

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        self._note("fetch_failed", token, reason)

    def ended(self, token: int, variables: Mapping[str, Any], now: float) -> None:
        self._note("ended", token, dict(variables))

    def set_variables(self, variables: Mapping[str, Any], now: float) -> None:
        self._note("set", dict(variables))

    def call_changed(self, call: Mapping[str, Any]) -> None:
        self._note("call", call["call_state"])

    def hang_up(self, now: float) -> None:
        self._note("hang_up")
        self.commands.append(Finished(reason="hung-up"))

    def next_timer(self) -> float | None:
        return self.due

    def handle_timer(self, now: float) -> None:
        self.due = None
        self._note("timer")

    def next_command(self) -> Command | None:
        return self.commands.popleft() if self.commands else None


class Shop:
    """Makes `FakeAction`s."""

    def __init__(self) -> None:
        self.made: list[FakeAction] = []
        self.tells: list[Callable[[Mapping[str, Any]], None]] = []
        self.error: Exception | None = None
        self.prepare: Callable[[FakeAction], None] = lambda action: None

    def _make(self, ended: Callable[..., None]) -> FakeAction:
        if self.error is not None:
            raise self.error
        action = FakeAction(ended)
        self.prepare(action)
        self.made.append(action)
        return action

    def begin(self, work: Any, base_url: str, ended: Callable[..., None]) -> FakeAction:
        return self._make(ended)

    def key(self, digits: str, ended: Callable[..., None]) -> FakeAction:
        return self._make(ended)

    def record_call(self, command: RecordCall, tell: Any, ended: Callable[[], None]) -> FakeAction:
        self.tells.append(tell)
        return self._make(ended)

    def failed(self, work: Any, error: Exception) -> Mapping[str, Any]:
        return {"result": "failed"}


class Scene:
    def __init__(self, *, state: CallState = CallState.ANSWERED) -> None:
        self.script = Script()
        self.shop = Shop()
        self.call = FakeCall(state=state)
        self.web = FakeWeb()
        self.finished: list[str] = []
        self.limits: list[float | None] = []
        context = context_of(self.web, FakePrompts(), config=parse(CONFIG))
        self.run = SwmlRun(self.script, self.call, context, self.shop, self.finished.append, answer=self.limits.append)

    def want(self, *commands: Command) -> None:
        """Have the interpreter want something, now."""
        self.script.commands.extend(commands)
        self.run.begin(self.now)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.script.told if entry[0] in names]


def test_what_is_begun_ends_once_and_its_variables_are_told() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Begin(token=1, work=PLAY))
        (action,) = s.shop.made
        assert action.happened == ["start"]
        action.end({"a": 1})
        action.end({"a": 2})
        assert s.told("ended") == [("ended", 1, {"a": 1})]
        await s.run.done()

    run(scene)


def test_one_that_ends_within_its_start_is_told_all_the_same() -> None:
    async def scene() -> None:
        s = Scene()
        s.shop.prepare = lambda action: action.ends_at.update(start={"a": 1})
        s.want(Begin(token=1, work=PLAY), KeyDigits(token=2, digits="1"))
        assert s.told("ended") == [("ended", 1, {"a": 1}), ("ended", 2, {"a": 1})]
        await s.run.done()

    run(scene)


def test_a_method_that_cannot_be_made_or_begun_is_a_failed_one_and_the_document_goes_on() -> None:
    async def scene() -> None:
        s = Scene()
        s.shop.error = RuntimeError("no")
        s.want(Begin(token=1, work=PLAY))
        s.shop.error = None
        s.shop.prepare = lambda action: setattr(action, "fails_at", "start")
        s.want(Begin(token=2, work=PAY))
        assert s.told("ended") == [("ended", 1, {"result": "failed"}), ("ended", 2, {"result": "failed"})]
        assert s.finished == []
        s.shop.made[0].over.set()
        await s.run.done()

    run(scene)


def test_keys_go_to_what_wants_them_and_while_a_payment_runs_to_nobody_else() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(BeginRecordCall(record=RecordCall(record=Record())), Begin(token=1, work=PLAY))
        recording, play = s.shop.made
        s.run.digit(1, s.now)
        recording.wants_digits = play.wants_digits = True
        s.run.count_digit("in-band")
        s.run.digit(2, s.now)
        s.run.digit_ended(s.now)
        for action in (recording, play):
            assert action.happened == ["start", ("count_digit", "in-band"), ("digit", 2), "digit_ended"]
        play.end({})
        s.want(Begin(token=2, work=PAY))
        payment = s.shop.made[-1]
        s.run.digit(3, s.now)
        payment.wants_digits = True
        s.run.digit(4, s.now)
        assert ("digit", 3) not in recording.happened
        assert ("digit", 4) not in recording.happened
        assert payment.happened == ["start", ("digit", 4)]
        payment.end({})
        recording.wants_digits = False
        s.run.digit(5, s.now)  # may be the rest of a card number: nobody hears it
        assert all(("digit", 5) not in action.happened for action in s.shop.made)
        recording.over.set()
        await s.run.done()

    run(scene)


def test_who_is_over_hears_of_its_playlists_until_it_is_done() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Begin(token=1, work=PLAY))
        (action,) = s.shop.made
        s.script.commands.append(Stop(token=1))
        s.run.answered(s.now)
        s.run.play_finished(7, False, s.now)
        s.run.digit_ended(s.now)
        assert action.happened == ["start", "stop", ("play_finished", 7), "digit_ended"]
        await s.run.done()
        s.run.play_finished(8, False, s.now)
        assert action.happened[-1] == "digit_ended"
        assert s.told("ended") == []

    run(scene)


def test_a_hang_up_lets_all_that_was_begun_end_by_itself_and_tells_the_document_nothing_of_it() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(BeginRecordCall(record=RecordCall(record=Record())), Begin(token=1, work=PAY))
        recording, payment = s.shop.made
        payment.ends_at = {"hang_up": {"pay_result": "caller-hung-up"}}
        s.run.hang_up(s.now)
        s.run.hang_up(s.now)
        assert recording.happened == payment.happened == ["start", "hang_up"]
        assert s.told("ended", "hang_up") == [("hang_up",)]
        assert s.finished == ["hung-up"]
        await s.run.done()

    run(scene)


def test_a_payment_at_its_connector_is_waited_for_after_the_hang_up() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Begin(token=1, work=PAY))
        (payment,) = s.shop.made
        s.run.hang_up(s.now)
        payment.over.clear()
        waiting = asyncio.ensure_future(s.run.done())
        await settle()
        assert not waiting.done()
        payment.end({"pay_result": "success"})
        await waiting
        assert s.told("ended") == []

    run(scene)


def test_waits_end_in_their_time_or_with_the_call() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Wait(token=1, seconds=5.0))
        await later(4.0)
        assert s.told("ended") == []
        await later(1.5)
        assert s.told("ended") == [("ended", 1, {})]
        s.want(Wait(token=2, seconds=math.inf), Wait(token=3, seconds=5.0))
        s.script.commands.append(Stop(token=3))
        s.run.answered(s.now)
        await later(100_000.0)
        s.run.hang_up(s.now)
        assert s.told("ended") == [("ended", 1, {})]
        await s.run.done()

    run(scene)


def test_documents_are_handed_to_the_interpreter_or_why_there_is_none() -> None:
    async def scene() -> None:
        s = Scene()
        s.web.pages["https://app.example/a"] = "sections: {}"
        s.want(FetchDocument(token=1, url="https://app.example/a"), FetchDocument(token=2, url="http://x.example/"))
        await settle()
        ((_, _, reason),) = s.told("fetch_failed")
        assert "https" in reason
        assert s.told("fetched") == [("fetched", 1, 200, b"sections: {}")]
        await s.run.done()

    run(scene)


def test_a_request_for_a_document_ends_with_the_call() -> None:
    async def scene() -> None:
        s = Scene()
        page: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        s.web.pages["https://app.example/a"] = page
        s.want(FetchDocument(token=1, url="https://app.example/a"))
        await settle()
        s.run.hang_up(s.now)
        await s.run.done()
        assert s.told("fetched", "fetch_failed") == []
        page.cancel()

    run(scene)


def test_an_interpreter_that_fails_ends_its_call_and_no_variable_gets_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        s = Scene()
        s.script.fails_at = "ended"
        s.want(Begin(token=1, work=PLAY))
        with caplog.at_level(logging.DEBUG):
            s.shop.made[0].end({})
        assert s.finished == ["error"]
        s.run.hang_up(s.now)
        await s.run.done()
        assert s.finished == ["error"]

    run(scene)
    assert "RuntimeError" in str([vars(record) for record in caplog.records])
    assert "4242" not in caplog.text


def test_recordings_beside_the_document_are_ended_by_name_or_the_last_one_first() -> None:
    async def scene() -> None:
        s = Scene()
        for name in ("a", ""):
            s.want(BeginRecordCall(record=RecordCall(record=Record(), control_id=name)))
        first, second = s.shop.made
        ids = [entry[1]["record_control_id"] for entry in s.told("set")]
        assert ids[0] == "a"
        assert ids[1] not in ("", "a")
        s.shop.tells[1]({"record_call_url": "https://x.example/"})
        assert s.told("set")[-1] == ("set", {"record_call_url": "https://x.example/"})
        s.want(EndRecordCall(control_id=""))
        assert (first.happened[-1], second.happened[-1]) == ("start", "stop")
        s.want(EndRecordCall(control_id="b"))
        assert s.told("set")[-1] == ("set", {"stop_record_call_result": "failed"})
        s.want(EndRecordCall(control_id="a"))
        assert first.happened[-1] == "stop"
        assert s.told("set")[-1] == ("set", {"stop_record_call_result": "success"})
        await s.run.done()

    run(scene)


def test_no_more_recordings_than_there_may_be_and_none_twice() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(*[BeginRecordCall(record=RecordCall(record=Record(), control_id="a"))] * 2)
        assert len(s.shop.made) == 1
        assert s.told("set")[-1][1]["record_call_result"] == "failed"
        s.want(*[BeginRecordCall(record=RecordCall(record=Record()))] * MAX_RECORDINGS)
        assert len(s.shop.made) == MAX_RECORDINGS
        s.run.hang_up(s.now)
        await s.run.done()

    run(scene)


def test_timers_of_the_interpreter_are_kept() -> None:
    async def scene() -> None:
        s = Scene()
        s.script.due = s.now + 2.0
        s.want(AnswerCall(max_duration_s=60.0))
        assert s.limits == [60.0]
        await later(2.5)
        assert s.told("timer") == [("timer",)]
        s.script.due = s.now + 2.0
        s.want(Finished(reason="hangup"))
        await later(2.5)
        assert s.told("timer") == [("timer",)]
        assert s.finished == ["hangup"]
        await s.run.done()

    run(scene)


def test_the_scope_of_the_call_is_told_before_the_answer() -> None:
    async def scene() -> None:
        s = Scene()
        s.run.answered(s.now)
        assert s.script.told == [("call", "answered"), ("answered",)]
        await s.run.done()

    run(scene)


def test_the_log_tells_the_vendors_name_of_what_is_wrong_and_nothing_of_an_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        s = Scene()
        with caplog.at_level(logging.DEBUG):
            s.want(
                Warn(code=ScriptError.JS_EVAL_ERROR, where="sections.main[0]", reason="no"),
                SendUserEvent(event={"keys": "1234"}),
            )
        await s.run.done()

    run(scene)
    told = str([vars(record) for record in caplog.records])
    assert "relay_script_js_eval_error" in told
    assert "sections.main[0]" in told
    assert "1234" not in caplog.text


def test_what_is_given_up_is_stopped_and_nothing_is_finished() -> None:
    async def scene() -> None:
        s = Scene()
        s.want(Begin(token=1, work=PLAY))
        s.run.stop(s.now)
        assert s.shop.made[0].happened == ["start", "stop"]
        assert s.finished == []
        await s.run.done()

    run(scene)
