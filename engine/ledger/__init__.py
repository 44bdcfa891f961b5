"""What must survive a crash: payments, charge attempts, webhooks, call records."""

from engine.ledger.calls import CallFilter, CallRecord, CallRecords, Mark
from engine.ledger.interrupted import INTERRUPTED, InterruptedPayment
from engine.ledger.ledger import Ledger
from engine.ledger.recordings import RecordingRecord, RecordingRows
from engine.ledger.records import AttemptRecord, CallMedia, WebhookPolicy, WebhookRecord
from engine.ledger.removal import Erased
from engine.ledger.retention import Retention

__all__ = (
    "INTERRUPTED",
    "AttemptRecord",
    "CallFilter",
    "CallMedia",
    "CallRecord",
    "CallRecords",
    "Erased",
    "InterruptedPayment",
    "Ledger",
    "Mark",
    "RecordingRecord",
    "RecordingRows",
    "Retention",
    "WebhookPolicy",
    "WebhookRecord",
)
