"""What the answers of a gateway come to, on each wire that sends a payment as JSON: `generic`'s table, row by row."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from engine.connectors import SignalWire, Twilio
from engine.connectors.generic import MAX_PARAMETERS, JsonConnector
from engine.connectors.signalwire import BodyForm
from engine.connectors.tries import BACKOFF_S
from engine.errors import ConnectorError
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission
from tests.support.payments import ACCOUNT, VISA, SlidingClock, bank_debit_of, secret_of, submission_of

pytestmark = pytest.mark.asyncio

URL = "https://gateway.example/pay"


class Wire:
    """Stands in for the network: answers by script, keeps what was sent and the very buffer it was sent from."""

    def __init__(self, *script: HttpResponse | BaseException) -> None:
        self.script = list(script)
        self.sent: list[bytes] = []
        self.buffers: list[bytearray] = []
        self.headers: list[dict[str, str]] = []

    async def __call__(
        self, method: str, url: str, *, headers: dict[str, str], body: bytearray, **_: Any
    ) -> HttpResponse:
        self.sent.append(bytes(body))
        self.buffers.append(body)
        self.headers.append(headers)
        step = self.script[min(len(self.sent), len(self.script)) - 1]
        if isinstance(step, BaseException):
            raise step
        return step


def response(status: int, body: Any = b"") -> HttpResponse:
    return HttpResponse(status=status, headers=(), body=body if isinstance(body, bytes) else json.dumps(body).encode())


def charged(**members: Any) -> HttpResponse:
    return response(200, {"charge_id": "ch_1", "error_code": None, "error_message": None} | members)


def refused(code: Any, message: Any = "no", status: int = 400) -> HttpResponse:
    return response(status, {"charge_id": None, "error_code": code, "error_message": message})


LOST = Unanswered("lost")


WIRES: Mapping[str, tuple[Callable[..., JsonConnector], dict[str, Any]]] = {
    "signalwire": (SignalWire, {}),
    "signalwire-compatible": (partial(SignalWire, form=BodyForm.COMPATIBLE), {}),
    "twilio": (partial(Twilio, basic_auth=("shop", "pw")), {}),
    "twilio-ach": (Twilio, {"method": PaymentMethod.ACH_DEBIT}),
}


class Payer:
    """Sends one payment over one wire."""

    def __init__(self, kind: str) -> None:
        self.make, self.changes = WIRES[kind]
        self.is_bank_debit = "method" in self.changes

    @property
    def number(self) -> str:
        return ACCOUNT if self.is_bank_debit else VISA

    def submission(self, **changes: Any) -> Submission:
        make = bank_debit_of if self.is_bank_debit else submission_of
        return make(**{**self.changes, **changes})

    def connector(self, send: Any, **options: Any) -> JsonConnector:
        return self.make("gw", url=URL, send=send, **{"sleep": SlidingClock().sleep, **options})

    async def __call__(self, *script: HttpResponse | BaseException, **changes: Any) -> tuple[ConnectorAnswer, Wire]:
        wire = Wire(*script)
        return await self.connector(wire).submit(self.submission(**changes)), wire


@pytest.fixture(params=WIRES)
def submit(request: pytest.FixtureRequest) -> Payer:
    return Payer(request.param)


class TestAnswers:
    """One row each of the table in the module's head."""

    async def test_200_with_charge_id_is_success(self, submit: Payer) -> None:
        answer, wire = await submit(charged(parameters={"receipt": "R1", "n": 7, "deep": {}}))
        assert answer == ConnectorAnswer(
            outcome=Outcome.SUCCEEDED, charge_id="ch_1", parameters={"receipt": "R1", "n": "7", "deep": ""}
        )
        assert len(wire.sent) == 1

    async def test_200_with_token_id_is_success_of_tokenizing(self, submit: Payer) -> None:
        answer, _ = await submit(response(200, {"token_id": "tok_1", "error_code": None}), operation=Operation.TOKENIZE)
        assert (answer.outcome, answer.token_id) == (Outcome.SUCCEEDED, "tok_1")

    async def test_id_may_be_a_number(self, submit: Payer) -> None:
        answer, _ = await submit(charged(charge_id=4711))
        assert answer.charge_id == "4711"

    @pytest.mark.parametrize("status", [200, 400, 402, 422])
    async def test_error_code_is_a_decline_whatever_the_status(self, submit: Payer, status: int) -> None:
        answer, wire = await submit(refused("insufficient_funds", "not enough", status))
        assert answer == ConnectorAnswer(
            outcome=Outcome.DECLINED,
            error_code="insufficient_funds",
            error_message="not enough",
            error_type="card-declined",
        )
        assert len(wire.sent) == 1

    @pytest.mark.parametrize("status", [200, 201, 400, 402, 404])
    @pytest.mark.parametrize("code", ["card_declined", 0, 51, True, [], {"a": 1}])
    async def test_id_beside_an_error_code_is_unknown_and_not_repeated(
        self, submit: Payer, status: int, code: Any
    ) -> None:
        answer, wire = await submit(response(status, {"charge_id": "ch_1", "error_code": code}))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "contradiction", 1)

    @pytest.mark.parametrize("code", [None, "", False])
    async def test_empty_error_code_is_none(self, submit: Payer, code: Any) -> None:
        answer, _ = await submit(charged(error_code=code))
        assert answer.outcome is Outcome.SUCCEEDED

    @pytest.mark.parametrize("code", [True, [], {}, {"a": 1}])
    async def test_error_code_of_another_type_without_an_id_is_a_decline(self, submit: Payer, code: Any) -> None:
        answer, _ = await submit(refused(code))
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "unspecified")

    async def test_numeric_code_is_a_decline(self, submit: Payer) -> None:
        answer, _ = await submit(refused(51))
        assert (answer.outcome, answer.error_code, answer.error_type) == (Outcome.DECLINED, "51", "card-declined")

    async def test_processor_that_failed_is_no_decline(self, submit: Payer) -> None:
        answer, _ = await submit(refused("processing_error"))
        assert (answer.outcome, answer.error_type) == (Outcome.FAILED, "")

    @pytest.mark.parametrize(
        "body",
        [
            {"charge_id": None, "error_code": None},
            {"charge_id": "", "error_code": None},
            {},
            {"token_id": "tok_1"},
            {"charge_id": True},
            {"charge_id": ["ch_1"]},
        ],
    )
    async def test_200_without_the_right_id_is_unknown_and_not_repeated(self, submit: Payer, body: Any) -> None:
        answer, wire = await submit(response(200, body))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "no_id", 1)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"ok"', b"\xff\xfe", b"[" * 100_000, b"{" * 5, b"NaN"])
    async def test_200_with_no_json_object_is_repeated_and_unknown(self, submit: Payer, body: bytes) -> None:
        answer, wire = await submit(response(200, body))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "bad_answer", 6)

    async def test_402_without_a_readable_body_is_a_decline(self, submit: Payer) -> None:
        answer, _ = await submit(response(402, b"no"))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "card-declined")

    async def test_429_is_repeated_and_certain_not_to_have_charged(self, submit: Payer) -> None:
        answer, wire = await submit(response(429))
        assert (answer.outcome, len(wire.sent)) == (Outcome.FAILED, 6)

    @pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504])
    async def test_server_that_may_have_been_in_the_middle_is_repeated_and_unknown(
        self, submit: Payer, status: int
    ) -> None:
        answer, wire = await submit(response(status, {"error_code": "card_declined", "charge_id": None}))
        assert (answer.outcome, len(wire.sent)) == (Outcome.UNKNOWN, 6)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415])
    async def test_other_status_without_readable_body_failed(self, submit: Payer, status: int) -> None:
        answer, wire = await submit(response(status, b"<html>"))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.FAILED, f"http_{status}", 1)

    @pytest.mark.parametrize("status", [401, 403, 404, 405, 407])
    async def test_gateway_that_does_not_let_us_in_does_not_blame_the_card(self, submit: Payer, status: int) -> None:
        answer, _ = await submit(refused("bad_password", status=status))
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "bad_password")
        answer, _ = await submit(refused("expired_card", status=status))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "invalid-date")

    @pytest.mark.parametrize("status", [201, 202, 204, 299])
    @pytest.mark.parametrize("body", [{"charge_id": "ch_1", "error_code": None}, {"error_code": None}, b""])
    async def test_other_2xx_may_have_charged(self, submit: Payer, status: int, body: Any) -> None:
        answer, _ = await submit(response(status, body))
        assert answer.outcome is Outcome.UNKNOWN

    async def test_redirect_is_unknown_and_not_repeated(self, submit: Payer) -> None:
        answer, wire = await submit(BadAnswer("redirect", status=302))
        assert (answer.outcome, len(wire.sent)) == (Outcome.UNKNOWN, 1)

    async def test_never_connected_failed(self, submit: Payer) -> None:
        answer, wire = await submit(NotSent("refused"))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.FAILED, "unreachable", 6)

    async def test_never_answered_is_unknown(self, submit: Payer) -> None:
        answer, wire = await submit(LOST)
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "no_answer", 6)


