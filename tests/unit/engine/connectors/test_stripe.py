"""The Stripe connector: what answers mean, what is wiped when, what a look-up tells."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import cache
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine.connectors import Stripe
from engine.connectors.protocol import Connector
from engine.connectors.stripe import SEARCHABLE_S
from engine.errors import ConnectorError
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.net.tls import client_context
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, TokenType
from tests.support.payments import VISA, SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

KEY = "sk_test_1"
TRANSACTION = "7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90"
LOST = Unanswered("lost")
CARDS, CHARGES, SETUPS = "/v1/payment_methods", "/v1/payment_intents", "/v1/setup_intents"


def response(status: int, body: Any = b"", **headers: str) -> HttpResponse:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status=status, headers=pairs, body=data)


def intent(status: Any = "succeeded", **members: Any) -> dict[str, Any]:
    whole = {"id": "pi_1", "object": "payment_intent", "status": status, "payment_method": "pm_1"}
    return whole | {"latest_charge": "ch_1" if status == "succeeded" else None} | members


def error(status: int = 402, **members: Any) -> HttpResponse:
    return response(status, {"error": {"type": "card_error", "message": "Your card was declined."} | members})


MADE = response(200, {"id": "pm_1", "object": "payment_method"})
CHARGED = response(200, intent())
KEPT = response(200, {"id": "seti_1", "object": "setup_intent", "status": "succeeded", "payment_method": "pm_1"})


class Wire:
    """Stands in for the network: answers each path by its own script, the last step for ever."""

    def __init__(self, **scripts: list[Any]) -> None:
        self.scripts: dict[str, list[Any]] = {CARDS: [MADE], CHARGES: [CHARGED], SETUPS: [KEPT]}
        self.scripts |= {f"/v1/{name}": [*script] for name, script in scripts.items()}
        self.sent: list[tuple[str, str, str, bytes]] = []
        "Method, path, key, body."
        self.buffers: dict[str, list[bytearray]] = {}
        self.headers: list[dict[str, str]] = []

    def keys(self, path: str) -> list[str]:
        return [key for _, asked, key, _ in self.sent if asked == path]

    def bodies(self, path: str) -> list[bytes]:
        return [body for _, asked, _, body in self.sent if asked == path]

    async def __call__(
        self, method: str, url: str, *, headers: dict[str, str], body: bytearray, **_: Any
    ) -> HttpResponse:
        path = urlsplit(url).path
        self.sent.append((method, path, headers.get("Idempotency-Key", ""), bytes(body)))
        self.buffers.setdefault(path, []).append(body)
        self.headers.append(headers)
        script = self.scripts[path]
        step = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(step, BaseException):
            raise step
        answer: HttpResponse = step
        return answer


@cache
def tls() -> SSLContext:
    return client_context()  # once: loading the authorities takes longer than a test


def connector(wire: Any, **settings: Any) -> Stripe:
    return Stripe("gw", key=KEY, tls=tls(), sleep=SlidingClock().sleep, send=wire, **settings)


async def charge(*script: Any, **changes: Any) -> tuple[ConnectorAnswer, Wire]:
    wire = Wire(payment_intents=list(script))
    return await connector(wire).submit(submission_of(**changes)), wire


async def make_card(*script: Any) -> tuple[ConnectorAnswer, Wire]:
    wire = Wire(payment_methods=list(script))
    return await connector(wire).submit(submission_of()), wire


class TestCharge:
    """One row each of the table in the module's head."""

    async def test_succeeded(self) -> None:
        answer, wire = await charge(CHARGED)
        assert answer == ConnectorAnswer(
            outcome=Outcome.SUCCEEDED,
            charge_id="ch_1",
            parameters={"payment_intent": "pi_1", "payment_method": "pm_1"},
        )
        assert [path for _, path, _, _ in wire.sent] == [CARDS, CHARGES]

    @pytest.mark.parametrize(
        ("latest", "charge_id"), [("ch_1", "ch_1"), ({"id": "ch_2"}, "ch_2"), (None, "pi_1"), (7, "pi_1")]
    )
    async def test_charge_id_is_the_charges_or_else_the_intents(self, latest: Any, charge_id: str) -> None:
        answer, _ = await charge(response(200, intent(latest_charge=latest)))
        assert answer.charge_id == charge_id

    async def test_card_that_wants_its_holder_to_authenticate_is_declined(self) -> None:
        answer, wire = await charge(response(200, intent("requires_action")))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "card-declined")
        assert answer.error_code == "authentication_required"
        assert len(wire.keys(CHARGES)) == 1

    @pytest.mark.parametrize(
        ("code", "outcome", "error_type"),
        [("expired_card", Outcome.DECLINED, "invalid-date"), ("processing_error", Outcome.FAILED, "")],
    )
    async def test_intent_with_an_error_is_refused_by_its_code(
        self, code: str, outcome: Outcome, error_type: str
    ) -> None:
        answer, _ = await charge(response(200, intent("requires_payment_method", last_payment_error={"code": code})))
        assert (answer.outcome, answer.error_code, answer.error_type) == (outcome, code, error_type)

    @pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation", "canceled"])
    async def test_intent_that_did_not_begin_failed(self, status: str) -> None:
        answer, _ = await charge(response(200, intent(status)))
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, status)

    @pytest.mark.parametrize("status", ["processing", "requires_capture", "brand_new", "", None, 1, ["succeeded"], {}])
    async def test_intent_in_any_other_state_is_unknown_and_not_repeated(self, status: Any) -> None:
        answer, wire = await charge(response(200, intent(status)))
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, 1)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"object": "payment_intent", "status": "succeeded"},
            {"id": "pi_1", "status": "succeeded"},
            intent(id=""),
            intent(id=["pi_1"]),
            intent(id="../v1/refunds"),
            intent(object="setup_intent"),
        ],
    )
    async def test_200_that_is_no_intent_is_unknown_and_not_repeated(self, body: Any) -> None:
        answer, wire = await charge(response(200, body))
        assert (answer.outcome, answer.error_code, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, "no_id", 1)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"ok"', b"\xff\xfe", b"[" * 100_000, b"{" * 5, b"NaN"])
    async def test_200_with_no_json_object_is_repeated_and_unknown(self, body: bytes) -> None:
        answer, wire = await charge(response(200, body))
        assert (answer.outcome, answer.error_code, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, "bad_answer", 6)

    @pytest.mark.parametrize("status", [201, 202, 204])
    async def test_other_2xx_is_unknown(self, status: int) -> None:
        answer, wire = await charge(response(status, intent()))
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, 1)

    async def test_decline_code_says_more_than_card_declined(self) -> None:
        answer, wire = await charge(error(code="card_declined", decline_code="insufficient_funds"))
        assert answer == ConnectorAnswer(
            outcome=Outcome.DECLINED,
            error_code="insufficient_funds",
            error_message="Your card was declined.",
            error_type="card-declined",
        )
        assert len(wire.keys(CHARGES)) == 1

    async def test_code_of_the_table_goes_before_a_decline_code_that_is_not(self) -> None:
        answer, _ = await charge(error(code="incorrect_cvc", decline_code="do_whatever"))
        assert (answer.error_code, answer.error_type) == ("incorrect_cvc", "invalid-security-code")

    @pytest.mark.parametrize("code", ["brand_new", None, 7, "", ["x"]])
    async def test_unknown_code_is_a_plain_decline_when_the_payment_failed(self, code: Any) -> None:
        answer, _ = await charge(error(code=code))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "card-declined")

    @pytest.mark.parametrize("body", [b"no", b"[]", b"{}", b'{"error":"x"}', b'{"error":null}'])
    async def test_402_without_a_readable_body_is_a_decline(self, body: bytes) -> None:
        answer, _ = await charge(response(402, body))
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "http_402")

    @pytest.mark.parametrize("status", ["succeeded", "processing", "requires_capture"])
    async def test_refusal_of_an_intent_that_charged_is_unknown(self, status: str) -> None:
        answer, _ = await charge(error(code="card_declined", payment_intent=intent(status)))
        assert (answer.outcome, answer.error_code) == (Outcome.UNKNOWN, "contradiction")

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415])
    async def test_refused_request_failed(self, status: int) -> None:
        answer, wire = await charge(response(status, b"<html>"))
        assert (answer.outcome, answer.error_code, len(wire.keys(CHARGES))) == (Outcome.FAILED, f"http_{status}", 1)
        answer, _ = await charge(error(status, code="parameter_unknown", type="invalid_request_error"))
        assert (answer.outcome, answer.error_code, answer.error_type) == (Outcome.FAILED, "parameter_unknown", "")

    async def test_code_of_the_table_blames_what_it_names_whatever_the_status(self) -> None:
        answer, _ = await charge(error(400, code="postal_code_invalid"))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "invalid-postal-code")

    async def test_key_that_was_used_for_something_else_is_unknown(self) -> None:
        answer, wire = await charge(error(400, type="idempotency_error"))
        assert (answer.outcome, answer.error_code, len(wire.keys(CHARGES))) == (
            Outcome.UNKNOWN,
            "idempotency_error",
            1,
        )

    async def test_429_is_repeated_and_certain_not_to_have_charged(self) -> None:
        answer, wire = await charge(error(429, code="lock_timeout"))
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.FAILED, 6)

    @pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504])
    async def test_server_that_may_have_been_in_the_middle_is_repeated_and_unknown(self, status: int) -> None:
        answer, wire = await charge(error(status, code="card_declined"))
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, 6)

    async def test_server_that_says_not_to_repeat_is_not_asked_again(self) -> None:
        answer, wire = await charge(response(500, b"", stripe_should_retry="false"))
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, 1)

    async def test_redirect_is_unknown_and_not_repeated(self) -> None:
        answer, wire = await charge(BadAnswer("redirect", status=302))
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, 1)

    async def test_never_connected_failed(self) -> None:
        answer, wire = await charge(NotSent("refused"))
        assert (answer.outcome, answer.error_code, len(wire.keys(CHARGES))) == (Outcome.FAILED, "unreachable", 6)

    @pytest.mark.parametrize("step", [LOST, BadAnswer("x")])
    async def test_never_answered_is_unknown(self, step: Any) -> None:
        answer, wire = await charge(step)
        assert (answer.outcome, len(wire.keys(CHARGES))) == (Outcome.UNKNOWN, 6)


