"""No connector lies about money, whatever happens to its requests and answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.connectors import SignalWire, Twilio
from engine.connectors.generic import JsonConnector
from engine.net.http import BadAnswer, HttpError, HttpResponse, NotSent, Unanswered, request
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.support.gateway import FakeGateway
from tests.support.payments import ACCOUNT, VISA, SlidingClock, bank_debit_of, submission_of

URL = "https://gateway.example/pay"

Wire = tuple[type[JsonConnector], Callable[[], Submission]]
WIRES = st.sampled_from([(SignalWire, submission_of), (Twilio, submission_of), (Twilio, bank_debit_of)])


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def response(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(status=status, headers=(), body=body)


class IdempotentGateway:
    """Carries a payment out once, as its card decides, while the script ruins requests and answers."""

    def __init__(self, script: list[str], *, accepts: bool) -> None:
        self.script = script
        self.accepts = accepts
        self.is_booked = False
        self.is_decided = False
        self.sent: list[bytes] = []

    def decide(self) -> HttpResponse:
        self.is_decided = True
        self.is_booked = self.accepts
        if self.accepts:
            return response(200, b'{"charge_id":"ch_1","error_code":null}')
        return response(402, b'{"charge_id":null,"error_code":"card_declined"}')

    async def __call__(self, *_: object, body: bytearray, **__: object) -> HttpResponse:
        step = self.script[len(self.sent)] if len(self.sent) < len(self.script) else "ok"
        self.sent.append(bytes(body))
        if step == "not_sent":
            raise NotSent("x")
        if step.endswith("_after"):
            self.decide()
        if step == "duplicate" and self.is_decided:
            return response(400, b'{"error_code":"duplicate_transaction"}')
        kind = step.removesuffix("_after")
        if kind == "lost":
            raise Unanswered("x")
        if kind == "garbled":
            raise BadAnswer("x", status=None)
        if kind in ("500", "503", "409", "408", "429", "404", "401"):
            return response(int(kind), b"<html>")
        if kind == "noise":
            return response(200, b"<html>")
        return self.decide()


STEPS = [
    *("ok", "not_sent", "duplicate", "lost", "lost_after", "garbled", "garbled_after", "500", "500_after", "503"),
    *("409_after", "408", "429", "404", "401", "noise", "noise_after"),
]


@given(
    wire=WIRES, script=st.lists(st.sampled_from(STEPS), max_size=7), accepts=st.booleans(), repeats=st.integers(0, 5)
)
@example(wire=(SignalWire, submission_of), script=["lost_after", "not_sent", "404"], accepts=True, repeats=5)
@example(wire=(Twilio, bank_debit_of), script=["lost_after", "duplicate"], accepts=True, repeats=5)
def test_money_taken_is_never_called_refused(
    runner: asyncio.Runner, wire: Wire, script: list[str], accepts: bool, repeats: int
) -> None:
    gateway = IdempotentGateway(script, accepts=accepts)
    make, submission = wire
    connector = make("gw", url=URL, repeats=repeats, sleep=SlidingClock().sleep, send=gateway)
    answer = runner.run(connector.submit(submission()))
    if gateway.is_booked:
        assert answer.outcome in (Outcome.SUCCEEDED, Outcome.UNKNOWN)
    if answer.outcome is Outcome.SUCCEEDED:
        assert gateway.is_booked
    if answer.outcome is Outcome.DECLINED:
        assert gateway.is_decided
    used = script[: len(gateway.sent)] + ["ok"] * (len(gateway.sent) - len(script))
    if all(step in ("not_sent", "429", "404", "401", "ok") for step in used):
        assert answer.outcome is not Outcome.UNKNOWN
    assert len(set(gateway.sent)) == 1
    assert len(gateway.sent) <= repeats + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([VISA, ACCOUNT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ANSWERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("charge_id", "token_id", "error_code", "error_message", "parameters"), JSON)
)


@given(
    wire=WIRES, status=st.sampled_from([200, 201, 204, 400, 401, 402, 404, 409, 422, 429, 500]), answer=ANSWERS | JSON
)
def test_no_answer_upsets_the_connector_or_shows_the_number(
    runner: asyncio.Runner, wire: Wire, status: int, answer: Any
) -> None:
    async def send(*_: object, **__: object) -> HttpResponse:
        return response(status, json.dumps(answer).encode())

    make, submission = wire
    got: ConnectorAnswer = runner.run(make("gw", url=URL, sleep=SlidingClock().sleep, send=send).submit(submission()))
    assert (ACCOUNT if submission is bank_debit_of else VISA) not in repr(got)
    named = isinstance(answer, dict) and any(
        isinstance(answer.get(n), str) and answer[n] for n in ("charge_id", "token_id")
    )
    if named:
        assert got.outcome in (Outcome.SUCCEEDED, Outcome.UNKNOWN), "an id was given: money may have been taken"
    if got.outcome is Outcome.SUCCEEDED:
        assert status == 200
        assert got.charge_id
        assert answer["charge_id"]
        assert answer.get("error_code") in (None, "", False)


@settings(max_examples=40)
@given(answer=st.binary(max_size=200) | st.binary(max_size=50).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail))
def test_no_bytes_upset_the_client(runner: asyncio.Runner, answer: bytes) -> None:
    async def exchange() -> None:
        async with FakeGateway([f"raw:{answer.decode('latin-1')}"]) as gateway:
            body = bytearray(b"{}")
            try:
                got = await request("POST", gateway.url, headers={}, body=body, timeout_s=5, allow_insecure=True)
            except HttpError:
                pass
            else:
                assert 200 <= got.status < 1000
            body.append(0)

    runner.run(exchange())
