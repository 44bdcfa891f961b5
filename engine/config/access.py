"""Who may call: ``[[sip.access]]``, ``[sip.user.NAME]`` and ``[sip.ban]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from engine.config.table import NAME, Table, checked_networks

__all__ = ("AccessRuleConfig", "BanConfig", "UserConfig")


class AccessRuleConfig(Table):
    """Who may begin a call or ask something here; the first rule that fits decides."""

    name: NAME
    "For logs and metrics."
    listener: str = ""
    "Only what comes in here, as written in `sip.listen`; empty: everywhere."
    networks: tuple[str, ...] = Field(default=(), alias="from")
    "Only from these networks; empty: from everywhere."
    to: tuple[str, ...] = ()
    "Only calls to these dialled users; empty: to all. Does not concern OPTIONS and the like, which dial nobody."
    require: Literal["nothing", "digest", "certificate"] = "nothing"
    "What a caller must show: nothing but the address, a password, or the certificate of its TLS connection."
    certificates: tuple[str, ...] = ()
    "Host names, one of which the client's certificate must bear; empty: any certificate that the authorities signed."
    users: tuple[str, ...] = ()
    "Of `[sip.user.*]`, who may answer the challenge; empty: all."
    algorithms: tuple[Literal["SHA-256", "MD5"], ...] = ("MD5",)
    "Of the challenge, best first (RFC 8760). Older telephones give up when anything but MD5 is among them."
    trusted: bool = False
    "Believe its P-Asserted-Identity (RFC 3325)."

    @field_validator("networks")
    @classmethod
    def _from(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_networks(value)

    @model_validator(mode="after")
    def _whole(self) -> AccessRuleConfig:
        if self.require == "nothing" and not self.networks:
            raise ValueError('a rule that requires nothing needs from = [...]; everybody is ["0.0.0.0/0", "::/0"]')
        if self.users and self.require != "digest":
            raise ValueError('users are asked for their password only with require = "digest"')
        if not self.algorithms or len(set(self.algorithms)) != len(self.algorithms):
            raise ValueError("algorithms wants one or more of SHA-256, MD5, none twice")
        if self.certificates and self.require != "certificate":
            raise ValueError('certificates are looked at only with require = "certificate"')
        if self.name in ("allow", "registrar"):
            raise ValueError("the names allow and registrar stand for sip.allow and the registrars of accounts")
        return self


class UserConfig(Table):
    """Someone who may call with a password; the table's name is the user name of the digest."""

    password_env: str = Field(min_length=1)
    "Environment variable with the password."


class BanConfig(Table):
    """What becomes of a source that tries and tries."""

    enabled: bool = True
    failures: int = Field(default=10, ge=1, le=100)
    "So many within `window_s` are answered with a ban; from the half on answers are withheld for a while."
    window_s: float = Field(default=60.0, ge=1, le=3600)
    first_s: float = Field(default=300.0, ge=1)
    "The first ban of a source; each further one is twice as long."
    longest_s: float = Field(default=86_400.0, ge=1, le=31 * 86_400)
    open_too: bool = False
    "Ban sources of rules that require nothing as well. With UDP open to forgers they can have your PBX banned."

    @model_validator(mode="after")
    def _order(self) -> BanConfig:
        if self.longest_s < self.first_s:
            raise ValueError("longest_s is at least first_s")
        return self
