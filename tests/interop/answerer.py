"""A SIP endpoint on a real socket with the simplest of applications, for programs that call it.

It has no media and no ledger, so what is measured is the SIP stack alone; its timers are 20 times as short as usual, so
that a test sees within two seconds whether anything is left behind. The dialled user says what becomes of a call.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.config import split_listen
from engine.net.listen import bind_listeners
from engine.net.transports import SipTransports
from sip.address import Address, Listener
from sip.endpoint import Endpoint, EndpointConfig
from sip.events import Event, InviteReceived, OfferReceived, OfferRequested, ReferReceived
from tests.support.sip_pair import answer_of, offer_of
from tests.support.sources import OpenNetworks

__all__ = ("Answerer", "running_answerer")

T1_S = 0.025
QUIET_WITHIN_S = 64 * T1_S + 10.0


class Answerer:
    """Answers calls to ``pay``, lets those to ``ring`` ring, refuses those to ``busy``, and all others with 404."""

    def __init__(self, port: int) -> None:
        self.address = Address("127.0.0.1", port)
        self.events: list[Event] = []
        listener = Listener(id=1, host=self.address.host, port=port)
        config = EndpointConfig(listeners=(listener,), t1_s=T1_S, t2_s=4 * T1_S, t4_s=4 * T1_S)
        self.endpoint = Endpoint(config, entropy=os.urandom)
        self.agent = SipTransports(self.endpoint, OpenNetworks(("127.0.0.0/8",)), self._take)

    def count(self, kind: type[Event]) -> int:
        """Return how many events of a kind came."""
        return sum(isinstance(event, kind) for event in self.events)

    async def wait_quiet(self) -> None:
        """Wait until no session, dialog, transaction or timer is left."""
        try:
            async with asyncio.timeout(QUIET_WITHIN_S):
                while self._open():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"left behind: {self._open()}") from None

    def _open(self) -> dict[str, int]:
        now = self.endpoint.statistics
        left = {"sessions": now.sessions, "dialogs": now.dialogs, "transactions": now.transactions}
        return {what: count for what, count in {**left, "timers": now.timers}.items() if count}

    def _take(self, event: Event) -> None:
        self.events.append(event)
        now = asyncio.get_running_loop().time()
        match event:
            case InviteReceived():
                user = event.request_uri.user
                if user == "pay":
                    sdp = offer_of(self.address) if event.offer is None else answer_of(self.address, event.offer)
                    self.endpoint.ring(event.session, now)
                    self.endpoint.answer(event.session, sdp, now)
                elif user == "ring":
                    self.endpoint.ring(event.session, now)
                else:
                    self.endpoint.reject(event.session, 486 if user == "busy" else 404, now)
            case OfferReceived():
                self.endpoint.answer_offer(event.session, answer_of(self.address, event.offer), now)
            case OfferRequested():
                self.endpoint.answer_offer(event.session, offer_of(self.address), now)
            case ReferReceived():
                self.endpoint.refuse_refer(event.session, event.refer_id, 603, now)
            case _:
                pass


@asynccontextmanager
async def running_answerer() -> AsyncIterator[Answerer]:
    """Run an answerer on a free port of loopback."""
    sockets = bind_listeners(split_listen("udp:127.0.0.1:0"), next_free=False)
    answerer = Answerer(sockets[0].port)
    await answerer.agent.open(sockets)
    try:
        yield answerer
    finally:
        await answerer.agent.close()
