"""Kamailio as a dispatcher: it probes its engines with OPTIONS and gives each new call to one that answers 200."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.interop.kamailio_proxy import Proxy
from tests.support.process import Program, free_port

__all__ = ("running_dispatcher",)

READY_TIMEOUT_S = 15.0

# Written from Kamailio's module documentation. Algorithm 8: the first that is up, by priority.
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
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "list_file", "{engines}")
modparam("dispatcher", "ds_ping_method", "OPTIONS")
modparam("dispatcher", "ds_ping_interval", 1)
modparam("dispatcher", "ds_probing_mode", 1)
modparam("dispatcher", "ds_probing_threshold", 1)
modparam("dispatcher", "ds_inactive_threshold", 1)
modparam("dispatcher", "ds_ping_reply_codes", "class=2")

request_route {{
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{ loose_route(); t_relay(); exit; }}
    t_check_trans();
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    if (!ds_select_dst("1", "8")) {{ sl_send_reply("503", "No engine"); exit; }}
    xlog("L_ERR", "dispatched: $rU to $du\\n");
    t_on_failure("NEXT");
    t_relay();
}}

failure_route[NEXT] {{
    if (t_check_status("503") && ds_next_dst()) {{ xlog("L_ERR", "next: $du\\n"); t_relay(); }}
}}

event_route[dispatcher:dst-down] {{ xlog("L_ERR", "down: $ru\\n"); }}
event_route[dispatcher:dst-up] {{ xlog("L_ERR", "up: $ru\\n"); }}
"""


@asynccontextmanager
async def running_dispatcher(directory: Path, engines: Sequence[str]) -> AsyncIterator[Proxy]:
    """Run Kamailio before engines, given as URIs without a user, the one that is wanted most first."""
    directory.mkdir(parents=True)
    port = free_port()
    priorities = [f"1 {uri} 0 {len(engines) - n}" for n, uri in enumerate(engines)]
    (directory / "engines").write_text("\n".join(priorities) + "\n")
    config = directory / "kamailio.cfg"
    config.write_text(_CONFIG.format(port=port, engines=directory / "engines"))
    with tempfile.TemporaryDirectory(prefix="kam") as run:  # its control sockets have a short path limit
        command = ("kamailio", "-f", config, "-DD", "-E", "-m", "32", "-M", "4", "-Y", run, "-w", directory)
        async with Program(*command, directory=directory) as program:
            await program.wait_line(r"Listening on|udp: 127", timeout_s=READY_TIMEOUT_S)
            yield Proxy(port=port, program=program)
