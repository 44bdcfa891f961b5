"""PJSIP and baresip call over TCP and TLS: the whole call, both hang-ups, on the connection that the caller opened."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from engine.softphone.protocol import CallState, KeyMode
from tests.interop.baresip_peer import running_baresip
from tests.interop.pjsua_peer import PjsuaPeer
from tests.interop.steps import TOML, assert_paid, key_each_step
from tests.support.certificates import Certificates, make_certificates
from tests.support.engine import free_udp_port, running_engine
from tests.support.process import free_port, needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]
needs_pjsua2 = pytest.mark.skipif(
    importlib.util.find_spec("pjsua2") is None,
    reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
)
each_transport = pytest.mark.parametrize("transport", ["tcp", "tls"])


def listening(certificates: Certificates) -> tuple[str, dict[str, int]]:
    """Return a configuration that listens on UDP, TCP and TLS, and the port of each."""
    port, tls_port = free_udp_port(), free_port(socket.SOCK_STREAM)
    toml = f"""
[sip]
listen = ["127.0.0.1:{port}", "tls:127.0.0.1:{tls_port}"]

[sip.tls]
certificate = "{certificates.certificate}"
key = "{certificates.key}"
"""
    return TOML + toml, {"tcp": port, "tls": tls_port}


@needs_pjsua2
@each_transport
async def test_pjsip_pays_over_a_connection(tmp_path: Path, transport: str) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    toml, ports = listening(certificates)
    async with (
        running_engine(toml, directory=tmp_path / "engine") as engine,
        PjsuaPeer(authorities=certificates.authorities) as phone,
    ):
        await phone.call(f"sip:pay@127.0.0.1:{ports[transport]};transport={transport}")

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=KeyMode.TELEPHONE_EVENT)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine)
        await engine.wait_for(r"call ended .*cause=local_bye")


@needs_pjsua2
@each_transport
async def test_pjsip_hangs_up_over_a_connection(tmp_path: Path, transport: str) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    toml, ports = listening(certificates)
    async with (
        running_engine(toml, directory=tmp_path / "engine") as engine,
        PjsuaPeer(authorities=certificates.authorities) as phone,
    ):
        await phone.call(f"sip:pay@127.0.0.1:{ports[transport]};transport={transport}")
        await phone.wait_state(CallState.CONFIRMED)
        await phone.hang_up()
        await phone.wait_state(CallState.DISCONNECTED)
        await engine.wait_for(r"call ended .*cause=remote_bye")


@needs("baresip")
@pytest.mark.parametrize(("transport", "media_encryption"), [("tcp", ""), ("tls", ""), ("tls", "srtp-mand")])
async def test_baresip_pays_over_a_connection(tmp_path: Path, transport: str, media_encryption: str) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    toml, ports = listening(certificates)
    async with (
        running_engine(toml, directory=tmp_path / "engine") as engine,
        running_baresip(
            tmp_path / "baresip",
            transport=transport,
            authorities=certificates.authorities,
            media_encryption=media_encryption,
        ) as baresip,
    ):
        await baresip.command("dial", f"sip:pay@127.0.0.1:{ports[transport]};transport={transport}")
        await baresip.wait_event("CALL_ESTABLISHED")

        async def key(keys: str) -> None:
            await baresip.command("sndcode", keys)

        await key_each_step(engine, key)
        await baresip.wait_event("CALL_CLOSED", timeout_s=30)
        assert_paid(engine, baresip.program.output)
