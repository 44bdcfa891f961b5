"""Whom to call, as ``connect``, ``calling.connect`` and ``calling.dial`` say it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ("Device", "Devices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One destination."""

    to: str = field(repr=False)
    "A number, or a ``sip:`` URI."
    from_: str = field(default="", repr=False)
    "Who calls; empty: as the bridged call, or the configuration, has it."
    timeout_s: float = 60.0
    "How long it may ring."
    max_duration_s: float = 14400.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    codecs: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    confirm: object = None
    "What the called side hears first and has to agree to, as written in the document; None: nothing."
    confirm_timeout_s: float = 5.0


Devices = tuple[tuple[Device, ...], ...]
"One group after the other, until one is answered; those of a group all at once."
