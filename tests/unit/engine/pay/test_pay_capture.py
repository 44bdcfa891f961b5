"""The capture machine: an agent chooses what is keyed, sees masks, and completes or cancels (`dialects.md` §5)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from engine.pay.capture import CONFIRM_WAIT_S, READINGS, CaptureMachine, Refusal, RefusalReason
from engine.pay.capture_states import State
from engine.pay.commands import Command, EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import Step
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import DefaultPrompt
from engine.pay.results import PayResult, PayStatus, Result
from engine.pay.submission import ConnectorAnswer, Outcome, Submission

VISA, AMEX, MASTERCARD = "4111111111111111", "378282246310005", "5555555555554444"
ROUTING, ACCOUNT = "021000021", "8000600512"
CODES = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11, "A": 12}
PAID = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_test")
DECLINED = ConnectorAnswer(outcome=Outcome.DECLINED, error_code="51", error_message="no funds")
CARD_STEPS = ("payment-card-number", "expiration-date", "security-code", "postal-code")
DAY_S = 86_400.0


class Session:
    """A machine with its agent, caller, connector and clock, and all that came out of it."""

    def __init__(self, **order: Any) -> None:
        self.now = 1000.0
        self.log: list[Command] = []
        self.n_ids = 0
        self.machine = CaptureMachine(
            PayOrder(**{"amount": "10.50", "mask_char": "x", **order}),
            today=lambda: date(2026, 11, 21),
            transaction_id=self._id,
        )
        self.machine.start(self.now)
        self.take()

    def _id(self) -> str:
        self.n_ids += 1
        return f"tx-{self.n_ids}"

    def take(self) -> None:
        while (command := self.machine.next_command()) is not None:
            self.log.append(command)

    def capture(self, name: str) -> Refusal | None:
        refusal = self.machine.capture(name, self.now)
        self.take()
        return refusal

    def keys(self, text: str, *, every_s: float = 0.25) -> None:
        for char in text:
            self.now += every_s
            self.machine.digit(CODES[char], self.now)
            self.take()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.machine.next_timer()) is not None and due <= end:
            self.now = due
            self.machine.handle_timer(due)
            self.take()
        self.now = end

    def key(self, name: str, entry: str) -> PayStatus:
        """Capture a step, key an entry and return the status that ended it."""
        assert self.capture(name) is None
        self.keys(entry)
        return self.status

    def key_all(self) -> None:
        for name, entry in zip(CARD_STEPS, (VISA + "#", "1228", "123", "94105#"), strict=True):
            self.key(name, entry)

    def complete(self) -> Refusal | None:
        refusal = self.machine.complete(self.now)
        self.take()
        return refusal

    def cancel(self) -> Refusal | None:
        refusal = self.machine.cancel(self.now)
        self.take()
        return refusal

    def answer(self, answer: ConnectorAnswer = PAID) -> None:
        self.machine.connector_answered(answer, self.now)
        self.take()

    def tell(self, what: str) -> None:
        getattr(self.machine, what)(self.now)
        self.take()

    def prompt_ends(self) -> None:
        self.machine.prompt_finished(self.plays[-1].token, self.now)
        self.take()

    @property
    def statuses(self) -> list[PayStatus]:
        return [command.status for command in self.log if isinstance(command, EmitStatus)]

    @property
    def status(self) -> PayStatus:
        return self.statuses[-1]

    @property
    def plays(self) -> list[Play]:
        return [command for command in self.log if isinstance(command, Play)]

    @property
    def submissions(self) -> list[Submission]:
        return [command.submission for command in self.log if isinstance(command, Submit)]

    @property
    def result(self) -> PayResult:
        assert sum(isinstance(command, Finish) for command in self.log) == 1
        assert isinstance(self.log[-1], Finish)
        return self.log[-1].result

    def is_in(self, state: State) -> bool:
        return self.machine.state is state


class TestCapture:
    def test_nothing_is_told_of_a_session_that_was_opened_and_everything_is_required(self) -> None:
        session = Session()
        assert session.log == []
        assert session.machine.required == CARD_STEPS

    def test_steps_come_in_any_order_and_values_accumulate(self) -> None:
        session = Session()
        session.key("postal-code", "94105#")
        session.key("payment-card-number", VISA + "#")
        session.key("expiration-date", "1228")
        last = session.key("security-code", "123")
        assert last.required == ()
        assert (last.card_number, last.card_type, last.security_code) == ("x" * 12 + "1111", "visa", "xxx")
        assert (last.expiration_date, last.postal_code) == ("1228", "94105")
        assert session.complete() is None
        (submission,) = session.submissions
        assert submission.card_number is not None
        assert bytes(submission.card_number.view()) == VISA.encode()
        session.answer()
        assert (session.result.result, session.result.charge_id) == (Result.SUCCESS, "ch_test")

    def test_every_key_is_told_as_one_mask_and_the_entry_with_its_last_four_only_at_its_end(self) -> None:
        session = Session()
        session.key("payment-card-number", AMEX)
        assert [status.card_number for status in session.statuses[:-1]] == ["x" * n for n in range(15)]
        assert all(status.partial and not status.last_four and not status.card_type for status in session.statuses[:-1])
        assert not session.status.partial
        assert (session.status.card_number, session.status.card_type) == ("x" * 11 + "0005", "amex")

    @pytest.mark.parametrize(
        ("name", "field", "entry"),
        [
            ("expiration-date", "expiration_date", "1228"),
            ("postal-code", "postal_code", "94105#"),
        ],
    )
    def test_even_what_is_shown_in_clear_in_the_end_is_masked_while_it_is_keyed(
        self, name: str, field: str, entry: str
    ) -> None:
        session = Session()
        session.key(name, entry)
        assert [getattr(status, field) for status in session.statuses] == [
            *("x" * n for n in range(len(session.statuses) - 1)),
            entry.rstrip("#"),
        ]

    def test_steps_stay_required_until_their_entry_is_right(self) -> None:
        session = Session()
        session.key("payment-card-number", VISA[:-1] + "2#")
        assert (session.status.error_type, session.status.partial) == ("invalid-card-number", False)
        assert session.status.card_number == ""
        assert session.status.required == CARD_STEPS
        session.key("payment-card-number", VISA + "#")
        assert session.status.error_type == ""
        assert session.machine.required == CARD_STEPS[1:]

    @pytest.mark.parametrize(
        ("name", "entry", "error"),
        [
            ("payment-card-number", "#", "timeout"),
            ("payment-card-number", "6011111111111117#", "invalid-card-type"),
            ("payment-card-number", "4" * 25 + "#", "invalid-card-number"),
            ("expiration-date", "1326", "invalid-date"),
            ("expiration-date", "1026", "invalid-date"),
            ("expiration-date", "12#", "invalid-date"),
            ("postal-code", "123456789012#", "invalid-postal-code"),
        ],
    )
    def test_wrong_entries_name_their_error(self, name: str, entry: str, error: str) -> None:
        status = Session().key(name, entry)
        assert (status.error_type, status.partial) == (error, False)
        assert name in status.required

    def test_a_capture_that_failed_is_over_and_the_agent_asks_again(self) -> None:
        session = Session()
        session.key("expiration-date", "1326")
        n_statuses = len(session.statuses)
        session.keys("1228")
        assert session.is_in(State.OPEN)
        assert len(session.statuses) == n_statuses
        assert session.key("expiration-date", "1228").expiration_date == "1228"

    def test_a_capture_of_the_step_that_is_being_keyed_keeps_its_digits_or_begins_afresh(self) -> None:
        for afresh, shown in ((False, "94105"), (True, "105")):
            session = Session()
            session.capture("postal-code")
            session.keys("94")
            assert session.machine.capture("postal-code", session.now, afresh=afresh) is None
            session.take()
            assert session.status.postal_code == ("" if afresh else "xx")
            session.keys("105#")
            assert session.status.postal_code == shown

    def test_silence_counts_between_keys_and_never_before_the_first(self) -> None:
        session = Session(timeout_s=5.0)
        session.capture("payment-card-number")
        session.wait(DAY_S)
        assert session.is_in(State.ARMED)
        session.keys(VISA)
        session.wait(4.9)
        assert session.is_in(State.KEYING)
        session.wait(0.2)
        assert session.is_in(State.OPEN)
        assert session.status.last_four == "1111"

    def test_keys_count_only_while_a_capture_runs(self) -> None:
        session = Session()
        session.keys(VISA + "*#")
        assert session.log == []
        session.key("expiration-date", "1228")
        session.keys("*")
        assert session.is_in(State.OPEN)
        session.capture("postal-code")
        session.keys("A")
        assert session.is_in(State.ARMED)
        session.keys("9*")
        assert session.result.result is Result.CALLER_INTERRUPTED_WITH_STAR

    def test_pound_after_an_entry_that_was_complete_already_does_not_end_the_next_one(self) -> None:
        session = Session()
        session.key("expiration-date", "1228")
        session.capture("postal-code")
        session.keys("#")
        assert session.is_in(State.ARMED)
        session.keys("94105#")
        assert session.status.postal_code == "94105"

    def test_pound_between_two_captures_belongs_to_the_first(self) -> None:
        session = Session()
        session.key("expiration-date", "1228#")
        session.capture("postal-code")
        session.keys("#")
        assert session.status.error_type == "timeout"


class TestReplacing:
    def test_another_capture_replaces_the_one_under_way_and_its_entry(self) -> None:
        session = Session()
        session.capture("payment-card-number")
        session.keys(VISA)
        assert session.key("expiration-date", "1228").required == ("payment-card-number", *CARD_STEPS[2:])
        session.wait(DAY_S)
        assert session.status.card_number == ""

    def test_the_step_that_still_runs_keeps_its_digits(self) -> None:
        session = Session()
        session.capture("payment-card-number")
        session.keys(VISA[:8])
        assert session.capture("payment-card-number") is None
        assert (session.status.card_number, session.status.partial) == ("x" * 8, True)
        session.keys(VISA[8:] + "#")
        assert session.status.last_four == "1111"

    def test_capturing_again_overwrites(self) -> None:
        session = Session()
        session.key_all()
        session.key("payment-card-number", MASTERCARD)
        assert (session.status.card_type, session.status.required) == ("mastercard", ())
        assert session.status.security_code == "xxx"
        session.complete()
        (submission,) = session.submissions
        assert submission.card_number is not None
        assert bytes(submission.card_number.view()) == MASTERCARD.encode()

    def test_what_is_captured_again_is_not_charged_as_it_was(self) -> None:
        session = Session()
        session.key_all()
        session.capture("expiration-date")
        assert session.complete() == Refusal(RefusalReason.INCOMPLETE, ("expiration-date",))
        session.keys("1326")
        assert session.status.required == ("expiration-date",)
        assert session.complete() == Refusal(RefusalReason.INCOMPLETE, ("expiration-date",))
        assert not session.submissions

    def test_the_code_cannot_come_before_the_card(self) -> None:
        session = Session()
        session.capture("expiration-date")
        assert session.capture("security-code") is None
        assert session.status.error_type == "invalid-card-number-security-code-capture-sequence"
        assert (session.status.step, session.status.partial) == (Step.SECURITY_CODE, False)
        assert session.status.required == CARD_STEPS
        assert session.is_in(State.OPEN)

    def test_a_card_of_another_code_length_makes_the_code_required_again(self) -> None:
        session = Session()
        session.key_all()
        session.key("payment-card-number", AMEX)
        assert session.status.required == ("security-code",)
        assert session.status.security_code == ""
        assert session.key("security-code", "1234").required == ()


class TestMatching:
    STEPS = ("payment-card-number", "payment-card-number-matcher", "expiration-date", "security-code")

    def session(self) -> Session:
        return Session(matching=frozenset({Step.CARD_NUMBER}), postal_code=False)

    def test_the_second_entry_is_required_until_it_is_the_same(self) -> None:
        session = self.session()
        assert session.machine.required == self.STEPS
        assert session.key("payment-card-number", VISA + "#").required == self.STEPS[1:]
        status = session.key("payment-card-number-matcher", VISA + "#")
        assert (status.matching, status.required, status.error_type) == (True, self.STEPS[2:], "")
        assert status.last_four == "1111"

    @pytest.mark.parametrize("second", [MASTERCARD, VISA + "1#", VISA[:-1] + "#"])
    def test_two_that_differ_are_both_captured_again(self, second: str) -> None:
        session = self.session()
        session.key("payment-card-number", VISA + "#")
        status = session.key("payment-card-number-matcher", second)
        assert (status.error_type, status.required, status.card_number) == ("input-matching-failed", self.STEPS, "")
        session.key("payment-card-number", VISA + "#")
        assert session.key("payment-card-number-matcher", VISA + "#").required == self.STEPS[2:]

    def test_a_longer_second_entry_that_begins_like_the_first_does_not_match(self) -> None:
        session = Session(matching=frozenset({Step.SECURITY_CODE}))
        session.key("payment-card-number", AMEX)
        session.key("security-code", "1234")
        # Keys in one burst: the entry ends by its length, so the fifth key is nobody's.
        assert session.key("security-code-matcher", "12345").error_type == ""
        session = Session(matching=frozenset({Step.POSTAL_CODE}))
        session.key("postal-code", "12345678901#")
        assert session.key("postal-code-matcher", "123456789012#").error_type == "input-matching-failed"

    def test_the_second_entry_may_come_first(self) -> None:
        session = self.session()
        assert session.key("payment-card-number-matcher", VISA + "#").required == (
            "payment-card-number",
            *self.STEPS[2:],
        )
        assert session.key("payment-card-number", VISA + "#").required == self.STEPS[2:]
        session = self.session()
        session.key("payment-card-number-matcher", VISA + "#")
        assert session.key("payment-card-number", MASTERCARD).error_type == "input-matching-failed"
        assert session.status.required == self.STEPS

    def test_an_empty_second_entry_leaves_the_first(self) -> None:
        session = self.session()
        session.key("payment-card-number", VISA + "#")
        assert session.key("payment-card-number-matcher", "#").error_type == "timeout"
        assert session.status.required == self.STEPS[1:]

    def test_capturing_the_first_again_makes_the_second_required_again(self) -> None:
        session = self.session()
        session.key("payment-card-number", VISA + "#")
        session.key("payment-card-number-matcher", VISA + "#")
        assert session.key("payment-card-number", MASTERCARD).required == self.STEPS[1:]

    def test_a_bank_account_is_keyed_twice_and_shown_with_its_last_two(self) -> None:
        session = Session(method="ach-debit", matching=frozenset({Step.ACCOUNT_NUMBER}))
        session.key("bank-routing-number", ROUTING)
        session.key("bank-account-number", ACCOUNT + "#")
        status = session.key("bank-account-number-matcher", ACCOUNT + "#")
        assert (status.required, status.account_number, status.routing_number) == ((), "********12", ROUTING)
        session.complete()
        (submission,) = session.submissions
        assert submission.account_number is not None
        assert bytes(submission.account_number.view()) == ACCOUNT.encode()


class TestAgent:
    def test_completing_with_something_missing_is_refused_and_nothing_is_lost(self) -> None:
        session = Session()
        session.key("payment-card-number", VISA + "#")
        before = session.status
        assert session.complete() == Refusal(RefusalReason.INCOMPLETE, CARD_STEPS[1:])
        assert session.status is before
        session.key("expiration-date", "1228")
        session.key("security-code", "123")
        session.key("postal-code", "94105#")
        assert session.complete() is None

    def test_completing_twice_charges_once(self) -> None:
        session = Session()
        session.key_all()
        assert session.complete() is None
        assert session.complete() is None
        session.answer()
        assert session.complete() is None
        assert len(session.submissions) == 1
        assert session.result.attempts == 1

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("payment-processing", RefusalReason.NO_SUCH_STEP),
            ("card", RefusalReason.NO_SUCH_STEP),
            ("", RefusalReason.NO_SUCH_STEP),
            ("-matcher", RefusalReason.NO_SUCH_STEP),
            ("payment-card-number-matcher-matcher", RefusalReason.NO_SUCH_STEP),
            ("payment-card-number-matcher", RefusalReason.NOT_WANTED),
            ("bank-account-number", RefusalReason.NOT_WANTED),
        ],
    )
    def test_captures_that_make_no_sense_are_refused_and_change_nothing(self, name: str, reason: RefusalReason) -> None:
        session = Session()
        session.capture("payment-card-number")
        session.keys("4")
        n_statuses = len(session.statuses)
        assert session.capture(name) == Refusal(reason)
        assert session.is_in(State.KEYING)
        assert len(session.statuses) == n_statuses

    def test_a_session_that_is_not_open_refuses(self) -> None:
        machine = CaptureMachine(PayOrder(), today=lambda: date(2026, 11, 21), transaction_id=lambda: "tx")
        assert machine.capture("expiration-date", 0.0) == Refusal(RefusalReason.NOT_OPEN)
        assert machine.complete(0.0) == Refusal(RefusalReason.NOT_OPEN)
        session = Session()
        assert session.cancel() is None
        for refusal in (session.capture("expiration-date"), session.complete(), session.cancel()):
            assert refusal == Refusal(RefusalReason.NOT_OPEN)

    def test_cancel_ends_at_once_and_the_connector_is_not_called(self) -> None:
        session = Session()
        session.key_all()
        assert session.cancel() is None
        assert (session.result.result, session.result.outcome) == (Result.CANCELED, None)
        assert session.result.card_number == "x" * 12 + "1111"
        assert not session.submissions

    def test_nothing_can_be_captured_or_canceled_while_the_connector_works(self) -> None:
        session = Session()
        session.key_all()
        session.complete()
        assert session.capture("expiration-date") == Refusal(RefusalReason.SUBMITTED)
        assert session.cancel() == Refusal(RefusalReason.SUBMITTED)
        session.keys("*12#")
        assert session.is_in(State.SUBMITTED)


class TestConfirmation:
    def session(self) -> Session:
        session = Session(confirm=True)
        session.key_all()
        assert session.complete() is None
        return session

    def test_the_last_four_are_read_back_and_1_confirms(self) -> None:
        session = self.session()
        (play,) = session.plays
        assert play.actions[0] == DefaultPrompt("confirm-last-four", "1111")
        assert not session.submissions
        session.keys("1")
        assert isinstance(session.log[-2], StopPlaying)
        assert len(session.submissions) == 1

    def test_of_an_account_the_last_two_are_read_back(self) -> None:
        session = Session(confirm=True, method="ach-debit")
        session.key("bank-routing-number", ROUTING)
        session.key("bank-account-number", ACCOUNT + "#")
        session.complete()
        assert session.plays[0].actions[0] == DefaultPrompt("confirm-last-four", "12")

    def test_2_cancels(self) -> None:
        session = self.session()
        session.prompt_ends()
        session.keys("2")
        assert session.result.result is Result.CANCELED
        assert not session.submissions

    def test_other_keys_say_nothing(self) -> None:
        session = self.session()
        session.keys("0345678*#9")
        session.prompt_ends()
        session.keys("0345678*#9")
        assert session.is_in(State.CONFIRMING)
        assert len(session.plays) == 1

    def test_after_three_readings_without_a_key_it_is_canceled(self) -> None:
        session = self.session()
        for reading in range(1, READINGS + 1):
            assert len(session.plays) == reading
            session.prompt_ends()
            session.wait(CONFIRM_WAIT_S)
        assert session.result.result is Result.CANCELED
        assert not session.submissions

    def test_a_prompt_that_is_never_reported_finished_hangs_nothing(self) -> None:
        session = self.session()
        session.wait(DAY_S)
        assert session.result.result is Result.CANCELED

    def test_the_agent_may_think_again_and_complete_again(self) -> None:
        session = self.session()
        assert session.key("expiration-date", "1229").required == ()
        assert isinstance(session.log[session.log.index(session.plays[0]) + 1], StopPlaying)
        assert not session.submissions
        assert session.complete() is None
        session.keys("1")
        assert session.submissions[0].expiry_year == "29"

    def test_completing_while_the_caller_is_asked_changes_nothing(self) -> None:
        session = self.session()
        assert session.complete() is None
        assert len(session.plays) == 1


class TestEnds:
    @pytest.mark.parametrize(
        ("what", "result"),
        [
            ("hang_up", Result.CALLER_HUNG_UP),
            ("stop", Result.RELAY_PAY_STOP),
            ("fault", Result.INTERNAL_ERROR),
        ],
    )
    def test_before_the_connector_is_asked_it_ends_at_once(self, what: str, result: Result) -> None:
        session = Session()
        session.capture("payment-card-number")
        session.keys(VISA)
        session.tell(what)
        assert session.result.result is result
        assert (session.result.hung_up, session.result.stopped) == (what == "hang_up", what == "stop")

    @pytest.mark.parametrize("what", ["hang_up", "stop", "fault"])
    @pytest.mark.parametrize("answer", [PAID, DECLINED])
    def test_afterwards_the_answer_decides(self, what: str, answer: ConnectorAnswer) -> None:
        session = Session()
        session.key_all()
        session.complete()
        session.tell(what)
        assert session.is_in(State.SUBMITTED)
        session.answer(answer)
        if answer is PAID:
            assert session.result.result is Result.SUCCESS
        else:
            fault = what == "fault"
            assert session.result.result is (Result.INTERNAL_ERROR if fault else Result.PAYMENT_CONNECTOR_ERROR)
        assert session.result.outcome is answer.outcome

    def test_a_decline_ends_the_session_with_what_the_connector_said(self) -> None:
        session = Session()
        session.key_all()
        session.complete()
        session.answer(DECLINED)
        assert session.result.result is Result.PAYMENT_CONNECTOR_ERROR
        assert (session.result.payment_error, session.result.payment_error_code) == ("no funds", "51")

    def test_an_answer_to_something_else_is_passed_over(self) -> None:
        session = Session()
        session.key_all()
        session.complete()
        session.machine.connector_answered(PAID, session.now, transaction_id="tx-99")
        session.take()
        assert session.is_in(State.SUBMITTED)

    def test_what_was_submitted_is_wiped_with_the_answer_and_not_before(self) -> None:
        session = Session(matching=frozenset({Step.CARD_NUMBER, Step.SECURITY_CODE}))
        for name, entry in (("payment-card-number", VISA + "#"), ("security-code", "123")):
            session.key(name, entry)
            session.key(name + "-matcher", entry)
        session.key("expiration-date", "1228")
        session.key("postal-code", "94105#")
        copies = list(session.machine._twice.values())
        assert len(copies) == 4
        assert session.complete() is None
        assert all(copy.wiped for copy in copies)
        (submission,) = session.submissions
        secrets = [secret for secret in (submission.card_number, submission.security_code) if secret is not None]
        assert [len(secret) for secret in secrets] == [16, 3]
        session.answer()
        assert all(secret.wiped for secret in secrets)