class TestAfterSilence:
    """Once a try may have been carried out, only the gateway's word on this transaction settles it."""

    @pytest.mark.parametrize("doubt", [LOST, BadAnswer("x"), response(503), response(200, b"?")])
    @pytest.mark.parametrize(
        ("last", "outcome"),
        [
            (charged(), Outcome.SUCCEEDED),
            (refused("card_declined"), Outcome.DECLINED),
            (refused("processing_error"), Outcome.FAILED),
            (refused("duplicate_transaction"), Outcome.UNKNOWN),
            (response(404), Outcome.UNKNOWN),
            (response(402), Outcome.DECLINED),
            (response(429), Outcome.UNKNOWN),
            (NotSent("x"), Outcome.UNKNOWN),
            (response(200, {}), Outcome.UNKNOWN),
        ],
    )
    async def test_outcome(self, submit: Payer, doubt: Any, last: Any, outcome: Outcome) -> None:
        answer, _ = await submit(doubt, last)
        assert answer.outcome is outcome

    async def test_without_doubt_a_duplicate_is_a_plain_refusal(self, submit: Payer) -> None:
        answer, _ = await submit(NotSent("x"), refused("duplicate_transaction"))
        assert answer.outcome is Outcome.DECLINED


class TestRepeats:
    async def test_repeats_are_the_same_bytes_with_the_same_id_and_headers(self, submit: Payer) -> None:
        _, wire = await submit(LOST, NotSent("x"), response(500), charged())
        submission = submit.submission()
        body = bytes(submit.connector(wire).body_of(submission))
        assert wire.sent == [body] * 4
        assert submission.transaction_id.encode() in body
        assert all(headers == wire.headers[0] for headers in wire.headers)

    async def test_waits_grow_and_are_bounded(self, submit: Payer) -> None:
        clock, wire = SlidingClock(), Wire(LOST)
        await submit.connector(wire, repeats=7, sleep=clock.sleep).submit(submit.submission())
        assert clock.slept == [*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]]
        assert len(wire.sent) == 8

    async def test_no_repeats_when_none_are_wanted(self, submit: Payer) -> None:
        wire = Wire(LOST)
        await submit.connector(wire, repeats=0).submit(submit.submission())
        assert len(wire.sent) == 1


