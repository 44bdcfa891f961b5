"""What the tables of the file have in common, and the checks that several of them make."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import ConfigError

__all__ = ("NAME", "ONE_LINE", "Table", "checked_names", "checked_networks", "secret_from_environment", "split_address")

NAME = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"


class Table(BaseModel):
    """A table of the file: keys that nobody knows are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def checked_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return networks as they came when each is one; raise ``ValueError``."""
    for network in value:
        ipaddress.ip_network(network, strict=False)
    return value


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


def checked_names(key: str, value: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return a list of names when it is not empty, has none twice and each is known; raise ``ValueError``."""
    if not value or len(set(value)) != len(value) or not set(value) <= set(known):
        raise ValueError(f"{key} wants one or more of {', '.join(known)}, none twice")
    return value
