"""Amounts as decimal text, never binary fractions (`dialects.md` §1.10).

The text that was configured is the text that is sent; a ``Decimal`` is made of it only to check and to compare.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from iso4217 import Currency

from engine.pay.errors import OrderError

__all__ = ("currency_exponent", "minor_units", "parse_amount")

_AMOUNT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?")
_LIMIT = Decimal(1_000_000)  # REST says "less than", TwiML "to … inclusive" (`dialects.md` §1.10)


def currency_exponent(currency: str) -> int:
    """Return the decimals of an ISO 4217 currency in any case: 2 for ``usd``, 0 for ``JPY``, 3 for ``kwd``.

    Raise `OrderError` for a code that is unknown or, like ``XAU``, has no minor unit to charge in.
    """
    try:
        exponent: int | None = Currency(currency.upper()).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise OrderError("currency", "not a currency of ISO 4217 that can be charged")
    return exponent


@lru_cache(maxsize=256)
def parse_amount(text: str, currency: str, *, limit_included: bool = False) -> Decimal:
    """Return the amount in major units; empty text is 0, which means: tokenize, do not charge.

    Raise `OrderError` when it is not a plain decimal number, negative, has more decimals than the currency, or reaches
    1,000,000 (exceeds it, with ``limit_included``).
    """
    exponent = currency_exponent(currency)
    if not text:
        return Decimal(0)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise OrderError("amount", "not a plain decimal number such as 10.50")
    if len(match[2] or "") > exponent:
        raise OrderError("amount", f"more than the {exponent} decimals of {currency}")
    amount = Decimal(text)
    if amount > _LIMIT or (amount == _LIMIT and not limit_included):
        raise OrderError("amount", "1,000,000 or more")
    return amount


def minor_units(text: str, currency: str) -> int:
    """Return the amount as a whole number of minor units (cents, fils), for gateways that want it so.

    Raise `OrderError` as `parse_amount` does.
    """
    amount = parse_amount(text, currency, limit_included=True)
    return int(amount.scaleb(currency_exponent(currency)))
