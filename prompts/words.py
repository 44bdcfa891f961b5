"""Numbers, amounts and dates as words: what a synthesiser is given, which reads figures in ways of its own.

Names of currencies and months, and plural rules, are CLDR's (Babel); names of minor units (cents, groszy), which CLDR
does not have, short names of currencies and grammatical gender are tables in ``currencies/``, one a language. Decimals
are those of ISO 4217. An amount is never a binary fraction, and never rounded.

A language that has no words here is spoken as ``en-US``, as its prompts are (``prompts.catalog``).
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from babel import Locale
from babel.dates import get_month_names
from babel.numbers import get_currency_name, get_territory_currencies
from iso4217 import Currency

from prompts.errors import PromptError
from prompts.numerals import Gender, Tongue, cardinal, minus, ordinal, polish_genitive, tongue, year

__all__ = (
    "has_words",
    "home_currency",
    "load",
    "spoken_amount",
    "spoken_date",
    "spoken_expiry",
    "spoken_number",
    "spoken_ordinal",
)

_NUMBER = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,12}))?", re.ASCII)
_EXPIRY = re.compile(r"(0[1-9]|1[0-2])([0-9]{2})", re.ASCII)
_ENGLISH = Tongue("en", "US")
_FIRST_OF_THE_MONTH = {"fr": "premier", "it": "primo", "pt": "primeiro"}
_TO_SPACE = str.maketrans(dict.fromkeys("()[]{}<>", " "))


@dataclass(frozen=True, slots=True)
class _Noun:
    """A unit, in the plural forms of CLDR's categories."""

    forms: Mapping[str, str]
    gender: Gender

    def after(self, number: int | Decimal, language: str) -> str:
        form = _cldr(language).plural_form(number)
        return self.forms.get(form) or self.forms["other"]


@dataclass(frozen=True, slots=True)
class _Units:
    """The table of a language."""

    conjunction: str
    point: str
    points: Mapping[str, str]
    of_millions: str
    head_is_last: bool
    feminine: frozenset[str]
    neuter: frozenset[str]
    uno: frozenset[str]
    home: Mapping[str, _Noun]
    minor: Mapping[str, _Noun]


def has_words(locale: str) -> bool:
    """Return whether the language of ``locale`` is one of the eight whose numbers are said in its own words."""
    return tongue(locale) is not None


def spoken_amount(amount: str | Decimal, currency: str, locale: str) -> str:
    """Return an amount in major units as it is said in ``locale``; ``currency`` is of ISO 4217, in any case.

    >>> spoken_amount("25.10", "usd", "en-US")
    'twenty-five dollars and ten cents'
    >>> spoken_amount("3", "PLN", "pl-PL")
    'trzy złote'

    Where the currency's minor unit has no name in the language, its decimals are said one by one. Raises PromptError
    for what is no amount of the currency: unknown code, more decimals than it has, no plain decimal number, or
    1,000,000,000 and more.
    """
    speaker = tongue(locale) or _ENGLISH
    code = currency.strip().upper()
    exponent = _exponent(code)
    negative, whole, decimals = _parts(amount)
    if exponent is not None and len(decimals) > exponent:
        raise PromptError(f"{code} has {exponent} decimals", remedy="give an amount with no more of them")
    units, major = _units(speaker.language), _major(code, speaker)
    minor = units.minor.get(code) if exponent == 2 else None
    sign = f"{minus(speaker)} " if negative and (whole or decimals) else ""
    if not decimals:
        return sign + _counted(whole, major, speaker)
    if minor is None:
        number = Decimal(f"{whole}.{decimals}")
        return sign + f"{_decimal(whole, decimals, speaker)} {major.after(number, speaker.language)}"
    cents = _counted(int(decimals.ljust(2, "0")), minor, speaker)
    # "Ten cents" is clear at home; ten cents of a foreign currency are said with its name.
    if whole == 0 and code == home_currency(locale):
        return sign + cents
    return sign + f"{_counted(whole, major, speaker)} {units.conjunction} {cents}"


