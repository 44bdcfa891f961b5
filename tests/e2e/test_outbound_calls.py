"""Calls that the engine places: a payment taken from who answers, and every way in which nobody does.

The engine runs in the test's own process, so that its events can be read; the far end is a softphone in a process of
its own, or a callee made of text where a softphone cannot say what the test needs.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

import pytest

from engine.config import parse
from engine.connectors import SandboxGateway
from engine.errors import CallError
from engine.events import (
    CallAnswered,
    CallEnded,
    CallFailed,
    CallOutcome,
    CallRinging,
    EngineEvent,
    EntryProgress,
    PaymentFinished,
    PromptStarted,
    RegistrationState,
)
from engine.form import FormProgram
from engine.net.dialling import OutboundCall
from engine.service import Engine
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from sip.auth import parse_challenge
from sip.message import Request, Response
from sip.parser import parse_message
from tests.support.callee import ScriptedCallee, running_callee
from tests.support.caller import VISA, expiry
from tests.support.dns_server import running_dns_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio]

ROOT = Path(__file__).parents[2]
WAIT_S = 40.0
TOML = """
[sip]
listen = "127.0.0.1:0"
{sip}
[media]
srtp = "off"
ports = [31000, 31999]
[ledger]
url = "sqlite+aiosqlite:///{directory}/ledger.sqlite3"
[prompts]
cache = "{directory}/prompt-cache"
[connector.sandbox]
type = "sandbox"
database = "{directory}/sandbox.sqlite3"
[form.donation]
amount = "25.00"
currency = "usd"
connector = "sandbox"
timeout_s = 3.0
{more}
"""
Kind = TypeVar("Kind", bound=EngineEvent)


class Watched:
    """An engine and what it tells."""

    def __init__(self, directory: Path, *, sip: str = "", more: str = "") -> None:
        self.directory = directory
        self.events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self.told: list[EngineEvent] = []
        config = parse(TOML.format(directory=directory, sip=sip, more=more))
        self.engine = Engine(config, observer=self.events.put_nowait)

    def place(self, to: str, **how: object) -> str:
        return self.engine.place_call(OutboundCall(to=to, form="donation", **how))  # type: ignore[arg-type]

    async def wait(self, kind: type[Kind]) -> Kind:
        """Return the next event of that kind."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self.events.get()
                self.told.append(event)
                if isinstance(event, kind):
                    return event

    async def failed(self) -> CallFailed:
        """Return why the call failed, once it is over and its record is written."""
        failed = await self.wait(CallFailed)
        ended = await self.wait(CallEnded)
        assert ended.call_id == failed.call_id
        assert ended.cause == failed.outcome
        assert self.engine.active_calls == 0
        assert not any(isinstance(event, CallAnswered) for event in self.told)
        return failed

    def records(self) -> list[tuple[str, str, str]]:
        with sqlite3.connect(f"file:{self.directory}/ledger.sqlite3?mode=ro", uri=True) as connection:
            rows = connection.execute("SELECT direction, dialled, cause FROM calls").fetchall()
        connection.close()
        return rows


@asynccontextmanager
async def watched(directory: Path, *, sip: str = "", more: str = "") -> AsyncIterator[Watched]:
    found = Watched(directory, sip=sip, more=more)
    await found.engine.start()
    try:
        yield found
    finally:
        await found.engine.stop(drain_s=0)


async def key_the_payment(found: Watched, phone: Softphone) -> PaymentFinished:
    """Key what each step asks for, as its prompt begins."""
    keys = {
        "payment-card-number": f"{VISA}#",
        "expiration-date": expiry(),
        "security-code": "123",
        "postal-code": "94105#",
    }
    async with asyncio.timeout(90):
        while not isinstance(event := await found.events.get(), PaymentFinished):
            found.told.append(event)
            if isinstance(event, PromptStarted) and (wanted := keys.pop(event.step, "")):
                await phone.keys(wanted)
    return event


