"""Requests to the Payments resource: create and update, read and checked (`dialects.md` §5.2, §5.3).

Everything is checked before the caller or the agent notices anything. A parameter that is given empty is not given; of
one that is given twice the last counts; one that does not exist is passed over, as the vendor does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NoReturn

from engine.dialects.payments.refusals import RequestRefused, refused_order
from engine.net.http import split_url
from engine.pay.errors import OrderError
from engine.pay.fields import Step
from engine.pay.money import currency_exponent
from engine.pay.order import MaskStyle, PayOrder
from engine.pay.rules import RULES, Dialect, PayErrorCode, order_for

__all__ = (
    "CAPTURES",
    "DEFAULT_CONNECTOR",
    "CreateRequest",
    "RequestSettings",
    "UpdateRequest",
    "read_create",
    "read_update",
)

DEFAULT_CONNECTOR = "Default"
"What ``PaymentConnector`` is when none is named."
CAPTURES = (
    *(str(step) for step in (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)),
    *(str(step) for step in (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER)),
    *(f"{step}-matcher" for step in (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)),
)
"What ``Capture`` may be."
MAX_TEXT = 4096
"Characters of a parameter; of ``Parameter`` four times as many."
MAX_HOST = 253
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_DECIMALS = re.compile(r"([0-9]{1,12})\.([0-9]{1,20})")
# What a parameter is in an order.
_FIELDS: Mapping[str, str] = MappingProxyType({name: field for field, name in RULES[Dialect.PAYMENTS].names.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSettings:
    """What the operator decides."""

    allow_insecure: bool = False
    "Whether a StatusCallback may be http (D-30)."
    mask_style: str = MaskStyle.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """A session as it is asked for."""

    status_callback: str = field(repr=False)
    connector: str
    "As named, perhaps `DEFAULT_CONNECTOR`."
    order: PayOrder = field(repr=False)
    key: bytes = field(repr=False)
    "Digest of the IdempotencyKey: two are compared, none is shown."
    fingerprint: bytes = field(repr=False)
    "Digest of all parameters, in whatever order they came: the same for the same request (D-35)."


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRequest:
    """What an open session shall do."""

    status_callback: str = field(repr=False)
    key: bytes = field(repr=False)
    "Digest of the IdempotencyKey."
    capture: str = ""
    "One of `CAPTURES`; empty: ``status`` is given."
    status: Literal["", "complete", "cancel"] = ""


def read_create(parameters: Sequence[tuple[str, str]], settings: RequestSettings) -> CreateRequest:
    """Return the session that form parameters ask for; raise `RequestRefused`."""
    given = _given(parameters)
    key = _idempotency_key(given)
    callback = _status_callback(given, settings)
    if given.get("Input", "dtmf").strip().lower() != "dtmf":
        raise _wrong("Input", "dtmf is the only input there is")
    values: dict[str, Any] = {_FIELDS[name]: text for name, text in given.items() if name in _FIELDS}
    if "parameters" in values:
        values["parameters"] = _custom_parameters(values["parameters"])
    if "amount" in values:
        values["amount"] = _amount(values["amount"], values.get("currency", ""))
    method = values.get("method", "")
    try:
        order = order_for(Dialect.PAYMENTS, **values, mask_style=settings.mask_style)
    except OrderError as error:
        raise refused_order(error, method=method) from None
    return CreateRequest(
        status_callback=callback,
        connector=given.get("PaymentConnector", DEFAULT_CONNECTOR).strip(),
        order=order,
        key=key,
        fingerprint=_digest(*(text for pair in sorted(given.items()) for text in pair)),
    )


def read_update(parameters: Sequence[tuple[str, str]], settings: RequestSettings) -> UpdateRequest:
    """Return what form parameters ask of a session; raise `RequestRefused`, 64018 unless just one thing is asked."""
    given = _given(parameters)
    key = _idempotency_key(given)
    callback = _status_callback(given, settings)
    capture, status = given.get("Capture", "").strip(), given.get("Status", "").strip()
    if bool(capture) == bool(status):
        raise RequestRefused(PayErrorCode.CAPTURE_OR_STATUS, "Give exactly one of Capture and Status")
    if capture and capture not in CAPTURES:
        raise _wrong("Capture", f"one of {', '.join(CAPTURES)}")
    match status:
        case "" | "complete" | "cancel":
            return UpdateRequest(status_callback=callback, key=key, capture=capture, status=status)
        case _:
            raise _wrong("Status", "complete or cancel")


def _given(parameters: Sequence[tuple[str, str]]) -> dict[str, str]:
    given = {name: text for name, text in parameters if text.strip()}
    for name, text in given.items():
        if len(text) > (MAX_TEXT * 4 if name == "Parameter" else MAX_TEXT):
            raise _wrong(_shown(name), "too long")
        if not _is_clean(text, lines=name == "Parameter"):
            raise _wrong(_shown(name), "holds characters that are no text")
    return given


def _shown(name: str) -> str:
    known = {*_FIELDS, "IdempotencyKey", "StatusCallback", "Input", "PaymentConnector", "Capture", "Status"}
    return name if name in known else "a parameter"


def _is_clean(text: str, *, lines: bool = False) -> bool:
    """Whether a text can be written anywhere: no control characters, no halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return _UNPRINTABLE.search(text.translate({9: 32, 10: 32, 13: 32}) if lines else text) is None


