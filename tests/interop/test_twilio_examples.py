"""The examples run as they are printed, in Python and on Node, on real calls."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.support.caller import VISA, Script, expiry, pay
from tests.support.engine import free_udp_port, running_engine
from tests.support.twiml_app import ACCOUNT, TOKEN, TOKEN_ENV, TwimlApp, running_app, twilio_toml

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.asyncio]

EXAMPLES = Path(__file__).parents[2] / "examples" / "twilio"
START_S = 30.0


@asynccontextmanager
async def process(*command: str, cwd: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program and end it by its process id."""
    started = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def answers(url: str) -> None:
    """Wait until something listens at ``url``."""
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def outcomes(url: str, count: int) -> list[dict[str, str]]:
    """Return what an example was told, once it is ``count`` results."""
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/outcomes") as answer:
                told: list[dict[str, str]] = await answer.json(content_type=None)
            if len(told) >= count:
                return told
            await asyncio.sleep(0.1)


@asynccontextmanager
async def flask(module: str, **environment: str) -> AsyncIterator[str]:
    """Run one of the Flask applications; give its URL."""
    port = free_udp_port()
    command = (sys.executable, "-m", "flask", "--app", f"examples/twilio/{module}", "run", "--port", str(port))
    async with process(*command, cwd=EXAMPLES.parents[1], TWILIO_AUTH_TOKEN=TOKEN, **environment):
        url = f"http://127.0.0.1:{port}"
        await answers(f"{url}/outcomes")
        yield url


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install twilio-node beside a copy of the examples."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    directory = tmp_path_factory.mktemp("node")
    for file in (EXAMPLES / "node").iterdir():
        if file.is_file():
            shutil.copy(file, directory)
    version = int(subprocess.check_output(["node", "--version"], text=True).lstrip("v").split(".")[0])
    wanted = "twilio@6" if version >= 20 else "twilio@5"  # 6 wants Node 20
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", wanted],
        cwd=directory,
        check=True,
        capture_output=True,
        timeout=240,
    )
    return directory


async def test_the_donation_line_takes_a_gift_a_card_and_a_debit(tmp_path: Path) -> None:
    async with flask("pay_app") as url:
        toml = twilio_toml(f"{url}/voice")
        async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            for n, (choice, script) in enumerate(
                (
                    ("1", Script.good(mode="in-band")),
                    ("2", Script.good(mode="telephone-event")),
                    (
                        "3",
                        Script(
                            entries={
                                "bank-routing-number": ["021000021"],
                                "bank-account-number": ["000123456789#"] * 2,
                            },
                            mode="in-band",
                        ),
                    ),
                ),
                start=1,
            ):
                await pay(engine, script, user="shop", first_keys=choice)
                told = (await outcomes(url, n))[-1]
                assert told["Result"] == "success", told
            assert [row["operation"] for row in engine.sandbox_transactions()] == ["charge", "tokenize", "charge"]


async def test_the_donation_line_on_node_takes_a_gift(tmp_path: Path, node_modules: Path) -> None:
    port = free_udp_port()
    async with process("node", "pay_app.js", str(port), cwd=node_modules, TWILIO_AUTH_TOKEN=TOKEN):
        url = f"http://127.0.0.1:{port}"
        await answers(f"{url}/outcomes")
        toml = twilio_toml(f"{url}/voice")
        async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            await pay(engine, Script.good(mode="in-band"), user="shop")
            (told,) = await outcomes(url, 1)
            assert told["Result"] == "success"
            assert told["PaymentCardNumber"] == "xxxxxxxxxxxx4242"


