"""Kamailio as a registrar that is reached over UDP, TCP or TLS, and that calls by the connection of the REGISTER."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.support.process import Program, free_port

__all__ = ("PASSWORD", "REALM", "Registrar", "running_registrar")

READY_TIMEOUT_S = 15.0
PASSWORD = "engine-password"
"Made up; it lives for one test."
REALM = "paytone.test"

# Written from Kamailio's module documentation.
_CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
alias="{realm}"
enable_tls=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
listen=tls:127.0.0.1:{tls_port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules:/usr/lib/aarch64-linux-gnu/kamailio/modules:/usr/lib64/kamailio/modules"
loadmodule "tls.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "auth.so"
loadmodule "rtimer.so"
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
modparam("tls", "tls_method", "TLSv1.2+")
modparam("usrloc", "db_mode", 0)
modparam("registrar|nathelper", "received_avp", "$avp(RECEIVED)")
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "nonce_expire", {nonce_s})
modparam("auth", "add_authinfo_hdr", 1)
modparam("rtimer", "timer", "name=seconds;interval=1;mode=1")
modparam("rtimer", "exec", "timer=seconds;route=SECOND")

request_route {{
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "Not here"); exit; }}
        handle_ruri_alias();
        xlog("L_ERR", "relayed in dialog: $rm\\n");
        t_relay();
        exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        xlog("L_ERR", "asked: $tU by $proto route <$hdr(Route)> has <$hdr(Supported)> contact <$hdr(Contact)>\\n");
        if (!pv_www_authenticate("{realm}", "{password}", "0")) {{
            xlog("L_ERR", "challenged: $tU with <$hdr(Authorization)> because $rc\\n");
            www_challenge("{realm}", "1");
            exit;
        }}
        fix_nated_register();
        append_to_reply("Service-Route: <sip:127.0.0.1:{port};lr>\\r\\n");
        if (!save("location")) sl_reply_error();
        xlog("L_ERR", "registered: $tU by $proto expires $hdr(Expires) algorithm $aa\\n");
        exit;
    }}
    if (is_method("INVITE")) record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_on_reply("ALIAS");
    t_relay();
}}

route[SECOND] {{
    xlog("L_ERR", "a second has passed\n");
}}

onreply_route[ALIAS] {{
    if ($proto != "udp") add_contact_alias();
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """A running Kamailio."""

    port: int
    "Of UDP and TCP."
    tls_port: int
    authorities: Path
    "PEM file of the authority of its certificate."
    program: Program

    def uri(self, transport: str) -> str:
        """Return its SIP URI for ``udp``, ``tcp`` or ``tls``."""
        port = self.tls_port if transport == "tls" else self.port
        return f"sip:127.0.0.1:{port};transport={transport}"

    async def wait_seconds(self, seconds: int) -> None:
        """Wait until so many seconds passed by its own clock."""
        passed = sum("a second has passed" in line for line in self.program.lines)
        await self.wait_line("a second has passed", count=passed + seconds)

    async def wait_line(self, pattern: str, *, count: int = 1, timeout_s: float = 15.0) -> str:
        """Wait until ``count`` lines of its log contain ``pattern``; return the last of them."""

        def found() -> str | None:
            lines = [line for line in self.program.lines if pattern in line]
            return lines[count - 1] if len(lines) >= count else None

        return await self.program.wait_for(found, pattern, timeout_s=timeout_s)


async def _accepting(port: int) -> None:
    """Wait until connections are taken: Kamailio tells where it listens before it does."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@asynccontextmanager
async def running_registrar(directory: Path, *, algorithm: str = "MD5", nonce_s: int = 300) -> AsyncIterator[Registrar]:
    """Run Kamailio on free ports, with a digest of that algorithm and a nonce's life of that many seconds."""
    directory.mkdir(parents=True)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authorities, chain, key = (directory / name for name in ("authorities.pem", "certificate.pem", "key.pem"))
    authority.cert_pem.write_to_path(authorities)
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    port, tls_port = free_port(), free_port(socket.SOCK_STREAM)
    config = directory / "kamailio.cfg"
    config.write_text(
        _CONFIG.format(
            port=port,
            tls_port=tls_port,
            realm=REALM,
            password=PASSWORD,
            algorithm=algorithm,
            nonce_s=nonce_s,
            certificate=chain,
            key=key,
        )
    )
    # Its control sockets have a short path limit (108 bytes), so they get a short directory.
    with tempfile.TemporaryDirectory(prefix="kam") as run:
        command = ("kamailio", "-f", config, "-DD", "-E", "-m", "64", "-M", "8", "-Y", run, "-w", directory)
        async with Program(*command, directory=directory) as program:
            await program.wait_line(r"Listening on|tls: 127", timeout_s=READY_TIMEOUT_S)
            for listener in (port, tls_port):
                await _accepting(listener)
            yield Registrar(port=port, tls_port=tls_port, authorities=authorities, program=program)
