"""From the configuration to connectors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from engine.config import (
    ConnectorConfig,
    GatewayTlsConfig,
    SandboxConnector,
    SignalWireConnector,
    StripeConnector,
    TwilioConnector,
    secret_from_environment,
)
from engine.connectors.generic import GatewayOptions
from engine.connectors.protocol import Connector
from engine.connectors.sandbox import SandboxGateway
from engine.connectors.signalwire import BodyForm, SignalWire
from engine.connectors.stripe import Stripe
from engine.connectors.twilio import Twilio
from engine.errors import ConnectorError
from engine.net.tls import TlsFiles

__all__ = ("open_connector", "open_connectors", "tls_files")


async def open_connector(
    name: str,
    settings: ConnectorConfig,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Connector:
    """Return the connector that ``settings`` describe, ready to be used.

    Raise ``ConfigError`` when a named environment variable is not set, ``ConnectorError`` for anything else.
    """
    key = f"connector.{name}"
    match settings:
        case SandboxConnector():
            return await SandboxGateway.open(name, database=settings.database, faults=settings.faults, sleep=sleep)
        case SignalWireConnector():
            return SignalWire(
                name,
                url=_url(key, settings),
                signing_key=_secret(settings.signing_key_env, f"{key}.signing_key_env"),
                form=BodyForm(settings.body),
                **_options(key, settings, sleep),
            )
        case TwilioConnector():
            return Twilio(
                name,
                url=_url(key, settings),
                basic_auth=_basic_auth(key, settings),
                bank_debits=settings.bank_debits,
                **_options(key, settings, sleep),
            )
        case StripeConnector():
            return Stripe(
                name,
                url=settings.url,
                key=secret_from_environment(settings.key_env, f"{key}.key_env"),
                moto=settings.moto,
                customer=settings.customer,
                api_version=settings.api_version,
                **_options(key, settings, sleep),
            )
        case _:
            raise ConnectorError(f"{key}: no connector of the type {settings.type}")


def _secret(variable: str, key: str) -> str:
    return secret_from_environment(variable, key) if variable else ""


def _basic_auth(key: str, settings: TwilioConnector) -> tuple[str, str] | None:
    if not settings.user:
        return None  # a URL of the environment may hold both
    return settings.user, _secret(settings.password_env, f"{key}.password_env")


def _url(key: str, settings: SignalWireConnector | TwilioConnector) -> str:
    return settings.url or secret_from_environment(settings.url_env, f"{key}.url_env")


def _options(
    key: str,
    settings: SignalWireConnector | TwilioConnector | StripeConnector,
    sleep: Callable[[float], Awaitable[None]],
) -> GatewayOptions:
    return GatewayOptions(
        timeout_s=settings.timeout_s,
        repeats=settings.repeats,
        allow_insecure=settings.allow_insecure,
        tls=tls_files(key, settings.tls),
        sleep=sleep,
    )


def tls_files(key: str, settings: GatewayTlsConfig) -> TlsFiles | None:
    """Return what ``[connector.NAME.tls]`` names, None when it names nothing; ``key`` is ``connector.NAME``.

    Raise ``ConfigError`` for files that can't be used.
    """
    if not (settings.ca or settings.certificate):
        return None
    return TlsFiles(
        authorities=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
        table=f"{key}.tls",
        authorities_key="ca",
    )


async def open_connectors(
    configs: Mapping[str, ConnectorConfig],
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