def _idempotency_key(given: Mapping[str, str]) -> bytes:
    if "IdempotencyKey" not in given:
        raise _wrong("IdempotencyKey", "is required: a text of your own that tells requests apart")
    return _digest(given["IdempotencyKey"])


def _status_callback(given: Mapping[str, str], settings: RequestSettings) -> str:
    url = given.get("StatusCallback", "").strip()
    if not url:
        raise _wrong("StatusCallback", "is required")
    if "://" not in url:
        # D-36: nothing says what it would be relative to.
        raise _wrong("StatusCallback", "has to be absolute, such as https://app.example/payments")
    try:
        target = split_url(url, allow_insecure=settings.allow_insecure)
    except ValueError as error:
        remedy = "" if settings.allow_insecure else "; http: is for development, with allow_insecure_callbacks"
        raise _wrong("StatusCallback", f"{error}{remedy}") from None
    if len(target.host) > MAX_HOST:
        raise _wrong("StatusCallback", "names no host that can be")
    return url


def _amount(text: str, currency: str) -> str:
    """Return an amount without zeros that its currency has no place for: SDKs send floats, ``500.0`` yen."""
    match = _DECIMALS.fullmatch(text.strip())
    if match is None:
        return text
    try:
        places = currency_exponent(currency.strip() or str(RULES[Dialect.PAYMENTS].defaults["currency"]))
    except OrderError:
        return text  # the currency is what is wrong
    if match[2][places:].strip("0"):
        return text  # a fraction of the smallest unit, which is refused
    decimals = match[2][:places]
    return f"{match[1]}.{decimals}" if decimals else match[1]


def _custom_parameters(text: str) -> dict[str, Any]:
    """Return ``Parameter``: one JSON object, whose numbers stay the text that they were."""
    try:
        value = json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _wrong("Parameter", 'has to be a JSON object of one level, such as {"AVSName": "Joe"}') from None
    if not isinstance(value, dict):
        raise _wrong("Parameter", "has to be a JSON object")
    if not all(_is_clean(item, lines=True) for pair in value.items() for item in pair if isinstance(item, str)):
        raise _wrong("Parameter", "holds characters that are no text")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError("no number of JSON")


def _wrong(name: str, reason: str) -> RequestRefused:
    return RequestRefused(PayErrorCode.PARAMETER_VALUE, f"{name}: {reason}")


def _digest(*texts: str) -> bytes:
    hashed = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")  # the name of a parameter that does not exist may be anything
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.digest()
