"""Digits as words, for any digits and every locale."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.catalog import Catalog
from prompts.errors import PromptError
from prompts.speech import spell_digits

CATALOG = Catalog.load()


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