class TestAfterSilence:
    """Once a try may have charged, only Stripe's word on this payment settles it."""

    @pytest.mark.parametrize("doubt", [LOST, BadAnswer("x"), response(503), response(409), response(200, b"?")])
    @pytest.mark.parametrize(
        ("last", "outcome"),
        [
            (CHARGED, Outcome.SUCCEEDED),
            (error(code="card_declined"), Outcome.DECLINED),
            (error(code="processing_error"), Outcome.FAILED),
            (response(402), Outcome.DECLINED),
            (response(200, intent("canceled")), Outcome.FAILED),
            (response(200, intent("requires_action")), Outcome.DECLINED),
            (response(200, intent("processing")), Outcome.UNKNOWN),
            (error(400, type="idempotency_error"), Outcome.UNKNOWN),
            (error(400, code="parameter_unknown"), Outcome.UNKNOWN),
            (error(400, code="expired_card"), Outcome.UNKNOWN),
            (response(401), Outcome.UNKNOWN),
            (response(404), Outcome.UNKNOWN),
            (response(429), Outcome.UNKNOWN),
            (NotSent("x"), Outcome.UNKNOWN),
        ],
    )
    async def test_outcome(self, doubt: Any, last: Any, outcome: Outcome) -> None:
        answer, _ = await charge(doubt, last)
        assert answer.outcome is outcome
        assert answer.error_type == "" or outcome is Outcome.DECLINED


