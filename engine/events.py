"""What the engine tells observers (the demonstration, a console, tests): small facts, nothing to be masked in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from sip.identity import CallerIdentity

__all__ = (
    "CallAnswered",
    "CallCreated",
    "CallEnded",
    "CallFailed",
    "CallOutcome",
    "CallRinging",
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
class CallCreated(EngineEvent):
    """A call in that we can take, or a call out that is being placed."""

    direction: Literal["in", "out"]
    caller: str
    dialled: str
    parent_id: str
    "The call whose program made this one; empty: none did."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRinging(EngineEvent):
    """A call out rings; told once for each kind of provisional answer."""

    status: int
    "180 rings, 181 is being forwarded, 182 is queued, 183 tells nothing."
    early_media: bool
    "It brought a session description: the far end may be heard before the answer."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(EngineEvent):
    """The call is up and media flows: the caller's ACK arrived, or the callee's 200."""

    caller: str
    dialled: str
    form: str
    codec: str
    telephone_event: bool
    direction: Literal["in", "out"] = "in"
    identity: CallerIdentity | None = field(default=None, repr=False)
    "What the INVITE of a call in said of its caller and of the way it took; not to be logged."


class CallOutcome(StrEnum):
    """Why a call out was not answered."""

    BUSY = "busy"
    NO_ANSWER = "no-answer"
    REFUSED = "refused"
    NOT_FOUND = "not-found"
    UNREACHABLE = "unreachable"
    "No address, no connection, no response, or a server that is out of service."
    NO_MEDIA = "no-media"
    "No codec or no encryption that both sides take."
    CANCELLED = "cancelled"
    "We gave it up."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(EngineEvent):
    """A call out was not answered; ``CallEnded`` follows."""

    outcome: CallOutcome
    status: int | None
    "The final SIP status; None without one."
    reason: str


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
