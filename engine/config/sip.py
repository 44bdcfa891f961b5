"""Where and with whom SIP is spoken: ``[sip]`` and its tables, ``[account.NAME]``, ``[outbound]``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator, model_validator

from engine.config.access import AccessRuleConfig, BanConfig, UserConfig
from engine.config.table import NAME, ONE_LINE, Table, checked_networks, split_address
from sip.address import Transport
from sip.errors import ParseError
from sip.uri import Uri

__all__ = (
    "AccountConfig",
    "DnsConfig",
    "ListenAddress",
    "OutboundConfig",
    "SipConfig",
    "SipConnectionsConfig",
    "SipTlsConfig",
    "SipWebsocketConfig",
    "listener_ids",
    "split_listen",
)


class ListenAddress(NamedTuple):
    """One socket to listen on."""

    transport: Transport
    host: str
    "IP literal without brackets."
    port: int
    "0: any that is free."


def split_listen(text: str) -> tuple[ListenAddress, ...]:
    """Split ``HOST:PORT`` (UDP and TCP, RFC 3261 §18) or ``tls:HOST:PORT`` and the like; raise ``ValueError``."""
    scheme, _, rest = text.partition(":")
    if scheme.upper() in Transport.__members__:
        transports: tuple[Transport, ...] = (Transport[scheme.upper()],)
    elif scheme.isalpha() and ":" in rest:
        raise ValueError(f"{scheme!r} is no transport: listen takes udp, tcp, tls, ws and wss")
    else:
        transports, rest = (Transport.UDP, Transport.TCP), text
    host, port = split_address(rest)
    return tuple(ListenAddress(transport, host, port) for transport in transports)


def listener_ids(listen: str | Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the ids of the listeners that each text of `listen` stands for: counted from 1, in their order."""
    ids: dict[str, tuple[int, ...]] = {}
    count = 0
    for text in (listen,) if isinstance(listen, str) else listen:
        n = len(split_listen(text))
        ids[text] = tuple(range(count + 1, count + 1 + n))
        count += n
    return ids


class SipTlsConfig(Table):
    """Certificates of SIP over TLS and secure WebSocket: PEM files, read again when they change."""

    certificate: str = ""
    "Our certificate with its chain."
    key: str = ""
    "Its private key, without a password; empty: it stands in the file of the certificate."
    authorities: str = ""
    "Authorities that may vouch for peers; empty: those of the system, for servers that we call only."
    client_certificates: Literal["none", "optional", "required"] = "none"
    "What is asked of those who connect to us (mutual TLS)."

    @model_validator(mode="after")
    def _complete(self) -> SipTlsConfig:
        if self.key and not self.certificate:
            raise ValueError("key without certificate: name the certificate's file too")
        if self.client_certificates != "none" and not self.authorities:
            raise ValueError("client_certificates needs authorities: the file of those who may vouch for clients")
        return self


class SipConnectionsConfig(Table):
    """Limits of TCP, TLS and WebSocket connections that are taken."""

    max: int = Field(default=1000, ge=1, le=100_000)
    max_by_source: int = Field(default=100, ge=1, le=100_000)
    "From one IP address: many phones behind one NAT, or a flood."
    idle_s: float = Field(default=3600.0, ge=10.0, le=86_400.0)
    "A connection on which nothing came for so long is closed."


class SipWebsocketConfig(Table):
    """SIP over WebSocket."""

    origins: tuple[str, ...] = ()
    "Pages whose scripts may connect, such as `https://pay.example.com`; empty: all, and clients that name none."

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(f"{origin!r} is no origin, such as https://pay.example.com (no path)")
        return value


class DnsConfig(Table):
    """Who is asked for the addresses of names."""

    servers: tuple[str, ...] = ()
    "Resolvers, as IP address or `HOST:PORT`; empty: those of /etc/resolv.conf."
    timeout_s: float = Field(default=2.0, ge=0.1, le=30.0)
    "Of one question, its repetitions included."

    @field_validator("servers")
    @classmethod
    def _servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for server in value:
            try:
                ipaddress.ip_address(server)
            except ValueError:
                split_address(server)
        return value


