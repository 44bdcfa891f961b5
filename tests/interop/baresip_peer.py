"""baresip 1.0 as a caller, driven over its TCP control port (JSON in netstrings)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.process import Program, free_port
from tests.support.recording import write_wav

__all__ = ("MODULES", "Baresip", "running_baresip")

MODULES = Path("/usr/lib/baresip/modules")
READY_TIMEOUT_S = 10.0
SILENCE_S = 90

# The sound comes from a file and goes nowhere but into sndfile's dump: no sound card is needed.
_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
net_interface 127.0.0.1
rtp_ports 10000-11998
call_max_calls 1
audio_player aubridge,nowhere
audio_alert aubridge,alert
audio_source aufile,{directory}/silence.wav
ausrc_srate 8000
auplay_srate 8000
snd_path {directory}
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
"""


class Baresip:
    """A running baresip: commands out, events in."""

    def __init__(self, directory: Path, program: Program, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._changed = asyncio.Condition()
        self.directory = directory
        self.program = program
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

    def heard(self) -> Path:
        """Return the recording of what it heard; complete once the call is closed."""
        (recording,) = self.directory.glob("dump-*-dec.wav")
        return recording

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
async def running_baresip(directory: Path) -> AsyncIterator[Baresip]:
    """Run baresip with a configuration of its own and no account but its own address."""
    directory.mkdir(parents=True)
    write_wav(directory / "silence.wav", np.zeros(8000 * SILENCE_S))
    control_port = free_port(socket.SOCK_STREAM)
    (directory / "config").write_text(
        _CONFIG.format(sip_port=free_port(), control_port=control_port, directory=directory, modules=MODULES)
    )
    (directory / "accounts").write_text("<sip:baresip@127.0.0.1>;regint=0\n")
    (directory / "contacts").touch()
    async with Program("baresip", "-f", directory, directory=directory) as program:
        await program.wait_line("baresip is ready", timeout_s=READY_TIMEOUT_S)
        reader, writer = await _connect(control_port)
        baresip = Baresip(directory, program, writer)
        collecting = asyncio.create_task(baresip.read(reader))
        try:
            yield baresip
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            writer.close()


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the control port, which opens a moment after "ready"."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
