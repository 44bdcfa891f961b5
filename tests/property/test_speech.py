"""Digits, numbers, amounts and dates as words, for any of them and every locale."""

from __future__ import annotations

import calendar
import contextlib
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from prompts.catalog import Catalog
from prompts.errors import PromptError
from prompts.numerals import LIMIT, cardinal, tongue
from prompts.speech import spell_digits
from prompts.words import spoken_amount, spoken_date, spoken_expiry, spoken_number, spoken_ordinal

CATALOG = Catalog.load()
LOCALES = st.sampled_from(CATALOG.locales)
CURRENCIES = {str(currency.code): currency.exponent or 0 for currency in Currency}
NEVER_SAID = set("0123456789()[]{}<>$€£")


@given(digits=st.text("0123456789", min_size=1, max_size=40), locale=st.sampled_from(CATALOG.locales))
def test_the_digits_can_be_read_back_from_their_words(digits: str, locale: str) -> None:
    words = CATALOG.resolve(locale).texts.digits
    spelled = spell_digits(digits, words).split(", ")
    assert "".join(str(words.index(word)) for word in spelled) == digits


@given(text=st.text(max_size=12).filter(lambda text: not (text.isascii() and text.isdigit())))
def test_anything_but_digits_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(PromptError) as caught:
        spell_digits(text, CATALOG.resolve("en-US").texts.digits)
    assert str(caught.value) == "only the digits 0 to 9 can be spelled"


@given(tag=st.text(max_size=20))
def test_every_locale_tag_resolves_to_whole_texts(tag: str) -> None:
    resolution = CATALOG.resolve(tag)
    assert resolution.texts.locale in CATALOG.locales
    assert not (resolution.exact and resolution.warning)


def amount(minor_units: int, exponent: int) -> str:
    digits = str(minor_units).zfill(exponent + 1)
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits


@pytest.mark.parametrize("locale", CATALOG.locales)
def test_every_currency_of_iso_4217_is_said_in_every_locale_and_no_two_amounts_alike(locale: str) -> None:
    said: dict[str, set[tuple[str, int, int]]] = {}
    for currency, exponent in CURRENCIES.items():
        for whole in (0, 1, 2, 5, 21, 999_999):
            for minor in {0, 1, 10**exponent - 1} - ({1} if not exponent else set()):
                words = spoken_amount(amount(whole * 10**exponent + minor, exponent), currency, locale)
                assert words.strip() == words
                assert not set(words) & NEVER_SAID
                said.setdefault(words, set()).add((currency, whole, minor))
    assert [same for same in said.values() if len(same) > 1] == []


AMOUNTS = st.tuples(st.sampled_from(sorted(CURRENCIES)), st.integers(0, 10**8 - 1))


@given(one=AMOUNTS, other=AMOUNTS, locale=LOCALES)
def test_different_amounts_sound_different(one: tuple[str, int], other: tuple[str, int], locale: str) -> None:
    words = [spoken_amount(amount(n, CURRENCIES[code]), code, locale) for code, n in (one, other)]
    assert (words[0] == words[1]) == (one == other)


@given(minor_units=st.integers(0, 10**8 - 2), locale=LOCALES, currency=st.sampled_from(sorted(CURRENCIES)))
def test_an_amount_and_the_next_one_sound_different(minor_units: int, locale: str, currency: str) -> None:
    exponent = CURRENCIES[currency]
    one, next_one = (spoken_amount(amount(n, exponent), currency, locale) for n in (minor_units, minor_units + 1))
    assert one != next_one


@given(locale=LOCALES, start=st.integers(0, LIMIT - 200))
def test_numbers_in_a_row_are_all_different_in_words_and_have_no_figures(locale: str, start: int) -> None:
    speaker = tongue(locale)
    assert speaker is not None
    words = [cardinal(number, speaker) for number in range(start, start + 100)]
    assert len(set(words)) == 100
    assert not set("".join(words)) & NEVER_SAID


@given(date=st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 30)), locale=LOCALES)
def test_a_date_and_the_next_one_sound_different(date: datetime.date, locale: str) -> None:
    words = spoken_date(date, locale)
    assert words != spoken_date(date + datetime.timedelta(days=1), locale)
    assert not set(words) & NEVER_SAID


@pytest.mark.parametrize("locale", CATALOG.locales)
def test_every_day_and_every_expiry_of_a_century_has_words_of_its_own(locale: str) -> None:
    days = [datetime.date(2024, month, day) for month in range(1, 13) for day in range(1, monthdays(month) + 1)]
    assert len({spoken_date(day, locale) for day in days}) == 366
    expiries = [f"{month:02}{year:02}" for month in range(1, 13) for year in range(100)]
    assert len({spoken_expiry(expiry, locale) for expiry in expiries}) == 1200
    assert len({spoken_ordinal(number, locale) for number in range(1, 1001)}) == 1000


def monthdays(month: int) -> int:
    return calendar.monthrange(2024, month)[1]


@given(text=st.text(max_size=15), currency=st.text(max_size=4), locale=st.text(max_size=8))
def test_any_text_is_an_amount_or_refused(text: str, currency: str, locale: str) -> None:
    said = []
    with contextlib.suppress(PromptError):
        said.append(spoken_amount(text, currency, locale))
    with contextlib.suppress(PromptError):
        said.append(spoken_number(text, locale))
    assert not set("".join(said)) & NEVER_SAID
