"""``<Pay>`` on a call: its course, its callbacks, who hears the keys, and that no result is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from engine.connectors.signalwire import BodyForm
from engine.dialects.twiml.verbs import Pause, PayPrompt, Play, Say
from engine.errors import ConnectorError, LedgerError, MediaError
from engine.ledger import WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.pay.submission import ConnectorAnswer, Outcome
from engine.program import CallState
from engine.programs import pay as pay_module
from engine.programs import quiet_line
from prompts.clip import Clip
from prompts.errors import SynthesisError
from tests.support.call_control import FakeCall
from tests.support.pay_verb import ACCOUNT_SID, BASE, PayScene
from tests.support.payment_scene import CARD_KEYS, VISA, clip_of

pytestmark = pytest.mark.asyncio

ROUTING, ACCOUNT = "021000021", "000123456789"
DECLINED = ConnectorAnswer(
    outcome=Outcome.DECLINED, error_code="51", error_message="insufficient funds", error_type="card-declined"
)
CARD = {
    "PaymentMethod": "credit-card",
    "PaymentCardNumber": "xxxxxxxxxxxx1111",
    "PaymentCardType": "visa",
    "ExpirationDate": "1228",
    "SecurityCode": "xxx",
    "PaymentCardPostalCode": "94105",
}


def say(text: str, for_: str, **attributes: str) -> PayPrompt:
    return PayPrompt(attributes={"for": for_, **attributes}, spoken=(Say(text=text),))


def form_of(webhook: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(webhook["body"].decode(), keep_blank_values=True))


class TestCourse:
    async def test_a_charge(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, chargeAmount="25.50", description="Dues", parameters=(("shop", "7"),))
        outcome = await scene.pay(CARD_KEYS)
        assert outcome == {"Result": "success", **CARD, "PaymentConfirmationCode": "ch_test"}
        (submission,) = scene.charging.submissions
        assert (submission.amount, submission.description, submission.parameters) == ("25.50", "Dues", {"shop": "7"})
        assert scene.charging.asked == ["sandbox"]
        ((payment_id, row),) = scene.ledger.payments.items()
        assert len(payment_id) == 32
        assert (row["form"], row["amount"], row["result"]) == ("shop", "25.50", "success")

    async def test_a_token(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, securityCode="false", postalCode="false")
        scene.charging.answer = ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id="tok_1")
        outcome = await scene.pay(f"{VISA}#1228")
        assert (outcome["Result"], outcome["PaymentToken"]) == ("success", "tok_1")
        assert "PaymentConfirmationCode" not in outcome

    async def test_a_bank_debit_that_is_keyed_twice(self, tmp_path: Path) -> None:
        scene = PayScene(
            tmp_path,
            say("Account", "bank-account-number"),
            say("Again", "bank-account-number", requireMatchingInputs="true"),
            say("They differ", "bank-account-number", errorType="input-matching-failed"),
            chargeAmount="5",
            paymentMethod="ach-debit",
            statusCallback="/status",
        )
        scene.start()
        scene.keys(ROUTING)
        await scene.hears("Account")
        scene.keys(ACCOUNT + "#")
        await scene.hears("Again")
        scene.keys("99999#")
        await scene.hears("They differ")
        scene.keys(ACCOUNT + "#")
        await scene.hears("Again")
        scene.keys(ACCOUNT + "#")
        await scene.hears("payment-processing")
        scene.prompt_ends()
        outcome = await scene.outcome()
        assert outcome["Result"] == "success"
        assert outcome["BankAccountNumber"] == "**********89"
        assert (outcome["BankRoutingNumber"], outcome["BankAccountType"]) == (ROUTING, "consumer-checking")
        asked = [(form_of(webhook)["For"], form_of(webhook)["ErrorType"]) for webhook in scene.outbox.put]
        assert asked == [
            ("bank-routing-number", ""),
            ("bank-account-number", ""),
            ("bank-account-number", ""),
            ("bank-account-number", "input-matching-failed"),
            ("bank-account-number", ""),
            ("payment-processing", ""),
        ]

    async def test_retries_are_used_up(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, statusCallback="/status", maxAttempts="2")
        scene.start()
        scene.keys(f"{VISA}#")
        for _ in range(3):
            scene.keys("1399")
        outcome = await scene.outcome()
        assert (outcome["Result"], outcome["PaymentError"]) == ("too-many-failed-attempts", "invalid-date")
        assert outcome["PaymentCardNumber"] == CARD["PaymentCardNumber"]
        assert [(form_of(one)["ErrorType"], form_of(one)["Attempt"]) for one in scene.outbox.put] == [
            ("", "1"),
            ("", "1"),
            ("invalid-date", "2"),
            ("invalid-date", "3"),
        ]
        assert scene.charging.submissions == []

    async def test_a_decline_ends_it(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, chargeAmount="1", maxAttempts="3")
        scene.charging.answer = DECLINED
        outcome = await scene.pay(CARD_KEYS)
        assert outcome == {
            "Result": "payment-connector-error",
            **CARD,
            "PaymentError": "insufficient funds",
            "PayErrorCode": "64008",
            "ConnectorError": "51",
        }
        assert len(scene.charging.submissions) == 1

    async def test_a_star_ends_it(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.keys("4111*")
        assert await scene.outcome() == {"Result": "caller-interrupted-with-star", "PaymentMethod": "credit-card"}

    async def test_a_hang_up_ends_it(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.keys("4111")
        scene.verb.hang_up(scene.now)
        assert (await scene.outcome())["Result"] == "caller-hung-up"

    async def test_who_hangs_up_while_the_connector_works_has_paid(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, chargeAmount="1")
        scene.charging.gate.clear()
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.until(lambda: scene.charging.submissions)
        scene.verb.hang_up(scene.now)
        scene.charging.gate.set()
        assert (await scene.outcome())["PaymentConfirmationCode"] == "ch_test"

    async def test_a_ledger_that_cannot_be_written_means_no_payment(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.ledger.error = LedgerError("disk full")
        scene.start()
        await scene.until(lambda: scene.outcomes)
        assert dict(scene.outcomes[0])["Result"] == "internal-error"
        scene.verb.told(True)
        await scene.verb.done()
        assert scene.charging.submissions == []

    async def test_an_endpoint_of_the_documents(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOKEN_OF_TESTS", "secret")
        scene = PayScene(tmp_path, chargeAmount="1", paymentConnectorUrl="https://gw.example/pay")
        assert (await scene.pay(CARD_KEYS))["Result"] == "success"
        (asked,) = scene.charging.asked
        assert (asked.url, asked.options) == (  # type: ignore[attr-defined]
            "https://gw.example/pay",
            {"form": BodyForm.COMPATIBLE, "signing_key": "secret", "allow_insecure": False},
        )
        (row,) = scene.ledger.payments.values()
        assert row["connector"] == "url:gw.example"


class TestRefusal:
    async def test_is_told_at_once_and_nothing_is_heard(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        scene = PayScene(tmp_path, chargeAmount="free")
        scene.start()
        (outcome,) = scene.outcomes
        assert dict(outcome)["Result"] == "validation-error"
        assert dict(outcome)["PayErrorCode"] == "64003"
        assert scene.call.asked == []
        assert scene.written == []
        assert "chargeAmount" in caplog.text
        scene.keys("4111*")
        scene.verb.play_finished(1, False, scene.now)
        scene.verb.hang_up(scene.now)
        scene.verb.stop(scene.now)
        scene.verb.told(True)
        await scene.verb.done()
        assert len(scene.outcomes) == 1

    async def test_of_a_second_payment_on_the_call(self, tmp_path: Path) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        first, second = PayScene(tmp_path, call=call), PayScene(tmp_path, call=call)
        first.start()
        second.start()
        refusal = dict(second.outcomes[0])
        assert (refusal["Result"], refusal["PayErrorCode"]) == ("validation-error", "64021")
        assert "session-in-progress" in refusal["PaymentError"]
        first.verb.hang_up(first.now)
        await first.outcome()
        PayScene(tmp_path, call=call).start()
        assert call.guard.busy

    async def test_of_an_endpoint_that_cannot_be_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(url: str, **options: Any) -> None:
            raise ConnectorError("payment_connector_url: no")

        scene = PayScene(tmp_path, paymentConnectorUrl="https://gw.example/pay")
        monkeypatch.setattr(scene.charging, "connector_at", fail)
        scene.start()
        assert dict(scene.outcomes[0])["PayErrorCode"] == "64001"


class TestPrompts:
    async def test_by_attempt_error_and_card_type(self, tmp_path: Path) -> None:
        scene = PayScene(
            tmp_path,
            say("Number", "payment-card-number"),
            say("Number again", "payment-card-number", attempt="2"),
            say("Too slow", "payment-card-number", errorType="timeout"),
            say("Expiry", "expiration-date"),
            say("Four digits", "security-code", cardType="amex"),
            say("Three digits", "security-code"),
        )
        scene.start()
        await scene.hears("Number")
        scene.keys("4111#")
        await scene.hears("Number again")
        scene.keys("378282246310005")
        await scene.hears("Expiry")
        scene.keys("1228")
        await scene.hears("Four digits")
        scene.verb.hang_up(scene.now)
        await scene.outcome()
        spoken = [text for text, _, _ in scene.speaker.spoken]
        assert len(spoken) == len(set(spoken))

    async def test_a_silence_selects_its_own(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, say("Too slow", "payment-card-number", errorType="input-timeout"))
        scene.start()
        scene.keys("#")
        await scene.hears("Too slow")
        scene.verb.hang_up(scene.now)
        await scene.outcome()

    async def test_in_the_language_and_voice_of_the_text_or_of_the_payment(self, tmp_path: Path) -> None:
        prompt = PayPrompt(
            attributes={"for": "payment-card-number"},
            spoken=(Say(text="Hallo"), Pause(length_s=0.5), Say(text="Hi", language="en-GB", voice="man")),
        )
        scene = PayScene(tmp_path, prompt, language="de-DE")
        scene.start()
        await scene.hears("Hallo")
        assert scene.call.heard[0] == ("Hallo", "pause", "Hi")
        assert scene.speaker.spoken[:2] == [("Hallo", "de-DE", ""), ("Hi", "en-GB", "man")]
        scene.verb.hang_up(scene.now)
        await scene.outcome()

    async def test_a_file_is_fetched_from_beside_the_document(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def file(source: str) -> Clip:
            return clip_of(f"file {source}")

        prompt = PayPrompt(attributes={"for": "payment-card-number"}, spoken=(Play(url="ding.wav"), Say(text="Card")))
        scene = PayScene(tmp_path, prompt)
        monkeypatch.setattr(scene.prompts, "file", file)
        scene.start()
        await scene.hears("file https://app.example/voice/ding.wav")
        assert scene.call.heard == [("file https://app.example/voice/ding.wav", "Card")]
        scene.verb.hang_up(scene.now)
        await scene.outcome()

    async def test_a_voice_that_is_not_there_is_replaced_by_the_default_one(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def speech(text: str, *, locale: str, voice: str = "") -> Clip:
            if voice:
                raise SynthesisError("no such voice")
            return clip_of(f"{text} in {locale}")

        prompt = PayPrompt(
            attributes={"for": "payment-card-number"}, spoken=(Say(text="Card", language="xx", voice="espeak:none"),)
        )
        scene = PayScene(tmp_path, prompt, language="en-GB")
        monkeypatch.setattr(scene.prompts, "speech", speech)
        scene.start()
        await scene.hears("Card in en-GB")
        assert "said in the default voice" in caplog.text
        scene.verb.hang_up(scene.now)
        await scene.outcome()

    async def test_a_text_with_digits_leaves_no_trace(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            scene = PayScene(tmp_path, say("You keyed 4 1 1 1", "payment-card-number"))
            scene.start()
            await scene.hears("say")
            scene.verb.hang_up(scene.now)
            await scene.outcome()
        assert [text for text, _, _ in scene.speaker.spoken] == ["You keyed 4 1 1 1"]
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert "4 1 1 1" not in caplog.text

    async def test_what_cannot_be_said_is_replaced_by_the_engines_own(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        prompt = PayPrompt(
            attributes={"for": "security-code"}, spoken=(Say(text="Code"), Play(url="https://app.example/ding.wav"))
        )
        scene = PayScene(tmp_path, prompt)
        scene.speaker.failure = SynthesisError("espeak-ng is not there")
        scene.start()
        scene.keys(f"{VISA}#1228")
        await scene.hears("security-code")
        assert scene.call.heard[-1] == ("security-code", "pause")
        assert "a prompt of a payment cannot be heard" in caplog.text
        scene.verb.hang_up(scene.now)
        await scene.outcome()

    async def test_a_language_that_the_engine_does_not_speak_is_told_and_english_is_heard(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = PayScene(tmp_path, language="sv-SE")
        scene.start()
        assert scene.call.heard[0] == ("payment-card-number",)
        assert "sv-SE" in caplog.text
        scene.verb.hang_up(scene.now)
        await scene.outcome()

    async def test_rendering_ahead_ends_with_the_payment(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, say("Expiry", "expiration-date"), say("Code", "security-code"))
        scene.speaker.gate = asyncio.Event()
        scene.start()
        await scene.until(lambda: scene.speaker.spoken)
        scene.verb.hang_up(scene.now)
        scene.speaker.gate.set()
        await scene.outcome()
        assert [text for text, _, _ in scene.speaker.spoken] == ["Expiry"]


class TestStatus:
    async def test_goes_out_in_order_signed_and_in_the_session_of_the_payment(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, statusCallback="/status", statusCallbackMethod="GET")
        await scene.pay(CARD_KEYS)
        (payment_id,) = scene.ledger.payments
        steps = ["payment-card-number", "expiration-date", "security-code", "postal-code", "payment-processing"]
        assert [form_of(webhook)["For"] for webhook in scene.outbox.put] == steps
        for webhook in scene.outbox.put:
            assert webhook["session"] == payment_id
            assert (webhook["url"], webhook["method"]) == ("https://app.example/status", "GET")
            assert (webhook["signature"], webhook["key_env"]) == (SignatureKind.TWILIO, "TOKEN_OF_TESTS")
            assert webhook["policy"] is WebhookPolicy.STATUS
            assert webhook["content_type"] == "application/x-www-form-urlencoded; charset=UTF-8"
            assert not webhook["allow_insecure"]
        last = form_of(scene.outbox.put[-1])
        assert last == {
            "AccountSid": ACCOUNT_SID,
            "CallSid": "CA" + scene.call.facts.call_id,
            "For": "payment-processing",
            "ErrorType": "",
            "Attempt": "1",
            **CARD,
        }

    async def test_is_told_to_nobody_who_did_not_ask(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        await scene.pay(CARD_KEYS)
        assert scene.outbox.put == []

    async def test_an_outbox_that_cannot_be_written_does_not_stop_the_payment(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, statusCallback="/status")
        scene.outbox.error = LedgerError("disk full")
        assert (await scene.pay(CARD_KEYS))["Result"] == "success"


class TestNoResultIsLost:
    async def test_what_the_action_took_is_told(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, chargeAmount="1")
        await scene.pay(CARD_KEYS)
        assert scene.written == ["payment", "attempt", "result", "told"]

    async def test_the_result_is_written_and_owed_before_the_action_is_asked(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, chargeAmount="1")
        scene.start()
        scene.keys("*")
        await scene.until(lambda: scene.outcomes)
        (row,) = scene.ledger.payments.values()
        assert row["result"] == "caller-interrupted-with-star"
        owed = row["reply_to"]
        assert (owed["kind"], owed["url"], owed["key_env"]) == ("twiml-pay", BASE, "TOKEN_OF_TESTS")
        body = dict(parse_qsl(owed["body"]))
        assert body["Result"] == "caller-interrupted-with-star"
        assert (body["CallSid"], body["CallStatus"]) == ("CA" + scene.call.facts.call_id, "completed")
        await scene.outcome()
        assert row["reply_to"] is None

    async def test_what_the_action_did_not_take_the_outbox_brings(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, action="/done", chargeAmount="1")
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.hears("payment-processing")
        scene.prompt_ends()
        outcome = await scene.outcome(delivered=False)
        (webhook,) = scene.outbox.put
        assert (webhook["policy"], webhook["url"]) == (WebhookPolicy.RESULT, "https://app.example/done")
        assert (webhook["signature"], webhook["key_env"]) == (SignatureKind.TWILIO, "TOKEN_OF_TESTS")
        body = form_of(webhook)
        assert body.items() >= outcome.items()
        assert (body["AccountSid"], body["From"]) == (ACCOUNT_SID, scene.call.facts.caller)
        assert body["CallStatus"] == "in-progress"
        assert scene.written[-2:] == ["webhook result", "told"]

    async def test_what_nobody_says_a_word_about_the_outbox_brings(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pay_module, "TOLD_LIMIT_S", 0.0)
        scene = PayScene(tmp_path)
        scene.start()
        scene.verb.hang_up(scene.now)
        await scene.verb.done()
        assert form_of(scene.outbox.put[0])["Result"] == "caller-hung-up"

    async def test_it_is_told_once_whatever_is_said_later(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.keys("*")
        await scene.outcome()
        scene.verb.told(False)
        await scene.verb.done()
        assert scene.outbox.put == []

    async def test_another_document_that_cuts_it_off_is_told_nothing(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.keys("4111")
        scene.verb.stop(scene.now)
        await scene.verb.done()
        assert (scene.outcomes, scene.outbox.put) == ([], [])
        (row,) = scene.ledger.payments.values()
        assert (row["result"], row["reply_to"]) == ("relay-pay-stop", None)

    async def test_but_money_that_moved_is_told(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path, chargeAmount="1")
        scene.charging.gate.clear()
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.until(lambda: scene.charging.submissions)
        scene.verb.stop(scene.now)
        scene.charging.gate.set()
        await scene.verb.done()
        assert scene.outcomes == []
        assert form_of(scene.outbox.put[0])["PaymentConfirmationCode"] == "ch_test"

    async def test_an_outbox_that_cannot_be_written_leaves_it_owed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.keys("*")
        await scene.until(lambda: scene.outcomes)
        scene.outbox.error = LedgerError("disk full")
        await scene.outcome(delivered=False)
        (row,) = scene.ledger.payments.values()
        assert row["reply_to"] is not None
        assert "a result could not be handed on" in caplog.text


class TestQuietLine:
    def holds(self, scene: PayScene) -> tuple[bool, int]:
        masks = [argument for what, argument in scene.call.asked if what == "mask"]
        return masks[-1], scene.call.recording_holds

    @pytest.fixture(autouse=True)
    def no_tail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quiet_line, "TAIL_S", 0.0)

    async def test_is_quiet_before_the_first_question_and_until_the_end(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        asked = [what for what, _ in scene.call.asked]
        assert asked.index("mask") < asked.index("play")
        assert asked.index("hold_recording") < asked.index("play")
        scene.keys("411")
        assert self.holds(scene) == (True, 1)
        scene.keys("*")
        await scene.until(lambda: scene.outcomes)
        assert self.holds(scene) == (True, 1)
        await scene.outcome()
        await scene.until(lambda: self.holds(scene) == (False, 0))

    async def test_stays_so_while_the_key_that_ended_it_is_down(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.press("*")
        await scene.outcome()
        for _ in range(5):
            await asyncio.sleep(0)
        assert self.holds(scene) == (True, 1)
        scene.let_go()
        await scene.until(lambda: self.holds(scene) == (False, 0))

    async def test_a_key_of_sip_info_has_no_end_to_wait_for(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.press("*", source="info")
        await scene.outcome()
        await scene.until(lambda: self.holds(scene) == (False, 0))

    async def test_stays_so_when_the_call_ends(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.press("4")
        for companion in list(scene.call.companions):
            companion.hang_up(scene.now)
        scene.verb.hang_up(scene.now)
        await scene.outcome()
        await asyncio.sleep(0)
        assert self.holds(scene) == (True, 1)

    async def test_a_line_that_cannot_be_covered_is_asked_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(on: bool) -> None:
            raise MediaError("no room in the queue")

        scene = PayScene(tmp_path)
        monkeypatch.setattr(scene.call, "mask", fail)
        scene.start()
        refusal = dict(scene.outcomes[0])
        assert (refusal["Result"], refusal["PayErrorCode"]) == ("internal-error", "64002")
        assert (scene.call.heard, scene.call.recording_holds, scene.written) == ([], 0, [])
        assert not scene.call.guard.busy

    async def test_what_is_keyed_between_the_payment_and_the_next_document_is_nobodys(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        (companion,) = scene.call.companions
        wanted = [companion.wants_digits]  # the payment wants them
        scene.keys("*")
        wanted.append(companion.wants_digits)
        companion.count_digit("in-band")
        companion.digit(4, scene.now)
        await scene.outcome()
        assert [*wanted, companion.wants_digits] == [False, True, False]
        await asyncio.sleep(0)
        assert self.holds(scene) == (True, 1)
        companion.digit_ended(scene.now)
        await scene.until(lambda: self.holds(scene) == (False, 0))

    async def test_ends_also_when_nothing_is_told(self, tmp_path: Path) -> None:
        scene = PayScene(tmp_path)
        scene.start()
        scene.verb.stop(scene.now)
        await scene.verb.done()
        await scene.until(lambda: self.holds(scene) == (False, 0))


async def test_nothing_of_a_call_waits_for_the_garbage_collector(tmp_path: Path) -> None:
    scene = PayScene(tmp_path, say("Number", "payment-card-number"), statusCallback="/status", chargeAmount="1")
    await scene.pay(CARD_KEYS)
    call, verb, run = weakref.ref(scene.call), weakref.ref(scene.verb), weakref.ref(scene.verb._run)
    await asyncio.sleep(0)
    gc.disable()
    try:
        del scene
        assert (call(), verb(), run()) == (None, None, None)
    finally:
        gc.enable()


async def test_no_log_line_holds_a_digit_of_the_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        scene = PayScene(tmp_path, say("Number", "payment-card-number"), statusCallback="/status", chargeAmount="1")
        await scene.pay(CARD_KEYS)
    assert VISA not in "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert VISA not in repr(scene.outbox.put) + repr(scene.ledger.payments) + repr(scene.outcomes)


async def test_a_caller_whose_name_is_no_text_is_told_of_all_the_same(tmp_path: Path) -> None:
    call = FakeCall(state=CallState.ANSWERED, caller="\udcff\udcfe", headers={"X-Odd": "a\udc80"})
    scene = PayScene(tmp_path, call=call)
    scene.start()
    scene.keys("*")
    await scene.outcome(delivered=False)
    (row,) = scene.ledger.payments.values()
    assert row["result"] == "caller-interrupted-with-star"
    assert form_of(scene.outbox.put[0])["From"] == "??"
