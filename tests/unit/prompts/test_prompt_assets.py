"""The audio that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp import g711
from prompts import assets
from prompts.assets import fixed_keys, shipped_directory, text_key
from prompts.audit import audio_faults
from prompts.catalog import Catalog
from prompts.errors import CatalogError
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.render import check

TEXTS = Catalog.load().resolve("en-US").texts
SHIPPED = Path(str(shipped_directory("en-US")))


def test_every_prompt_but_those_with_placeholders_can_be_shipped() -> None:
    assert set(fixed_keys()) | set(PLACEHOLDERS) == set(PromptKey)


def test_the_shipped_prompts_are_whole_current_and_good_audio() -> None:
    assert check(TEXTS, SHIPPED) == []


@pytest.mark.parametrize("key", list(fixed_keys()))
def test_a_shipped_prompt_is_at_its_level_and_length(key: PromptKey) -> None:
    assert audio_faults((SHIPPED / f"{key}.ulaw").read_bytes()) == []


def test_shipped_clips_hold_both_laws() -> None:
    clips = assets.load(TEXTS)
    assert set(clips) == set(fixed_keys())
    clip = clips[PromptKey.FINISH_KEY]
    assert clip.pcma == g711.ulaw_to_alaw(clip.pcmu)


def test_a_locale_without_audio_has_no_clips() -> None:
    assert assets.load(Catalog.load().resolve("de-DE").texts) == {}


def test_the_hash_of_a_text_depends_on_the_text_and_the_locale() -> None:
    catalog = Catalog.load()
    keys = {text_key(catalog.resolve(locale).texts, key) for locale in catalog.locales for key in fixed_keys()}
    assert len(keys) == len(catalog.locales) * len(list(fixed_keys()))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(CatalogError, match=r"manifest\.json"):
        assets.read_manifest(tmp_path)
