"""``pay`` of NCCOs on a call: its course, its webhook, who hears the keys, and that no result is lost."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from engine.connectors.protocol import Capabilities
from engine.dialects.ncco.errors import NccoError
from engine.errors import LedgerError, MediaError
from engine.ledger import WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.pay.submission import ConnectorAnswer, Outcome
from engine.program import CallState
from engine.programs.actions.protocol import Action
from engine.programs.cover import RUN_ON_S
from tests.support.call_control import FakeCall
from tests.support.ncco_pay import APPLICATION, CARD_KEYS, EVENTS, NUMBER, config_of
from tests.support.ncco_pay import NccoPayScene as Scene
from tests.support.payment_scene import VISA
from tests.support.stepped_loop import on_stepped_loop, passes

DATE = "Please enter your four-digit credit card expiration date"[:40]
CODE = "Please enter your three-digit credit card security code"[:40]
"As clips are named."
AMEX = "378282246310005"
ANSWERS = {
    "declined": ConnectorAnswer(
        outcome=Outcome.DECLINED, error_code="51", error_message="insufficient funds", error_type="card-declined"
    ),
    "refused": ConnectorAnswer(outcome=Outcome.FAILED, error_code="400", error_message="no"),
    "unreachable": ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="timeout", error_message="no answer"),
}
PROMPTS = [
    {
        "type": "CardNumber",
        "text": "Number, please",
        "errors": {
            "InvalidCardType": {"text": "We take no such card"},
            "InvalidCardNumber": {"text": "That is no card number"},
            "Timeout": {"text": "Are you still there"},
        },
    },
    {"type": "ExpirationDate", "text": "Date, please", "errors": {"InvalidExpirationDate": {"text": "It has expired"}}},
    {"type": "SecurityCode", "text": "Code, please", "errors": {"InvalidSecurityCode": {"text": "Three figures"}}},
]


async def status_of(scene: Scene) -> str:
    """Return the status in the one webhook."""
    webhook = await scene.ended()
    assert webhook is not None
    return str(webhook["status"])


class TestCourse:
    @on_stepped_loop
    async def test_a_charge(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, currency="EUR")
        action: Action = scene.action
        wanted = [action.wants_digits]
        scene.start()
        await scene.hears(NUMBER)
        scene.keys(f"{VISA}#")
        await scene.hears(DATE)
        scene.keys("1228")
        await scene.hears(CODE)
        wanted.append(action.wants_digits)
        scene.keys("123")
        assert await status_of(scene) == "success"
        (submission,) = scene.charging.submissions
        assert (submission.amount, submission.currency, submission.parameters) == ("25.50", "eur", {})
        assert scene.charging.asked == ["sandbox"]
        ((payment_id, row),) = scene.ledger.payments.items()
        assert (row["form"], row["amount"], row["result"], row["reply_to"]) == ("shop", "25.50", "success", None)
        assert scene.outbox.put[0]["session"] == payment_id
        assert [*wanted, action.wants_digits] == [False, True, False]

    @on_stepped_loop
    async def test_the_connector_of_the_application_is_asked(self, tmp_path: Path) -> None:
        config = config_of(app='connector = "other"') + '[connector.other]\ntype = "sandbox"\n'
        with pytest.raises(NccoError, match="connector"):  # the fake's engine has opened none of that name
            Scene(tmp_path, config=config)

    @on_stepped_loop
    async def test_a_call_out_pays_too(self, tmp_path: Path) -> None:
        call = FakeCall(state=CallState.ANSWERED, direction="out", caller="15551234567", dialled="15557654321")
        scene = Scene(tmp_path, call=call)  # D-42
        webhook = await scene.pay()
        assert webhook is not None
        assert (webhook["from"], webhook["to"], webhook["status"]) == ("15551234567", "15557654321", "success")

    @pytest.mark.parametrize("answer", ANSWERS)
    @on_stepped_loop
    async def test_a_connector_that_does_not_charge_is_a_failure(self, tmp_path: Path, answer: str) -> None:
        scene = Scene(tmp_path)
        scene.charging.answer = ANSWERS[answer]
        webhook = await scene.pay()
        assert webhook is not None
        assert webhook["status"] == "failure"
        assert len(scene.charging.submissions) == 1, "nobody is asked for another card"

    @on_stepped_loop
    async def test_a_connector_that_breaks_down_is_a_failure(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.charging.answer = RuntimeError("card 4111")
        webhook = await scene.pay()
        assert webhook is not None
        assert webhook["status"] == "failure"

    @on_stepped_loop
    async def test_two_silences_of_ten_seconds_are_a_failure(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, prompts=PROMPTS)
        scene.start()
        await scene.hears("Number, please")
        await passes(60.0)
        assert len(scene.call.heard) == 1, "the wait begins when the prompt is over"
        scene.prompt_ends()
        await passes(9.9)
        assert len(scene.call.heard) == 1
        await passes(0.2)
        await scene.hears("Are you still there")
        scene.prompt_ends()
        await passes(9.9)
        assert scene.n_over == 0
        await passes(0.2)
        assert await status_of(scene) == "failure"
        assert len(scene.call.heard) == 2
        assert scene.charging.submissions == []

    @pytest.mark.parametrize(
        ("keyed", "wrong", "step", "said"),
        [
            ("", "4111#", 0, "That is no card number"),
            ("", f"{AMEX}#", 0, "We take no such card"),
            (f"{VISA}#", "1320", 1, "It has expired"),
            (f"{VISA}#1228", "12#", 2, "Three figures"),
        ],
    )
    @on_stepped_loop
    async def test_two_wrong_entries_are_a_failure(
        self, tmp_path: Path, keyed: str, wrong: str, step: int, said: str
    ) -> None:
        scene = Scene(tmp_path, prompts=PROMPTS)
        scene.start()
        scene.keys(keyed)
        await scene.hears(str(PROMPTS[step]["text"]))
        scene.keys(wrong)
        await scene.hears(said)
        assert scene.n_over == 0
        scene.keys(wrong)
        assert await status_of(scene) == "failure"
        assert scene.charging.submissions == []

    @on_stepped_loop
    async def test_who_gets_it_right_the_second_time_pays(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, prompts=PROMPTS)
        scene.start()
        scene.keys(f"{AMEX}#{VISA}#")
        scene.keys("13201228")
        scene.keys("12#123")
        assert await status_of(scene) == "success", "each step has its own retry"

    @on_stepped_loop
    async def test_without_a_text_for_an_error_the_prompt_is_heard_again(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, prompts={"type": "CardNumber", "text": "Number, please"})
        scene.start()
        await scene.hears("Number, please")
        scene.keys("4111#")
        await scene.until(lambda: scene.call.heard == [("Number, please",)] * 2)
        scene.hang_up()
        await scene.ended()

    @on_stepped_loop
    async def test_by_default_it_is_said_what_was_wrong(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        await scene.hears(NUMBER)
        scene.keys("4111#")
        await scene.hears("error.invalid-card-number")
        assert scene.call.heard[-1] == ("error.invalid-card-number", NUMBER, "finish-key")
        scene.hang_up()
        await scene.ended()

    @on_stepped_loop
    async def test_prompts_are_said_in_the_language_of_the_voice(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, voice={"language": "pl-PL", "style": 3}, prompts=PROMPTS)
        scene.start()
        await scene.hears("Number, please")
        scene.hang_up()
        await scene.ended()
        assert {(locale, voice) for _, locale, voice in scene.speaker.spoken} == {("pl-PL", "")}

    @on_stepped_loop
    async def test_nothing_is_spoken_for_a_payment_that_is_over(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, prompts=PROMPTS)
        scene.speaker.gate = asyncio.Event()
        scene.start()
        await scene.until(lambda: scene.speaker.spoken)
        scene.hang_up()
        scene.speaker.gate.set()
        await scene.ended()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        assert {text for text, _, _ in scene.speaker.spoken} == {"Number, please"}

    @pytest.mark.parametrize("keyed", ["", "4111", f"{VISA}#12", f"{VISA}#122812"])
    @on_stepped_loop
    async def test_a_star_is_a_failure(self, tmp_path: Path, keyed: str) -> None:
        scene = Scene(tmp_path)
        scene.start()
        scene.keys(keyed + "*")
        assert await status_of(scene) == "failure"
        assert scene.charging.submissions == []

    @on_stepped_loop
    async def test_a_ledger_that_cannot_be_written_means_no_payment(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.ledger.error = LedgerError("disk full")
        scene.start()
        assert await status_of(scene) == "failure"
        assert scene.charging.submissions == []


class TestRefusal:
    """Before the caller hears anything; the program tells it as an error."""

    @pytest.mark.parametrize(
        ("where", "members"),
        [
            ("amount", {"amount": 0}),
            ("currency", {"currency": "gold"}),
            ("prompts[0].type", {"prompts": [{}]}),
            ("eventUrl", {"event": "http://app.example/paid"}),
            ("eventUrl", {"event": "ftp://app.example/paid"}),
            ("eventUrl", {"event": "paid", "base_url": ""}),
            ("the event URL of the application", {"leg_event": "http://user:secret@app.example/events"}),
            ("", {"config": config_of(app='connector = "other"') + '[connector.other]\ntype = "sandbox"\n'}),
        ],
    )
    @on_stepped_loop
    async def test_of_what_cannot_be_done(self, tmp_path: Path, where: str, members: dict[str, Any]) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        with pytest.raises(NccoError) as caught:
            Scene(tmp_path, call=call, **members)
        assert caught.value.where == where
        assert "secret" not in str(caught.value)
        assert call.asked == []
        assert not call.guard.busy

    @on_stepped_loop
    async def test_of_what_the_connector_cannot_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        monkeypatch.setattr("tests.support.paying.Capabilities", lambda **_: Capabilities(currencies=frozenset()))
        with pytest.raises(NccoError, match="usd"):
            Scene(tmp_path, call=call)

    @pytest.mark.parametrize("state", [CallState.QUEUED, CallState.RINGING, CallState.ENDED])
    @on_stepped_loop
    async def test_of_a_call_that_is_not_up(self, tmp_path: Path, state: CallState) -> None:
        with pytest.raises(NccoError, match="not answered"):
            Scene(tmp_path, call=FakeCall(state=state))

    @on_stepped_loop
    async def test_of_a_second_payment_on_the_call(self, tmp_path: Path) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        first, second = Scene(tmp_path, call=call), Scene(tmp_path, call=call)
        first.start()
        with pytest.raises(NccoError, match="session-in-progress"):
            Scene(tmp_path, call=call)
        second.start()  # it was made before the first one began
        assert second.n_over == 1
        assert ("session-in-progress" in second.legs.errors[0], second.legs.told) == (True, [])
        await passes(RUN_ON_S + 1.0)
        assert call.recording_holds == 1, "the first one's"
        first.hang_up()
        assert await status_of(first) == "failure"
        await second.action.done()
        assert second.outbox.put == []

    @on_stepped_loop
    async def test_a_line_that_cannot_be_covered_is_a_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = Scene(tmp_path)

        def fail(on: bool) -> None:
            raise MediaError("no mask")

        monkeypatch.setattr(scene.call, "mask", fail)
        scene.start()
        scene.start()
        scene.keys("4")
        scene.hang_up()
        await scene.action.done()
        ((members, target, policy),) = scene.legs.told
        assert (members["type"], members["status"], policy) == ("payment", "failure", WebhookPolicy.RESULT)
        assert target is not None
        assert (target.url, target.method) == (EVENTS, "POST")
        assert (scene.call.heard, scene.n_over, scene.call.recording_holds) == ([], 1, 0)


class TestStopAndHangUp:
    """In every phase, and told once."""

    @pytest.mark.parametrize("how", ["stop", "hang_up"])
    @pytest.mark.parametrize("keyed", ["", "4111", f"{VISA}#12", f"{VISA}#122812"])
    @on_stepped_loop
    async def test_while_the_caller_keys_it_is_a_failure(self, tmp_path: Path, how: str, keyed: str) -> None:
        scene = Scene(tmp_path)
        scene.start()
        scene.keys(keyed)
        for _ in range(2):
            scene.hang_up() if how == "hang_up" else scene.action.stop(scene.now)
        assert scene.n_over == 1, "at once"
        assert await status_of(scene) == "failure"
        assert scene.charging.submissions == []

    @pytest.mark.parametrize("how", ["stop", "hang_up"])
    @pytest.mark.parametrize("paid", [True, False])
    @on_stepped_loop
    async def test_while_the_connector_works_its_answer_is_the_end(self, tmp_path: Path, how: str, paid: bool) -> None:
        scene = Scene(tmp_path)
        scene.charging.gate.clear()
        if not paid:
            scene.charging.answer = ANSWERS["declined"]
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.until(lambda: scene.charging.submissions)
        scene.hang_up() if how == "hang_up" else scene.action.stop(scene.now)
        scene.keys("*")
        assert (scene.n_over, scene.outbox.put) == (0, [])
        scene.charging.gate.set()
        assert await status_of(scene) == ("success" if paid else "failure")
        assert len(scene.charging.submissions) == 1

    @pytest.mark.parametrize("how", ["stop", "hang_up"])
    @on_stepped_loop
    async def test_before_the_start(self, tmp_path: Path, how: str) -> None:
        scene = Scene(tmp_path)
        scene.hang_up() if how == "hang_up" else scene.action.stop(scene.now)
        scene.start()
        await scene.action.done()
        ((members, _, _),) = scene.legs.told
        assert (members["status"], scene.n_over, scene.call.heard) == ("failure", 1, [])


class TestWebhook:
    @on_stepped_loop
    async def test_is_the_vendors(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        body = await scene.pay()
        assert body == {
            "from": "15551234567",
            "to": "15557654321",
            "type": "payment",
            "uuid": "00000000-0000-0000-0000-000000000001",
            "conversation_uuid": "CON-00000000-0000-0000-0000-000000000001",
            "status": "success",
            "timestamp": "2026-11-22T00:00:00.000Z",
        }
        (webhook,) = scene.outbox.put
        assert (webhook["url"], webhook["policy"]) == (EVENTS, WebhookPolicy.RESULT)
        assert webhook.get("method", "POST") == "POST", "also where states are told by GET"
        assert (webhook["signature"], webhook["key_env"], webhook["claims"]) == (SignatureKind.NONE, "", {})
        assert scene.legs.told == []

    @on_stepped_loop
    async def test_is_signed(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, config=config_of('api_key = "abcd1234"\nsignature_secret_env = "SECRET_OF_TESTS"'))
        await scene.pay()
        (webhook,) = scene.outbox.put
        assert (webhook["signature"], webhook["key_env"]) == (SignatureKind.VONAGE, "SECRET_OF_TESTS")
        assert webhook["claims"] == {"api_key": "abcd1234", "application_id": APPLICATION}

    @pytest.mark.parametrize(
        ("event", "url"),
        [
            ("https://shop.example/paid", "https://shop.example/paid"),
            ("/paid?n=1", "https://app.example/paid?n=1"),
            ("paid", "https://app.example/ncco/paid"),
        ],
    )
    @on_stepped_loop
    async def test_goes_to_the_actions_event_url(self, tmp_path: Path, event: str, url: str) -> None:
        scene = Scene(tmp_path, event=event)
        await scene.pay()
        assert scene.outbox.put[0]["url"] == url

    @on_stepped_loop
    async def test_goes_by_http_where_the_operator_allows_it(self, tmp_path: Path) -> None:
        config = config_of("allow_insecure_callbacks = true")
        scene = Scene(tmp_path, config=config, event="http://app.example/paid")
        await scene.pay()
        (webhook,) = scene.outbox.put
        assert (webhook["url"], webhook["allow_insecure"]) == ("http://app.example/paid", True)

    @on_stepped_loop
    async def test_nobody_wants_to_know(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        scene = Scene(tmp_path, leg_event="")
        assert await scene.pay() is None
        ((_, row),) = scene.ledger.payments.items()
        assert (row["result"], row["reply_to"]) == ("success", None)
        assert "no event URL" in caplog.text

    @on_stepped_loop
    async def test_names_the_conversation_in_which_the_payment_began(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        scene.leg.conversation_uuid = "CON-another"
        scene.action.stop(scene.now)
        body = await scene.ended()
        assert body is not None
        assert body["conversation_uuid"] == "CON-00000000-0000-0000-0000-000000000001"

    @on_stepped_loop
    async def test_tells_more_where_the_operator_wants_it(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, config=config_of("tell_payment_details = true"))
        body = await scene.pay()
        assert body is not None
        assert (body["confirmation_code"], body["card"], "reason" in body) == ("ch_test", "************1111", False)
        scene = Scene(tmp_path, config=config_of("tell_payment_details = true"))
        scene.charging.answer = ANSWERS["declined"]
        body = await scene.pay()
        assert body is not None
        assert (body["reason"], body["card"]) == ("payment-connector-error: insufficient funds", "************1111")
        assert "confirmation_code" not in body

    @on_stepped_loop
    async def test_is_owed_until_the_outbox_has_it(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        await scene.pay()
        assert scene.written[-3:] == ["result", "webhook result", "told"]

    @on_stepped_loop
    async def test_is_the_same_wherever_it_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seconds = count()
        scene = Scene(tmp_path, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=next(seconds)))
        kept: list[str] = []
        put_in = scene.outbox.enqueue

        async def enqueue(**webhook: Any) -> None:
            kept.extend(row["reply_to"]["body"] for row in scene.ledger.payments.values())
            await put_in(**webhook)

        monkeypatch.setattr(scene.outbox, "enqueue", enqueue)
        await scene.pay()
        assert kept == [webhook["body"].decode() for webhook in scene.outbox.put]

    @on_stepped_loop
    async def test_one_that_cannot_be_put_in_waits_for_the_next_start(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.outbox.error = LedgerError("disk full")
        await scene.pay()
        (row,) = scene.ledger.payments.values()
        assert row["reply_to"]["kind"] == "ncco-pay"
        assert json.loads(row["reply_to"]["body"])["status"] == "success"

    @on_stepped_loop
    async def test_no_secret_is_in_what_is_told_kept_or_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        vonage = 'tell_payment_details = true\nsignature_secret_env = "SECRET_OF_TESTS"'
        scene = Scene(tmp_path, config=config_of(vonage), event="https://user:password@app.example/paid")
        scene.charging.answer = ConnectorAnswer(
            outcome=Outcome.DECLINED, error_code="51", error_message=f"card {VISA} declined"
        )
        await scene.pay()
        told = json.dumps(scene.posts) + caplog.text
        told += repr([row["reply_to"] for row in scene.ledger.payments.values()])
        assert VISA not in told
        assert '"123"' not in told
        assert "password" not in told


class TestQuietLine:
    @on_stepped_loop
    async def test_is_covered_before_the_first_question_and_to_the_end(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        await scene.hears(NUMBER)
        asked = [what for what, _ in scene.call.asked]
        assert asked.index("mask") < asked.index("play")
        assert asked.index("hold_recording") < asked.index("play")
        scene.keys(CARD_KEYS)
        await scene.ended()
        masks = [on for what, on in scene.call.asked if what == "mask"]
        assert (masks, scene.call.recording_holds) == ([True], 1), "the caller may still be keying"
        await passes(RUN_ON_S + 1.0)
        masks = [on for what, on in scene.call.asked if what == "mask"]
        assert (masks, scene.call.recording_holds) == ([True, False], 0)

    @on_stepped_loop
    async def test_who_keys_on_after_the_end_is_heard_by_nobody(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        scene.keys("4111")
        scene.action.stop(scene.now)
        assert not scene.action.wants_digits
        assert [companion.wants_digits for companion in scene.call.companions] == [True]
        scene.hang_up()
        await scene.ended()


class TestMemory:
    @on_stepped_loop
    async def test_nothing_lives_on_in_cycles(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        await scene.hears(NUMBER)
        scene.keys("4111")
        scene.hang_up()
        await scene.ended()
        await passes(1.0)
        gc.collect()
        gc.disable()
        try:
            alive = weakref.ref(scene.action), weakref.ref(scene.call)
            del scene
            await passes(1.0)
            assert [one() for one in alive] == [None, None]
        finally:
            gc.enable()
