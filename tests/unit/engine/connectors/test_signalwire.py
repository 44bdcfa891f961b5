"""The SignalWire connector against a strict gateway that misbehaves by script."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from engine.connectors import SignalWire
from engine.connectors.signalwire import BACKOFF_S, payment_body
from engine.connectors.signatures import signature_headers
from engine.errors import ConnectorError
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.net.tls import client_context
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod
from tests.support.gateway import TLS_FILES, FakeGateway, server_tls
from tests.support.payments import VISA, SlidingClock, submission_of

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


async def submit(*script: HttpResponse | BaseException, **changes: Any) -> tuple[ConnectorAnswer, Wire]:
    wire = Wire(*script)
    connector = SignalWire("gw", url=URL, sleep=SlidingClock().sleep, send=wire)
    return await connector.submit(submission_of(**changes)), wire


class TestAnswers:
    """One row each of the table in the module's head."""

    async def test_200_with_charge_id_is_success(self) -> None:
        answer, wire = await submit(charged(parameters={"receipt": "R1", "n": 7, "deep": {}}))
        assert answer == ConnectorAnswer(
            outcome=Outcome.SUCCEEDED, charge_id="ch_1", parameters={"receipt": "R1", "n": "7", "deep": ""}
        )
        assert len(wire.sent) == 1

    async def test_200_with_token_id_is_success_of_tokenizing(self) -> None:
        answer, _ = await submit(response(200, {"token_id": "tok_1", "error_code": None}), operation=Operation.TOKENIZE)
        assert (answer.outcome, answer.token_id) == (Outcome.SUCCEEDED, "tok_1")

    async def test_id_may_be_a_number(self) -> None:
        answer, _ = await submit(charged(charge_id=4711))
        assert answer.charge_id == "4711"

    @pytest.mark.parametrize("status", [200, 400, 402, 422])
    async def test_error_code_is_a_decline_whatever_the_status(self, status: int) -> None:
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
    async def test_id_beside_an_error_code_is_unknown_and_not_repeated(self, status: int, code: Any) -> None:
        answer, wire = await submit(response(status, {"charge_id": "ch_1", "error_code": code}))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "contradiction", 1)

    @pytest.mark.parametrize("code", [None, "", False])
    async def test_empty_error_code_is_none(self, code: Any) -> None:
        answer, _ = await submit(charged(error_code=code))
        assert answer.outcome is Outcome.SUCCEEDED

    @pytest.mark.parametrize("code", [True, [], {}, {"a": 1}])
    async def test_error_code_of_another_type_without_an_id_is_a_decline(self, code: Any) -> None:
        answer, _ = await submit(refused(code))
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "unspecified")

    async def test_numeric_code_is_a_decline(self) -> None:
        answer, _ = await submit(refused(51))
        assert (answer.outcome, answer.error_code, answer.error_type) == (Outcome.DECLINED, "51", "card-declined")

    async def test_processor_that_failed_is_no_decline(self) -> None:
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
    async def test_200_without_the_right_id_is_unknown_and_not_repeated(self, body: Any) -> None:
        answer, wire = await submit(response(200, body))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "no_id", 1)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"ok"', b"\xff\xfe", b"[" * 100_000, b"{" * 5, b"NaN"])
    async def test_200_with_no_json_object_is_repeated_and_unknown(self, body: bytes) -> None:
        answer, wire = await submit(response(200, body))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "bad_answer", 6)

    async def test_402_without_a_readable_body_is_a_decline(self) -> None:
        answer, _ = await submit(response(402, b"no"))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "card-declined")

    async def test_429_is_repeated_and_certain_not_to_have_charged(self) -> None:
        answer, wire = await submit(response(429))
        assert (answer.outcome, len(wire.sent)) == (Outcome.FAILED, 6)

    @pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504])
    async def test_server_that_may_have_been_in_the_middle_is_repeated_and_unknown(self, status: int) -> None:
        answer, wire = await submit(response(status, {"error_code": "card_declined", "charge_id": None}))
        assert (answer.outcome, len(wire.sent)) == (Outcome.UNKNOWN, 6)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415])
    async def test_other_status_without_readable_body_failed(self, status: int) -> None:
        answer, wire = await submit(response(status, b"<html>"))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.FAILED, f"http_{status}", 1)

    @pytest.mark.parametrize("status", [401, 403, 404, 405, 407])
    async def test_gateway_that_does_not_let_us_in_does_not_blame_the_card(self, status: int) -> None:
        answer, _ = await submit(refused("bad_password", status=status))
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "bad_password")
        answer, _ = await submit(refused("expired_card", status=status))
        assert (answer.outcome, answer.error_type) == (Outcome.DECLINED, "invalid-date")

    @pytest.mark.parametrize("status", [201, 202, 204, 299])
    @pytest.mark.parametrize("body", [{"charge_id": "ch_1", "error_code": None}, {"error_code": None}, b""])
    async def test_other_2xx_may_have_charged(self, status: int, body: Any) -> None:
        answer, _ = await submit(response(status, body))
        assert answer.outcome is Outcome.UNKNOWN

    async def test_redirect_is_unknown_and_not_repeated(self) -> None:
        answer, wire = await submit(BadAnswer("redirect", status=302))
        assert (answer.outcome, len(wire.sent)) == (Outcome.UNKNOWN, 1)

    async def test_never_connected_failed(self) -> None:
        answer, wire = await submit(NotSent("refused"))
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.FAILED, "unreachable", 6)

    async def test_never_answered_is_unknown(self) -> None:
        answer, wire = await submit(LOST)
        assert (answer.outcome, answer.error_code, len(wire.sent)) == (Outcome.UNKNOWN, "no_answer", 6)

    async def test_bank_account_is_refused_unsent(self) -> None:
        answer, wire = await submit(charged(), method=PaymentMethod.ACH_DEBIT)
        assert (answer.outcome, answer.error_code, wire.sent) == (Outcome.FAILED, "unsupported_method", [])


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
    async def test_outcome(self, doubt: Any, last: Any, outcome: Outcome) -> None:
        answer, _ = await submit(doubt, last)
        assert answer.outcome is outcome

    async def test_without_doubt_a_duplicate_is_a_plain_refusal(self) -> None:
        answer, _ = await submit(NotSent("x"), refused("duplicate_transaction"))
        assert answer.outcome is Outcome.DECLINED


