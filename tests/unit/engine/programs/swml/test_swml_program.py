"""A SWML application's call from its first ring to its end, with the interpreter that runs in the engine."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from engine import doctor
from engine.config import parse
from engine.dialects.swml.commands import Source
from engine.errors import ConfigError, LedgerError
from engine.net.http import HttpResponse
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.program import CallState, Program
from engine.programs.swml.program import SwmlProgram, check_documents, program_of
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

CONFIG = '[connector.sandbox]\ntype = "sandbox"\n[signalwire]\nproject = "P"\n'
URL = "https://app.example/swml"
STATUS = "https://app.example/status"


@dataclass
class Posts:
    """What was put into the outbox."""

    put: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    async def enqueue(self, **webhook: Any) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.put.append(webhook)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        bodies = [json.loads(webhook["body"]) for webhook in self.put]
        return [(body["event_type"], body["params"]) for body in bodies]


class Scene:
    """One call."""

    def __init__(self, *steps: Any, state: CallState = CallState.RINGING, on_over: Any = None, **more: Any) -> None:
        self.web = FakeWeb()
        self.outbox = Posts()
        self.prompts = FakePrompts()
        self.exchange = FakeExchange()
        self.call = FakeCall(state=state, **more)
        context = context_of(self.web, self.prompts, config=parse(CONFIG), exchange=self.exchange)
        self.context = replace(
            context,
            outbox=cast("Outbox", self.outbox),
            web=WebClient(self.web, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)),
        )
        source = Source(text=json.dumps({"sections": {"main": list(steps)}})) if steps else Source(url=URL)
        self.program = SwmlProgram(self.call, source, self.context, label="shop", on_over=on_over)
        self.call.program = cast("Program", self.program)
        self.call.on_hang_up = lambda: self.program.hang_up(self.now)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def answer(self) -> None:
        self.call.state = CallState.ANSWERED
        self.program.start(self.now)

    async def offered(self) -> None:
        self.program.offered(self.now)
        await settle()

    async def heard(self) -> None:
        """What plays is over."""
        await settle()
        self.program.play_finished(self.call.tokens[-1], False, self.now)
        await settle()

    def asked(self, *names: str) -> list[tuple[str, Any]]:
        return [entry for entry in self.call.asked if entry[0] in names]


def tells(**body: str) -> dict[str, Any]:
    return {"request": {"url": "https://app.example/told", "method": "POST", "body": body}}


def test_a_call_rings_until_the_document_speaks_and_ends_with_it() -> None:
    async def scene() -> None:
        s = Scene({"set": {"a": "b"}}, {"play": {"url": "say:Hello ${a}.", "status_url": STATUS}})
        await s.offered()
        assert s.asked("answer", "play", "reject") == [("answer", None)]
        s.answer()
        await s.heard()
        assert s.prompts.said[0][0] == "Hello b."
        assert s.call.times_hung_up == 1
        await s.program.done()
        assert [(kind, params["state"]) for kind, params in s.outbox.events()] == [
            ("calling.call.play", "playing"),
            ("calling.call.play", "finished"),
        ]
        first, second = (params for _, params in s.outbox.events())
        assert first["control_id"] == second["control_id"]
        assert (first["call_id"], first["node_id"]) == (s.call.facts.call_id, "paytone")

    run(scene)


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"hangup": {"reason": "busy"}}, 486),
        ({"hangup": {"reason": "decline"}}, 603),
        ({"hangup": {}}, 603),
        ({"goto": {"label": "nowhere"}}, 500),
        ({"set": {"a": 1}}, 603),
    ],
)
def test_a_call_that_still_rings_is_refused_as_the_document_says(step: Any, status: int) -> None:
    async def scene() -> None:
        s = Scene(step)
        await s.offered()
        assert s.asked("reject", "answer", "hang_up") == [("reject", status)]
        s.program.hang_up(s.now)
        await s.program.done()

    run(scene)


def test_a_call_out_begins_when_it_is_answered_and_so_does_one_that_is_handed_on() -> None:
    async def scene() -> None:
        s = Scene(state=CallState.ANSWERED, direction="out")
        document = json.dumps({"sections": {"main": [{"play": {"url": "say:Hello."}}]}}).encode()
        s.web.pages[URL] = HttpResponse(status=200, headers=((b"content-type", b"application/json"),), body=document)
        s.program.start(s.now)
        await settle()
        asked = json.loads(s.web.sent[0].body)["call"]
        assert (asked["call_state"], asked["direction"]) == ("answered", "outbound")
        assert s.call.heard == [("Hello.",)]
        assert s.asked("answer") == []
        await s.heard()
        assert s.call.times_hung_up == 1
        await s.program.done()

    run(scene)


def test_who_handed_the_call_on_is_told_in_place_of_its_end() -> None:
    async def scene() -> None:
        over: list[str] = []
        s = Scene({"sleep": 1000}, {"hangup": {}}, state=CallState.ANSWERED, on_over=over.append)
        s.program.start(s.now)
        await later(1.5)
        assert over == ["hangup"]
        assert s.call.times_hung_up == 0
        s.program.hang_up(s.now)
        await s.program.done()
        assert over == ["hangup"]

    run(scene)


def test_a_call_lasts_no_longer_than_its_answer_says() -> None:
    async def scene() -> None:
        s = Scene({"answer": {"max_duration": 60}}, {"sleep": -1})
        await s.offered()
        s.answer()
        await later(59.0)
        assert s.call.times_hung_up == 0
        await later(2.0)
        assert s.asked("hang_up") == [("hang_up", "time limit")]
        await s.program.done()

    run(scene)


def test_keys_go_to_the_prompt_and_to_the_document_and_a_card_number_into_no_post() -> None:
    async def scene() -> None:
        s = Scene(
            {"prompt": {"play": "say:Key.", "max_digits": 16, "terminators": "#", "status_url": STATUS}},
            tells(value="%{prompt_value}", result="%{prompt_result}", end="%{prompt_digit_terminator}"),
            {"sleep": -1},
        )
        await s.offered()
        s.answer()
        await settle()
        for code in (4, 2) * 8:
            s.program.digit(code, s.now)
        await settle()
        (sent,) = s.web.sent
        assert json.loads(sent.body) == {"value": "42" * 8, "result": "match_digits", "end": ""}
        s.program.digit(1, s.now)  # nobody wants it
        s.program.hang_up(s.now)
        await s.program.done()
        ((kind, params),) = s.outbox.events()
        assert (kind, params["state"], params["result"]["type"]) == ("calling.call.collect", "finished", "digit")
        assert params["result"]["params"]["digits"] != "42" * 8

    run(scene)


def test_no_key_in_time_is_no_input() -> None:
    async def scene() -> None:
        s = Scene({"prompt": {"play": "say:Key.", "initial_timeout": 3}}, tells(r="${prompt_result}"), {"sleep": -1})
        await s.offered()
        s.answer()
        await s.heard()
        await later(3.5)
        assert json.loads(s.web.sent[0].body) == {"r": "no_input"}
        s.program.hang_up(s.now)
        await s.program.done()

    run(scene)


def test_a_payment_that_cannot_be_is_the_documents_to_answer() -> None:
    async def scene() -> None:
        s = Scene(
            {"answer": {}},
            {"pay": {"payment_connector_url": "http://gateway.example/"}},
            tells(r="%{pay_result}", error="%{pay_payment_results.payment_error}"),
            {"sleep": -1},
        )
        catalog = type("Catalog", (), {"resolve": lambda self, language: type("R", (), {"warning": ""})()})()
        s.prompts.catalog = catalog  # type: ignore[attr-defined]
        await s.offered()
        s.answer()
        await settle()
        told = json.loads(s.web.sent[0].body)
        assert told["r"] == "validation-error"
        assert "payment_connector_url" in told["error"]
        assert s.call.heard == []
        s.program.hang_up(s.now)
        await s.program.done()

    run(scene)


def test_what_cannot_be_recorded_is_a_failed_recording_and_the_document_goes_on() -> None:
    async def scene() -> None:
        s = Scene(
            {"record": {"status_url": STATUS}},
            {"record_call": {"control_id": "c"}},
            tells(a="%{record_result}", b="%{record_call_result}", c="%{record_control_id}"),
            {"sleep": -1},
        )
        await s.offered()
        s.answer()
        await later(0.05)
        assert json.loads(s.web.sent[0].body) == {"a": "failed", "b": "failed", "c": "c"}
        s.program.hang_up(s.now)
        await s.program.done()
        assert [params["state"] for _, params in s.outbox.events()] == ["error"]

    run(scene)


def test_somebody_is_connected_and_the_states_of_both_are_told() -> None:
    async def scene() -> None:
        s = Scene(
            {
                "connect": {
                    "to": "+15550100",
                    "call_state_url": STATUS,
                    "call_state_events": ["answered", "ended"],
                    "result": {"case": {"connected": [tells(r="${connect_result}")]}},
                }
            },
            {"sleep": -1},
        )
        await s.offered()
        s.answer()
        await settle()
        s.exchange.answer(0)
        await settle()
        assert s.call.bridged_with is not None
        assert s.call.bridged_with.facts == s.exchange.calls[0].facts
        s.exchange.end(0, "remote_bye")
        await settle()
        assert json.loads(s.web.sent[0].body) == {"r": "connected"}
        s.program.hang_up(s.now)
        await s.program.done()
        told = [params.get("connect_state") or params["call_state"] for _, params in s.outbox.events()]
        assert told == ["connecting", "connected", "answered", "disconnected", "ended"]
        peer = s.outbox.events()[1][1]["peer"]
        assert peer["call_id"] == s.exchange.calls[0].facts.call_id

    run(scene)


def test_a_post_that_cannot_be_kept_holds_up_nothing() -> None:
    async def scene() -> None:
        s = Scene({"play": {"url": "silence:1", "status_url": STATUS}})
        s.outbox.error = LedgerError("the database is gone")
        await s.offered()
        s.answer()
        await s.heard()
        assert s.call.times_hung_up == 1
        await s.program.done()

    run(scene)


def test_a_hang_up_ends_it_and_nothing_of_the_call_lives_on() -> None:
    async def scene() -> None:
        s = Scene({"play": {"url": "say:Hello."}}, {"hangup": {}})
        await s.offered()
        s.answer()
        await settle()
        s.call.state = CallState.ENDED
        s.program.hang_up(s.now)
        s.program.hang_up(s.now)
        await s.program.done()
        assert s.call.times_hung_up == 0
        gc.disable()
        try:
            gone = weakref.ref(s.program)
            del s.call.program, s.program
            s.call.on_hang_up = lambda: None
            await settle()
            assert gone() is None
        finally:
            gc.enable()

    run(scene)


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ('document = "sections: {main: [{sing: {}}]}"', "relay_script_method_undefined"),
        ('document = "sections: ["', "relay_script_parse_error"),
        ('file = "/nowhere/at/all.yaml"', "no document"),
    ],
)
def test_a_document_of_the_configuration_that_cannot_be_run_is_told_at_the_start(app: str, says: str) -> None:
    config = parse(f'{CONFIG}[app.shop]\ndialect = "swml"\n{app}\n')
    with pytest.raises(ConfigError, match=says) as caught:
        check_documents(config)
    assert "app.shop" in str(caught.value.where)
    finding = asyncio.run(doctor._documents(config))
    assert (finding.verdict, finding.subject) == ("bad", "documents")
    assert says in finding.detail
    assert "app.shop" in finding.detail


def test_doctor_misses_the_secrets_of_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse(f'{CONFIG}token_env = "NO_TOKEN"\nsigning_key_env = "NO_KEY"\n')
    monkeypatch.delenv("NO_TOKEN", raising=False)
    monkeypatch.setenv("NO_KEY", "here")
    finding = asyncio.run(doctor._environment(config))
    assert (finding.verdict, finding.detail) == ("bad", "not set: NO_TOKEN")


def test_documents_that_are_good_or_fetched_are_no_matter_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("sections: {main: []}")
    apps = "".join(
        f'[app.{name}]\ndialect = "swml"\n{setting}\n'
        for name, setting in (
            ("a", f'file = "{file}"'),
            ("b", 'url = "https://x.example/"'),
            ("c", 'document = "{}"'.replace("{}", "sections: {main: []}")),
        )
    )
    config = parse(CONFIG + apps)
    check_documents(config)
    assert asyncio.run(doctor._documents(config)).verdict == "ok"

    async def scene() -> None:
        context = context_of(FakeWeb(), FakePrompts(), config=config)
        call = FakeCall()
        program = program_of("a", config.apps["a"], call, context)  # type: ignore[arg-type]
        assert program.label == "a"
        program.offered(0.0)
        assert call.asked == [("reject", 603)]
        await program.done()

    run(scene)