class TestWiping:
    @pytest.mark.parametrize(
        "script",
        [[charged()], [refused("card_declined")], [LOST], [NotSent("x")], [BadAnswer("x")], [RuntimeError("bug")]],
    )
    async def test_body_is_zeros_however_it_ended(self, submit: Payer, script: list[Any]) -> None:
        wire = Wire(*script)
        try:
            await submit.connector(wire).submit(submit.submission())
        except RuntimeError:
            pass
        assert len({id(buffer) for buffer in wire.buffers}) == 1
        assert not any(wire.buffers[0])

    async def test_body_is_zeros_after_cancellation(self, submit: Payer) -> None:
        buffers: list[bytearray] = []

        async def hang(*_: object, body: bytearray, **__: object) -> HttpResponse:
            buffers.append(body)
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.create_task(submit.connector(hang).submit(submit.submission()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert buffers
        assert not any(buffers[0])

    async def test_connector_does_not_wipe_the_secrets_itself(self, submit: Payer) -> None:
        submission = submit.submission()
        await submit.connector(Wire(charged())).submit(submission)
        assert not any(secret.wiped for secret in (submission.card_number, submission.account_number) if secret)


class TestDiscretion:
    async def test_gateway_that_quotes_the_number_does_not_get_it_into_the_answer(self, submit: Payer) -> None:
        number = submit.number
        answer, _ = await submit(refused(f"code-{number}", f"number {number} refused"))
        assert number not in repr(answer)
        assert "number *" in answer.error_message
        quoting = charged(charge_id=f"ch_{number}", profile_id=number, parameters={"pan": number, f"x{number}": "y"})
        answer, _ = await submit(quoting)
        assert answer.outcome is Outcome.SUCCEEDED
        assert number not in repr(answer)

    async def test_security_code_goes_out_of_texts_and_stays_in_ids(self) -> None:
        answer, _ = await Payer("twilio")(refused("E123", "cvv 123 is wrong"))
        assert (answer.error_code, answer.error_message) == ("E123", "cvv *** is wrong")

    async def test_short_account_number_goes_out_of_texts_and_stays_in_ids(self) -> None:
        account = secret_of("4711")
        answer, _ = await Payer("twilio-ach")(
            charged(charge_id="ch_14711", parameters={"account": "4711"}), account_number=account
        )
        assert (answer.charge_id, answer.parameters["account"]) == ("ch_14711", "****")

    async def test_log_names_connector_transaction_and_reason_but_no_digit(
        self, submit: Payer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        await submit(refused("x", submit.number, 500), LOST, charged())
        assert len(caplog.records) == 2
        for record in caplog.records:
            text = f"{record.getMessage()} {record.__dict__}"
            assert submit.number not in text
            assert "7f4c9d0a" in text

    @pytest.mark.parametrize("status", [401, 403, 407])
    async def test_gateway_that_quotes_our_password_is_not_quoted(self, submit: Payer, status: int) -> None:
        answer, _ = await submit(refused("bad_password", "no user shop with password hunter2", status))
        assert "hunter2" not in repr(answer)
        assert str(status) in answer.error_message

    async def test_overlong_message_is_cut(self, submit: Payer) -> None:
        answer, _ = await submit(refused("x" * 5000, "y " * 5000))
        assert len(answer.error_code) <= 500
        assert len(answer.error_message) <= 500

    @pytest.mark.parametrize("url", ["http://gateway.example/", "ftp://x/", "https://", "https://ä.example/"])
    async def test_unusable_url_is_refused_at_once_and_not_repeated(self, submit: Payer, url: str) -> None:
        with pytest.raises(ConnectorError, match="connector gw: the URL") as caught:
            submit.make("gw", url=url)
        assert "example" not in str(caught.value)


class TestWhatIsPassedOn:
    async def test_profile_reaches_the_answer(self, submit: Payer) -> None:
        answer, _ = await submit(charged(profile_id="cus_1"))
        assert answer.profile_id == "cus_1"

    async def test_parameters_are_texts_and_bounded_in_number(self, submit: Payer) -> None:
        many = {f"p{n}": n for n in range(1000)}
        answer, _ = await submit(charged(parameters=many))
        assert len(answer.parameters) == MAX_PARAMETERS
        assert answer.parameters["p7"] == "7"

    @pytest.mark.parametrize("parameters", [None, [], "x", 7, [{"name": "a", "value": "b"}]])
    async def test_parameters_of_another_type_are_none(self, submit: Payer, parameters: Any) -> None:
        answer, _ = await submit(charged(parameters=parameters))
        assert (answer.outcome, answer.parameters) == (Outcome.SUCCEEDED, {})

    async def test_id_too_long_to_be_one_leaves_the_outcome_unknown(self, submit: Payer) -> None:
        answer, wire = await submit(charged(charge_id="x" * 256))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "bad_answer", 1)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
    async def test_what_is_no_number_is_no_id(self, submit: Payer, number: str) -> None:
        answer, _ = await submit(response(200, f'{{"charge_id":{number},"error_code":null}}'.encode()))
        assert answer.outcome is Outcome.UNKNOWN
