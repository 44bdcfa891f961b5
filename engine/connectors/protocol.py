"""What every connector is to the engine."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from engine.pay.submission import ConnectorAnswer, Submission

__all__ = ("Connector",)


@runtime_checkable
class Connector(Protocol):
    """Where payments are sent."""

    @property
    def name(self) -> str:
        """The connector's name in the configuration."""

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Send one payment and return what became of it.

        Repeats, if any, happen inside and carry the same transaction id; the secrets are read for as long as this
        runs and wiped by the caller afterwards. Faults of the gateway or of the network are answers: ``FAILED`` only
        when it is certain that nothing was charged, ``UNKNOWN`` otherwise.
        """

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Return what became of an earlier submission; None when this connector or its gateway can't tell.

        ``FAILED`` with the error code ``not_found`` means that the gateway never received it.
        """

    async def close(self) -> None:
        """Give back what the connector holds."""
