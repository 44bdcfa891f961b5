"""An NCCO application's call from its first ring to its end, with the interpreter and the webhooks of the engine."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.config import NccoApp, parse
from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.commands import Source
from engine.errors import ConfigError, ProgramError
from engine.net.http import HttpResponse
from engine.outbox import Outbox
from engine.program import CallState, Program, TakesTransfers, Transfer
from engine.programs.actions.recording import RecordedInfo, RecordState
from engine.programs.ncco import works
from engine.programs.ncco.legs import NccoLegs
from engine.programs.ncco.program import MAX_LENGTH_S, NccoProgram, check_nccos, program_of, source_of
from engine.service import Engine
from tests.support.acting import FakeAction
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

URL = "https://app.example/answer"
EVENTS = "https://app.example/events"
MORE = "https://app.example/more"
CONFIG = f"""
[connector.sandbox]
type = "sandbox"
[vonage]
allow_insecure_callbacks = true
[app.shop]
dialect = "ncco"
answer_url = "{URL}"
event_url = "{EVENTS}"
"""


def ncco_answer(*actions: Any) -> HttpResponse:
    return HttpResponse(status=200, headers=(), body=json.dumps(actions).encode())


@dataclass
class Posts:
    """What was put into the outbox."""

    put: list[dict[str, Any]] = field(default_factory=list)

    async def enqueue(self, **webhook: Any) -> None:
        await asyncio.sleep(0)
        self.put.append(webhook)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(webhook["body"]) for webhook in self.put]


class Scene:
    """One call."""

    def __init__(self, *actions: Any, state: CallState = CallState.RINGING, **more: Any) -> None:
        facts = {name: more.pop(name) for name in ("direction",) if name in more}
        config = parse(CONFIG)
        self.web = FakeWeb()
        self.outbox = Posts()
        self.prompts = FakePrompts()
        self.exchange = FakeExchange()
        self.call = FakeCall(state=state, **facts)
        context = context_of(self.web, self.prompts, config=config, exchange=self.exchange)
        self.legs = NccoLegs(cast("Outbox", self.outbox), config, clock=context.clock)
        nothing: Any = SimpleNamespace(connectors={})
        self.context = replace(
            context,
            ncco=self.legs,
            outbox=cast("Outbox", self.outbox),
            payments=replace(context.payments, charging=nothing),
        )
        source = Source(text=json.dumps(actions).encode()) if actions else Source(answer=EventTarget(url=URL))
        self.program = NccoProgram(self.call, source, self.context, app="shop", **more)
        self.call.program = cast("Program", self.program)
        self.call.on_hang_up = lambda: self.program.hang_up(self.now)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def answer(self) -> None:
        self.call.state = CallState.ANSWERED
        self.program.start(self.now)

    async def up(self) -> None:
        """The call rings, and is answered as its NCCO wants."""
        self.program.offered(self.now)
        await settle()
        self.answer()
        await settle()

    async def heard(self) -> None:
        """What plays is over."""
        await settle()
        self.program.play_finished(self.call.tokens[-1], False, self.now)
        await settle()

    async def over(self) -> None:
        self.call.state = CallState.ENDED
        self.program.hang_up(self.now)
        await self.program.done()
        await self.legs.close()
        await settle()

    def asked(self, *names: str) -> list[tuple[str, Any]]:
        return [entry for entry in self.call.asked if entry[0] in names]


def talk(text: str, **more: Any) -> dict[str, Any]:
    return {"action": "talk", "text": text, **more}


def test_a_call_rings_until_the_ncco_speaks_and_ends_with_it() -> None:
    async def scene() -> None:
        s = Scene()
        s.web.pages[URL] = ncco_answer(talk("Hello."), talk("Good bye.", language="de-DE", level=-0.5))
        s.program.offered(s.now)
        await settle()
        assert s.asked("answer", "play", "reject") == [("answer", None)]
        s.answer()
        await s.heard()
        assert s.call.times_hung_up == 0
        await s.heard()
        assert [(text, locale) for text, locale, _ in s.prompts.said] == [("Hello.", "en-US"), ("Good bye.", "de-DE")]
        assert s.asked("set_volume") == [("set_volume", -6.0)]
        assert s.asked("hang_up") == [("hang_up", "")]
        await s.over()

    run(scene)


@pytest.mark.parametrize(
    ("page", "status"),
    [(ncco_answer(), 603), (ncco_answer({"action": "dance"}), 500), (404, 500)],
)
def test_a_call_without_an_ncco_that_can_be_run_is_refused_while_it_rings(page: Any, status: int) -> None:
    async def scene() -> None:
        s = Scene()
        s.web.pages[URL] = page
        s.program.offered(s.now)
        await later(5.0)
        assert s.asked("reject", "answer", "hang_up") == [("reject", status)]
        await s.over()
        assert bool([told for told in s.outbox.told() if "reason" in told]) is (status == 500)

    run(scene)


def test_a_call_out_begins_when_it_is_answered_and_so_does_one_that_is_handed_on() -> None:
    async def scene() -> None:
        s = Scene(talk("Hello."), state=CallState.ANSWERED, direction="out")
        s.program.start(s.now)
        await settle()
        assert s.call.heard == [("Hello.",)]
        assert s.asked("answer") == []
        await s.heard()
        assert s.call.times_hung_up == 1
        await s.over()

    run(scene)


def test_an_input_is_heard_over_what_is_said_and_its_answer_replaces_the_ncco() -> None:
    async def scene() -> None:
        s = Scene(
            talk("Key your pin.", bargeIn=True),
            {"action": "input", "type": ["dtmf"], "dtmf": {"maxDigits": 4, "timeOut": 5}, "eventUrl": [MORE]},
            talk("Never."),
        )
        s.web.pages[MORE] = ncco_answer(talk("Thanks."))
        await s.up()
        assert s.call.interruptible == [True]
        for code in (4, 2, 4, 2):
            s.program.digit(code, s.now)
            s.program.count_digit("in-band")
            s.program.digit_ended(s.now)
        await settle()
        (sent,) = [sent for sent in s.web.sent if sent.url == MORE]
        assert json.loads(sent.body)["dtmf"] == {"digits": "4242", "timed_out": False}
        assert [text for text, *_ in s.prompts.said] == ["Key your pin.", "Thanks."]
        await s.over()

    run(scene)


@pytest.mark.parametrize(
    ("on_hash", "keys", "dtmf"),
    [
        (False, "12", {"digits": "12", "timed_out": True}),
        (False, "", {"digits": "", "timed_out": True}),
        (True, "12#", {"digits": "12", "timed_out": False}),
        (True, "#", {"digits": "", "timed_out": False}),
        (False, "12#4", {"digits": "12#4", "timed_out": False}),
    ],
)
def test_an_input_says_whether_its_time_was_over(on_hash: bool, keys: str, dtmf: dict[str, Any]) -> None:
    async def scene() -> None:
        s = Scene(
            {"action": "input", "type": ["dtmf"], "dtmf": {"submitOnHash": on_hash}, "eventUrl": [MORE]},
            {"action": "wait", "timeout": 60},
        )
        s.web.pages[MORE] = ncco_answer(talk("Thanks."))
        await s.up()
        for key in keys:
            s.program.digit("0123456789*#".index(key), s.now)
        await later(4.0)
        (sent,) = [sent for sent in s.web.sent if sent.url == MORE]
        assert json.loads(sent.body)["dtmf"] == dtmf
        await s.over()

    run(scene)


def test_what_was_keyed_is_told_to_nobody_when_the_caller_hangs_up() -> None:
    async def scene() -> None:
        s = Scene({"action": "input", "type": ["dtmf"], "eventUrl": [MORE]})
        await s.up()
        s.program.digit(4, s.now)
        await s.over()
        assert s.web.sent == []

    run(scene)


def test_keys_of_whoever_answers_are_sent_before_anything_of_the_ncco() -> None:
    async def scene() -> None:
        s = Scene(talk("Hello."), state=CallState.ANSWERED, direction="out", dtmf_answer="1p2")
        s.program.start(s.now)
        await settle()
        assert s.asked("send_digits", "play") == [("send_digits", (1,))]
        await later(1.0)
        await later(1.0)
        assert [what for what, _ in s.asked("send_digits", "play")] == ["send_digits", "send_digits", "play"]
        await s.over()

    run(scene)


@pytest.mark.parametrize(("wanted", "expected"), [(60.0, 60.0), (None, MAX_LENGTH_S)])
def test_a_call_lasts_no_longer_than_who_asked_for_it_says_counted_from_its_answer(
    wanted: float | None, expected: float
) -> None:
    async def scene() -> None:
        s = Scene({"action": "wait", "timeout": 7200}, {"action": "wait", "timeout": 7200}, length_s=wanted)
        s.program.offered(s.now)
        await later(100.0)
        s.answer()
        await later(expected - 1.0)
        assert s.call.times_hung_up == 0
        await later(2.0)
        assert s.asked("hang_up") == [("hang_up", "time limit")]
        await s.over()

    run(scene)


def test_another_ncco_takes_the_place_of_the_one_that_runs() -> None:
    async def scene() -> None:
        s = Scene(talk("Old.", loop=0))
        await s.up()
        assert s.program.transfer(Source(text=json.dumps([talk("New.")]).encode())) is True
        await settle()
        assert s.call.heard == [("Old.",), ("New.",)]
        await s.heard()
        assert s.call.times_hung_up == 1
        with pytest.raises(ProgramError):
            s.program.transfer(Source(text=b"[]"))
        await s.over()

    run(scene)


def test_another_ncco_for_a_call_out_that_rings_is_what_begins_when_it_is_answered() -> None:
    async def scene() -> None:
        s = Scene(talk("Old."), direction="out", dtmf_answer="1")
        s.program.redirect(Source(text=json.dumps([talk("Newer.")]).encode()))
        s.answer()
        s.program.redirect(Source(text=json.dumps([talk("Newest.")]).encode()))
        await later(1.0)
        assert s.call.heard == [("Newest.",)]
        await s.over()

    run(scene)


def test_a_transfer_that_the_peer_wants_and_documents_of_others_are_declined() -> None:
    async def scene() -> None:
        s = Scene(talk("Hello.", loop=0))
        await s.up()
        program: Any = s.program
        assert isinstance(program, TakesTransfers)  # so it is asked
        assert s.program.transfer(Transfer(to="sip:a@b.example", report=lambda status, phrase: None)) is False
        with pytest.raises(ProgramError):
            s.program.redirect("a document")
        assert s.call.heard == [("Hello.",)]
        await s.over()

    run(scene)


def test_the_application_is_told_what_is_wrong_and_the_next_action_follows() -> None:
    async def scene() -> None:
        s = Scene(
            {"action": "pay", "amount": 10, "eventUrl": ["https://app.example/paid"]},
            talk("Next."),
        )
        await s.up()
        assert [text for text, *_ in s.prompts.said] == ["Next."]
        await s.over()
        (error,) = [told for told in s.outbox.told() if "reason" in told]
        assert error["conversation_uuid"].startswith("CON-")
        assert "there is no such connector" in error["reason"]

    run(scene)


class FakeRecording(FakeAction):
    """A ``RecordAction`` that a test leads."""

    def __init__(self, settings: Any, call: Any, context: Any, *, on_state: Any) -> None:
        super().__init__(on_state)
        self.settings = settings


def test_a_recording_is_told_of_with_where_it_is_had(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeRecording] = []

    def make(*arguments: Any, **named: Any) -> FakeRecording:
        made.append(FakeRecording(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(works, "RecordAction", make)

    async def scene() -> None:
        s = Scene(
            {"action": "record", "eventUrl": [MORE], "endOnKey": "*", "beepStart": True, "endOnSilence": 5},
            talk("Thank you."),
        )
        await s.up()
        (action,) = made
        assert (action.settings.terminators, action.settings.beep, action.settings.direction) == ("*", True, "both")
        assert (action.settings.initial_timeout_s, action.settings.end_silence_timeout_s) == (5.0, 5.0)
        action.end(RecordState.RECORDING, RecordedInfo())
        assert s.prompts.said == []
        action.end(RecordState.FINISHED, RecordedInfo(sid="RE" + "a" * 32, duration_s=2.5, size=40_044))
        await settle()
        assert [text for text, *_ in s.prompts.said] == ["Thank you."]
        await s.over()
        ((url, told),) = [(put["url"], body) for put, body in zip(s.outbox.put, s.outbox.told(), strict=True)]
        assert url == MORE
        uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
        assert (told["recording_uuid"], told["size"]) == (uuid, 40_044)
        assert told["recording_url"].endswith(f"/v1/files/{uuid}")
        assert (told["start_time"], told["end_time"]) == ("2026-11-22T12:00:00.000Z", "2026-11-22T12:00:02.500Z")

    run(scene)


def test_a_recording_that_cannot_be_is_an_error_and_the_next_action_follows() -> None:
    async def scene() -> None:
        s = Scene({"action": "record", "endOnKey": "#"}, talk("Next."))  # [recording] names no directory
        await s.up()
        assert [text for text, *_ in s.prompts.said] == ["Next."]
        await s.over()
        assert [told["reason"] for told in s.outbox.told()] == ["record: recording is off: set [recording] directory"]

    run(scene)


def test_a_conversation_is_recorded_and_told_of_like_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeRecording] = []

    def make(*arguments: Any, **named: Any) -> FakeRecording:
        made.append(FakeRecording(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(works, "RecordAction", make)

    async def scene() -> None:
        s = Scene({"action": "conversation", "name": "desk", "record": True, "eventUrl": [MORE]})
        await s.up()
        other = FakeCall(state=CallState.ANSWERED, call_id="b" * 32)
        ncco = json.dumps([{"action": "conversation", "name": "desk"}]).encode()
        second = NccoProgram(other, Source(text=ncco), s.context, app="shop")
        second.start(s.now)
        await settle()
        (action,) = made
        action.end(RecordState.RECORDING, RecordedInfo())
        action.end(RecordState.FINISHED, RecordedInfo(sid="RE" + "a" * 32, duration_s=1.0, size=16_044))
        second.hang_up(s.now)
        await second.done()
        await s.over()
        (told,) = [body for body in s.outbox.told() if "recording_uuid" in body]
        assert told["size"] == 16_044

    run(scene)


def test_a_call_that_is_over_is_kept_by_nothing() -> None:
    async def scene() -> None:
        s = Scene(talk("Hello."), {"action": "input", "type": ["dtmf"]})
        await s.up()
        await s.heard()
        await s.over()
        gone = (weakref.ref(s.call), weakref.ref(s.program))
        gc.collect()
        gc.disable()
        try:
            del s.call, s.program
            assert [one() for one in gone] == [None, None]
        finally:
            gc.enable()

    run(scene)


# -- the configuration


def test_an_inline_ncco_is_checked_at_the_start_and_the_place_is_named() -> None:
    text = '[connector.sandbox]\ntype = "sandbox"\n[app.shop]\ndialect = "ncco"\nncco = \'[{"action": "dance"}]\'\n'
    with pytest.raises(ConfigError) as wrong:
        check_nccos(parse(text))
    assert wrong.value.where == "app.shop.ncco"
    assert wrong.value.remedy == "correct the NCCO"
    check_nccos(parse(text.replace("dance", "talk").replace('"}', '", "text": "Hello."}')))


def test_an_application_says_where_its_nccos_and_those_of_its_fallback_are() -> None:
    app = NccoApp(dialect="ncco", answer_url=URL, answer_method="POST", fallback_url=MORE)
    assert source_of(app) == Source(
        answer=EventTarget(url=URL, method="POST"), fallback=EventTarget(url=MORE, method="GET")
    )
    assert source_of(NccoApp(dialect="ncco", ncco="[]")) == Source(text=b"[]")


def test_the_program_of_a_route_knows_its_call_under_its_application() -> None:
    async def scene() -> None:
        s = Scene(talk("Hello."))
        call = FakeCall(call_id="a" * 32)
        app = s.context.config.apps["shop"]
        assert isinstance(app, NccoApp)
        program = program_of("shop", app, call, s.context)
        assert program.label == "shop"
        leg = s.legs.find("a" * 32)
        assert leg is not None
        assert (leg.app, leg.event) == ("shop", EventTarget(url=EVENTS, method="POST"))
        with pytest.raises(ConfigError):
            program_of("shop", app, call, replace(s.context, ncco=None))
        await s.over()

    run(scene)


def test_an_engine_does_not_start_without_the_secret_that_signs_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    config = parse(CONFIG.replace("[vonage]", '[vonage]\nsignature_secret_env = "NO_SUCH_SECRET"'))
    with pytest.raises(ConfigError) as wrong:
        asyncio.run(Engine(config).start())
    assert "signature_secret_env" in wrong.value.where


def test_an_engine_does_not_start_with_an_ncco_that_cannot_be_run() -> None:
    config = parse(CONFIG.replace(f'answer_url = "{URL}"', 'ncco = \'[{"action": "dance"}]\''))
    with pytest.raises(ConfigError) as wrong:
        asyncio.run(Engine(config).start())
    assert wrong.value.where == "app.shop.ncco"
