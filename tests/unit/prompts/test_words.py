"""Amounts, dates and numbers as a caller hears them, in each locale."""

from __future__ import annotations

import datetime
import difflib
import re
import subprocess
from decimal import Decimal

import pytest

from prompts.catalog import Catalog
from prompts.errors import PromptError
from prompts.numerals import cardinal, tongue
from prompts.words import (
    has_words,
    home_currency,
    load,
    spoken_amount,
    spoken_date,
    spoken_expiry,
    spoken_number,
    spoken_ordinal,
)
from tests.support.speech import needs_espeak

CATALOG = Catalog.load()


@pytest.mark.parametrize(
    ("locale", "amount", "currency", "words"),
    [
        ("en-US", "25.10", "usd", "twenty-five dollars and ten cents"),
        ("en-US", "1.01", "USD", "one dollar and one cent"),
        ("en-US", "101", "USD", "one hundred one dollars"),
        ("en-US", "25.10", "CAD", "twenty-five Canadian dollars and ten cents"),
        ("en-CA", "25.10", "CAD", "twenty-five dollars and ten cents"),
        ("en-CA", "25.10", "USD", "twenty-five US dollars and ten cents"),
        ("en-AU", "0.05", "AUD", "five cents"),
        ("en-GB", "101.01", "GBP", "one hundred and one pounds and one penny"),
        ("en-IN", "250000.50", "INR", "two lakh fifty thousand rupees and fifty paise"),
        ("en-NZ", "3", "NZD", "three dollars"),
        ("de-DE", "1.01", "EUR", "ein Euro und ein Cent"),
        ("de-DE", "101", "EUR", "einhundert ein Euro"),
        ("de-DE", "1", "SEK", "eine Schwedische Krone"),
        ("es-ES", "21.21", "EUR", "veintiún euros con veintiún céntimos"),
        ("es-ES", "201", "GBP", "doscientas una libras esterlinas"),
        ("es-MX", "21000", "MXN", "veintiún mil pesos"),
        ("es-US", "1", "USD", "un dólar"),
        ("fr-FR", "1.80", "EUR", "un euro et quatre-vingts centimes"),
        ("fr-FR", "1", "GBP", "une livre sterling"),
        ("fr-CA", "71.01", "CAD", "soixante et onze dollars et un cent"),
        ("it-IT", "1.01", "EUR", "un euro e un centesimo"),
        ("it-IT", "1", "GBP", "una sterlina britannica"),
        ("it-IT", "1", "PLN", "uno zloty polacco"),
        ("nl-NL", "1.02", "EUR", "één euro en twee cent"),
        ("nl-NL", "636", "EUR", "zes honderd zes en dertig euro"),
        ("nl-NL", "123400", "EUR", "honderd drie en twintig duizend vier honderd euro"),
        ("pl-PL", "1", "PLN", "jeden złoty"),
        ("pl-PL", "2", "PLN", "dwa złote"),
        ("pl-PL", "5", "PLN", "pięć złotych"),
        ("pl-PL", "12", "PLN", "dwanaście złotych"),
        ("pl-PL", "22.01", "PLN", "dwadzieścia dwa złote i jeden grosz"),
        ("pl-PL", "2", "SEK", "dwie korony szwedzkie"),
        ("pl-PL", "112", "SEK", "sto dwanaście koron szwedzkich"),
        ("pl-PL", "1", "EUR", "jedno euro"),
        ("pt-BR", "2.01", "BRL", "dois reais e um centavo"),
        ("pt-BR", "202", "GBP", "duzentas e duas libras esterlinas"),
    ],
)
def test_an_amount_is_said_as_people_say_it(locale: str, amount: str, currency: str, words: str) -> None:
    assert spoken_amount(amount, currency, locale) == words


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("1200", "JPY", "one thousand two hundred Japanese yen"),
        ("1.125", "KWD", "one point one two five Kuwaiti dinars"),
        ("1.500", "KWD", "one point five Kuwaiti dinars"),
        ("3.05", "HUF", "three point zero five Hungarian forints"),
    ],
)
def test_a_currency_has_the_decimals_of_iso_4217_and_no_minor_unit_is_made_up(
    amount: str, currency: str, words: str
) -> None:
    assert spoken_amount(amount, currency, "en-US") == words


