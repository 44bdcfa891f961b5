"""Digits in noise, voices, hum, dial tone, echo, clipping, clock error, slips and clicks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.dtmf import speech, stimuli
from benchmarks.dtmf.stimuli import TONE_POWER, Stimulus, drawn, keyed, through
from benchmarks.dtmf.suite import Condition, recall_suite
from dsp import channel

__all__ = ("SNR_DB", "SUITE", "conditions")

SNR_DB = (14, 12, 10, 8, 6, 5, 4, 3, 2, 0)
ON_MS = OFF_MS = 50.0
SLIP_EVERY_MS = 100.0
CLICKS_A_SECOND = 10.0


def _keys(rng: np.random.Generator, n: int) -> Stimulus:
    return keyed(drawn(rng, n), rng, ON_MS, OFF_MS)


def _white(snr_db: float) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = _keys(rng, n)
        return through(keys, channel.add_noise(keys.samples, snr_db, rng, signal_power=TONE_POWER))

    return Condition(make)


def _voices(snr_db: float, *, many: bool) -> Condition:
    def make(rng: np.random.Generator, n: int, corpus: Path | None) -> Stimulus:
        keys = _keys(rng, n)
        background = (speech.babble if many else speech.one_talker)(corpus, len(keys.samples), rng)
        return through(keys, stimuli.mixed(keys.samples, background, snr_db))

    return Condition(make)


def _tones(over_db: float, *freqs_hz: float) -> Condition:
    return Condition(lambda rng, n, _: stimuli.with_tones(_keys(rng, n), over_db, *freqs_hz))


def _echo(delay_ms: float) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = _keys(rng, n)
        return through(keys, channel.add_echo(keys.samples, delay_ms, -10))

    return Condition(make)


def _clip(by_db: float) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = _keys(rng, n)
        return through(keys, channel.clip(keys.samples, by_db))

    return Condition(make)


def _slips(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
    return stimuli.slips(_keys(rng, n), rng, SLIP_EVERY_MS)


def _impulses(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
    keys = _keys(rng, n)
    return through(keys, channel.add_impulses(keys.samples, CLICKS_A_SECOND, rng))


def _clock(ratio: float) -> Condition:
    return Condition(lambda rng, n, _: stimuli.clock(_keys(rng, n), ratio))


def conditions() -> Mapping[str, Condition]:
    """Return the conditions by name."""
    table = {f"white noise, SNR {snr_db} dB": _white(snr_db) for snr_db in SNR_DB}
    table |= {f"babble of six, {snr_db} dB": _voices(snr_db, many=True) for snr_db in (10, 5)}
    table["one talker, 10 dB"] = _voices(10, many=False)
    table |= {
        f"hum {freq_hz} Hz, {over_db:+d} dB": _tones(over_db, freq_hz) for freq_hz in (50, 60) for over_db in (0, 6, 12)
    }
    table["dial tone 350+440 Hz, +10 dB"] = _tones(10, 350, 440)
    table["dial tone 425 Hz, +10 dB"] = _tones(10, 425)
    table |= {f"echo {delay_ms} ms, -10 dB": _echo(delay_ms) for delay_ms in (10, 20)}
    table |= {f"clipped by {by_db} dB": _clip(by_db) for by_db in (6, 12)}
    table |= {f"clock {100 * ratio:+.1f} %": _clock(ratio) for ratio in (0.01, -0.01, 0.015, -0.015)}
    table["slips of 8 samples, one each 100 ms"] = Condition(_slips)
    table["clicks, ten a second"] = Condition(_impulses)
    return table


SUITE = recall_suite("noise", "Noise, voices, hum, echo, clipping, clocks (50/50 ms)", conditions)
