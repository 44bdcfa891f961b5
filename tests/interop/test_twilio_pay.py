"""``<Pay>`` by the vendor's own library, on real calls: a softphone (PJSIP) keys tones, signatures are checked.

Every document is made with ``twilio.twiml``, every request of the engine is validated with ``RequestValidator``
(``tests.support.twiml_app``), and what each caller heard is told by tones that no key has.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from twilio.twiml.voice_response import Pay, VoiceResponse

from tests.support.caller import VISA, Call, Script, expiry, pay
from tests.support.engine import RunningEngine, running_engine
from tests.support.hearing import read_recording
from tests.support.twiml_app import ACCOUNT, TOKEN, TOKEN_ENV, TwimlApp, running_app, tone_wav, twilio_toml

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.asyncio]

AMEX = "378282246310005"
DECLINED = "4000000000000002"
WRONG = "4242424242424241"
ROUTING, ACCOUNT_NUMBER = "021000021", "000123456789"
TONES = {"first": 500.0, "again": 600.0, "timeout": 750.0, "amex": 900.0, "other": 1050.0}
"File by name: the frequency in Hz that tells it in a recording."
STANDARD = {"AccountSid", "ApiVersion", "CallSid", "CallStatus", "Direction", "From", "To", "Caller", "Called"}
CALLS_AT_ONCE = 3


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A document with ``<Pay>``, what the caller does, and what the application must be told."""

    pay: dict[str, Any]
    script: Script
    result: str
    told: Mapping[str, str] = field(default_factory=dict)
    "Parameters of the action request, whole; a value in slashes is a pattern."
    absent: tuple[str, ...] = ()
    prompts: Callable[[Pay, str], None] = lambda pay, url: None
    tones: tuple[str, ...] = ()
    "Which of `TONES` the caller heard, in order."
    steps: tuple[tuple[str, str, str], ...] | None = None
    "``For``, ``ErrorType`` and ``Attempt`` of each status callback."


def _by_attempt_and_error(pay: Pay, url: str) -> None:
    pay.prompt(for_="payment-card-number").play(f"{url}/first.wav")
    pay.prompt(for_="payment-card-number", attempt=[2, 3]).play(f"{url}/again.wav")
    pay.prompt(for_="payment-card-number", error_type=["timeout"], attempt=2).play(f"{url}/timeout.wav")


def _by_card_type(pay: Pay, url: str) -> None:
    pay.prompt(for_="payment-card-number").play(f"{url}/first.wav")
    pay.prompt(for_="security-code", card_type="visa mastercard").play(f"{url}/other.wav")
    pay.prompt(for_="security-code", card_type="amex").play(f"{url}/amex.wav")


def _twice(pay: Pay, url: str) -> None:
    pay.prompt(for_="bank-account-number").play(f"{url}/first.wav")
    pay.prompt(for_="bank-account-number", require_matching_inputs=True).play(f"{url}/again.wav")


def _good(**changes: Any) -> Script:
    return Script.good(mode="in-band", **changes)


CARD = {"PaymentMethod": "credit-card", "PaymentCardNumber": "xxxxxxxxxxxx4242", "PaymentCardType": "visa"}
NONE = Script(entries={}, mode="in-band")
DEBIT = {"bank-routing-number": [ROUTING], "bank-account-number": [f"{ACCOUNT_NUMBER}#"]}