def test_cents_of_a_foreign_currency_are_not_taken_for_those_at_home() -> None:
    assert spoken_amount("0.10", "USD", "en-US") == "ten cents"
    assert spoken_amount("0.10", "EUR", "en-US") == "zero euros and ten cents"


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "one million euros"),
        ("es-ES", "un millón de euros"),
        ("fr-FR", "un million d'euros"),
        ("it-IT", "un milione di euro"),
        ("pt-BR", "um milhão de euros"),
        ("pl-PL", "milion euro"),
        ("de-DE", "eine Million Euro"),
    ],
)
def test_round_millions_join_their_noun_as_the_language_does(locale: str, words: str) -> None:
    assert spoken_amount("1000000.00", "EUR", locale) == words


def test_a_feminine_noun_leaves_the_millions_before_it_masculine() -> None:
    assert spoken_amount("200200200", "GBP", "es-ES") == (
        "doscientos millones doscientas mil doscientas libras esterlinas"
    )


def test_an_amount_below_zero_says_so_and_zero_does_not() -> None:
    assert spoken_amount("-3.50", "USD", "en-US") == "minus three dollars and fifty cents"
    assert spoken_amount("-0.00", "USD", "en-US") == "zero dollars"
    assert spoken_amount(Decimal("0.5"), "USD", "en-US") == "fifty cents"


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        *(("1.001", "USD"), ("1.5", "JPY"), ("1", "XYZ"), ("1", ""), ("", "USD"), ("1e3", "USD"), ("1,50", "EUR")),
        *(("٣", "USD"), ("1000000000", "USD"), ("NaN", "USD"), ("--1", "USD"), ("1.", "USD")),
    ],
)
def test_what_is_no_amount_of_the_currency_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(PromptError):
        spoken_amount(amount, currency, "en-US")


def test_a_refused_number_is_not_repeated() -> None:
    with pytest.raises(PromptError) as caught:
        spoken_number("4242-4242", "en-US")
    assert "4242" not in str(caught.value)


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "May first, twenty twenty-seven"),
        ("en-GB", "the first of May, twenty twenty-seven"),
        ("de-DE", "erster Mai zweitausend siebenundzwanzig"),
        ("es-ES", "uno de mayo de dos mil veintisiete"),
        ("es-MX", "primero de mayo de dos mil veintisiete"),
        ("fr-CA", "premier mai deux mille vingt-sept"),
        ("it-IT", "primo maggio duemilaventisette"),
        ("nl-NL", "één mei twee duizend zeven en twintig"),
        ("pl-PL", "pierwszego maja dwa tysiące dwudziestego siódmego roku"),
        ("pt-BR", "primeiro de maio de dois mil e vinte e sete"),
    ],
)
def test_a_date_is_said_in_the_order_of_its_country(locale: str, words: str) -> None:
    assert spoken_date(datetime.date(2027, 5, 1), locale) == words


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "December twenty twenty-seven"),
        ("de-DE", "Dezember zweitausend siebenundzwanzig"),
        ("es-MX", "diciembre de dos mil veintisiete"),
        ("pl-PL", "grudzień dwa tysiące dwudziestego siódmego roku"),
        ("sv-SE", "December twenty twenty-seven"),
    ],
)
def test_an_expiry_is_a_month_and_a_year(locale: str, words: str) -> None:
    assert spoken_expiry("1227", locale) == words


@pytest.mark.parametrize("expiry", ["1327", "0027", "127", "12270", "12/27", "٠١٢٧", ""])
def test_what_is_no_expiry_is_refused_without_repeating_it(expiry: str) -> None:
    with pytest.raises(PromptError, match="an expiry is four digits") as caught:
        spoken_expiry(expiry, "en-US")
    assert not expiry or expiry not in str(caught.value).replace("1227", "")