class TestCard:
    """The first request cannot charge: nothing that befalls it leaves a doubt."""

    @pytest.mark.parametrize(
        "step",
        [
            *(
                LOST,
                NotSent("x"),
                BadAnswer("x"),
                BadAnswer("x", status=302),
                response(200, b"?"),
                response(201, b"{}"),
            ),
            *(response(200, {}), response(200, {"id": "pm_1"}), response(200, {"object": "payment_method", "id": 1})),
            *(response(400), response(401), response(409), response(429), response(500), response(503)),
            *(error(400, type="idempotency_error"), error(code="processing_error")),
        ],
    )
    async def test_without_a_payment_method_it_failed_and_nothing_is_charged(self, step: Any) -> None:
        answer, wire = await make_card(step)
        assert answer.outcome is Outcome.FAILED
        assert wire.keys(CHARGES) == []

    @pytest.mark.parametrize(
        ("code", "error_type"),
        [
            ("incorrect_number", "invalid-card-number"),
            ("invalid_number", "invalid-card-number"),
            ("invalid_expiry_year", "invalid-date"),
            ("invalid_cvc", "invalid-security-code"),
            ("anything", "card-declined"),
        ],
    )
    async def test_card_that_is_refused_is_declined(self, code: str, error_type: str) -> None:
        answer, wire = await make_card(error(code=code))
        assert (answer.outcome, answer.error_type, wire.keys(CHARGES)) == (Outcome.DECLINED, error_type, [])

    @pytest.mark.parametrize("step", [LOST, NotSent("x"), BadAnswer("x"), response(429), response(200, b"?")])
    async def test_repeats_have_the_same_key(self, step: Any) -> None:
        answer, wire = await make_card(step, step, MADE)
        assert answer.outcome is Outcome.SUCCEEDED
        assert wire.keys(CARDS) == [f"{TRANSACTION}-card"] * 3
        assert len(set(wire.bodies(CARDS))) == 1

    async def test_after_a_server_error_another_key_is_tried_because_the_error_may_be_kept_under_the_old(self) -> None:
        kept = response(500, b"", stripe_should_retry="false")
        answer, wire = await make_card(kept, LOST, kept, MADE)
        assert answer.outcome is Outcome.SUCCEEDED
        card = f"{TRANSACTION}-card"
        assert wire.keys(CARDS) == [card, f"{card}-1", f"{card}-1", f"{card}-2"]

    async def test_doubt_of_the_card_is_no_doubt_of_the_charge(self) -> None:
        wire = Wire(payment_methods=[LOST, MADE], payment_intents=[response(400)])
        assert (await connector(wire).submit(submission_of())).outcome is Outcome.FAILED


