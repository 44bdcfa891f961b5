"""Rows of the ledger as the rest of the engine sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.net.web_client import WebRequest
from engine.pay.submission import Outcome

__all__ = ("AttemptRecord", "CallMedia", "WebhookPolicy", "WebhookRecord")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMedia:
    """What a call record keeps of the media that was received."""

    codec: str
    srtp: str
    "The suite; empty for plain RTP."
    packets_in: int
    packets_lost: int
    packets_late: int
    "Came after their playout."
    packets_discarded: int
    jitter_ms: float
    "RFC 3550 A.8."
    round_trip_ms: float | None
    "None where the far end told nothing."
    mos: float
    "ITU-T G.107 Annex B, 1 to 4.5."


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt at a connector, masked."""

    transaction_id: str
    payment_id: str
    connector: str
    operation: str
    method: str
    amount: str
    currency: str
    card_number: str
    "Masked: all but the last four."
    card_type: str
    created_at: datetime
    outcome: Outcome | None
    "None until known."
    outcome_at: datetime | None
    reconciled: bool
    "The outcome was found out afterwards, not by the answer to our request."
    charge_id: str
    token_id: str
    error_code: str
    error_message: str

    def for_log(self) -> dict[str, str]:
        """Return what a log line needs to name this attempt."""
        return {
            "transaction": self.transaction_id,
            "payment": self.payment_id,
            "connector": self.connector,
            "amount": self.amount,
            "currency": self.currency,
            "outcome": self.outcome or "open",
            "charge": self.charge_id,
            "error": self.error_code,
        }


class WebhookPolicy(StrEnum):
    """How long a webhook is repeated."""

    STATUS = "status"
    "On the way: twice at most (`dialects.md` D-27)."
    RESULT = "result"
    "How it ended: until its time is over."


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecord:
    """One webhook that waits to be delivered."""

    id: int
    session: str
    "Webhooks of one session are delivered in the order of their ids."
    receiver: str
    "Scheme, host and port."
    request: WebRequest
    policy: WebhookPolicy
    attempts: int
    "Deliveries tried so far."
    created_at: datetime
    give_up_at: datetime | None
    "When it is repeated no more; None in records of before there was a limit."
