"""A caller pays by phone: a softphone in one process, an engine in another, everything between them real.

Covers the acceptance of the whole path: in-band tones, RFC 4733 and SIP INFO; decline; a wrong card and then the right
one; ``*``; hanging up in the middle; nothing keyed; faults of the connector; what is left behind afterwards.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.caller import VISA, Script, expiry, pay
from tests.support.engine import DEFAULT_TOML, running_engine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio]

TOML = DEFAULT_TOML.replace("[form.donation]", "[form.donation]\ntimeout_s = 5.0") + '\n[log]\nlevel = "debug"\n'
DECLINED = "4000000000000002"
AMEX = "378282246310005"
CALLS_AT_ONCE = 5
"Engines and softphones that run side by side: they mostly wait for prompts and keys."


async def test_a_payment_is_taken_whichever_way_the_keys_come(tmp_path: Path) -> None:
    async def one(mode: str) -> None:
        async with running_engine(TOML, directory=tmp_path / mode) as engine:
            call = await pay(engine, Script.good(mode=mode))
            assert call.result == "success", engine.log
            (booked,) = engine.sandbox_transactions()
            assert booked["outcome"] == "succeeded"
            assert booked["amount"] == "25.00"
            assert booked["card_number"].endswith(VISA[-4:])
            assert booked["times_received"] == 1
            (record,) = engine.ledger_rows("calls")
            assert record["cause"] == "local_bye"
            assert call.steps == [
                "payment-card-number",
                "expiration-date",
                "security-code",
                "postal-code",
                "payment-processing",
                "payment-completed",
            ]

    async with asyncio.TaskGroup() as group:
        for mode in ("telephone-event", "in-band", "info"):
            group.create_task(one(mode))


async def test_a_card_is_saved_without_a_charge(tmp_path: Path) -> None:
    async with running_engine(TOML, directory=tmp_path) as engine:
        call = await pay(engine, Script.good(card=AMEX, code="1234"), user="save")
        assert call.result == "success", engine.log
        assert call.payment["token_id"]
        assert not call.payment["charge_id"]
        (booked,) = engine.sandbox_transactions()
        assert booked["operation"] == "tokenize"


async def _calls(scripts: Mapping[str, Script], toml: str, directory: Path) -> dict[str, tuple[str, list[str], str]]:
    """Run each script against an engine of its own, some at a time; return result, steps and log of each."""
    found: dict[str, tuple[str, list[str], str]] = {}
    slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(name: str, script: Script) -> None:
        async with slots, running_engine(toml, directory=directory / name) as engine:
            call = await pay(engine, script)
            found[name] = (call.result, call.steps, engine.log)

    async with asyncio.TaskGroup() as group:
        for name, script in scripts.items():
            group.create_task(one(name, script))
    return found


@pytest.mark.soak  # long; CI runs it
async def test_each_way_a_caller_can_fail_ends_in_its_documented_result(tmp_path: Path) -> None:
    wrong = "4242424242424241#"
    scripts = {
        "declined-twice": Script.good(
            payment_card_number=[f"{DECLINED}#", f"{DECLINED}#"],
            expiration_date=[expiry(), expiry()],
            security_code=["123", "123"],
            postal_code=["94105#", "94105#"],
        ),
        "declined-then-good": Script.good(
            payment_card_number=[f"{DECLINED}#", f"{VISA}#"],
            expiration_date=[expiry(), expiry()],
            security_code=["123", "123"],
            postal_code=["94105#", "94105#"],
        ),
        "wrong-then-right": Script.good(payment_card_number=[wrong, f"{VISA}#"]),
        "wrong-twice": Script.good(payment_card_number=[wrong, wrong]),
        "wrong-length": Script.good(payment_card_number=["42424242#", f"{VISA}#"]),
        "expired-then-valid": Script.good(expiration_date=["0120", expiry()]),
        "brand-not-accepted": Script.good(payment_card_number=["6011111111111117#", "6011111111111117#"]),
        "star-at-once": Script.good(payment_card_number=["*"]),
        "star-within": Script.good(payment_card_number=["4242*"]),
        "star-later": Script.good(security_code=["1*"]),
        "nothing-keyed": Script.good(payment_card_number=[]),
        "hang-up-first": Script(entries=Script.good().entries, hang_up_at="payment-card-number"),
        "hang-up-middle": Script(entries=Script.good().entries, hang_up_at="security-code"),
    }
    expected = {
        "declined-twice": "payment-connector-error",
        "declined-then-good": "success",
        "wrong-then-right": "success",
        "wrong-twice": "too-many-failed-attempts",
        "wrong-length": "success",
        "expired-then-valid": "success",
        "brand-not-accepted": "too-many-failed-attempts",
        "star-at-once": "caller-interrupted-with-star",
        "star-within": "caller-interrupted-with-star",
        "star-later": "caller-interrupted-with-star",
        "nothing-keyed": "too-many-failed-attempts",
        "hang-up-first": "caller-hung-up",
        "hang-up-middle": "caller-hung-up",
    }
    found = await _calls(scripts, TOML, tmp_path)
    assert {name: result for name, (result, _, _) in found.items()} == expected
    assert "Traceback" not in "".join(log for _, _, log in found.values())


async def test_a_fault_of_the_connector_ends_in_its_result_and_never_in_two_charges(tmp_path: Path) -> None:
    expected = {
        "http_500": ("payment-connector-error", "unknown"),
        "reset_before": ("payment-connector-error", "unknown"),
        "reset_after": ("payment-connector-error", "unknown"),
        "garbage": ("payment-connector-error", "unknown"),
        "unreachable": ("payment-connector-error", "failed"),
        "delay:3": ("success", "succeeded"),
    }
    slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(fault: str) -> tuple[str, str]:
        toml = TOML.replace(
            'database = "sandbox.sqlite3"', f'database = "sandbox.sqlite3"\nfaults = {json.dumps([fault])}'
        )
        async with slots, running_engine(toml, directory=tmp_path / fault.partition(":")[0]) as engine:
            call = await pay(engine, Script.good())
            charged = [row for row in engine.sandbox_transactions() if row["outcome"] == "succeeded"]
            assert len(charged) <= 1
            assert "Traceback" not in engine.log
            attempts = engine.ledger_rows("charge_attempts")
            assert attempts, f"nothing was submitted: {call.result} after {call.steps}"
            return call.result, attempts[-1]["outcome"]

    found = await asyncio.gather(*(one(fault) for fault in expected))
    assert dict(zip(expected, found, strict=True)) == expected
