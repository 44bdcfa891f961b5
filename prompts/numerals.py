"""Numbers as words, in the eight languages of the catalogue.

num2words gives the words; what it gets wrong or leaves out is put right here: the form a number takes before a noun
(``un``, ``una``, ``ein``, ``dwie``), Spanish ``uno`` before ``mil`` and ``millones``, two Spanish ordinals, the commas
it puts between groups (a synthesiser would pause there), and negative numbers, which it cannot say in Polish.

German and Dutch numbers are written apart, ``zes honderd zes en dertig``, as no dictionary has them: in one word,
espeak-ng finds the wrong syllables (``ze-sen-dertig``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from num2words import num2words

from prompts.errors import PromptError

__all__ = ("LIMIT", "Gender", "Tongue", "cardinal", "minus", "ordinal", "polish_genitive", "tongue", "year")

LIMIT = 1_000_000_000
"Numbers below it can be said."
MAX_ORDINAL = 1000
YEARS = (1900, 2099)

Gender: TypeAlias = Literal["", "m", "f", "n"]
"Of the noun that follows; empty: the number stands alone."

_NUM2WORDS = {"de": "de", "en": "en", "es": "es", "fr": "fr", "it": "it", "nl": "nl", "pl": "pl", "pt": "pt_BR"}
_HOME = {"de": "DE", "en": "US", "es": "ES", "fr": "FR", "it": "IT", "nl": "NL", "pl": "PL", "pt": "BR"}
_MINUS = {"fr": "moins", "es": "menos", "it": "meno", "nl": "min", "pt": "menos"}  # the others say "minus"
_MONTH_FIRST = frozenset({"US", "CA", "PH"})  # territories that put the month before the day in English
_SPANISH_UNO = re.compile(r"\b(veinti)?uno(?= (?:mil|millones)\b)")
_MILLIONS = re.compile(r"\bmil(?:lón|lones|hão|hões)\b")
_GERMAN_PARTS = re.compile(r"(hundert|tausend)(?=\w)")
_DUTCH_PARTS = re.compile(r"(honderd|duizend)")
_DUTCH_TENS = re.compile(
    r"\b(een|twee|drie|vier|vijf|zes|zeven|acht|negen)[eë]n"
    r"(twintig|dertig|veertig|vijftig|zestig|zeventig|tachtig|negentig)\b"
)
_SPANISH_ORDINALS = {11: "undécimo", 12: "duodécimo"}


@dataclass(frozen=True, slots=True)
class Tongue:
    """A language as it is spoken somewhere."""

    language: str
    "One of the eight, ISO 639-1."
    territory: str
    "ISO 3166-1: whose currency is meant by its bare name, and in which order a date is said."

    @property
    def month_first(self) -> bool:
        """Whether a date is said month first."""
        return self.language == "en" and self.territory in _MONTH_FIRST


@lru_cache(maxsize=256)
def tongue(locale: str) -> Tongue | None:
    """Return how ``locale`` (``en-GB``, ``en_gb``, ``en``) speaks; None for a language that has no words here."""
    parts = locale.strip().replace("_", "-").split("-")
    language = parts[0].lower()
    if language not in _NUM2WORDS:
        return None
    territory = next((part.upper() for part in parts[1:] if len(part) == 2 and part.isalpha()), _HOME[language])
    return Tongue(language, territory)


def cardinal(number: int, speaker: Tongue, gender: Gender = "") -> str:
    """Return ``number`` in words, in the form it has before a noun of that gender.

    Raises PromptError at `LIMIT` and beyond, either way.
    """
    if abs(number) >= LIMIT:
        raise PromptError(f"a number of {LIMIT:,} or more is not said in words")
    words = _agreeing(_cardinal(abs(number), speaker), abs(number), speaker.language, gender)
    return f"{minus(speaker)} {words}" if number < 0 else words


def minus(speaker: Tongue) -> str:
    """Return the word before a number below zero."""
    return _MINUS.get(speaker.language, "minus")


def ordinal(number: int, speaker: Tongue) -> str:
    """Return first, second, third (masculine where it matters); raise PromptError outside 1 to 1000."""
    if not 1 <= number <= MAX_ORDINAL:
        raise PromptError(f"only the ordinals of 1 to {MAX_ORDINAL} are said in words")
    if speaker.language == "es" and number in _SPANISH_ORDINALS:
        return _SPANISH_ORDINALS[number]
    return _american(str(num2words(number, lang=_num2words_name(speaker), to="ordinal")), speaker)


def year(number: int, speaker: Tongue) -> str:
    """Return a year of 1900 to 2099 as it is said in a date (genitive in Polish); raise PromptError for another."""
    if not YEARS[0] <= number <= YEARS[1]:
        raise PromptError(f"only the years {YEARS[0]} to {YEARS[1]} are said in words")
    match speaker.language:
        case "en" | "de":
            words = str(num2words(number, lang=speaker.language, to="year"))
            return _american(_apart(words, speaker.language), speaker)
        case "nl" if number < 2000:
            hundreds, rest = divmod(number, 100)
            return f"{cardinal(hundreds, speaker)} honderd{f' {cardinal(rest, speaker)}' if rest else ''}"
        case "pl":
            return _polish_year(number, speaker)
        case _:
            return cardinal(number, speaker)


@lru_cache(maxsize=4096)
def _cardinal(number: int, speaker: Tongue) -> str:
    words = str(num2words(number, lang=_num2words_name(speaker))).replace(",", "")
    if speaker.language == "es":
        words = _SPANISH_UNO.sub(lambda found: "veintiún" if found[1] else "un", words)
    return _american(_apart(words, speaker.language), speaker)


def _apart(words: str, language: str) -> str:
    """Write the parts of a German or Dutch number as words of their own."""
    if language == "de":
        return _GERMAN_PARTS.sub(r"\1 ", words)
    if language == "nl":
        return _DUTCH_TENS.sub(r"\1 en \2", " ".join(_DUTCH_PARTS.sub(r" \1 ", words).split()))
    return words


def _num2words_name(speaker: Tongue) -> str:
    return "en_IN" if speaker == Tongue("en", "IN") else _NUM2WORDS[speaker.language]


def _american(words: str, speaker: Tongue) -> str:
    """Leave out the ``and`` of ``one hundred and one``, as Americans do."""
    return words.replace(" and ", " ") if speaker == Tongue("en", "US") else words


def _agreeing(words: str, number: int, language: str, gender: Gender) -> str:
    """Put a cardinal into the form it has before a noun."""
    if not gender:
        return words
    match language:
        case "de":
            return re.sub(r"eins\Z", "eine" if gender == "f" and number == 1 else "ein", words)
        case "es" if gender == "f":
            return _of_the_last_million(words, r"(cient|inient)os\b", r"\1as", r"uno\Z", "una")
        case "es":
            return re.sub(r"uno\Z", "un", re.sub(r"veintiuno\Z", "veintiún", words))
        case "fr" if gender == "f":
            return re.sub(r"\bun\Z", "une", words)
        case "it" if number == 1:
            return "una" if gender == "f" else "un"
        case "pl" if number == 1:
            return {"m": "jeden", "f": "jedna", "n": "jedno"}[gender]
        case "pl" if gender == "f":
            return re.sub(r"\bdwa\Z", "dwie", words)
        case "pt" if gender == "f":
            return _of_the_last_million(words, r"entos\b", "entas", r"\bum\b", "uma", r"\bdois\b", "duas")
        case _:
            return words


def _of_the_last_million(words: str, *rules: str) -> str:
    """Apply pairs of pattern and replacement behind the word for millions, which is masculine itself."""
    end = max((found.end() for found in _MILLIONS.finditer(words)), default=0)
    tail = words[end:]
    for pattern, replacement in zip(rules[::2], rules[1::2], strict=True):
        tail = re.sub(pattern, replacement, tail)
    return words[:end] + tail


def _polish_year(number: int, speaker: Tongue) -> str:
    """Return the year in the genitive, in which only its last two places are ordinals."""
    if number == 2000:
        return "dwutysięcznego"
    if number == 1900:
        return "tysiąc dziewięćsetnego"
    century = cardinal(number // 100 * 100, speaker)
    return f"{century} {polish_genitive(ordinal(number % 100, speaker))}"


def polish_genitive(words: str) -> str:
    """Return a Polish masculine ordinal in the genitive: ``drugi`` gives ``drugiego``, ``piąty`` ``piątego``."""
    return " ".join(word[:-1] + "ego" if word.endswith("y") else word + "ego" for word in words.split())
