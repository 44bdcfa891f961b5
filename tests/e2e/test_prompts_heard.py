"""What callers hear, in three languages and both G.711 laws: each prompt, whole, in its order, at its time.

An engine and a softphone in processes of their own; what the softphone heard is held against the clips that the engine
rendered, sample by sample, and against the same prompts of another language.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from prompts.catalog import Catalog
from prompts.clip import Clip
from prompts.mastering import KEEP_AFTER_MS
from prompts.render import check_store
from prompts.store import PromptStore
from tests.support.caller import PROMPT, VISA, expiry
from tests.support.engine import RunningEngine, running_engine
from tests.support.hearing import DISPLACED_S, HEARD_SCORE, Match, decoded, find, read_recording, share_heard
from tests.support.speech import needs_espeak

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

# Locale, codec, and a language that must not be heard.
CALLS = (("de-DE", "PCMU", "es-MX"), ("es-MX", "PCMA", "pl-PL"), ("pl-PL", "PCMU", "de-DE"))
WRONG = "4242424242424241#"
TOML = """
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

[form.payment]
amount = "25.00"
currency = "eur"
language = "LOCALE"
connector = "sandbox"
postal_code = false
timeout_s = 15.0

[[route]]
to = "pay"
form = "payment"

[log]
level = "debug"
"""
# What is played at each prompt of the call: the card number is keyed wrongly once.
HEARD = (
    ("payment-card-number",),
    ("error.invalid-card-number", "payment-card-number"),
    ("expiration-date",),
    ("security-code",),
    ("payment-processing",),
    ("payment-completed",),
)
KEYED = {"payment-card-number": [WRONG, f"{VISA}#"], "expiration-date": [expiry()], "security-code": ["123"]}
TICK_S = 0.02
PIECE_S = 0.1
"A sound is looked for in pieces so long where the whole does not fit: a stall costs one of them, or two."
RATE_HZ = 8000


@dataclass(slots=True)
class Heard:
    """A call as it was heard."""

    recording: Path
    steps: list[str] = field(default_factory=list)


async def listen(engine: RunningEngine, codec: str) -> Heard:
    """Call, hear each prompt to its end before keying, and return the recording."""
    heard = Heard(engine.directory / "heard.wav")
    entries = {step: list(keys) for step, keys in KEYED.items()}
    async with Softphone(backend=BackendName.NATIVE, codec=codec) as phone:
        await phone.record(str(heard.recording))
        await phone.call(engine.uri())
        over = asyncio.ensure_future(phone.wait_state(CallState.DISCONNECTED, timeout_s=120))
        position = 0
        while not over.done():
            if position == len(engine.lines):
                await asyncio.wait({over}, timeout=0.02)
                continue
            match = PROMPT.search(engine.lines[position])
            position += 1
            if match is None:
                continue
            heard.steps.append(match[2])
            if entries.get(match[2]):
                await phone.wait_for_prompt()
                await phone.keys(entries[match[2]].pop(0))
        await over
    # What was logged last may be read after the telephone knows that it is over.
    await engine.wait_for("call ended")
    heard.steps += [match[2] for line in engine.lines[position:] if (match := PROMPT.search(line))]
    return heard


async def clips_of(engine: RunningEngine, locale: str, store: PromptStore) -> dict[str, Clip]:
    """Return the clips that the engine rendered, out of its cache."""
    clips = {}
    for key in (key for group in HEARD for key in group):
        clip = await store.cached(key, locale)
        assert clip is not None, f"{locale} {key} was not rendered by the engine:\n{engine.log}"
        clips[key] = clip
    return clips


@needs_espeak
@pytest.mark.soak
@pytest.mark.asyncio
@pytest.mark.parametrize(("locale", "codec", "other"), CALLS)
async def test_every_prompt_is_heard_whole_in_order_and_in_its_language(
    tmp_path: Path, locale: str, codec: str, other: str
) -> None:
    async with running_engine(TOML.replace("LOCALE", locale), directory=tmp_path) as engine:
        heard = await listen(engine, codec)
        assert "result=success" in engine.log, engine.log
        assert f"prompts are ready locales={locale} done=29 of=29" in engine.log
    store = PromptStore.open(tmp_path / "prompt-cache")
    clips = await clips_of(engine, locale, store)
    assert await check_store(store, locale) == []
    await store.prepare(other)
    others = {key: store.default(key, other) for key in clips}
    await store.close()

    recording = read_recording(heard.recording)
    ended_s = len(recording) / RATE_HZ
    # The engine hangs up with the last prompt's last packet: what a telephone still buffers then is silence.
    recording = np.concatenate((recording, np.zeros(RATE_HZ // 2)))
    at_s = 0.0
    for group in HEARD:
        matches: list[Match] = []
        for key in group:
            sound = decoded(clips[key], codec)
            match = find(recording, sound, from_s=at_s - TICK_S)
            # Whole and sample by sample, unless the machine stood still for a moment.
            stalled = match.score < HEARD_SCORE
            assert not stalled or share_heard(recording, sound, match, piece_s=PIECE_S) >= 0.7, (key, match)
            matches.append(match)
            at_s = match.end_s
        for before, after in pairwise(matches):
            assert abs(after.begin_s - before.end_s) < DISPLACED_S, "clips of one prompt follow without a gap"
        if group is HEARD[0]:
            assert matches[0].begin_s < 2.0, "the caller is not kept waiting"
    assert at_s - ended_s <= KEEP_AFTER_MS / 1000 + DISPLACED_S, "no sound of the last prompt was cut off"
    foreign = {key: find(recording, decoded(clip, codec)).score for key, clip in others.items()}
    assert all(score < 0.5 for score in foreign.values()), foreign


def test_a_clip_is_found_where_it_is_and_only_there() -> None:
    noise = np.random.default_rng(1).normal(0, 1000, 8000)
    other = np.random.default_rng(2).normal(0, 1000, 8000)
    recording = np.concatenate((np.zeros(4000), noise, np.zeros(800), 0.5 * noise, np.zeros(4000)))
    first = find(recording, noise)
    assert (round(first.score, 6), first.begin_s, first.end_s) == (1.0, 0.5, 1.5)
    second = find(recording, noise, from_s=first.end_s)
    assert (round(second.score, 6), second.begin_s) == (1.0, 1.6)
    assert find(recording, other).score < 0.5
    assert find(recording, noise, from_s=second.end_s).score == 0.0
    damaged = recording.copy()
    damaged[4000:6000] = 0
    assert 0.8 < find(damaged[:13000], noise).score < HEARD_SCORE


def test_a_clip_that_was_stretched_by_a_stall_is_told_from_one_that_was_not_heard() -> None:
    sound = np.random.default_rng(1).normal(0, 1000, 24_000)
    stalled = np.concatenate((np.zeros(4000), sound[:9000], np.zeros(640), sound[9000:], np.zeros(4000)))
    match = find(stalled, sound)
    assert match.score < HEARD_SCORE
    assert share_heard(stalled, sound, match) == pytest.approx(5 / 6)
    other = np.random.default_rng(2).normal(0, 1000, 24_000)
    assert share_heard(stalled, sound, match, piece_s=PIECE_S) == pytest.approx(29 / 30)
    with_a_pause = np.concatenate((sound[:4000], np.zeros(4000), sound[4000:8000]))
    assert share_heard(with_a_pause, with_a_pause, find(with_a_pause, with_a_pause), piece_s=PIECE_S) == 1.0
    assert share_heard(stalled, other, find(stalled, other)) == 0.0
    cut_short = np.concatenate((sound[:12_000], np.zeros(20_000)))
    assert share_heard(cut_short, sound, find(cut_short, sound)) <= 0.5


def test_three_languages_differ_in_every_prompt() -> None:
    catalog = Catalog.load()
    for key in (key for group in HEARD for key in group):
        assert len({catalog.text(key, locale) for locale, _, _ in CALLS}) == 3
