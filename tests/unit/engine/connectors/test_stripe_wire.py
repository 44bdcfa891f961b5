"""The Stripe connector on the wire: the real HTTP client against a strict account on loopback."""

from __future__ import annotations

import asyncio
import json
import ssl
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from engine.charging import Charging
from engine.connectors import Stripe
from engine.ledger import Ledger
from engine.net.http import request
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, Submission, TokenType
from engine.reconciling import Reconciler
from tests.support.fake_stripe import CUSTOMER, KEY, SPECIAL, WANTS_PAYER, FakeStripe, served
from tests.support.payments import SlidingClock, submission_of
from tests.support.shared import SHARED

pytestmark = pytest.mark.asyncio

REFERENCE = SHARED / "reference" / "cards.json"
TRANSACTION = "7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90"
DECLINES = {
    "4000000000000002": (Outcome.DECLINED, "card-declined", "generic_decline"),
    "4000000000009995": (Outcome.DECLINED, "card-declined", "insufficient_funds"),
    "4000000000009987": (Outcome.DECLINED, "card-declined", "generic_decline"),
    "4000000000009979": (Outcome.DECLINED, "card-declined", "generic_decline"),
    "4000000000000069": (Outcome.DECLINED, "invalid-date", "expired_card"),
    "4000000000000127": (Outcome.DECLINED, "invalid-security-code", "incorrect_cvc"),
    "4000000000000119": (Outcome.FAILED, "", "processing_error"),
    "4000000000000341": (Outcome.DECLINED, "card-declined", "generic_decline"),
    "4242424242424241": (Outcome.DECLINED, "invalid-card-number", "incorrect_number"),
}
"Published numbers that are refused: outcome, error of the pay machine, code. Lost and stolen are not told apart."


def connector(stripe: FakeStripe, **settings: Any) -> Stripe:
    defaults: dict[str, Any] = {"key": KEY, "timeout_s": 5.0, "allow_insecure": True, "sleep": SlidingClock().sleep}
    return Stripe("gw", url=stripe.url, **(defaults | settings))


async def pay(stripe: FakeStripe, submission: Submission | None = None, **settings: Any) -> ConnectorAnswer:
    return await connector(stripe, **settings).submit(submission or submission_of())


def token_of(number: str = "4242424242424242", **changes: Any) -> Submission:
    return submission_of(number, operation=Operation.TOKENIZE, amount="", **changes)


class TestPayments:
    async def test_strict_account_takes_the_payment(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, submission_of(parameters={"order": "A 1"}), api_version="2024-06-20")
        (intent,) = stripe.intents.values()
        assert (answer.outcome, answer.charge_id) == (Outcome.SUCCEEDED, intent["latest_charge"])
        assert (intent["amount"], intent["currency"]) == (1055, "usd")
        assert intent["metadata"] == {"transaction_id": TRANSACTION, "order": "A 1"}
        assert stripe.violations == []

    @pytest.mark.parametrize(
        ("amount", "currency", "minor"),
        [("5", "ISK", 500), ("5", "ugx", 500), ("500", "jpy", 500), ("5.12", "kwd", 5120), ("7.5", "huf", 750)],
    )
    async def test_amounts_in_units_of_stripe(self, amount: str, currency: str, minor: int) -> None:
        async with FakeStripe() as stripe:
            await pay(stripe, submission_of(amount=amount, currency=currency))
        assert [intent["amount"] for intent in stripe.intents.values()] == [minor]
        assert stripe.violations == []

    @pytest.mark.parametrize(("number", "expected"), DECLINES.items())
    async def test_decline(self, number: str, expected: tuple[Outcome, str, str]) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, submission_of(number))
        assert (answer.outcome, answer.error_type, answer.error_code) == expected
        assert (stripe.charges, stripe.violations) == ({}, [])

    @pytest.mark.skipif(not REFERENCE.exists(), reason="compares with the shared reference, which is not here")
    async def test_every_special_number_of_the_reference_is_here(self) -> None:
        special = {row["number"]: row for row in json.loads(REFERENCE.read_text())["special"]}
        assert special.keys() == DECLINES.keys() | {WANTS_PAYER}
        for number, (_, error_type, _) in DECLINES.items():
            assert special[number]["engine_error_type"].startswith(error_type or "payment-connector-error")
        for number, (code, reason) in SPECIAL.items():
            if special[number]["stripe_code"] in ("card_declined", code):
                assert (code, reason) == (special[number]["stripe_code"], special[number]["decline_code"])

    @pytest.mark.parametrize(
        "row",
        json.loads(REFERENCE.read_text())["accepted"] if REFERENCE.exists() else [],
        ids=lambda row: str(row["number"]),
    )
    async def test_every_accepted_number_of_the_reference_is_charged(self, row: dict[str, Any]) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, submission_of(row["number"], security_code="1234"[: row["cvc_digits"]]))
        assert (answer.outcome, stripe.violations) == (Outcome.SUCCEEDED, [])

    async def test_card_that_wants_authentication_is_charged_as_moto_and_declined_without(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, submission_of(WANTS_PAYER))
            assert answer.outcome is Outcome.SUCCEEDED
        async with FakeStripe() as stripe:
            answer = await pay(stripe, submission_of(WANTS_PAYER), moto=False)
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "card-declined")
        assert (answer.error_code, stripe.charges) == ("authentication_required", {})

    async def test_account_without_moto_refuses_the_request_and_not_the_card(self) -> None:
        async with FakeStripe(moto=False) as stripe:
            assert (await pay(stripe)).outcome is Outcome.FAILED
            assert (await pay(stripe, submission_of(transaction_id="t2"), moto=False)).outcome is Outcome.SUCCEEDED

    async def test_wrong_key_failed(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, key="sk_test_other")
        assert (answer.outcome, answer.error_type, stripe.charges) == (Outcome.FAILED, "", {})


