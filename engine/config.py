"""The configuration: a TOML file, checked before anything starts.

``load`` reads a file (or, without one, the embedded ``default.toml``), ``Config`` is what the engine works with. Every
mistake is reported with the key and the line it stands on. Secrets never stand in the file: a key that ends in ``_env``
names the environment variable that holds the value.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from dsp.profile import PROFILES
from engine.access_config import NAME, AccessRuleConfig, BanConfig, UserConfig, checked_networks
from engine.access_config import Table as _Table
from engine.errors import ConfigError
from sip.crypto_attribute import DEFAULT_SUITES, SUITES
from sip.payload_types import CODECS

__all__ = (
    "AccountConfig",
    "Config",
    "FormConfig",
    "FormPrompt",
    "LedgerConfig",
    "LogConfig",
    "MediaConfig",
    "MetricsConfig",
    "PromptsConfig",
    "RouteConfig",
    "SandboxConnector",
    "SignalWireConnector",
    "SipConfig",
    "default_text",
    "load",
    "parse",
)

STEPS = Literal[
    "payment-card-number",
    "expiration-date",
    "security-code",
    "postal-code",
    "payment-processing",
    "payment-completed",
    "payment-failed",
    "payment-canceled",
]


def secret_from_environment(variable: str, key: str) -> str:
    """Return the value of the environment variable that ``key`` names; raise ``ConfigError`` when it is not set."""
    value = os.environ.get(variable, "")
    if not value:
        raise ConfigError(
            f"the environment variable {variable} is not set",
            where=key,
            remedy=f"export {variable}=... before starting, or remove {key}",
        )
    return value


def split_address(text: str) -> tuple[str, int]:
    """Split ``host:port`` (IPv6 in brackets) into an IP literal and a port of 0 to 65535; raise ``ValueError``."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:5060 or [::1]:5060")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address; listen on an address of this machine") from None
    return host, int(port)


