from __future__ import annotations

import re
from pathlib import Path

import pytest

from prompts.catalog import Catalog
from prompts.errors import CatalogError, PromptError
from prompts.keys import PLACEHOLDERS, PromptKey

CATALOG = Catalog.load()
# TwiML's languages, and three more
LOCALES = [
    *("de-DE", "en-AU", "en-CA", "en-GB", "en-IN", "en-US", "es-ES", "es-MX"),
    *("fr-CA", "fr-FR", "it-IT", "nl-NL", "pl-PL", "pt-BR"),
]
# dialects.md §1.7: TwiML's, those that its TypeScript types add, RELAY's "en", and NCCO's default.
VENDOR_LANGUAGES = [
    *("en-AU", "en-CA", "en-GB", "en-IN", "en-US", "es-ES", "es-MX", "fr-CA", "fr-FR", "de-DE", "it-IT", "en-us"),
    *("en-IE", "en-NZ", "en-PH", "en-ZA", "es-US", "en"),
]


def test_all_fourteen_locales_are_there() -> None:
    assert list(CATALOG.locales) == LOCALES


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", PromptKey)
def test_every_prompt_has_a_text_in_every_locale(key: PromptKey, locale: str) -> None:
    placeholders = {"digits": "4242"} if key in PLACEHOLDERS else {}
    text = CATALOG.text(key, locale, **placeholders)
    assert text.strip() == text
    assert text[-1] in ".!?"
    assert not set("{}<>[]") & set(text)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_has_ten_different_digit_words(locale: str) -> None:
    words = CATALOG.resolve(locale).texts.digits
    assert len(words) == len(set(words)) == 10


@pytest.mark.parametrize(
    ("asked", "served", "exact"),
    [
        ("en-US", "en-US", True),
        ("en_gb", "en-GB", True),
        ("EN-us", "en-US", True),
        ("en", "en-US", False),
        ("en-NZ", "en-AU", False),
        ("en-IE", "en-GB", False),
        ("en-PH", "en-US", False),
        ("en-ZA", "en-GB", False),
        ("en-KE", "en-GB", False),
        ("en-LR", "en-US", False),
        ("es", "es-ES", False),
        ("es-US", "es-MX", False),
        ("es-AR", "es-MX", False),
        ("es-419", "es-MX", False),
        ("es-Latn-MX", "es-MX", False),
        ("es-GQ", "es-ES", False),
        ("fr-BE", "fr-FR", False),
        ("de-AT", "de-DE", False),
        ("pt-PT", "pt-BR", False),
    ],
)
def test_a_locale_without_texts_gets_those_of_its_language_silently(asked: str, served: str, exact: bool) -> None:
    resolution = CATALOG.resolve(asked)
    assert (resolution.texts.locale, resolution.exact, resolution.warning) == (served, exact, "")


@pytest.mark.parametrize("language", VENDOR_LANGUAGES)
def test_every_language_that_a_vendor_names_is_spoken_in_that_language(language: str) -> None:
    resolution = CATALOG.resolve(language)
    assert resolution.texts.locale[:2] == language[:2].lower()
    assert resolution.warning == ""


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", PromptKey)
def test_a_figure_is_a_single_key_and_no_ordinal(key: PromptKey, locale: str) -> None:
    # "1." is "first" to a Polish or German synthesiser, which then leaves the pause of the full stop out.
    text = CATALOG.resolve(locale).texts.texts[key]
    assert not re.search(r"\d\.|\d\d", text)


def test_a_language_without_texts_gets_english_and_a_warning() -> None:
    resolution = CATALOG.resolve("sv-SE")
    assert (resolution.texts.locale, resolution.exact) == ("en-US", False)
    assert "sv-SE" in resolution.warning


def test_digits_are_said_one_by_one() -> None:
    assert CATALOG.text("confirm-last-four", "en-US", digits="4242").endswith("four, two, four, two.")


