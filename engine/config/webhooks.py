"""Webhooks: ``[webhooks]``."""

from __future__ import annotations

import ipaddress
import re

from pydantic import Field, field_validator

from engine.config.table import Table

__all__ = ("WebhooksConfig",)

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


class WebhooksConfig(Table):
    """Where applications may be told of payments, and for how long it is tried."""

    allow: tuple[str, ...] = ()
    "Networks and host names inside that webhooks and documents may go to; every public address is allowed."
    give_up_s: float = Field(default=86_400.0, ge=60.0, le=30 * 86_400.0)
    "How long a result is repeated; a status is repeated twice at most."
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    "For each try."
    ca: str = ""
    "PEM file with the authorities that may vouch for receivers; empty: those of the system."

    @field_validator("allow")
    @classmethod
    def _allow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            try:
                ipaddress.ip_network(entry, strict=False)
            except ValueError:
                # Numbers are a mistyped network, and never the name of a host.
                if not _HOST.fullmatch(entry) or re.fullmatch(r"[0-9./-]+", entry):
                    raise ValueError(
                        f"{entry!r} is neither a network, such as 10.0.0.0/24, nor a host name, such as shop.internal"
                    ) from None
        return value
