"""The synthesiser of ``examples/synthesizer_http.py`` against a service on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from dsp import g711, meter
from prompts.catalog import Catalog
from prompts.errors import SynthesisError
from prompts.mastering import TARGET_DBOV
from prompts.synth.factory import guarded
from prompts.synth.pool import WorkerPool
from prompts.synth.protocol import Synthesizer

pytestmark = pytest.mark.asyncio
EXAMPLE = Path(__file__).parents[3] / "examples" / "synthesizer_http.py"
CATALOG = Catalog.load()


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthesizer_http", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wav(rate_hz: int = 24_000) -> bytes:
    tone = 0.05 * np.sin(2 * np.pi * 440 * np.arange(2 * rate_hz) / rate_hz)
    file = io.BytesIO()
    soundfile.write(file, tone, rate_hz, format="WAV")
    return file.getvalue()


class Service:
    """Answers each request with ``status`` and ``body``, and keeps what it was asked; ``mute`` answers nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.status = "200 OK"
        self.body = wav()
        self.mute = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        size = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:"))
        self.asked.append((head, (await reader.readexactly(size)).decode("utf-8")))
        if not self.mute:
            writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n\r\n".encode() + self.body)
            await writer.drain()
        else:
            await reader.read()
        writer.close()


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/speech"
    yield service
    server.close()
    await server.wait_closed()


def speaker(service: Service, timeout_s: float = 10.0) -> Synthesizer:
    inner = example().HttpSynthesizer(service.url, key="k3y", voices={"de-DE": "anna"}, allow_insecure=True)
    return guarded(inner, timeout_s=timeout_s)(WorkerPool(), CATALOG)


async def test_a_text_is_spoken_at_the_level_of_all_prompts(service: Service) -> None:
    synthesizer = speaker(service)
    clip = await synthesizer.synthesize("Bitte warten & hören.", locale="de-DE", voice="")
    assert meter.active_level_dbov(g711.ulaw_decode(clip.pcmu), 8000) == pytest.approx(TARGET_DBOV, abs=1.0)
    ((head, body),) = service.asked
    assert "authorization: bearer k3y" in head.lower()
    assert "x-voice: anna" in head.lower()
    assert body == "<speak>Bitte warten &amp; hören.</speak>"
    assert "k3y" not in synthesizer.identity
    await synthesizer.close()


async def test_markup_reaches_the_service_as_ssml(service: Service) -> None:
    synthesizer = speaker(service)
    markup = '<speak>Wait <break time="1s"/><prosody rate="80%">here</prosody></speak>'
    await synthesizer.synthesize(markup, locale="en-US", voice="")
    assert service.asked[0][1] == '<speak>Wait<break time="1000ms"/><prosody rate="80%">here</prosody></speak>'
    await synthesizer.close()


async def test_more_than_four_digits_never_leave_this_machine(service: Service) -> None:
    synthesizer = speaker(service)
    for text in ("It ends in 42424.", "It ends in four, two, four, two, four.", "<speak>42<break/>424</speak>"):
        with pytest.raises(SynthesisError, match="digits in a row"):
            await synthesizer.synthesize(text, locale="en-US", voice="")
    assert service.asked == []
    await synthesizer.synthesize("It ends in 4242.", locale="en-US", voice="")
    assert len(service.asked) == 1
    await synthesizer.close()


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        ("500 Oops", b"", "the speech service answered 500"),
        ("200 OK", b"<html>no audio</html>", "what the synthesiser sent is no audio"),
        ("200 OK", b"", "what the synthesiser sent is no audio"),
        ("200 OK", wav(96_000), "the synthesiser sent audio at 96000 Hz"),
        ("302 Found", b"", "the speech service: "),
    ],
)
async def test_an_answer_that_is_no_audio_is_an_error_without_the_text(
    service: Service, status: str, body: bytes, complaint: str
) -> None:
    service.status, service.body = status, body
    synthesizer = speaker(service)
    with pytest.raises(SynthesisError, match=complaint) as caught:
        await synthesizer.synthesize("Never repeat this.", locale="en-US", voice="")
    assert "repeat" not in str(caught.value)
    await synthesizer.close()


async def test_a_service_that_does_not_answer_is_given_up_in_time(service: Service) -> None:
    service.mute = True
    synthesizer = speaker(service, timeout_s=0.2)
    with pytest.raises(SynthesisError, match=r"did not answer within 0\.2 s"):
        await synthesizer.synthesize("Hello", locale="en-US", voice="")
    await synthesizer.close()


async def test_a_service_that_is_not_there_is_told(service: Service) -> None:
    service.url = "http://127.0.0.1:1/"
    synthesizer = speaker(service)
    with pytest.raises(SynthesisError, match="the speech service: "):
        await synthesizer.synthesize("Hello", locale="en-US", voice="")
    await synthesizer.close()
