"""``pay`` of SWML and RELAY on a call: its course, its posts, who hears the keys, and that no result is lost."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest

from engine.connectors.signalwire import BodyForm
from engine.dialects.signalwire.pay import PayRefused
from engine.errors import ConnectorError, LedgerError, MediaError
from engine.ledger import WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.pay.results import Result
from engine.pay.rules import Dialect
from engine.pay.submission import ConnectorAnswer, Outcome
from engine.program import CallState
from engine.programs import quiet_line
from engine.programs.actions.protocol import Action
from prompts.errors import SynthesisError
from tests.support.call_control import FakeCall
from tests.support.pay_action import CONNECTOR, STATUS
from tests.support.pay_action import PayActionScene as Scene
from tests.support.payment_scene import CARD_KEYS, VISA

pytestmark = pytest.mark.asyncio

DECLINED = ConnectorAnswer(
    outcome=Outcome.DECLINED, error_code="51", error_message="insufficient funds", error_type="card-declined"
)
KEYED = ("payment-card-number", "expiration-date", "security-code", "postal-code")


class TestCourse:
    async def test_a_charge(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEY_OF_TESTS", "secret")
        scene = Scene(
            tmp_path,
            charge_amount=25.5,
            description="Dues",
            parameters=[{"name": "shop", "value": "7"}],
            currency="EUR",
        )
        action: Action = scene.action
        assert not action.wants_digits
        result = await scene.pay()
        assert (result.result, result.charge_id, result.card_number) == (Result.SUCCESS, "ch_test", "************1111")
        assert [str(status.step) for status in scene.statuses] == [*KEYED, "payment-processing", "payment-completed"]
        (submission,) = scene.charging.submissions
        assert (submission.amount, submission.currency, submission.description) == ("25.5", "EUR", "Dues")
        assert submission.parameters == {"shop": "7"}
        (asked,) = scene.charging.asked
        assert (asked.url, asked.options) == (  # type: ignore[attr-defined]
            CONNECTOR,
            {"form": BodyForm.SWML, "signing_key": "secret", "allow_insecure": False},
        )
        ((payment_id, row),) = scene.ledger.payments.items()
        assert len(payment_id) == 32
        assert (row["form"], row["amount"], row["result"], row["reply_to"]) == ("shop", "25.5", "success", None)
        assert not scene.action.wants_digits

    async def test_a_token(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, dialect=Dialect.SWML, security_code="false", postal_code=False)
        scene.charging.answer = ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id="tok_1")
        result = await scene.pay(f"{VISA}#1228", end="tokenize-completed")
        assert (result.result, result.token_id, result.charge_id) == (Result.SUCCESS, "tok_1", "")

    async def test_a_declined_card_is_asked_for_again(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, charge_amount="5", status_url=STATUS)
        scene.charging.answer = DECLINED
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.hears("payment-processing")
        scene.prompt_ends()
        await scene.hears("payment-failed")
        scene.prompt_ends()
        await scene.hears("error.card-declined")
        scene.charging.answer = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_2")
        scene.keys(CARD_KEYS)
        await scene.hears("payment-processing")
        scene.prompt_ends()
        await scene.hears("payment-completed")
        scene.prompt_ends()
        assert (await scene.ended()).charge_id == "ch_2"
        assert scene.steps == [
            *((step, "") for step in KEYED),
            ("payment-processing", ""),
            ("payment-failed", "card-declined"),
            ("payment-card-number", "card-declined"),
            *((step, "") for step in KEYED[1:]),
            ("payment-processing", ""),
            ("payment-completed", ""),
        ]

    async def test_retries_are_used_up(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, status_url=STATUS, max_attempts="2")
        scene.start()
        scene.keys(f"{VISA}#")
        for _ in range(3):
            scene.keys("1399")
        scene.prompt_ends()
        result = await scene.ended()
        assert (result.result, result.payment_error) == (Result.TOO_MANY_FAILED_ATTEMPTS, "invalid-date")
        assert scene.steps == [
            ("payment-card-number", ""),
            ("expiration-date", ""),
            ("expiration-date", "invalid-date"),
            ("expiration-date", "invalid-date"),
            ("payment-failed", "invalid-date"),
        ]
        assert scene.charging.submissions == []

    async def test_a_star_cancels_it(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        scene.keys("4111*")
        await scene.hears("payment-canceled")
        scene.prompt_ends()
        assert (await scene.ended()).result is Result.CALLER_INTERRUPTED_WITH_STAR
        assert scene.charging.submissions == []

    async def test_a_ledger_that_cannot_be_written_means_no_payment(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, status_url=STATUS)
        scene.ledger.error = LedgerError("disk full")
        scene.start()
        assert (await scene.ended()).result is Result.INTERNAL_ERROR
        assert scene.charging.submissions == []
        assert scene.posts[-1]["params"]["result"] == "internal-error"

    async def test_prompts_of_the_application_are_heard(self, tmp_path: Path) -> None:
        say = {"type": "Say", "phrase": "Numer karty"}
        scene = Scene(tmp_path, language="pl-PL", prompts=[{"for": "payment-card-number", "actions": [say]}])
        scene.start()
        await scene.hears("Numer karty")
        scene.keys("*")
        await scene.hears("payment-canceled")
        scene.prompt_ends()
        await scene.ended()

    @pytest.mark.parametrize(("voice", "spoken"), [("man", {"man"}), ("woman", set()), ("Polly.Salli", set())])
    async def test_the_engines_own_prompts_are_said_in_the_voice_that_is_wanted(
        self, tmp_path: Path, voice: str, spoken: set[str]
    ) -> None:
        scene = Scene(tmp_path, charge_amount="5", voice=voice)
        assert (await scene.pay()).result is Result.SUCCESS
        assert {wanted for _, locale, wanted in scene.speaker.spoken if locale == "en-US"} == spoken

    async def test_a_voice_that_there_is_not_is_no_silence(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = Scene(tmp_path, charge_amount="5", voice="espeak:nobody")
        scene.speaker.failure = SynthesisError("no such voice")
        assert (await scene.pay()).result is Result.SUCCESS
        assert "default voice" in caplog.text


class TestRefusal:
    """Before the caller hears anything."""

    async def test_of_a_wrong_property(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        with pytest.raises(PayRefused) as caught:
            Scene(tmp_path, call=call, charge_amount="free")
        assert (caught.value.code, caught.value.parameter) == ("422", "charge_amount")
        assert call.asked == []
        assert "charge_amount" in caplog.text

    async def test_of_a_second_payment_on_the_call(self, tmp_path: Path) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        first = Scene(tmp_path, call=call)
        first.start()
        with pytest.raises(PayRefused) as caught:
            Scene(tmp_path, call=call)
        assert caught.value.code == "409"
        assert "session-in-progress" in str(caught.value)
        first.action.stop(first.now)
        await first.ended()
        second = Scene(tmp_path, call=call)
        second.start()
        second.action.stop(second.now)
        assert (await second.ended()).result is Result.RELAY_PAY_STOP

    async def test_of_one_that_begins_while_another_one_does(self, tmp_path: Path) -> None:
        call = FakeCall(state=CallState.ANSWERED)
        first, second = Scene(tmp_path, call=call), Scene(tmp_path, call=call)
        first.start()
        second.start()
        (result,) = second.results
        assert (result.result, result.payment_error) == (Result.VALIDATION_ERROR, "session-in-progress")
        await second.action.done()
        first.action.stop(first.now)
        await first.ended()

    @pytest.mark.parametrize("state", [CallState.QUEUED, CallState.RINGING, CallState.ENDED])
    async def test_of_a_call_that_is_not_up(self, tmp_path: Path, state: CallState) -> None:
        with pytest.raises(PayRefused) as caught:
            Scene(tmp_path, call=FakeCall(state=state))
        assert caught.value.code == "409"

    async def test_of_a_connector_that_cannot_be_used(self, tmp_path: Path) -> None:
        def fail(url: str, **options: Any) -> None:
            raise ConnectorError("payment_connector_url: no")

        with pytest.raises(PayRefused) as caught:
            Scene(tmp_path, connector=fail)
        assert (caught.value.code, caught.value.parameter) == ("422", "payment_connector_url")

    async def test_of_a_line_that_cannot_be_covered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scene = Scene(tmp_path)

        def fail(on: bool) -> None:
            raise MediaError("no mask")

        monkeypatch.setattr(scene.call, "mask", fail)
        scene.start()
        assert scene.results[0].result is Result.INTERNAL_ERROR
        assert scene.call.heard == []
        assert (scene.call.recording_holds, scene.call.guard.busy) == (0, False)
        scene.start()
        scene.keys("4")
        scene.hang_up()
        await scene.ended()


class TestStopAndHangUp:
    """In every phase, and the result is told once."""

    @pytest.mark.parametrize("how", ["stop", "hang_up"])
    @pytest.mark.parametrize("keyed", ["", "4111", f"{VISA}#12", f"{VISA}#1228123"])
    async def test_while_the_caller_keys(self, tmp_path: Path, how: str, keyed: str) -> None:
        scene = Scene(tmp_path, status_url=STATUS)
        scene.start()
        scene.keys(keyed)
        scene.hang_up() if how == "hang_up" else scene.action.stop(scene.now)
        (result,) = scene.results  # at once: a client that is told of the call's end first waits for ever
        assert result.result is (Result.RELAY_PAY_STOP if how == "stop" else Result.CALLER_HUNG_UP)
        await scene.ended()
        assert (scene.steps[-1], scene.posts[-1]["params"]["result"]) == (
            ("payment-canceled", ""),
            str(result.result),
        )
        assert [status.step for status in scene.statuses][-1] == "payment-canceled"
        assert scene.charging.submissions == []

    @pytest.mark.parametrize("how", ["stop", "hang_up"])
    @pytest.mark.parametrize("paid", [True, False])
    async def test_while_the_connector_works_its_answer_is_the_end(self, tmp_path: Path, how: str, paid: bool) -> None:
        scene = Scene(tmp_path, charge_amount="1", status_url=STATUS)
        scene.charging.gate.clear()
        if not paid:
            scene.charging.answer = DECLINED
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.until(lambda: scene.charging.submissions)
        scene.hang_up() if how == "hang_up" else scene.action.stop(scene.now)
        assert scene.results == []
        scene.charging.gate.set()
        result = await scene.ended()
        assert result.result is (Result.SUCCESS if paid else Result.PAYMENT_CONNECTOR_ERROR)
        assert (result.hung_up, result.stopped) == (how == "hang_up", how == "stop")
        assert scene.posts[-1]["params"]["result"] == str(result.result)
        assert len(scene.charging.submissions) == 1

    @pytest.mark.parametrize("how", ["stop", "hang_up"])
    async def test_while_the_caller_hears_that_it_is_paid(self, tmp_path: Path, how: str) -> None:
        scene = Scene(tmp_path, charge_amount="1", status_url=STATUS)
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.hears("payment-processing")
        scene.prompt_ends()
        await scene.hears("payment-completed")
        scene.hang_up() if how == "hang_up" else scene.action.stop(scene.now)
        assert (await scene.ended()).charge_id == "ch_test"
        assert [step for step, _ in scene.steps].count("payment-completed") == 1

    async def test_before_the_start(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.action.stop(scene.now)
        scene.start()
        scene.hang_up()
        assert [result.result for result in scene.results] == [Result.RELAY_PAY_STOP]
        assert scene.call.heard == []
        await scene.action.done()

    async def test_more_than_once(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        for _ in range(3):
            scene.action.stop(scene.now)
            scene.hang_up()
        assert (await scene.ended()).result is Result.RELAY_PAY_STOP
        scene.action.play_finished(scene.call.tokens[-1], False, scene.now)


class TestPosts:
    async def test_are_enveloped_signed_and_in_order(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, charge_amount="5", status_url=STATUS)
        await scene.pay()
        assert scene.steps == [
            *((step, "") for step in KEYED),
            ("payment-processing", ""),
            ("payment-completed", ""),
        ]
        for post in scene.posts:
            assert (post["event_type"], post["event_channel"]) == ("calling.call.pay", "relay:1")
            assert (post["project_id"], post["space_id"], post["timestamp"]) == ("P-1", "space.example", 1795305600.0)
            assert (post["params"]["control_id"], post["params"]["call_id"]) == ("pay-1", "0" * 31 + "1")
        last = scene.posts[-1]["params"]
        assert (last["result"], last["payment_confirmation_code"]) == ("success", "ch_test")
        assert last["payment_card_number"] == "************1111"
        (session,) = {webhook["session"] for webhook in scene.outbox.put}
        assert session in scene.ledger.payments
        for webhook in scene.outbox.put:
            assert (webhook["url"], webhook["policy"]) == (STATUS, WebhookPolicy.STATUS)
            assert (webhook["signature"], webhook["key_env"]) == (SignatureKind.SIGNALWIRE, "KEY_OF_TESTS")

    async def test_are_not_signed_without_a_key(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, status_url=STATUS, config='[signalwire]\nproject = "P-1"\n')
        scene.start()
        scene.action.stop(scene.now)
        await scene.ended()
        assert {webhook["signature"] for webhook in scene.outbox.put} == {SignatureKind.NONE}

    async def test_nobody_wants_to_know(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, charge_amount="5")
        await scene.pay()
        assert scene.outbox.put == []
        assert "told" not in scene.written

    async def test_hold_up_nothing(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        scene = Scene(tmp_path, charge_amount="5", status_url=STATUS)
        scene.outbox.error = LedgerError("disk full")
        assert (await scene.pay()).result is Result.SUCCESS
        (row,) = scene.ledger.payments.values()
        assert row["reply_to"]["kind"] == "signalwire-pay", "the next start tells it"
        assert json.loads(row["reply_to"]["body"])["params"]["result"] == "success"

    async def test_the_result_is_owed_until_the_outbox_has_it(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path, charge_amount="5", status_url=STATUS)
        await scene.pay()
        assert scene.written[-3:] == ["result", "webhook status", "told"]

    async def test_no_secret_is_in_any(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        scene = Scene(tmp_path, charge_amount="5", status_url="https://user:pass@app.example/status")
        await scene.pay()
        told = json.dumps(scene.posts) + caplog.text + repr(scene.results) + repr(scene.statuses)
        told += repr([row["reply_to"] for row in scene.ledger.payments.values()])
        assert VISA not in told
        assert '"123"' not in told
        assert "pass@" not in told


class TestQuietLine:
    def covered(self, scene: Scene) -> tuple[bool, int]:
        masks = [argument for what, argument in scene.call.asked if what == "mask"]
        return masks[-1], scene.call.recording_holds

    @pytest.fixture(autouse=True)
    def no_tail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quiet_line, "TAIL_S", 0.0)

    async def test_is_covered_before_the_first_question_and_to_the_end(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        asked = [what for what, _ in scene.call.asked]
        assert asked.index("mask") < asked.index("play")
        assert asked.index("hold_recording") < asked.index("play")
        scene.action.stop(scene.now)
        await scene.ended()
        await scene.until(lambda: self.covered(scene) == (False, 0))

    async def test_who_keys_on_after_a_stop_is_heard_by_nobody(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quiet_line, "RUN_ON_S", 3600.0)
        scene = Scene(tmp_path)
        scene.start()
        scene.keys("4111")
        scene.action.stop(scene.now)
        assert not scene.action.wants_digits
        assert [companion.wants_digits for companion in scene.call.companions] == [True]
        scene.keys("1111")
        assert self.covered(scene) == (True, 1)
        scene.hang_up()
        assert [companion.wants_digits for companion in scene.call.companions] == [False]
        assert self.covered(scene) == (True, 1), "what waits in the mask's line is not let out"
        await scene.ended()

    async def test_who_heard_the_end_can_key_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quiet_line, "RUN_ON_S", 0.0)
        scene = Scene(tmp_path)
        await scene.pay(end="tokenize-completed")
        assert [companion.wants_digits for companion in scene.call.companions] == [False]


class TestMemory:
    async def test_nothing_lives_on_in_cycles(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        scene.start()
        scene.keys("4111")
        scene.hang_up()
        await scene.ended()
        await asyncio.sleep(0)
        gc.collect()
        gc.disable()
        try:
            alive = weakref.ref(scene.action), weakref.ref(scene.call)
            del scene
            await asyncio.sleep(0)
            assert [one() for one in alive] == [None, None]
        finally:
            gc.enable()
