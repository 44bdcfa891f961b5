"""The configuration: a TOML file, checked before anything starts.

``load`` reads a file (or, without one, the embedded ``default.toml``), ``Config`` is what the engine works with. Every
mistake is reported with the key and the line it stands on. Secrets never stand in the file: a key that ends in ``_env``
names the environment variable that holds the value.
"""

from __future__ import annotations

from engine.config.access import AccessRuleConfig, BanConfig, UserConfig
from engine.config.api import ApiConfig, ApiTlsConfig, RecordingConfig
from engine.config.applications import (
    AppConfig,
    NccoApp,
    RelayApp,
    SignalWireConfig,
    SwmlApp,
    TwilioApiKey,
    TwilioConfig,
    TwimlApp,
    VonageConfig,
)
from engine.config.connectors import (
    ConnectorConfig,
    GatewayTlsConfig,
    SandboxConnector,
    SignalWireConnector,
    StripeConnector,
    TwilioConnector,
    UnknownConnectorError,
    choose_connector,
)
from engine.config.file import Config, default_text, line_of, load, parse
from engine.config.node import LedgerConfig, LogConfig, MediaConfig, MetricsConfig, TraceConfig
from engine.config.payment import FormConfig, FormPrompt, RouteConfig
from engine.config.prompts import PromptsConfig
from engine.config.sip import (
    AccountConfig,
    DnsConfig,
    ListenAddress,
    OutboundConfig,
    SipConfig,
    SipConnectionsConfig,
    SipTlsConfig,
    SipWebsocketConfig,
    listener_ids,
    split_listen,
)
from engine.config.table import secret_from_environment, split_address
from engine.config.webhooks import WebhooksConfig

__all__ = (
    "AccessRuleConfig",
    "AccountConfig",
    "ApiConfig",
    "ApiTlsConfig",
    "AppConfig",
    "BanConfig",
    "Config",
    "ConnectorConfig",
    "DnsConfig",
    "FormConfig",
    "FormPrompt",
    "GatewayTlsConfig",
    "LedgerConfig",
    "ListenAddress",
    "LogConfig",
    "MediaConfig",
    "MetricsConfig",
    "NccoApp",
    "OutboundConfig",
    "PromptsConfig",
    "RecordingConfig",
    "RelayApp",
    "RouteConfig",
    "SandboxConnector",
    "SignalWireConfig",
    "SignalWireConnector",
    "SipConfig",
    "SipConnectionsConfig",
    "SipTlsConfig",
    "SipWebsocketConfig",
    "StripeConnector",
    "SwmlApp",
    "TraceConfig",
    "TwilioApiKey",
    "TwilioConfig",
    "TwilioConnector",
    "TwimlApp",
    "UnknownConnectorError",
    "UserConfig",
    "VonageConfig",
    "WebhooksConfig",
    "choose_connector",
    "default_text",
    "line_of",
    "listener_ids",
    "load",
    "parse",
    "secret_from_environment",
    "split_address",
    "split_listen",
)
