"""What a softphone backend is: the loop's side of the line protocol."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from engine.errors import SoftphoneError
from engine.softphone.protocol import Command, Event
from sip.crypto_attribute import SrtpPolicy

__all__ = ("Backend", "BackendName", "Emit", "choose_backend", "create_backend")

Emit = Callable[[Event], None]
"Where a backend puts its events; called on the thread that runs the loop."


class BackendName(StrEnum):
    """The SIP stacks a softphone can stand on."""

    AUTO = "auto"
    PJSUA = "pjsua"
    NATIVE = "native"


class Backend(Protocol):
    """A SIP user agent driven by one loop: execute, poll, execute, poll ... and close."""

    def start(self) -> None:
        """Open the SIP socket and emit ``ready``; raises `SoftphoneError`."""

    def execute(self, command: Command) -> None:
        """Carry out one command; raises `SoftphoneError` (the loop turns it into an ``error`` event)."""

    def poll(self, timeout_s: float) -> None:
        """Handle what came in; return after ``timeout_s`` at the latest."""

    def close(self) -> None:
        """End all calls, give up the registration, free everything. Safe to call twice."""


def choose_backend(name: BackendName) -> BackendName:
    """Return the backend that ``auto`` means here: pjsua2 where its wheel is installed, else our own stack."""
    if name is not BackendName.AUTO:
        return name
    return BackendName.PJSUA if importlib.util.find_spec("pjsua2") is not None else BackendName.NATIVE


def create_backend(
    name: BackendName,
    emit: Emit,
    *,
    host: str,
    sip_port: int,
    audio: bool,
    srtp: SrtpPolicy = SrtpPolicy.OFF,
    codec: str = "",
) -> Backend:
    """Make a backend; ``host`` is the local address it binds, port 0 lets the system choose.

    ``srtp`` and ``codec`` (the only one to be offered) are for our own stack: ``auto`` then means that. Raises
    `SoftphoneError` when the backend is not installed, or cannot do what is asked.
    """
    chosen = srtp is not SrtpPolicy.OFF or codec != ""
    if chosen and name is BackendName.PJSUA:
        raise SoftphoneError("this backend chooses neither SRTP nor the codec; use --backend native")
    if chosen:
        name = BackendName.NATIVE
    # Imported here: each backend brings a library of its own, and only one of them is wanted in a process.
    if choose_backend(name) is BackendName.PJSUA:
        try:
            from engine.softphone.pjsua import PjsuaPhone
        except ImportError:
            raise SoftphoneError(
                "pjsua2 is not installed: pip install 'paytone[softphone]' (CPython 3.11 or 3.12 on x86-64), "
                "or use --backend native"
            ) from None
        return PjsuaPhone(emit, host=host, sip_port=sip_port, audio=audio)
    from engine.softphone.native import NativePhone
    from engine.softphone.stack import CODECS

    return NativePhone(emit, host=host, sip_port=sip_port, audio=audio, srtp=srtp, codecs=(codec,) if codec else CODECS)