class SipConfig(Table):
    """Where SIP is spoken, and by whom."""

    listen: str | tuple[str, ...] = "127.0.0.1:5060"
    "`HOST:PORT` (UDP and TCP) or `udp:`, `tcp:`, `tls:`, `ws:`, `wss:` before it; one, or a list."
    next_free_port: bool = False
    "Take the next free port when the one in `listen` is taken."
    advertise: str = ""
    "Address that peers shall use to reach this engine when it is not the one in `listen` (NAT, containers)."
    advertise_port: int = Field(default=0, ge=0, le=65535)
    "Port that peers shall use instead of the first one in `listen`; 0: the same."
    tls: SipTlsConfig = SipTlsConfig()
    connections: SipConnectionsConfig = SipConnectionsConfig()
    websocket: SipWebsocketConfig = SipWebsocketConfig()
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    "Networks that may send SIP here; every other source is dropped unanswered. Registrars are always allowed."
    access: tuple[AccessRuleConfig, ...] = ()
    "Rules, asked before `allow`; with any here the loopback networks are open only when `allow` is written out."
    users: dict[NAME, UserConfig] = Field(default_factory=dict, alias="user")
    realm: str = Field(default="paytone", pattern=r'^[^"\\\x00-\x1f\x7f]{1,128}$')
    "What is named to users who are asked for their password."
    ban: BanConfig = BanConfig()
    max_calls: int = Field(default=1000, ge=1, le=20_000)
    tcp_above: int = Field(default=1300, ge=0, le=65_535)
    "Octets above which a request goes by TCP instead of UDP (RFC 3261 §18.1.1); 0: never."
    session_expires_s: int = Field(default=1800, ge=0, le=86_400)
    "Interval of session timers (RFC 4028) that is asked for; 0: none, and what a peer asks is done."
    min_se_s: int = Field(default=90, ge=90, le=86_400)
    "Least interval that is accepted (RFC 4028 §5)."
    reliable_provisionals: Literal["required", "supported"] = "required"
    "When provisional responses are sent reliably (RFC 3262): to who requires it, or to who supports it as well."
    target_delay_s: float = Field(default=0.04, ge=0.001, le=5.0)
    "How long messages may wait for their turn, on average, before new calls are answered 503."
    dns: DnsConfig = DnsConfig()

    @field_validator("listen", mode="before")
    @classmethod
    def _listen(cls, value: Any) -> Any:
        texts = (value,) if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("listen wants one address or a list of them, such as 127.0.0.1:5060 or tls:[::1]:5061")
        listeners = [address for text in texts for address in split_listen(text)]
        fixed = [address for address in listeners if address.port]
        if len(set(fixed)) != len(fixed):
            raise ValueError("listen names an address twice (HOST:PORT alone is UDP and TCP)")
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
        for address in self.listeners:
            if ipaddress.ip_address(self.advertised_host(address.host)).is_unspecified:
                raise ValueError("listening on every address needs advertise: the one that peers shall use")
            if address.transport.is_secure and not self.tls.certificate:
                raise ValueError(f"listen with {address.transport.lower()}: needs certificate and key in [sip.tls]")
        return self

    @model_validator(mode="after")
    def _session_timer(self) -> SipConfig:
        if 0 < self.session_expires_s < self.min_se_s:
            raise ValueError("session_expires_s must not be below min_se_s")
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
    def listeners(self) -> tuple[ListenAddress, ...]:
        """Every socket of `listen`, in its order; a TCP one right behind the UDP one that it belongs to."""
        texts = (self.listen,) if isinstance(self.listen, str) else self.listen
        return tuple(address for text in texts for address in split_listen(text))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first address in `listen`."""
        first = self.listeners[0]
        return first.host, first.port

    def advertised_host(self, host: str) -> str:
        """Return the address that peers shall use for a socket on ``host``: `advertise` if of the same family."""
        same_family = bool(self.advertise) and (":" in self.advertise) == (":" in host)
        return self.advertise if same_family else host


class AccountConfig(Table):
    """An account at a registrar (a PBX, a proxy) under which calls come in."""

    registrar: str
    "SIP URI of the registrar: `sip:pbx.example.com`, `sip:10.0.0.2:5060;transport=tcp`, `sips:pbx.example.com`."
    outbound_proxy: str = ""
    "SIP URI of the proxy that everything of this account goes through, when it is not the registrar itself."
    user: str
    auth_user: str = Field(default="", pattern=ONE_LINE)
    "User name for the digest, when it differs from `user`."
    password_env: str = ""
    realm: str = Field(default="", pattern=ONE_LINE)
    "The only realm whose challenges are answered; empty: any."
    contact_user: str = ""
    "User part under which the registrar shall call, when it differs from `user`."
    display_name: str = Field(default="", pattern=ONE_LINE)
    expires_s: int = Field(default=300, ge=60, le=86_400)
    outbound: Literal["auto", "on", "off"] = "auto"
    "Whether calls shall come on the connection that registered (RFC 5626); auto: over TCP, TLS and WebSocket."
    gruu: bool = False
    "Ask for a globally routable Contact (RFC 5627) and call with it; the PBX must route it."
    instance: str = ""
    "Any name that stays over restarts and no other engine has; empty: made of host name, `sip.listen` and account."

    @field_validator("registrar")
    @classmethod
    def _registrar(cls, value: str) -> str:
        _check_hop(value)
        return value

    @field_validator("outbound_proxy")
    @classmethod
    def _outbound_proxy(cls, value: str) -> str:
        if value:
            _check_hop(value)
        return value

    @field_validator("user", "contact_user")
    @classmethod
    def _user(cls, value: str, info: ValidationInfo) -> str:
        if not re.fullmatch(r"[^\x00-\x20\x7f@:;<>\"?]+", value) and (value or info.field_name == "user"):
            raise ValueError('the user part of a SIP URI is wanted, such as 729 or pay; write others as %40 for "@"')
        return value


def _check_hop(text: str) -> None:
    """Raise ``ValueError`` unless ``text`` is a SIP URI of a host whose transport, if it names one, we speak."""
    try:
        uri = Uri.parse(text)
        transport = Transport((uri.param("transport") or "udp").upper())
    except (ParseError, ValueError):
        raise ValueError(
            "a SIP URI of a host is wanted, such as sip:pbx.example.com:5060, sip:pbx.example.com;transport=tcp (or "
            "udp, tls) or sips:pbx.example.com"
        ) from None
    if transport in (Transport.WS, Transport.WSS):
        raise ValueError("WebSocket is for those who call here; a registrar or proxy is reached by udp, tcp or tls")
    if not uri.is_sip or uri.user is not None or uri.headers or uri.port == 0:
        raise ValueError("a SIP URI of a host is wanted, without a user, such as sip:pbx.example.com:5060")
    if uri.scheme == "sips" and uri.param("transport") is not None and transport is Transport.UDP:
        raise ValueError("sips: means TLS, which UDP cannot have; leave transport out")


class OutboundConfig(Table):
    """How calls out are placed when the call itself does not say it."""

    account: str = ""
    "Name of the `[account.NAME]` that calls go out under; empty: none, and the calls go to the URI's own host."
    gateway: str = ""
    "SIP URI of the host that takes telephone numbers, such as `sip:sbc.example.com`; empty: the account's registrar."
    caller: str = ""
    "Who calls: a number, or a SIP URI; empty: the account's user."
    assert_identity: bool = False
    "Say the caller in P-Asserted-Identity too (RFC 3325): for trunks that want it."
    ring_s: float = Field(default=30.0, ge=1.0, le=280.0)
    "Seconds until a call that nobody answers is given up."
    follow_redirects: bool = True
    "Call where a 3xx answer points, five targets at most."

    @field_validator("gateway")
    @classmethod
    def _gateway(cls, value: str) -> str:
        if value and not re.fullmatch(r"sips?:[^\s@?]+", value):
            raise ValueError("a SIP URI of a host is wanted, such as sip:sbc.example.com")
        return value