class TestRepeats:
    async def test_charge_is_the_same_bytes_with_the_same_key_and_headers(self) -> None:
        _, wire = await charge(LOST, NotSent("x"), response(500), CHARGED)
        assert wire.keys(CHARGES) == [TRANSACTION] * 4
        assert len(set(wire.bodies(CHARGES))) == 1
        assert all(headers == wire.headers[1] for headers in wire.headers[1:])

    async def test_no_repeats_when_none_are_wanted(self) -> None:
        wire = Wire(payment_intents=[LOST])
        await connector(wire, repeats=0).submit(submission_of())
        assert len(wire.sent) == 2

    async def test_headers_name_key_form_and_version(self) -> None:
        wire = Wire()
        await connector(wire, api_version="2024-06-20").submit(submission_of())
        assert wire.headers[1] == {
            "Authorization": f"Bearer {KEY}",
            "Accept": "application/json",
            "Stripe-Version": "2024-06-20",
            "Content-Type": "application/x-www-form-urlencoded",
            "Idempotency-Key": TRANSACTION,
        }


class TestTokens:
    @pytest.mark.parametrize("token_type", [TokenType.ONE_TIME, TokenType.PAYMENT_METHOD])
    async def test_payment_method_is_the_token(self, token_type: TokenType) -> None:
        wire = Wire()
        submission = submission_of(operation=Operation.TOKENIZE, token_type=token_type, amount="")
        answer = await connector(wire).submit(submission)
        assert answer == ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id="pm_1")
        assert [path for _, path, _, _ in wire.sent] == [CARDS]

    async def test_reusable_card_is_checked_by_a_setup_for_the_customer(self) -> None:
        wire = Wire()
        answer = await connector(wire, customer="cus_1").submit(submission_of(operation=Operation.TOKENIZE, amount=""))
        assert answer == ConnectorAnswer(
            outcome=Outcome.SUCCEEDED, token_id="pm_1", profile_id="cus_1", parameters={"setup_intent": "seti_1"}
        )
        assert b"customer=cus_1" in wire.bodies(SETUPS)[0]
        assert wire.keys(SETUPS) == [f"{TRANSACTION}-setup"]

    @pytest.mark.parametrize(
        ("step", "outcome"),
        [
            (error(code="incorrect_cvc"), Outcome.DECLINED),
            (response(200, {"id": "seti_1", "object": "setup_intent", "status": "requires_action"}), Outcome.DECLINED),
            (response(200, {"id": "seti_1", "object": "setup_intent", "status": "succeeded"}), Outcome.FAILED),
            (response(200, {"id": "seti_1", "object": "setup_intent", "status": "processing"}), Outcome.FAILED),
            (response(200, intent()), Outcome.FAILED),
            (LOST, Outcome.FAILED),
            (response(500), Outcome.FAILED),
        ],
    )
    async def test_setup_cannot_charge_so_nothing_is_unknown(self, step: Any, outcome: Outcome) -> None:
        answer = await connector(Wire(setup_intents=[step])).submit(
            submission_of(operation=Operation.TOKENIZE, amount="")
        )
        assert answer.outcome is outcome


