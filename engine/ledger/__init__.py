"""What must survive a crash: payments, charge attempts, webhooks, call records."""

from engine.ledger.ledger import INTERRUPTED, Ledger
from engine.ledger.records import AttemptRecord, WebhookRecord

__all__ = ("INTERRUPTED", "AttemptRecord", "Ledger", "WebhookRecord")
