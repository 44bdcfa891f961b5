"""The texts of the default prompts, one TOML file per locale under ``catalog/``.

A file holds the espeak-ng voice, the ten digit words, the other locales it stands for, and a text for every
``PromptKey``. A directory of one's own may overlay the shipped one: a file of the same name replaces single values of
it, a file of a new name adds a locale (and then has to be whole).
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prompts.errors import CatalogError, PromptError
from prompts.keys import MAX_SPOKEN_DIGITS, PLACEHOLDERS, PromptKey
from prompts.speech import spell_digits

__all__ = ("FALLBACK_LOCALE", "Catalog", "LocaleTexts", "Resolution", "known_key")

FALLBACK_LOCALE = "en-US"
_TABLE_KEYS = frozenset({"digits", "espeak_voice", "stands_for", "texts"})
_TERRITORY = re.compile(r"[a-z]{2}|[0-9]{3}")  # RFC 5646 §2.2.4
_NO_PLACEHOLDERS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocaleTexts:
    """What is said in one locale; every key is there."""

    locale: str
    "BCP 47 tag as the catalogue writes it, such as ``en-US``."
    espeak_voice: str
    "Name for espeak-ng's ``-v``."
    digits: tuple[str, ...]
    "Ten words; the first is zero."
    stands_for: tuple[str, ...]
    "Other locales that are served by this one; a bare language such as ``en`` means: by default."
    texts: Mapping[PromptKey, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Which texts serve a locale."""

    texts: LocaleTexts
    exact: bool
    "False when another locale's texts stand in."
    warning: str = ""
    "Not empty when even the language is another one: the operator has to know."


class Catalog:
    """All texts of all locales; immutable."""

    def __init__(self, locales: Mapping[str, LocaleTexts]) -> None:
        """Take the locales by their tags; raise CatalogError when the fallback ``en-US`` is not among them."""
        if FALLBACK_LOCALE not in locales:
            raise CatalogError(f"the catalogue has no {FALLBACK_LOCALE}, which every other language falls back to")
        self._locales = dict(locales)
        self._served: dict[str, LocaleTexts] = {}
        for texts in locales.values():
            for tag in texts.stands_for:
                self._served[_fold(tag)] = texts
        # A locale's own name wins over what another one claims to stand for.
        self._served.update({_fold(tag): texts for tag, texts in locales.items()})

    @classmethod
    def load(cls, overlay: Path | None = None) -> Catalog:
        """Read the shipped texts and then ``overlay``; raise CatalogError that names the file and the key."""
        tables = _read_directory(files("prompts") / "catalog")
        if overlay is not None:
            if not overlay.is_dir():
                raise CatalogError(f"{overlay} is not a directory of prompt texts")
            for locale, table in _read_directory(overlay).items():
                shipped = tables.get(locale, {"texts": {}})
                tables[locale] = {**shipped, **table, "texts": {**shipped["texts"], **table["texts"]}}
        return cls({locale: _texts(locale, table) for locale, table in tables.items()})

    @property
    def locales(self) -> tuple[str, ...]:
        """Tags of all locales with texts of their own, sorted."""
        return tuple(sorted(self._locales))

    def resolve(self, locale: str) -> Resolution:
        """Return the texts that serve ``locale`` (``en-GB``, ``en_gb``, ``en``; case does not matter).

        Order: the locale itself or the one that stands for it, with or without what stands between language and
        territory (``es-Latn-MX``); the default of its language; ``en-US``, with a warning.
        """
        tag = _fold(locale)
        language, *rest = tag.split("-")
        territory = next((part for part in rest if _TERRITORY.fullmatch(part)), "")
        texts = self._served.get(tag) or self._served.get(f"{language}-{territory}") or self._served.get(language)
        if texts is not None:
            return Resolution(texts=texts, exact=_fold(texts.locale) == tag)
        warning = f"there are no prompts in {locale!r}: {FALLBACK_LOCALE} is used"
        return Resolution(texts=self._locales[FALLBACK_LOCALE], exact=False, warning=warning)

    def text(self, key: PromptKey | str, locale: str, **placeholders: str) -> str:
        """Return what is said for ``key``.

        ``digits``, where the text asks for it, is 1 to 4 digits and becomes words. Raises PromptError for an unknown
        key, and for a placeholder that is missing, unknown or no digits.
        """
        prompt = known_key(key)
        wanted = PLACEHOLDERS.get(prompt, _NO_PLACEHOLDERS)
        if wanted != placeholders.keys():
            raise PromptError(f"prompt {prompt} takes {sorted(wanted)}, and was given {sorted(placeholders)}")
        texts = self.resolve(locale).texts
        if not wanted:
            return texts.texts[prompt].format()
        digits = placeholders["digits"]
        if len(digits) > MAX_SPOKEN_DIGITS:
            raise PromptError(f"prompt {prompt} says at most {MAX_SPOKEN_DIGITS} digits")
        return texts.texts[prompt].format(digits=spell_digits(digits, texts.digits))


