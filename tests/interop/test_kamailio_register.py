"""The engine registers at Kamailio: over UDP, TCP and TLS, with MD5 and SHA-256, and is called by the same way."""

from __future__ import annotations

import asyncio
import importlib.util
import urllib.request
from pathlib import Path

import pytest

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.interop.kamailio_registrar import PASSWORD, REALM, Registrar, running_registrar
from tests.interop.steps import TOML
from tests.support.engine import running_engine
from tests.support.process import free_port, needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("kamailio")]

ENVIRONMENT = {"PAYTONE_TEST_PASSWORD": PASSWORD}
has_connections = pytest.mark.skipif(
    importlib.util.find_spec("engine.net.transports") is None, reason="this engine speaks UDP only"
)
TRANSPORTS = ["udp", pytest.param("tcp", marks=has_connections), pytest.param("tls", marks=has_connections)]


def configuration(peer: Registrar, transport: str, **changes: str) -> str:
    """Return a configuration with an account; ``changes`` are keys of the account and their TOML values."""
    keys = {
        "registrar": f'"{peer.uri(transport)}"',
        "user": '"pay"',
        "password_env": '"PAYTONE_TEST_PASSWORD"',
        "expires_s": "300",
    } | changes
    text = TOML + "\n[account.pbx]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
    return text + (f'\n[sip.tls]\nauthorities = "{peer.authorities}"\n' if transport == "tls" else "")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_engine_registers_is_called_and_leaves(tmp_path: Path, transport: str, algorithm: str) -> None:
    async with running_registrar(tmp_path / "kamailio", algorithm=algorithm) as registrar:
        text = configuration(registrar, transport)
        async with (
            running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine,
            Softphone() as phone,
        ):
            await engine.wait_for(r"registration account=pbx state=registered status=200")
            line = await registrar.wait_line("registered: pay")
            assert f"by {transport} expires 300 algorithm {algorithm}" in line
            await phone.call(f"sip:pay@127.0.0.1:{registrar.port}")
            await phone.wait_state(CallState.CONFIRMED)
            await engine.wait_for(r"prompt call=\w+ step=payment-card-number")
            await phone.hang_up()
            await phone.wait_state(CallState.DISCONNECTED)
            await registrar.wait_line("relayed in dialog: BYE")
        await registrar.wait_line("registered: pay", count=2)
        assert "did not confirm that we leave" not in engine.log
        assert PASSWORD not in engine.log
        assert "rspauth" not in engine.log, "Kamailio proves that it knows the password, and the proof is right"


@pytest.mark.parametrize("transport", TRANSPORTS[1:])
async def test_a_connection_that_is_gone_is_noticed_and_replaced_at_once(tmp_path: Path, transport: str) -> None:
    async with running_registrar(tmp_path / "kamailio") as registrar:
        text = configuration(registrar, transport)
        async with running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            await engine.wait_for(r"registration account=pbx state=registered status=200")
            await registrar.program.stop()
            # The binding has minutes to go: only the loss of the connection makes the engine try, in vain.
            await engine.wait_for(r"registration account=pbx state=failed .*transport")


async def test_a_nonce_that_grew_old_is_replaced(tmp_path: Path) -> None:
    async with running_registrar(tmp_path / "kamailio", algorithm="SHA-256", nonce_s=1) as registrar:
        text = configuration(registrar, "udp")
        async with running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            await engine.wait_for(r"registration account=pbx state=registered status=200")
            await registrar.wait_seconds(3)
        # The removal is answered for with the old nonce first, and then with the new one.
        await registrar.wait_line("registered: pay", count=2)
        assert sum("challenged: pay with <Digest" in line for line in registrar.program.lines) == 1


async def test_an_account_goes_by_its_outbound_proxy_with_the_name_of_its_own(tmp_path: Path) -> None:
    async with running_registrar(tmp_path / "kamailio") as registrar:
        text = configuration(
            registrar,
            "udp",
            registrar=f'"sip:{REALM}"',
            outbound_proxy=f'"{registrar.uri("udp")}"',
            realm=f'"{REALM}"',
            contact_user='"line-1"',
            display_name='"Pay by phone"',
        )
        async with running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            await engine.wait_for(r"registration account=pbx state=registered status=200")
            line = await registrar.wait_line("asked: pay")
            assert f"route <<sip:127.0.0.1:{registrar.port};transport=udp;lr>>" in line
            assert "contact <<sip:line-1@127.0.0.1:" in line


async def test_a_realm_that_is_not_the_accounts_gets_no_answer(tmp_path: Path) -> None:
    async with running_registrar(tmp_path / "kamailio") as registrar:
        text = configuration(registrar, "udp", realm='"elsewhere"')
        async with running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            await engine.wait_for(r"registration account=pbx state=failed status=401")
            assert not any("challenged: pay with <Digest" in line for line in registrar.program.lines)


async def test_gruu_and_instance_are_understood(tmp_path: Path) -> None:
    async with running_registrar(tmp_path / "kamailio") as registrar:
        text = configuration(registrar, "udp", gruu="true", outbound='"on"')
        async with running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            await engine.wait_for(r"registration account=pbx state=registered status=200")
            line = await registrar.wait_line("asked: pay")
            assert "has <path, gruu, outbound>" in line
            assert '+sip.instance="<urn:uuid:' in line
            assert ";reg-id=1" in line


async def test_the_metrics_say_whether_an_account_is_registered(tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"

    def read() -> str:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    async with running_registrar(tmp_path / "kamailio") as registrar:
        text = configuration(registrar, "udp") + f'\n[metrics]\nlisten = "{metrics}"\n'
        async with running_engine(text, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            await engine.wait_for(r"registration account=pbx state=registered status=200")
            told = await asyncio.to_thread(read)
            assert 'paytone_registered{account="pbx"} 1.0' in told
            assert 'paytone_registration_attempts_total{account="pbx"} 1.0' in told
            assert 'paytone_registration_failures_total{account="pbx"' not in told
