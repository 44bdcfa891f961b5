"""``<Record>`` whatever happens on its call, in any order: it ends once, holds nothing longer, and keeps no key."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from engine.dialects.twiml.commands import Parameters, StartRecord
from engine.dialects.twiml.verbs import Record
from engine.programs.context import ProgramContext
from engine.programs.record import RecordVerb
from tests.support.payments import SlidingClock
from tests.support.recording_scene import RecordingScene, recording_config, silence, speech

KEYS = "0123456789*#ABCD"
Step = tuple[str, int]
STEPS = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 30)),
    st.tuples(st.just("quiet"), st.integers(1, 60)),
    st.tuples(st.just("press"), st.integers(0, 15)),
    st.tuples(st.sampled_from(["release", "beeped", "settle", "hang_up", "stop"]), st.just(0)),
    st.tuples(st.just("press_unheard"), st.sampled_from([-1, 16, 11])),
)


class NoLedger:
    """Takes what is noted of recordings."""

    def __init__(self) -> None:
        self.recordings = self
        self.noted: dict[str, str] = {}

    async def begin(self, recording_id: str, **_: Any) -> None:
        self.noted[recording_id] = "in-progress"

    async def finish(self, recording_id: str, *, status: str, **_: Any) -> bool:
        self.noted[recording_id] = status
        return True


class Case:
    """A verb on a call that hears every key as a call would: a tone first, told once it is known."""

    def __init__(self, directory: Path, finish_on_key: str, beep: bool) -> None:
        self.ledger = NoLedger()
        self.scene = RecordingScene(directory, cast(Any, self.ledger), SlidingClock())
        self.call = self.scene.call
        self.told: list[Parameters] = []
        self.stopped = self.is_down = False
        context = ProgramContext(
            **(
                cast(Any, dict.fromkeys(ProgramContext.__dataclass_fields__))
                | {"config": recording_config(directory), "recordings": self.scene.recordings}
            )
        )
        record = Record(finish_on_key=finish_on_key, play_beep=beep, timeout_s=30, max_length_s=10)
        command = StartRecord(token=1, record=record, base_url="")
        self.verb = RecordVerb(command, cast(Any, self.call), context, "", self.told.append)

    def hear(self, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        one = self.scene.recordings.of_call(self.call.facts.call_id)
        if one is not None:
            one._recording.hold(self.call.recording_holds > 0)
            self.scene.hear(samples, one)

    async def step(self, name: str, value: int) -> None:
        verb = self.verb
        if name == "say":
            self.hear(speech(value / 10))
        elif name == "quiet":
            self.hear(silence(value / 10))
        elif name == "press" and not self.is_down:
            self.is_down = True
            self.hear(generate(KEYS[value], on_ms=60, off_ms=0))
            verb.digit(value, 0.0)
            self.hear(generate(KEYS[value], on_ms=100, off_ms=0))
        elif name == "press_unheard":
            verb.digit(value, 0.0)
        elif name == "release":
            self.is_down = False
            verb.digit_ended(0.0)
            self.hear(silence(0.2))
        elif name == "beeped" and self.call.tokens:
            verb.play_finished(self.call.tokens[-1], False, 0.0)
        elif name == "settle":
            await self.scene.settle()
        elif name == "hang_up":
            for companion in list(self.call.companions):
                companion.hang_up(0.0)
            verb.hang_up(0.0)
        elif name == "stop":
            self.stopped = self.stopped or not self.told
            verb.stop(0.0)


async def run(directory: Path, steps: list[Step], finish_on_key: str, beep: bool) -> None:
    case = Case(directory, finish_on_key, beep)
    case.verb.start(0.0)
    for name, value in steps:
        await case.step(name, value)
        assert len(case.told) <= 1
        assert case.call.recording_holds in (0, 1)
    case.is_down = False
    case.verb.digit_ended(0.0)
    await case.step("hang_up", 0)
    await case.scene.settle()
    await case.verb.done()
    assert len(case.told) == (0 if case.stopped else 1), "told once, but when it was stopped before"
    assert case.call.recording_holds == 0
    assert "in-progress" not in case.ledger.noted.values()
    assert case.call.companions == []
    for path in directory.glob("RE*"):
        assert path.suffix == ".wav"
        samples = np.fromfile(path, dtype="<i2")[22:]
        assert DtmfDetector(SENSITIVE).process(np.ascontiguousarray(samples)) == []
    for parameters in case.told:
        if parameters:
            sid = dict(parameters)["RecordingSid"]
            assert (directory / f"{sid}.wav").is_file()
    case.scene.recorder.stop()


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=12),
    finish_on_key=st.sampled_from(["", "#", "1234567890*#"]),
    beep=st.booleans(),
)
def test_whatever_happens_it_ends_once_and_keeps_no_key(steps: list[Step], finish_on_key: str, beep: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory), steps, finish_on_key, beep))