SCENARIOS = {
    "charge": Scenario(
        pay={"charge_amount": "25.00", "currency": "usd"},
        script=_good(),
        result="success",
        told={
            **CARD,
            "PaymentConfirmationCode": "/.+/",
            "SecurityCode": "xxx",
            "ExpirationDate": expiry(),
            "PaymentCardPostalCode": "94105",
        },
        absent=("PaymentToken", "PaymentError", "PayErrorCode"),
        steps=(
            ("payment-card-number", "", "1"),
            ("expiration-date", "", "1"),
            ("security-code", "", "1"),
            ("postal-code", "", "1"),
            ("payment-processing", "", "1"),
        ),
    ),
    "tokenize": Scenario(
        pay={"token_type": "reusable", "postal_code": "94105"},
        script=_good(),
        result="success",
        told={**CARD, "PaymentToken": "/.+/", "PaymentCardPostalCode": "94105"},
        absent=("PaymentConfirmationCode",),
    ),
    "ach": Scenario(
        pay={"payment_method": "ach-debit", "charge_amount": "80.00", "bank_account_type": "commercial-checking"},
        script=Script(entries=DEBIT, mode="in-band"),
        result="success",
        told={
            "PaymentMethod": "ach-debit",
            "BankAccountNumber": "**********89",
            "BankRoutingNumber": ROUTING,
            "BankAccountType": "commercial-checking",
        },
        absent=("PaymentCardNumber", "SecurityCode"),
    ),
    "matching": Scenario(
        pay={"payment_method": "ach-debit", "charge_amount": "80.00"},
        script=Script(
            entries={
                **DEBIT,
                "bank-account-number": [
                    f"{ACCOUNT_NUMBER}#",
                    "000123456780#",
                    f"{ACCOUNT_NUMBER}#",
                    f"{ACCOUNT_NUMBER}#",
                ],
            },
            mode="in-band",
        ),
        result="success",
        told={"BankAccountNumber": "**********89"},
        prompts=_twice,
    ),
    "prompts by attempt and error": Scenario(
        pay={"charge_amount": "25.00", "max_attempts": 2, "timeout": 4, "security_code": False, "postal_code": False},
        script=_good(payment_card_number=["", f"{WRONG}#", f"{VISA}#"]),
        result="success",
        told=CARD,
        prompts=_by_attempt_and_error,
        tones=("first", "timeout", "again"),
    ),
    "prompts by card type": Scenario(
        pay={"charge_amount": "25.00", "postal_code": False},
        script=_good(card=AMEX, code="1234"),
        result="success",
        told={"PaymentCardType": "amex", "PaymentCardNumber": "xxxxxxxxxxx0005", "SecurityCode": "xxxx"},
        prompts=_by_card_type,
        tones=("first", "amex"),
    ),
    "retries used up": Scenario(
        pay={"charge_amount": "25.00", "max_attempts": 1},
        script=_good(payment_card_number=[f"{WRONG}#", f"{WRONG}#"]),
        result="too-many-failed-attempts",
        told={"PaymentError": "invalid-card-number"},
        absent=("PaymentConfirmationCode",),
    ),
    "star": Scenario(
        pay={"charge_amount": "25.00"}, script=_good(security_code=["1*"]), result="caller-interrupted-with-star"
    ),
    "decline": Scenario(
        pay={"charge_amount": "25.00"},
        script=_good(card=DECLINED),
        result="payment-connector-error",
        told={"PaymentError": "/.+/", "PayErrorCode": "64008", "ConnectorError": "/.+/"},
    ),
    "hang-up": Scenario(
        pay={"charge_amount": "25.00"}, script=replace(_good(), hang_up_at="security-code"), result="caller-hung-up"
    ),
    "nothing keyed": Scenario(
        pay={"charge_amount": "25.00", "timeout": 4},
        script=NONE,
        result="too-many-failed-attempts",
        told={"PaymentError": "input-timeout"},
    ),
    "wrong amount": Scenario(
        pay={"charge_amount": "-1"}, script=NONE, result="validation-error", told={"PayErrorCode": "64003"}
    ),
    "unknown connector": Scenario(
        pay={"charge_amount": "5", "payment_connector": "Nobody"},
        script=NONE,
        result="validation-error",
        told={"PayErrorCode": "64004"},
    ),
}


def document(scenario: Scenario, url: str) -> str:
    """Return the document of a scenario."""
    response = VoiceResponse()
    verb = response.pay(action="/paid", status_callback="/step", **scenario.pay)
    scenario.prompts(verb, url)
    return str(response)


async def run(name: str, directory: Path) -> tuple[Scenario, TwimlApp, Call, RunningEngine, Path]:
    """Play a scenario against an application and an engine of its own."""
    scenario = SCENARIOS[name]
    heard = directory / "heard.wav"
    async with running_app() as app:
        app.files = {f"/{tone}.wav": tone_wav(hz) for tone, hz in TONES.items()}
        app.answers = {
            "/voice": document(scenario, app.url),
            "/step": "",
            "/paid": "<Response><Hangup/></Response>",
        }
        async with running_engine(
            twilio_toml(f"{app.url}/voice"), directory=directory, environment={TOKEN_ENV: TOKEN}
        ) as engine:
            directory.mkdir(exist_ok=True)
            script = replace(scenario.script, listens=bool(scenario.tones))
            call = await pay(engine, script, user="shop", record=heard if scenario.tones else None)
            await app.wait_for("/paid")
            return scenario, app, call, engine, heard