class TestTokens:
    async def test_reusable_card_goes_to_the_customer(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, token_of(), customer=CUSTOMER)
        assert (answer.outcome, stripe.customers, stripe.charges) == (
            Outcome.SUCCEEDED,
            {CUSTOMER: [answer.token_id]},
            {},
        )

    async def test_reusable_card_without_a_customer(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, token_of())
        assert (answer.outcome, answer.token_id, stripe.violations) == (Outcome.SUCCEEDED, "pm_1", [])

    async def test_one_time_token_is_the_payment_method(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, token_of(token_type=TokenType.ONE_TIME))
        assert (answer.token_id, len(stripe.asked)) == ("pm_1", 1)

    async def test_card_that_is_declined_when_charged_can_be_kept(self) -> None:
        async with FakeStripe() as stripe:
            assert (await pay(stripe, token_of("4000000000000341"))).outcome is Outcome.SUCCEEDED
            answer = await pay(stripe, token_of("4000000000000002", transaction_id="t2"))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "card-declined")

    async def test_card_that_wants_authentication_cannot_be_kept_without_moto(self) -> None:
        async with FakeStripe() as stripe:
            answer = await pay(stripe, token_of(WANTS_PAYER), moto=False)
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "authentication_required")


LOST_AFTER = ["reset_after", "http_500_after", "garbage", "truncated", "oversized"]
LOST_BEFORE = ["reset_before", "close", "http_500", "in_use", "rate_limited", "status:503:<html>"]


