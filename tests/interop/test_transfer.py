"""Transfer with PJSIP as each of the other parties: REFER and Replaces in both directions (RFC 5589)."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import pytest

from sip.address import Address, Listener
from sip.endpoint import Endpoint, EndpointConfig
from sip.events import (
    Event,
    InviteReceived,
    ReferProgress,
    ReferReceived,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionId,
)
from sip.uri import NameAddr, Uri
from tests.interop.transfer_peer import HOST, WAIT_S, TransferPeer
from tests.support.sip_pair import answer_of, offer_of

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.skipif(
        importlib.util.find_spec("pjsua2") is None,
        reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
    ),
]

E = TypeVar("E")


class Party(asyncio.DatagramProtocol):
    """Our endpoint on a socket; it answers every call, without media."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.address = Address(HOST, transport.get_extra_info("sockname")[1])
        self.uri = f"sip:pay@{HOST}:{self.address.port}"
        listener = Listener(id=1, host=HOST, port=self.address.port)
        self.endpoint = Endpoint(EndpointConfig(listeners=(listener,), tcp_above=None), entropy=secrets.token_bytes)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.endpoint.receive_datagram(data, Address(*addr), self.now)
        self.flush()

    def flush(self) -> None:
        while True:
            for data, target in self.endpoint.datagrams_to_send(self.now):
                self._transport.sendto(data, (target.host, target.port))
            event = self.endpoint.next_event()
            if event is None:
                break
            self._on_event(event)
        if self._timer is not None:
            self._timer.cancel()
        due = self.endpoint.next_timer()
        self._timer = None if due is None else asyncio.get_running_loop().call_at(due, self._on_timer)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()

    def _on_timer(self) -> None:
        self.endpoint.handle_timer(self.now)
        self.flush()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()
        if isinstance(event, InviteReceived) and event.offer is not None:
            self.endpoint.answer(event.session, answer_of(self.address, event.offer), self.now)

    async def wait(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True) -> E:
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and wanted(event):
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def call(self, target: str, **headers: str) -> SessionId:
        uri = Uri.parse(target)
        session = self.endpoint.invite(
            uri,
            next_hop=Address(uri.host, uri.port or 5060),
            from_=NameAddr(uri=Uri.parse(self.uri)),
            offer=offer_of(self.address),
            now=self.now,
            headers=headers.items(),
        )
        self.flush()
        await self.wait(SessionAnswered, lambda event: event.session == session)
        return session


@asynccontextmanager
async def party() -> AsyncIterator[Party]:
    _, one = await asyncio.get_running_loop().create_datagram_endpoint(Party, local_addr=(HOST, 0))
    try:
        yield one
    finally:
        one.close()


async def test_pjsip_follows_our_refer() -> None:
    async with party() as we, party() as desk, TransferPeer() as caller:
        await caller.say(f"call {we.uri}")
        session = (await we.wait(SessionConfirmed)).session
        we.endpoint.refer(session, Uri.parse(desk.uri), we.now)
        we.flush()
        invite = await desk.wait(InviteReceived)
        assert invite.headers.get("Referred-By") == f"<sip:pay@{HOST}>"
        outcome = await we.wait(ReferProgress, lambda event: event.final)
        assert outcome.status == 200
        assert next(e.status for e in we.events if isinstance(e, ReferProgress)) == 202
        await desk.wait(SessionConfirmed)


async def test_pjsip_tells_that_nobody_was_there() -> None:
    async with party() as we, TransferPeer() as caller:
        await caller.say(f"call {we.uri}")
        session = (await we.wait(SessionConfirmed)).session
        we.endpoint.refer(session, Uri.parse("sip:nobody@127.0.0.1:9;transport=tcp"), we.now)
        we.flush()
        outcome = await we.wait(ReferProgress, lambda event: event.final)
        assert outcome.status is not None
        assert outcome.status >= 400
        assert not [event for event in we.events if isinstance(event, SessionEnded)]


