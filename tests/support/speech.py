"""Stand-ins for what speaks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prompts.clip import Clip
from prompts.errors import SynthesisError
from prompts.pieces import Speech, as_speech
from prompts.synth.protocol import Capabilities

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed: apt-get install espeak-ng"
)


class FakeSynthesizer:
    """Answers each text with a clip made from it, and counts; waits for ``gate`` when there is one."""

    identity = "fake"
    capabilities = Capabilities()

    def __init__(self) -> None:
        self.spoken: list[tuple[str, str, str]] = []
        self.gate: asyncio.Event | None = None
        self.failure: SynthesisError | None = None
        self.started = False
        self.closed = False
        self.audio: Callable[[str], bytes] = lambda text: text.encode() or b"\xff"

    async def start(self) -> None:
        self.started = True

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        text = as_speech(text).text
        self.spoken.append((text, locale, voice))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        audio = self.audio(text)
        return Clip(name="", pcmu=audio, pcma=audio[::-1])

    async def close(self) -> None:
        self.closed = True


class FakeReader:
    """Answers each file with its bytes."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.closed = False

    async def read(self, path: Path) -> Clip:
        self.paths.append(path)
        return Clip(name=path.name, pcmu=path.read_bytes(), pcma=path.read_bytes())

    async def close(self) -> None:
        self.closed = True
