"""Gateways that answer what they should not, over real sockets, on every wire: the outcome as certain as it can be.

Each case says whether the charge was booked before the answer went wrong. Booked and called FAILED or DECLINED would be
a charge that nobody knows of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.connectors import Connector, SignalWire, Twilio
from engine.connectors.signalwire import BodyForm
from engine.pay.submission import Outcome, Submission
from tests.support.gateway import BASIC_AUTH, FakeGateway
from tests.support.payments import ACCOUNT, VISA, SlidingClock, bank_debit_of, submission_of

pytestmark = pytest.mark.asyncio

OK = "raw:HTTP/1.1 200 OK\r\n"
UNKNOWN, FAILED, DECLINED = Outcome.UNKNOWN, Outcome.FAILED, Outcome.DECLINED


def answering(body: str, head: str = "") -> str:
    return f"{OK}{head}Content-Length: {len(body)}\r\n\r\n{body}"


# What the gateway does each time it is asked, and what that leaves.
CASES: dict[str, tuple[str, Outcome]] = {
    "64 KiB and one": (answering('{"charge_id":"ch_1","x":"' + "x" * 65536 + '"}'), UNKNOWN),
    "a body without end": ("oversized", UNKNOWN),
    "invalid UTF-8": (answering('{"charge_id":"\xff\xfe","error_code":null}'), UNKNOWN),
    "cut off JSON": (answering('{"charge_id":"ch_1"'), UNKNOWN),
    "no JSON": (answering("<html>thank you</html>"), UNKNOWN),
    "nothing": (answering(""), UNKNOWN),
    "a list": (answering('[{"charge_id":"ch_1"}]'), UNKNOWN),
    "deep nesting": (answering("[" * 60000), UNKNOWN),
    "deep nesting in a member": (answering('{"charge_id":' + '{"a":' * 9000 + "1" + "}" * 9000 + "}"), UNKNOWN),
    "an id that is an object": (answering('{"charge_id":{"id":"ch_1"},"error_code":null}'), UNKNOWN),
    "an id that is true": (answering('{"charge_id":true,"error_code":null}'), UNKNOWN),
    "an endless number": (answering('{"charge_id":' + "9" * 60000 + "}"), UNKNOWN),
    "an error that is a list": (answering('{"charge_id":null,"error_code":["x"]}'), DECLINED),
    "an error message that is an object": (answering('{"error_code":"expired_card","error_message":{}}'), DECLINED),
    "redirect": ("status:302", UNKNOWN),
    "redirect that keeps the method": ("status:308", UNKNOWN),
    "1xx without end": ("informational_flood", UNKNOWN),
    "headers without end": ("head_flood", UNKNOWN),
    "slow drip": ("drip", UNKNOWN),
    "switching protocols": (
        "raw:HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        UNKNOWN,
    ),
    "compressed": (answering("x", "Content-Encoding: gzip\r\n"), UNKNOWN),
    "two lengths": (answering("{}", "Content-Length: 7\r\n"), UNKNOWN),
    "garbage": ("raw:\x00\x01\x02 what\r\n\r\n", UNKNOWN),
    "HTTP/0.9": ('raw:{"charge_id":"ch_1"}', UNKNOWN),
    "truncated": ("truncated", UNKNOWN),
    "closed without a word": ("close", UNKNOWN),
    "reset": ("reset_before", UNKNOWN),
    "500": ("http_500", UNKNOWN),
    "404 page": ("status:404:<html>", FAILED),
    "402 page": ("status:402:<html>", DECLINED),
    "429": ("status:429", FAILED),
}
WIRES: dict[str, tuple[str, Callable[..., Connector], Callable[[], Submission], str]] = {
    "signalwire": ("signalwire", SignalWire, submission_of, VISA),
    "compatible": (
        "compatible",
        lambda *args, **options: SignalWire(*args, form=BodyForm.COMPATIBLE, **options),
        submission_of,
        VISA,
    ),
    "twilio": ("twilio", Twilio, submission_of, VISA),
    "twilio-ach": ("twilio", Twilio, bank_debit_of, ACCOUNT),
}


def connector(make: Callable[..., Connector], gateway: FakeGateway, **options: Any) -> Connector:
    if make is Twilio:
        options["basic_auth"] = BASIC_AUTH
    return make("gw", url=gateway.url, allow_insecure=True, sleep=SlidingClock().sleep, **options)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("case", CASES)
async def test_outcome_is_as_certain_as_it_can_be(case: str, wire: str) -> None:
    step, outcome = CASES[case]
    kind, make, submission, number = WIRES[wire]
    async with FakeGateway([step] * 2, wire=kind) as gateway:
        timeout_s = 0.2 if case == "slow drip" else 30.0
        answer = await connector(make, gateway, repeats=1, timeout_s=timeout_s).submit(submission())
    assert answer.outcome is outcome
    assert number not in repr(answer)
    assert not gateway.violations
    if gateway.times_booked:
        assert answer.outcome is UNKNOWN


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("step", ["reset_after", "http_500_after", "truncated", "oversized", "close"])
async def test_charge_whose_answer_was_lost_is_not_taken_twice(step: str, wire: str) -> None:
    kind, make, submission, _ = WIRES[wire]
    async with FakeGateway([step], wire=kind) as gateway:
        answer = await connector(make, gateway).submit(submission())
    assert (answer.outcome, gateway.violations) == (Outcome.SUCCEEDED, [])
    assert list(gateway.times_booked.values()) == [1]
    assert len(gateway.requests) == 2


@pytest.mark.parametrize("wire", WIRES)
async def test_silence_at_every_try_is_one_charge_and_unknown(wire: str) -> None:
    kind, make, submission, _ = WIRES[wire]
    async with FakeGateway(["silence"] * 3, wire=kind) as gateway:
        answer = await connector(make, gateway, repeats=2, timeout_s=0.1).submit(submission())
    assert answer.outcome is UNKNOWN
    assert list(gateway.times_booked.values()) == [1]
    assert len({received.body for received in gateway.requests}) == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_duplicate_after_silence_is_unknown(wire: str) -> None:
    kind, make, submission, _ = WIRES[wire]
    async with FakeGateway(["reset_after", "stolen_repeat"], wire=kind) as gateway:
        answer = await connector(make, gateway).submit(submission())
    assert answer.outcome is UNKNOWN