async def test_pjsip_takes_our_place_in_another_call() -> None:
    async with party() as we, TransferPeer() as caller, TransferPeer() as desk:
        await caller.say(f"call {we.uri}")
        first = (await we.wait(SessionConfirmed)).session
        second = await we.call(desk.uri)
        we.endpoint.refer(first, None, we.now, replaces=second)
        we.flush()
        outcome = await we.wait(ReferProgress, lambda event: event.final)
        assert outcome.status == 200
        assert (await we.wait(SessionEnded, lambda event: event.session == second)).cause == "remote_bye"


async def test_we_follow_the_refer_of_pjsip() -> None:
    async with party() as we, party() as desk, TransferPeer() as caller:
        await caller.say(f"call {we.uri}")
        await caller.wait_state(1, "confirmed")
        await caller.say(f"transfer 1 {desk.uri}")
        refer = await we.wait(ReferReceived)
        we.endpoint.accept_refer(refer.session, refer.refer_id, we.now)
        we.flush()
        await caller.wait(lambda event: event["event"] == "transfer" and event["status"] == 100)
        await we.call(str(refer.refer_to.uri))
        we.endpoint.notify_refer(refer.session, refer.refer_id, 200, "OK", we.now, final=True)
        we.flush()
        told = await caller.wait(lambda event: event["event"] == "transfer" and event["status"] == 200)
        assert told["final"]
        await desk.wait(SessionConfirmed)


async def test_pjsip_hears_that_its_refer_is_declined_and_the_call_goes_on() -> None:
    async with party() as we, TransferPeer() as caller:
        await caller.say(f"call {we.uri}")
        await caller.wait_state(1, "confirmed")
        await caller.say("transfer 1 sip:nobody@127.0.0.1:9")
        refer = await we.wait(ReferReceived)
        we.endpoint.refuse_refer(refer.session, refer.refer_id, 603, we.now)
        we.flush()
        told = await caller.wait(lambda event: event["event"] == "transfer")
        assert (told["status"], told["final"]) == (603, True)
        assert not [event for event in we.events if isinstance(event, SessionEnded)]


async def test_we_take_the_place_of_pjsip_in_another_call() -> None:
    async with party() as we, TransferPeer() as caller, TransferPeer() as desk:
        await caller.say(f"call {we.uri}")
        await caller.wait_state(1, "confirmed")
        await caller.say(f"call {desk.uri}")
        await caller.wait_state(2, "confirmed")
        await caller.say("replace 1 2")
        refer = await we.wait(ReferReceived)
        assert refer.replaces is not None
        we.endpoint.accept_refer(refer.session, refer.refer_id, we.now)
        we.flush()
        await we.call(str(refer.refer_to.uri.without_headers()), Replaces=str(refer.replaces))
        await caller.wait_state(2, "disconnected")
        we.endpoint.notify_refer(refer.session, refer.refer_id, 200, "OK", we.now, final=True)
        we.flush()
        told = await caller.wait(lambda event: event["event"] == "transfer" and event["status"] == 200)
        assert told["final"]


async def test_the_place_of_pjsip_in_our_call_goes_to_another() -> None:
    async with party() as we, TransferPeer() as caller, TransferPeer() as other:
        await caller.say(f"call {we.uri}")
        await caller.wait_state(1, "confirmed")
        first = (await we.wait(SessionConfirmed)).session
        await caller.say(f"call {other.uri}")
        await caller.wait_state(2, "confirmed")
        await caller.say("replace 2 1")
        invite = await we.wait(InviteReceived, lambda event: event.session != first)
        assert invite.replaces == first
        await we.wait(SessionConfirmed, lambda event: event.session == invite.session)
        assert (await we.wait(SessionEnded, lambda event: event.session == first)).cause == "local_bye"
        await caller.wait_state(1, "disconnected")
