"""What scanners get out of the engine: sipvicious and sipsak, as an attacker uses them, from loopback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.interop.steps import TOML
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.process import Program, free_port, needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]

SCRIPTS = Path(sys.executable).parent
ENVIRONMENT = {"PAYTONE_TEST_PASSWORD": "4711 and no more"}
"Made up, and one that a cracker soon comes to."
PBX, ATTACKER = "127.0.0.77", "127.0.0.1"
"The tools cannot be bound to another address than that of loopback's route."
needs_sipvicious = pytest.mark.skipif(
    not (SCRIPTS / "sipvicious_svmap").exists(), reason="sipvicious is not installed here"
)


def with_access(port: int, *, pbx: str = PBX) -> str:
    """Return a configuration that takes calls of the PBX, and of others with a password."""
    return (
        TOML
        + f"""
[sip]
listen = "127.0.0.1:{port}"
allow = []

[[sip.access]]
name = "pbx"
from = ["{pbx}/32"]
require = "nothing"

[[sip.access]]
name = "phones"
require = "digest"

[sip.user.pay]
password_env = "PAYTONE_TEST_PASSWORD"
"""
    )


async def scan(tool: str, engine: RunningEngine, *arguments: str) -> str:
    """Run a tool of sipvicious at the engine; return what it printed."""
    host, port = engine.sip_address
    options = ("-x", ATTACKER, "-P", str(free_port()), "-p", str(port))
    async with Program(str(SCRIPTS / f"sipvicious_{tool}"), *options, *arguments, host) as program:
        await program.wait_end(timeout_s=60)
        return program.output


async def assert_still_serves(engine: RunningEngine) -> None:
    async with Softphone(host=PBX) as phone:
        await phone.call(engine.uri())
        await phone.wait_state(CallState.CONFIRMED)
        await phone.hang_up()
        await phone.wait_state(CallState.DISCONNECTED)


@needs_sipvicious
async def test_a_map_of_the_network_does_not_show_the_engine(tmp_path: Path) -> None:
    async with running_engine(with_access(free_udp_port()), directory=tmp_path, environment=ENVIRONMENT) as engine:
        printed = await scan("svmap", engine)
        assert "paytone" not in printed
        assert str(engine.sip_address[1]) not in printed
        await assert_still_serves(engine)


@needs_sipvicious
@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
async def test_no_user_is_told_from_another(tmp_path: Path, method: str) -> None:
    async with running_engine(with_access(free_udp_port()), directory=tmp_path, environment=ENVIRONMENT) as engine:
        printed = await scan("svwar", engine, "--force", "-m", method, "-e", "700-709", "--template=%d", "-D")
        assert "reqauth" not in printed
        dictionary = tmp_path / "names"
        dictionary.write_text("pay\nsave\nnobody\nsomebody\n")
        printed = await scan("svwar", engine, "--force", "-m", method, "-d", str(dictionary))
        assert "pay" not in printed
        await assert_still_serves(engine)


@needs_sipvicious
async def test_a_password_is_not_cracked(tmp_path: Path) -> None:
    async with running_engine(with_access(free_udp_port()), directory=tmp_path, environment=ENVIRONMENT) as engine:
        printed = await scan("svcrack", engine, "-u", "pay", "-r", "4600-4800", "-z", "4")
        assert "4711" not in printed
        await assert_still_serves(engine)


@needs("sipsak")
@pytest.mark.parametrize("arguments", [("-F", "-e", "200"), ("-R", "-t", "40")], ids=["flood", "random"])
async def test_a_flood_and_garbage_do_no_harm(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    async with running_engine(with_access(free_udp_port()), directory=tmp_path, environment=ENVIRONMENT) as engine:
        async with Program("timeout", "10", "sipsak", *arguments, "-s", engine.uri()) as program:
            await program.wait_end(timeout_s=20)
        await assert_still_serves(engine)


@needs("sipsak")
async def test_a_peer_that_is_admitted_learns_what_the_engine_can(tmp_path: Path) -> None:
    async with running_engine(
        with_access(free_udp_port(), pbx=ATTACKER), directory=tmp_path, environment=ENVIRONMENT
    ) as engine:
        async with Program("sipsak", "-vv", "-s", engine.uri()) as program:
            assert await program.wait_end(timeout_s=20) == 0, program.output
        assert "SIP/2.0 200" in program.output
        assert "Allow: INVITE" in program.output
