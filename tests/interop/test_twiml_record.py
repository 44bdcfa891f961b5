"""``<Record>`` on calls of a real softphone: what the application is told, what is in the file, and after a crash."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import wave
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.support.api import authorization
from tests.support.caller import Script, pay
from tests.support.engine import running_engine
from tests.support.process import free_port
from tests.support.recording_scene import speech
from tests.support.twiml_app import ACCOUNT, TOKEN, TOKEN_ENV, TwimlApp, running_app, tone_wav, twilio_toml

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, pytest.mark.timeout(180)]

WAIT_S = 60.0
DOCUMENT = (
    "<Response><Record action='/recorded' timeout='{timeout}' maxLength='30' "
    "recordingStatusCallback='/status'/><Redirect>/nothing</Redirect></Response>"
)


def toml(app: TwimlApp) -> str:
    return twilio_toml(f"{app.url}/voice", more='[recording]\ndirectory = "recordings"\n')


def spoken(directory: Path, seconds: float) -> str:
    path = directory / f"speech-{seconds}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(speech(seconds).astype("<i2").tobytes())
    return str(path)


def heard(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getframerate()) == (1, 8000)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").copy()


@pytest.mark.parametrize("mode", [KeyMode.IN_BAND, KeyMode.TELEPHONE_EVENT])
async def test_a_key_a_hang_up_and_silence_end_recordings(tmp_path: Path, mode: KeyMode) -> None:
    async with running_app() as app:
        app.answers = {
            "/voice": DOCUMENT.format(timeout=20),
            "/recorded": "<Response><Pause length='2'/><Hangup/></Response>",
            "/nothing": "<Response><Hangup/></Response>",
        }
        async with running_engine(toml(app), directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            async with Softphone() as phone:
                await phone.call(engine.uri("shop"))
                await engine.wait_for("source=RecordVerb")
                await phone.play(spoken(tmp_path, 2.0))
                await phone.keys("5", mode=mode)
                told = await app.wait_for("/recorded")
                await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
            async with Softphone() as phone:
                await phone.call(engine.uri("shop"))
                await engine.wait_for("source=RecordVerb", count=2)
                await phone.play(spoken(tmp_path, 1.0))
                await phone.hang_up()
                hung_up = await app.wait_for("/recorded", count=2)
            app.answers["/voice"] = DOCUMENT.format(timeout=1)
            async with Softphone() as phone:
                await phone.call(engine.uri("shop"))
                await app.wait_for("/nothing")
                await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
            status = await app.wait_for("/status", count=2)
            rows = {row["recording_id"]: row["status"] for row in engine.ledger_rows("recordings")}
    assert app.forged == []
    assert told["Digits"] == "5"
    assert told["RecordingUrl"].endswith("/Recordings/" + told["RecordingSid"])
    assert 1 <= int(told["RecordingDuration"]) <= 3
    assert (hung_up["Digits"], hung_up["CallStatus"]) == ("hangup", "completed")
    assert status["RecordingStatus"] == "completed"
    assert sorted(rows.values()) == ["absent", "completed", "completed"]
    directory = tmp_path / "recordings"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert len(list(directory.iterdir())) == 2, "who said nothing has no file"
    for one in (told, hung_up):
        samples = heard(directory / f"{one['RecordingSid']}.wav")
        assert len(samples) >= 8000 * 0.8
        assert DtmfDetector(SENSITIVE).process(samples) == []
    assert "Digits" not in engine.log


async def test_a_recording_that_a_kill_cut_short_is_there_after_the_next_start(tmp_path: Path) -> None:
    async with running_app({"/voice": DOCUMENT.format(timeout=20)}) as app:
        async with (
            running_engine(toml(app), directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine,
            Softphone() as phone,
        ):
            await phone.call(engine.uri("shop"))
            await engine.wait_for("source=RecordVerb")
            await phone.play(spoken(tmp_path, 4.0))
            os.kill(engine.pid, signal.SIGKILL)
        assert list((tmp_path / "recordings").glob("*.part"))
        async with running_engine(toml(app), directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            (row,) = engine.ledger_rows("recordings")
    assert row["status"] == "completed"
    (path,) = (tmp_path / "recordings").iterdir()
    assert path.name == f"RE{row['recording_id']}.wav"
    assert len(heard(path)) >= 8000 * 2, "all but the last second and what was in the buffers"


async def test_a_recorded_call_with_a_payment_in_the_middle_holds_no_key(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    async with running_app() as app:
        app.files = {"/before.wav": tone_wav(600.0, 4.0), "/after.wav": tone_wav(500.0, 2.5)}
        app.answers = {
            "/voice": "<Response><Play>/before.wav</Play><Redirect>/pay</Redirect></Response>",
            "/pay": "<Response><Pay action='/done' chargeAmount='5'/></Response>",
            "/done": "<Response><Play>/after.wav</Play><Hangup/></Response>",
        }
        settings = twilio_toml(f"{app.url}/voice", api=listen, more='[recording]\ndirectory = "recordings"\n')
        async with (
            running_engine(settings, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine,
            aiohttp.ClientSession(headers=authorization((ACCOUNT, TOKEN))) as client,
        ):
            base = f"http://{listen}/2010-04-01/Accounts/{ACCOUNT}"
            paying = asyncio.ensure_future(pay(engine, Script.good(mode="in-band"), user="shop"))
            call_sid = (await app.wait_for("/voice"))["CallSid"]
            await engine.wait_for("call answered")
            begin = f"{base}/Calls/{call_sid}/Recordings.json"
            async with client.post(begin, data={"RecordingChannels": "dual"}) as answer:
                assert answer.status == 201
                sid = (await answer.json())["sid"]
            await paying
            assert (await app.wait_for("/done"))["Result"] == "success"
            await engine.wait_for("recording ended")
            async with client.get(f"{base}/Recordings/{sid}.wav") as answer:
                assert (answer.status, answer.content_type) == (200, "audio/x-wav")
                audio = await answer.read()
            (row,) = engine.ledger_rows("recordings")
    assert (row["status"], row["source"]) == ("completed", "StartCallRecordingAPI")
    both = np.frombuffer(audio[44:], dtype="<i2").reshape(-1, 2)
    for side in (0, 1):
        assert DtmfDetector(SENSITIVE).process(np.ascontiguousarray(both[:, side])) == []
    assert 5000 < row["paused_ms"] < row["duration_ms"]
    tenths = both[: len(both) // 800 * 800, 1].reshape(-1, 800).astype(float)
    loudest = [int(np.argmax(np.abs(np.fft.rfft(one)))) * 10 if np.any(one) else 0 for one in tenths]
    assert loudest.count(600) >= 35, "before the payment"
    assert loudest.count(500) >= 12, "and behind it"