def spoken_number(number: str | int | Decimal, locale: str) -> str:
    """Return a number in words, decimals one by one: ``"-3.05"`` is minus three point zero five.

    Raises PromptError for what is no plain decimal number, and for 1,000,000,000 and more.
    """
    speaker = tongue(locale) or _ENGLISH
    text = str(number)
    negative, whole, decimals = _parts(text, keep_zeros=True)
    sign = f"{minus(speaker)} " if negative else ""
    return sign + (_decimal(whole, decimals, speaker) if decimals else cardinal(whole, speaker))


def spoken_ordinal(number: int, locale: str) -> str:
    """Return first, second, third (masculine where it matters); raise PromptError outside 1 to 1000."""
    return ordinal(number, tongue(locale) or _ENGLISH)


def spoken_date(date: datetime.date, locale: str) -> str:
    """Return a date of the years 1900 to 2099 as it is said in ``locale``; raise PromptError for another year."""
    speaker = tongue(locale) or _ENGLISH
    month, years = _month(date.month, speaker, "format"), year(date.year, speaker)
    match speaker.language:
        case "en" if speaker.month_first:
            return f"{month} {ordinal(date.day, speaker)}, {years}"
        case "en":
            return f"the {ordinal(date.day, speaker)} of {month}, {years}"
        case "de":
            return f"{ordinal(date.day, speaker)}r {month} {years}"
        case "es":
            first = date.day == 1 and speaker.territory != "ES"
            return f"{'primero' if first else cardinal(date.day, speaker)} de {month} de {years}"
        case "pt":
            return f"{_day(date.day, speaker)} de {month} de {years}"
        case "pl":
            return f"{polish_genitive(ordinal(date.day, speaker))} {month} {years} roku"
        case _:
            return f"{_day(date.day, speaker)} {month} {years}"


def spoken_expiry(expiry: str, locale: str) -> str:
    """Return an expiry of four digits, ``MMYY``, as month and year; a year is one of 2000 to 2099.

    Raises PromptError, without repeating what was given, for anything else.
    """
    found = _EXPIRY.fullmatch(expiry)
    if found is None:
        raise PromptError("an expiry is four digits, month and year, such as 1227")
    speaker = tongue(locale) or _ENGLISH
    month, years = _month(int(found[1]), speaker, "stand-alone"), year(2000 + int(found[2]), speaker)
    match speaker.language:
        case "es" | "pt":
            return f"{month} de {years}"
        case "pl":
            return f"{month} {years} roku"
        case _:
            return f"{month} {years}"


@lru_cache(maxsize=256)
def home_currency(locale: str) -> str:
    """Return the currency of the country that ``locale`` names (``USD`` for ``en-US``) or of its language."""
    speaker = tongue(locale) or _ENGLISH
    return str(next(iter(get_territory_currencies(speaker.territory)), "USD"))


def load(locales: Iterable[str]) -> None:
    """Read the tables of these locales now: the first amount in a language takes 20 ms otherwise, each further 0.1."""
    for locale in locales:
        spoken_amount("1", home_currency(locale), locale)
        spoken_expiry("0101", locale)


def _parts(amount: str | Decimal, *, keep_zeros: bool = False) -> tuple[bool, int, str]:
    """Return sign, whole part and decimals of a number; raise PromptError that does not repeat it."""
    text = format(amount, "f") if isinstance(amount, Decimal) else amount.strip()
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise PromptError("not a plain decimal number", remedy='write it as "1234.50"')
    decimals = found[3] or ""
    return bool(found[1]), int(found[2]), decimals if keep_zeros else decimals.rstrip("0")


def _exponent(code: str) -> int | None:
    try:
        exponent: int | None = Currency(code).exponent
    except ValueError:
        raise PromptError("not a currency of ISO 4217", remedy="use a code such as USD") from None
    return exponent


