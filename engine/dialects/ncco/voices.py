"""Voices by name, as ``talk`` knew them before languages: here a name says which language a text is in. Pure."""

from __future__ import annotations

__all__ = ("language_of",)

_NAMES = {
    "ar": "Laila Maged Tarik",
    "ca-ES": "Jordi Montserrat",
    "cmn-CN": "Tian-Tian",
    "cmn-TW": "Mei-Jia",
    "cs-CZ": "Iveta Zuzana",
    "da-DK": "Mads Naja",
    "de-DE": "Hans Marlene",
    "el-GR": "Melina Nikos",
    "en-AU": "Nicole Russell",
    "en-GB": "Amy Brian Emma Geraint Gwyneth",
    "en-IN": "Raveena",
    "en-US": "Chipmunk Eric Ivy Jennifer Joanna Joey Justin Kendra Kimberly Salli",
    "en-ZA": "Tessa",
    "es-ES": "Conchita Empar Enrique",
    "es-US": "Miguel Penelope",
    "eu-ES": "Miren",
    "fi-FI": "Satu",
    "fr-CA": "Chantal",
    "fr-FR": "Celine Mathieu",
    "he-IL": "Carmit",
    "hi-IN": "Aditi Lekha",
    "hu-HU": "Mariska",
    "id-ID": "Damayanti",
    "is-IS": "Dora Karl",
    "it-IT": "Carla Giorgio",
    "ja-JP": "Mizuki",
    "ko-KR": "Seoyeon Sora",
    "nb-NO": "Henrik Liv Nora",
    "nl-NL": "Lotte Ruben",
    "pl-PL": "Agnieszka Ewa Jacek Jan Maja",
    "pt-BR": "Felipe Luciana Ricardo Vitoria",
    "pt-PT": "Catarina Cristiano Ines Joana",
    "ro-RO": "Carmen Ioana",
    "ru-RU": "Maxim Tatyana",
    "sk-SK": "Laura",
    "sv-SE": "Alva Astrid Oskar",
    "th-TH": "Kanya",
    "tr-TR": "Cem Filiz Yelda",
    "yue-CN": "Sin-Ji",
}
_LANGUAGES = {name.lower(): language for language, names in _NAMES.items() for name in names.split()}


def language_of(voice: str) -> str:
    """Return the language of a voice, by its name in any case; empty for a name that is not known.

    >>> language_of("Celine")
    'fr-FR'
    """
    return _LANGUAGES.get(voice.strip().lower(), "")
