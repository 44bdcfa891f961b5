"""Card brands: which one a number is of, how long it may be, and whether it can be right (`dialects.md` §1.4).

Everything works on ASCII digits in a buffer (``Secret.view()``), byte by byte, and progressively: the brand of a number
that is still being keyed is known as soon as no other brand is possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from engine.redact import mask_card

__all__ = (
    "ALIASES",
    "BRANDS",
    "Brand",
    "CardType",
    "MaskStyle",
    "accepted_as",
    "brand_of",
    "is_complete",
    "luhn_is_valid",
    "mask_number",
    "number_is_valid",
    "security_code_length",
)

_MAX_NUMBER_DIGITS = 19  # ISO/IEC 7812-1: a PAN has at most 19 digits
_IIN_DIGITS = 6
_ZERO = ord("0")


class CardType(StrEnum):
    """Brand names as the dialects write them; ``unionpay`` can be recognised but no vendor's list may name it."""

    ENROUTE = "enroute"
    AMEX = "amex"
    DINERS_CLUB = "diners-club"
    JCB = "jcb"
    MASTERCARD = "mastercard"
    VISA = "visa"
    DISCOVER = "discover"
    UNIONPAY = "unionpay"
    MAESTRO = "maestro"


class MaskStyle(StrEnum):
    """How a masked card number is written (D-19; the vendors' pages show both)."""

    PLAIN = "plain"
    DASHED = "dashed"


ALIASES: Mapping[str, CardType] = MappingProxyType({"optima": CardType.AMEX})
"Names that select a brand and are never recognised: an Optima card is an American Express number (D-9)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """One row of the table: prefixes as inclusive ranges of equally long prefixes."""

    card_type: CardType
    prefixes: tuple[tuple[str, str], ...]
    lengths: frozenset[int]
    luhn: bool = True
    code_digits: int = 3
    except_prefixes: tuple[tuple[str, str], ...] = ()


def _same(*prefixes: str) -> tuple[tuple[str, str], ...]:
    return tuple((prefix, prefix) for prefix in prefixes)


# RuPay's ranges, which start like Maestro's and are no Maestro numbers.
_RUPAY = (("508500", "508999"), ("606985", "607984"), ("608001", "608500"), ("652150", "653149"))

BRANDS: tuple[Brand, ...] = (
    # In the order of evaluation. enRoute predates the Luhn check (D-8).
    Brand(card_type=CardType.ENROUTE, prefixes=_same("2014", "2149"), lengths=frozenset({15}), luhn=False),
    Brand(card_type=CardType.AMEX, prefixes=_same("34", "37"), lengths=frozenset({15}), code_digits=4),
    Brand(
        card_type=CardType.DINERS_CLUB,
        prefixes=(("300", "305"), *_same("3095", "36", "38", "39")),
        lengths=frozenset(range(14, 20)),
    ),
    Brand(card_type=CardType.JCB, prefixes=(("3528", "3589"),), lengths=frozenset(range(16, 20))),
    Brand(card_type=CardType.MASTERCARD, prefixes=(("51", "55"), ("222100", "272099")), lengths=frozenset({16})),
    Brand(card_type=CardType.VISA, prefixes=_same("4"), lengths=frozenset({13, 16, 19})),
    Brand(
        card_type=CardType.DISCOVER,
        prefixes=(*_same("6011", "65"), ("644", "649"), ("622126", "622925")),
        lengths=frozenset(range(16, 20)),
    ),
    Brand(card_type=CardType.UNIONPAY, prefixes=_same("62", "81"), lengths=frozenset(range(16, 20))),
    Brand(
        card_type=CardType.MAESTRO,
        prefixes=(*_same("50", "6"), ("56", "58")),
        lengths=frozenset(range(12, 20)),
        except_prefixes=_RUPAY,
    ),
)

_BY_TYPE = {brand.card_type: brand for brand in BRANDS}


def _spans(ranges: Iterable[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
    """Return prefix ranges as inclusive ranges of six-digit IINs."""
    return tuple((int(low.ljust(_IIN_DIGITS, "0")), int(high.ljust(_IIN_DIGITS, "9"))) for low, high in ranges)


_SPANS = tuple((brand, _spans(brand.prefixes), _spans(brand.except_prefixes)) for brand in BRANDS)


def brand_of(digits: memoryview | bytes) -> Brand | None:
    """Return the brand that these leading digits leave as the only one, None while open or when there is none."""
    low = high = 0
    for index in range(_IIN_DIGITS):
        known = index < len(digits)
        low = low * 10 + (digits[index] - _ZERO if known else 0)
        high = high * 10 + (digits[index] - _ZERO if known else 9)
    for brand, spans, excepted in _SPANS:
        if any(first <= high and low <= last for first, last in excepted):
            if any(first <= low and high <= last for first, last in excepted):
                continue
            return None
        if any(first <= low and high <= last for first, last in spans):
            return brand
        if any(first <= high and low <= last for first, last in spans):
            return None
    return None


def luhn_is_valid(digits: memoryview | bytes) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1 annex B); False for no digits."""
    total = 0
    for place, byte in enumerate(reversed(digits)):
        value = byte - _ZERO
        if not 0 <= value <= 9:
            return False
        if place % 2:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return len(digits) > 0 and total % 10 == 0