@pytest.mark.parametrize("backend", [BackendName.AUTO, pytest.param(BackendName.NATIVE, marks=pytest.mark.soak)])
async def test_who_is_called_pays(tmp_path: Path, backend: BackendName) -> None:
    async with watched(tmp_path) as found, Softphone(backend=backend) as phone:
        call_id = found.place(phone.uri)
        await phone.wait_incoming(timeout_s=20)
        assert (await found.wait(CallRinging)).status == 180
        await phone.answer()
        answered = await found.wait(CallAnswered)
        assert (answered.call_id, answered.direction, answered.dialled) == (call_id, "out", "phone")
        assert answered.telephone_event
        paid = await key_the_payment(found, phone)
        assert (paid.result, paid.amount) == ("success", "25.00")
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        await found.wait(CallEnded)
        assert found.records() == [("out", "phone", "local_bye")]
        (booked,) = SandboxGateway.read(f"{tmp_path}/sandbox.sqlite3")
        assert dict(booked)["outcome"] == "succeeded"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (486, CallOutcome.BUSY),
        (600, CallOutcome.BUSY),
        (603, CallOutcome.REFUSED),
        (403, CallOutcome.REFUSED),
        (404, CallOutcome.NOT_FOUND),
        (480, CallOutcome.NO_ANSWER),
        (488, CallOutcome.NO_MEDIA),
        (503, CallOutcome.UNREACHABLE),
    ],
)
async def test_a_refusal_is_told_as_what_it_means(tmp_path: Path, status: int, outcome: CallOutcome) -> None:
    async with watched(tmp_path) as found, running_callee() as callee:
        found.place(callee.uri)
        callee.respond(await callee.take("INVITE"), status)
        failed = await found.failed()
        assert (failed.outcome, failed.status) == (outcome, status)
        assert found.records() == [("out", "callee", str(outcome))]
        await callee.take("ACK")


