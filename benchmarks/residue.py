"""What is left of keys behind the mask: made, masked, and attacked.

    python -m benchmarks.residue [--keys 1000] [--seed 1] [--marked] [--untold] [--beyond] [--write]

Phones are drawn (level, twist, frequency error), each dials keys through a line (noise or voices, G.711, loss), what
arrives goes through `dsp.mask`, and what comes out is examined:

- receivers: ours with the profile `sensitive` and with every limit at its loosest, libspandsp and multimon-ng when they
  are installed; a digit counts when it is the key's own and begins within 60 ms of it;
- an attacker that knows when the keys were and which 16 there are: least squares of both tones in every window of 2, 3,
  5, 10 and 20 ms from 60 ms before to 60 ms behind each key. It guesses a digit for every key, and is compared with
  chance. It works on the output with silence: an attacker who knows the flat tone's level and phase gets no more than
  that, for where the tone is, nothing else is;
- the output's spectrum at the eight frequencies during a key, over the flat tone's own.

What counts as left: one sample of a key that is not what the mask puts there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.dtmf import corpus as corpora
from benchmarks.dtmf import detectors
from benchmarks.dtmf.errors import CorpusError, DetectorError
from benchmarks.dtmf.report import machine
from benchmarks.dtmf.score import Found, Key
from benchmarks.dtmf.speech import babble, one_talker
from dsp import channel
from dsp.dtmf import DIGITS, HIGH_HZ, LOW_HZ, RATE_HZ, SENSITIVE, DtmfDetector, DtmfKind, frequencies_hz, generate
from dsp.levels import peak_of_dbm0, power_of_db
from dsp.mask import DELAY_SAMPLES, FLAT_TONE_DBM0, FLAT_TONE_HZ, MaskFill, ToneMask

__all__ = ("Attack", "Case", "Recording", "Tally", "examine", "main", "recording", "through_mask")

Samples = NDArray[np.int16]
Wave = NDArray[np.float64]

WINDOWS = (16, 24, 40, 80, 160)
"Samples: 2, 3, 5, 10, 20 ms."
AROUND = 480
"Samples before and behind a key in which the attacker looks: 60 ms."
FRAME = 160
KEYS_PER_PHONE = 24
LEAD = 2400
CONFIDENCE = 0.9999
"Of the bound on chance: twelve guessers are looked at."
SPECTRUM_FLOOR_DBM0 = -70.0
"Excess is told over the flat tone's own energy and this: what rounding leaves is not a spectrum."
RESULT = Path(__file__).parent / "results" / "residue.json"
CORPUS = Path(__file__).parents[1] / ".." / "shared" / "corpora"
ANYTHING = replace(
    SENSITIVE,
    min_level_dbm0=-50.0,
    min_high_minus_low_db=-14.0,
    max_high_minus_low_db=14.0,
    frequency_tolerance=0.04,
    max_amplitude_step=1.0,
    min_score=-20.0,
    strong_score=-20.0,
    exact_score=-20.0,
)
"Every limit as loose as a profile may have it."

NOISES: tuple[tuple[str, float], ...] = (
    ("none", 0.0),
    ("idle", 0.0),
    ("white", 20.0),
    ("white", 15.0),
    ("white", 10.0),
    ("babble", 20.0),
    ("babble", 10.0),
    ("talker", 20.0),
    ("talker", 10.0),
)
"Kind, and dB that both tones together lie above it."
BEYOND: tuple[tuple[str, float], ...] = (
    ("white", 7.0),
    ("white", 4.0),
    ("babble", 7.0),
    ("babble", 5.0),
    ("talker", 5.0),
)
"More than what is asked for."
LOSSES: tuple[tuple[str, float, channel.Fill], ...] = (
    ("none", 0.0, channel.Fill.ZEROS),
    ("random", 0.01, channel.Fill.ZEROS),
    ("random", 0.01, channel.Fill.PLC),
    ("random", 0.05, channel.Fill.ZEROS),
    ("random", 0.05, channel.Fill.PLC),
    ("bursts", 0.05, channel.Fill.ZEROS),
    ("bursts", 0.05, channel.Fill.PLC),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A line: what is heard beside the keys, what codes them, what is lost."""

    noise: str
    snr_db: float
    law: str
    loss: str
    lost: float
    fill: channel.Fill

    @property
    def noise_name(self) -> str:
        """Return what a table calls the noise."""
        return self.noise if self.noise in ("none", "idle") else f"{self.noise} {self.snr_db:g} dB"

    @property
    def loss_name(self) -> str:
        """Return what a table calls the loss."""
        return "none" if self.loss == "none" else f"{self.loss} {100 * self.lost:g} % {self.fill}"


