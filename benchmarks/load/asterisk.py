"""Asterisk for comparison: it answers, plays a prompt for ever and listens for in-band keys, as the engine does.

A configuration of our own in a directory of its own, on loopback: PJSIP without authentication, PCMU, ``dtmf_mode =
inband`` (which has its DSP listen to every frame), no other modules than this takes.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.audio import LOCALE
from prompts import assets
from prompts.catalog import Catalog
from prompts.keys import PromptKey

__all__ = ("RunningAsterisk", "running_asterisk", "unavailable")

LOOPBACK = "127.0.0.1"
START_S = 20.0
MODULES = (
    "res_sorcery_config",
    "res_sorcery_memory",
    "res_pjproject",
    "res_pjsip",
    "res_pjsip_session",
    "res_pjsip_sdp_rtp",
    "res_pjsip_caller_id",
    "res_pjsip_endpoint_identifier_anonymous",
    "res_rtp_asterisk",
    "res_timing_timerfd",
    "chan_pjsip",
    "codec_ulaw",
    "format_pcm",
    "pbx_config",
    "app_playback",
)

FILES = {
    "asterisk.conf": """[directories]
astetcdir => {here}
astmoddir => {modules}
astvarlibdir => {here}/lib
astdbdir => {here}/lib
astkeydir => {here}/lib
astdatadir => {data}
astspooldir => {here}/spool
astrundir => {here}/run
astlogdir => {here}/log
[options]
maxfiles = 20000
""",
    "modules.conf": "[modules]\nautoload = no\n{loads}\n",
    "logger.conf": "[logfiles]\nmessages => error\n",
    "rtp.conf": "[general]\nrtpstart = 20000\nrtpend = 29999\nstrictrtp = yes\n",
    "pjsip.conf": """[udp]
type = transport
protocol = udp
bind = 127.0.0.1:{port}
[anonymous]
type = endpoint
context = load
transport = udp
disallow = all
allow = ulaw
dtmf_mode = inband
direct_media = no
""",
    "extensions.conf": """[load]
exten => save,1,Answer()
same => n(again),Playback({here}/prompt)
same => n,Goto(again)
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAsterisk:
    """Where it listens, and which it is."""

    pid: int
    address: tuple[str, int]
    version: str


def unavailable() -> str | None:
    """Return why there is no comparison, None when there can be one."""
    if shutil.which("asterisk"):
        return None
    return "asterisk is not installed (Debian 12 has no package of it)"


def _modules() -> Path:
    for path in (Path("/usr/lib/asterisk/modules"), *Path("/usr/lib").glob("*/asterisk/modules")):
        if path.is_dir():
            return path
    raise FileNotFoundError("the modules of asterisk were not found below /usr/lib")


def _data() -> Path:
    # Not one of ours: PJSIP's settings are refused without the documentation that lies there.
    for path in (Path("/usr/share/asterisk"), Path("/var/lib/asterisk")):
        if (path / "documentation").is_dir():
            return path
    raise FileNotFoundError("the documentation of asterisk was not found in /usr/share or /var/lib")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_asterisk(directory: Path) -> Iterator[RunningAsterisk]:
    """Run Asterisk in `directory` until the end of the block; raise TimeoutError when it does not come up."""
    port = _free_port()
    loads = "\n".join(f"load = {name}.so" for name in MODULES)
    for name, text in FILES.items():
        filled = text.format(here=directory, modules=_modules(), data=_data(), loads=loads, port=port)
        (directory / name).write_text(filled, encoding="ascii")
    for name in ("lib", "spool", "run", "log"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    clip = assets.load(Catalog.load(None).resolve(LOCALE).texts)[PromptKey.CARD_NUMBER]
    (directory / "prompt.ulaw").write_bytes(clip.pcmu)
    configuration = ("-C", str(directory / "asterisk.conf"))
    version = subprocess.run(["asterisk", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    process = subprocess.Popen(["asterisk", "-f", *configuration], stdin=subprocess.DEVNULL)
    try:
        waits = ("asterisk", *configuration, "-rx", "core waitfullybooted")
        deadline = time.monotonic() + START_S
        while subprocess.run(waits, capture_output=True, timeout=START_S, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("asterisk did not start")
            time.sleep(0.2)
        yield RunningAsterisk(pid=process.pid, address=(LOOPBACK, port), version=version)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
