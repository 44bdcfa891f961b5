"""The whole file: reading it, the references between its tables, and the line on which each mistake stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from engine.config.api import ApiConfig, RecordingConfig
from engine.config.applications import (
    AppConfig,
    NccoApp,
    RelayApp,
    SignalWireConfig,
    SwmlApp,
    TwilioConfig,
    TwimlApp,
    VonageConfig,
)
from engine.config.connectors import ConnectorConfig, choose_connector
from engine.config.node import LedgerConfig, LogConfig, MediaConfig, MetricsConfig, TraceConfig
from engine.config.payment import FormConfig, RouteConfig
from engine.config.prompts import PromptsConfig
from engine.config.sip import AccountConfig, OutboundConfig, SipConfig
from engine.config.table import NAME, Table
from engine.config.webhooks import WebhooksConfig
from engine.errors import ConfigError

__all__ = ("Config", "default_text", "line_of", "load", "parse")


class Config(Table):
    """All of it."""

    sip: SipConfig = SipConfig()
    media: MediaConfig = MediaConfig()
    ledger: LedgerConfig = LedgerConfig()
    prompts: PromptsConfig = PromptsConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    outbound: OutboundConfig = OutboundConfig()
    trace: TraceConfig = TraceConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    api: ApiConfig = ApiConfig()
    recording: RecordingConfig = RecordingConfig()
    twilio: TwilioConfig = TwilioConfig()
    signalwire: SignalWireConfig = SignalWireConfig()
    vonage: VonageConfig = VonageConfig()
    accounts: dict[NAME, AccountConfig] = Field(default_factory=dict, alias="account")
    connectors: dict[NAME, ConnectorConfig] = Field(default_factory=dict, alias="connector")
    forms: dict[NAME, FormConfig] = Field(default_factory=dict, alias="form")
    apps: dict[NAME, AppConfig] = Field(default_factory=dict, alias="app")
    routes: tuple[RouteConfig, ...] = Field(default=(), alias="route")

    def connector_for(self, name: str = "") -> str:
        """Return the name of the connector that a document or a request means; empty: it names none.

        Raise ``UnknownConnectorError``; see ``choose_connector``.
        """
        return choose_connector(self.connectors, name)

    def route_for(self, user: str) -> RouteConfig | None:
        """Return the route of calls to ``user``; None when none fits."""
        fallback = None
        for route in self.routes:
            if route.to == user:
                return route
            if route.to == "*" and fallback is None:
                fallback = route
        return fallback


def _references(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (key, complaint) for each name that points nowhere."""
    wrong: list[tuple[tuple[str | int, ...], str]] = []
    for name, form in config.forms.items():
        if form.connector not in config.connectors:
            known = ", ".join(sorted(config.connectors)) or "none"
            wrong.append((("form", name, "connector"), f"there is no [connector.{form.connector}] (known: {known})"))
    if config.outbound.account and config.outbound.account not in config.accounts:
        known = ", ".join(sorted(config.accounts)) or "none"
        message = f"there is no [account.{config.outbound.account}] (known: {known})"
        wrong.append((("outbound", "account"), message))
    for index, route in enumerate(config.routes):
        for kind, name, tables in (("form", route.form, config.forms), ("app", route.app, config.apps)):
            if name and name not in tables:
                known = ", ".join(sorted(tables)) or "none"
                wrong.append((("route", index, kind), f"there is no [{kind}.{name}] (known: {known})"))
    wrong += _of_applications(config)
    dialects = {type(app) for app in config.apps.values()}
    if TwimlApp in dialects and not config.twilio.account_sid:
        message = "TwiML applications need an account: set account_sid and auth_token_env"
        wrong.append((("twilio", "account_sid"), message))
    if config.twilio.account_sid and config.twilio.connector not in config.connectors:
        known = ", ".join(sorted(config.connectors)) or "none"
        wrong.append((("twilio", "connector"), f"there is no [connector.{config.twilio.connector}] (known: {known})"))
    return wrong


