"""baresip 1.0 as a caller, driven over its TCP control port (JSON in netstrings)."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.process import Program, free_port
from tests.support.recording import Samples, key_tones

__all__ = ("MODULES", "Baresip", "running_baresip")

MODULES = Path("/usr/lib/baresip/modules")
READY_TIMEOUT_S = 10.0
SILENCE_S = 90
RATE_HZ = 8000

# The sound comes from a file and goes nowhere but into sndfile's dump: no sound card is needed.
_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
net_interface 127.0.0.1
rtp_ports 10000-11998
rtcp_mux {rtcp_mux}
call_max_calls 1
audio_player aubridge,nowhere
audio_alert aubridge,alert
audio_source aufile,{directory}/silence.wav
ausrc_srate {rate_hz}
auplay_srate {rate_hz}
snd_path {directory}
module_path {modules}
module g711.so
module g722.so
module srtp.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
"""
# Samples are halved and doubled with this: half of the rate, 63 taps. baresip's own resampler takes 8 dB off 1209 Hz.
_OFFSETS = np.arange(-31, 32)
_LOW_PASS = np.sinc(_OFFSETS / 2) / 2 * np.hamming(len(_OFFSETS))
_CODECS = {"": "PCMU,PCMA", "PCMU": "PCMU", "PCMA": "PCMA", "G722": "G722/16000/1"}


class Baresip:
    """A running baresip: commands out, events in."""

    def __init__(
        self, directory: Path, program: Program, writer: asyncio.StreamWriter, sip_port: int, rate_hz: int
    ) -> None:
        self._writer = writer
        self._files = 0
        self._rate_hz = rate_hz
        self._changed = asyncio.Condition()
        self.directory = directory
        self.program = program
        self.uri = f"sip:baresip@127.0.0.1:{sip_port}"
        self.events: list[dict[str, Any]] = []

    async def command(self, name: str, parameters: str = "") -> None:
        """Send one long command of its menu (``dial``, ``sndcode``, ``hold``, ``hangup`` ...)."""
        body = json.dumps({"command": name, "params": parameters}).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        await self._writer.drain()

    async def wait_event(self, kind: str, *, count: int = 1, timeout_s: float = 10.0) -> dict[str, Any]:
        """Return the ``count``-th event of that type, such as ``CALL_ESTABLISHED``, past or future."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while True:
                    found = [event for event in self.events if event.get("type") == kind]
                    if len(found) >= count:
                        return found[count - 1]
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind} from baresip in {timeout_s:g} s:\n{self.program.output}") from None

    async def play_keys(self, keys: str) -> None:
        """Key by tones in its audio, from now on."""
        self._files += 1
        file = self.directory / f"keys-{self._files}.wav"
        tail: Samples = np.zeros(RATE_HZ * 30)
        _write(file, np.concatenate([np.zeros(1600), key_tones(keys, on_ms=80, off_ms=80), tail]), self._rate_hz)
        await self.command("ausrc", f"aufile,{file}")

    def heard(self) -> Samples:
        """Return what it heard, at 8 kHz, -1 to 1; complete once the call is closed."""
        (recording,) = self.directory.glob("dump-*-dec.wav")
        with wave.open(str(recording), "rb") as file:
            assert file.getframerate() == self._rate_hz
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64) / 32768
        return samples if self._rate_hz == RATE_HZ else np.convolve(samples, _LOW_PASS, mode="same")[::2]

    def digits(self) -> str:
        """Return the telephone-events that it heard the end of."""
        return "".join(re.findall(r"received event: '(.)' \(end=1\)", self.program.output))

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Collect events until the connection closes."""
        while head := await reader.readuntil(b":"):
            body = (await reader.readexactly(int(head[:-1]) + 1))[:-1]
            message = json.loads(body)
            if message.get("event"):
                async with self._changed:
                    self.events.append(message)
                    self._changed.notify_all()


@asynccontextmanager
async def running_baresip(
    directory: Path,
    *,
    codec: str = "",
    media_encryption: str = "",
    rtcp_mux: bool = False,
    answering: bool = False,
    transport: str = "udp",
    authorities: Path | None = None,
) -> AsyncIterator[Baresip]:
    """Run baresip with a configuration of its own and no account but its own address, which has a ``transport``.

    ``codec`` is the only one it has (``PCMU``, ``PCMA``, ``G722``), G.711 without one; ``media_encryption`` is one of
    its names: ``srtp`` (keys beside RTP/AVP), ``srtp-mand`` (RTP/SAVP).
    """
    directory.mkdir(parents=True)
    rate_hz = 2 * RATE_HZ if codec == "G722" else RATE_HZ
    _write(directory / "silence.wav", np.zeros(RATE_HZ * SILENCE_S), rate_hz)
    control_port = free_port(socket.SOCK_STREAM)
    sip_port = free_port()
    (directory / "config").write_text(
        _CONFIG.format(
            sip_port=sip_port,
            control_port=control_port,
            directory=directory,
            modules=MODULES,
            rate_hz=rate_hz,
            rtcp_mux="yes" if rtcp_mux else "no",
        )
    )
    if authorities is not None:
        with (directory / "config").open("a", encoding="ascii") as file:
            file.write(f"sip_cafile {authorities}\n")
    account = f"<sip:baresip@127.0.0.1;transport={transport}>;regint=0;audio_codecs={_CODECS[codec]}"
    account += f";mediaenc={media_encryption}" if media_encryption else ""
    account += ";answermode=auto" if answering else ""
    (directory / "accounts").write_text(f"{account}\n")
    (directory / "contacts").touch()
    async with Program("baresip", "-f", directory, directory=directory) as program:
        await program.wait_line("baresip is ready", timeout_s=READY_TIMEOUT_S)
        reader, writer = await _connect(control_port)
        baresip = Baresip(directory, program, writer, sip_port, rate_hz)
        collecting = asyncio.create_task(baresip.read(reader))
        try:
            yield baresip
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            writer.close()


def _write(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write samples of 8 kHz as WAV of 8 or 16 kHz."""
    if rate_hz == 2 * RATE_HZ:
        stuffed = np.zeros(2 * len(samples))
        stuffed[::2] = 2 * samples
        samples = np.convolve(stuffed, _LOW_PASS, mode="same")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the control port, which opens a moment after "ready"."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
