"""Whatever comes in whatever order: the endpoint does not raise, each call ends once, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.address import Address
from sip.errors import LocalProtocolError
from sip.events import (
    Event,
    InviteReceived,
    OfferReceived,
    OfferRequested,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
)
from sip.message import Request, Response
from tests.fuzz.fuzz_sip_endpoint import SEPARATOR, one_input
from tests.support.shared import VECTORS
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, offer_of
from tests.support.sip_peer import DIGIT_5, Caller
from tests.support.wire import Fate

FATES = st.lists(st.sampled_from([Fate.PASS, Fate.PASS, Fate.LOSE, Fate.DOUBLE, Fate.LATE]), max_size=40)
WHO = st.sampled_from(["alice", "bob", "both", "nobody"])


def answering(pair: Pair, who: Address, event: Event) -> None:
    if isinstance(event, InviteReceived) and event.offer is not None:
        pair.bob.ring(event.session, pair.now)
        pair.bob.answer(event.session, answer_of(BOB, event.offer), pair.now)


@settings(max_examples=60, deadline=None)
@given(fates=FATES, who=WHO, after_s=st.floats(0, 40))
def test_a_call_over_a_bad_network_ends_once_on_each_side(fates: list[Fate], who: str, after_s: float) -> None:
    pair = Pair.over(fates, answering)
    session = pair.call()
    pair.run(after_s)
    bobs = [event.session for event in pair.of(BOB, InviteReceived)]
    if who in ("alice", "both"):
        pair.alice.hang_up(session, pair.now)
    if who in ("bob", "both"):
        for one in bobs:
            pair.bob.hang_up(one, pair.now)
    pair.run(400)
    pair.alice.hang_up(session, pair.now)
    for event in pair.of(BOB, InviteReceived):
        pair.bob.hang_up(event.session, pair.now)
    pair.run(400)
    pair.assert_nothing_left()
    for address in (ALICE, BOB):
        ended = Counter(event.session for event in pair.of(address, SessionEnded))
        begun = {session} if address == ALICE else {event.session for event in pair.of(BOB, InviteReceived)}
        assert set(ended) == begun
        assert set(ended.values()) <= {1}
        if pair.events[address]:
            last = [event for event in pair.events[address] if getattr(event, "session", None) in begun][-1]
            assert isinstance(last, SessionEnded)


@settings(max_examples=40, deadline=None)
@given(fates=FATES)
def test_a_call_is_set_up_whatever_happens_to_seven_datagrams(fates: list[Fate]) -> None:
    # Each message is repeated at least six times in 32 s; seven losses in a row of the same one are too many.
    pair = Pair.over(fates[:7], answering)
    pair.call()
    pair.run(33)
    losses = sum(1 for fate in fates[:7] if fate is Fate.LOSE)
    if losses < 6:
        assert len(pair.of(ALICE, SessionAnswered)) == 1
        assert len(pair.of(BOB, SessionConfirmed)) == 1


STEPS = ("invite", "again", "ack", "late ack", "bye", "cancel", "info", "options", "reinvite", "offerless", "old",
         "ring", "answer", "reject", "hang up", "answer offer", "refuse offer", "send info", "reply 200", "reply 481",
         "second", "ten", "forty")  # fmt: skip


class Storm:
    """One caller that does anything at any time, against one endpoint whose application does too."""

    def __init__(self) -> None:
        self.solo, self.caller = Solo.at(max_sessions=3), Caller()
        self.invite = self.caller.invite()
        self.received: list[InviteReceived] = []

    def step(self, name: str) -> None:
        solo, caller = self.solo, self.caller
        messages: dict[str, Callable[[], Request]] = {
            "again": lambda: self.invite,
            "ack": lambda: caller.ack(cseq=self.invite.cseq.number),
            "late ack": caller.ack,
            "bye": caller.bye,
            "cancel": caller.cancel,
            "info": lambda: caller.info("application/dtmf-relay", DIGIT_5),
            "options": lambda: caller.write("OPTIONS"),
            "reinvite": caller.invite,
            "offerless": lambda: caller.invite(offer=False),
            "old": lambda: caller.write("INFO", cseq=0),
        }
        waits = {"second": 1, "ten": 10, "forty": 40}
        if name == "invite":
            self.invite = Caller(call_id=caller.call_id, tag=caller.tag, cseq=caller.cseq).invite()
            caller.cseq, caller.invite_branch = self.invite.cseq.number, self.invite.via.branch or ""
            solo.receive(self.invite)
        elif name in messages:
            solo.receive(messages[name]())
        elif name in waits:
            solo.after(waits[name])
        elif name.startswith("reply"):
            self.reply(int(name.split()[1]))
        else:
            self.ask(name)
        self.learn()

    def reply(self, status: int) -> None:
        requests = [message for _, message, _ in self.solo.sent if isinstance(message, Request)]
        if requests and requests[-1].method != "ACK":
            self.solo.receive(Response.to_request(requests[-1], status))

    def ask(self, name: str) -> None:
        endpoint, now = self.solo.endpoint, self.solo.now
        for event in self.received[-1:]:
            session = event.session
            try:
                match name:
                    case "ring":
                        endpoint.ring(session, now)
                    case "answer":
                        endpoint.answer(session, offer_of(BOB), now)
                    case "reject":
                        endpoint.reject(session, 486, now)
                    case "hang up":
                        endpoint.hang_up(session, now)
                    case "answer offer":
                        endpoint.answer_offer(session, offer_of(BOB), now)
                    case "refuse offer":
                        endpoint.refuse_offer(session, 488, now)
                    case "send info":
                        endpoint.send_info(session, "text/plain", b"x", now)
            except LocalProtocolError:
                pass  # forbidden in this state: it says so and does nothing
        self.solo.collect()

    def learn(self) -> None:
        self.received += [event for event in self.solo.events if isinstance(event, InviteReceived)][
            len(self.received) :
        ]
        for _, message, _ in self.solo.sent:
            if isinstance(message, Response) and message.cseq.method == "INVITE" and message.to.tag:
                self.caller.to_tag = message.to.tag


@settings(max_examples=250, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_any_order_of_requests_answers_and_time_ends_clean(steps: list[str]) -> None:
    storm = Storm()
    for step in ("invite", *steps):
        storm.step(step)
    for event in storm.received:
        storm.solo.endpoint.hang_up(event.session, storm.solo.now)
    storm.solo.collect()
    storm.solo.after(500)
    storm.solo.assert_nothing_left()
    ended = Counter(event.session for event in storm.solo.events if isinstance(event, SessionEnded))
    assert ended == Counter(event.session for event in storm.received)
    for number, seen in enumerate(storm.solo.events):
        if isinstance(seen, SessionEnded):
            later = [one for one in storm.solo.events[number + 1 :] if getattr(one, "session", None) == seen.session]
            assert later == []


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_mutated_messages_of_a_call_never_raise(data: st.DataObject) -> None:
    caller = Caller(to_tag=data.draw(st.sampled_from([None, "x"])))
    makers: list[Callable[[], Request]] = [
        caller.invite,
        caller.bye,
        caller.ack,
        caller.cancel,
        lambda: caller.info("application/dtmf", b"5"),
    ]
    datagrams = []
    for maker in data.draw(st.lists(st.sampled_from(makers), min_size=1, max_size=6)):
        octets = bytearray(maker().serialize())
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(octets) - 1))
            what = data.draw(st.sampled_from(["set", "cut", "insert"]))
            if what == "set":
                octets[at] = data.draw(st.integers(0, 255))
            elif what == "cut":
                del octets[at : at + data.draw(st.integers(1, 30))]
            else:
                octets[at:at] = data.draw(st.binary(max_size=8))
            if not octets:
                break
        datagrams.append(bytes(octets))
    one_input(SEPARATOR.join(datagrams))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_octets_never_raise(datagrams: list[bytes]) -> None:
    one_input(SEPARATOR.join(datagrams))


@pytest.mark.parametrize("folder", ["rfc4475", "rfc5118"])
def test_the_torture_messages_in_a_row_leave_nothing_behind(folder: str) -> None:
    files = sorted((VECTORS / "sip" / folder).glob("*.dat"))
    assert files
    for start in range(0, len(files), 30):
        one_input(SEPARATOR.join(file.read_bytes() for file in files[start : start + 30]))


def test_the_application_can_be_told_of_offers_in_a_storm() -> None:
    # The generator above reaches the deep states: a check that it is not blind.
    storm = Storm()
    for step in ("invite", "answer", "ack", "reinvite", "answer offer", "late ack", "offerless", "refuse offer", "bye"):
        storm.step(step)
    kinds = Counter(type(event) for event in storm.solo.events)
    assert kinds == Counter(
        {InviteReceived: 1, SessionConfirmed: 2, OfferReceived: 1, OfferRequested: 1, SessionEnded: 1}
    )
