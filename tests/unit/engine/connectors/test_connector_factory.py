"""Connectors out of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import SandboxConnector, SignalWireConnector
from engine.connectors import SandboxGateway, SignalWire, open_connector, open_connectors
from engine.errors import ConfigError, ConnectorError

pytestmark = pytest.mark.asyncio


async def test_each_type_becomes_its_connector(tmp_path: Path) -> None:
    connectors = await open_connectors(
        {
            "test": SandboxConnector(type="sandbox", database=str(tmp_path / "s.sqlite3")),
            "live": SignalWireConnector(type="signalwire", url="https://gateway.example/pay"),
        }
    )
    for connector in connectors.values():
        await connector.close()
    assert isinstance(connectors["test"], SandboxGateway)
    assert isinstance(connectors["live"], SignalWire)
    assert {name: connector.name for name, connector in connectors.items()} == {"test": "test", "live": "live"}


async def test_url_and_key_come_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SignalWireConnector(type="signalwire", url_env="GW_URL", signing_key_env="GW_KEY")
    with pytest.raises(ConfigError, match=r"connector\.live\.url_env"):
        await open_connector("live", settings)
    monkeypatch.setenv("GW_URL", "https://user:pass@gateway.example/pay")
    with pytest.raises(ConfigError, match=r"connector\.live\.signing_key_env"):
        await open_connector("live", settings)
    monkeypatch.setenv("GW_KEY", "k")
    assert isinstance(await open_connector("live", settings), SignalWire)


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