class TestRepeats:
    async def test_repeats_are_the_same_bytes_with_the_same_id_and_headers(self) -> None:
        _, wire = await submit(LOST, NotSent("x"), response(500), charged())
        assert wire.sent == [bytes(payment_body(submission_of()))] * 4
        assert all(headers == wire.headers[0] for headers in wire.headers)

    async def test_waits_grow_and_are_bounded(self) -> None:
        clock, wire = SlidingClock(), Wire(LOST)
        connector = SignalWire("gw", url=URL, repeats=7, sleep=clock.sleep, send=wire)
        await connector.submit(submission_of())
        assert clock.slept == [*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]]
        assert len(wire.sent) == 8

    async def test_no_repeats_when_none_are_wanted(self) -> None:
        wire = Wire(LOST)
        await SignalWire("gw", url=URL, repeats=0, send=wire).submit(submission_of())
        assert len(wire.sent) == 1


class TestWiping:
    @pytest.mark.parametrize(
        "script",
        [[charged()], [refused("card_declined")], [LOST], [NotSent("x")], [BadAnswer("x")], [RuntimeError("bug")]],
    )
    async def test_body_is_zeros_however_it_ended(self, script: list[Any]) -> None:
        wire = Wire(*script)
        connector = SignalWire("gw", url=URL, sleep=SlidingClock().sleep, send=wire)
        try:
            await connector.submit(submission_of())
        except RuntimeError:
            pass
        assert len({id(buffer) for buffer in wire.buffers}) == 1
        assert not any(wire.buffers[0])

    async def test_body_is_zeros_after_cancellation(self) -> None:
        buffers: list[bytearray] = []

        async def hang(*_: object, body: bytearray, **__: object) -> HttpResponse:
            buffers.append(body)
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.create_task(SignalWire("gw", url=URL, send=hang).submit(submission_of()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert buffers
        assert not any(buffers[0])

    async def test_connector_does_not_wipe_the_secrets_itself(self) -> None:
        submission = submission_of()
        await SignalWire("gw", url=URL, send=Wire(charged())).submit(submission)
        assert submission.card_number is not None
        assert not submission.card_number.wiped


class TestDiscretion:
    async def test_gateway_that_quotes_the_card_does_not_get_it_into_the_answer(self) -> None:
        quoting = refused("code", f"card {VISA} with cvv 123 refused")
        answer, _ = await submit(quoting)
        assert VISA not in repr(answer)
        assert "123" not in answer.error_message
        answer, _ = await submit(charged(charge_id=f"ch_{VISA}", parameters={"pan": VISA}))
        assert VISA not in repr(answer)

    async def test_log_names_connector_transaction_and_reason_but_no_digit(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        await submit(refused("x", VISA, 500), LOST, charged())
        assert len(caplog.records) == 2
        for record in caplog.records:
            text = f"{record.getMessage()} {record.__dict__}"
            assert VISA not in text
            assert "7f4c9d0a" in text

    async def test_overlong_message_is_cut(self) -> None:
        answer, _ = await submit(refused("x" * 5000, "y " * 5000))
        assert len(answer.error_code) <= 500
        assert len(answer.error_message) <= 500

    @pytest.mark.parametrize("url", ["http://gateway.example/", "ftp://x/", "https://"])
    async def test_unusable_url_is_refused_at_once(self, url: str) -> None:
        with pytest.raises(ConnectorError, match="connector gw: the URL"):
            SignalWire("gw", url=url)


class TestOnTheWire:
    """With the real HTTP client and a gateway on loopback."""

    async def submit(self, gateway: FakeGateway, *, repeats: int = 5, **more: Any) -> ConnectorAnswer:
        connector = SignalWire(
            "gw",
            url=gateway.url,
            allow_insecure=True,
            timeout_s=more.pop("timeout_s", 5.0),
            repeats=repeats,
            sleep=SlidingClock().sleep,
            **more,
        )
        return await connector.submit(submission_of())

    async def test_strict_gateway_takes_the_payment(self) -> None:
        async with FakeGateway() as gateway:
            answer = await self.submit(gateway)
        assert (answer.outcome, answer.charge_id, gateway.violations) == (Outcome.SUCCEEDED, "ch_1", [])

    async def test_over_tls_with_credentials_and_signature(self) -> None:
        async with FakeGateway(tls=server_tls()) as gateway:
            url = gateway.url.replace("https://", "https://user:pass@") + "?shop=1"
            connector = SignalWire("gw", url=url, signing_key="k", tls=client_context(str(TLS_FILES / "ca.pem")))
            answer = await connector.submit(submission_of())
            await connector.close()
        received = gateway.requests[0]
        assert answer.outcome is Outcome.SUCCEEDED
        assert received.headers["authorization"] == "Basic dXNlcjpwYXNz"
        expected = signature_headers("k", gateway.url + "?shop=1", received.body)
        for name, value in expected.items():
            assert received.headers[name.lower()] == value

    @pytest.mark.parametrize("step", ["reset_after", "http_500_after", "truncated", "oversized", "close"])
    async def test_charge_whose_answer_was_lost_is_not_taken_twice(self, step: str) -> None:
        async with FakeGateway([step]) as gateway:
            answer = await self.submit(gateway)
        assert answer.outcome is Outcome.SUCCEEDED
        assert list(gateway.times_booked.values()) == [1]
        assert len(gateway.requests) == 2

    async def test_silence_at_every_try_is_one_charge_and_unknown(self) -> None:
        async with FakeGateway(["silence"] * 3) as gateway:
            answer = await self.submit(gateway, repeats=2, timeout_s=0.1)
        assert answer.outcome is Outcome.UNKNOWN
        assert list(gateway.times_booked.values()) == [1]
        assert len({received.body for received in gateway.requests}) == 1

    async def test_duplicate_after_silence_is_unknown(self) -> None:
        async with FakeGateway(["reset_after", "stolen_repeat"]) as gateway:
            answer = await self.submit(gateway)
        assert answer.outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("step", ["informational_flood", "head_flood", "drip"])
    async def test_hostile_gateway_ends_in_unknown(self, step: str) -> None:
        async with FakeGateway([step] * 2) as gateway:
            answer = await self.submit(gateway, repeats=1, timeout_s=0.3 if step == "drip" else 5.0)
        assert answer.outcome is Outcome.UNKNOWN

    async def test_look_up_cannot_tell(self) -> None:
        assert await SignalWire("gw", url=URL).look_up("t") is None
