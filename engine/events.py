"""What the engine tells observers (the demonstration, a console, tests): small facts, nothing to be masked in them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = (
    "CallAnswered",
    "CallEnded",
    "EngineEvent",
    "EntryProgress",
    "PaymentFinished",
    "PaymentSubmitted",
    "PromptFinished",
    "PromptStarted",
    "RegistrationState",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """Root of the events; ``call_id`` is the engine's own id of the call (empty when about none)."""

    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(EngineEvent):
    """The caller's ACK arrived; media flows."""

    caller: str
    dialled: str
    form: str
    codec: str
    telephone_event: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStarted(EngineEvent):
    """The caller begins to hear a prompt."""

    step: str
    names: tuple[str, ...]
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFinished(EngineEvent):
    """The prompt is over: to its end, or because the caller pressed a key."""

    step: str
    barged_in: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProgress(EngineEvent):
    """A step changed: it is asked, was refused (``error_type``), or was filled in (all values masked)."""

    step: str
    error_type: str
    attempt: int
    card_number: str
    card_type: str
    expiration_date: str
    security_code: str
    postal_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSubmitted(EngineEvent):
    """The attempt is journalled and goes to the connector."""

    connector: str
    transaction_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFinished(EngineEvent):
    """The payment ended; ``result`` is a name of `dialects.md` §1.8."""

    result: str
    amount: str
    currency: str
    card_number: str
    card_type: str
    charge_id: str
    token_id: str
    error: str
    digits_by_source: tuple[tuple[str, int], ...]
    "How many keys came by telephone-event, in-band and INFO."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(EngineEvent):
    """The call and all that belonged to it is gone."""

    cause: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationState(EngineEvent):
    """An account's registration changed."""

    account: str
    state: str
    reason: str