class TestRefusedUnsent:
    async def test_bank_account(self) -> None:
        wire = Wire()
        answer = await connector(wire).submit(submission_of(method=PaymentMethod.ACH_DEBIT))
        assert (answer.outcome, answer.error_code, wire.sent) == (Outcome.FAILED, "unsupported_method", [])

    @pytest.mark.parametrize(
        ("amount", "currency", "code"),
        [("1.234", "kwd", "invalid_amount"), ("10.50", "mga", "invalid_amount"), ("1", "iqd", "invalid_currency")],
    )
    async def test_amount_that_stripe_does_not_take_is_refused_by_name(
        self, amount: str, currency: str, code: str
    ) -> None:
        wire = Wire()
        submission = submission_of(amount=amount, currency=currency)
        answer = await connector(wire).submit(submission)
        assert (answer.outcome, answer.error_code, wire.sent) == (Outcome.FAILED, code, [])
        assert answer.error_message.startswith(code.removeprefix("invalid_") + ": ")
        assert submission.card_number is not None
        assert submission.card_number.wiped

    async def test_capabilities_are_cards_of_every_token_type(self) -> None:
        stripe = connector(Wire())
        assert isinstance(stripe, Connector)
        assert stripe.capabilities.methods == {PaymentMethod.CREDIT_CARD}
        assert stripe.capabilities.token_types == frozenset(TokenType)

    @pytest.mark.parametrize("url", ["http://x/", "ftp://x/", "https://", "https://a:b@x", "https://x/?y=1"])
    async def test_unusable_url(self, url: str) -> None:
        with pytest.raises(ConnectorError, match="connector gw: the URL"):
            Stripe("gw", url=url, key=KEY)

    @pytest.mark.parametrize("key", ["", "sk test", "sk_\n", "sk_ü", "pk_test_1"])
    async def test_unusable_key_is_not_repeated_in_the_error(self, key: str) -> None:
        with pytest.raises(ConnectorError, match="connector gw: the key") as caught:
            Stripe("gw", key=key)
        assert not key or key not in str(caught.value)


class TestWiping:
    @pytest.mark.parametrize("step", [MADE, LOST, error(code="invalid_cvc"), response(500), RuntimeError("bug")])
    async def test_digits_are_gone_when_the_first_request_is_over_however_it_ended(self, step: Any) -> None:
        wire = Wire(payment_methods=[step])
        submission = submission_of()
        try:
            await connector(wire).submit(submission)
        except RuntimeError:
            pass
        assert submission.card_number is not None
        assert submission.security_code is not None
        assert submission.card_number.wiped
        assert submission.security_code.wiped
        assert len({id(buffer) for buffer in wire.buffers[CARDS]}) == 1
        assert not any(wire.buffers[CARDS][0])

    async def test_digits_are_gone_before_anything_is_charged(self) -> None:
        submission = submission_of()
        seen: list[bool] = []

        class Watching(Wire):
            async def __call__(self, method: str, url: str, **more: Any) -> HttpResponse:
                if url.endswith(CHARGES):
                    assert submission.card_number is not None
                    assert submission.security_code is not None
                    seen.append(submission.card_number.wiped and submission.security_code.wiped)
                    seen.append(not any(self.buffers[CARDS][0]))
                return await super().__call__(method, url, **more)

        wire = Watching(payment_intents=[LOST, CHARGED])
        assert (await connector(wire).submit(submission)).outcome is Outcome.SUCCEEDED
        assert seen == [True] * 4
        assert all(VISA.encode() not in body for body in wire.bodies(CHARGES))

    async def test_digits_are_gone_after_cancellation(self) -> None:
        buffers: list[bytearray] = []

        async def hang(*_: object, body: bytearray, **__: object) -> HttpResponse:
            buffers.append(body)
            await asyncio.Event().wait()
            raise AssertionError

        submission = submission_of()
        task = asyncio.create_task(connector(hang).submit(submission))
        while not buffers:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(buffers[0])
        assert submission.card_number is not None
        assert submission.card_number.wiped


