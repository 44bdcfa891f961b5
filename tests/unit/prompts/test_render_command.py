from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsp import g711
from prompts import render
from prompts.assets import MANIFEST, fixed_keys, shipped_directory
from prompts.catalog import Catalog
from prompts.mastering import master
from tests.support.speech import FakeSynthesizer, needs_espeak

TEXTS = Catalog.load().resolve("de-DE").texts


def spoken(seconds: float) -> bytes:
    t = np.arange(int(8000 * seconds)) / 8000
    wave = 9000 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)) * np.sin(2 * np.pi * 700 * t)
    return master(wave.astype(np.int16), 8000)[0]


@pytest.mark.asyncio
async def test_only_what_is_missing_or_stale_is_rendered(tmp_path: Path) -> None:
    synthesizer = FakeSynthesizer()
    audio = spoken(1.0)
    synthesizer.audio = lambda text: audio
    assert await render.render(TEXTS, tmp_path, synthesizer) == list(fixed_keys())
    assert render.check(TEXTS, tmp_path) == []
    assert await render.render(TEXTS, tmp_path, synthesizer) == []
    (tmp_path / "finish-key.ulaw").unlink()
    assert await render.render(TEXTS, tmp_path, synthesizer) == ["finish-key"]
    assert len(await render.render(TEXTS, tmp_path, synthesizer, force=True)) == 29


@pytest.mark.asyncio
async def test_check_names_each_fault(tmp_path: Path) -> None:
    synthesizer = FakeSynthesizer()
    audio = spoken(1.0)
    synthesizer.audio = lambda text: audio
    await render.render(TEXTS, tmp_path, synthesizer)
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


@pytest.mark.parametrize(
    ("pcmu", "fault"),
    [
        (b"\xff" * 8000, "silent"),
        (b"\xff" * 3999, "0.5 s long"),
        (b"\xff" * 96001, "12.0 s long"),
        (g711.ulaw_encode((g711.ulaw_decode(spoken(1.0)) * 0.5).astype(np.int16)), "active level -31"),
        (g711.ulaw_encode(np.clip(g711.ulaw_decode(spoken(1.0)) * 20.0, -32000, 32000).astype(np.int16)), "peak -0"),
        (b"\xff" * 2000 + spoken(1.0), "ms of silence before"),
    ],
    ids=["silent", "short", "long", "quiet", "clipped", "late"],
)
def test_bad_audio_is_found(pcmu: bytes, fault: str) -> None:
    assert any(fault in found for found in render.audio_faults(pcmu))


def test_good_audio_has_no_fault() -> None:
    assert render.audio_faults(spoken(1.0)) == []


def test_the_command_checks_what_is_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["--check"]) == 0
    assert "all prompts are there" in capsys.readouterr().out


def test_the_command_fails_when_something_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert render.main(["--check", "--locale", "de-DE", "--directory", str(tmp_path)]) == 1
    assert "de-DE  finish-key: not rendered" in capsys.readouterr().err


def test_the_command_names_the_locales_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["--locale", "sv-SE"]) == 1
    assert "de-DE, en-AU" in capsys.readouterr().err


@needs_espeak
def test_the_command_renders_a_locale(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert render.main(["--locale", "de-DE", "--directory", str(tmp_path)]) == 0
    assert "29 rendered" in capsys.readouterr().out
    assert not Path(str(shipped_directory("de-DE"))).exists()
