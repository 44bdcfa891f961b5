"""Somebody takes the caller's place in a call that pays (RFC 3891): who hears the prompts, and what if it fails."""

from __future__ import annotations

import pytest

from sip.address import Address
from sip.events import InviteReceived, SessionConfirmed, SessionId
from sip.headers import Headers
from sip.sdp import SessionDescription
from sip.uri import NameAddr, Uri
from tests.support.call_parts import SESSION, described
from tests.unit.engine.test_call import Scene, run

OTHER = SessionId(2)


def invite(offer: SessionDescription | None, session: SessionId = OTHER) -> InviteReceived:
    return InviteReceived(
        session=session,
        request_uri=Uri.parse("sip:pay@192.0.2.10"),
        from_=NameAddr(uri=Uri.parse("sip:payer@192.0.2.30")),
        to=NameAddr(uri=Uri.parse("sip:pay@192.0.2.10")),
        source=Address("192.0.2.30", 5060),
        call_id="y",
        offer=offer,
        headers=Headers(()),
        replaces=SESSION,
    )


CALLER = ("m=audio 4000 RTP/AVP 0",)
PAYER = ("m=audio 5000 RTP/AVP 8",)


def confirm(scene: Scene, answer: SessionDescription | None = None) -> bool:
    return scene.call.take_over(SessionConfirmed(session=OTHER, answer=answer))


def talking() -> Scene:
    scene = Scene(described(*CALLER))
    scene.acknowledge()
    return scene


@pytest.mark.parametrize("late", [False, True])
def test_the_media_goes_to_the_other_once_the_ack_has_come(late: bool) -> None:
    async def play() -> None:
        scene = talking()
        scene.call.replace_caller(invite(None if late else described(*PAYER)))
        assert scene.last[0] == "answer"
        assert scene.configured["remote"] == ("192.0.2.20", 4000), "nobody has taken over yet"
        assert confirm(scene, described(*PAYER) if late else None)
        assert (scene.configured["remote"], scene.configured["codec"]) == (("192.0.2.20", 5000), "PCMA")

    run(play())


def test_who_gives_up_before_the_ack_leaves_the_call_as_it_was() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.replace_caller(invite(described(*PAYER)))
        scene.call.replacement_ended()
        assert scene.configured["codec"] == "PCMU"
        scene.call.replace_caller(invite(described(*PAYER), SessionId(3)))
        assert scene.last[0] == "answer", "another may try"
        await scene.end()

    run(play())


def test_two_at_once_are_one_too_many() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.replace_caller(invite(described(*PAYER)))
        scene.call.replace_caller(invite(described(*PAYER), SessionId(3)))
        assert scene.last == ("reject", 486)

    run(play())


def test_a_call_that_is_not_up_is_not_taken_over() -> None:
    async def play() -> None:
        scene = Scene(described(*CALLER))
        scene.call.replace_caller(invite(described(*PAYER)))
        assert scene.last == ("reject", 481)

    run(play())


def test_media_that_is_of_no_use_is_refused_before_anything_changes() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.replace_caller(invite(described("m=audio 5000 RTP/AVP 18")))
        assert scene.last == ("reject", 488)
        assert scene.configured["codec"] == "PCMU"

    run(play())


def test_an_ack_without_the_answer_it_owes_ends_the_call() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.replace_caller(invite(None))
        assert not confirm(scene)
        assert scene.last[0] == "hang_up"

    run(play())