class TestFaults:
    @pytest.mark.parametrize("step", LOST_AFTER)
    async def test_charge_whose_answer_was_lost_is_replayed_and_not_taken_twice(self, step: str) -> None:
        async with FakeStripe(["ok", step]) as stripe:
            answer = await pay(stripe)
        assert (answer.outcome, stripe.charges, stripe.violations) == (Outcome.SUCCEEDED, {TRANSACTION: 1}, [])
        assert len({asked.body for asked in stripe.asked[1:]}) == 1

    @pytest.mark.parametrize("step", LOST_BEFORE)
    async def test_charge_that_did_not_arrive_is_taken_once(self, step: str) -> None:
        async with FakeStripe(["ok", step]) as stripe:
            answer = await pay(stripe)
        assert (answer.outcome, stripe.charges, stripe.violations) == (Outcome.SUCCEEDED, {TRANSACTION: 1}, [])

    @pytest.mark.parametrize("step", LOST_AFTER)
    async def test_decline_whose_answer_was_lost_is_replayed(self, step: str) -> None:
        async with FakeStripe(["ok", step]) as stripe:
            answer = await pay(stripe, submission_of("4000000000009995"))
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "insufficient_funds")

    @pytest.mark.parametrize("step", [*LOST_AFTER, *LOST_BEFORE, "kept_500", "kept_500_after"])
    async def test_card_request_that_was_lost_is_made_again(self, step: str) -> None:
        async with FakeStripe([step]) as stripe:
            answer = await pay(stripe)
        assert (answer.outcome, stripe.charges) == (Outcome.SUCCEEDED, {TRANSACTION: 1})

    @pytest.mark.parametrize("step", [*LOST_AFTER, *LOST_BEFORE, "kept_500", "kept_500_after", "moved"])
    async def test_card_request_that_never_gets_through_is_certain_to_have_charged_nothing(self, step: str) -> None:
        async with FakeStripe([step] * 3) as stripe:
            answer = await pay(stripe, repeats=2)
        assert (answer.outcome, stripe.charges) == (Outcome.FAILED, {})

    @pytest.mark.parametrize(("step", "charges"), [("kept_500", {}), ("kept_500_after", {TRANSACTION: 1})])
    async def test_500_that_is_kept_under_the_key_leaves_the_outcome_unknown(
        self, step: str, charges: dict[str, int]
    ) -> None:
        async with FakeStripe(["ok", step]) as stripe:
            answer = await pay(stripe)
        assert (answer.outcome, stripe.charges, len(stripe.asked)) == (Outcome.UNKNOWN, charges, 2)

    @pytest.mark.parametrize("step", ["silence", "drip"])
    async def test_silence_at_every_try_is_one_charge_and_unknown(self, step: str) -> None:
        async with FakeStripe(["ok", step, step, step]) as stripe:
            answer = await pay(stripe, repeats=2, timeout_s=0.2)
        assert (answer.outcome, stripe.charges) == (Outcome.UNKNOWN, {TRANSACTION: 1})

    @pytest.mark.parametrize("step", ["informational_flood", "head_flood", "moved"])
    async def test_hostile_answers_end_in_unknown(self, step: str) -> None:
        async with FakeStripe(["ok", step, step]) as stripe:
            answer = await pay(stripe, repeats=1)
        assert (answer.outcome, stripe.charges) == (Outcome.UNKNOWN, {TRANSACTION: 1})

    async def test_charge_that_is_carried_out_late_is_not_taken_twice(self) -> None:
        """The first try times out while Stripe works on it, the second meets it at work, the third its result."""
        async with FakeStripe(["ok", "hold"]) as stripe:
            repeats: list[int] = []

            async def sleep(_: float) -> None:
                repeats.append(len(stripe.asked))
                if len(repeats) == 2:
                    stripe.release()
                await asyncio.sleep(0)

            answer = await pay(stripe, timeout_s=0.3, sleep=sleep)
        assert (answer.outcome, stripe.charges) == (Outcome.SUCCEEDED, {TRANSACTION: 1})
        assert repeats[:2] == [2, 3]


