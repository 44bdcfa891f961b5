"""A call that we place, between fakes: targets, early answers, time, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from engine.call import Call, CallContext, OutgoingCall
from engine.config import MediaConfig, parse
from engine.errors import CallError, MediaError, TargetError
from engine.events import CallAnswered, CallCreated, CallEnded, CallFailed, CallOutcome, CallRinging, EngineEvent
from engine.ledger import Ledger
from engine.media import MediaPlane
from engine.net.dialling import OutboundCall, plan_call
from engine.program import CallControl, Program
from sip.address import Address
from sip.events import EndCause, OfferReceived, SessionAnswered, SessionEnded, SessionId, SessionRinging
from sip.sdp import SessionDescription
from sip.uri import NameAddr, Uri
from tests.support.call_parts import FakeLedger, FakePlane, FakeProgram, Signals, described

HOP = Address("192.0.2.20", 5060)
EARLY = ("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
OTHER = ("m=audio 6000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")


class Clocked(asyncio.SelectorEventLoop):
    """A loop whose time the test moves on."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class FakeDialler:
    """Finds one address for every host but ``lost``, and notes what is dialled."""

    def __init__(self) -> None:
        self.dialled: list[tuple[str, SessionDescription]] = []
        self.failed: list[Address] = []
        self.lost: set[str] = set()
        self.hold = asyncio.Event()
        self.hold.set()

    async def locate(self, uri: Uri, *, secure: bool) -> tuple[Address, ...]:
        await self.hold.wait()
        if uri.host in self.lost:
            raise TargetError("no address")
        return (HOP,)

    def invite(
        self, call: OutgoingCall, target: Uri, next_hops: tuple[Address, ...], offer: SessionDescription
    ) -> None:
        self.dialled.append((str(target), offer))
        call.session = SessionId(len(self.dialled))

    def mark_failed(self, next_hops: tuple[Address, ...]) -> None:
        self.failed += next_hops


class StartedProgram(FakeProgram):
    started = 0

    def start(self, now: float) -> None:
        self.started += 1


class Scene:
    """An outgoing call to ``to``."""

    def __init__(self, to: str = "sip:payer@example.com", *, toml: str = "[form.gift]\n", **media: Any) -> None:
        self.signals, self.plane, self.dialler = Signals(), FakePlane(), FakeDialler()
        self.gone: list[Call] = []
        self.told: list[EngineEvent] = []
        config = parse(f'[connector.sandbox]\ntype = "sandbox"\n{toml}')
        self.call = OutgoingCall(
            "call",
            plan_call(OutboundCall(to=to, form="gift", ring_s=30.0), config, own_host="192.0.2.10", own_port=5060),
            CallContext(
                signalling=self.signals,
                plane=cast("MediaPlane", self.plane),
                ledger=cast("Ledger", FakeLedger()),
                advertised_host="192.0.2.10",
                rtp_timeout_ms=60_000,
                media=MediaConfig(**media),
                notify=self.told.append,
                now=asyncio.get_running_loop().time,
            ),
            self._run,
            self.gone.append,
            self.dialler,
        )

    def _run(self, call: CallControl) -> Program:
        self.program = StartedProgram(call)
        return self.program

    async def start(self) -> Scene:
        self.call.start()
        await settle()
        return self

    def ring(self, *sdp: str, status: int = 183) -> None:
        early = described(*sdp) if sdp else None
        self.call.ringing(SessionRinging(session=self.call.session, status=status, early=early))

    def answer(self, *sdp: str) -> None:
        self.call.answered(SessionAnswered(session=self.call.session, answer=described(*sdp) if sdp else None))

    async def end(
        self, cause: EndCause, status: int | None = None, contacts: tuple[str, ...] = ()
    ) -> CallOutcome | None:
        """End the session; return the outcome that observers were told, None while the call goes on."""
        found = tuple(NameAddr(uri=Uri.parse(uri)) for uri in contacts)
        event = SessionEnded(session=self.call.session, cause=cause, status=status, reason="", contacts=found)
        self.call.ended(event)
        await settle()
        return self.outcome

    @property
    def outcome(self) -> CallOutcome | None:
        return next((event.outcome for event in self.told if isinstance(event, CallFailed)), None)

    def is_over(self) -> bool:
        return self.gone == [self.call] and self.plane.leg.closed and isinstance(self.told[-1], CallEnded)


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(scene())


