from __future__ import annotations

import os
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from dsp import g711, meter
from prompts.catalog import Catalog
from prompts.errors import SynthesisError
from prompts.pieces import Emphasis, Pause, Span, Speech
from prompts.render import audio_faults
from prompts.synth.espeak import EspeakSynthesizer, markup, speak, voice_name
from prompts.synth.pool import WorkerPool
from prompts.synth.protocol import MAX_TEXT_CHARS
from tests.support.speech import needs_espeak

CATALOG = Catalog.load()


@pytest.mark.parametrize(
    ("voice", "locale", "expected"),
    [
        ("", "en-US", "en-us"),
        ("", "en-NZ", "en-gb"),
        ("", "de_DE", "de"),
        ("", "sv-SE", "sv"),
        ("woman", "en-US", "en-us+f3"),
        ("Female", "sv-SE", "sv+f3"),
        ("man", "fr-CA", "fr-fr"),
        ("Polly.Salli", "en-US", "en-us"),
        ("espeak:en-gb-scotland+m3", "en-US", "en-gb-scotland+m3"),
    ],
)
def test_a_voice_is_found_for_each_locale_and_wish(voice: str, locale: str, expected: str) -> None:
    assert voice_name(voice, locale, CATALOG) == expected


@pytest.mark.parametrize("voice", ["espeak:../../etc/passwd", "espeak:", "espeak:-x", "espeak:en us", "espeak:en\n"])
def test_a_voice_is_never_a_path_or_an_option(voice: str) -> None:
    with pytest.raises(SynthesisError, match="not the name of an espeak-ng voice"):
        voice_name(voice, "en-US", CATALOG)


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "espeak-stand-in"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_program_is_told_with_the_package_to_install() -> None:
    with pytest.raises(SynthesisError, match="not found on PATH: install it: apt-get install espeak-ng"):
        speak("Hello", voice="en-us", program="espeak-ng-that-is-not-there")


def test_a_program_that_fails_is_told_without_the_text(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError) as caught:
        speak("Hello", voice="en-us", program=script(tmp_path, "cat >&2; exit 7"))
    assert str(caught.value).endswith("ended with status 7")


@pytest.mark.parametrize(
    "output", ["echo not audio", "printf 'RIFF....WAVEfmt \\020\\0\\0\\0\\1\\0\\2\\0\\100\\37\\0\\0data0000'"]
)
def test_a_program_that_gives_no_mono_audio_is_told(tmp_path: Path, output: str) -> None:
    with pytest.raises(SynthesisError, match="gave"):
        speak("Hello", voice="en-us", program=script(tmp_path, output + "; " + "head -c 60 /dev/zero"))


