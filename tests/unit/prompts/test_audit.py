"""What is wrong with a prompt: each fault is found, and good speech has none."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import g711
from prompts.audit import audio_faults, clip_faults, measure, text_faults
from prompts.catalog import Catalog
from prompts.clip import Clip
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.mastering import master


def spoken(seconds: float) -> bytes:
    t = np.arange(int(8000 * seconds)) / 8000
    wave = 9000 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)) * np.sin(2 * np.pi * 700 * t)
    return master(wave.astype(np.int16), 8000)[0]


def louder(pcmu: bytes, factor: float, *, offset: int = 0) -> bytes:
    return g711.ulaw_encode(np.clip(g711.ulaw_decode(pcmu) * factor + offset, -32768, 32767).astype(np.int16))


@pytest.mark.parametrize(
    ("pcmu", "fault"),
    [
        (b"\xff" * 8000, "silent"),
        (b"\xff" * 3999, "0.5 s long"),
        (b"\xff" * 96001, "12.0 s long"),
        (b"", "0.0 s long"),
        (louder(spoken(1.0), 0.5), "active level -31"),
        (louder(spoken(1.0), 20.0), "clipped: "),
        (louder(spoken(1.0), 7.5), "peak -0"),
        (louder(spoken(1.0), 1.0, offset=400), "constant offset of -38"),
        (b"\xff" * 2000 + spoken(1.0), "ms of silence before"),
        (spoken(1.0) + b"\xff" * 2000, "ms of silence before"),
    ],
    ids=["silent", "short", "long", "empty", "quiet", "clipped", "loud", "offset", "late", "trailing"],
)
def test_bad_audio_is_found(pcmu: bytes, fault: str) -> None:
    assert any(fault in found for found in audio_faults(pcmu))


def test_good_audio_has_no_fault() -> None:
    assert audio_faults(spoken(1.0)) == []


def test_what_is_measured_is_told_in_its_unit() -> None:
    found = measure(spoken(2.0))
    assert found.seconds == pytest.approx(2.0, abs=0.1)
    assert found.active_level_dbov == pytest.approx(-25.0, abs=0.1)
    assert -25 < found.peak_dbov < -15
    assert found.offset_dbov < -60
    assert (found.clipped, found.silence_before_ms <= 25, found.silence_after_ms <= 65) == (0, True, True)


def test_two_laws_that_differ_are_found() -> None:
    pcmu = spoken(1.0)
    good = Clip(name="a", pcmu=pcmu, pcma=g711.ulaw_to_alaw(pcmu))
    assert clip_faults(good) == []
    other = Clip(name="a", pcmu=pcmu, pcma=g711.ulaw_to_alaw(louder(pcmu, -1.0)))
    assert clip_faults(other) == ["mu-law and A-law hold different audio"]
    short = Clip(name="a", pcmu=pcmu, pcma=good.pcma[:-1])
    assert clip_faults(short) == ["mu-law and A-law differ in length"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Enter the 16 digits.", "'16' is read as one number"),
        ("Press the 2nd key.", "'2n' mixes letters and figures"),
        ("Press the # key.", "'#' is a sign"),
        ("Press * to cancel.", "'*' is a sign"),
        ("It costs 5 €.", "'€' is a sign"),
        ("Yes/no.", "'/' is a sign"),
        ("Write to a@b.", "'@' is a sign"),
        ("<speak>Hello.</speak>.", "'<' is a sign"),
        ("Go to www.example.", "'www.' is an address"),
        ("Hello\x01 there.", "is a control character"),
        ("Hello\u200b there.", "is a control character"),
        ("Hello  there.", "more than one space"),
        (" Hello.", "white space at an end"),
        ("Hello", "has no stop at its end"),
    ],
)
def test_what_a_synthesiser_would_misread_is_found(text: str, fault: str) -> None:
    (found,) = [each for each in text_faults(text) if fault in each]
    assert found.startswith("text: ")


@pytest.mark.parametrize("text", ["Press 1 to confirm, or 2 to cancel.", "¿Listo?", "Größe: naïve.", "धन्यवाद।"])
def test_a_text_as_it_is_said_has_no_fault(text: str) -> None:
    assert text_faults(text) == []


@pytest.mark.parametrize("locale", Catalog.load().locales)
def test_no_text_of_the_catalogue_would_be_misread(locale: str) -> None:
    texts = Catalog.load().resolve(locale).texts
    for key in PromptKey:
        fills = dict.fromkeys(PLACEHOLDERS.get(key, ()), texts.digits[4])
        assert text_faults(texts.texts[key].format(**fills)) == [], key
