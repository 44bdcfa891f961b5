"""Connectors out of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from engine import doctor
from engine.config import SandboxConnector, SignalWireConnector, TwilioConnector, parse
from engine.connectors import Connector, SandboxGateway, SignalWire, Twilio, open_connector, open_connectors
from engine.errors import ConfigError, ConnectorError
from engine.pay.submission import Outcome
from tests.support.gateway import BASIC_AUTH, FakeGateway
from tests.support.payments import bank_debit_of, submission_of

pytestmark = pytest.mark.asyncio


async def test_each_type_becomes_its_connector(tmp_path: Path) -> None:
    connectors = await open_connectors(
        {
            "test": SandboxConnector(type="sandbox", database=str(tmp_path / "s.sqlite3")),
            "live": SignalWireConnector(type="signalwire", url="https://gateway.example/pay"),
            "bank": TwilioConnector(type="twilio", url="https://gateway.example/pay"),
        }
    )
    for connector in connectors.values():
        await connector.close()
    assert isinstance(connectors["test"], SandboxGateway)
    assert isinstance(connectors["live"], SignalWire)
    assert isinstance(connectors["bank"], Twilio)
    assert all(connector.name == name for name, connector in connectors.items())
    assert all(isinstance(connector, Connector) for connector in connectors.values())


async def test_url_and_key_come_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SignalWireConnector(type="signalwire", url_env="GW_URL", signing_key_env="GW_KEY")
    with pytest.raises(ConfigError, match=r"connector\.live\.url_env"):
        await open_connector("live", settings)
    monkeypatch.setenv("GW_URL", "https://user:pass@gateway.example/pay")
    with pytest.raises(ConfigError, match=r"connector\.live\.signing_key_env"):
        await open_connector("live", settings)
    monkeypatch.setenv("GW_KEY", "k")
    assert isinstance(await open_connector("live", settings), SignalWire)


async def test_twilio_wire_shows_the_password_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeGateway(wire="twilio") as gateway:
        settings = TwilioConnector(
            type="twilio", url=gateway.url, user=BASIC_AUTH[0], password_env="GW_PASSWORD", allow_insecure=True
        )
        with pytest.raises(ConfigError, match=r"connector\.bank\.password_env"):
            await open_connector("bank", settings)
        monkeypatch.setenv("GW_PASSWORD", BASIC_AUTH[1])
        answer = await (await open_connector("bank", settings)).submit(bank_debit_of())
    assert (answer.outcome, gateway.violations) == (Outcome.SUCCEEDED, [])


@pytest.mark.parametrize("body", ["swml", "compatible"])
async def test_signalwire_wire_has_the_form_that_is_configured(body: Literal["swml", "compatible"]) -> None:
    async with FakeGateway(wire="signalwire" if body == "swml" else body) as gateway:
        settings = SignalWireConnector(type="signalwire", url=gateway.url, body=body, allow_insecure=True)
        answer = await (await open_connector("shop", settings)).submit(submission_of())
    assert (answer.outcome, gateway.violations) == (Outcome.SUCCEEDED, [])


async def test_url_of_the_environment_is_checked_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GW_URL", "http://user:secret@gateway.example/pay")
    with pytest.raises(ConnectorError) as caught:
        await open_connector("live", SignalWireConnector(type="signalwire", url_env="GW_URL"))
    assert "secret" not in str(caught.value)


async def test_none_stays_open_when_one_cannot_be_opened(tmp_path: Path) -> None:
    # An open aiosqlite connection that nobody closes is a ResourceWarning, and warnings are errors.
    with pytest.raises(ConnectorError):
        await open_connectors(
            {
                "a": SandboxConnector(type="sandbox", database=str(tmp_path / "s.sqlite3")),
                "b": SandboxConnector(type="sandbox", database=str(tmp_path / "s2.sqlite3"), faults=("explode",)),
            }
        )


async def test_doctor_misses_every_variable_that_a_connector_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("GW_URL", "GW_KEY", "BANK_URL", "BANK_PASSWORD", "STRIPE_KEY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    config = parse(
        '[connector.shop]\ntype = "signalwire"\nurl_env = "GW_URL"\nsigning_key_env = "GW_KEY"\n'
        '[connector.bank]\ntype = "twilio"\nurl_env = "BANK_URL"\nuser = "u"\npassword_env = "BANK_PASSWORD"\n'
        '[connector.stripe]\ntype = "stripe"\nkey_env = "STRIPE_KEY"\n'
    )
    finding = await doctor._environment(config)
    assert finding.verdict == "bad"
    assert all(name in finding.detail for name in names)