def known_key(key: PromptKey | str) -> PromptKey:
    """Return the key as such; raise PromptError when there is none of that name."""
    try:
        return PromptKey(key)
    except ValueError:
        raise PromptError(f"there is no prompt named {key!r}") from None


def _fold(tag: str) -> str:
    return tag.strip().replace("_", "-").casefold()


def _read_directory(directory: Traversable) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".toml"):
            continue
        try:
            table = tomllib.loads(entry.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CatalogError(f"{entry.name} cannot be read: {error}") from None
        if not isinstance(table.setdefault("texts", {}), dict):
            raise CatalogError(f"{entry.name}: texts is not a table")
        tables[entry.name.removesuffix(".toml")] = table
    return tables


def _texts(locale: str, table: Mapping[str, Any]) -> LocaleTexts:
    where = f"{locale}.toml"
    unknown = sorted(table.keys() - _TABLE_KEYS)
    if unknown:
        raise CatalogError(f"{where}: {unknown[0]} is not a key; {', '.join(sorted(_TABLE_KEYS))} are")
    voice = table.get("espeak_voice")
    if not (isinstance(voice, str) and voice):
        raise CatalogError(f"{where}: espeak_voice is missing", remedy="espeak-ng --voices lists the names")
    digits = _strings(table.get("digits"), f"{where}: digits")
    if len(digits) != 10 or len(set(digits)) != 10:
        raise CatalogError(f"{where}: digits has to be ten different words, from zero to nine")
    texts = table["texts"]
    for name in sorted(texts.keys() - {key.value for key in PromptKey}):
        raise CatalogError(f"{where}: texts.{name} is not a prompt")
    return LocaleTexts(
        locale=locale,
        espeak_voice=voice,
        digits=digits,
        stands_for=_strings(table.get("stands_for", []), f"{where}: stands_for"),
        texts=MappingProxyType({key: _text(texts, key, where) for key in PromptKey}),
    )


def _strings(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise CatalogError(f"{where} has to be a list of texts")
    return tuple(value)


def _text(texts: Mapping[str, Any], key: PromptKey, where: str) -> str:
    text = texts.get(key)
    if not (isinstance(text, str) and text.strip()):
        raise CatalogError(f"{where}: texts.{key} is missing or empty")
    try:
        fields = [(field, spec, conversion) for _, field, spec, conversion in string.Formatter().parse(text)]
    except ValueError as error:
        raise CatalogError(f"{where}: texts.{key}: {error}", remedy="a brace is written twice") from None
    names = frozenset(field for field, _, _ in fields if field is not None)
    # Plain names only: "{digits.__class__}" or "{digits!r}" in an overlay is a mistake, never a wish.
    if names != PLACEHOLDERS.get(key, _NO_PLACEHOLDERS) or any(spec or conversion for _, spec, conversion in fields):
        wanted = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS.get(key, _NO_PLACEHOLDERS)))
        raise CatalogError(f"{where}: texts.{key} has to hold {wanted or 'no placeholder'} and nothing else in braces")
    return text