async def test_a_softphone_that_is_busy_is_told(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, Softphone() as phone:
        found.place(phone.uri)
        await phone.wait_incoming(timeout_s=20)
        await phone.answer(status=486)
        assert (await found.failed()).outcome is CallOutcome.BUSY


async def test_who_does_not_answer_is_cancelled_after_the_ring_time(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, running_callee() as callee:
        found.place(callee.uri, ring_s=1.0)
        invite = await callee.take("INVITE")
        callee.respond(invite, 180)
        cancel = await callee.take("CANCEL")
        assert cancel.via.branch == invite.via.branch
        callee.respond(cancel, 200)
        callee.respond(invite, 487)
        await callee.take("ACK")
        assert (await found.failed()).outcome is CallOutcome.NO_ANSWER


async def test_an_answer_that_crosses_the_cancel_is_hung_up(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, running_callee() as callee:
        call_id = found.place(callee.uri)
        invite = await callee.take("INVITE")
        callee.respond(invite, 180)
        await found.wait(CallRinging)
        found.engine.hang_up(call_id)
        callee.respond(invite, 200, sdp=callee.sdp(invite))
        callee.respond(await callee.take("CANCEL"), 481)
        await callee.take("ACK")
        callee.respond(await callee.take("BYE"), 200)
        assert (await found.failed()).outcome is CallOutcome.CANCELLED


async def test_keys_pressed_in_early_media_are_kept_for_the_first_step(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, running_callee() as callee:
        found.place(callee.uri)
        invite = await callee.take("INVITE")
        callee.respond(invite, 183, sdp=callee.sdp(invite))
        ringing = await found.wait(CallRinging)
        assert (ringing.status, ringing.early_media) == (183, True)
        callee.key(invite, f"{VISA}#")
        await keys_heard(found, len(VISA) + 1)
        callee.respond(invite, 200)  # §13.2.1: the answer need not be said again
        await callee.take("ACK")
        await found.wait(CallAnswered)
        while not (progress := await found.wait(EntryProgress)).card_number:
            pass
        assert progress.card_number.endswith(VISA[-4:])
        assert VISA not in str(found.told)
        found.engine.hang_up_all()
        callee.respond(await callee.take("BYE"), 200)
        finished = await found.wait(PaymentFinished)
        assert dict(finished.digits_by_source) == {"telephone-event": len(VISA) + 1}


async def keys_heard(found: Watched, count: int) -> None:
    """Wait until the call's leg has heard so many keys."""
    (call,) = found.engine.switchboard.calls()
    async with asyncio.timeout(WAIT_S):
        while sum(cast(FormProgram, call.program)._run._digits.values()) < count:
            await asyncio.sleep(0.01)


async def test_the_last_fork_with_early_media_counts_until_the_answer(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, running_callee() as first, running_callee() as second:
        found.place(first.uri)
        invite = await first.take("INVITE")
        first.respond(invite, 183, tag="one", sdp=first.sdp(invite))
        await found.wait(CallRinging)
        first.respond(invite, 183, tag="two", sdp=second.sdp(invite))
        first.respond(invite, 180, tag="two")
        await found.wait(CallRinging)
        (call,) = found.engine.switchboard.calls()
        assert call._media is not None
        assert call._media.remote_rtp_port == second.sdp(invite).media[0].port
        first.respond(invite, 200, tag="one", sdp=first.sdp(invite))
        await found.wait(CallAnswered)
        assert call._media.remote_rtp_port == first.sdp(invite).media[0].port
        await first.take("ACK")
        found.engine.hang_up_all()
        first.respond(await first.take("BYE"), 200)
        await found.wait(CallEnded)


async def test_an_answer_without_a_description_is_acknowledged_and_hung_up(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, running_callee() as callee:
        found.place(callee.uri)
        callee.respond(await callee.take("INVITE"), 200)
        await callee.take("ACK")
        callee.respond(await callee.take("BYE"), 200)
        assert (await found.failed()).outcome is CallOutcome.NO_MEDIA


async def test_a_redirection_is_followed_once_to_each_target(tmp_path: Path) -> None:
    async with watched(tmp_path) as found, running_callee() as first, running_callee() as second:
        found.place(first.uri, headers={"X-Order": "4711"}, assert_identity=True, caller="+15005550006")
        invite = await first.take("INVITE")
        assert invite.headers.get("X-Order") == "4711"
        assert "+15005550006" in (invite.headers.get("P-Asserted-Identity") or "")
        assert invite.from_.uri.user == "+15005550006"
        contacts = (("Contact", f"<{first.uri}>;q=0.9, <{second.uri}>;q=0.5, <mailto:a@example.com>"),)
        first.respond(invite, 302, headers=contacts)
        await first.take("ACK")
        again = await second.take("INVITE")
        assert str(again.uri) == second.uri
        assert again.call_id != invite.call_id
        # Who is only named by a redirection learns no more than who calls.
        assert "X-Order" not in again.headers
        assert "P-Asserted-Identity" not in again.headers
        second.respond(again, 302, headers=(("Contact", f"<{first.uri}>"),))  # a loop
        await second.take("ACK")
        failed = await found.failed()
        assert (failed.outcome, failed.status) == (CallOutcome.REFUSED, 302)
        assert len(first.seen) == 2


async def test_a_redirection_is_not_followed_when_it_shall_not_be(tmp_path: Path) -> None:
    more = "[outbound]\nfollow_redirects = false\n"
    async with watched(tmp_path, more=more) as found, running_callee() as first, running_callee() as second:
        found.place(first.uri)
        first.respond(await first.take("INVITE"), 302, headers=(("Contact", f"<{second.uri}>"),))
        assert (await found.failed()).status == 302
        assert second.seen == []


async def test_a_number_goes_to_the_gateway_under_the_account_with_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBX_PASSWORD", "correct horse")
    async with running_callee() as gateway:
        more = (
            f'[outbound]\naccount = "pbx"\n[account.pbx]\nregistrar = "sip:127.0.0.1:{gateway.port}"\nuser = "till"\n'
            'password_env = "PBX_PASSWORD"\n'
        )
        async with watched(tmp_path, more=more) as found:
            found.place("tel:+1-500-555-0006")
            invite = await next_invite(gateway)
            assert str(invite.uri) == f"sip:+15005550006@127.0.0.1:{gateway.port};user=phone"
            assert invite.from_.uri.user == "till"
            challenge = 'Digest realm="pbx", nonce="n0", qop="auth", algorithm=SHA-256'
            assert parse_challenge(challenge) is not None
            gateway.respond(invite, 407, headers=(("Proxy-Authenticate", challenge),))
            again = await next_invite(gateway)
            assert 'username="till"' in (again.headers.get("Proxy-Authorization") or "")
            gateway.respond(again, 486)
            assert (await found.failed()).outcome is CallOutcome.BUSY


async def next_invite(callee: ScriptedCallee) -> Request:
    """Return the next INVITE; what else comes (REGISTER, ACK) is passed over."""
    async with asyncio.timeout(WAIT_S):
        while True:
            request = await callee.requests.get()
            if request.method == "INVITE":
                return request


async def test_a_domain_is_located_by_its_services(tmp_path: Path) -> None:
    async with running_callee() as callee:
        zone = {
            ("_sip._udp.pbx.example", "SRV"): (f"1 0 {callee.port} host.pbx.example.",),
            ("host.pbx.example", "A"): ("127.0.0.1",),
        }
        async with (
            running_dns_server(zone) as server,
            watched(tmp_path, sip=f'dns = {{ servers = ["{server.address}"], timeout_s = 1.0 }}') as found,
        ):
            found.place("sip:till@pbx.example")
            invite = await callee.take("INVITE")
            assert str(invite.uri) == "sip:till@pbx.example"
            callee.respond(invite, 486)
            await found.failed()
            found.place("sip:till@nowhere.example")
            failed = await found.failed()
            assert failed.outcome is CallOutcome.UNREACHABLE
            assert "no address" in failed.reason


@pytest.mark.parametrize("is_silent", [False, True])
async def test_rfc_3263_4_3_the_next_address_is_called_when_one_is_down_and_first_the_next_time(
    tmp_path: Path, is_silent: bool
) -> None:
    async with running_callee() as down, running_callee() as up:
        zone = {
            ("_sip._udp.pbx.example", "SRV"): (
                f"1 0 {down.port} host.pbx.example.",
                f"2 0 {up.port} host.pbx.example.",
            ),
            ("host.pbx.example", "A"): ("127.0.0.1",),
        }
        async with (
            running_dns_server(zone) as server,
            watched(tmp_path, sip=f'dns = {{ servers = ["{server.address}"], timeout_s = 1.0 }}') as found,
        ):
            found.place("sip:till@pbx.example")
            invite = await down.take("INVITE")
            if not is_silent:
                down.respond(invite, 503)
            again = await up.take("INVITE")
            assert (again.call_id, again.uri) == (invite.call_id, invite.uri)
            assert again.via.branch != invite.via.branch
            up.respond(again, 180)
            await found.wait(CallRinging)
            up.respond(again, 486)
            assert (await found.failed()).outcome is CallOutcome.BUSY
            found.place("sip:till@pbx.example")
            await up.take("ACK")
            up.respond(await up.take("INVITE"), 486)
            assert (await found.failed()).outcome is CallOutcome.BUSY
            assert [request.method for request in down.seen if request.method == "INVITE"] == ["INVITE"]


async def test_a_registrar_that_fails_is_located_anew(tmp_path: Path) -> None:
    async with running_callee() as old, running_callee() as new:
        name = ("_sip._udp.pbx.example", "SRV")
        zone = {name: (f"1 0 {old.port} host.pbx.example.",), ("host.pbx.example", "A"): ("127.0.0.1",)}
        async with running_dns_server(zone, ttl_s=0) as server:
            sip = f'dns = {{ servers = ["{server.address}"], timeout_s = 1.0 }}'
            more = '[account.pbx]\nregistrar = "sip:pbx.example"\nuser = "till"\n'
            async with watched(tmp_path, sip=sip, more=more) as found:
                register = await old.take("REGISTER")
                server.zone[name] = [f"1 0 {new.port} host.pbx.example."]
                old.respond(register, 503)
                again = await new.take("REGISTER")
                new.respond(again, 200, headers=(("Contact", f"{again.headers.get('Contact')};expires=300"),))
                async with asyncio.timeout(WAIT_S):
                    while (await found.wait(RegistrationState)).state != "registered":
                        pass
                stopping = asyncio.ensure_future(found.engine.stop(drain_s=0))
                new.respond(await new.take("REGISTER"), 200)
                await stopping


async def test_a_call_goes_by_the_transport_of_the_uri(tmp_path: Path) -> None:
    invites: asyncio.Queue[Request] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"Content-Length: *([0-9]+)", head)[0])
        invite = parse_message(head + await reader.readexactly(length))
        assert isinstance(invite, Request)
        invites.put_nowait(invite)
        writer.write(Response.to_request(invite, 486, to_tag="callee").serialize())
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, watched(tmp_path) as found:
        found.place(f"sip:callee@127.0.0.1:{port};transport=tcp")
        invite = await asyncio.wait_for(invites.get(), WAIT_S)
        assert invite.via.transport == "TCP"
        assert (await found.failed()).outcome is CallOutcome.BUSY


async def test_what_cannot_be_placed_is_said_at_once(tmp_path: Path) -> None:
    async with watched(tmp_path, sip="max_calls = 1") as found, running_callee() as callee:
        for to in ("callee", "mailto:a@example.com", "+15005550006", "sip:", "sip:a@b?Subject=x"):
            with pytest.raises(CallError):
                found.place(to)
        with pytest.raises(CallError, match="X-"):
            found.place(callee.uri, headers={"From": "somebody"})
        assert found.engine.active_calls == 0
        call_id = found.place(callee.uri)
        with pytest.raises(CallError, match="max_calls"):
            found.place(callee.uri)
        callee.respond(await callee.take("INVITE"), 180)
        await found.wait(CallRinging)
        stopping = asyncio.ensure_future(found.engine.stop(drain_s=5))
        cancel = await callee.take("CANCEL")
        with pytest.raises(CallError, match="stopping"):
            found.place(callee.uri)
        callee.respond(cancel, 200)
        callee.respond(callee.seen[0], 487)
        failed = await found.wait(CallFailed)
        assert (failed.call_id, failed.outcome) == (call_id, CallOutcome.CANCELLED)
        await stopping


async def dial(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run ``paytone dial``; return its status and output."""
    (directory / "paytone.toml").write_text(TOML.format(directory=directory, sip="", more=""))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine", "dial", *arguments, "--config", "paytone.toml",
        cwd=directory, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, output.decode()


async def test_the_command_tells_how_it_went_by_lines_and_status(tmp_path: Path) -> None:
    async with running_callee() as callee:

        async def busy() -> None:
            invite = await callee.take("INVITE")
            callee.respond(invite, 180)
            callee.respond(invite, 486)

        answering = asyncio.ensure_future(busy())
        status, output = await dial(tmp_path, callee.uri, "--form", "donation")
        await answering
        assert status == 3, output
        assert output.splitlines()[:2] == ["ringing (180)", "not answered: busy (486 Busy Here)"]
    status, output = await dial(tmp_path, "nobody", "--form", "donation")
    assert (status, "no SIP URI" in output) == (2, True)
    status, output = await dial(tmp_path, "sip:a@127.0.0.1:9", "--form", "nothing")
    assert (status, "form.nothing" in output) == (2, True)
