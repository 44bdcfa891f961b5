"""A whole engine at registrars that behave, refuse or fall silent: what it logs, counts and leaves behind."""

from __future__ import annotations

import asyncio
import secrets
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from sip.digest_server import DigestServer, Outcome
from sip.message import Request, Response
from sip.parser import parse_message
from tests.support.engine import DEFAULT_TOML, running_engine
from tests.support.process import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90), pytest.mark.asyncio]

PASSWORD = "engine-password"
"Made up; it lives for one test."
Answer = Callable[[Request], Response | None]


class FakeRegistrar(asyncio.DatagramProtocol):
    """A registrar on a UDP port of loopback that answers each REGISTER as ``answer`` says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.registers: list[Request] = []
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = parse_message(data)
        assert isinstance(request, Request)
        self.registers.append(request)
        response = self.answer(request)
        if response is not None:
            self.transport.sendto(response.serialize(), addr)


@asynccontextmanager
async def registrar(answer: Answer) -> AsyncIterator[FakeRegistrar]:
    transport, fake = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: FakeRegistrar(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield fake
    finally:
        transport.close()


def accept(request: Request) -> Response:
    response = Response.to_request(request, 200, to_tag="r")
    response.headers.set("Contact", f"{request.contact};expires=300")
    return response


def refuse(request: Request) -> Response:
    return Response.to_request(request, 403, to_tag="r")


def fall_silent_at_the_end(request: Request) -> Response | None:
    return None if request.headers.get("Expires") == "0" else accept(request)


def with_accounts(metrics: str = "", **registrars: FakeRegistrar) -> str:
    text = DEFAULT_TOML + (f'\n[metrics]\nlisten = "{metrics}"\n' if metrics else "")
    for name, fake in registrars.items():
        text += f'\n[account.{name}]\nregistrar = "sip:127.0.0.1:{fake.port}"\nuser = "{name}"\n'
        text += 'password_env = "PAYTONE_TEST_PASSWORD"\n'
    return text


async def test_accounts_stand_and_fall_by_themselves_and_are_counted(tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"

    def read() -> str:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    async with registrar(accept) as good, registrar(refuse) as bad:
        toml = with_accounts(metrics, good=good, bad=bad)
        environment = {"PAYTONE_TEST_PASSWORD": PASSWORD}
        async with running_engine(toml, directory=tmp_path, environment=environment) as engine:
            await engine.wait_for(r"registration account=good state=registered status=200")
            await engine.wait_for(r"registration account=bad state=failed status=403")
            told = await asyncio.to_thread(read)
    for line in (
        'paytone_registered{account="good"} 1.0',
        'paytone_registered{account="bad"} 0.0',
        'paytone_registration_attempts_total{account="good"} 1.0',
        'paytone_registration_attempts_total{account="bad"} 1.0',
        'paytone_registration_failures_total{account="bad",status="403"} 1.0',
    ):
        assert line in told
    assert 'failures_total{account="good"' not in told
    assert PASSWORD not in engine.log
    assert [request.headers.get("Expires") for request in good.registers] == ["300", "0"]
    assert [request.headers.get("Expires") for request in bad.registers] == ["300"], "there is nothing to take back"


async def test_a_stop_waits_for_the_registrar_and_goes_when_it_confirmed(tmp_path: Path) -> None:
    async with registrar(accept) as good:
        toml = with_accounts(good=good)
        environment = {"PAYTONE_TEST_PASSWORD": PASSWORD}
        async with running_engine(toml, directory=tmp_path, environment=environment) as engine:
            await engine.wait_for(r"state=registered")
    assert "state=unregistered" in engine.log
    assert "did not confirm" not in engine.log
    assert engine.process.returncode == 0


async def test_a_stop_does_not_wait_for_ever_for_a_registrar_that_is_silent(tmp_path: Path) -> None:
    async with registrar(fall_silent_at_the_end) as silent:
        toml = with_accounts(silent=silent)
        environment = {"PAYTONE_TEST_PASSWORD": PASSWORD}
        async with running_engine(toml, directory=tmp_path, environment=environment) as engine:
            await engine.wait_for(r"state=registered")
    assert "a registrar did not confirm that we leave" in engine.log
    assert "state=unregistered" not in engine.log
    assert engine.process.returncode == 0
    assert len(silent.registers) >= 2


async def test_a_removal_that_is_challenged_is_answered_before_the_engine_goes(tmp_path: Path) -> None:
    server = DigestServer("paytone.test", secrets.token_bytes(32), lifetime_s=300.0)
    clock = iter((0.0, 1.0, 1000.0, 1001.0))  # of the four REGISTERs: the nonce is too old for the removal

    def challenge_each(request: Request) -> Response:
        now = next(clock)
        outcome = server.check(
            request.headers.get("Authorization") or "",
            method=request.method,
            uri=str(request.uri),
            body=request.body,
            now=now,
            find_ha1=find_ha1,
        )
        outcomes.append(outcome)
        if outcome is Outcome.ACCEPTED:
            return accept(request)
        response = Response.to_request(request, 401, to_tag="r")
        for challenge in server.challenges(now, stale=outcome is Outcome.STALE):
            response.headers.add("WWW-Authenticate", str(challenge))
        return response

    def find_ha1(username: str, algorithm: str) -> str | None:
        assert algorithm == "SHA-256", "the better of the two"
        return sha256(f"{username}:paytone.test:{PASSWORD}".encode()).hexdigest()

    outcomes: list[Outcome] = []
    async with registrar(challenge_each) as strict:
        toml = with_accounts(strict=strict)
        environment = {"PAYTONE_TEST_PASSWORD": PASSWORD}
        async with running_engine(toml, directory=tmp_path, environment=environment) as engine:
            await engine.wait_for(r"state=registered")
    assert "state=unregistered" in engine.log
    assert [request.headers.get("Expires") for request in strict.registers] == ["300", "300", "0", "0"]
    assert outcomes == [Outcome.MALFORMED, Outcome.ACCEPTED, Outcome.STALE, Outcome.ACCEPTED]