def test_the_answer_begins_the_program_and_the_end_releases_all() -> None:
    async def play() -> None:
        scene = await Scene().start()
        scene.ring(status=180)
        scene.answer(*EARLY)
        assert scene.program.started == 1
        assert [type(event) for event in scene.told] == [CallCreated, CallRinging, CallAnswered]
        assert await scene.end(EndCause.REMOTE_BYE) is None
        assert scene.is_over()

    run(play)


def test_early_media_is_heard_and_its_silence_ends_no_call() -> None:
    async def play() -> None:
        scene = await Scene().start()
        scene.ring(*EARLY)
        configured = scene.plane.leg.configured
        assert (configured[-1]["remote"], configured[-1]["rtp_timeout_ms"]) == (("192.0.2.20", 4000), 0)
        scene.ring(*OTHER)  # another branch of a fork: the last one counts
        assert configured[-1]["remote"] == ("192.0.2.20", 6000)
        scene.answer(*EARLY)
        assert (configured[-1]["remote"], configured[-1]["rtp_timeout_ms"]) == (("192.0.2.20", 4000), 60_000)
        scene.ring(*OTHER)  # too late
        assert configured[-1]["remote"] == ("192.0.2.20", 4000)
        assert scene.program.started == 1

    run(play)


def test_early_media_that_cannot_be_had_leaves_the_call_as_it_is() -> None:
    async def play() -> None:
        scene = await Scene().start()
        scene.ring("m=audio 4000 RTP/AVP 18")
        scene.ring("m=audio 4000 RTP/AVP 0", "a=ptime:60")  # the fake leg does not take that
        assert scene.plane.leg.configured == []
        scene.answer(*EARLY)
        assert scene.program.started == 1

    run(play)


def test_observers_hear_of_each_kind_of_ringing_once() -> None:
    async def play() -> None:
        scene = await Scene().start()
        for _ in range(50):
            scene.ring(status=180)
            scene.ring(*EARLY)
        assert len(scene.told) == 3

    run(play)


def test_who_does_not_answer_is_given_up_after_the_ring_time() -> None:
    async def play() -> None:
        scene = await Scene().start()
        loop = cast("Clocked", asyncio.get_running_loop())
        loop.ahead_s += 29
        await settle()
        assert scene.signals.sent == []
        loop.ahead_s += 2
        await settle()
        assert scene.signals.sent == [("hang_up", "no answer")]
        assert await scene.end(EndCause.CANCELLED, 487) is CallOutcome.NO_ANSWER
        assert scene.is_over()

    run(play)


@pytest.mark.parametrize(
    ("cause", "status", "outcome"),
    [
        (EndCause.REJECTED, 486, CallOutcome.BUSY),
        (EndCause.REJECTED, 404, CallOutcome.NOT_FOUND),
        (EndCause.REJECTED, 407, CallOutcome.REFUSED),
        (EndCause.REJECTED, 503, CallOutcome.UNREACHABLE),
        (EndCause.TIMEOUT, None, CallOutcome.UNREACHABLE),
        (EndCause.TRANSPORT_ERROR, None, CallOutcome.UNREACHABLE),
    ],
)
def test_each_end_before_the_answer_has_its_outcome(cause: EndCause, status: int | None, outcome: CallOutcome) -> None:
    async def play() -> None:
        scene = await Scene().start()
        assert await scene.end(cause, status) is outcome
        assert scene.is_over()
        assert (scene.dialler.failed == [HOP]) is (outcome is CallOutcome.UNREACHABLE)

    run(play)


def test_a_call_is_given_up_while_it_looks_for_addresses() -> None:
    async def play() -> None:
        scene = Scene()
        scene.dialler.hold.clear()
        await scene.start()
        scene.call.hang_up("")
        scene.call.hang_up("")
        scene.dialler.hold.set()
        await settle()
        assert scene.dialler.dialled == []
        assert scene.signals.sent == []
        assert scene.outcome is CallOutcome.CANCELLED
        assert scene.is_over()
        assert sum(isinstance(event, CallFailed) for event in scene.told) == 1

    run(play)


