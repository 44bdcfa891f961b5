"""Payments of other kinds, by phone: a bank debit keyed twice and confirmed, and payments that must not start.

A softphone in one process, an engine in another, everything between them real.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from tests.support.caller import Script, pay
from tests.support.engine import running_engine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TOML = """
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

[form.dues]
amount = "80.00"
description = "Dues"
connector = "sandbox"
method = "ach-debit"
bank_account_type = "commercial-checking"
matching = ["bank-account-number"]
confirm = true
timeout_s = 4.0

[[form.dues.prompt]]
for = "bank-account-number"
matching = true
say = "Once more, please."

[[route]]
to = "dues"
form = "dues"

[log]
level = "debug"
"""
ROUTING = "021000021"
ACCOUNT, OTHER = "000123456789", "000123456780"
DEBIT = {
    "bank-routing-number": [ROUTING],
    "bank-account-number": [f"{ACCOUNT}#", f"{OTHER}#", f"{ACCOUNT}#", f"{ACCOUNT}#"],
}


@pytest.mark.soak  # long; CI runs it
@pytest.mark.asyncio
async def test_a_bank_debit_is_keyed_again_when_it_does_not_match_and_confirmed_with_1(tmp_path: Path) -> None:
    async with running_engine(TOML, directory=tmp_path) as engine:
        call = await pay(engine, Script(entries={**DEBIT, "confirmation": ["1"]}), user="dues")
        assert call.result == "success", engine.log
        assert call.steps == [
            "bank-routing-number",
            *["bank-account-number"] * 4,
            "confirmation",
            "payment-processing",
            "payment-completed",
        ]
        assert sum("error=input-matching-failed" in line for line in engine.lines) == 1
        (booked,) = engine.sandbox_transactions()
        assert (booked["outcome"], booked["amount"], booked["times_received"]) == ("succeeded", "80.00", 1)
        (row,) = engine.ledger_rows("payments")
        assert (row["method"], row["operation"]) == ("ach-debit", "charge")
        assert "Traceback" not in engine.log
    for path in engine.files():
        assert ACCOUNT.encode() not in path.read_bytes(), path


@pytest.mark.asyncio
async def test_who_does_not_confirm_is_not_charged(tmp_path: Path) -> None:
    async with running_engine(TOML, directory=tmp_path) as engine:
        entries = {**DEBIT, "bank-account-number": [f"{ACCOUNT}#"] * 2, "confirmation": ["2"]}
        call = await pay(engine, Script(entries=entries), user="dues")
        assert call.result == "canceled", engine.log
        assert engine.sandbox_transactions() == []
        assert engine.ledger_rows("charge_attempts") == []


@pytest.mark.soak
@pytest.mark.asyncio
async def test_no_payment_starts_while_the_ledger_is_locked_and_calls_go_on(tmp_path: Path) -> None:
    async with running_engine(TOML, directory=tmp_path) as engine:
        with closing(sqlite3.connect(engine.directory / "ledger.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await pay(engine, Script(entries={"bank-routing-number": [ROUTING]}), user="dues")
            other.execute("ROLLBACK")
        assert "no payment: the ledger could not be written" in engine.log
        assert "payment finished" in engine.log
        assert "result=internal-error" in engine.log
        assert engine.ledger_rows("payments") == []
        assert engine.sandbox_transactions() == []
        # The same engine takes the next payment.
        entries = {**DEBIT, "bank-account-number": [f"{ACCOUNT}#"] * 2, "confirmation": ["1"]}
        call = await pay(engine, Script(entries=entries), user="dues")
        assert call.result == "success", engine.log


def test_a_form_that_its_connector_does_not_take_stops_the_start_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "paytone.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite+aiosqlite:///{tmp_path}/l.sqlite3"\n[sip]\nlisten = "127.0.0.1:0"\n'
        '[connector.shop]\ntype = "signalwire"\nurl = "https://shop.example.com/charge"\n'
        '[form.dues]\namount = "80.00"\nmethod = "ach-debit"\nconnector = "shop"\n'
    )
    result = CliRunner().invoke(app, ["serve", "--config", str(path)])
    assert result.exit_code == 2
    assert "form.dues.method: the connector takes no ach-debit" in result.output
    assert "remedy:" in result.output
