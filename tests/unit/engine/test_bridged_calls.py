"""Calls that are bridged, on a media plane ticked by hand: what crosses, who goes first, hold; and who may transfer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import numpy as np
import pytest

from engine.call import Call, CallContext, IncomingCall
from engine.config import Config, MediaConfig, parse
from engine.errors import CallError
from engine.ledger import Ledger
from engine.media import MediaTimeout
from engine.net.dns import Resolver
from engine.net.transports import SipTransports
from engine.program import CallControl, CallState, Transfer
from engine.switchboard import Switchboard
from sip.address import Address, Transport
from sip.errors import LocalProtocolError
from sip.events import (
    EndCause,
    InfoDigitReceived,
    InviteReceived,
    OfferReceived,
    ReferReceived,
    SessionConfirmed,
    SessionEnded,
    SessionId,
)
from sip.headers import Headers
from sip.replaces import Replaces
from sip.sdp import SessionDescription
from sip.sdp import parse as parse_sdp
from sip.uri import NameAddr, Uri
from tests.support.call_parts import FakeLedger, FakeProgram, Signals
from tests.support.rtp_peer import MediaCase, Peer, audio
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def said(peer: Peer, direction: str = "sendrecv") -> SessionDescription:
    """What a telephone offers."""
    host, port = peer.address
    lines = (
        *("v=0", f"o=- 5 5 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"),
        *(f"m=audio {port} RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", f"a={direction}"),
    )
    return parse_sdp("\r\n".join(lines).encode())


class Program(FakeProgram):
    """Notes what it is told."""

    def __init__(self, call: CallControl) -> None:
        super().__init__(call)
        self.keys: list[int] = []
        self.hung_up = 0

    def digit(self, code: int, now: float) -> None:
        self.keys.append(code)

    def hang_up(self, now: float) -> None:
        self.hung_up += 1


class Party:
    """A call in and the telephone at its far end."""

    def __init__(self, case: MediaCase, number: int) -> None:
        self.case = case
        self.session = SessionId(number)
        self.signals = Signals()
        self.gone: list[Call] = []
        self.program: Program
        # A socket first: the offer says where it is. It learns of the leg afterwards.
        placeholder = case.plane.open_leg()
        self.peer = case.peer(placeholder)
        placeholder.close()
        self.call = IncomingCall(
            f"{number:032x}",
            InviteReceived(
                session=self.session,
                request_uri=Uri.parse("sip:pay@192.0.2.10"),
                from_=NameAddr(uri=Uri.parse("sip:caller@192.0.2.20")),
                to=NameAddr(uri=Uri.parse("sip:pay@192.0.2.10")),
                source=Address("192.0.2.20", 5060),
                call_id="x",
                offer=said(self.peer),
                headers=Headers(()),
                is_trusted=False,
            ),
            CallContext(
                signalling=self.signals,
                plane=case.plane,
                ledger=cast("Ledger", FakeLedger()),
                advertised_host="127.0.0.1",
                rtp_timeout_ms=60_000,
                media=MediaConfig(),
                notify=lambda event: None,
                now=lambda: case.now,
            ),
            self._program,
            self.gone.append,
        )
        self.call.start()
        self.call.acknowledged(SessionConfirmed(session=self.session, answer=None))
        assert self.call._leg is not None
        self.peer.leg_address = ("127.0.0.1", self.call._leg.rtp_port)

    def _program(self, call: CallControl) -> Program:
        self.program = Program(call)
        return self.program

    def reinvite(self, direction: str) -> None:
        self.call.offered(OfferReceived(session=self.session, offer=said(self.peer, direction)))

    def end(self) -> None:
        self.call.ended(SessionEnded(session=self.session, cause=EndCause.REMOTE_BYE, status=None, reason=""))

    def silence(self) -> None:
        """The media plane hears nothing for too long."""
        self.call.media_event(MediaTimeout(leg_id=self.call.leg_id or 0, silent_ms=60_000))

    def heard(self) -> float:
        """Return the energy that the telephone got since the last time."""
        packets = [packet for packet in self.peer.received() if packet.payload_type == 0]
        return float(
            sum(np.sum(np.abs(np.frombuffer(packet.payload, np.uint8).astype(int) - 255)) for packet in packets)
        )


def pair(case: MediaCase) -> tuple[Party, Party]:
    """A caller and an agent, connected as a Dial does it."""
    caller, agent = Party(case, 1), Party(case, 2)
    caller.call.mask_line()
    agent.call.mask_line()
    caller.call.bridge(agent.call)
    return caller, agent


def talk(case: MediaCase, party: Party, *, at: int = 0) -> None:
    """Let a party say something for a second."""
    samples = audio(1.0)
    for start in range(0, len(samples) - TICK + 1, TICK):
        party.peer.send_audio(samples[start : start + TICK], timestamp=at + start)
        case.tick()


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def test_what_one_says_the_other_hears_until_one_goes(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        talk(case, caller)
        assert agent.heard() > 0
        assert (caller.call.bridged_with, agent.call.bridged_with) == (agent.call, caller.call)
        agent.end()
        assert caller.call.bridged_with is None
        assert caller.call.state is CallState.ANSWERED
        assert (agent.program.hung_up, caller.program.hung_up) == (1, 0)
        await settle()
        assert agent.gone == [agent.call]
        case.tick(5)
        caller.end()
        await settle()
        assert caller.gone == [caller.call]

    run(play)


def test_a_key_that_comes_by_info_goes_to_the_program_and_to_nobody_else(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        case.tick(10)
        agent.peer.received()
        for masked in (False, True):
            caller.call.mask(masked)
            caller.call.info_digit(InfoDigitReceived(session=caller.session, event=7, duration_ms=100))
            case.tick(40)
            assert {packet.payload_type for packet in agent.peer.received()} <= {0, 13}
            case.now += 1.0
        assert caller.program.keys == [7, 7]

    run(play)


@pytest.mark.parametrize("masked", [False, True])
def test_a_telephone_event_crosses_unless_the_mask_is_on(case: MediaCase, masked: bool) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        talk(case, caller)
        agent.peer.received()
        caller.call.mask(masked)
        case.tick(2)
        for duration in (160, 320, 480):
            caller.peer.send_event(5, timestamp=9000, duration=duration, end=duration == 480)
            for event in case.tick():
                caller.call.media_event(event)
        case.tick(20)
        crossed = [packet for packet in agent.peer.received() if packet.payload_type == 101]
        assert bool(crossed) is not masked
        assert caller.program.keys == [5]

    run(play)


@pytest.mark.parametrize("direction", ["sendonly", "inactive", "recvonly"])
@pytest.mark.parametrize("holder", ["caller", "agent"])
def test_hold_keeps_the_bridge_and_no_silence_ends_the_call(case: MediaCase, holder: str, direction: str) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        one = caller if holder == "caller" else agent
        other = agent if one is caller else caller
        one.reinvite(direction)
        case.tick(3)
        one.heard()
        talk(case, other)
        # Who puts the call on hold wants to hear nothing; who only listens hears on.
        assert (one.heard() > 0) is (direction == "recvonly")
        if direction != "sendonly":
            one.silence()
        assert one.call.state is CallState.ANSWERED
        one.reinvite("sendrecv")
        case.tick(3)
        talk(case, other, at=80_000)
        assert one.heard() > 0
        assert one.call.bridged_with is other.call
        one.silence()  # resumed: silence counts again
        assert str(one.call.state) == "ended"
        assert other.call.bridged_with is None

    run(play)


def test_a_call_that_is_over_cannot_be_bridged_and_says_why_it_ended(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        assert agent.call.cause == ""
        agent.end()
        assert agent.call.cause == "remote_bye"
        await settle()
        caller.call.unbridge()
        caller.end()
        await settle()

    run(play)


# -- REFER -----------------------------------------------------------------------------------------------------------


class Endpoint:
    """What a switchboard asks of the SIP endpoint about a REFER."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.is_gone = False

    def accept_refer(self, session: SessionId, refer_id: int, now: float) -> None:
        self.asked.append(("accept", refer_id))

    def refuse_refer(self, session: SessionId, refer_id: int, status: int, now: float) -> None:
        self.asked.append(("refuse", status))

    def notify_refer(self, session: SessionId, refer_id: int, status: int, reason: str, now: float) -> None:
        if self.is_gone:
            raise LocalProtocolError("no such REFER")
        self.asked.append(("notify", status))