def test_a_name_without_an_address_ends_the_call() -> None:
    async def play() -> None:
        scene = Scene()
        scene.dialler.lost.add("example.com")
        await scene.start()
        assert scene.outcome is CallOutcome.UNREACHABLE
        assert scene.is_over()

    run(play)


def test_without_a_port_the_call_is_not_placed() -> None:
    async def play() -> None:
        scene = Scene()

        def no_port(**options: object) -> None:
            raise MediaError("no port is free")

        scene.plane.open_leg = no_port  # type: ignore[assignment,method-assign]
        with pytest.raises(CallError, match="no port"):
            scene.call.start()
        assert scene.gone == [scene.call]

    run(play)


def test_redirections_are_followed_to_five_targets_with_keys_of_their_own() -> None:
    async def play() -> None:
        scene = await Scene(srtp="required").start()
        for number in range(6):
            assert scene.outcome is None
            contacts = ("sip:payer@example.com", f"sip:payer@h{number}.example.com", f"sip:payer@h{number}.example.com")
            await scene.end(EndCause.REJECTED, 302, contacts)
        assert scene.outcome is CallOutcome.REFUSED
        assert len(scene.dialler.dialled) == 6
        keys = [value for _, offer in scene.dialler.dialled for value in offer.media[0].values("crypto")]
        assert len(set(keys)) == len(keys)
        assert scene.is_over()

    run(play)


def test_a_redirection_to_nowhere_goes_on_with_the_next_contact() -> None:
    async def play() -> None:
        scene = Scene()
        scene.dialler.lost.add("lost.example.com")
        await scene.start()
        await scene.end(EndCause.REJECTED, 302, ("sip:a@lost.example.com", "sip:a@found.example.com"))
        assert [target for target, _ in scene.dialler.dialled][1:] == ["sip:a@found.example.com"]

    run(play)


def test_a_redirection_from_outside_leads_neither_to_the_gateway_nor_to_a_number() -> None:
    toml = '[form.gift]\n[outbound]\naccount = "pbx"\n[account.pbx]\nregistrar = "sip:pbx.example.net"\nuser = "till"\n'

    async def play() -> None:
        scene = await Scene(toml=toml).start()
        contacts = ("sip:+15005550006@pbx.example.net", "tel:+15005550006")
        assert await scene.end(EndCause.REJECTED, 302, contacts) is CallOutcome.REFUSED
        inside = await Scene("+15005550001", toml=toml).start()
        assert await inside.end(EndCause.REJECTED, 302, ("tel:+15005550006",)) is None
        assert inside.dialler.dialled[-1][0] == "sip:+15005550006@pbx.example.net;user=phone"

    run(play)


def test_an_answer_that_cannot_be_used_ends_the_call() -> None:
    async def play() -> None:
        scene = await Scene().start()
        scene.answer("m=audio 4000 RTP/AVP 18")
        assert scene.signals.sent == [("hang_up", "no common media")]
        assert scene.program.started == 0
        assert await scene.end(EndCause.LOCAL_BYE) is CallOutcome.NO_MEDIA
        assert scene.is_over()

    run(play)


def test_an_offer_of_the_callee_is_answered_as_in_any_call() -> None:
    async def play() -> None:
        scene = await Scene().start()
        scene.ring(*EARLY)
        scene.call.offered(OfferReceived(session=scene.call.session, offer=described(*OTHER)))  # RFC 3311: an UPDATE
        assert scene.plane.leg.configured[-1]["remote"] == ("192.0.2.20", 6000)
        assert scene.plane.leg.configured[-1]["rtp_timeout_ms"] == 0
        scene.answer(*EARLY)
        assert scene.plane.leg.configured[-1]["rtp_timeout_ms"] == 60_000
        scene.call.offered(OfferReceived(session=scene.call.session, offer=described(*OTHER)))
        assert scene.signals.sent[-1][0] == "answer_offer"
        assert scene.plane.leg.configured[-1]["remote"] == ("192.0.2.20", 6000)

    run(play)
