"""The engine's errors.

::

    Error
    ├── ConfigError        the configuration cannot be used; names the key and the line
    ├── MediaError         a port, a thread or a leg could not be had
    ├── PayError           a payment order was asked for that cannot be taken
    ├── ConnectorError     a connector cannot be used as configured (a refused payment is an answer, no error)
    ├── LedgerError        the ledger could not be read or written
    ├── TargetError        a URI has no address that can be reached from here
    ├── CallError          a call out cannot be placed as it was asked for
    │   └── BusyError      not now: the engine stops, or as many calls are up as may be
    ├── ProgramError       what runs on a call cannot do what it is asked for, or not any more
    └── SoftphoneError     the softphone could not start or lost its process

``sip``, ``dsp`` and ``prompts`` have trees of their own: they do not know the engine. No message ever holds a digit
that a caller keyed.
"""

from __future__ import annotations

__all__ = (
    "BusyError",
    "CallError",
    "ConfigError",
    "ConnectorError",
    "Error",
    "LedgerError",
    "MediaError",
    "PayError",
    "ProgramError",
    "SoftphoneError",
    "TargetError",
)


class Error(Exception):
    """Root of the engine's errors."""


class ConfigError(Error):
    """The configuration cannot be used.

    ``where`` names the key (and the file and line, when known), ``remedy`` says what to write instead.
    """

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.remedy = remedy


class MediaError(Error):
    """A port, a media thread or a leg could not be had."""


class PayError(Error):
    """A payment order was asked for that cannot be taken."""


class ConnectorError(Error):
    """A connector cannot be used as configured."""


class LedgerError(Error):
    """The ledger could not be read or written."""


class TargetError(Error):
    """A URI has no address that can be reached from here."""


class CallError(Error):
    """A call out cannot be placed as it was asked for."""


class BusyError(CallError):
    """No call can be placed now; the same call may be, later."""


class ProgramError(Error):
    """What runs on a call cannot do what it is asked for, or not any more."""


class SoftphoneError(Error):
    """The softphone could not start, or its process is gone."""