def test_the_text_goes_to_standard_input_and_cannot_be_an_option_or_a_command(tmp_path: Path) -> None:
    wav = (
        b"RIFF\xff\xff\xff\x7fWAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 22050, 44100, 2, 16)
        + b"data\xff\xff\xff\x7f"
    )
    (tmp_path / "wav").write_bytes(wav + b"\x01\x00\x02\x00\x03")
    program = script(tmp_path, f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/input; cat {tmp_path}/wav')
    audio = speak("--version; $(id) \x01[[h@'loU]] <break/>\n", voice="en-us", program=program)
    assert (audio.rate_hz, audio.samples.tolist()) == (22050, [1, 2])
    assert (tmp_path / "arguments").read_text().split() == (
        ["--stdin", "--stdout", "-b", "1", "-z", "-s", "160", "-v", "en-us"]
    )
    assert (tmp_path / "input").read_text() == "--version; $(id)    h@'loU]] <break/> "


@needs_espeak
@pytest.mark.parametrize("locale", CATALOG.locales)
def test_espeak_has_a_voice_for_every_locale(locale: str) -> None:
    audio = speak(CATALOG.text("finish-key", locale), voice=voice_name("", locale, CATALOG))
    assert len(audio.samples) > audio.rate_hz


@needs_espeak
def test_a_voice_that_espeak_does_not_have_is_named() -> None:
    with pytest.raises(SynthesisError, match="no voice 'xx-none': espeak-ng --voices"):
        speak("Hello", voice="xx-none")


@needs_espeak
def test_an_empty_text_gives_no_samples() -> None:
    assert np.abs(speak("", voice="en-us").samples).max(initial=0) == 0


@pytest_asyncio.fixture
async def synthesizer() -> AsyncIterator[EspeakSynthesizer]:
    synthesizer = EspeakSynthesizer()
    yield synthesizer
    await synthesizer.close()


@needs_espeak
@pytest.mark.asyncio
async def test_a_sentence_arrives_in_both_laws_at_its_level(synthesizer: EspeakSynthesizer) -> None:
    for voice in ("", "woman"):
        clip = await synthesizer.synthesize("Your balance is due on the first of May.", locale="en-GB", voice=voice)
        assert audio_faults(clip.pcmu) == []
        assert len(clip.pcma) == len(clip.pcmu)
        assert meter.active_level_dbov(g711.alaw_decode(clip.pcma), 8000) == pytest.approx(-25.0, abs=1.0)


@needs_espeak
@pytest.mark.asyncio
async def test_a_text_with_nothing_to_say_is_a_moment_of_silence(synthesizer: EspeakSynthesizer) -> None:
    for text in ("", "   ", "\n\x00"):
        clip = await synthesizer.synthesize(text, locale="en-US", voice="")
        assert (set(clip.pcmu), set(clip.pcma), clip.duration_ms) == ({0xFF}, {0xD5}, 20)


@needs_espeak
@pytest.mark.asyncio
async def test_any_unicode_is_spoken_or_left_out(synthesizer: EspeakSynthesizer) -> None:
    clip = await synthesizer.synthesize("Grüße \U0001f4b3 \ud800 ẞ 漢字", locale="de-DE", voice="")
    assert clip.duration_ms > 300


@pytest.mark.asyncio
async def test_a_text_that_is_too_long_is_refused(synthesizer: EspeakSynthesizer) -> None:
    with pytest.raises(SynthesisError, match=f"{MAX_TEXT_CHARS} are the most"):
        await synthesizer.synthesize("x" * (MAX_TEXT_CHARS + 1), locale="en-US", voice="")


@needs_espeak
@pytest.mark.asyncio
async def test_the_worker_killed_between_two_texts_is_replaced() -> None:
    pool = WorkerPool()
    synthesizer = EspeakSynthesizer(pool)
    await synthesizer.synthesize("One.", locale="en-US", voice="")
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    assert (await synthesizer.synthesize("Two.", locale="en-US", voice="")).duration_ms > 100
    assert pool.restarts == 1
    await synthesizer.close()


@pytest.mark.asyncio
async def test_start_starts_the_worker_and_tells_when_it_cannot() -> None:
    pool = WorkerPool()
    synthesizer = EspeakSynthesizer(pool)
    await synthesizer.start()
    assert len(pool.pids) == 1
    await synthesizer.close()
    with pytest.raises(SynthesisError, match="could not be started"):
        await EspeakSynthesizer(WorkerPool(command=("/nonexistent/python",))).start()


@pytest.mark.asyncio
async def test_a_missing_program_is_told_through_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    synthesizer = EspeakSynthesizer()
    with pytest.raises(SynthesisError) as caught:
        await synthesizer.synthesize("Hello", locale="en-US", voice="")
    assert caught.value.remedy == "install it: apt-get install espeak-ng"
    await synthesizer.close()


@pytest.mark.soak  # long; CI runs it
@pytest.mark.asyncio
async def test_a_hung_program_is_ended_and_told(tmp_path: Path) -> None:
    # The program writes down its id, then neither reads nor ends.
    program = script(tmp_path, f"echo $$ >> {tmp_path}/pids; exec sleep 600")
    pool = WorkerPool(timeout_s=3.0)
    synthesizer = EspeakSynthesizer(pool, program=program)
    with pytest.raises(SynthesisError, match="did not answer within 3 s"):
        await synthesizer.synthesize("Hello", locale="en-US", voice="")
    await synthesizer.close()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert pids
    assert not any(is_running(pid) for pid in pids)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def longest_silence_ms(speech: Speech, voice: str) -> float:
    audio = speak(speech, voice=voice)
    loud = np.flatnonzero(np.abs(audio.samples.astype(np.int32)) > 30)
    return float(np.diff(loud).max()) * 1000 / audio.rate_hz


@needs_espeak
@pytest.mark.parametrize("locale", CATALOG.locales)
@pytest.mark.parametrize("ms", [250, 500, 2000])
def test_a_pause_is_as_long_as_it_was_written(locale: str, ms: int) -> None:
    voice = voice_name("", locale, CATALOG)
    speech = Speech((Span("Mama"), Pause(ms), Span("mama")))
    assert longest_silence_ms(speech, voice) == pytest.approx(ms, abs=20)


@needs_espeak
@pytest.mark.parametrize("locale", CATALOG.locales)
def test_a_pause_is_not_stretched_with_slow_speech(locale: str) -> None:
    def length_ms(pause_ms: int) -> float:
        speech = Speech((Span("Mama", 0.8), Pause(pause_ms), Span("mama", 0.8)))
        audio = speak(speech, voice=voice_name("", locale, CATALOG))
        return len(audio.samples) * 1000 / audio.rate_hz

    assert length_ms(1500) - length_ms(500) == pytest.approx(1000, abs=5)


@needs_espeak
def test_a_rate_changes_the_length_and_emphasis_the_level() -> None:
    def audio(span: Span) -> NDArray[np.int16]:
        return speak(Speech((span,)), voice="en-us").samples

    usual = audio(Span("Please enter your card number now"))
    assert len(audio(Span("Please enter your card number now", 0.5))) > 1.5 * len(usual)
    assert len(audio(Span("Please enter your card number now", 2.0))) < 0.75 * len(usual)
    stressed = audio(Span("Please enter your card number now", 1.0, Emphasis.STRONG))
    assert np.abs(stressed.astype(np.int32)).mean() > np.abs(usual.astype(np.int32)).mean()


def test_markup_for_espeak_holds_no_element_that_a_text_has_made_up() -> None:
    speech = Speech((Span('a <break time="9s"/> & [[b]] \x01c', 0.8, Emphasis.STRONG), Pause(500), Span("d")))
    assert markup(speech) == (
        '<speak><prosody rate="80%"><emphasis level="strong">a &lt;break time="9s"/&gt; &amp;   b]]  c</emphasis>'
        '</prosody><break time="500ms"/>d</speak>'
    )


def test_plain_text_is_given_without_markup_and_pieces_with_it(tmp_path: Path) -> None:
    program = script(tmp_path, f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/input')
    speak(Speech((Span("a < b"),)), voice="en-us", program=program)
    assert "-m" not in (tmp_path / "arguments").read_text().split()
    assert (tmp_path / "input").read_text() == "a < b"
    speak(Speech((Span("a"), Pause(100))), voice="en-us", program=program)
    assert (tmp_path / "arguments").read_text().split()[-1] == "-m"
    assert (tmp_path / "input").read_text() == '<speak>a<break time="100ms"/></speak>'


@needs_espeak
@pytest.mark.asyncio
async def test_pauses_at_the_ends_of_a_text_are_kept(synthesizer: EspeakSynthesizer) -> None:
    speech = Speech((Pause(1000), Span("Hi."), Pause(2000)))
    clip = await synthesizer.synthesize(speech, locale="en-US", voice="")
    assert set(clip.pcmu[:8000]) == set(clip.pcmu[-16000:]) == {0xFF}
    assert 3100 < clip.duration_ms < 4500