def test_more_than_four_digits_are_never_said() -> None:
    with pytest.raises(PromptError) as caught:
        CATALOG.text("confirm-last-four", "en-US", digits="4242424242424242")
    assert "4242" not in str(caught.value)


@pytest.mark.parametrize("placeholders", [{}, {"digits": "4242", "name": "x"}, {"name": "x"}])
def test_missing_and_unknown_placeholders_are_refused(placeholders: dict[str, str]) -> None:
    with pytest.raises(PromptError, match="confirm-last-four takes"):
        CATALOG.text("confirm-last-four", "en-US", **placeholders)


def test_a_text_without_placeholders_takes_none() -> None:
    with pytest.raises(PromptError, match="takes"):
        CATALOG.text("finish-key", "en-US", digits="1")


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(PromptError, match="no-such-prompt"):
        CATALOG.text("no-such-prompt", "en-US")


def overlay(tmp_path: Path, name: str, text: str) -> Catalog:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Catalog.load(tmp_path)


def whole(locale: str = "sv-SE", **changes: str) -> str:
    texts = {str(key): "Text {digits}." if key in PLACEHOLDERS else "Text." for key in PromptKey} | changes
    words = ", ".join(f'"w{i}"' for i in range(10))
    lines = [f'"{key}" = "{text}"' for key, text in texts.items()]
    return "\n".join([f'espeak_voice = "{locale[:2]}"', f"digits = [{words}]", "[texts]", *lines])


def test_an_overlay_changes_single_texts_and_keeps_the_rest(tmp_path: Path) -> None:
    catalog = overlay(tmp_path, "en-US.toml", '[texts]\npayment-completed = "Thanks from Acme {{sic}}."')
    assert catalog.text("payment-completed", "en-US") == "Thanks from Acme {sic}."
    assert catalog.text("payment-failed", "en-US") == CATALOG.text("payment-failed", "en-US")


def test_an_overlay_adds_a_locale(tmp_path: Path) -> None:
    catalog = overlay(tmp_path, "sv-SE.toml", whole())
    assert catalog.resolve("sv").texts.locale == "en-US"
    assert catalog.text("confirm-last-four", "sv-SE", digits="19") == "Text w1, w9."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[texts]\nfinish-key = "x"', "sv-SE.toml: espeak_voice is missing"),
        (whole().replace('"w9"', '"w0"'), "ten different words"),
        (whole().replace("digits = [", "digits = ["[:-1] + "3 #"), "digits has to be a list of texts"),
        (whole() + '\nnot-a-key = "x"', "texts.not-a-key is not a prompt"),
        ("shout = 1\n" + whole(), "shout is not a key"),
        (whole(**{"finish-key": ""}), "texts.finish-key is missing or empty"),
        (whole(**{"finish-key": "Press {key}."}), "texts.finish-key has to hold no placeholder"),
        (whole(**{"confirm-last-four": "It ends."}), "texts.confirm-last-four has to hold {digits}"),
        (whole(**{"confirm-last-four": "{digits.__class__}"}), "has to hold {digits} and nothing else"),
        (whole(**{"confirm-last-four": "{digits!r}"}), "has to hold {digits} and nothing else"),
        (whole(**{"finish-key": "Press {"}), "texts.finish-key"),
        ("espeak_voice = ", "sv-SE.toml cannot be read"),
        (
            'espeak_voice = "sv"\ndigits = ["0","1","2","3","4","5","6","7","8","9"]',
            "texts.payment-card-number is missing",
        ),
        ("texts = 3", "texts is not a table"),
    ],
)
def test_a_catalogue_that_cannot_be_used_names_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint):
        overlay(tmp_path, "sv-SE.toml", text)


def test_an_overlay_that_is_no_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="absent"):
        Catalog.load(tmp_path / "absent")


def test_a_catalogue_without_the_fallback_is_refused() -> None:
    with pytest.raises(CatalogError, match="en-US"):
        Catalog({})
