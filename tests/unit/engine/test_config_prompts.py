"""``[prompts]``: what is taken, and what is refused with its key, its line and what to do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from engine.config import parse
from engine.errors import ConfigError
from prompts.catalog import Catalog
from prompts.synth.factory import maker
from prompts.synth.pool import WorkerPool
from tests.support.tiny_voice import TINY_VOICE


def test_without_the_table_espeak_ng_speaks_the_shipped_texts() -> None:
    prompts = parse("").prompts
    assert (prompts.synthesizer, prompts.overlay, prompts.workers, prompts.piper_voices) == ("espeak-ng", None, 0, {})


def test_texts_of_ones_own_are_a_directory(tmp_path: Path) -> None:
    (tmp_path / "en-US.toml").write_text('[texts]\npayment-completed = "Thanks."\n')
    prompts = parse(f'[prompts]\ntexts = "{tmp_path}"').prompts
    assert Catalog.load(prompts.overlay).text("payment-completed", "en-US") == "Thanks."


@pytest.mark.asyncio
async def test_a_piper_voice_is_given_by_locale_and_speaks() -> None:
    pytest.importorskip("piper")
    text = f'[prompts]\nsynthesizer = "piper"\n[prompts.piper]\nthreads = 2\nvoices = {{ "en-US" = "{TINY_VOICE}" }}'
    prompts = parse(text).prompts
    make = maker(prompts.synthesizer, piper_voices=prompts.piper_voices, piper_threads=prompts.piper.threads)
    synthesizer = make(WorkerPool(), Catalog.load())
    clip = await synthesizer.synthesize("Hello", locale="en-US", voice="")
    assert clip.duration_ms > 100
    await synthesizer.close()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[prompts]\nlocale = "../etc"', r"test:2: prompts\.locale"),
        ('[prompts]\nsynthesizer = "flite"', r"test:2: prompts\.synthesizer: Input should be 'espeak-ng' or 'piper'"),
        ('[prompts]\ntexts = "/nonexistent"', "texts: /nonexistent is not a directory; make it"),
        ("[prompts]\nworkers = 65", r"test:2: prompts\.workers"),
        ("[prompts]\ntimeout_s = 0", r"test:2: prompts\.timeout_s"),
        ('[prompts]\nsynthesizer = "piper"', "wants voices"),
        ('[prompts.piper]\nvoices = { "x y" = "v.onnx" }', r"test:2: prompts\.piper\.voices: 'x y' is not a locale"),
        (
            '[prompts]\nsynthesizer = "piper"\n[prompts.piper]\nvoices = { en-US = "/nonexistent/v.onnx" }',
            r"piper\.voices\.en-US: /nonexistent/v\.onnx is not there; NAME\.onnx and NAME\.onnx\.json are needed",
        ),
        ("[prompts.piper]\nthreads = 0", r"test:2: prompts\.piper\.threads"),
        ("[prompts.piper]\ngpu = true", r"test:2: prompts\.piper\.gpu"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse(text, name="test")


def test_a_voice_without_its_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"v\.onnx\.json is not there"):
        parse(f'[prompts]\nsynthesizer = "piper"\n[prompts.piper]\nvoices = {{ de-DE = "{tmp_path}/v.onnx" }}')


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "paytone\[piper\]"'):
        parse(f'[prompts]\nsynthesizer = "piper"\n[prompts.piper]\nvoices = {{ en-US = "{TINY_VOICE}" }}')
