"""Asterisk as a PBX: registrar, and back-to-back user agent between a caller and the engine.

It runs from the directory that ``deploy/interop/asterisk/setup`` filled and PAYTONE_ASTERISK names: a Debian suite of
its own, since Debian 12 has no package of it. Ports and configuration are this file's; nothing of the host's is read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process import Program, free_port

__all__ = ("PASSWORDS", "Pbx", "needs_asterisk", "running_asterisk")

ROOT = Path(os.environ.get("PAYTONE_ASTERISK", "/nonexistent"))
READY_TIMEOUT_S = 30.0
PASSWORDS = {"pay": "engine-password", "caller": "caller-password"}
"Made up; they live for one test."

needs_asterisk = pytest.mark.skipif(
    not (ROOT / "usr/sbin/asterisk").exists() or os.geteuid() != 0,
    reason="PAYTONE_ASTERISK names no directory of deploy/interop/asterisk/setup, or chroot is not permitted",
)

_FILES = {
    "asterisk.conf": """[directories]
astetcdir => {here}
astmoddir => {modules}
astvarlibdir => {here}/lib
astdbdir => {here}/lib
astkeydir => {here}/lib
astdatadir => /usr/share/asterisk
astspooldir => {here}/spool
astrundir => {here}/run
astlogdir => {here}/log
""",
    "modules.conf": """[modules]
autoload = yes
noload = res_pjsip_phoneprov_provider.so
noload = res_phoneprov.so
noload = chan_iax2.so
noload = res_http_media_cache.so
noload = res_geolocation.so
""",
    "logger.conf": "[logfiles]\nconsole => error,warning,notice,verbose\n",
    "rtp.conf": "[general]\nrtpstart = 12000\nrtpend = 12999\n",
    "http.conf": "[general]\nenabled = no\n",
    "pjsip.conf": """[udp]
type = transport
protocol = udp
bind = 127.0.0.1:{port}
[tcp]
type = transport
protocol = tcp
bind = 127.0.0.1:{port}

[pay]
type = aor
max_contacts = 1
remove_existing = yes
[pay]
type = auth
auth_type = userpass
username = pay
password = {pay_password}
[pay]
type = endpoint
context = calls
aors = pay
auth = pay
disallow = all
allow = {codecs}
dtmf_mode = {dtmf_mode}
direct_media = no
rewrite_contact = yes
timers = {timers}
timers_min_se = 90
timers_sess_expires = 180
100rel = {reliable}
media_encryption = {encryption}

[caller]
type = aor
max_contacts = 1
[caller]
type = auth
auth_type = userpass
username = caller
password = {caller_password}
[caller]
type = endpoint
context = calls
aors = caller
auth = caller
disallow = all
allow = ulaw
dtmf_mode = {dtmf_mode}
direct_media = no
rewrite_contact = yes
""",
    "extensions.conf": """[calls]
exten => pay,1,Verbose(1,calling the engine)
same => n,Dial(PJSIP/pay,30)
same => n,Hangup()
exten => caller,1,Dial(PJSIP/caller,30)
same => n,Hangup()
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbx:
    """A running Asterisk."""

    port: int
    program: Program

    @property
    def uri(self) -> str:
        """Its SIP URI, as a registrar."""
        return f"sip:127.0.0.1:{self.port}"

    async def wait_registered(self, user: str, *, timeout_s: float = 20.0) -> None:
        """Wait until a user registered."""
        await self.program.wait_line(rf"Added contact '.*' to AOR '{user}'", timeout_s=timeout_s)


@asynccontextmanager
async def running_asterisk(
    *,
    dtmf_mode: str = "rfc4733",
    codecs: str = "ulaw",
    timers: str = "yes",
    reliable: str = "no",
    encryption: str = "no",
) -> AsyncIterator[Pbx]:
    """Run Asterisk on a free port; the parameters are those of its endpoint for the engine (pjsip.conf)."""
    port = free_port()
    inside = Path(tempfile.mkdtemp(prefix="paytone-", dir=ROOT / "tmp"))
    here = Path("/") / inside.relative_to(ROOT)
    modules = next(path for path in (ROOT / "usr/lib").glob("**/asterisk/modules"))
    values = {
        "here": here,
        "modules": Path("/") / modules.relative_to(ROOT),
        "port": port,
        "pay_password": PASSWORDS["pay"],
        "caller_password": PASSWORDS["caller"],
        "dtmf_mode": dtmf_mode,
        "codecs": codecs,
        "timers": timers,
        "reliable": reliable,
        "encryption": encryption,
    }
    for name, text in _FILES.items():
        (inside / name).write_text(text.format(**values), encoding="ascii")
    for name in ("lib", "spool", "run", "log"):
        (inside / name).mkdir()
    try:
        command = ("chroot", str(ROOT), "asterisk", "-f", "-vvv", "-n", "-C", str(here / "asterisk.conf"))
        async with Program(*command) as program:
            await program.wait_line("Asterisk Ready", timeout_s=READY_TIMEOUT_S)
            yield Pbx(port=port, program=program)
    finally:
        shutil.rmtree(inside)
