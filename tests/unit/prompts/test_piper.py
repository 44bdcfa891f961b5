"""Piper's own code with a voice of tones (`tests.support.tiny_voice`), in the real worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from dsp import g711, meter
from prompts.catalog import Catalog
from prompts.errors import SynthesisError
from prompts.mastering import TARGET_DBOV
from prompts.pieces import Emphasis, Pause, Span, Speech
from prompts.ssml import parse
from prompts.synth import piper
from prompts.synth.pool import WorkerPool
from tests.support.speech import FakeSynthesizer
from tests.support.tiny_voice import RATE_HZ, TINY_VOICE

pytest.importorskip("piper", reason='Piper is not installed: pip install "paytone[piper]"')

CATALOG = Catalog.load()
EMPTY: Mapping[str, object] = {}


@pytest.fixture(scope="module")
def voice() -> Any:
    return piper.load(str(TINY_VOICE), threads=1)


def longest_silence_ms(samples: Any, rate_hz: int) -> float:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 200)
    return float(np.diff(loud).max()) * 1000 / rate_hz


def test_a_voice_is_loaded_once(voice: Any) -> None:
    assert piper.load(str(TINY_VOICE), threads=1) is voice


def test_the_voices_that_stay_loaded_are_bounded(tmp_path: Path) -> None:
    first = voice_in(tmp_path / "0")
    kept = piper.load(str(first), threads=1)
    for number in range(1, piper.MAX_VOICES + 1):
        piper.load(str(voice_in(tmp_path / str(number))), threads=1)
    assert piper.load(str(first), threads=1) is not kept


@pytest.mark.parametrize("ms", [100, 500, 1500])
def test_a_pause_is_as_long_as_it_was_written(voice: Any, ms: int) -> None:
    audio = piper.speak(Speech((Span("Hello"), Pause(ms), Span("there"))), voice)
    assert audio.rate_hz == RATE_HZ
    assert longest_silence_ms(audio.samples, audio.rate_hz) == pytest.approx(ms, abs=20)


def test_a_rate_changes_the_length_and_emphasis_does_not(voice: Any) -> None:
    usual, slow, stressed = (
        len(piper.speak(Speech((span,)), voice).samples)
        for span in (Span("Hello there"), Span("Hello there", 0.5), Span("Hello there", 1.0, Emphasis.STRONG))
    )
    assert slow == pytest.approx(2 * usual, rel=0.01)
    assert stressed == usual


def test_spans_that_differ_in_emphasis_are_one_sentence(voice: Any) -> None:
    whole = piper.speak(Speech((Span("Hello there"),)), voice).samples
    parts = piper.speak(Speech((Span("Hello "), Span("there", 1.0, Emphasis.STRONG))), voice).samples
    assert np.array_equal(whole, parts)


def test_no_text_is_a_command_for_the_phonemiser(voice: Any) -> None:
    # Piper takes what stands in [[ ]] for phonemes.
    assert len(piper.speak(Speech((Span("[[aaaaaaaaaaaaaaaaaaaa]]"),)), voice).samples) > 0
    plain = piper.speak(Speech((Span("hello there]]"),)), voice).samples
    marked = piper.speak(Speech((Span("[[hello there]]"),)), voice).samples
    assert len(marked) == pytest.approx(len(plain), abs=RATE_HZ // 5)


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "…"])
def test_a_text_with_nothing_to_say_gives_no_samples(voice: Any, text: str) -> None:
    assert np.abs(piper.speak(Speech((Span(text),)), voice).samples).max(initial=0) == 0


def voice_in(directory: Path, model: bytes | None = None, settings: Mapping[str, object] = EMPTY) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / "voice.onnx"
    path.write_bytes(TINY_VOICE.read_bytes() if model is None else model)
    table = json.loads(TINY_VOICE.with_name("tiny.onnx.json").read_text(encoding="utf-8")) | dict(settings)
    path.with_name("voice.onnx.json").write_text(json.dumps(table), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"phoneme_type": "pinyin"}, "phoneme_type 'pinyin' is not taken"),
        ({"audio": {"sample_rate": 96_000}}, r"audio\.sample_rate is none of"),
        ({"audio": 3}, r"audio\.sample_rate is none of"),
        ({"espeak": {}}, r"is no voice \(KeyError\)"),
        ({"num_symbols": None, "espeak": None}, r"is no voice \(TypeError\)"),
    ],
)
def test_settings_that_cannot_be_used_are_told(tmp_path: Path, settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(SynthesisError, match=complaint):
        piper.load(str(voice_in(tmp_path / "v", settings=settings)), threads=1)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_settings_file_that_is_no_table_is_told(tmp_path: Path, content: bytes) -> None:
    path = voice_in(tmp_path / "v")
    path.with_name("voice.onnx.json").write_bytes(content)
    with pytest.raises(SynthesisError, match=r"voice\.onnx\.json"):
        piper.load(str(path), threads=1)


@pytest.mark.parametrize("model", [b"", b"not a model", TINY_VOICE.read_bytes()[:500]])
def test_a_file_that_is_no_model_is_told(tmp_path: Path, model: bytes) -> None:
    with pytest.raises(SynthesisError, match=r"voice\.onnx is no voice"):
        piper.load(str(voice_in(tmp_path / "v", model)), threads=1)


def test_a_missing_file_of_either_kind_is_named(tmp_path: Path) -> None:
    path = voice_in(tmp_path / "v")
    assert piper.voice_faults(path) == ""
    path.with_name("voice.onnx.json").unlink()
    with pytest.raises(SynthesisError, match=r"voice\.onnx\.json is not there: a voice is a file"):
        piper.load(str(path), threads=1)
    assert "absent.onnx is not there" in piper.voice_faults(tmp_path / "absent.onnx")


def test_a_missing_package_is_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(SynthesisError, match=r'piper-tts is not installed: install it: pip install "paytone\[piper\]"'):
        piper.load(str(voice_in(tmp_path / "v")), threads=1)


class Fixture:
    def __init__(self) -> None:
        self.pool = WorkerPool()
        self.fallback = FakeSynthesizer()
        self.warnings: list[str] = []
        self.synthesizer = piper.PiperSynthesizer(
            self.pool, {"en_us": TINY_VOICE}, self.fallback, catalog=CATALOG, warn=self.warnings.append
        )


@pytest_asyncio.fixture
async def given() -> AsyncIterator[Fixture]:
    fixture = Fixture()
    yield fixture
    await fixture.synthesizer.close()
    assert fixture.fallback.closed
    assert fixture.pool.pids == ()


@pytest.mark.asyncio
async def test_a_sentence_arrives_in_both_laws_at_its_level(given: Fixture) -> None:
    clip = await given.synthesizer.synthesize("Please enter your card number.", locale="en-US", voice="")
    assert len(clip.pcmu) == len(clip.pcma)
    for samples in (g711.ulaw_decode(clip.pcmu), g711.alaw_decode(clip.pcma)):
        assert meter.active_level_dbov(samples, 8000) == pytest.approx(TARGET_DBOV, abs=1.0)


@pytest.mark.asyncio
async def test_pauses_at_the_ends_of_a_text_are_kept(given: Fixture) -> None:
    plain = await given.synthesizer.synthesize("Hi.", locale="en-US", voice="")
    markup = parse('<break time="1s"/>Hi.<break time="2s"/>', locale="en-US").speech
    paused = await given.synthesizer.synthesize(markup, locale="en-US", voice="")
    assert paused.duration_ms == plain.duration_ms + 3000
    assert set(paused.pcmu[:8000]) == set(paused.pcmu[-16000:]) == {0xFF}


@pytest.mark.asyncio
async def test_a_locale_without_a_voice_is_spoken_by_the_other_synthesiser_with_one_warning(given: Fixture) -> None:
    for locale in ("de-DE", "de_de", "sv-SE"):
        await given.synthesizer.synthesize("Hello", locale=locale, voice="woman")
    assert [locale for _, locale, _ in given.fallback.spoken] == ["de-DE", "de_de", "sv-SE"]
    assert given.warnings == [
        "prompts.piper.voices has none for de-de: espeak-ng speaks",
        "prompts.piper.voices has none for sv-se: espeak-ng speaks",
    ]


@pytest.mark.asyncio
async def test_a_regional_locale_is_spoken_by_the_voice_of_the_one_that_serves_it(given: Fixture) -> None:
    await given.synthesizer.synthesize("Hello", locale="en-PH", voice="Polly.Salli")
    assert (given.fallback.spoken, given.warnings) == ([], [])


@pytest.mark.asyncio
async def test_a_voice_of_espeak_ng_is_spoken_by_it(given: Fixture) -> None:
    await given.synthesizer.synthesize("Hello", locale="en-US", voice="espeak:en-gb")
    assert (given.fallback.spoken, given.warnings) == ([("Hello", "en-US", "espeak:en-gb")], [])


@pytest.mark.asyncio
async def test_start_loads_every_voice_and_tells_of_a_broken_one(tmp_path: Path) -> None:
    path = voice_in(tmp_path / "v", b"not a model")
    synthesizer = piper.PiperSynthesizer(WorkerPool(), {"en-US": path}, FakeSynthesizer(), catalog=CATALOG)
    with pytest.raises(SynthesisError, match=r"voice\.onnx is no voice"):
        await synthesizer.start()
    await synthesizer.close()


@pytest.mark.asyncio
async def test_a_voice_that_lacks_sounds_does_not_fill_the_pipe_that_nobody_reads(tmp_path: Path) -> None:
    # Piper logs each missing sound to standard error: 64 KiB of that would hold the worker for ever.
    path = voice_in(tmp_path / "v", settings={"phoneme_id_map": {"_": [0], "^": [1], "$": [2], "a": [5]}})
    synthesizer = piper.PiperSynthesizer(WorkerPool(), {"en-US": path}, FakeSynthesizer(), catalog=CATALOG)
    for _ in range(4):
        await synthesizer.synthesize("sixty thousand words " * 150, locale="en-US", voice="")
    await synthesizer.close()


@pytest.mark.asyncio
async def test_a_worker_killed_with_its_voice_is_replaced_and_loads_it_again(given: Fixture) -> None:
    before = await given.synthesizer.synthesize("Hello", locale="en-US", voice="")
    (pid,) = given.pool.pids
    os.kill(pid, signal.SIGKILL)
    after = await given.synthesizer.synthesize("Hello", locale="en-US", voice="")
    assert after.pcmu == before.pcmu
    assert given.pool.restarts == 1


def test_another_voice_is_another_identity(tmp_path: Path) -> None:
    def identity(path: Path) -> str:
        return piper.PiperSynthesizer(WorkerPool(), {"en-US": path}, FakeSynthesizer(), catalog=CATALOG).identity

    path = voice_in(tmp_path / "v")
    before = identity(path)
    assert before == identity(path)
    shutil.copy(TINY_VOICE, path)
    os.utime(path, ns=(1, 1))
    assert identity(path) != before
    assert identity(TINY_VOICE) != before