def _of_applications(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    wrong: list[tuple[tuple[str | int, ...], str]] = []
    signalwire = config.signalwire
    ids: dict[str, str] = {}
    for name, app in config.apps.items():
        if isinstance(app, NccoApp):
            if app.connector not in config.connectors:
                known = ", ".join(sorted(config.connectors)) or "none"
                wrong.append((("app", name, "connector"), f"there is no [connector.{app.connector}] (known: {known})"))
            other = ids.setdefault(app.id_for(name), name)
            if other != name:
                wrong.append((("app", name, "application_id"), f"it is that of [app.{other}] already"))
        if isinstance(app, SwmlApp | RelayApp) and not signalwire.project:
            message = "SWML and RELAY applications need a project: set [signalwire] project"
            wrong.append((("signalwire", "project"), message))
        if not isinstance(app, RelayApp):
            continue
        if not signalwire.token_env:
            message = "RELAY applications need a token for their clients: set [signalwire] token_env"
            wrong.append((("signalwire", "token_env"), message))
        if not config.api.tls_listen:
            wrong.append((("api", "tls_listen"), "RELAY clients connect over TLS: set [api] tls_listen"))
        for key, table, tables in (("fallback_app", "app", config.apps), ("fallback_form", "form", config.forms)):
            other = getattr(app, key)
            if other and other not in tables:
                known = ", ".join(sorted(tables)) or "none"
                wrong.append((("app", name, key), f"there is no [{table}.{other}] (known: {known})"))
            elif isinstance(tables.get(other), RelayApp):
                wrong.append((("app", name, key), "a fallback must need no RELAY client"))
    return list(dict.fromkeys(wrong))


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)\s*=""")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line (from 1) on which the key of ``path`` stands, or its table's header; 0 when neither is there.

    ``tomllib`` keeps no positions, so the lines are found again here; good enough for the message of an error.
    """
    wanted = tuple(str(part) for part in path)
    best_line, best_length = 0, 0
    table: tuple[str, ...] = ()
    arrays: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            names = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            table = _indexed(names, arrays, is_array=header[1] == "[[")
            here = table
        elif key := _KEY.match(line):
            here = (*table, *(part.strip("\"'") for part in key[1].split(".")))
        else:
            continue
        if len(here) > best_length and wanted[: len(here)] == here:
            best_line, best_length = number, len(here)
    return best_line


def _indexed(names: tuple[str, ...], arrays: dict[tuple[str, ...], int], *, is_array: bool) -> tuple[str, ...]:
    """Return a table's path with the running index behind each array of tables in it."""
    if is_array:
        arrays[names] = arrays.get(names, -1) + 1
    path: list[str] = []
    for depth, name in enumerate(names, 1):
        path.append(name)
        if (index := arrays.get(names[:depth])) is not None:
            path.append(str(index))
    return tuple(path)


def _key_text(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def parse(text: str, *, name: str = "configuration") -> Config:
    """Return the configuration in ``text`` (TOML); raise ``ConfigError`` that names every wrong key with its line."""
    try:
        data: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}", where=name, remedy="see examples/paytone.toml") from None
    try:
        config = Config.model_validate(data)
        wrong = _references(config)
    except ValidationError as error:
        wrong = []
        for fault in error.errors(include_url=False, include_input=False):
            path = fault["loc"]
            if path[:1] in (
                ("connector",),
                ("app",),
            ):  # the discriminator's tag, which is not in the file
                path = path[:2] + path[3:]
            wrong.append((path, fault["msg"].removeprefix("Value error, ")))
    if wrong:
        lines = [f"{name}:{line_of(text, path) or '?'}: {_key_text(path)}: {message}" for path, message in wrong]
        raise ConfigError("\n".join(lines), remedy="see examples/paytone.toml for every key")
    return config


def default_text() -> str:
    """Return the embedded default configuration, as TOML."""
    return resources.files("engine").joinpath("default.toml").read_text(encoding="utf-8")


def load(path: Path | None) -> Config:
    """Return the configuration in the file, or the embedded defaults when ``path`` is None; raise ``ConfigError``."""
    if path is None:
        return parse(default_text(), name="default.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read it: {reason}", where=str(path), remedy="check the path given to --config"
        ) from None
    return parse(text, name=str(path))
