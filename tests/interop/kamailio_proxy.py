"""Kamailio as registrar and record-routing proxy: one UDP port, everything in memory, passwords in the file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import Program, free_port

__all__ = ("PASSWORDS", "Proxy", "running_kamailio")

READY_TIMEOUT_S = 15.0
PASSWORDS = {"pay": "engine-password", "caller": "caller-password"}
"Made up; they live for one test."

# Written from Kamailio's module documentation. A call from user "caller" is challenged (407), any other is not.
_CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=2
auto_aliases=no
listen=udp:127.0.0.1:{port}
disable_tcp=yes
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules:/usr/lib/aarch64-linux-gnu/kamailio/modules:/usr/lib64/kamailio/modules"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("auth", "algorithm", "{algorithm}")
modparam("tm", "fr_inv_timer", 30000)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ xlog("L_ERR", "relayed in dialog: $rm\\n"); t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        route(PASSWORD);
        if (!pv_www_authenticate("{realm}", "$var(password)", "0")) {{ www_challenge("{realm}", "1"); exit; }}
        if (!save("location")) sl_reply_error();
        xlog("L_ERR", "registered: $tU expires $hdr(Expires)\\n");
        exit;
    }}
    if (is_method("INVITE") && $fU == "caller") {{
        route(PASSWORD);
        if (!pv_proxy_authenticate("{realm}", "$var(password)", "0")) {{ proxy_challenge("{realm}", "1"); exit; }}
        consume_credentials();
    }}
    if (is_method("INVITE")) record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}

route[PASSWORD] {{
    $var(password) = "no such user";
{passwords}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A running Kamailio."""

    port: int
    program: Program

    @property
    def uri(self) -> str:
        """Its SIP URI, as a registrar."""
        return f"sip:127.0.0.1:{self.port}"

    def relayed(self, method: str) -> int:
        """Return how many requests of that method it relayed inside dialogs, by Route."""
        return sum(f"relayed in dialog: {method}" in line for line in self.program.lines)

    async def wait_registered(self, user: str, *, count: int = 1, timeout_s: float = 15.0) -> None:
        """Wait until a user registered so many times."""

        def found() -> str | None:
            lines = [line for line in self.program.lines if f"registered: {user} " in line]
            return lines[count - 1] if len(lines) >= count else None

        await self.program.wait_for(found, f"registered: {user}", timeout_s=timeout_s)


@asynccontextmanager
async def running_kamailio(directory: Path, *, algorithm: str = "MD5") -> AsyncIterator[Proxy]:
    """Run Kamailio on a free port; ``algorithm`` is the digest's (``MD5`` or ``SHA-256``)."""
    directory.mkdir(parents=True)
    port = free_port()
    passwords = "\n".join(f'    if ($au == "{user}") $var(password) = "{text}";' for user, text in PASSWORDS.items())
    config = directory / "kamailio.cfg"
    config.write_text(
        _CONFIG.format(
            port=port,
            realm="paytone.test",
            algorithm=algorithm,
            passwords=passwords,
        )
    )
    # Its control sockets have a short path limit (108 bytes), so they get a short directory.
    with tempfile.TemporaryDirectory(prefix="kam") as run:
        command = ("kamailio", "-f", config, "-DD", "-E", "-m", "32", "-M", "4", "-Y", run, "-w", directory)
        async with Program(*command, directory=directory) as program:
            proxy = Proxy(port=port, program=program)
            await program.wait_line(r"Listening on|udp: 127", timeout_s=READY_TIMEOUT_S)
            yield proxy
