"""What is not SIP and not payment: ``[media]``, ``[ledger]``, ``[log]``, ``[metrics]``, ``[trace]``."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, field_validator

from dsp.profile import PROFILES
from engine.config.table import Table, checked_names, split_address
from sip.crypto_attribute import DEFAULT_SUITES, SUITES
from sip.payload_types import CODECS

__all__ = ("LedgerConfig", "LogConfig", "MediaConfig", "MetricsConfig", "TraceConfig")

LEDGER_SCHEMES = ("sqlite+aiosqlite", "postgresql+asyncpg")


class MediaConfig(Table):
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
        return checked_names("codecs", value, CODECS)

    @field_validator("srtp_suites")
    @classmethod
    def _srtp_suites(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_names("srtp_suites", value, tuple(SUITES))

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


class LedgerConfig(Table):
    """Where payments, attempts, webhooks and calls are journalled, and for how long."""

    url: str = "sqlite+aiosqlite:///var/paytone.sqlite3"
    node: str = Field(default="", max_length=64)
    "Name of this engine among several on one PostgreSQL database; each needs its own."
    keep_calls_days: int = Field(default=0, ge=0, le=36500)
    "Days after which the record of a call is deleted; 0: never."
    keep_payments_days: int = Field(default=0, ge=0, le=36500)
    """Days after which a payment and its attempts are deleted; 0: never. One with an attempt whose outcome nobody knows
    stays until it is settled."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        scheme, separator, _ = value.partition("://")
        if not separator:
            raise ValueError("a database URL is wanted, such as sqlite+aiosqlite:///var/paytone.sqlite3")
        if scheme not in LEDGER_SCHEMES:
            # The rest is not repeated: it may hold a password.
            raise ValueError(
                f"{scheme!r} is no database of the ledger; begin the URL with {' or '.join(LEDGER_SCHEMES)}"
            )
        return value

    @field_validator("node")
    @classmethod
    def _node(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("node wants printable characters")
        return value


class LogConfig(Table):
    """What is logged; digits never are."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class MetricsConfig(Table):
    """Metrics for Prometheus."""

    listen: str = ""
    "Address and TCP port of the HTTP endpoint `/metrics`; empty: none."

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            split_address(value)
        return value


class TraceConfig(Table):
    """Where SIP messages are traced to, secrets masked; all of it can be on at once."""

    ladder: bool = False
    "A block in the log for each call, when it is over."
    hep: str = ""
    "Address and UDP port of a HOMER server (HEP version 3); empty: none."
    hep_id: int = Field(default=2001, ge=0, le=2**32 - 1)
    "Number under which the server knows this engine."
    hep_password_env: str = ""
    "Environment variable with the server's key; empty: none is sent."
    pcap: str = ""
    "Capture file; empty: none."
    pcap_max_mb: int = Field(default=100, ge=1, le=100_000)
    "Size at which the file becomes FILE.1 and begins anew."

    @field_validator("hep")
    @classmethod
    def _hep(cls, value: str) -> str:
        if value and split_address(value)[1] == 0:
            raise ValueError("the capture server's port is missing, such as 192.0.2.20:9060")
        return value
