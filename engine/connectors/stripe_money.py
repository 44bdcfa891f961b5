"""Amounts as Stripe's API wants them: a whole number of its own minor units.

They are those of ISO 4217 except for the currencies of this table, which follows "Supported currencies" of Stripe's
documentation (docs.stripe.com/currencies: zero-decimal, three-decimal, special cases):

* zero decimals: as in ISO 4217, but for the ariary (MGA), which ISO gives two;
* ISK and UGX: no decimals in ISO 4217 and none to be charged, yet sent in hundredths (UGX stands in Stripe's list of
  zero-decimal currencies too; the special case is what the API does);
* HUF and TWD: two decimals; that Stripe pays them out in whole units only does not touch charges;
* three decimals: the last digit has to be 0.

A currency that is neither in the table nor one of two decimals in ISO 4217 is refused: a guess is wrong by a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.pay.errors import OrderError
from engine.pay.money import currency_exponent, parse_amount

__all__ = ("EXPONENTS", "stripe_amount")

_ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_TWO_BY_COMPATIBILITY = "ISK UGX"
_THREE = "BHD JOD KWD OMR TND"

EXPONENTS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(_ZERO.split(), 0) | dict.fromkeys(_TWO_BY_COMPATIBILITY.split(), 2) | dict.fromkeys(_THREE.split(), 3)
)
"Decimals of Stripe's amounts where they are not two, or not those of ISO 4217."
_USUAL = 2
_STEP_OF_THREE = 10


def stripe_amount(amount: str, currency: str) -> int:
    """Return a charge's amount in Stripe's minor units: 1055 for ``10.55`` usd, 500 for ``5`` isk, 5120 for 5.120 kwd.

    Raise `OrderError`, which names the field, for an amount or a currency that can't be charged through Stripe.
    """
    iso = currency_exponent(currency)
    exponent = EXPONENTS.get(currency.upper(), _USUAL)
    if exponent != iso and currency.upper() not in EXPONENTS:
        raise OrderError("currency", f"Stripe documents no unit for amounts in {currency.upper()}")
    minor = parse_amount(amount, currency, limit_included=True).scaleb(exponent)
    if minor <= 0:
        raise OrderError("amount", "nothing to charge")
    if minor != minor.to_integral_value():
        raise OrderError("amount", f"Stripe takes {currency.upper()} with {exponent} decimals")
    if exponent > _USUAL and minor % _STEP_OF_THREE:
        raise OrderError("amount", f"Stripe takes {currency.upper()} with a 0 as the last of {exponent} decimals")
    return int(minor)
