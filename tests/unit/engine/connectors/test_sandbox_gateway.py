"""The built-in test gateway: answers by card, once per transaction, masked, whatever befalls it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.connectors import Connector, SandboxGateway
from engine.connectors.sandbox import SandboxFault, load_test_cards
from engine.connectors.table import ERROR_TYPES
from engine.errors import ConnectorError
from engine.pay.submission import Operation, Outcome, PaymentMethod, TokenType
from tests.support.payments import VISA, SlidingClock, bank_debit_of, submission_of
from tests.support.shared import SHARED

pytestmark = pytest.mark.asyncio

REFERENCE = SHARED / "reference" / "cards.json"
ACCEPTED = {
    "4242424242424242": "visa",
    "4111111111111111": "visa",
    "4222222222222": "visa",
    "4000000000000000006": "visa",
    "5555555555554444": "mastercard",
    "2223003122003222": "mastercard",
    "378282246310005": "amex",
    "6011111111111117": "discover",
    "30569309025904": "diners-club",
    "3566002020360505": "jcb",
    "6200000000000005": "unionpay",
    "6771798021000008": "maestro",
    "500000000009": "maestro",
}
REFUSED = {
    "4000000000000002": (Outcome.DECLINED, "generic_decline", "card-declined"),
    "4000000000009995": (Outcome.DECLINED, "insufficient_funds", "card-declined"),
    "4000000000009987": (Outcome.DECLINED, "lost_card", "card-declined"),
    "4000000000009979": (Outcome.DECLINED, "stolen_card", "card-declined"),
    "4000000000000069": (Outcome.DECLINED, "expired_card", "invalid-date"),
    "4000000000000127": (Outcome.DECLINED, "incorrect_cvc", "invalid-security-code"),
    "4000000000000119": (Outcome.FAILED, "processing_error", ""),
    "4000000000000341": (Outcome.DECLINED, "card_declined", "card-declined"),
    "4000002500003155": (Outcome.DECLINED, "authentication_required", "card-declined"),
    # Valid by Luhn and brand, but on no published list.
    "4000000000000010": (Outcome.DECLINED, "test_cards_only", "card-declined"),
    "4242424242424242424": (Outcome.DECLINED, "test_cards_only", "card-declined"),
    "4242424242424241": (Outcome.DECLINED, "incorrect_number", "invalid-card-number"),
}
ACCOUNTS = {
    # Accepted: Twilio's test accounts, and one of Stripe's.
    "12345678": (Outcome.SUCCEEDED, "", ""),
    "123456789": (Outcome.SUCCEEDED, "", ""),
    "000123456789": (Outcome.SUCCEEDED, "", ""),
    "000111111113": (Outcome.DECLINED, "account_closed", "invalid-bank-account-number"),
    "000111111116": (Outcome.DECLINED, "no_account", "invalid-bank-account-number"),
    "000222222227": (Outcome.DECLINED, "insufficient_funds", "card-declined"),
    "87654321": (Outcome.DECLINED, "test_accounts_only", "card-declined"),
}


@pytest_asyncio.fixture
async def clock() -> SlidingClock:
    return SlidingClock()


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, clock: SlidingClock) -> AsyncIterator[SandboxGateway]:
    gateway = await SandboxGateway.open(
        "sandbox", database=str(tmp_path / "sandbox.sqlite3"), sleep=clock.sleep, clock=clock
    )
    yield gateway
    await gateway.close()


class TestCards:
    @pytest.mark.parametrize("number", ACCEPTED)
    async def test_published_card_is_charged(self, gateway: SandboxGateway, number: str) -> None:
        answer = await gateway.submit(submission_of(number))
        assert (answer.outcome, answer.error_code, answer.token_id) == (Outcome.SUCCEEDED, "", "")
        assert answer.charge_id.startswith("ch_")

    @pytest.mark.parametrize(("number", "expected"), REFUSED.items())
    async def test_published_card_is_refused(
        self, gateway: SandboxGateway, number: str, expected: tuple[Outcome, str, str]
    ) -> None:
        answer = await gateway.submit(submission_of(number))
        assert (answer.outcome, answer.error_code, answer.error_type) == expected
        assert (answer.charge_id, answer.token_id) == ("", "")

    @pytest.mark.parametrize(
        ("token_type", "token", "profile"),
        [
            (TokenType.REUSABLE, "tok_", "cus_"),
            (TokenType.ONE_TIME, "one_", ""),
            (TokenType.PAYMENT_METHOD, "pm_", ""),
        ],
    )
    @pytest.mark.parametrize("make", [submission_of, bank_debit_of])
    async def test_tokenizing_gives_a_token_of_the_type_and_no_charge(
        self, gateway: SandboxGateway, make: Any, token_type: TokenType, token: str, profile: str
    ) -> None:
        answer = await gateway.submit(make(operation=Operation.TOKENIZE, amount="", token_type=token_type))
        assert (answer.outcome, answer.charge_id) == (Outcome.SUCCEEDED, "")
        assert answer.token_id.startswith(token)
        assert answer.profile_id.startswith(profile)
        assert bool(answer.profile_id) == bool(profile)
        assert await gateway.look_up(submission_of().transaction_id) == answer

    async def test_card_that_is_declined_when_charged_can_be_tokenized(self, gateway: SandboxGateway) -> None:
        answer = await gateway.submit(submission_of("4000000000000341", operation=Operation.TOKENIZE, amount=""))
        assert answer.outcome is Outcome.SUCCEEDED
        answer = await gateway.submit(submission_of("4000000000000341", transaction_id="t2"))
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "card_declined")

    @pytest.mark.parametrize("method", PaymentMethod)
    async def test_payment_without_a_number_fails(self, gateway: SandboxGateway, method: PaymentMethod) -> None:
        answer = await gateway.submit(submission_of(method=method, card_number=None))
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "incomplete")

    async def test_shipped_table_names_the_right_cards(self) -> None:
        cards = load_test_cards()
        for number, brand in ACCEPTED.items():
            card = cards[hashlib.sha256(number.encode()).hexdigest()]
            assert (card.brand, card.last_four, card.error_code) == (brand, number[-4:], "")
        assert all(not card.error_code or card.error_code in ERROR_TYPES for card in cards.values())

    async def test_no_number_stands_in_the_shipped_table(self) -> None:
        import engine.connectors.sandbox as module

        text = (Path(module.__file__).parent / "sandbox_cards.toml").read_text()
        assert not any(number in text for number in [*ACCEPTED, *REFUSED])

    @pytest.mark.skipif(not REFERENCE.exists(), reason="compares with the shared reference, which is not here")
    async def test_table_has_every_card_of_the_reference(self) -> None:
        cards, reference = load_test_cards(), json.loads(REFERENCE.read_text())
        for row in reference["accepted"]:
            assert cards[hashlib.sha256(row["number"].encode()).hexdigest()].brand == row["brand"]
        for row in reference["special"]:
            assert cards[hashlib.sha256(row["number"].encode()).hexdigest()].error_code == row["decline_code"]


class TestBankDebits:
    @pytest.mark.parametrize(("account", "expected"), ACCOUNTS.items())
    async def test_published_account(
        self, gateway: SandboxGateway, account: str, expected: tuple[Outcome, str, str]
    ) -> None:
        answer = await gateway.submit(bank_debit_of(account))
        assert (answer.outcome, answer.error_code, answer.error_type) == expected
        assert bool(answer.charge_id) is (answer.outcome is Outcome.SUCCEEDED)

    @pytest.mark.parametrize("routing", ["121181976", "021000021", "110000000"])
    async def test_any_right_routing_number_is_taken(self, gateway: SandboxGateway, routing: str) -> None:
        answer = await gateway.submit(bank_debit_of(routing_number=routing))
        assert answer.outcome is Outcome.SUCCEEDED

    async def test_wrong_routing_number_is_declined_for_what_it_is(self, gateway: SandboxGateway) -> None:
        answer = await gateway.submit(bank_debit_of(routing_number="123456789"))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "invalid-bank-routing-number")

    async def test_books_show_the_last_two_digits_and_the_type_of_the_account(self, gateway: SandboxGateway) -> None:
        await gateway.submit(bank_debit_of("000123456789"))
        (row,) = await gateway.transactions()
        assert (row["method"], row["card_number"], row["card_type"]) == (
            "ach-debit",
            "**********89",
            "consumer-checking",
        )

    async def test_no_account_stands_in_the_shipped_table(self) -> None:
        import engine.connectors.sandbox as module

        rows = (Path(module.__file__).parent / "sandbox_cards.toml").read_text()
        assert not any(account in rows for account in ACCOUNTS)


class TestBooks:
    async def test_repeat_with_the_same_id_gets_the_first_answer_and_is_no_second_charge(
        self, gateway: SandboxGateway
    ) -> None:
        first = await gateway.submit(submission_of())
        # Another card under the same id: what counts is the id.
        assert await gateway.submit(submission_of("4000000000000002")) == first
        rows = await gateway.transactions()
        assert [(row["outcome"], row["times_received"]) for row in rows] == [("succeeded", 2)]

    async def test_other_ids_get_other_charges(self, gateway: SandboxGateway) -> None:
        answers = [await gateway.submit(submission_of(transaction_id=f"t{n}")) for n in range(3)]
        assert len({answer.charge_id for answer in answers}) == 3

    async def test_declined_answer_is_kept_with_its_error_type(self, gateway: SandboxGateway) -> None:
        first = await gateway.submit(submission_of("4000000000000069"))
        assert await gateway.submit(submission_of("4000000000000069")) == first
        assert await gateway.look_up(submission_of().transaction_id) == first

    async def test_books_are_masked_and_hold_neither_code_nor_expiry(
        self, gateway: SandboxGateway, tmp_path: Path
    ) -> None:
        await gateway.submit(submission_of(security_code="737"))
        (row,) = await gateway.transactions()
        assert row["card_number"] == "************4242"
        assert (row["amount"], row["currency"], row["received_at"]) == ("10.55", "usd", "2030-01-02T03:04:05.000+00:00")
        assert not {"737", "1230", "12", "30"} & {str(value) for value in row.values()}
        await gateway.close()
        assert all(VISA.encode() not in file.read_bytes() for file in tmp_path.iterdir())

    async def test_books_survive_a_new_start(self, gateway: SandboxGateway, tmp_path: Path) -> None:
        first = await gateway.submit(submission_of())
        # Opened beside the old one, which was never closed: as after kill -9.
        again = await SandboxGateway.open("sandbox", database=str(tmp_path / "sandbox.sqlite3"))
        try:
            assert await again.look_up(submission_of().transaction_id) == first
            assert SandboxGateway.read(str(tmp_path / "sandbox.sqlite3")) == await again.transactions()
        finally:
            await again.close()

    async def test_look_up_of_what_never_came_says_so(self, gateway: SandboxGateway) -> None:
        answer = await gateway.look_up("never")
        assert answer is not None
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "not_found")

    async def test_books_are_for_their_owner_only(self, gateway: SandboxGateway, tmp_path: Path) -> None:
        assert (tmp_path / "sandbox.sqlite3").stat().st_mode & 0o077 == 0

    async def test_charge_ids_have_no_digits_that_could_be_taken_for_a_card(self, gateway: SandboxGateway) -> None:
        answer = await gateway.submit(submission_of())
        assert not any(char.isdigit() for char in answer.charge_id)

    async def test_it_is_a_connector(self, gateway: SandboxGateway) -> None:
        assert isinstance(gateway, Connector)
        assert gateway.name == "sandbox"


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "outcome", "code", "is_booked"),
        [
            ("none", Outcome.SUCCEEDED, "", True),
            ("decline", Outcome.DECLINED, "card_declined", True),
            ("delay:2.5", Outcome.SUCCEEDED, "", True),
            ("unreachable", Outcome.FAILED, "unreachable", False),
            ("reset_before", Outcome.UNKNOWN, "no_answer", False),
            ("http_500", Outcome.UNKNOWN, "http_500", False),
            ("reset_after", Outcome.UNKNOWN, "no_answer", True),
            ("http_500_after", Outcome.UNKNOWN, "http_500", True),
            ("garbage", Outcome.UNKNOWN, "bad_answer", True),
            ("drip:2.5", Outcome.UNKNOWN, "no_answer", True),
            ("decline:lost_card", Outcome.DECLINED, "lost_card", True),
            ("decline:processing_error", Outcome.FAILED, "processing_error", True),
            ("delay:2.5+reset_after", Outcome.UNKNOWN, "no_answer", True),
            ("delay:2.5+reset_before", Outcome.UNKNOWN, "no_answer", False),
            ("delay:2.5+decline:expired_card", Outcome.DECLINED, "expired_card", True),
        ],
    )
    async def test_fault_does_what_the_table_says(
        self, gateway: SandboxGateway, clock: SlidingClock, fault: str, outcome: Outcome, code: str, is_booked: bool
    ) -> None:
        gateway.inject(fault)
        answer = await gateway.submit(submission_of())
        assert (answer.outcome, answer.error_code) == (outcome, code)
        assert bool(await gateway.transactions()) is is_booked
        assert clock.slept == ([2.5] if "2.5" in fault else [])
        # The next payment is not befallen.
        assert (await gateway.submit(submission_of(transaction_id="next"))).outcome is Outcome.SUCCEEDED

    async def test_answer_that_got_lost_is_found_by_looking_up(self, gateway: SandboxGateway) -> None:
        gateway.inject("reset_after")
        await gateway.submit(submission_of())
        answer = await gateway.look_up(submission_of().transaction_id)
        assert answer is not None
        assert answer.outcome is Outcome.SUCCEEDED

    async def test_faults_of_the_configuration_befall_the_next_payments_in_order(self, tmp_path: Path) -> None:
        gateway = await SandboxGateway.open("s", database=str(tmp_path / "x"), faults=["none", "unreachable"])
        outcomes = [(await gateway.submit(submission_of(transaction_id=str(n)))).outcome for n in range(3)]
        await gateway.close()
        assert outcomes == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED]

    async def test_fault_for_one_transaction_leaves_the_others_alone(self, gateway: SandboxGateway) -> None:
        gateway.inject_for("b", "unreachable")
        outcomes = [(await gateway.submit(submission_of(transaction_id=name))).outcome for name in ("a", "b", "b")]
        assert outcomes == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED]

    @pytest.mark.parametrize(
        "text",
        [
            *("", "explode", "decline:1", "decline:", "garbage:1"),
            *("delay", "delay:", "delay:x", "delay:-1", "delay:601", "delay:nan", "delay:inf", "drip", "drip:-1"),
            *("delay:1+", "delay:1+delay:1", "decline+delay:1", "delay:1+decline+none", "+none"),
        ],
    )
    async def test_unknown_fault_is_refused_by_name(self, text: str) -> None:
        with pytest.raises(ConnectorError):
            SandboxFault.parse(text)

    async def test_unknown_fault_in_the_configuration_stops_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(ConnectorError, match="explode"):
            await SandboxGateway.open("s", database=str(tmp_path / "x"), faults=["explode"])

    async def test_missing_folder_is_reported_with_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConnectorError, match="no/such"):
            await SandboxGateway.open("s", database=str(tmp_path / "no/such/file"))

    async def test_file_that_is_no_database_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"not a database, long enough to be looked at" * 10)
        with pytest.raises(ConnectorError, match="cannot use"):
            await SandboxGateway.open("s", database=str(tmp_path / "x"))

    async def test_books_that_break_while_running_leave_the_outcome_unknown(
        self, gateway: SandboxGateway, tmp_path: Path
    ) -> None:
        with sqlite3.connect(tmp_path / "sandbox.sqlite3") as other:
            other.execute("DROP TABLE transactions")
        other.close()
        assert (await gateway.submit(submission_of())).outcome is Outcome.UNKNOWN
        assert await gateway.look_up("x") is None
