"""Rendering, checking and listing prompts: the work of ``paytone prompts``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prompts import render
from prompts.assets import MANIFEST, fixed_keys
from prompts.catalog import Catalog
from prompts.errors import SynthesisError
from prompts.mastering import master
from prompts.store import PromptStore
from tests.support.speech import FakeReader, FakeSynthesizer

CATALOG = Catalog.load()
TEXTS = CATALOG.resolve("de-DE").texts
ROOT = Path(__file__).parents[3]


def spoken(seconds: float) -> bytes:
    t = np.arange(int(8000 * seconds)) / 8000
    wave = 9000 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)) * np.sin(2 * np.pi * 700 * t)
    return master(wave.astype(np.int16), 8000)[0]


def speaker(audio: bytes) -> FakeSynthesizer:
    synthesizer = FakeSynthesizer()
    synthesizer.audio = lambda text: audio
    return synthesizer


@pytest.mark.asyncio
async def test_only_what_is_missing_or_stale_is_rendered(tmp_path: Path) -> None:
    synthesizer = speaker(spoken(1.0))
    seen: list[int] = []
    assert await render.render(TEXTS, tmp_path, synthesizer, progress=lambda: seen.append(1)) == list(fixed_keys())
    assert len(seen) == 29
    assert render.check(TEXTS, tmp_path) == []
    assert await render.render(TEXTS, tmp_path, synthesizer, progress=lambda: seen.append(1)) == []
    assert len(seen) == 58
    (tmp_path / "finish-key.ulaw").unlink()
    assert await render.render(TEXTS, tmp_path, synthesizer) == ["finish-key"]
    assert len(await render.render(TEXTS, tmp_path, synthesizer, force=True)) == 29


@pytest.mark.asyncio
async def test_what_was_rendered_before_an_error_is_not_rendered_again(tmp_path: Path) -> None:
    audio = spoken(1.0)
    synthesizer = speaker(audio)

    def fails_at_the_tenth(text: str) -> bytes:
        if len(synthesizer.spoken) == 10:
            raise SynthesisError("the worker died")
        return audio

    synthesizer.audio = fails_at_the_tenth
    with pytest.raises(SynthesisError):
        await render.render(TEXTS, tmp_path, synthesizer)
    assert len(await render.render(TEXTS, tmp_path, synthesizer)) == 29 - 9


@pytest.mark.asyncio
async def test_check_names_each_fault(tmp_path: Path) -> None:
    audio = spoken(1.0)
    await render.render(TEXTS, tmp_path, speaker(audio))
    (tmp_path / "finish-key.ulaw").unlink()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "cancel-key.ulaw").write_bytes(audio[:2000])
    manifest = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(manifest.replace('"please-reenter": "', '"please-reenter": "0'))
    assert render.check(TEXTS, tmp_path) == [
        "please-reenter: rendered from another text, voice or renderer",
        "finish-key: not rendered",
        "cancel-key: 0.2 s long, not 0.5 to 12 s",
        "notes.txt: not the audio of a prompt",
    ]


@pytest.mark.asyncio
async def test_the_store_is_checked_as_the_engine_would_play_it(tmp_path: Path) -> None:
    overlay = tmp_path / "texts"
    overlay.mkdir()
    (overlay / "de-DE.toml").write_text(
        '[texts]\nfinish-key = "Taste #."\nconfirm-last-four = "Endet auf {digits}, 12."\n'
    )
    store = PromptStore(tmp_path / "cache", speaker(spoken(1.0)), reader=FakeReader(), catalog=Catalog.load(overlay))
    found = await render.check_store(store, "de-DE")
    assert [fault for fault in found if "not rendered" in fault] == [f"{key}: not rendered" for key in fixed_keys()]
    await store.prepare("de-DE")
    found = await render.check_store(store, "de-DE")
    assert len(found) == 31
    assert any(fault.startswith("finish-key: text: '#' is a sign") for fault in found)
    assert any(fault.startswith("confirm-last-four: text: '12' is read as one number") for fault in found)
    assert sum("hold different audio" in fault for fault in found) == 29, "the stand-in's A-law is another audio"


@pytest.mark.asyncio
async def test_the_listing_tells_length_level_peak_source_and_text(tmp_path: Path) -> None:
    await render.render(TEXTS, tmp_path / "de-DE", speaker(spoken(1.0)))
    lines = render.list_directory(TEXTS, tmp_path / "de-DE")
    assert len(lines) == 30
    table = render.listing(lines).splitlines()
    assert table[0].split() == ["locale", "key", "s", "level", "peak", "from", "text"]
    row = next(line for line in table if " finish-key " in line)
    assert "  -25.0  " in row
    assert row.endswith(TEXTS.texts["finish-key"])  # type: ignore[index]
    assert next(line for line in table if " confirm-last-four " in line).split()[2:6] == ["-", "-", "-", "call"]
    store = PromptStore(tmp_path / "cache", speaker(spoken(1.0)), reader=FakeReader())
    sources = {line.source for line in await render.list_store(store, "de-DE")}
    assert sources == {"-", "call"}
    assert {line.source for line in await render.list_store(store, "en-US")} == {"shipped", "call"}


def test_the_committed_listing_holds_what_the_catalogue_says() -> None:
    committed = (ROOT / "docs" / "prompts-listing.md").read_text(encoding="utf-8")
    rows = {tuple(row.strip("| ").split(" | ")) for row in committed.splitlines() if row.startswith("| ")}
    listed = {(row[0], row[1], row[-1]) for row in rows if len(row) == 7}
    wanted = {
        (locale, str(key), text)
        for locale in CATALOG.locales
        for key, text in CATALOG.resolve(locale).texts.texts.items()
    }
    assert wanted <= listed, "run: paytone prompts render; then the command at the head of docs/prompts-listing.md"
    assert len(listed) == len(wanted) + 2, "the table's head and rule"
