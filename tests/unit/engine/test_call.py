"""A call's negotiation: what it answers and offers over its life, and what its media leg is told."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from engine.call import Call, CallContext, IncomingCall
from engine.config import MediaConfig
from engine.ledger import Ledger
from engine.media import MediaPlane
from engine.rtp.srtp import SrtpKeysPair
from sip.address import Address
from sip.events import (
    EndCause,
    InviteReceived,
    OfferReceived,
    OfferRequested,
    SessionConfirmed,
    SessionEnded,
)
from sip.headers import Headers
from sip.sdp import MediaDescription, SessionDescription
from sip.uri import NameAddr, Uri
from tests.support.call_parts import SESSION, FakeLedger, FakePlane, FakeProgram, Signals, described


class Scene:
    """A call between fakes."""

    def __init__(
        self,
        offer: SessionDescription | None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        trusted: bool = False,
        **media: Any,
    ) -> None:
        self.signals = Signals()
        self.plane = FakePlane()
        self.gone: list[Call] = []
        self.call = IncomingCall(
            "call",
            InviteReceived(
                session=SESSION,
                request_uri=Uri.parse("sip:pay@192.0.2.10"),
                from_=NameAddr(uri=Uri.parse("sip:caller@192.0.2.20")),
                to=NameAddr(uri=Uri.parse("sip:pay@192.0.2.10")),
                source=Address("192.0.2.20", 5060),
                call_id="x",
                offer=offer,
                headers=Headers(headers),
                is_trusted=trusted,
            ),
            CallContext(
                signalling=self.signals,
                plane=cast("MediaPlane", self.plane),
                ledger=cast("Ledger", FakeLedger()),
                advertised_host="192.0.2.10",
                rtp_timeout_ms=60_000,
                media=MediaConfig(**media),
                notify=lambda event: None,
                now=lambda: 0.0,
            ),
            FakeProgram,
            self.gone.append,
        )
        self.call.start()

    @property
    def configured(self) -> dict[str, Any]:
        return self.plane.leg.configured[-1]

    @property
    def last(self) -> tuple[str, Any]:
        return self.signals.sent[-1]

    def said(self, what: str) -> MediaDescription:
        """Return the audio of what was sent last, which must be that."""
        assert self.last[0] == what
        description: SessionDescription = self.last[1]
        return next(media for media in description.media if media.port)

    def acknowledge(self, answer: SessionDescription | None = None) -> None:
        self.call.acknowledged(SessionConfirmed(session=SESSION, answer=answer))

    def offer(self, offer: SessionDescription) -> None:
        self.call.offered(OfferReceived(session=SESSION, offer=offer))

    def ask_for_offer(self) -> None:
        self.call.offered(OfferRequested(session=SESSION))

    async def end(self) -> None:
        self.call.ended(SessionEnded(session=SESSION, cause=EndCause.REMOTE_BYE, status=None, reason=""))
        for _ in range(20):
            await asyncio.sleep(0)
        assert self.gone == [self.call]
        assert self.plane.leg.closed


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


ODD = (
    "m=audio 4000 RTP/AVP 97 98",
    "a=rtpmap:97 PCMA/8000",
    "a=rtpmap:98 telephone-event/8000",
)


def test_offer_is_answered_and_the_leg_configured() -> None:
    async def play() -> None:
        scene = Scene(described("m=audio 4000 RTP/AVP 8 0 101", "a=rtpmap:101 telephone-event/8000"))
        assert [what for what, _ in scene.signals.sent] == ["ring", "answer"]
        assert (scene.configured["codec"], scene.configured["send_pt"]) == ("PCMA", 8)
        assert scene.configured["remote_rtcp"] == ("192.0.2.20", 4001)
        scene.acknowledge()
        await scene.end()

    run(play())


def test_offer_without_a_codec_of_ours_is_488() -> None:
    async def play() -> None:
        scene = Scene(described("m=audio 4000 RTP/AVP 18"))
        assert scene.signals.sent == [("reject", 488)]

    run(play())


@pytest.mark.parametrize("late", [False, True])
def test_rfc_3264_8_3_2_offer_that_is_asked_for_keeps_every_number(late: bool) -> None:
    async def play() -> None:
        scene = Scene(None if late else described(*ODD))
        if late:
            assert "8" in scene.said("answer").formats
            scene.acknowledge(described(*ODD))
        else:
            scene.acknowledge()
        before = scene.signals.sent[-1][1].media[0]
        scene.ask_for_offer()
        again = scene.said("answer_offer")
        for pt in set(before.formats) & set(again.formats):
            assert again.rtpmap(pt) == before.rtpmap(pt)
        events = [pt for pt in again.formats if "telephone-event" in str(again.rtpmap(pt))]
        assert events == [pt for pt in before.formats if "telephone-event" in str(before.rtpmap(pt))]
        if not late:
            assert "97" in again.formats
            assert events == ["98"]
        # Until the answer comes the leg goes on as it was.
        assert len(scene.plane.leg.configured) == (1 if late else 2)  # once ringing, once answered
        scene.acknowledge(described("m=audio 5000 RTP/AVP 0"))
        assert scene.configured["remote"] == ("192.0.2.20", 5000)
        await scene.end()

    run(play())


def test_each_description_has_the_next_version() -> None:
    async def play() -> None:
        scene = Scene(described(*ODD))
        scene.acknowledge()
        scene.offer(described(*ODD, "a=sendonly"))
        scene.ask_for_offer()
        versions = [what[1].origin.session_version for what in scene.signals.sent if what[1] is not None]
        assert versions == ["1", "2", "3"]
        await scene.end()

    run(play())


def test_offer_that_cannot_be_had_is_refused_and_the_call_goes_on() -> None:
    async def play() -> None:
        scene = Scene(described(*ODD))
        scene.acknowledge()
        scene.offer(described("m=audio 4000 RTP/AVP 18"))
        assert scene.last == ("refuse_offer", 488)
        assert len(scene.plane.leg.configured) == 2  # for the ringing call, and with its answer
        await scene.end()

    run(play())


def test_answer_that_is_no_use_ends_the_call() -> None:
    async def play() -> None:
        scene = Scene(None)
        scene.acknowledge(described("m=audio 4000 RTP/AVP 18"))
        assert scene.last == ("hang_up", "no common media")
        await scene.end()

    run(play())


CANNOT = ("m=audio 4000 RTP/AVP 0", "a=ptime:60")


def test_what_the_leg_cannot_do_is_488() -> None:
    async def play() -> None:
        assert Scene(described(*CANNOT)).signals.sent == [("reject", 488)]
        scene = Scene(None)
        scene.acknowledge(described(*CANNOT))
        assert scene.last == ("hang_up", "no common media")
        await scene.end()
        scene = Scene(described("m=audio 4000 RTP/AVP 8"))
        scene.acknowledge()
        scene.offer(described(*CANNOT))
        assert scene.last == ("refuse_offer", 488)
        scene.ask_for_offer()
        assert scene.said("answer_offer").formats[:2] == ("0", "8")
        await scene.end()

    run(play())


# -- what the configuration says of media ------------------------------------------------------------------------------

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
OTHER_KEY = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"
SECURE = ("m=audio 4000 RTP/SAVP 0 8", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")


def keys_of(scene: Scene) -> tuple[bytes, bytes]:
    pair = scene.configured["srtp"]
    assert isinstance(pair, SrtpKeysPair)
    assert pair.suite == "AES_CM_128_HMAC_SHA1_80"
    return bytes(pair.local.reveal()), bytes(pair.remote.reveal())


def test_leg_gets_the_keys_of_offer_and_answer() -> None:
    async def play() -> None:
        scene = Scene(described(*SECURE))
        ours, theirs = keys_of(scene)
        assert theirs == base64.b64decode(KEY)
        assert scene.said("answer").values("crypto") == (
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(ours).decode()}",
        )
        scene.acknowledge()
        await scene.end()

    run(play())


def test_keys_change_with_the_far_ends_only() -> None:
    async def play() -> None:
        scene = Scene(described(*SECURE))
        first = keys_of(scene)
        scene.acknowledge()
        scene.offer(described(*SECURE, "a=sendonly"))
        assert keys_of(scene) == first
        scene.ask_for_offer()
        offered = scene.said("answer_offer").values("crypto")
        assert any(base64.b64encode(first[0]).decode() in value for value in offered)
        tag = next(value.split()[0] for value in offered if "AES_CM_128_HMAC_SHA1_80" in value)
        scene.acknowledge(described("m=audio 4000 RTP/SAVP 0", f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{KEY}"))
        assert keys_of(scene) == first
        scene.offer(described(SECURE[0], SECURE[1].replace(KEY, OTHER_KEY)))
        ours, theirs = keys_of(scene)
        assert theirs == base64.b64decode(OTHER_KEY)
        assert ours != first[0]
        await scene.end()

    run(play())


def test_required_refuses_a_plain_offer_and_a_later_plain_one() -> None:
    async def play() -> None:
        assert Scene(described("m=audio 4000 RTP/AVP 0"), srtp="required").signals.sent == [("reject", 488)]
        scene = Scene(described(*SECURE), srtp="required")
        scene.acknowledge()
        scene.offer(described("m=audio 4000 RTP/AVP 0"))
        assert scene.last == ("refuse_offer", 488)
        assert len(scene.plane.leg.configured) == 2  # for the ringing call, and with its answer
        await scene.end()

    run(play())


def test_late_offer_has_what_the_configuration_says() -> None:
    async def play() -> None:
        scene = Scene(None, codecs=("opus", "PCMA"), rtcp_mux=False, srtp="off")
        ours = scene.said("answer")
        assert [of.encoding for pt in ours.formats if (of := ours.rtpmap(pt)) is not None] == [
            "opus", "PCMA", "CN", "telephone-event", "telephone-event",
        ]  # fmt: skip
        assert (ours.rtcp_mux, ours.values("crypto"), ours.protocol) == (False, (), "RTP/AVP")
        scene.acknowledge(described("m=audio 4000 RTP/AVP 8"))
        assert (scene.configured["codec"], scene.configured["srtp"], scene.configured["rtcp_mux"]) == (
            "PCMA",
            None,
            False,
        )
        await scene.end()
        scene = Scene(None)
        assert scene.said("answer").rtcp_mux
        assert len(scene.said("answer").values("crypto")) == 5
        scene.acknowledge(described("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"))
        assert scene.configured["remote_rtcp"] == ("192.0.2.20", 4000)
        assert scene.configured["rtcp_mux"]
        await scene.end()

    run(play())


@pytest.mark.parametrize(("policy", "codec"), [("theirs", "G722"), ("ours", "PCMU")])
def test_codec_policy(policy: str, codec: str) -> None:
    async def play() -> None:
        scene = Scene(described("m=audio 4000 RTP/AVP 9 0 13"), codec_policy=policy)
        assert scene.configured["codec"] == codec
        assert scene.configured["receive_pts"] == {9: "G722", 0: "PCMU", 13: "CN"}
        scene.acknowledge()
        await scene.end()

    run(play())


def test_redundant_events_are_told_to_the_leg() -> None:
    async def play() -> None:
        lines = ("a=rtpmap:101 telephone-event/8000", "a=rtpmap:97 red/8000", "a=fmtp:97 101/101")
        scene = Scene(described("m=audio 4000 RTP/AVP 0 97 101", *lines))
        assert scene.configured["receive_pts"] == {0: "PCMU", 97: "RED"}
        scene.acknowledge()
        await scene.end()

    run(play())


def test_log_says_codec_and_suite_and_never_a_key(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        scene = Scene(described(*SECURE))
        scene.acknowledge()
        await scene.end()

    with caplog.at_level(logging.DEBUG):
        run(play())
    answered = next(record for record in caplog.records if record.message == "call answered")
    assert "AES_CM_128_HMAC_SHA1_80" in str(vars(answered))
    assert not any(KEY in str(vars(record)) for record in caplog.records)


ASSERTED = (("P-Asserted-Identity", '"Alice" <sip:+15550100@pbx.example>'),)


@pytest.mark.parametrize(
    ("headers", "trusted", "caller"),
    [
        (ASSERTED, True, "+15550100"),
        (ASSERTED, False, "caller"),
        ((*ASSERTED, ("Privacy", "id")), True, "caller"),
        ((), True, "caller"),
    ],
)
def test_rfc_3325_5_a_trusted_peer_says_who_calls(
    headers: tuple[tuple[str, str], ...], trusted: bool, caller: str
) -> None:
    async def play() -> None:
        scene = Scene(described("m=audio 4000 RTP/AVP 0"), headers=headers, trusted=trusted)
        assert scene.call.facts.caller == caller
        assert scene.call.identity is not None
        assert len(scene.call.identity.asserted) == (trusted and bool(headers))

    run(play())
