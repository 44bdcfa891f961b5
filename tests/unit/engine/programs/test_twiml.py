"""A TwiML application's call: documents fetched and signed, carried out on the call, changed while it is up."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
from twilio.request_validator import RequestValidator

from engine.config import Config, TwimlApp
from engine.dialects.twiml.commands import Source, StartPay, StartRecord
from engine.dialects.twiml.interpreter import Interpreter
from engine.errors import ConfigError, ProgramError
from engine.net.http import HttpResponse, NotSent, Unanswered
from engine.program import CallState
from engine.programs.document_run import DocumentRun
from engine.programs.status import StatusPlan
from engine.programs.twiml import TwimlProgram, program_of
from engine.service import Engine
from tests.support.call_control import FakeCall
from tests.support.programs import (
    ACCOUNT,
    TOKEN,
    FakeOutbox,
    FakePrompts,
    FakeVerb,
    FakeWeb,
    config_of,
    context_of,
    settle,
)

pytestmark = pytest.mark.asyncio

APP = "https://app.example/voice"


def twiml(verbs: str) -> str:
    return f"<Response>{verbs}</Response>"


class Scene:
    """An application, a call, and what runs on it."""

    def __init__(self, pages: dict[str, Any] | None = None, *, config: Config | None = None, **facts: Any) -> None:
        self.web = FakeWeb()
        self.web.pages = pages or {}
        self.prompts = FakePrompts()
        self.outbox = FakeOutbox()
        self.verbs: list[FakeVerb] = []
        make = self._make
        self.context = context_of(
            self.web, self.prompts, self.outbox, config=config, verbs={StartPay: make, StartRecord: make}
        )
        self.call = FakeCall(**facts)
        self.program: TwimlProgram

    def _make(self, *arguments: Any) -> FakeVerb:
        self.verbs.append(FakeVerb(*arguments))
        return self.verbs[-1]

    @property
    def now(self) -> float:
        return self.context.now()

    def run(self, source: Source | None = None, **more: Any) -> TwimlProgram:
        program = TwimlProgram(self.call, source or Source(url=APP), self.context, label="shop", **more)
        self.program = self.call.program = program

        def over() -> None:
            program.hang_up(self.now)

        self.call.on_hang_up = over
        return program

    async def comes_in(self, source: Source | None = None, **more: Any) -> None:
        """Let the call ring, and be answered if the program says so."""
        self.run(source, **more).offered(self.now)
        await self.acknowledged()

    async def acknowledged(self) -> None:
        await settle()
        if self.asked("answer") and self.call.state is CallState.RINGING:
            self.call.state = CallState.ANSWERED
            self.program.start(self.now)
            await settle()

    def asked(self, what: str) -> list[Any]:
        return [argument for name, argument in self.call.asked if name == what]

    async def hears_out(self, times: int = 20) -> None:
        for _ in range(times):
            tokens = list(self.call.tokens)
            if tokens:
                self.program.play_finished(tokens[-1], False, self.now)
            await settle()
            if self.call.tokens == tokens:
                return

    async def keys(self, text: str) -> None:
        for key in text:
            self.program.digit({"*": 10, "#": 11}.get(key) or int(key), self.now)
            self.program.digit_ended(self.now)
        await settle()

    @property
    def heard(self) -> list[str]:
        return [name for play in self.call.heard for name in play]

    async def caller_hangs_up(self) -> None:
        self.call.state = CallState.ENDED
        self.program.hang_up(self.now)
        await settle()


class TestDocuments:
    async def test_say_gather_redirect_hangup(self) -> None:
        menu = '<Gather action="/menu" numDigits="1"><Say>Press one.</Say></Gather>'
        scene = Scene(
            {
                APP: twiml("<Say>Welcome.</Say><Redirect>/next</Redirect>"),
                "https://app.example/next": twiml(menu),
                "https://app.example/menu": twiml("<Say>Goodbye.</Say><Hangup/>"),
            }
        )
        await scene.comes_in()
        await scene.hears_out()
        assert scene.heard == ["Welcome.", "Press one."]
        await scene.keys("1")
        await scene.hears_out()
        assert scene.heard == ["Welcome.", "Press one.", "Goodbye."]
        assert scene.call.times_hung_up == 1
        assert scene.web.urls == [APP, "https://app.example/next", "https://app.example/menu"]
        assert scene.web.sent[-1].parameters["Digits"] == "1"

    async def test_a_call_in_is_answered_only_when_something_is_to_be_heard(self) -> None:
        scene = Scene({APP: twiml('<Reject reason="busy"/>')})
        await scene.comes_in()
        assert scene.asked("answer") == []
        assert scene.asked("reject") == [486]

    async def test_every_request_has_the_standard_parameters_and_the_vendors_signature(self) -> None:
        scene = Scene(
            {APP: twiml('<Gather action="/menu?a=1&amp;b=" numDigits="1"/>')},
            caller_name="Anna Ånger",
            headers={"X-Shop": "7"},
        )
        await scene.comes_in()
        await scene.keys("5")
        first, second = scene.web.sent
        for sent in (first, second):
            assert sent.parameters["AccountSid"] == ACCOUNT
            assert sent.parameters["CallSid"] == "CA" + scene.call.facts.call_id
            assert sent.parameters["ApiVersion"] == "2010-04-01"
            assert sent.parameters["Direction"] == "inbound"
            assert sent.parameters["CallerName"] == "Anna Ånger"
            assert sent.parameters["SipHeader_X-Shop"] == "7"
            signature = sent.headers["X-Twilio-Signature"]
            assert RequestValidator(TOKEN).validate(sent.url, sent.parameters, signature)
        assert first.parameters["CallStatus"] == "ringing"
        assert second.parameters["CallStatus"] == "in-progress"

    async def test_a_get_has_them_in_its_query_and_relative_urls_do_not(self) -> None:
        scene = Scene({APP: twiml('<Gather numDigits="1"/>')})
        await scene.comes_in(Source(url=APP + "?shop=7", method="GET"))
        await scene.keys("5")
        first, second = scene.web.sent
        assert (first.method, first.body) == ("GET", b"")
        query = dict(parse_qsl(urlsplit(first.url).query))
        assert (query["shop"], query["CallStatus"]) == ("7", "ringing")
        assert RequestValidator(TOKEN).validate(first.url, {}, first.headers["X-Twilio-Signature"])
        assert (second.method, second.url) == ("POST", APP + "?shop=7")

    async def test_relative_urls_are_taken_from_where_redirects_led(self) -> None:
        moved = HttpResponse(status=307, headers=((b"location", b"https://new.example/a/b"),), body=b"")
        scene = Scene({APP: moved, "https://new.example/a/b": twiml("<Redirect>c</Redirect>")})
        await scene.comes_in()
        assert scene.web.urls[:3] == [APP, "https://new.example/a/b", "https://new.example/a/c"]

    async def test_user_and_password_stay_with_their_server(self) -> None:
        scene = Scene(
            {
                "https://u:p@app.example/voice": twiml("<Redirect>/next</Redirect>"),
                "https://u:p@app.example/next": twiml("<Redirect>https://other.example/</Redirect>"),
            }
        )
        await scene.comes_in(Source(url="https://u:p@app.example/voice"))
        assert scene.web.urls == [
            "https://u:p@app.example/voice",
            "https://u:p@app.example/next",
            "https://other.example/",
        ]
        for sent in scene.web.sent:
            bare = sent.url.replace("u:p@", "")
            assert RequestValidator(TOKEN).validate(bare, sent.parameters, sent.headers["X-Twilio-Signature"])

    @pytest.mark.parametrize("page", [NotSent("no connection"), Unanswered("cut off"), 500, "no xml", "<Other/>"])
    async def test_a_document_that_cannot_be_had_or_run_gives_the_fallback(self, page: Any) -> None:
        scene = Scene({APP: page, "https://app.example/fallback": twiml("<Say>Plan B.</Say>")})
        await scene.comes_in(Source(url=APP, fallback_url="https://app.example/fallback"))
        await scene.hears_out()
        assert scene.heard == ["Plan B."]
        assert scene.web.sent[-1].parameters["ErrorUrl"] == APP
        assert scene.call.times_hung_up == 1

    async def test_without_a_fallback_the_caller_hears_so_and_the_call_ends(self) -> None:
        scene = Scene({APP: 500})
        await scene.comes_in()
        await scene.hears_out()
        assert len(scene.heard) == 1
        assert scene.call.times_hung_up == 1

    async def test_an_application_that_hangs_is_given_up(self) -> None:
        hangs: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        scene = Scene({APP: hangs}, config=config_of("document_timeout_s = 0.001\n"))
        scene.run().offered(scene.now)
        await asyncio.wait_for(_until(lambda: bool(scene.asked("answer"))), 10)
        await scene.acknowledged()
        await scene.hears_out()
        assert scene.call.times_hung_up == 1

    async def test_http_is_taken_only_from_who_chose_it(self) -> None:
        plain = "http://app.example/plain"
        scene = Scene({APP: twiml(f"<Redirect>{plain}</Redirect>"), plain: twiml("<Say>Plain.</Say>")})
        await scene.comes_in()
        assert scene.web.urls == [APP]
        scene = Scene({plain: twiml("<Say>Plain.</Say>")})
        await scene.comes_in(Source(url=plain))
        assert scene.heard == ["Plain."]

    async def test_no_key_and_no_document_stands_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        scene = Scene({APP: twiml('<Gather numDigits="6" action="/next?k=8"/>')})
        await scene.comes_in()
        await scene.keys("314159")
        assert scene.web.sent[-1].parameters["Digits"] == "314159"
        assert "314159" not in caplog.text
        assert "314159" not in "".join(str(record.__dict__) for record in caplog.records)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


class TestVerbs:
    PAY = twiml('<Pay action="/paid"/><Say>After it.</Say>')
    PAID = "https://app.example/paid"

    async def paying(self, answer: Any = None) -> tuple[Scene, FakeVerb]:
        scene = Scene({APP: self.PAY, self.PAID: answer or twiml("<Say>Thank you.</Say>")})
        await scene.comes_in()
        (verb,) = scene.verbs
        return scene, verb

    async def test_a_verb_is_made_of_its_command_and_begun(self) -> None:
        _, verb = await self.paying()
        assert isinstance(verb.command, StartPay)
        assert verb.base_url == APP
        assert verb.happened == ["start"]

    async def test_its_outcome_goes_to_the_action_whose_answer_goes_on(self) -> None:
        scene, verb = await self.paying()
        verb.end(("Result", "success"), ("PaymentToken", "tok_1"))
        await settle()
        assert scene.web.sent[-1].url == self.PAID
        assert scene.web.sent[-1].parameters["Result"] == "success"
        assert verb.happened[-1] == ("told", True)
        assert scene.heard == ["Thank you."]

    @pytest.mark.parametrize("answer", [NotSent("no connection"), 500, 404])
    async def test_it_learns_that_its_outcome_was_not_taken_and_the_next_verb_follows(self, answer: Any) -> None:
        scene, verb = await self.paying(answer)
        verb.end(("Result", "success"))
        await settle()
        assert verb.happened[-1] == ("told", False)
        assert scene.heard == ["After it."]

    async def test_an_answer_that_is_no_document_took_the_outcome_all_the_same(self) -> None:
        _, verb = await self.paying("thanks")
        verb.end(("Result", "success"))
        await settle()
        assert verb.happened[-1] == ("told", True)

    async def test_keys_go_to_the_verb_alone(self) -> None:
        scene, verb = await self.paying(twiml('<Gather numDigits="1" timeout="60"/>'))
        await scene.keys("42")
        scene.program.count_digit("in-band")
        assert verb.happened[1:] == [
            ("digit", 4),
            "digit_ended",
            ("digit", 2),
            "digit_ended",
            ("count_digit", "in-band"),
        ]
        verb.end(("Result", "success"))
        await settle()
        assert len(scene.web.sent) == 2  # nothing of them is type-ahead of the <Gather>

    async def test_keys_between_the_end_of_a_payment_and_its_action_go_nowhere(self) -> None:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        scene, verb = await self.paying(answer)
        verb.end(("Result", "too-many-failed-attempts"))
        await scene.keys("4242")
        answer.set_result(twiml('<Gather numDigits="1" timeout="60"/>'))
        await settle()
        assert len(scene.web.sent) == 2
        assert ("digit", 4) not in verb.happened

    async def test_a_hang_up_is_told_to_the_verb_and_its_outcome_is_still_told(self) -> None:
        scene, verb = await self.paying()
        verb.ends_at_hang_up = False
        await scene.caller_hangs_up()
        done = asyncio.ensure_future(scene.program.done())
        await settle()
        assert not done.done()
        verb.end(("Result", "success"))
        await asyncio.wait_for(done, 10)
        assert scene.web.sent[-1].parameters["Result"] == "success"
        assert scene.web.sent[-1].parameters["CallStatus"] == "completed"
        assert verb.happened[-1] == ("told", True)
        assert scene.heard == []

    async def test_a_request_that_tells_an_outcome_survives_the_hang_up(self) -> None:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        scene, verb = await self.paying(answer)
        verb.end(("Result", "success"))
        await scene.caller_hangs_up()
        done = asyncio.ensure_future(scene.program.done())
        await settle()
        answer.set_result(503)
        await asyncio.wait_for(done, 10)
        assert verb.happened[-1] == ("told", False)

    async def test_another_document_stops_the_verb(self) -> None:
        scene, verb = await self.paying()
        scene.web.pages["https://app.example/new"] = twiml("<Say>Something else.</Say>")
        scene.program.redirect(Source(url="https://app.example/new"))
        await settle()
        assert verb.happened[-1] == "stop"
        verb.ended((("Result", "success"),))  # too late
        await settle()
        assert scene.heard == ["Something else."]
        assert self.PAID not in scene.web.urls

    async def test_a_verb_that_was_stopped_is_waited_for(self) -> None:
        scene, verb = await self.paying()
        scene.program.redirect(Source(text=twiml("<Say>Something else.</Say>")))
        verb.over.clear()  # what it still writes
        await scene.caller_hangs_up()
        done = asyncio.ensure_future(scene.program.done())
        await settle()
        assert not done.done()
        verb.over.set()
        await asyncio.wait_for(done, 10)

    async def test_another_document_does_not_take_back_an_outcome_that_is_being_told(self) -> None:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        scene, verb = await self.paying(answer)
        verb.end(("Result", "success"))
        await settle()
        scene.program.redirect(Source(text=twiml("<Say>Something else.</Say>")))
        await settle()
        answer.set_result(twiml("<Say>Never heard.</Say>"))
        await settle()
        assert verb.happened[-1] == ("told", True)
        assert scene.heard == ["Something else."]

    @pytest.mark.parametrize("moment", ["start", "digit", "hang_up", "stop", "told"])
    async def test_a_fault_of_a_verb_ends_no_more_than_its_call(
        self, moment: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = Scene({APP: self.PAY, self.PAID: twiml("<Say>Thank you.</Say>")})
        plain = scene._make

        def make(*arguments: Any) -> FakeVerb:
            verb = plain(*arguments)
            verb.fails_at = moment
            return verb

        context = context_of(scene.web, scene.prompts, verbs={StartPay: make})
        scene.context = context
        await scene.comes_in()
        verb = scene.verbs[0]
        match moment:
            case "digit":
                await scene.keys("1")
            case "stop":
                scene.program.redirect(Source(text=twiml("<Hangup/>")))
            case "told":
                verb.end(("Result", "success"))
        await settle()
        await scene.caller_hangs_up()
        verb.over.set()
        await asyncio.wait_for(scene.program.done(), 10)
        told = [getattr(record, "paytone_fields", {}) for record in caplog.records if record.levelname == "ERROR"]
        assert [fields["error"] for fields in told] == ["RuntimeError"]
        assert "a fault of the verb" not in caplog.text, "its text may hold what was keyed"

    async def test_a_verb_that_this_engine_has_not_is_passed_over(self, caplog: pytest.LogCaptureFixture) -> None:
        scene = Scene({APP: twiml("<Enqueue>line</Enqueue><Say>After it.</Say>")})
        await scene.comes_in()
        assert scene.heard == ["After it."]
        assert "12200" in str([record.__dict__ for record in caplog.records])

    async def test_playlists_are_told_to_the_verb(self) -> None:
        scene, verb = await self.paying()
        scene.program.play_finished(99, False, scene.now)
        assert verb.happened[-1] == ("play_finished", 99)


class TestEnds:
    async def test_a_hang_up_ends_the_request_for_a_document(self) -> None:
        hangs: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        scene = Scene({APP: hangs})
        await scene.comes_in()
        await scene.caller_hangs_up()
        await asyncio.wait_for(scene.program.done(), 10)
        assert hangs.cancelled()

    async def test_a_hang_up_ends_what_is_said(self) -> None:
        scene = Scene({APP: twiml("<Say>Hello.</Say><Say>Goodbye.</Say>")})
        await scene.comes_in()
        await scene.caller_hangs_up()
        await scene.hears_out()
        await scene.program.done()
        assert scene.heard[0] == "Hello."
        assert len(scene.web.sent) == 1

    async def test_it_may_be_told_more_than_once(self) -> None:
        scene = Scene({APP: twiml("<Say>Hello.</Say>")})
        await scene.comes_in()
        await scene.caller_hangs_up()
        await scene.caller_hangs_up()
        await scene.program.done()

    async def test_a_document_without_verbs_ends_the_call(self) -> None:
        scene = Scene({APP: twiml("")})
        await scene.comes_in()
        assert scene.call.times_hung_up == 1

    async def test_nothing_of_a_call_lives_on(self) -> None:
        scene = Scene({APP: TestVerbs.PAY, TestVerbs.PAID: twiml('<Gather timeout="600"><Say>Hi.</Say></Gather>')})
        await scene.comes_in(status=StatusPlan(url=APP), time_limit_s=600)
        scene.verbs[0].end(("Result", "success"))
        await settle()
        await scene.hears_out()
        await scene.caller_hangs_up()
        await scene.program.done()
        gone: list[weakref.ref[Any]] = [weakref.ref(scene.program), weakref.ref(scene.call)]
        scene.verbs.clear()
        gc.disable()
        try:
            del scene.call, scene.program
            await settle()
            assert [ref() for ref in gone] == [None, None]
        finally:
            gc.enable()


class TestRest:
    async def test_a_live_call_is_given_another_document(self) -> None:
        scene = Scene({APP: twiml("<Say>One.</Say><Say>Two.</Say>")})
        await scene.comes_in()
        scene.program.redirect(Source(text=twiml("<Say>Instead.</Say>")))
        await settle()
        assert scene.heard[-1] == "Instead."
        assert "stop_playing" in [what for what, _ in scene.call.asked]
        await scene.hears_out()
        assert scene.call.times_hung_up == 1

    async def test_a_call_that_is_over_takes_none(self) -> None:
        scene = Scene({APP: twiml("<Say>One.</Say>")})
        await scene.comes_in()
        await scene.caller_hangs_up()
        with pytest.raises(ProgramError):
            scene.program.redirect(Source(text=twiml("<Say>Two.</Say>")))

    async def test_a_call_out_fetches_when_it_is_answered(self) -> None:
        scene = Scene({APP: twiml("<Say>Hello.</Say>")}, direction="out", state=CallState.QUEUED)
        program = scene.run()
        await settle()
        assert scene.web.sent == []
        scene.call.state = CallState.ANSWERED
        program.start(scene.now)
        await settle()
        assert scene.heard == ["Hello."]
        assert scene.asked("answer") == []
        assert scene.web.sent[0].parameters["CallStatus"] == "in-progress"
        assert scene.web.sent[0].parameters["Direction"] == "outbound-api"

    async def test_one_that_is_not_answered_yet_may_be_given_another_document(self) -> None:
        scene = Scene(direction="out", state=CallState.RINGING)
        program = scene.run()
        program.redirect(Source(text=twiml("<Say>Instead.</Say>")))
        scene.call.state = CallState.ANSWERED
        program.start(scene.now)
        await settle()
        assert scene.web.sent == []
        assert scene.heard == ["Instead."]

    async def test_digits_are_sent_before_the_document(self) -> None:
        scene = Scene({APP: twiml("<Say>Hello.</Say>")}, direction="out", state=CallState.ANSWERED)
        program = scene.run(send_digits="w12#")
        program.start(scene.now)
        await settle()
        assert scene.web.sent == []
        await scene.hears_out(3)
        assert scene.asked("send_digits") == [(1, 2, 11)]
        assert scene.heard[-1] == "Hello."

    async def test_a_hang_up_while_they_are_sent(self) -> None:
        scene = Scene({APP: twiml("<Say>Hello.</Say>")}, direction="out", state=CallState.ANSWERED)
        program = scene.run(send_digits="wwww1")
        program.start(scene.now)
        await settle()
        await scene.caller_hangs_up()
        await scene.hears_out()
        await asyncio.wait_for(program.done(), 10)
        assert scene.web.sent == []

    async def test_a_time_limit_ends_the_call(self) -> None:
        scene = Scene({APP: twiml("<Say>Hello.</Say>")})
        await scene.comes_in(time_limit_s=3600)
        assert scene.call.times_hung_up == 0
        scene.program.limit(0)
        await asyncio.wait_for(_until(lambda: scene.call.times_hung_up == 1), 10)

    async def test_progress_is_told_as_the_plan_says(self) -> None:
        scene = Scene({APP: twiml("")})
        scene.run(status=StatusPlan(url=APP))
        assert len(scene.context.status) == 1
        scene.program.tell_status(None)
        assert len(scene.context.status) == 0


class TestRun:
    """A document that somebody else runs: for who waits in a queue, or before two sides are connected."""

    async def test_its_end_is_told_once_with_the_reason_and_does_not_end_the_call(self) -> None:
        scene = Scene({APP: twiml("<Say>Music.</Say><Leave/>")}, state=CallState.ANSWERED)
        ends: list[str] = []
        interpreter = Interpreter(Source(url=APP), is_inbound=False, waiting=True)
        run = DocumentRun(interpreter, scene.call, scene.context, ends.append)
        run.begin(scene.now)
        await settle()
        assert scene.heard == ["Music."]
        run.play_finished(scene.call.tokens[-1], False, scene.now)
        await settle()
        assert ends == ["leave"]
        assert scene.call.times_hung_up == 0
        await run.done()

    async def test_the_end_comes_after_the_outcome_when_the_far_end_is_gone(self) -> None:
        scene = Scene({APP: TestVerbs.PAY, TestVerbs.PAID: twiml("")}, state=CallState.ANSWERED)
        ends: list[str] = []
        run = DocumentRun(Interpreter(Source(url=APP), is_inbound=False), scene.call, scene.context, ends.append)
        run.begin(scene.now)
        await settle()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        scene.web.pages[TestVerbs.PAID] = answer
        scene.verbs[0].end(("Result", "success"))
        await settle()
        run.hang_up(scene.now)
        await settle()
        assert ends == []
        answer.set_result(twiml(""))
        await run.done()
        assert ends == ["hung-up"]

    async def test_one_that_is_given_up_is_silent_and_tells_nothing(self) -> None:
        scene = Scene({APP: twiml("<Say>Music.</Say>")}, state=CallState.ANSWERED)
        ends: list[str] = []
        run = DocumentRun(Interpreter(Source(url=APP), is_inbound=False), scene.call, scene.context, ends.append)
        run.begin(scene.now)
        await settle()
        run.stop(scene.now)
        run.digit(1, scene.now)
        await settle()
        await run.done()
        assert ends == []
        assert scene.call.asked[-1] == ("stop_playing", None)

    async def test_an_interpreter_that_fails_ends_the_document(self, caplog: pytest.LogCaptureFixture) -> None:
        class Fails(Interpreter):
            def fetched(self, token: int, **answer: Any) -> None:
                raise RuntimeError("a fault of the interpreter")

        scene = Scene({APP: twiml("")})
        ends: list[str] = []
        run = DocumentRun(Fails(Source(url=APP), is_inbound=True), scene.call, scene.context, ends.append)
        run.begin(scene.now)
        await settle()
        run.hang_up(scene.now)
        await run.done()
        assert ends == ["error"]
        assert "a document cannot go on" in caplog.text
        assert "a fault of the interpreter" not in caplog.text, "its text may hold what was keyed"


async def test_an_engine_does_not_start_without_the_token_of_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="TWILIO_TOKEN is not set") as caught:
        await Engine(config_of()).start()
    assert caught.value.where == "twilio.auth_token_env"
    assert "export TWILIO_TOKEN" in caught.value.remedy


async def test_the_program_of_a_route_is_that_of_its_application() -> None:
    config = config_of(
        '\n[app.shop]\ndialect = "twiml"\nurl = "https://app.example/voice"\nmethod = "GET"\n'
        'fallback_url = "https://app.example/fallback"\nstatus_callback = "https://app.example/s"\n'
    )
    scene = Scene({APP: 500, "https://app.example/fallback": twiml("<Say>Plan B.</Say>")}, config=config)
    program = program_of("shop", cast(TwimlApp, config.apps["shop"]), scene.call, scene.context)
    scene.program = program
    assert program.label == "shop"
    assert len(scene.context.status) == 1
    program.offered(scene.now)
    await scene.acknowledged()
    assert scene.heard == ["Plan B."]
    assert [sent.method for sent in scene.web.sent] == ["GET", "POST"]