def number_is_valid(digits: memoryview | bytes) -> bool:
    """Tell whether the digits are a number that some brand could have issued: prefix, length, check digit."""
    brand = brand_of(digits)
    return brand is not None and len(digits) in brand.lengths and (not brand.luhn or luhn_is_valid(digits))


def is_complete(digits: memoryview | bytes) -> bool:
    """Tell whether no further digit could make a valid number, so that nobody has to wait for one (D-5).

    Only brands with a single length are decided before 19 digits: a 16-digit Visa number may be the start of a longer.
    """
    brand = brand_of(digits)
    return len(digits) >= (_MAX_NUMBER_DIGITS if brand is None else max(brand.lengths))


def accepted_as(digits: memoryview | bytes, accepted: frozenset[str]) -> CardType | None:
    """Return the accepted brand that a valid number counts as, None when its brand is not wanted.

    A UnionPay number that starts with 6 counts as Maestro where Maestro is accepted, as the vendors' tables have it
    (D-10). ``accepted`` holds names of `CardType` (aliases resolved).
    """
    brand = brand_of(digits)
    if brand is None:
        return None
    if brand.card_type in accepted:
        return brand.card_type
    if brand.card_type is CardType.UNIONPAY and digits[0] == ord("6") and CardType.MAESTRO in accepted:
        return CardType.MAESTRO
    return None


def security_code_length(card_type: str) -> int:
    """Return how many digits the security code of a brand has: 4 for amex, else 3."""
    brand = _BY_TYPE.get(CardType(card_type)) if card_type in _BY_TYPE else None
    return 3 if brand is None else brand.code_digits


# As the digits stand on the cards; of any other length in fours, with the rest in the last group, so that what is shown
# is never torn apart.
_GROUPS: Mapping[int, tuple[int, ...]] = MappingProxyType({14: (4, 6, 4), 15: (4, 6, 5), 16: (4, 4, 4, 4)})


def mask_number(last_four: str, length: int, *, char: str = "*", style: str = MaskStyle.PLAIN) -> str:
    """Return a card number of ``length`` digits with all but the last four as ``char``, in groups where wanted.

    >>> mask_number("4001", 15, char="x", style="dashed")
    'xxxx-xxxxxx-x4001'
    """
    plain = mask_card(last_four, length, char)
    if style != MaskStyle.DASHED:
        return plain
    n_fours = max(0, length // 4 - 1)
    sizes = _GROUPS.get(length, (4,) * n_fours + (length - 4 * n_fours,))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return "-".join(plain[start : start + size] for start, size in zip(starts, sizes, strict=True))
