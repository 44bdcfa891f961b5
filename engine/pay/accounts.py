"""US bank accounts: ABA routing numbers and account numbers (`dialects.md` §1.3)."""

from __future__ import annotations

__all__ = (
    "MAX_ACCOUNT_DIGITS",
    "MIN_ACCOUNT_DIGITS",
    "ROUTING_DIGITS",
    "account_is_valid",
    "mask_account",
    "routing_is_valid",
)

ROUTING_DIGITS = 9
MIN_ACCOUNT_DIGITS = 4  # vendors only say "a minimum"
MAX_ACCOUNT_DIGITS = 17  # NACHA entry detail record, field 5: DFI account number, 17 wide

_ZERO = ord("0")
_WEIGHTS = (3, 7, 1) * 3
# ABA: Federal Reserve (00 government, 01-12), thrift (21-32), electronic (61-72), traveller's cheques (80). The
# checksum alone accepts 2.6 times as many numbers.
_PREFIXES = frozenset((*range(13), *range(21, 33), *range(61, 73), 80))
_SHOWN = 2


def routing_is_valid(digits: memoryview | bytes) -> bool:
    """Tell whether ASCII digits are an ABA routing number: nine digits, prefix in use, checksum, not all zero."""
    if len(digits) != ROUTING_DIGITS:
        return False
    values = [byte - _ZERO for byte in digits]
    if not all(0 <= value <= 9 for value in values) or not any(values):
        return False
    checksum = sum(weight * value for weight, value in zip(_WEIGHTS, values, strict=True))
    return checksum % 10 == 0 and values[0] * 10 + values[1] in _PREFIXES


def account_is_valid(digits: memoryview | bytes) -> bool:
    """Tell whether ASCII digits can be an account number: 4 to 17 digits."""
    return MIN_ACCOUNT_DIGITS <= len(digits) <= MAX_ACCOUNT_DIGITS and all(_ZERO <= b <= _ZERO + 9 for b in digits)


def mask_account(digits: memoryview | bytes) -> str:
    """Return the account number with all but the last two digits as ``*`` (`dialects.md` §1.9, D-19)."""
    shown = min(_SHOWN, max(0, len(digits) - _SHOWN))
    hidden = len(digits) - shown
    return "*" * hidden + "".join(chr(byte) for byte in digits[hidden:])
