"""However audio is cut, the mask gives the same; whatever comes, it gives as much as it takes.

And what it was told to keep never leaves, whatever the order of calls; nor what a loss leaves of a key.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.channel import add_idle_noise, add_noise
from dsp.levels import peak_of_dbm0
from dsp.mask import DELAY_SAMPLES, MaskFill, ToneMask
from tests.support.tones import key, keys, silence


def _audio() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    rng = np.random.default_rng(3)
    clean = np.concatenate([keys("1A*0#55D", 50, 45, rng), keys("90", 23, 130, rng), silence(40)])
    return add_noise(clean, 12, rng, signal_power=peak_of_dbm0(-9) ** 2)


AUDIO = _audio()
WHOLE = ToneMask().process(AUDIO)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=60))
def test_any_cut_gives_the_same_audio(cuts: list[int]) -> None:
    mask = ToneMask()
    assert np.array_equal(np.concatenate([mask.process(part) for part in np.split(AUDIO, sorted(cuts))]), WHOLE)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from("0123456789*#ABCD"),
    st.integers(160, 4000),
    st.integers(0, 1000),
    st.floats(-29, 0),
    st.floats(-12, 9),
    st.floats(-0.025, 0.025),
    st.floats(-0.025, 0.025),
    st.integers(0, 2**32 - 1),
)
def test_of_any_key_no_sample_is_left(
    digit: str, n: int, lead: int, level: float, twist: float, low_offset: float, high_offset: float, seed: int
) -> None:
    low = min(max(level, -35 - min(twist, 0)), -max(twist, 0))
    made = key(
        digit,
        n / 8,
        low_dbm0=low,
        high_dbm0=low + twist,
        low_offset=low_offset,
        high_offset=high_offset,
        rng=np.random.default_rng(seed),
    )
    mask = ToneMask(fill=MaskFill.SILENCE)
    out = mask.process(np.concatenate([np.zeros(lead, dtype=np.int16), made]))
    out = np.concatenate([out, mask.flush()])[DELAY_SAMPLES:]
    assert not out[lead : lead + n].any()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["audio", "mark", "close", "on", "off"]), st.integers(0, 3000), st.integers(0, 3000)),
        max_size=30,
    ),
    st.integers(0, 2**32 - 1),
)
def test_marked_samples_never_leave_whatever_the_order(plan: list[tuple[str, int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ToneMask(fill=MaskFill.SILENCE)
    secret: set[int] = set()
    out = []
    taken = 0
    for what, a, b in plan:
        if what == "audio":
            out.append(mask.process(rng.integers(1, 32768, a).astype(np.int16)))
            taken += a
        elif what == "mark" and mask.enabled:
            mask.mark(a, a + b)
            # What has left the line cannot be called back.
            secret |= set(range(max(a, taken - DELAY_SAMPLES), a + b))
        elif what in {"on", "off"}:
            mask.enabled = what == "on"
    out.append(mask.flush())
    y = np.concatenate(out)[DELAY_SAMPLES:]
    assert len(y) == taken
    assert not y[[at for at in secret if at < taken]].any()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["audio", "mark", "hold", "release", "made up", "on", "off"]),
            st.integers(0, 2000),
            st.integers(0, 1500),
        ),
        max_size=30,
    ),
    st.integers(0, 2**32 - 1),
)
def test_nothing_leaves_that_came_in_or_waited_while_held(plan: list[tuple[str, int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ToneMask(fill=MaskFill.SILENCE)
    secret = np.zeros(80_000, dtype=bool)
    out = []
    taken = 0
    for what, a, b in plan:
        if what == "audio":
            out.append(mask.process(rng.integers(1, 32768, a).astype(np.int16)))
            secret[taken : taken + a] |= mask.holding
            taken += a
        elif what == "mark":
            mask.mark(a, a + b)
        elif what == "made up":
            mask.concealed(taken + a % 100, taken + a % 100 + b)
        elif what == "hold":
            mask.hold(True)
            secret[max(0, taken - DELAY_SAMPLES) : taken] = True
        elif what == "release":
            mask.hold(False)
        else:
            mask.enabled = what == "on"
    mask.hold(False)
    out.append(mask.flush())
    y = np.concatenate(out)[DELAY_SAMPLES:]
    assert len(y) == taken
    assert not y[secret[:taken]].any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 7999), max_size=40), st.lists(st.booleans(), min_size=50, max_size=50))
def test_told_of_losses_any_cut_gives_the_same_audio(cuts: list[int], lost: list[bool]) -> None:
    def run(at: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        mask = ToneMask()
        # Told a frame at a time, right before it; pieces end there too.
        bounds = sorted({*at, *range(0, 8000, 160), 8000})
        out = []
        for start, end in pairwise(bounds):
            if start % 160 == 0 and lost[start // 160]:
                mask.concealed(start, start + 160)
            out.append(mask.process(AUDIO[start:end]))
        return np.concatenate(out)

    assert np.array_equal(run(cuts), run([]))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from("0123456789*#ABCD"),
    st.integers(320, 2400),
    st.integers(1600, 1760),
    st.floats(-36, -3),
    st.floats(-6, 6),
    st.floats(-0.015, 0.015),
    st.floats(-0.015, 0.015),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_of_a_key_cut_by_losses_no_splinter_is_left(
    digit: str,
    n: int,
    lead: int,
    level: float,
    twist: float,
    low_offset: float,
    high_offset: float,
    losses: list[bool],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    low = level - max(0.0, twist)
    made = key(
        digit, n / 8, low_dbm0=low, high_dbm0=low + twist, low_offset=low_offset, high_offset=high_offset, rng=rng
    )
    x = np.concatenate([np.zeros(lead, dtype=np.int16), made, np.zeros(30 * 160 - lead - n, dtype=np.int16)])
    x = add_idle_noise(x, -65, rng)
    mask = ToneMask(fill=MaskFill.SILENCE)
    out = []
    arrived = np.ones(len(x), dtype=bool)
    for index, at in enumerate(range(0, len(x), 160)):
        if losses[index]:
            mask.concealed(at, at + 160)
            x[at : at + 160] = 0
            arrived[at : at + 160] = False
        out.append(mask.process(x[at : at + 160]))
    y = np.concatenate([*out, mask.flush()])[DELAY_SAMPLES:]
    left = np.flatnonzero(arrived[lead : lead + n] & (y[lead : lead + n] != 0))
    # A millisecond is heard as a click.
    assert len(left) < 8
