"""What may break beside a call, breaks, and every call still ends in its documented result, with nothing leaked.

Garbage on every port, a database that somebody locks, a speech worker that is killed, an engine that is killed between
journal and answer, fifty calls at once.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from engine.softphone.load import run_load
from tests.support.caller import VISA, Script, expiry, pay
from tests.support.engine import DEFAULT_TOML, RunningEngine, free_udp_port, running_engine
from tests.support.gateway import FakeGateway

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.asyncio]

LOG = '\n[log]\nlevel = "debug"\n'
VECTORS = Path(__file__).parents[1] / "vectors" / "sip"
CALLS = 50


def _send(engine: RunningEngine, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, engine.sip_address)


def _rtp_ports(engine: RunningEngine) -> list[int]:
    """Return the even UDP ports from 20000 to 29999 that the engine's process has bound."""
    targets = [str(entry.readlink()) for entry in Path(f"/proc/{engine.pid}/fd").iterdir()]
    inodes = {target[len("socket:[") : -1] for target in targets if target.startswith("socket:[")}
    ports = []
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[9] in inodes:
            ports.append(int(columns[1].partition(":")[2], 16))
    return sorted(port for port in ports if 20000 <= port <= 29999 and port % 2 == 0)


@pytest.mark.soak  # long; CI runs it
async def test_garbage_on_every_port_disturbs_no_payment(tmp_path: Path) -> None:
    async with running_engine(DEFAULT_TOML + LOG, directory=tmp_path) as engine:
        messages = [path.read_bytes() for path in sorted(VECTORS.rglob("*.dat"))]
        assert len(messages) > 50
        _send(engine, *messages, b"", b"\r\n\r\n", os.urandom(1200), b"INVITE", b"\x80" * 9000)

        async def throw_rtp() -> int:
            await engine.wait_for("step=payment-card-number")
            ports = _rtp_ports(engine)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(200):
                    for port in ports:
                        for data in (b"", os.urandom(7), os.urandom(172), b"\x80\x65" + os.urandom(14), bytes(1400)):
                            sender.sendto(data, ("127.0.0.1", port))
                    await asyncio.sleep(0.02)
            return len(ports)

        thrower = asyncio.ensure_future(throw_rtp())
        call = await pay(engine, Script.good(mode="telephone-event"))
        assert await thrower >= 1
        assert call.result == "success", engine.log
        assert len(engine.sandbox_transactions()) == 1
        assert "Traceback" not in engine.log


async def test_an_offer_without_a_common_codec_is_refused_with_488(tmp_path: Path) -> None:
    async with running_engine(DEFAULT_TOML + LOG, directory=tmp_path) as engine:
        port = free_udp_port()
        sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n"
        invite = (
            f"INVITE {engine.uri()} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK1;rport\r\n"
            f"From: <sip:a@127.0.0.1>;tag=1\r\nTo: <{engine.uri()}>\r\nCall-ID: 488@test\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:a@127.0.0.1:{port}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(sdp)}\r\n\r\n{sdp}"
        )
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.setblocking(False)
            phone.bind(("127.0.0.1", port))
            await loop.sock_sendto(phone, invite.encode(), engine.sip_address)
            async with asyncio.timeout(5):
                while not (answer := await loop.sock_recv(phone, 4096)).startswith(b"SIP/2.0 488"):
                    assert answer.startswith(b"SIP/2.0 100")
        await engine.wait_for("a call is refused")
        assert not engine.ledger_rows("calls")


@pytest.mark.soak  # long; CI runs it
async def test_a_locked_database_refuses_the_payment_and_charges_nothing(tmp_path: Path) -> None:
    async with running_engine(DEFAULT_TOML + LOG, directory=tmp_path) as engine:

        async def lock() -> sqlite3.Connection:
            await engine.wait_for("step=postal-code")
            connection = sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None, timeout=10)
            connection.execute("BEGIN IMMEDIATE")
            return connection

        locking = asyncio.ensure_future(lock())
        calling = asyncio.ensure_future(pay(engine, Script.good()))
        connection = await locking
        await engine.wait_for("payment finished", timeout_s=60)
        connection.close()
        await calling
        assert not engine.sandbox_transactions()
        assert re.search(r"payment finished .*result=payment-connector-error", engine.log)
        assert "nothing was sent" in engine.log
        # The lock is gone: the next caller pays.
        assert (await pay(engine, Script.good())).result == "success", engine.log


@pytest.mark.soak  # long; CI runs it
async def test_a_killed_speech_worker_stops_no_call(tmp_path: Path) -> None:
    toml = DEFAULT_TOML + LOG + '\n[[form.donation.prompt]]\nfor = "payment-card-number"\nsay = "Your number please."\n'
    async with running_engine(toml, directory=tmp_path) as engine:
        workers = [
            int(entry.name)
            for entry in os.scandir("/proc")
            if entry.name.isdigit()
            and f"\nPPid:\t{engine.pid}\n" in _text(f"/proc/{entry.name}/status")
            and "prompts.synth.worker" in _text(f"/proc/{entry.name}/cmdline")
        ]
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert (await pay(engine, Script.good())).result == "success", engine.log


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""  # it ended while we looked


@pytest.mark.strict
async def test_a_kill_between_journal_and_answer_never_charges_twice(tmp_path: Path) -> None:
    async with FakeGateway(["hold"]) as gateway:
        toml = f"""
{LOG}
[connector.shop]
type = "signalwire"
url = "{gateway.url}"
allow_insecure = true

[form.donation]
amount = "25.00"
connector = "shop"

[[route]]
to = "pay"
form = "donation"
"""
        async with running_engine(toml, directory=tmp_path) as engine:
            calling = asyncio.ensure_future(pay(engine, Script.good()))
            async with asyncio.timeout(60):
                await gateway.received.wait()
            os.kill(engine.pid, signal.SIGKILL)
            await engine.process.wait()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            (attempt,) = engine.ledger_rows("charge_attempts")
            assert attempt["outcome"] is None
        gateway.release()
        async with running_engine(toml, directory=tmp_path) as engine:
            assert "an attempt was reconciled" in engine.log
            (attempt,) = engine.ledger_rows("charge_attempts")
            assert attempt["outcome"] == "unknown"
            assert sum(gateway.times_booked.values()) == 1
            assert len(gateway.requests) == 1, "nothing was sent again"


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["in-band", "telephone-event"])
async def test_fifty_calls_at_once_all_pay_with_every_digit_once(mode: str, tmp_path: Path) -> None:
    keys = {
        "payment-card-number": f"{VISA}#",
        "expiration-date": expiry(),
        "security-code": "123",
        "postal-code": "94105#",
    }
    async with running_engine(DEFAULT_TOML, directory=tmp_path) as engine:
        results = await run_load(engine.uri(), calls=CALLS, mode=mode, keys=keys)
    # Read when the engine has stopped: the caller's BYE does not wait for the disk, and a stop writes what waits.
    booked = engine.sandbox_transactions()
    payments = engine.ledger_rows("payments")
    assert len(results) == CALLS
    assert all(result.connected and result.ended_by_peer for result in results)
    # A lost or doubled digit would have failed a check, and a step would have been asked again or a card refused.
    assert [row["outcome"] for row in booked] == ["succeeded"] * CALLS
    assert [row["result"] for row in payments] == ["success"] * CALLS
    assert len({row["transaction_id"] for row in booked}) == CALLS
    assert engine.log.count("payment step") == CALLS * 6, "no step was asked twice"
