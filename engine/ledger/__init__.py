"""What must survive a crash: payments, charge attempts, webhooks, call records."""

from engine.ledger.ledger import INTERRUPTED, Ledger
from engine.ledger.records import AttemptRecord, CallMedia, WebhookRecord

__all__ = ("INTERRUPTED", "AttemptRecord", "CallMedia", "Ledger", "WebhookRecord")