class TestIdempotencyOfTheAccount:
    """What the other tests rely on."""

    async def send(self, stripe: FakeStripe, **changes: str) -> tuple[int, Any]:
        form = {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2030"}
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
        got = await request(
            "POST",
            f"{stripe.url}/v1/payment_methods",
            headers=headers | {"Idempotency-Key": "k"},
            body="&".join(f"{name}={value}" for name, value in (form | changes).items()).encode(),
            timeout_s=5,
            allow_insecure=True,
        )
        return got.status, json.loads(got.body)

    async def test_key_replays_its_first_answer(self) -> None:
        async with FakeStripe() as stripe:
            assert await self.send(stripe) == await self.send(stripe)

    async def test_key_with_other_parameters_is_an_error(self) -> None:
        async with FakeStripe() as stripe:
            await self.send(stripe)
            status, body = await self.send(stripe, **{"card[exp_month]": "11"})
        assert (status, body["error"]["type"]) == (400, "idempotency_error")

    async def test_500_is_kept(self) -> None:
        async with FakeStripe(["kept_500"]) as stripe:
            assert (await self.send(stripe))[0] == (await self.send(stripe))[0] == 500

    async def test_failed_validation_is_not_kept(self) -> None:
        async with FakeStripe() as stripe:
            assert (await self.send(stripe, colour="red"))[1]["error"]["code"] == "parameter_unknown"
            assert (await self.send(stripe))[0] == 200


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    # As engine.net.tls makes it, with another authority.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.configure_trust(context)
    return context


def tls_1_1(authority: trustme.CA) -> ssl.SSLContext:
    context = served(authority, key_type=trustme.KeyType.RSA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def obsolete(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client that would take TLS 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    return context


def long_ago() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"not_before": now - timedelta(days=30), "not_after": now - timedelta(days=1)}


WRONG: dict[str, Callable[[trustme.CA], ssl.SSLContext]] = {
    "expired": lambda ca: served(ca, **long_ago()),
    "unknown authority": lambda _: served(trustme.CA()),
    "wrong host": lambda ca: served(ca, "api.example"),
    "TLS 1.1": tls_1_1,
}


class TestTls:
    async def test_verified_account_is_paid_through(self) -> None:
        authority = trustme.CA()
        async with FakeStripe(tls=served(authority), host="localhost") as stripe:
            answer = await pay(stripe, tls=trusting(authority), allow_insecure=False)
        assert (answer.outcome, stripe.charges) == (Outcome.SUCCEEDED, {TRANSACTION: 1})

    async def test_server_of_tls_1_1_is_one_that_others_would_talk_to(self) -> None:
        authority = trustme.CA()
        async with FakeStripe(tls=tls_1_1(authority), host="localhost") as stripe:
            answer = await pay(stripe, tls=obsolete(authority))
        assert answer.outcome is Outcome.SUCCEEDED

    @pytest.mark.parametrize("wrong", WRONG)
    async def test_account_that_cannot_be_verified_gets_no_byte(self, wrong: str) -> None:
        authority = trustme.CA()
        async with FakeStripe(tls=WRONG[wrong](authority), host="localhost") as stripe:
            answer = await pay(stripe, tls=trusting(authority), repeats=1)
        assert (answer.outcome, answer.error_code, stripe.asked) == (Outcome.FAILED, "unreachable", [])


class TestLookUp:
    @pytest.mark.parametrize(
        ("number", "outcome"),
        [("4242424242424242", Outcome.SUCCEEDED), ("4000000000009995", Outcome.DECLINED)],
    )
    async def test_charge_of_unknown_outcome_is_found_when_the_search_has_it(
        self, number: str, outcome: Outcome
    ) -> None:
        async with FakeStripe(["ok", "kept_500_after"]) as stripe:
            gateway = connector(stripe)
            assert (await gateway.submit(submission_of(number))).outcome is Outcome.UNKNOWN
            assert await gateway.look_up(TRANSACTION) is None
            stripe.index()
            answer = await gateway.look_up(TRANSACTION)
        assert answer is not None
        assert answer.outcome is outcome
        assert stripe.violations == []


async def charged(charging: Charging, ledger: Ledger) -> ConnectorAnswer:
    await ledger.start_payment("p1", call_id="c1", form="f", operation="charge", amount="10.55", currency="usd")
    return await charging.charge("p1", submission_of(), "gw")


class TestWithTheLedger:
    @pytest.fixture
    def opened(self, tmp_path: Any) -> Callable[[], Awaitable[Ledger]]:
        return lambda: Ledger.open(f"sqlite+aiosqlite:///{tmp_path / 'ledger.sqlite3'}")

    async def test_secrets_that_the_connector_wiped_itself_do_not_upset_charging(
        self, opened: Callable[[], Awaitable[Ledger]]
    ) -> None:
        ledger = await opened()
        async with FakeStripe() as stripe:
            charging = Charging(ledger, {"gw": connector(stripe)})
            answer = await charged(charging, ledger)
        attempt = await ledger.attempt(TRANSACTION)
        await ledger.close()
        assert answer.outcome is Outcome.SUCCEEDED
        assert attempt is not None
        assert (attempt.outcome, attempt.charge_id) == (Outcome.SUCCEEDED, answer.charge_id)

    async def test_unknown_charge_is_reconciled_by_the_next_run(self, opened: Callable[[], Awaitable[Ledger]]) -> None:
        async with FakeStripe(["ok", "kept_500_after"]) as stripe:
            ledger = await opened()
            charging = Charging(ledger, {"gw": connector(stripe)})
            assert (await charged(charging, ledger)).outcome is Outcome.UNKNOWN
            await ledger.close()
            stripe.index()
            ledger = await opened()
            reconciler = Reconciler(ledger, {"gw": connector(stripe)}, is_running=lambda _: False, clock=SlidingClock())
            (record,) = await reconciler.at_start()
            await ledger.close()
        assert (record.transaction_id, record.outcome) == (TRANSACTION, Outcome.SUCCEEDED)
        assert stripe.charges == {TRANSACTION: 1}