class Agent:
    def __init__(self) -> None:
        self.endpoint = Endpoint()

    def flush(self) -> None:
        pass


class Follower(Program):
    """Follows a REFER, or cannot."""

    answer: bool | Exception = True
    wanted: Transfer | None = None

    def transfer(self, wanted: Transfer) -> bool:
        self.wanted = wanted
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ALLOWED = parse('[connector.sandbox]\ntype = "sandbox"\n[twilio]\nallow_transfers = true\n')
DENIED = parse('[connector.sandbox]\ntype = "sandbox"\n')


def referred(
    case: MediaCase, config: Config, program: type[FakeProgram], *, answer: bool | Exception = True
) -> tuple[Endpoint, Program]:
    """Let the peer of a call send a REFER."""
    party = Party(case, 1)
    party.call._program = found = program(party.call)
    if isinstance(found, Follower):
        found.answer = answer
    agent, unused = Agent(), cast("Any", None)
    switchboard = Switchboard(
        config,
        cast("CallContext", unused),
        cast("SipTransports", agent),
        cast("Resolver", unused),
        transports=(Transport.UDP,),
        own_host="192.0.2.10",
        own_port=5060,
        program_for=unused,
    )
    switchboard.attach(party.call, party.session)
    switchboard.sip_event(
        ReferReceived(
            session=party.session,
            refer_id=9,
            refer_to=NameAddr(uri=Uri.parse("sip:expert@pbx.example.com?Replaces=evil&X-Header=1")),
            replaces=Replaces(call_id="abc", to_tag="1", from_tag="2"),
            referred_by="<sip:agent@pbx.example.com>",
        )
    )
    return agent.endpoint, cast("Program", found)