def _listed(key: str, value: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return a list of names when it is not empty, has none twice and each is known; raise ``ValueError``."""
    if not value or len(set(value)) != len(value) or not set(value) <= set(known):
        raise ValueError(f"{key} wants one or more of {', '.join(known)}, none twice")
    return value


class SipConfig(_Table):
    """Where SIP is spoken, and by whom."""

    listen: str = "127.0.0.1:5060"
    "Address and UDP port."
    next_free_port: bool = False
    "Take the next free port when the one in `listen` is taken."
    advertise: str = ""
    "Address that peers shall use to reach this engine when it is not the one in `listen` (NAT, containers)."
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    "Networks that may send SIP here; every other source is dropped unanswered. Registrars are always allowed."
    access: tuple[AccessRuleConfig, ...] = ()
    "Rules, asked before `allow`; with any here the loopback networks are open only when `allow` is written out."
    users: dict[NAME, UserConfig] = Field(default_factory=dict, alias="user")
    realm: str = Field(default="paytone", pattern=r'^[^"\\\x00-\x1f\x7f]{1,128}$')
    "What is named to users who are asked for their password."
    ban: BanConfig = BanConfig()
    max_calls: int = Field(default=1000, ge=1, le=20_000)

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("allow")
    @classmethod
    def _allow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_networks(value)

    @field_validator("advertise")
    @classmethod
    def _advertise(cls, value: str) -> str:
        if value:
            ipaddress.ip_address(value)
        return value

    @model_validator(mode="after")
    def _reachable(self) -> SipConfig:
        host, _ = split_address(self.listen)
        if ipaddress.ip_address(host).is_unspecified and not self.advertise:
            raise ValueError("listening on every address needs advertise: the one that peers shall use")
        return self

    @model_validator(mode="after")
    def _rules(self) -> SipConfig:
        names = [rule.name for rule in self.access]
        if len(set(names)) != len(names):
            raise ValueError("two access rules have the same name")
        for rule in self.access:
            known = ", ".join(sorted(self.users)) or "none"
            if rule.require == "digest" and (not self.users or not set(rule.users) <= set(self.users)):
                raise ValueError(
                    f"access rule {rule.name} asks for users that have no [sip.user.NAME] (known: {known})"
                )
        return self

    @property
    def open_networks(self) -> tuple[str, ...]:
        """The networks of `allow`; with access rules only when they are written out."""
        return self.allow if not self.access or "allow" in self.model_fields_set else ()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return split_address(self.listen)


class MediaConfig(_Table):
    """Where RTP is spoken."""

    host: str = ""
    "IP address of the RTP sockets; empty: that of `sip.listen`."
    ports: tuple[int, int] = (20000, 29999)
    threads: int | None = Field(default=None, ge=1, le=64)
    timeout_s: float = Field(default=60.0, ge=2.0, le=3600.0)
    "Hang up when the caller's media stays away for so long."
    dtmf_profile: str = "itu_q24"
    "What counts as an in-band key: a profile of `dsp.profile`."
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722")
    "Codecs that are spoken, most wanted first: of PCMU, PCMA, G722, L16, opus."
    codec_policy: Literal["theirs", "ours"] = "theirs"
    "Whose order chooses the codec when a call is answered: the offer's, or that of `codecs`."
    srtp: Literal["off", "preferred", "required"] = "preferred"
    "Encrypted media (SDES): never, with every peer that can, or no call without."
    srtp_suites: tuple[str, ...] = DEFAULT_SUITES
    "Crypto suites that are taken, most wanted first."
    rtcp_mux: bool = True
    "Offer and accept RTCP on the RTP port (RFC 5761)."
    dscp: int = Field(default=46, ge=0, le=63)
    "Class of the RTP packets in the IP header; 46 is EF (RFC 4594 §4.1), 0 marks nothing."
    cpu_affinity: tuple[Annotated[int, Field(ge=0, le=1023)], ...] = ()
    "Processors that the media threads may run on; empty: all."
    realtime_priority: int = Field(default=0, ge=0, le=99)
    "SCHED_FIFO priority of the media threads (needs CAP_SYS_NICE or an rtprio limit); 0: the normal scheduler."

    @field_validator("codecs")
    @classmethod
    def _codecs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _listed("codecs", value, CODECS)

    @field_validator("srtp_suites")
    @classmethod
    def _srtp_suites(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _listed("srtp_suites", value, tuple(SUITES))

    @field_validator("cpu_affinity")
    @classmethod
    def _cpu_affinity(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("cpu_affinity names a processor twice")
        return value

    @field_validator("dtmf_profile")
    @classmethod
    def _dtmf_profile(cls, value: str) -> str:
        if value not in PROFILES:
            raise ValueError(f"dtmf_profile wants one of {', '.join(PROFILES)}")
        return value

    @field_validator("ports")
    @classmethod
    def _ports(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 1024 <= low < high <= 65535:
            raise ValueError("ports wants [low, high] with 1024 <= low < high <= 65535")
        return value

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        if value:
            ipaddress.ip_address(value)
        return value


class LedgerConfig(_Table):
    """Where payments, attempts, webhooks and calls are journalled."""

    url: str = "sqlite+aiosqlite:///var/paytone.sqlite3"

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if "://" not in value:
            raise ValueError("a database URL is wanted, such as sqlite+aiosqlite:///var/paytone.sqlite3")
        return value


class PromptsConfig(_Table):
    """What the caller hears by default."""

    locale: str = "en-US"
    cache: str = "var/prompts"
    "Directory for rendered audio."


class LogConfig(_Table):
    """What is logged; digits never are."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class MetricsConfig(_Table):
    """Metrics for Prometheus."""

    listen: str = ""
    "Address and TCP port of the HTTP endpoint `/metrics`; empty: none."

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            split_address(value)
        return value


class AccountConfig(_Table):
    """An account at a registrar (a PBX, a proxy) under which calls come in."""

    registrar: str
    "SIP URI of the registrar, such as `sip:pbx.example.com` or `sip:10.0.0.2:5060`."
    user: str = Field(min_length=1)
    auth_user: str = ""
    "User name for the digest, when it differs from `user`."
    password_env: str = ""
    expires_s: int = Field(default=300, ge=60, le=86_400)

    @field_validator("registrar")
    @classmethod
    def _registrar(cls, value: str) -> str:
        if not re.fullmatch(r"sip:[^\s@;?]+", value):
            raise ValueError("a SIP URI of a host is wanted, such as sip:pbx.example.com:5060")
        return value


class SandboxConnector(_Table):
    """The built-in test gateway: answers by published test-card numbers, takes no money."""

    type: Literal["sandbox"]
    database: str = "var/sandbox.sqlite3"
    faults: tuple[str, ...] = ()
    "Faults of the next payments, one each; ``engine.connectors.sandbox`` has the table: decline, delay:SECONDS ..."


class SignalWireConnector(_Table):
    """A gateway that speaks SignalWire's `payment_connector_url` wire."""

    type: Literal["signalwire"]
    url: str = ""
    url_env: str = ""
    "Name of the environment variable that holds the URL, for URLs with a user and a password."
    signing_key_env: str = ""
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    repeats: int = Field(default=5, ge=0, le=10)
    allow_insecure: bool = False
    "Allow http: URLs (development only)."

    @model_validator(mode="after")
    def _url_rules(self) -> SignalWireConnector:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("give exactly one of url and url_env")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError("url must start with https://")
        if self.url.startswith("http://") and not self.allow_insecure:
            raise ValueError("url must start with https:// (allow_insecure = true admits http: for development)")
        if re.match(r"https?://[^/]*@", self.url):
            raise ValueError("a URL with a password does not belong in this file: name a variable in url_env")
        return self


ConnectorConfig = Annotated[SandboxConnector | SignalWireConnector, Field(discriminator="type")]


class FormPrompt(_Table):
    """A prompt of one's own: text or an audio file, for a step and, if given, attempts, errors and card types."""

    step: STEPS = Field(alias="for")
    say: str = Field(default="", max_length=2000)
    play: str = ""
    attempts: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    card_types: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of(self) -> FormPrompt:
        if bool(self.say) == bool(self.play):
            raise ValueError("give exactly one of say (text) and play (audio file)")
        return self


class FormConfig(_Table):
    """A payment as it is asked for: what to charge, which fields to ask, where to send it."""

    amount: str = ""
    'Decimal text such as "25.00"; empty: the card is tokenized and not charged.'
    currency: str = "usd"
    description: str = ""
    connector: str = "sandbox"
    security_code: bool = True
    postal_code: bool | str = True
    "true: ask; false: neither ask nor send; text: the known code, sent without asking."
    min_postal_code_length: int = Field(default=0, ge=0, le=11)
    card_types: tuple[str, ...] = ("visa", "mastercard", "amex")
    retries: int = Field(default=1, ge=0, le=9)
    timeout_s: float = Field(default=5.0, gt=0, le=600)
    token_type: Literal["reusable", "one-time"] = "reusable"
    parameters: dict[str, str] = Field(default_factory=dict)
    status_url: str = ""
    status_key_env: str = ""
    "Environment variable with the key that signs status webhooks; empty: not signed."
    allow_insecure: bool = False
    language: str = ""
    voice: str = ""
    prompts: tuple[FormPrompt, ...] = Field(default=(), alias="prompt")

    @field_validator("amount", mode="before")
    @classmethod
    def _amount(cls, value: Any) -> Any:
        if isinstance(value, float):
            raise ValueError('write the amount as text, such as amount = "25.00": binary fractions are not money')
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _status_url_rules(self) -> FormConfig:
        schemes = ("https://", "http://") if self.allow_insecure else ("https://",)
        if self.status_url and not self.status_url.startswith(schemes):
            raise ValueError("status_url must start with https:// (allow_insecure = true admits http:)")
        return self


class RouteConfig(_Table):
    """Which calls a form answers."""

    to: str = Field(min_length=1)
    "The dialled user, such as `pay` or `4711`; `*` stands for every other."
    form: str


class Config(_Table):
    """All of it."""

    sip: SipConfig = SipConfig()
    media: MediaConfig = MediaConfig()
    ledger: LedgerConfig = LedgerConfig()
    prompts: PromptsConfig = PromptsConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    accounts: dict[NAME, AccountConfig] = Field(default_factory=dict, alias="account")
    connectors: dict[NAME, ConnectorConfig] = Field(default_factory=dict, alias="connector")
    forms: dict[NAME, FormConfig] = Field(default_factory=dict, alias="form")
    routes: tuple[RouteConfig, ...] = Field(default=(), alias="route")

    def route_for(self, user: str) -> str | None:
        """Return the name of the form that answers calls to ``user``; None when no route fits."""
        fallback = None
        for route in self.routes:
            if route.to == user:
                return route.form
            if route.to == "*" and fallback is None:
                fallback = route.form
        return fallback


def _references(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (key, complaint) for each name that points nowhere."""
    wrong: list[tuple[tuple[str | int, ...], str]] = []
    for name, form in config.forms.items():
        if form.connector not in config.connectors:
            known = ", ".join(sorted(config.connectors)) or "none"
            wrong.append((("form", name, "connector"), f"there is no [connector.{form.connector}] (known: {known})"))
    for index, route in enumerate(config.routes):
        if route.form not in config.forms:
            known = ", ".join(sorted(config.forms)) or "none"
            wrong.append((("route", index, "form"), f"there is no [form.{route.form}] (known: {known})"))
    return wrong


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
            if path[:1] == ("connector",):  # the discriminator's tag stands in the location, but not in the file
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
