"""Digits through codecs, alone and one behind the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.dtmf import codecs
from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.spandsp import load_spandsp
from benchmarks.dtmf.stimuli import Samples, Stimulus, drawn, idle_noise, keyed, through
from benchmarks.dtmf.suite import Condition, recall_suite
from dsp import channel

__all__ = ("SUITE", "conditions")

Codec = Callable[[Samples], Samples]


def _chain(*links: Codec) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = keyed(drawn(rng, n), rng, 50, 50)
        samples = idle_noise(keys.samples, rng)
        for link in links:
            samples = link(samples)
        return through(keys, samples)

    return Condition(make)


def _has_g726() -> bool:
    try:
        load_spandsp()
    except DetectorError:
        return False
    return True


def conditions() -> Mapping[str, Condition]:
    """Return the conditions by name; a codec that is not installed has none."""
    ulaw, alaw = channel.through_ulaw, channel.through_alaw
    table = {
        "G.711 mu-law": _chain(ulaw),
        "G.711 A-law": _chain(alaw),
        "mu-law, A-law, mu-law": _chain(ulaw, alaw, ulaw),
    }
    if "GSM610" in soundfile.available_subtypes("WAV"):
        table["GSM full rate"] = _chain(codecs.gsm)
        table["GSM full rate twice"] = _chain(codecs.gsm, codecs.gsm)
        table["A-law, GSM full rate, A-law"] = _chain(alaw, codecs.gsm, alaw)
    if _has_g726():
        for kbit_s in (16, 24, 32, 40):
            table[f"G.726 {kbit_s} kbit/s"] = _chain(partial(codecs.g726, bit_s=1000 * kbit_s))
        g726_32 = partial(codecs.g726, bit_s=32_000)
        table["mu-law, G.726 32 kbit/s, mu-law"] = _chain(ulaw, g726_32, ulaw)
    if "OPUS" in soundfile.available_subtypes("OGG"):
        for kbit_s in (8, 12, 16, 24):
            table[f"Opus {kbit_s} kbit/s"] = _chain(partial(codecs.opus, bit_s=1000 * kbit_s))
    return table


SUITE = recall_suite("codec", "Codecs (50/50 ms)", conditions)
