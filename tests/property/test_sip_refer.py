"""REFER over a network that loses, doubles and reorders: the last word comes once, and nothing is left behind."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from sip.address import Address
from sip.events import (
    Event,
    InviteReceived,
    ReferProgress,
    ReferReceived,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
)
from sip.message import Request, Response
from sip.refer import MAX_INCOMING
from sip.uri import Uri
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller
from tests.support.wire import Fate

FATES = st.lists(st.sampled_from([Fate.PASS, Fate.PASS, Fate.LOSE, Fate.DOUBLE, Fate.LATE]), max_size=40)
DECISION = st.sampled_from(["accept", "refuse", "nothing"])
OUTCOMES = st.lists(st.sampled_from([100, 180, 183, 200, 486, 603]), max_size=4)


@settings(max_examples=80, deadline=None)
@given(fates=FATES, decision=DECISION, outcomes=OUTCOMES, hang_up_s=st.one_of(st.none(), st.floats(0, 40)))
def test_a_transfer_has_one_last_word(
    fates: list[Fate], decision: str, outcomes: list[int], hang_up_s: float | None
) -> None:
    def act(pair: Pair, who: Address, event: Event) -> None:
        if isinstance(event, InviteReceived) and event.offer is not None:
            pair.bob.answer(event.session, answer_of(BOB, event.offer), pair.now)
        elif isinstance(event, SessionAnswered):
            pair.alice.refer(event.session, Uri.parse("sip:agent@192.0.2.77"), pair.now)
        elif isinstance(event, ReferReceived) and decision == "accept":
            pair.bob.accept_refer(event.session, event.refer_id, pair.now)
            for status in outcomes:
                pair.bob.notify_refer(event.session, event.refer_id, status, "", pair.now)
        elif isinstance(event, ReferReceived) and decision == "refuse":
            pair.bob.refuse_refer(event.session, event.refer_id, 403, pair.now)

    pair = Pair.over(fates, act)
    session = pair.call()
    if hang_up_s is not None:
        pair.run(hang_up_s)
        for event in pair.of(BOB, InviteReceived):
            pair.bob.hang_up(event.session, pair.now)
    pair.run(800)
    pair.alice.hang_up(session, pair.now)
    for event in pair.of(BOB, InviteReceived):
        pair.bob.hang_up(event.session, pair.now)
    pair.run(400)
    pair.assert_nothing_left()
    told = [event for event in pair.events[ALICE] if isinstance(event, ReferProgress)]
    assert [event.final for event in told] == [False] * (len(told) - 1) + [True] * bool(told)
    assert bool(told) == bool(pair.of(ALICE, SessionAnswered))
    if pair.events[ALICE]:
        assert isinstance(pair.events[ALICE][-1], SessionEnded)


TEXT = st.text(string.ascii_letters + string.digits + '<>"%;?=@:.&,/ ', max_size=60)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Refer-To", "Referred-By", "Refer-Sub", "Event", "Subscription-State", "Expires", "Replaces", "Require"]
        ),
        st.one_of(
            TEXT,
            st.sampled_from(
                ["refer", "refer;id=1", "terminated", "<sip:a@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", "0", "false"]
            ),
        ),
    ),
    max_size=4,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["REFER", "NOTIFY", "SUBSCRIBE", "accept", "refuse", "refer", "answer", "time"]),
        HEADERS,
        st.binary(max_size=40),
    ),
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(steps=STEPS)
def test_garbage_around_refer_is_answered_and_bounded(steps: list[tuple[str, list[tuple[str, str]], bytes]]) -> None:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite())
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    undecided: list[int] = []
    referring = False
    for step, headers, body in steps:
        match step:
            case "accept" | "refuse":
                if undecided:
                    number = undecided.pop()
                    if step == "accept":
                        solo.endpoint.accept_refer(session, number, solo.now)
                    else:
                        solo.endpoint.refuse_refer(session, number, 603, solo.now)
            case "refer":
                if not referring:
                    referring = True
                    solo.endpoint.refer(session, Uri.parse("sip:agent@192.0.2.77"), solo.now)
            case "answer":
                sent = solo.sent[-1][1]
                if isinstance(sent, Request):
                    solo.receive(Response.to_request(sent, 202))
            case "time":
                solo.after(3)
                undecided.clear()
            case method:
                request = caller.write(method, body=body)
                for name, value in headers:
                    request.headers.add(name, value)
                sent_now = solo.receive(request)
                found = [event for event in solo.events if isinstance(event, ReferReceived)]
                assert sent_now or found
                undecided += [event.refer_id for event in found]
                solo.events = [event for event in solo.events if not isinstance(event, ReferReceived)]
        solo.collect()
    assert len(undecided) <= MAX_INCOMING
    solo.receive(caller.bye())
    solo.after(400)
    solo.assert_nothing_left()