@dataclass(frozen=True, slots=True)
class Recording:
    """What arrives from one phone."""

    case: Case
    samples: Samples
    keys: tuple[Key, ...]
    lost: NDArray[np.bool_]
    "One for each 20 ms."


def cases(noises: Sequence[tuple[str, float]]) -> Iterator[Case]:
    """Yield every noise with every loss, the laws in turn, again and again."""
    turn = 0
    while True:
        for noise, snr_db in noises:
            for loss, lost, fill in LOSSES:
                yield Case(noise, snr_db, ("ulaw", "alaw")[turn % 2], loss, lost, fill)
                turn += 1
        turn += 1


def recording(case: Case, digits: Sequence[str], rng: np.random.Generator, corpus: Path | None) -> Recording:
    """Draw a phone and let it dial.

    The stronger tone has -36 to -3 dBm0, high minus low is -6 to +6 dB, each tone is off by up to 1.5 %; a third of the
    keys last 40 to 50 ms, the others up to 500, short ones more often; pauses last 220 to 420 ms.
    """
    twist = rng.uniform(-6, 6)
    low = rng.uniform(-36, -3) - max(0.0, twist)
    offsets = (float(rng.uniform(-0.015, 0.015)), float(rng.uniform(-0.015, 0.015)))
    parts = [np.zeros(LEAD, dtype=np.int16)]
    keys: list[Key] = []
    at = LEAD
    for digit in digits:
        on = rng.uniform(40, 50) if rng.random() < 1 / 3 else float(np.exp(rng.uniform(np.log(40), np.log(500))))
        made = generate(
            digit,
            level_dbm0=low,
            high_minus_low_db=twist,
            on_ms=on,
            off_ms=float(rng.uniform(220, 420)),
            frequency_offset=offsets,
            phase=(rng.uniform(0, 6.28), rng.uniform(0, 6.28)),
            ramp_ms=float(rng.choice([0.0, 1.0, 4.0])),
        )
        keys.append(Key(at, at + round(on * 8), digit))
        parts.append(made)
        at += len(made)
    x = np.concatenate(parts)
    x = np.concatenate([x, np.zeros(-len(x) % FRAME, dtype=np.int16)])
    power = (peak_of_dbm0(low) ** 2 + peak_of_dbm0(low + twist) ** 2) / 2
    x = _with_noise(x, case, power, rng, corpus)
    x = channel.through_alaw(x) if case.law == "alaw" else channel.through_ulaw(x)
    lost = np.zeros(len(x) // FRAME, dtype=np.bool_)
    if case.loss == "random":
        x, lost = channel.lose_frames(x, case.lost, rng, fill=case.fill)
    elif case.loss == "bursts":
        x, lost = channel.lose_bursts(x, case.lost, rng, fill=case.fill)
    return Recording(case, x, tuple(keys), lost)


def _with_noise(x: Samples, case: Case, power: float, rng: np.random.Generator, corpus: Path | None) -> Samples:
    if case.noise == "none":
        return x
    if case.noise == "idle":
        return channel.add_idle_noise(x, -65.0, rng)
    if case.noise == "white":
        return channel.add_noise(x, case.snr_db, rng, signal_power=power)
    voice = (babble if case.noise == "babble" else one_talker)(corpus, len(x), rng)
    out: Samples = np.clip(np.rint(x + voice * np.sqrt(power / power_of_db(case.snr_db))), -32768, 32767).astype(
        np.int16
    )
    return out


def through_mask(made: Recording, fill: MaskFill, *, marked: bool = False, told: bool = True) -> Samples:
    """Return a recording as it leaves the mask, the mask's delay taken out.

    `told`: the mask is told which frames were lost, as the media plane does. `marked`: it gets the detector's marks
    too, each as soon as the detector says so.
    """
    mask = ToneMask(fill=fill)
    marks = Marks(mask) if marked else None
    parts = []
    for index, at in enumerate(range(0, len(made.samples), FRAME)):
        piece = made.samples[at : at + FRAME]
        gone = bool(made.lost[index])
        if marks:
            marks.hear(FRAME if gone else piece)
        if gone and told:
            mask.concealed(at, at + FRAME)
        parts.append(mask.process(piece))
    return np.concatenate([*parts, mask.flush()])[DELAY_SAMPLES:]


class Marks:
    """A detector beside the mask, as in the media plane: what it suspects is marked as soon as it says so."""

    def __init__(self, mask: ToneMask) -> None:
        self._mask = mask
        self._detector = DtmfDetector(SENSITIVE, provisional=True)
        self._open = -1

    def hear(self, piece: Samples | int) -> None:
        """Take the samples that the mask gets next, or the number of those that were lost."""
        for event in self._detector.lost(piece) if isinstance(piece, int) else self._detector.process(piece):
            if event.end is None and event.kind is not DtmfKind.WITHDRAWN:
                self._open = max(0, event.start)
                self._mask.mark(self._open)
            elif self._open >= 0:
                self._mask.mark(self._open, max(self._open, event.start, event.end or 0))
                self._open = -1


class Attack:
    """Least squares of two tones in every short window around a key."""

    def __init__(self) -> None:
        self._bases = {n: np.concatenate([_basis(n, digit) for digit in DIGITS], axis=1) for n in WINDOWS}

    def guess(self, samples: Samples, key: Key, n: int) -> tuple[str, str] | None:
        """Return the digit of the loudest window, and of the one that two tones explain best; None: all is silent."""
        first, last = max(0, key.start - AROUND), min(len(samples), key.end + AROUND)
        x = samples[first:last].astype(np.float64)
        if not x.any():
            return None
        windows = np.lib.stride_tricks.sliding_window_view(x, n)[:: max(2, n // 5)]
        energy = np.einsum("ij,ij->i", windows, windows)
        heard = energy > n  # more than rounding
        if not heard.any():
            return None
        windows, energy = windows[heard], energy[heard]
        explained = np.square(windows @ self._bases[n]).reshape(-1, 16, 4).sum(axis=2)
        loudest = explained.max(axis=1).argmax()
        purest = (explained.max(axis=1) / energy).argmax()
        return DIGITS[explained[loudest].argmax()], DIGITS[explained[purest].argmax()]


def _basis(n: int, digit: str) -> Wave:
    t = np.arange(n) / RATE_HZ
    columns = [f(2 * np.pi * hz * t) for hz in frequencies_hz(digit) for f in (np.cos, np.sin)]
    return np.linalg.qr(np.stack(columns, axis=1))[0]


@dataclass(slots=True)
class Tally:
    """Counts of a group of keys."""

    keys: int = 0
    left: int = 0
    "Keys of which a sample is left."
    decoded: Counter[str] = field(default_factory=Counter)
    "By receiver and fill: keys whose own digit it heard."
    others: Counter[str] = field(default_factory=Counter)
    "Digits that it heard besides: noise and voices taken for keys."
    guessed: Counter[str] = field(default_factory=Counter)
    "By window and choice."
    silent: int = 0
    "Keys around which nothing at all was heard."
    excess_db: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another group's keys too."""
        self.keys += other.keys
        self.left += other.left
        self.silent += other.silent
        for mine, theirs in (
            (self.decoded, other.decoded),
            (self.others, other.others),
            (self.guessed, other.guessed),
        ):
            mine.update(theirs)
        self.excess_db += other.excess_db

    def bound(self) -> float:
        """Return the most keys that chance guesses, but once in 10,000."""
        return float(binom.ppf(CONFIDENCE, self.keys, 1 / len(DIGITS))) if self.keys else 0.0

    def row(self) -> dict[str, Any]:
        """Return it as plain figures."""
        excess = np.array(self.excess_db or [0.0])
        return {
            "keys": self.keys,
            "left": self.left,
            "decoded": dict(self.decoded),
            "other_digits": dict(self.others),
            "guessed": dict(self.guessed),
            "guessed_most": max(self.guessed.values(), default=0),
            "chance_bound": self.bound(),
            "silent": self.silent,
            "excess_db_median": round(float(np.median(excess)), 2),
            "excess_db_99.9": round(float(np.quantile(excess, 0.999)), 2),
        }


class Receivers:
    """Every receiver there is."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._outside: list[detectors.Detector] = []
        for name in ("spandsp", "multimon"):
            try:
                self._outside.append(detectors.make(name))
            except DetectorError as error:
                self.missing.append(str(error))

    def hear(self, samples: Samples) -> Iterator[tuple[str, list[Found]]]:
        """Yield each receiver's name and what it found, with the position it began at when it tells."""
        for name, profile in (("sensitive", SENSITIVE), ("anything", ANYTHING)):
            ours = DtmfDetector(profile)
            events = ours.process(samples) + ours.flush()
            yield name, [Found(event.digit, event.start) for event in events if event.end is None]
        for outside in self._outside:
            yield outside.name, outside.detect(detectors.cut(samples))


def examine(
    made: Recording, attack: Attack, receivers: Receivers | None, rng: np.random.Generator, **how: bool
) -> Tally:
    """Mask a recording both ways and attack what comes out."""
    tally = Tally(keys=len(made.keys))
    silence = through_mask(made, MaskFill.SILENCE, **how)
    tone = through_mask(made, MaskFill.TONE, **how)
    arrived = ~np.repeat(made.lost, FRAME)  # what was made up for a key that did not come is none of it
    for key in made.keys:
        tally.left += bool(silence[key.start : key.end][arrived[key.start : key.end]].any())
        heard = False
        for n in WINDOWS:
            found = attack.guess(silence, key, n)
            heard = heard or found is not None
            guess = found or (DIGITS[int(rng.integers(16))],) * 2
            for choice, digit in zip(("loudest", "purest"), guess, strict=True):
                tally.guessed[f"{n / 8:g} ms {choice}"] += digit == key.digit
        tally.silent += not heard
        tally.excess_db += _excess_db(tone[key.start : key.end])
    for fill, samples in (("silence", silence), ("tone", tone)):
        for name, heard_digits in receivers.hear(samples) if receivers else ():
            own = _own(made.keys, heard_digits)
            tally.decoded[f"{name}, {fill}"] += own
            tally.others[f"{name}, {fill}"] += len(heard_digits) - own
    return tally


def _own(keys: Sequence[Key], found: Sequence[Found]) -> int:
    """Count digits that are a key's own and begin near it; one without a time counts always."""
    own = 0
    for digit, at in ((f.digit, f.at) for f in found):
        near = [key for key in keys if at is None or key.start - AROUND <= at <= key.end + AROUND + FRAME]
        own += any(at is None or key.digit == digit for key in near)
    return own


HANN = np.hanning(FRAME + 2)[1:-1]
SPECTRUM = np.exp(-2j * np.pi * np.outer(np.arange(FRAME), (*LOW_HZ, *HIGH_HZ)) / RATE_HZ) * HANN[:, None]


def _flat_power() -> Wave:
    """Return the most energy that the flat tone itself has at the eight frequencies, by phase, and the floor."""
    phases = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    tone = peak_of_dbm0(FLAT_TONE_DBM0) * np.sin(2 * np.pi * FLAT_TONE_HZ * np.arange(FRAME) / RATE_HZ + phases)
    floor = (peak_of_dbm0(SPECTRUM_FLOOR_DBM0) * HANN.sum() / 2) ** 2
    power: Wave = np.square(np.abs(tone @ SPECTRUM)).max(axis=0) + floor
    return power


FLAT_POWER = _flat_power()


def _excess_db(samples: Samples) -> list[float]:
    """Return, of each 20 ms, how far the most conspicuous of the eight frequencies stands above the flat tone's own."""
    if len(samples) < FRAME:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), FRAME)[:: FRAME // 2]
    out: list[float] = (10 * np.log10((np.square(np.abs(windows @ SPECTRUM)) / FLAT_POWER).max(axis=1) + 1e-9)).tolist()
    return out


def false_masking(corpus: Path, *, marked: bool) -> dict[str, float]:
    """Return the share of each corpus without keys that the mask takes out."""
    taken: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    for item in corpora.talkoff(corpus):
        mask = ToneMask()
        marks = Marks(mask) if marked else None
        for block in corpora.blocks(item.path):
            for at in range(0, len(block), FRAME):
                if marks:
                    marks.hear(block[at : at + FRAME])
                mask.process(block[at : at + FRAME])
        taken[f"{item.kind}: {item.corpus}"] += mask.position
        masked[f"{item.kind}: {item.corpus}"] += mask.masked_samples
    return {name: round(masked[name] / taken[name], 5) for name in sorted(taken)}


def _print(title: str, groups: dict[str, Tally]) -> None:
    print(f"\n{title:<24}{'keys':>7}{'left':>6}{'decoded':>9}{'guessed':>9}{'chance':>8}{'bound':>7}  excess dB")
    for name, tally in groups.items():
        row = tally.row()
        print(
            f"{name:<24}{tally.keys:>7}{tally.left:>6}{max(tally.decoded.values(), default=0):>9}"
            f"{row['guessed_most']:>9}{tally.keys / 16:>8.0f}{row['chance_bound']:>7.0f}"
            f"  {row['excess_db_median']:.1f}, {row['excess_db_99.9']:.1f}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when a digit was decoded or the attacker guessed beyond chance."""
    parser = argparse.ArgumentParser(description="What is left of keys behind the mask.")
    parser.add_argument("--keys", type=int, default=1000, help="of each of the 16 digits")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="voices; without it espeak-ng or a model")
    parser.add_argument("--marked", action="store_true", help="the mask gets the detector's marks too")
    parser.add_argument("--untold", action="store_true", help="the mask is not told of losses")
    parser.add_argument("--beyond", action="store_true", help="more noise than is asked for")
    parser.add_argument("--quick", action="store_true", help="without the receivers")
    parser.add_argument("--speech", action="store_true", help="also what is masked of audio without keys")
    parser.add_argument("--write", action="store_true", help=f"to {RESULT.name}")
    chosen = parser.parse_args(arguments)
    corpus: Path | None = chosen.corpus if chosen.corpus.is_dir() else None
    rng = np.random.default_rng(chosen.seed)
    dialled = [DIGITS[i] for i in rng.permutation(np.repeat(np.arange(16), chosen.keys))]
    guesser = np.random.default_rng((chosen.seed, 1))  # of its own, so that the keys are the same whatever is left
    attack, receivers = Attack(), None if chosen.quick else Receivers()
    total = Tally()
    by_noise: dict[str, Tally] = {}
    by_loss: dict[str, Tally] = {}
    began = time.perf_counter()
    how = {"marked": chosen.marked, "told": not chosen.untold}
    for at, case in zip(
        range(0, len(dialled), KEYS_PER_PHONE), cases(BEYOND if chosen.beyond else NOISES), strict=False
    ):
        made = recording(case, dialled[at : at + KEYS_PER_PHONE], rng, corpus)
        tally = examine(made, attack, receivers, guesser, **how)
        total.add(tally)
        by_noise.setdefault(case.noise_name, Tally()).add(tally)
        by_loss.setdefault(case.loss_name, Tally()).add(tally)
    _print("all", {"": total})
    _print("noise", by_noise)
    _print("loss", by_loss)
    print("\nguessed:", ", ".join(f"{name} {n}" for name, n in sorted(total.guessed.items())))
    print("decoded:", ", ".join(f"{name} {n}" for name, n in total.decoded.items()))
    print("digits that are no key's:", ", ".join(f"{name} {n}" for name, n in total.others.items()))
    print(f"{time.perf_counter() - began:.0f} s", *(receivers.missing if receivers else ()), sep="; ")
    speech: dict[str, float] = {}
    if chosen.speech and corpus:
        try:
            speech = false_masking(corpus, marked=chosen.marked)
        except CorpusError as error:
            print(error)
        for name, share in speech.items():
            print(f"{name:<32}{100 * share:>8.2f} % masked")
    if chosen.write:
        RESULT.write_text(
            json.dumps(
                {
                    "machine": machine(),
                    "method": {"keys": chosen.keys, "seed": chosen.seed, "beyond": chosen.beyond} | how,
                    "all": total.row(),
                    "noise": {name: tally.row() for name, tally in by_noise.items()},
                    "loss": {name: tally.row() for name, tally in by_loss.items()},
                    "masked_without_keys": speech,
                },
                indent=1,
            )
            + "\n"
        )
    return int(bool(sum(total.decoded.values())) or max(total.guessed.values(), default=0) > total.bound())


if __name__ == "__main__":
    raise SystemExit(main())