def _counted(number: int, noun: _Noun, speaker: Tongue) -> str:
    unit = noun.after(number, speaker.language)
    units = _units(speaker.language)
    words = cardinal(number, speaker, noun.gender)
    if number == 1 and unit.split()[0] in units.uno:
        words = "uno"
    if units.of_millions and number and number % 1_000_000 == 0:
        vowel = speaker.language == "fr" and unit[0] in "aeiouyéèœ"
        return f"{words} d'{unit}" if vowel else f"{words} {units.of_millions} {unit}"
    return f"{words} {unit}"


def _decimal(whole: int, decimals: str, speaker: Tongue) -> str:
    units = _units(speaker.language)
    point = units.points.get(speaker.territory, units.point)
    return " ".join((cardinal(whole, speaker), point, *(cardinal(int(digit), speaker) for digit in decimals)))


def _day(day: int, speaker: Tongue) -> str:
    first = _FIRST_OF_THE_MONTH.get(speaker.language, "") if day == 1 else ""
    return first or cardinal(day, speaker)


def _month(month: int, speaker: Tongue, context: Any) -> str:
    return str(get_month_names("wide", context=context, locale=_cldr(speaker.language))[month])


def _cldr(language: str) -> Locale:
    return _locale("pt_BR" if language == "pt" else language)


@lru_cache(maxsize=16)
def _locale(name: str) -> Locale:
    return Locale.parse(name)


@lru_cache(maxsize=1024)
def _major(code: str, speaker: Tongue) -> _Noun:
    """Return the name of a currency: the short one at home, else CLDR's, else its letters."""
    units = _units(speaker.language)
    if code in units.home and code in get_territory_currencies(speaker.territory):
        return units.home[code]
    cldr = _cldr(speaker.language)
    # One number of each plural category: CLDR's names are asked for by number.
    names = {form: get_currency_name(code, count=number, locale=cldr) for form, number in _examples(speaker).items()}
    lower_first = speaker.language == "pt"
    forms = {form: _speakable(name, code, lower_first=lower_first) for form, name in names.items()}
    words = forms["one"].split()
    head = (words[-1] if units.head_is_last else words[0]).casefold()
    gender: Gender = "f" if head in units.feminine else "n" if head in units.neuter else "m"
    return _Noun(MappingProxyType(forms), gender)


def _examples(speaker: Tongue) -> dict[str, int | Decimal]:
    if speaker.language == "pl":
        return {"one": 1, "few": 2, "many": 5, "other": Decimal("1.5")}
    return {"one": 1, "other": 5}


def _speakable(name: str, code: str, *, lower_first: bool) -> str:
    """Return CLDR's name without what is not said; a currency that has none is its letters."""
    if name == code:
        return " ".join(code)
    words = " ".join(name.translate(_TO_SPACE).split())
    # CLDR begins the names with a capital in Portuguese alone, where it is not one of a noun's.
    return words[0].lower() + words[1:] if lower_first else words


@lru_cache(maxsize=16)
def _units(language: str) -> _Units:
    text = (files("prompts") / "currencies" / f"{language}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return _Units(
        conjunction=table["conjunction"],
        point=table["point"],
        points=table.get("points", {}),
        of_millions=table.get("of_millions", ""),
        head_is_last=table.get("head") == "last",
        feminine=frozenset(word.casefold() for word in table.get("feminine", ())),
        neuter=frozenset(word.casefold() for word in table.get("neuter", ())),
        uno=frozenset(table.get("uno", ())),
        home=_nouns(table.get("home", ())),
        minor=_nouns(table.get("minor", ())),
    )


def _nouns(entries: Any) -> Mapping[str, _Noun]:
    return MappingProxyType(
        {
            code: _Noun(MappingProxyType(entry["forms"]), entry.get("gender", "m"))
            for entry in entries
            for code in entry["currencies"]
        }
    )
