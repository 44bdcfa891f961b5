"""An agent captures a payment on a live call: requests, keys, callbacks, the cover of the line, every end."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any, cast

import pytest

from engine.connectors.protocol import Capabilities
from engine.errors import LedgerError, MediaError
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.pay.results import Result
from engine.pay.submission import ConnectorAnswer, Outcome, PaymentMethod
from engine.payment_run import PaymentGuard
from engine.program import CallState
from engine.programs.capture import KEPT, tell_interrupted
from engine.programs.cover import RUN_ON_S, TAIL_S
from tests.support.agent_desk import ACCOUNT_SID, CALL_ID, CARD_ENTRIES, CONFIG, URL, VISA, AgentDesk
from tests.support.stepped_loop import on_stepped_loop, passes, settled

CALL_SID = f"CA{CALL_ID}"


def masked(desk: AgentDesk) -> bool:
    """Whether others hear no key of the call, recordings included."""
    switches = [on for what, on in desk.call.asked if what == "mask"]
    is_on = bool(switches) and switches[-1]
    assert is_on == (desk.call.recording_holds == 1)
    assert desk.call.recording_holds in (0, 1)
    return is_on


class TestCreate:
    @on_stepped_loop
    async def test_the_session_opens_and_its_callback_is_told(self) -> None:
        desk = AgentDesk()
        body = desk.create()
        sid = body["sid"]
        assert body == {
            "account_sid": ACCOUNT_SID,
            "call_sid": CALL_SID,
            "sid": sid,
            "date_created": "Sat, 21 Nov 2026 12:00:00 +0000",
            "date_updated": "Sat, 21 Nov 2026 12:00:00 +0000",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{CALL_SID}/Payments/{sid}.json",
        }
        await settled()
        assert desk.told == [
            {
                "AccountSid": ACCOUNT_SID,
                "CallSid": CALL_SID,
                "Sid": sid,
                "DateCreated": "2026-11-21T12:00:00.000Z",
                "PaymentConnector": "Default",
                "PaymentMethod": "credit-card",
                "ChargeAmount": "10.50",
            }
        ]
        (webhook,) = desk.outbox.put
        assert (webhook["session"], webhook["url"]) == (sid.removeprefix("PK"), URL)
        assert webhook["content_type"] == "application/x-www-form-urlencoded; charset=UTF-8"
        assert (webhook["signature"], webhook["key_env"]) == (SignatureKind.TWILIO, "TEST_TWILIO_TOKEN")
        assert (webhook["policy"], webhook["allow_insecure"]) == (WebhookPolicy.STATUS, False)
        assert desk.written == ["payment"]

    @on_stepped_loop
    async def test_the_mask_is_in_the_way_of_whoever_comes_to_hear_the_call(self) -> None:
        desk = AgentDesk(CONFIG + 'mask_fill = "silence"')
        desk.create()
        assert desk.call.asked == [("mask_line", "silence")]
        assert not masked(desk)

    @on_stepped_loop
    async def test_what_no_session_can_be_opened_for(self) -> None:
        desk = AgentDesk(connectors={"sandbox": Capabilities(), "other": Capabilities(operations=frozenset())})
        for state in (CallState.QUEUED, CallState.RINGING, CallState.ENDED):
            desk.new_call("d" * 32, state=state)
            assert desk.refusal(lambda: desk.create("d" * 32)) == (21220, 400)
        assert desk.refusal(lambda: desk.create("e" * 32)) == (20404, 404)
        assert desk.refusal(lambda: desk.create(PaymentConnector="nobody")) == (64004, 400)
        assert desk.refusal(lambda: desk.create(PaymentConnector="other")) == (64007, 400)
        assert desk.refusal(lambda: desk.create(PaymentMethod="ach-debit")) == (64013, 400)
        assert desk.refusal(lambda: desk.create(Timeout="0")) == (64020, 400)
        await settled()
        assert (desk.told, desk.call.companions, desk.call.guard.busy) == ([], [], False)

    @on_stepped_loop
    async def test_a_connector_of_its_own_name(self) -> None:
        desk = AgentDesk(connectors={"Default": Capabilities(), "sandbox": Capabilities(methods=frozenset())})
        desk.create(PaymentConnector="Default")

    @on_stepped_loop
    async def test_one_session_at_a_time(self) -> None:
        desk = AgentDesk()
        first = desk.create()
        assert desk.refusal(lambda: desk.create(IdempotencyKey="another")) == (64021, 409)
        desk.update(first, Status="cancel")
        second = desk.create(IdempotencyKey="another")
        assert second["sid"] != first["sid"]
        assert len(desk.call.companions) == 1

    @on_stepped_loop
    async def test_not_beside_a_payment_of_the_calls_own_program(self) -> None:
        desk = AgentDesk()
        desk.call.guard = PaymentGuard()
        desk.call.guard.enter("a <Pay> that runs")
        assert desk.refusal(desk.create) == (64021, 409)
        assert (desk.call.companions, desk.call.asked) == ([], [])

    @on_stepped_loop
    async def test_the_same_request_again_has_the_same_answer_while_the_session_is_open(self) -> None:
        desk = AgentDesk()
        first = desk.create()
        await passes(3)
        assert desk.create() == first
        assert desk.refusal(lambda: desk.create(Timeout="9")) == (64021, 409)  # another request under the same key
        await settled()
        assert len(desk.told) == 1
        desk.update(first, Status="cancel")
        assert desk.create()["sid"] != first["sid"]

    @on_stepped_loop
    async def test_two_calls_have_nothing_to_do_with_each_other(self) -> None:
        desk = AgentDesk()
        other = desk.new_call("d" * 32)
        first, second = desk.create(), desk.create("d" * 32)
        desk.update(second, Capture="expiration-date")
        desk.press("1228", call=other)
        await settled()
        assert not masked(desk)
        assert desk.told[-1]["CallSid"] == second["call_sid"]
        foreign = {**first, "call_sid": second["call_sid"]}
        assert desk.refusal(lambda: desk.update(foreign, Status="cancel")) == (20404, 404)


class TestCapture:
    @on_stepped_loop
    async def test_each_key_is_told_as_a_mask_and_the_values_add_up(self) -> None:
        desk = AgentDesk()
        session = desk.create(PostalCode="false")
        desk.update(session, Capture="payment-card-number")
        desk.press("41")
        desk.press(VISA[2:] + "#")
        desk.update(session, Capture="expiration-date")
        desk.press("1228")
        desk.update(session, Capture="security-code")
        desk.press("123")
        await settled()
        numbers = [
            told.get("PaymentCardNumber", "") for told in desk.told if told.get("Capture") == "payment-card-number"
        ]
        assert numbers == ["x" * count for count in range(17)] + ["x" * 12 + "1111"]
        partial = [told["PartialResult"] for told in desk.told[1:19]]
        assert partial == ["true"] * 17 + ["false"]
        last = desk.told[-1]
        assert (last["Capture"], last["Required"], last["ErrorType"]) == ("security-code", "", "")
        assert (last["PaymentCardNumber"], last["ExpirationDate"], last["SecurityCode"]) == (
            "x" * 12 + "1111",
            "1228",
            "xxx",
        )

    @on_stepped_loop
    async def test_the_answer_names_the_time_of_the_change(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        await passes(7)
        body = desk.update(session, Capture="postal-code")
        assert body["date_created"] == session["date_created"]
        assert body["date_updated"] == "Sat, 21 Nov 2026 12:00:07 +0000"
        await settled()
        assert desk.told[-1]["DateUpdated"] == "2026-11-21T12:00:07.000Z"

    @on_stepped_loop
    async def test_silence_after_a_key_ends_the_entry_and_uncovers_the_line(self) -> None:
        desk = AgentDesk()
        session = desk.create(Timeout="3")
        desk.update(session, Capture="postal-code")
        await passes(100)  # no limit for the first key
        desk.press("94105")
        await passes(2.9)
        assert desk.told[-1]["PartialResult"] == "true"
        await passes(0.2)
        assert (desk.told[-1]["PartialResult"], desk.told[-1]["PaymentCardPostalCode"]) == ("false", "94105")
        assert masked(desk)
        await passes(TAIL_S + 0.1)
        assert not masked(desk)

    @on_stepped_loop
    async def test_the_security_code_before_the_card_number(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="security-code")
        await settled()
        told = desk.told[-1]
        assert told["ErrorType"] == "invalid-card-number-security-code-capture-sequence"
        assert (told["Capture"], told["PartialResult"]) == ("security-code", "false")
        assert "security-code" in told["Required"].split(",")
        await passes(TAIL_S + 0.1)
        assert not masked(desk)

    @on_stepped_loop
    async def test_a_new_capture_takes_the_place_of_the_one_under_way(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="payment-card-number")
        desk.press("4111")
        desk.update(session, Capture="expiration-date", IdempotencyKey="k2")
        desk.press("1228")
        await settled()
        assert desk.told[-1]["ExpirationDate"] == "1228"
        assert "payment-card-number" in desk.told[-1]["Required"]
        assert "PaymentCardNumber" not in desk.told[-1]

    @pytest.mark.parametrize(("key", "keyed"), [("k", "941"), ("k2", "1")])
    def test_the_same_request_again_keeps_the_digits_and_another_one_begins_afresh(self, key: str, keyed: str) -> None:
        @on_stepped_loop
        async def check() -> None:
            desk = AgentDesk()
            session = desk.create()
            desk.update(session, Capture="postal-code")
            desk.press("94")
            desk.update(session, Capture="postal-code", IdempotencyKey=key)
            desk.press("1#")
            await settled()
            assert desk.told[-1]["PaymentCardPostalCode"] == keyed

        check()

    @on_stepped_loop
    async def test_what_is_captured_again_takes_the_place_of_the_earlier_value(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        for keys in ("94105#", "10001#"):
            desk.update(session, Capture="postal-code")
            desk.press(keys)
        await settled()
        assert desk.told[-1]["PaymentCardPostalCode"] == "10001"

    @on_stepped_loop
    async def test_entries_that_have_to_match(self) -> None:
        desk = AgentDesk()
        session = desk.create(RequireMatchingInputs="expiration-date", SecurityCode="false", PostalCode="false")
        desk.update(session, Capture="payment-card-number")
        desk.press(VISA + "#")
        for name, keys in (("expiration-date", "1228"), ("expiration-date-matcher", "1229")):
            desk.update(session, Capture=name, IdempotencyKey=name)
            desk.press(keys)
        await settled()
        assert desk.told[-1]["ErrorType"] == "input-matching-failed"
        assert desk.told[-1]["Required"] == "expiration-date,expiration-date-matcher"
        assert desk.refusal(lambda: desk.update(session, Status="complete")) == (64019, 400)
        for name in ("expiration-date", "expiration-date-matcher"):
            desk.update(session, Capture=name, IdempotencyKey=name)
            desk.press("1228")
        await settled()
        assert desk.told[-1]["Required"] == ""

    @on_stepped_loop
    async def test_what_a_session_cannot_capture(self) -> None:
        desk = AgentDesk()
        session = desk.create(PostalCode="false")
        for name in ("postal-code", "bank-account-number", "expiration-date-matcher"):
            assert desk.refusal(lambda name=name: desk.update(session, Capture=name)) == (64020, 400)  # type: ignore[misc]
        assert desk.refusal(lambda: desk.update(session)) == (64018, 400)
        desk.update(session, Status="cancel")
        assert desk.refusal(lambda: desk.update(session, Capture="expiration-date")) == (64021, 409)

    @on_stepped_loop
    async def test_a_bank_debit(self) -> None:
        desk = AgentDesk()
        session = desk.create(PaymentMethod="ach-debit", BankAccountType="consumer-savings")
        desk.update(session, Capture="bank-routing-number")
        desk.press("121181976")
        desk.update(session, Capture="bank-account-number")
        desk.press("8000600592#")
        desk.update(session, Status="complete")
        await desk.done()
        end = desk.result
        assert (end["Result"], end["BankAccountNumber"], end["BankRoutingNumber"]) == (
            "success",
            "*" * 8 + "92",
            "121181976",
        )
        assert end["BankAccountType"] == "consumer-savings"
        assert desk.charging.submissions[0].method is PaymentMethod.ACH_DEBIT


class TestCover:
    """Neither the agent nor a recording nor the application gets a key that is captured."""

    @on_stepped_loop
    async def test_it_is_on_before_the_answer_and_off_after_the_tail(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        assert not masked(desk)
        desk.update(session, Capture="security-code")
        assert masked(desk)
        await passes(TAIL_S + 0.1)
        assert not masked(desk)  # refused: before the card number
        desk.update(session, Capture="postal-code", IdempotencyKey="k2")
        assert masked(desk)
        await passes(500)
        assert masked(desk)
        desk.press("94105#")
        await passes(TAIL_S - 0.1)
        assert masked(desk)
        await passes(0.2)
        assert not masked(desk)

    @on_stepped_loop
    async def test_it_stays_while_the_last_key_is_held(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="expiration-date")
        desk.press("122")
        desk.press("8", ends=False)
        await passes(20)
        assert desk.told[-1]["PartialResult"] == "false"
        assert masked(desk)
        desk.let_go()
        await passes(RUN_ON_S + 0.1)
        assert not masked(desk)

    @on_stepped_loop
    async def test_a_key_by_info_has_no_end_to_wait_for(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="expiration-date")
        desk.press("1228", source="info", ends=False)
        await passes(RUN_ON_S + 0.1)
        assert not masked(desk)

    @on_stepped_loop
    async def test_who_keys_on_without_waiting_is_heard_by_nobody(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="expiration-date")
        for char in "1228" + "123" + "*":
            desk.press(char)
            await passes(0.8)
            assert masked(desk)
        assert desk.program.keys == []
        assert "Result" not in desk.told[-1]  # no capture runs any more: the star is ignored too (D-38)
        await passes(RUN_ON_S + 0.1)
        assert not masked(desk)

    @on_stepped_loop
    async def test_keys_go_to_the_program_while_nothing_is_captured(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.press("1*")
        desk.update(session, Capture="expiration-date")
        desk.press("1228")
        await passes(RUN_ON_S + 0.1)
        desk.press("2#")
        assert desk.program.keys == [1, 10, 2, 11]
        await settled()
        assert desk.told[-1]["ExpirationDate"] == "1228"

    @on_stepped_loop
    async def test_the_next_session_is_not_uncovered_by_the_end_of_the_one_before(self) -> None:
        desk = AgentDesk()
        first = desk.create()
        desk.update(first, Capture="postal-code")
        desk.update(first, Status="cancel")
        second = desk.create()
        desk.update(second, Capture="payment-card-number")
        await passes(60)
        assert masked(desk)

    @on_stepped_loop
    async def test_a_capture_that_cannot_be_covered_is_refused(self) -> None:
        desk = AgentDesk()
        session = desk.create()

        def fails(on: bool) -> None:
            raise MediaError("the media plane does not answer")

        cast(Any, desk.call).mask = fails
        before = len(desk.told)
        assert desk.refusal(lambda: desk.update(session, Capture="payment-card-number")) == (64002, 503)
        desk.press("4111")
        await settled()
        assert desk.program.keys == [4, 1, 1, 1]
        assert not [told for told in desk.told[before:] if "Capture" in told]

    @on_stepped_loop
    async def test_nothing_is_let_out_when_the_call_ends(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="payment-card-number")
        desk.press("4111")
        desk.hang_up()
        await passes(60)
        assert masked(desk)


class TestComplete:
    @on_stepped_loop
    async def test_a_charge(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.capture_all(session)
        desk.update(session, Status="complete", IdempotencyKey="k9")
        await desk.done()
        end = desk.result
        assert (end["Result"], end["PaymentConfirmationCode"]) == ("success", "ch_test")
        assert (end["PaymentToken"], end["ProfileId"], end["ChargeAmount"]) == ("", "", "10.50")
        assert (end["PaymentCardNumber"], end["PaymentCardPostalCode"]) == ("x" * 12 + "1111", "94105")
        (submission,) = desk.charging.submissions
        assert (submission.amount, submission.currency) == ("10.50", "USD")
        assert desk.written == ["payment", "attempt", "result"]
        row = desk.ledger.payments[session["sid"].removeprefix("PK")]
        assert (row["result"], row["form"], row["connector"]) == ("success", "payments", "sandbox")
        assert desk.ledger.told_of == [session["sid"].removeprefix("PK")]

    @on_stepped_loop
    async def test_something_missing_is_named_and_changes_nothing(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="payment-card-number")
        desk.press(VISA + "#")
        with pytest.raises(Exception, match="expiration-date, security-code, postal-code") as caught:
            desk.update(session, Status="complete", StatusCallback="https://elsewhere.example/")
        assert (caught.value.code, caught.value.status) == (64019, 400)  # type: ignore[attr-defined]
        for name, keys in list(CARD_ENTRIES.items())[1:]:
            desk.update(session, Capture=name)
            desk.press(keys)
        desk.update(session, Status="complete")
        await desk.done()
        assert desk.result["Result"] == "success"
        assert {webhook["url"] for webhook in desk.outbox.put} == {URL}

    @on_stepped_loop
    async def test_twice_is_one_charge_and_the_same_answer(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.capture_all(session)
        desk.charging.gate.clear()
        first = desk.update(session, Status="complete")
        assert desk.update(session, Status="complete") == first
        assert desk.refusal(lambda: desk.update(session, Capture="postal-code")) == (64021, 409)
        assert desk.refusal(lambda: desk.update(session, Status="cancel")) == (64021, 409)
        await settled()
        desk.charging.gate.set()
        await desk.done()
        assert desk.update(session, Status="complete")["sid"] == session["sid"]
        assert desk.refusal(lambda: desk.update(session, Status="cancel")) == (64021, 409)
        await desk.done()
        assert len(desk.charging.submissions) == 1
        assert desk.result["Result"] == "success"

    @on_stepped_loop
    async def test_a_refusal_of_the_gateway(self) -> None:
        desk = AgentDesk()
        desk.charging.answer = ConnectorAnswer(outcome=Outcome.DECLINED, error_code="51", error_message="no funds")
        session = desk.create()
        desk.capture_all(session)
        desk.update(session, Status="complete")
        await desk.done()
        end = desk.result
        assert (end["Result"], end["PayErrorCode"], end["ConnectorError"]) == ("payment-connector-error", "64008", "51")
        assert (end["PaymentError"], end["PaymentConfirmationCode"]) == ("no funds", "")
        assert desk.create(IdempotencyKey="again")["sid"] != session["sid"]

    @on_stepped_loop
    async def test_each_update_may_name_another_callback(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.capture_all(session)
        desk.update(session, Status="complete", StatusCallback="https://app.example/other")
        await desk.done()
        assert desk.outbox.put[-1]["url"] == "https://app.example/other"
        assert {webhook["url"] for webhook in desk.outbox.put[:-1]} == {URL}

    @on_stepped_loop
    async def test_an_update_that_is_refused_names_no_other_callback(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="postal-code")
        elsewhere = "https://elsewhere.example/"
        ask = [{"Status": "complete"}, {"Capture": "bank-account-number"}]
        for values in ask:
            assert desk.refusal(lambda values=values: desk.update(session, StatusCallback=elsewhere, **values))  # type: ignore[misc]
        desk.press("94105#")
        await settled()
        assert desk.told[-1]["PaymentCardPostalCode"] == "94105"
        assert {webhook["url"] for webhook in desk.outbox.put} == {URL}

    @on_stepped_loop
    async def test_without_the_ledger_nothing_is_charged_and_the_application_learns_of_it(self) -> None:
        desk = AgentDesk()
        desk.ledger.error = LedgerError("no space left")
        session = desk.create()
        await desk.done()
        assert desk.result["Result"] == "internal-error"
        assert desk.refusal(lambda: desk.update(session, Status="complete")) == (64021, 409)
        assert not desk.call.guard.busy


class TestConfirmation:
    @on_stepped_loop
    async def test_the_caller_hears_the_last_four_and_presses_1(self) -> None:
        desk = AgentDesk()
        session = desk.create(Confirmation="true")
        desk.capture_all(session)
        await passes(RUN_ON_S + 0.1)
        desk.update(session, Status="complete")
        await settled()
        assert desk.call.heard == [("confirm-last-four", "press-1-to-confirm")]
        assert desk.prompts.said == [("confirm-last-four", "1111")]
        assert desk.charging.submissions == []
        desk.prompt_ends()
        desk.press("1")
        await desk.done()
        assert desk.result["Result"] == "success"
        assert desk.program.keys == []

    @on_stepped_loop
    async def test_2_cancels(self) -> None:
        desk = AgentDesk()
        session = desk.create(Confirmation="true")
        desk.capture_all(session)
        desk.update(session, Status="complete")
        desk.press("2")
        await desk.done()
        assert desk.result["Result"] == "canceled"
        assert desk.charging.submissions == []
        # The answer was lost on its way, and the application asks again: the same one (D-35).
        assert desk.update(session, Status="complete")["sid"] == session["sid"]

    @on_stepped_loop
    async def test_three_readings_without_a_key_cancel(self) -> None:
        desk = AgentDesk()
        session = desk.create(Confirmation="true")
        desk.capture_all(session)
        desk.update(session, Status="complete")
        for _ in range(3):
            await settled()
            desk.prompt_ends()
            await passes(5.1)
        await desk.done()
        assert len(desk.call.heard) == 3
        assert desk.result["Result"] == "canceled"

    @on_stepped_loop
    async def test_the_agent_takes_it_back_and_captures_again(self) -> None:
        desk = AgentDesk()
        session = desk.create(Confirmation="true")
        desk.capture_all(session)
        desk.update(session, Status="complete")
        desk.update(session, Capture="postal-code", IdempotencyKey="again")
        desk.press("10001#")
        desk.update(session, Status="complete")
        desk.press("1")
        await desk.done()
        assert desk.result["PaymentCardPostalCode"] == "10001"

    @on_stepped_loop
    async def test_a_completion_that_was_taken_back_is_none(self) -> None:
        desk = AgentDesk()
        session = desk.create(Confirmation="true")
        desk.capture_all(session)
        desk.update(session, Status="complete")
        desk.update(session, Capture="postal-code", IdempotencyKey="again")
        desk.press("*")
        assert desk.refusal(lambda: desk.update(session, Status="complete")) == (64021, 409)


class TestEnds:
    @on_stepped_loop
    async def test_cancel(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="payment-card-number")
        desk.press("4111")
        desk.update(session, Status="cancel")
        assert desk.update(session, Status="cancel")["sid"] == session["sid"]
        assert desk.refusal(lambda: desk.update(session, Status="complete")) == (64021, 409)
        await desk.done()
        end = desk.result
        assert (end["Result"], end["PaymentConfirmationCode"]) == ("canceled", "")
        assert "PaymentCardNumber" not in end
        await passes(RUN_ON_S + TAIL_S)
        assert not masked(desk)

    @on_stepped_loop
    async def test_the_star_while_a_capture_runs(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.press("*")
        desk.update(session, Capture="payment-card-number")
        desk.press("41*")
        await desk.done()
        assert desk.result["Result"] == "caller-interrupted-with-star"
        assert desk.program.keys == [10]
        assert not desk.call.guard.busy

    @pytest.mark.parametrize("phase", ["open", "capturing", "keying", "captured", "confirming"])
    def test_the_caller_hangs_up(self, phase: str) -> None:
        @on_stepped_loop
        async def check() -> None:
            desk = AgentDesk()
            session = desk.create(Confirmation="true")
            match phase:
                case "capturing":
                    desk.update(session, Capture="payment-card-number")
                case "keying":
                    desk.update(session, Capture="payment-card-number")
                    desk.press("4111")
                case "captured" | "confirming":
                    desk.capture_all(session)
            if phase == "confirming":
                desk.update(session, Status="complete")
            desk.hang_up()
            desk.hang_up()
            await desk.done()
            assert desk.result["Result"] == "caller-hung-up"
            assert desk.charging.submissions == []
            assert desk.refusal(lambda: desk.update(session, Capture="postal-code")) == (64021, 409)
            assert desk.refusal(desk.create) == (21220, 400)

        check()

    @on_stepped_loop
    async def test_the_caller_hangs_up_while_the_gateway_works_and_has_paid(self) -> None:
        desk = AgentDesk()
        desk.charging.gate.clear()
        session = desk.create()
        desk.capture_all(session)
        desk.update(session, Status="complete")
        await settled()
        desk.hang_up()
        await settled()
        assert not [told for told in desk.told if "Result" in told]
        desk.charging.gate.set()
        await desk.done()
        assert desk.result["Result"] == "success"
        assert desk.update(session, Status="complete")["sid"] == session["sid"]

    @on_stepped_loop
    async def test_a_call_that_is_gone_takes_its_sessions_with_it(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.update(session, Capture="payment-card-number")
        desk.hang_up()
        await desk.done()
        of_call, of_companion = weakref.ref(desk.call), weakref.ref(desk.call.companions[0])
        del desk.calls[CALL_ID], desk.call
        assert desk.refusal(lambda: desk.update(session, Status="complete")) == (20404, 404)
        gc.disable()  # nothing of a call waits for the collector
        try:
            await settled()
            assert (of_call(), of_companion()) == (None, None)
        finally:
            gc.enable()

    @on_stepped_loop
    async def test_a_call_remembers_only_so_many_sessions(self) -> None:
        desk = AgentDesk()
        sessions = []
        for _ in range(KEPT + 3):
            sessions.append(desk.create())
            desk.update(sessions[-1], Status="cancel")
            await settled()
        assert desk.refusal(lambda: desk.update(sessions[2], Status="cancel")) == (20404, 404)
        assert desk.update(sessions[3], Status="cancel")["sid"] == sessions[3]["sid"]
        assert len([told for told in desk.told if "Result" in told]) == KEPT + 3
        assert len(desk.call.companions) == 1


class TestTelling:
    @on_stepped_loop
    async def test_what_is_kept_for_after_a_crash_is_what_tells_the_end_then(self) -> None:
        desk = AgentDesk(CONFIG + "allow_insecure_callbacks = true")
        session = desk.create(StatusCallback="http://127.0.0.1:5000/p", ChargeAmount="0", TokenType="one-time")
        await settled()
        payment_id = session["sid"].removeprefix("PK")
        interrupted = InterruptedPayment(
            payment_id=payment_id,
            call_id=CALL_ID,
            form="payments",
            method="credit-card",
            result="internal-error",
            error_code="interrupted",
            outcome=None,
            card_number="",
            card_type="",
            charge_id="",
            token_id="",
            reply_to=desk.ledger.payments[payment_id]["reply_to"],
            last_webhook=desk.outbox.put[-1]["body"],
        )
        await tell_interrupted(interrupted, cast(Any, desk.outbox))
        assert desk.outbox.put[-1]["url"] == "http://127.0.0.1:5000/p"
        assert desk.outbox.put[-1]["allow_insecure"] is True
        about, end = desk.told
        assert about.items() <= end.items()
        assert (end["Result"], end["TokenType"]) == ("internal-error", "one-time")

    @on_stepped_loop
    async def test_no_digit_that_is_masked_leaves_the_session(self) -> None:
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(f"{record.getMessage()} {record.__dict__}")  # type: ignore[method-assign]
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            desk = AgentDesk()
            session = desk.create(RequireMatchingInputs="payment-card-number,security-code")
            for name, keys in (
                ("payment-card-number", VISA + "#"),
                ("payment-card-number-matcher", VISA + "#"),
                ("security-code", "739"),
                ("security-code-matcher", "739"),
                ("expiration-date", "1228"),
                ("postal-code", "94105#"),
            ):
                desk.update(session, Capture=name, IdempotencyKey=name)
                desk.press(keys)
            desk.update(session, Status="complete")
            await desk.done()
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
        assert desk.result["Result"] == "success"
        for text in (
            *lines,
            *(str(told) for told in desk.told),
            repr(desk.sessions.__dict__),
            repr(desk.call.companions),
        ):
            assert VISA[:6] not in text
            assert VISA[2:14] not in text
            assert "'739'" not in text

    @on_stepped_loop
    async def test_what_is_owed_is_kept_with_the_result_until_it_is_told(self) -> None:
        desk = AgentDesk()
        session = desk.create()
        desk.capture_all(session)
        desk.outbox.error = LedgerError("locked")
        desk.update(session, Status="complete", StatusCallback="https://app.example/other")
        await desk.done()
        row = desk.ledger.payments[session["sid"].removeprefix("PK")]
        assert row["result"] == str(Result.SUCCESS)
        assert (row["reply_to"]["kind"], row["reply_to"]["url"]) == ("payments", "https://app.example/other")
        assert desk.ledger.told_of == []