class TestDiscretion:
    @pytest.mark.parametrize("hidden", ["lost_card", "stolen_card", "pickup_card", "fraudulent"])
    @pytest.mark.parametrize("place", ["code", "decline_code"])
    async def test_what_the_caller_must_not_be_told_does_not_leave_the_connector(self, hidden: str, place: str) -> None:
        members: dict[str, Any] = {"code": "card_declined", "message": f"it is {hidden}"} | {place: hidden}
        answer, _ = await charge(error(**members))
        assert answer == ConnectorAnswer(
            outcome=Outcome.DECLINED,
            error_code="generic_decline",
            error_message="the card was declined",
            error_type="card-declined",
        )

    async def test_stripe_that_quotes_the_card_does_not_get_it_into_the_answer(self) -> None:
        answer, _ = await make_card(error(400, code=f"x{VISA}", message=f"card {VISA} with cvv 123 refused"))
        assert VISA not in repr(answer)
        assert "123" not in answer.error_message
        answer, _ = await charge(response(200, intent(latest_charge=f"ch_{VISA}", id=f"pi_{VISA}")))
        assert VISA not in repr(answer)

    @pytest.mark.parametrize("status", [401, 403])
    async def test_stripe_that_quotes_our_key_does_not_get_it_into_the_answer(self, status: int) -> None:
        answer, _ = await charge(error(status, message=f"Invalid API Key provided: {KEY}"))
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, f"http_{status}")
        assert KEY not in repr(answer)

    async def test_log_names_the_transaction_and_the_reason_but_neither_digit_nor_key(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        wire = Wire(
            payment_methods=[error(500, message=VISA), LOST, MADE], payment_intents=[response(500, b""), CHARGED]
        )
        await connector(wire).submit(submission_of())
        assert len(caplog.records) == 3
        for record in caplog.records:
            text = f"{record.getMessage()} {record.__dict__}"
            assert VISA not in text
            assert KEY not in text
            assert TRANSACTION in text

    async def test_overlong_message_is_cut(self) -> None:
        answer, _ = await charge(error(code="x" * 5000, message="y " * 5000))
        assert len(answer.error_code) <= 500
        assert len(answer.error_message) <= 500


class Books(Wire):
    """What a search finds, and what the intents say when they are read themselves."""

    def __init__(self, found: Any, read: dict[str, Any] | BaseException | None = None, status: int = 200) -> None:
        steps: dict[str, list[Any]] = {
            "payment_intents/search": [found if isinstance(found, BaseException) else response(status, found)]
        }
        if read is not None:
            steps["payment_intents/pi_1"] = [read if isinstance(read, BaseException) else response(200, read)]
        super().__init__(**steps)


HIT = {"data": [{"id": "pi_1", "metadata": {"transaction_id": TRANSACTION}}]}


class TestLookUp:
    def setup_method(self) -> None:
        self.now = 1000.0

    def stripe(self, wire: Wire) -> Stripe:
        return connector(wire, clock=lambda: self.now)

    async def test_charge_that_succeeded_is_found(self) -> None:
        wire = Books(HIT, intent())
        answer = await self.stripe(wire).look_up(TRANSACTION)
        assert answer is not None
        assert (answer.outcome, answer.charge_id) == (Outcome.SUCCEEDED, "ch_1")
        assert [(method, key, body) for method, _, key, body in wire.sent] == [("GET", "", b"")] * 2

    async def test_charge_that_was_declined_is_found(self) -> None:
        refused = intent("requires_payment_method", last_payment_error={"code": "expired_card"})
        answer = await self.stripe(Books(HIT, refused)).look_up(TRANSACTION)
        assert answer is not None
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "invalid-date")

    async def test_intent_itself_is_believed_and_not_the_index(self) -> None:
        stale = {"data": [HIT["data"][0] | intent("canceled")]}
        answer = await self.stripe(Books(stale, intent())).look_up(TRANSACTION)
        assert answer is not None
        assert answer.outcome is Outcome.SUCCEEDED

    async def test_absence_means_nothing_until_the_search_has_caught_up(self) -> None:
        stripe = self.stripe(Books({"data": []}))
        assert await stripe.look_up(TRANSACTION) is None
        self.now += SEARCHABLE_S - 1
        assert await stripe.look_up(TRANSACTION) is None
        self.now += 1
        answer = await stripe.look_up(TRANSACTION)
        assert answer is not None
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "not_found")

    async def test_age_counts_from_the_last_try(self) -> None:
        wire = Books({"data": []})
        stripe = self.stripe(wire)
        self.now += 2 * SEARCHABLE_S
        wire.scripts[CHARGES] = [LOST]
        await stripe.submit(submission_of())
        self.now += SEARCHABLE_S - 1
        assert await stripe.look_up(TRANSACTION) is None
        await stripe.submit(submission_of(transaction_id="another"))
        self.now += 1
        await stripe.submit(submission_of(transaction_id="a third"))
        answer = await stripe.look_up(TRANSACTION)
        assert answer is not None
        assert answer.error_code == "not_found"

    async def test_age_counts_from_the_end_of_that_try(self) -> None:
        class Slow(Books):
            async def __call__(slow, method: str, url: str, **more: Any) -> HttpResponse:  # noqa: N805
                self.now += 60.0
                return await super().__call__(method, url, **more)

        wire = Slow({"data": []})
        wire.scripts[CHARGES] = [LOST]
        stripe = self.stripe(wire)
        await stripe.submit(submission_of())
        self.now += SEARCHABLE_S - 1
        assert await stripe.look_up(TRANSACTION) is None

    async def test_charge_under_way_is_not_old(self) -> None:
        asked: list[ConnectorAnswer | None] = []

        class Asking(Books):
            async def __call__(self, method: str, url: str, **more: Any) -> HttpResponse:
                if url.endswith(CHARGES):
                    asked.append(await stripe.look_up(TRANSACTION))
                return await super().__call__(method, url, **more)

        stripe = self.stripe(Asking({"data": []}))
        self.now += 2 * SEARCHABLE_S
        await stripe.submit(submission_of())
        assert asked == [None]

    @pytest.mark.parametrize("status", ["requires_confirmation", "requires_payment_method"])
    async def test_intent_that_has_not_begun_may_be_in_the_middle_when_young(self, status: str) -> None:
        stripe = self.stripe(Books(HIT, intent(status)))
        assert await stripe.look_up(TRANSACTION) is None
        self.now += SEARCHABLE_S
        answer = await stripe.look_up(TRANSACTION)
        assert answer is not None
        assert answer.outcome is Outcome.FAILED

    @pytest.mark.parametrize("status", ["processing", "requires_capture", "brand_new"])
    async def test_undecided_intent_stays_open(self, status: str) -> None:
        self.now += SEARCHABLE_S
        stripe = self.stripe(Books(HIT, intent(status)))
        self.now += SEARCHABLE_S
        assert await stripe.look_up(TRANSACTION) is None

    @pytest.mark.parametrize(
        "books",
        [
            Books(LOST),
            Books({"data": []}, status=500),
            Books({"data": []}, status=403),
            Books({}),
            Books({"data": [7]}),
            Books({"data": [{"id": "pi_1"}]}),
            Books({"data": [{"id": "../x", "metadata": {"transaction_id": TRANSACTION}}]}),
            Books(HIT, LOST),
            Books(HIT, {}),
            Books(HIT, intent(id="pi_2")),
        ],
    )
    async def test_answer_that_cannot_be_used_tells_nothing(self, books: Books) -> None:
        stripe = self.stripe(books)
        self.now += SEARCHABLE_S
        assert await stripe.look_up(TRANSACTION) is None

    async def test_metadata_that_differ_in_case_are_somebody_elses(self) -> None:
        other = {"data": [{"id": "pi_1", "metadata": {"transaction_id": TRANSACTION.upper()}}]}
        stripe = self.stripe(Books(other, intent()))
        self.now += SEARCHABLE_S
        answer = await stripe.look_up(TRANSACTION)
        assert answer is not None
        assert answer.error_code == "not_found"

    async def test_of_several_intents_one_that_charged_decides(self) -> None:
        wire = Books({"data": [HIT["data"][0], HIT["data"][0] | {"id": "pi_2"}]}, intent("canceled"))
        wire.scripts["/v1/payment_intents/pi_2"] = [response(200, intent(id="pi_2"))]
        answer = await self.stripe(wire).look_up(TRANSACTION)
        assert answer is not None
        assert answer.outcome is Outcome.SUCCEEDED