@pytest.mark.parametrize(
    ("config", "program", "answer", "asked"),
    [
        (ALLOWED, Follower, True, ("accept", 9)),
        (ALLOWED, Follower, False, ("refuse", 603)),
        (ALLOWED, Follower, CallError("no gateway"), ("refuse", 403)),
        (ALLOWED, Program, True, ("refuse", 603)),
        (DENIED, Follower, True, ("refuse", 603)),
    ],
)
def test_a_transfer_is_followed_where_configuration_and_program_allow_it(
    case: MediaCase,
    config: Config,
    program: type[FakeProgram],
    answer: bool | Exception,
    asked: tuple[str, int],
) -> None:
    async def play() -> None:
        endpoint, found = referred(case, config, program, answer=answer)
        assert endpoint.asked == [asked]
        if config is DENIED and isinstance(found, Follower):
            assert found.wanted is None

    run(play)


def test_a_program_gets_the_target_without_what_a_peer_wrote_into_its_headers(case: MediaCase) -> None:
    async def play() -> None:
        endpoint, found = referred(case, ALLOWED, Follower)
        wanted = cast("Follower", found).wanted
        assert wanted is not None
        assert wanted.to == "sip:expert@pbx.example.com"
        assert wanted.replaces == "abc;to-tag=1;from-tag=2"
        assert wanted.referred_by == "<sip:agent@pbx.example.com>"
        wanted.report(180, "Ringing")
        wanted.report(200, "OK")
        assert endpoint.asked[1:] == [("notify", 180), ("notify", 200)]
        endpoint.is_gone = True
        wanted.report(200, "OK")  # the peer hung up, or wants to hear no more

    run(play)