@pytest.mark.parametrize("year", [1899, 2100])
def test_a_year_that_no_card_and_no_caller_has_is_refused(year: int) -> None:
    with pytest.raises(PromptError, match="years 1900 to 2099"):
        spoken_date(datetime.date(year, 1, 1), "pl-PL")


@pytest.mark.parametrize(
    ("number", "locale", "words"),
    [
        ("-3.05", "en-US", "minus three point zero five"),
        ("1.50", "de-DE", "eins Komma fünf null"),
        (-5, "pl-PL", "minus pięć"),
        (21, "es-ES", "veintiuno"),
        (101000, "es-ES", "ciento un mil"),
        (100000, "en-IN", "one lakh"),
        (1101, "en-GB", "one thousand one hundred and one"),
        ("1.5", "es-MX", "uno punto cinco"),
    ],
)
def test_a_number_is_said_with_its_decimals_one_by_one(number: str | int, locale: str, words: str) -> None:
    assert spoken_number(number, locale) == words


@pytest.mark.parametrize(
    ("number", "locale", "words"),
    [(3, "en-US", "third"), (11, "es-ES", "undécimo"), (21, "fr-FR", "vingt et unième"), (2, "pl-PL", "drugi")],
)
def test_an_ordinal_is_said(number: int, locale: str, words: str) -> None:
    assert spoken_ordinal(number, locale) == words


@pytest.mark.parametrize("number", [0, -1, 1001])
def test_an_ordinal_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(PromptError, match="1 to 1000"):
        spoken_ordinal(number, "en-US")


def test_a_language_without_words_is_spoken_as_its_prompts_are() -> None:
    assert not has_words("sv-SE")
    assert has_words("EN_gb")
    assert spoken_amount("2", "SEK", "sv-SE") == "two Swedish kronor"


@pytest.mark.parametrize(
    ("locale", "currency"), [("en-US", "USD"), ("en-NZ", "NZD"), ("pl", "PLN"), ("fr-CH", "CHF"), ("pt", "BRL")]
)
def test_home_is_where_the_locale_says(locale: str, currency: str) -> None:
    assert home_currency(locale) == currency


def test_the_tables_of_any_locale_can_be_read_ahead() -> None:
    load(["en-US", "es-CL", "fr-DJ", "ar-KW", "sv-SE", "x", ""])  # CLP and DJF have no decimals, KWD three


HEARD = [*range(130), 200, 201, 342, 636, 999, 1000, 1001, 1100, 2022, 8064, 21_000, 21_345, 100_000, 234_567, 691_090]


def phonemes(texts: list[str], voice: str) -> list[str]:
    said = "\n\n".join(f"{text}." for text in texts)
    command = ["espeak-ng", "-q", "-x", "-b", "1", "-v", voice]
    heard = subprocess.run(command, input=said, capture_output=True, text=True, check=True, timeout=30).stdout
    return [re.sub(r"[\s_',:;|!\-]", "", line).lower() for line in heard.splitlines() if line.strip()]


@needs_espeak
@pytest.mark.parametrize("locale", [locale for locale in CATALOG.locales if locale != "en-IN"])  # it has no lakh
def test_the_words_sound_as_espeak_ng_itself_reads_the_figures(locale: str) -> None:
    voice = CATALOG.resolve(locale).texts.espeak_voice
    figures = phonemes([str(number) for number in HEARD], voice)
    words = phonemes([spoken_number(number, locale) for number in HEARD], voice)
    assert len(figures) == len(words) == len(HEARD)
    alike = [difflib.SequenceMatcher(None, *pair).ratio() for pair in zip(figures, words, strict=True)]
    assert min(alike) >= 0.6  # "sei" alone is read as sEj and sEi
    assert sum(alike) / len(alike) >= 0.9


def test_a_noun_decides_the_form_of_one_and_two() -> None:
    polish = tongue("pl-PL")
    assert polish is not None
    assert [cardinal(1, polish, gender) for gender in ("", "m", "f", "n")] == ["jeden", "jeden", "jedna", "jedno"]
    assert [cardinal(2, polish, gender) for gender in ("m", "f")] == ["dwa", "dwie"]
