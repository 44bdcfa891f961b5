"""The configuration: a TOML file, checked before anything starts.

``load`` reads a file (or, without one, the embedded ``default.toml``), ``Config`` is what the engine works with. Every
mistake is reported with the key and the line it stands on. Secrets never stand in the file: a key that ends in ``_env``
names the environment variable that holds the value.
"""

from __future__ import annotations

from engine.config.access import AccessRuleConfig, BanConfig, UserConfig
from engine.config.file import Config, default_text, line_of, load, parse
from engine.config.node import LedgerConfig, LogConfig, MediaConfig, MetricsConfig, PromptsConfig, TraceConfig
from engine.config.payment import (
    ConnectorConfig,
    FormConfig,
    FormPrompt,
    RouteConfig,
    SandboxConnector,
    SignalWireConnector,
)
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

__all__ = (
    "AccessRuleConfig",
    "AccountConfig",
    "BanConfig",
    "Config",
    "ConnectorConfig",
    "DnsConfig",
    "FormConfig",
    "FormPrompt",
    "LedgerConfig",
    "ListenAddress",
    "LogConfig",
    "MediaConfig",
    "MetricsConfig",
    "OutboundConfig",
    "PromptsConfig",
    "RouteConfig",
    "SandboxConnector",
    "SignalWireConnector",
    "SipConfig",
    "SipConnectionsConfig",
    "SipTlsConfig",
    "SipWebsocketConfig",
    "TraceConfig",
    "UserConfig",
    "default_text",
    "line_of",
    "listener_ids",
    "load",
    "parse",
    "secret_from_environment",
    "split_address",
    "split_listen",
)