async def test_an_agent_takes_a_payment_at_the_desk(tmp_path: Path) -> None:
    api_port = free_udp_port()
    async with Softphone() as agent, Softphone() as caller:
        environment = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "AGENT_SIP": agent.uri,
            "PAYTONE_API": f"http://127.0.0.1:{api_port}",
        }
        async with flask("agent_desk", **environment) as url, aiohttp.ClientSession(url) as page:
            toml = twilio_toml(f"{url}/voice", api=f"127.0.0.1:{api_port}")
            async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:

                async def state() -> tuple[str, dict[str, str]]:
                    async with page.get("/state") as answer:
                        found = await answer.json()
                    (sid,) = found["calls"]
                    return sid, found["payments"].get(sid, {})

                async def until(name: str, value: str) -> None:
                    async with asyncio.timeout(START_S):
                        while (await state())[1].get(name) != value:
                            await asyncio.sleep(0.1)

                await caller.call(engine.uri("shop"))
                await agent.wait_incoming(timeout_s=START_S)
                await agent.answer()
                await caller.wait_state(CallState.CONFIRMED)
                call_sid, _ = await state()
                async with page.post(f"/calls/{call_sid}/payments") as answer:
                    payment = (await answer.json())["sid"]
                for step, keys, missing in (
                    ("payment-card-number", f"{VISA}#", "expiration-date,security-code"),
                    ("expiration-date", expiry(), "security-code"),
                    ("security-code", "123", ""),
                ):
                    async with page.post(f"/calls/{call_sid}/payments/{payment}", data={"capture": step}) as answer:
                        assert answer.status == 200, await answer.text()
                    await caller.keys(keys, mode=KeyMode.IN_BAND)
                    await until("Required", missing)
                async with page.post(f"/calls/{call_sid}/payments/{payment}", data={"status": "complete"}) as answer:
                    assert answer.status == 200, await answer.text()
                await until("Result", "success")
                async with page.get("/") as answer:
                    assert "Take a payment" in await answer.text()
                await caller.hang_up()


async def test_an_agents_payment_by_twilio_node(tmp_path: Path, node_modules: Path) -> None:
    api_port = free_udp_port()
    async with running_app() as app, Softphone() as agent, Softphone() as caller:
        app.answers = {
            "/voice": f"<Response><Dial><Sip>{agent.uri}</Sip></Dial></Response>",
            "/progress": "",
        }
        toml = twilio_toml(f"{app.url}/voice", api=f"127.0.0.1:{api_port}")
        async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            await caller.call(engine.uri("shop"))
            await agent.wait_incoming(timeout_s=START_S)
            await agent.answer()
            await caller.wait_state(CallState.CONFIRMED)
            call_sid = (await app.wait_for("/voice"))["CallSid"]
            async with process(
                "node",
                "agent_payment.js",
                call_sid,
                f"{app.url}/progress",
                cwd=node_modules,
                TWILIO_ACCOUNT_SID=ACCOUNT,
                TWILIO_AUTH_TOKEN=TOKEN,
                PAYTONE_API=f"http://127.0.0.1:{api_port}",
            ) as program:
                assert program.stdout is not None
                assert program.stdin is not None
                lines = []
                async with asyncio.timeout(90):
                    while line := (await program.stdout.readline()).decode().strip():
                        lines.append(line)
                        if line.startswith("capture "):
                            keys = {
                                "payment-card-number": f"{VISA}#",
                                "expiration-date": expiry(),
                                "security-code": "123",
                            }
                            await caller.keys(keys[line.split()[1]], mode=KeyMode.IN_BAND)
                            await _complete(app, line.split()[1])
                            program.stdin.write(b"\n")
                assert lines[-1] == "complete", json.dumps(lines)
            async with asyncio.timeout(START_S):
                while "Result" not in app.of("/progress")[-1]:
                    await asyncio.sleep(0.05)
            assert app.of("/progress")[-1]["Result"] == "success"
            assert not app.forged
            await caller.hang_up()


async def _complete(app: TwimlApp, step: str) -> None:
    """Wait until a field is captured."""
    async with asyncio.timeout(START_S):
        while not any(
            told.get("Capture") == step and told.get("PartialResult") == "false" and step not in told["Required"]
            for told in app.of("/progress")
        ):
            await asyncio.sleep(0.05)
