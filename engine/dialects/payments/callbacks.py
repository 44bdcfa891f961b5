"""What a session tells its StatusCallback, as form parameters in their order (`dialects.md` §5.4).

==================  =============================================================================================
when                what
==================  =============================================================================================
created             who and what: the session, the call, the connector, the method
an entry changes    that, and DateUpdated, Capture, ErrorType, PartialResult, Required, all values known so far
it is over          that, and DateUpdated, Result, the values, what the connector gave or said
==================  =============================================================================================

Values are masked, and left out while unknown (D-32). What only a success or a failure has is there and empty otherwise:
published handlers read it without looking first. ErrorType and Required are always there, for the same reason (D-39).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from urllib.parse import parse_qsl

from engine.dialects.twilio import call_sid, iso_date, payment_sid
from engine.pay.results import MaskedFields, PayResult, PayStatus, Result
from engine.pay.rules import RULES, Dialect, PayErrorCode
from engine.pay.submission import PaymentMethod

__all__ = (
    "Parameters",
    "SessionFacts",
    "capture_parameters",
    "created_parameters",
    "interrupted_parameters",
    "result_parameters",
    "tells_result",
)

Parameters = tuple[tuple[str, str], ...]

MATCHER = "-matcher"
MAX_FIELDS = 100
_RULES = RULES[Dialect.PAYMENTS]
_CARD: Mapping[str, str] = MappingProxyType(
    {
        "PaymentCardNumber": "card_number",
        "PaymentCardType": "card_type",
        "ExpirationDate": "expiration_date",
        "SecurityCode": "security_code",
        "PaymentCardPostalCode": "postal_code",
    }
)
_BANK: Mapping[str, str] = MappingProxyType(
    {"BankAccountNumber": "account_number", "BankRoutingNumber": "routing_number"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What every callback of a session says."""

    account_sid: str
    call_id: str
    payment_id: str
    created: datetime
    "UTC."
    connector: str
    "As the request named it."
    method: str
    amount: str
    "As text; empty: a token is wanted."
    token_type: str
    bank_account_type: str

    def parameters(self) -> Parameters:
        """Return them."""
        about = [
            ("AccountSid", self.account_sid),
            ("CallSid", call_sid(self.call_id)),
            ("Sid", payment_sid(self.payment_id)),
            ("DateCreated", iso_date(self.created)),
            ("PaymentConnector", self.connector),
            ("PaymentMethod", self.method),
            ("ChargeAmount", self.amount) if self.amount else ("TokenType", self.token_type),
        ]
        if self.method == PaymentMethod.ACH_DEBIT:
            about.append(("BankAccountType", self.bank_account_type))
        return tuple(about)


def created_parameters(facts: SessionFacts) -> Parameters:
    """Return what is told right after a session was created."""
    return facts.parameters()


def capture_parameters(
    facts: SessionFacts, status: PayStatus, updated: datetime, *, partial_false: bool = True
) -> Parameters:
    """Return what is told when an entry changes; without ``partial_false`` a complete one has no PartialResult."""
    says = [
        *facts.parameters(),
        ("DateUpdated", iso_date(updated)),
        ("Capture", f"{status.step}{MATCHER if status.matching else ''}"),
        ("ErrorType", _RULES.error_name(status.error_type)),
    ]
    if status.partial or partial_false:
        says.append(("PartialResult", "true" if status.partial else "false"))  # D-40
    says.append(("Required", ",".join(status.required)))  # D-39
    return (*says, *_values(facts.method, status))


def result_parameters(facts: SessionFacts, result: PayResult, updated: datetime) -> Parameters:
    """Return what is told when a session is over."""
    return (
        *facts.parameters(),
        ("DateUpdated", iso_date(updated)),
        ("Result", _RULES.result_name(result.result)),
        *_values(facts.method, result),
        ("PaymentConfirmationCode", result.charge_id),
        ("PaymentToken", result.token_id),
        ("ProfileId", result.profile_id),
        *_failure(result),
    )


def interrupted_parameters(
    facts: SessionFacts,
    *,
    result: str,
    error: str,
    values: MaskedFields,
    charge_id: str,
    token_id: str,
    updated: datetime,
) -> Parameters:
    """Return what is told of a session whose end the engine's own end left untold, from what its record knows."""
    name = _RULES.result_name(Result(result))
    paid = name == Result.SUCCESS
    return (
        *facts.parameters(),
        ("DateUpdated", iso_date(updated)),
        ("Result", name),
        *_values(facts.method, values),
        ("PaymentConfirmationCode", charge_id if paid else ""),
        ("PaymentToken", token_id if paid else ""),
        ("ProfileId", ""),
        *((("PaymentError", error),) if error and not paid else ()),
    )


def tells_result(body: bytes) -> str:
    """Return the Result that the body of a callback tells; empty when it tells none, or is none of ours."""
    try:
        return dict(parse_qsl(body.decode("ascii"), max_num_fields=MAX_FIELDS)).get("Result", "")
    except ValueError:
        return ""


def _values(method: str, masked: MaskedFields) -> Parameters:
    names = _BANK if method == PaymentMethod.ACH_DEBIT else _CARD
    known = ((name, getattr(masked, attribute)) for name, attribute in names.items())
    return tuple((name, value) for name, value in known if value)


def _failure(result: PayResult) -> Parameters:
    if result.result not in (Result.PAYMENT_CONNECTOR_ERROR, Result.INTERNAL_ERROR):
        return ()
    code = ""
    if result.outcome is not None:
        code = str(int(_RULES.result_code(result) or PayErrorCode.SERVICE_UNAVAILABLE))
    fault = result.connector_error
    return (
        ("PaymentError", result.payment_error),
        ("PayErrorCode", code),
        ("ConnectorError", "" if fault is None else fault.code or fault.message),
    )
