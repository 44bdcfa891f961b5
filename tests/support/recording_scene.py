"""Recordings of calls between a recorder that is driven by hand, a ledger in memory and an outbox that only notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from engine.config import Config
from engine.ledger import Ledger
from engine.media.recorder import ManualRecorder
from engine.programs.call_recording import CallRecording
from engine.programs.recordings import Recordings
from tests.support.call_control import FakeCall
from tests.support.payments import SlidingClock
from tests.support.recording import read_recording

__all__ = (
    "ACCOUNT",
    "FRAME",
    "NotingOutbox",
    "RecordingScene",
    "Steps",
    "recording_config",
    "recording_scene",
    "silence",
    "speech",
)

ACCOUNT = "AC" + "a" * 32
FRAME = 160


def recording_config(directory: Path, **recording: Any) -> Config:
    return Config.model_validate(
        {
            "sip": {"listen": "udp:127.0.0.1:0"},
            "twilio": {"account_sid": ACCOUNT, "auth_token_env": "TEST_TWILIO_TOKEN"},
            "api": {"public_url": "https://pay.example.com", "listen": "127.0.0.1:0"},
            "recording": {"directory": str(directory), **recording},
        }
    )


def speech(seconds: float, *, level: int = 3000, seed: int = 1) -> NDArray[np.int16]:
    """Noise that comes and goes like syllables: no tone in it, and no key."""
    n = int(seconds * 8000)
    noise = np.random.default_rng(seed).normal(0.0, level, n)
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * 4.0 * np.arange(n) / 8000)
    return np.asarray(np.clip(noise * envelope, -32768, 32767), dtype=np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * 8000), np.int16)


class NotingOutbox:
    """Takes webhooks and keeps them."""

    def __init__(self) -> None:
        self.webhooks: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        "Session, parameters, how it is to be sent."

    async def enqueue(self, session: str, url: str, body: bytes, **how: Any) -> None:
        parameters = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True))
        self.webhooks.append((session, parameters, how | {"url": url}))

    @property
    def statuses(self) -> list[str]:
        return [parameters["RecordingStatus"] for _, parameters, _ in self.webhooks]


class Steps:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._asleep.set()
        await future

    async def step(self) -> None:
        """Wait until somebody sleeps, and let them go on."""
        async with asyncio.timeout(20.0):
            await self._asleep.wait()
        self._asleep.clear()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class RecordingScene:
    """What a test has at hand."""

    def __init__(self, directory: Path, ledger: Ledger, clock: SlidingClock, **recording: Any) -> None:
        self.directory = directory
        self.ledger = ledger
        self.clock = clock
        self.config = recording_config(directory, **recording)
        self.outbox = NotingOutbox()
        self.time = Steps()
        self.recorder = ManualRecorder(directory)
        self.recorder.start()
        self.recordings = Recordings(
            self.recorder,
            self.config,
            ledger=ledger,
            outbox=cast(Any, self.outbox),
            clock=clock,
            sleep=self.time.sleep,
        )
        self.call = FakeCall()

    def start(self, call: FakeCall | None = None, **how: Any) -> CallRecording:
        """Begin a recording of the scene's call, or of another one."""
        return self.recordings.start(cast(Any, call or self.call), **({"source": "OutboundAPI"} | how))

    def hear(self, samples: NDArray[np.int16], one: CallRecording | None = None) -> None:
        """Let the leg push what the caller says, and the recorder's threads keep up."""
        one = one or next(iter(self.recordings._by_path.values()))
        for start in range(0, len(samples) - FRAME + 1, FRAME):
            one._recording.tap.push(samples[start : start + FRAME].tobytes(), None)
            if start % (5 * FRAME) == 0:
                self.write()
        self.write()

    def write(self) -> None:
        self.recorder.move()
        self.recorder.write()

    async def settle(self) -> None:
        """Let the recorder complete what is closed, and all that follows from it come to pass."""
        for _ in range(3):
            self.write()
        self.recordings.drain()
        await self.recordings.idle()

    def audio(self, one: CallRecording) -> NDArray[np.int16]:
        """Return the caller's samples of a file that is ready."""
        channels, raw = read_recording(one.path)
        return np.ascontiguousarray(np.frombuffer(raw, dtype="<i2").reshape(-1, channels)[:, 0])


_ledger: list[bytes] = []
"An empty ledger with its tables, made once: to migrate costs more than most tests."


async def _open_ledger(path: Path, clock: SlidingClock) -> Ledger:
    if _ledger:
        path.write_bytes(_ledger[0])
        return await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock, migrate=False)
    await (await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock)).close()
    _ledger.append(path.read_bytes())
    return await _open_ledger(path, clock)


@asynccontextmanager
async def recording_scene(tmp_path: Path, **recording: Any) -> AsyncIterator[RecordingScene]:
    """Make a scene whose recordings lie in ``tmp_path/recordings``; ``recording`` are settings of ``[recording]``."""
    clock = SlidingClock()
    directory = tmp_path / "recordings"
    directory.mkdir(mode=0o700, exist_ok=True)
    ledger = await _open_ledger(tmp_path / "ledger.sqlite3", clock)
    scene = RecordingScene(directory, ledger, clock, **recording)
    try:
        yield scene
    finally:
        await scene.recordings.close()
        await ledger.close()
