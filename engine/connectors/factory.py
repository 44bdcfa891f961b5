"""From the configuration to connectors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from engine.config import SandboxConnector, SignalWireConnector, secret_from_environment
from engine.connectors.protocol import Connector
from engine.connectors.sandbox import SandboxGateway
from engine.connectors.signalwire import SignalWire

__all__ = ("open_connector", "open_connectors")


async def open_connector(
    name: str,
    settings: SandboxConnector | SignalWireConnector,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Connector:
    """Return the connector that ``settings`` describe, ready to be used.

    Raise ``ConfigError`` when a named environment variable is not set, ``ConnectorError`` for anything else.
    """
    if isinstance(settings, SandboxConnector):
        return await SandboxGateway.open(name, database=settings.database, faults=settings.faults, sleep=sleep)
    key = f"connector.{name}"
    url = settings.url or secret_from_environment(settings.url_env, f"{key}.url_env")
    signing_key = ""
    if settings.signing_key_env:
        signing_key = secret_from_environment(settings.signing_key_env, f"{key}.signing_key_env")
    return SignalWire(
        name,
        url=url,
        signing_key=signing_key,
        timeout_s=settings.timeout_s,
        repeats=settings.repeats,
        allow_insecure=settings.allow_insecure,
        sleep=sleep,
    )


async def open_connectors(
    configs: Mapping[str, SandboxConnector | SignalWireConnector],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> dict[str, Connector]:
    """Return all connectors by name; none stays open when one can't be opened."""
    opened: dict[str, Connector] = {}
    try:
        for name, settings in configs.items():
            opened[name] = await open_connector(name, settings, sleep=sleep)
    except BaseException:
        for connector in opened.values():
            await connector.close()
        raise
    return opened