def tones_heard(recording: Path) -> tuple[str, ...]:
    """Return which tones a recording holds, in order, by the strongest of them in each 100 ms."""
    samples = read_recording(recording)
    names: list[str] = []
    for at in range(0, len(samples) - 800, 800):
        block = samples[at : at + 800] * np.hanning(800)
        if np.sqrt(np.mean(block**2)) < 500:
            continue
        spectrum = np.abs(np.fft.rfft(block, 8000))
        name = max(TONES, key=lambda tone: spectrum[round(TONES[tone])])
        is_pure = spectrum[round(TONES[name]) - 15 : round(TONES[name]) + 16] @ spectrum[
            round(TONES[name]) - 15 : round(TONES[name]) + 16
        ] > 0.9 * float(spectrum @ spectrum)
        if is_pure and (not names or names[-1] != name):
            names.append(name)
    return tuple(names)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_application_is_told_what_became_of_its_payment(name: str, tmp_path: Path) -> None:
    scenario, app, call, engine, heard = await run(name, tmp_path)
    assert not app.forged
    assert "Traceback" not in engine.log
    (told,) = app.of("/paid")
    assert told["Result"] == scenario.result, (told, call.steps)
    assert set(told) >= STANDARD
    assert told["AccountSid"] == ACCOUNT
    for parameter, value in scenario.told.items():
        shown = told.get(parameter, "")
        if value.startswith("/"):
            assert re.fullmatch(value[1:-1], shown), (parameter, shown)
        else:
            assert shown == value, parameter
    for parameter in scenario.absent:
        assert parameter not in told
    if scenario.result not in ("validation-error",):
        assert call.result == scenario.result
    if scenario.steps is not None:
        sent = tuple((step["For"], step.get("ErrorType", ""), step["Attempt"]) for step in app.of("/step"))
        assert sent == scenario.steps
    if scenario.tones:
        assert tones_heard(heard) == scenario.tones
    _nothing_leaked(app, engine)


def _nothing_leaked(app: TwimlApp, engine: RunningEngine) -> None:
    numbers = [VISA, AMEX, DECLINED, WRONG, ACCOUNT_NUMBER]
    said = [str(request.parameters) for request in app.received] + engine.lines
    assert not [number for number in numbers for text in said if number in text]


@asynccontextmanager
async def shop(
    directory: Path,
) -> AsyncIterator[tuple[TwimlApp, Callable[[], AbstractAsyncContextManager[RunningEngine]]]]:
    """Run an application that charges, and return what starts an engine for it, again and again in one directory."""
    async with running_app() as app:
        app.answers = {"/voice": document(SCENARIOS["charge"], app.url), "/paid": "<Response/>"}
        toml = twilio_toml(f"{app.url}/voice")
        yield app, lambda: running_engine(toml, directory=directory, environment={TOKEN_ENV: TOKEN})
        assert not app.forged


async def test_an_application_that_fails_is_told_until_it_takes_the_result(tmp_path: Path) -> None:
    async with shop(tmp_path) as (app, start), start() as engine:
        app.answers["/paid"] = lambda _: web.Response(status=503)
        await pay(engine, _good(), user="shop")
        first = await app.wait_for("/paid")
        app.answers["/paid"] = "<Response/>"
        again = await app.wait_for("/paid", count=2)
        async with asyncio.timeout(30):
            while engine.ledger_rows("payments")[0]["reply_to"] is not None:
                await asyncio.sleep(0.05)
    assert again["PaymentConfirmationCode"] == first["PaymentConfirmationCode"] != ""


async def test_a_result_that_a_crash_left_untold_is_told_by_the_next_start_once(tmp_path: Path) -> None:
    async with shop(tmp_path) as (app, start):
        app.hanging = {"/paid"}
        async with start() as engine:
            paying = asyncio.ensure_future(pay(engine, _good(), user="shop"))
            asked = await app.wait_for("/paid")
            engine.process.kill()
            await engine.process.wait()
            paying.cancel()
        app.hanging = set()
        async with start() as restarted:
            again = await app.wait_for("/paid", count=2)
            (row,) = restarted.ledger_rows("payments")
        async with start():
            pass
        assert len(app.of("/paid")) == 2
        assert [file.name for file in restarted.files() if VISA.encode() in file.read_bytes()] == []
    assert (again["Result"], again["PaymentCardNumber"]) == ("success", "xxxxxxxxxxxx4242")
    assert again["PaymentConfirmationCode"] == asked["PaymentConfirmationCode"] == row["charge_id"]
    assert (row["result"], row["reply_to"]) == ("success", None)


async def test_the_answer_of_the_action_goes_on_with_the_call(tmp_path: Path) -> None:
    async with running_app() as app:
        second = VoiceResponse()
        second.pay(action="/second-paid", token_type="one-time", security_code=False, postal_code=False)
        app.answers = {
            "/voice": document(SCENARIOS["star"], app.url),
            "/paid": str(second),
            "/second-paid": "<Response><Say>Thank you.</Say></Response>",
        }
        async with running_engine(
            twilio_toml(f"{app.url}/voice"), directory=tmp_path, environment={TOKEN_ENV: TOKEN}
        ) as engine:
            script = _good(payment_card_number=["4*", f"{VISA}#"])
            await pay(engine, script, user="shop")
            told = await app.wait_for("/second-paid")
            assert (app.of("/paid")[0]["Result"], told["Result"]) == ("caller-interrupted-with-star", "success")
            assert told["PaymentToken"]
            assert not app.forged
