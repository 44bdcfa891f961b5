"""Whatever comes in whatever order: the endpoint does not raise, each call ends once, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sip.address import Address
from sip.credentials import Credentials
from sip.errors import LocalProtocolError
from sip.events import (
    Event,
    InviteReceived,
    OfferAnswered,
    OfferReceived,
    OfferRefused,
    OfferRequested,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionRinging,
)
from sip.message import Request, Response
from tests.fuzz.fuzz_sip_endpoint import SEPARATOR, one_input
from tests.support.shared import VECTORS
from tests.support.sip_call import calling, reply
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, make_endpoint, offer_of
from tests.support.sip_peer import DIGIT_5, Caller
from tests.support.wire import Fate, Wire

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


def reacting(pair: Pair, who: Address, event: Event) -> None:
    """Both sides take what is offered; Bob gives early media."""
    own = pair.endpoints[who]
    if isinstance(event, InviteReceived) and event.offer is not None:
        own.progress(event.session, pair.now, sdp=answer_of(who, event.offer))
        own.answer(event.session, answer_of(who, event.offer), pair.now)
    elif isinstance(event, OfferReceived):
        own.answer_offer(event.session, answer_of(who, event.offer), pair.now)
    elif isinstance(event, OfferRequested):
        own.answer_offer(event.session, offer_of(who), pair.now)


@settings(max_examples=150, deadline=None)
@given(
    fates=FATES,
    asks=st.lists(st.tuples(st.sampled_from(["alice", "bob", "both"]), st.floats(0, 30)), max_size=5),
    who=WHO,
    after_s=st.floats(0, 400),
)
def test_offers_acknowledgements_and_refreshes_over_a_bad_network_end_clean(
    fates: list[Fate], asks: list[tuple[str, float]], who: str, after_s: float
) -> None:
    pair = Pair.over(fates, reacting)
    pair.endpoints = {
        address: make_endpoint(address, session_expires_s=90, reliable_provisionals="supported")
        for address in (ALICE, BOB)
    }
    session = pair.call()
    asked: Counter[Address] = Counter()
    for side, wait_s in asks:
        pair.run(wait_s)
        bobs = [event.session for event in pair.of(BOB, InviteReceived)][-1:]
        for address, ids in ((ALICE, [session]), (BOB, bobs)):
            if side in ("both", "alice" if address == ALICE else "bob"):
                for one in ids:
                    try:
                        pair.endpoints[address].offer(one, offer_of(address), pair.now)
                        asked[address] += 1
                    except LocalProtocolError:
                        pass  # too early, or one is open
    pair.run(after_s)
    if who in ("alice", "both"):
        pair.alice.hang_up(session, pair.now)
    if who in ("bob", "both"):
        for event in pair.of(BOB, InviteReceived):
            pair.bob.hang_up(event.session, pair.now)
    pair.run(400)
    pair.alice.hang_up(session, pair.now)
    for event in pair.of(BOB, InviteReceived):
        pair.bob.hang_up(event.session, pair.now)
    pair.run(600)
    pair.assert_nothing_left()
    for address in (ALICE, BOB):
        ended = Counter(event.session for event in pair.of(address, SessionEnded))
        assert set(ended.values()) <= {1}
        told = len(pair.of(address, OfferAnswered)) + len(pair.of(address, OfferRefused))
        assert told <= asked[address]


@settings(max_examples=40, deadline=None)
@given(fates=FATES, waits=st.lists(st.floats(1, 20), min_size=1, max_size=4))
def test_an_offer_is_answered_on_a_network_that_heals(fates: list[Fate], waits: list[float]) -> None:
    # Both offer at once, again and again: 491 and its time sort them out.
    pair = Pair.over((), reacting)
    session = pair.call()
    pair.run(1)
    pair.wire = Wire(fates[:6])
    (bobs,) = [event.session for event in pair.of(BOB, SessionConfirmed)]
    for number, wait_s in enumerate(waits, start=1):
        pair.alice.offer(session, offer_of(ALICE), pair.now)
        pair.bob.offer(bobs, offer_of(BOB), pair.now)
        pair.run(40 + wait_s)
        if pair.of(ALICE, SessionEnded) or pair.of(BOB, SessionEnded):
            break  # six losses in a row of one message
        assert len(pair.of(ALICE, OfferAnswered)) == number
        assert len(pair.of(BOB, OfferAnswered)) == number
    losses = sum(1 for fate in fates[:6] if fate is Fate.LOSE)
    if losses < 6:
        assert not pair.of(ALICE, SessionEnded)


STEPS = ("invite", "again", "ack", "late ack", "bye", "cancel", "info", "options", "reinvite", "offerless", "old",
         "ring", "answer", "reject", "hang up", "answer offer", "refuse offer", "send info", "reply 200", "reply 481",
         "second", "ten", "forty",
         # PRACK, UPDATE, our own offers, session timers
         "update", "update offer", "prack", "prack offer", "wrong prack", "progress", "early media", "offer",
         "ack refusal", "reply 100", "reply 407", "reply 422", "reply 491", "hour")  # fmt: skip
KINDS = ("", "Require: 100rel", "Supported: 100rel, timer", "Supported: timer\nSession-Expires: 100;refresher=uas",
         "Require: 100rel, timer\nSession-Expires: 90",
         "Supported: timer\nSession-Expires: 90;refresher=uas\nAllow: INVITE, UPDATE")  # fmt: skip


class Storm:
    """One caller that does anything at any time, against one endpoint whose application does too."""

    def __init__(self, headers: str = "", *, offer: bool = True) -> None:
        self.solo, self.caller = Solo.at(max_sessions=3, reliable_provisionals="supported"), Caller()
        self.headers, self.offer, self.rack = headers, offer, "1 1 INVITE"
        self.invite = self.caller.invite(headers=headers, offer=offer)
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
            "update": lambda: caller.write("UPDATE", headers=self.headers),
            "update offer": lambda: self.described("UPDATE"),
            "prack": lambda: caller.write("PRACK", headers=f"RAck: {self.rack}"),
            "prack offer": lambda: self.described("PRACK", f"RAck: {self.rack}"),
            "wrong prack": lambda: caller.write("PRACK", headers="RAck: 5 5 INVITE"),
            "ack refusal": caller.ack_refusal,
        }
        waits = {"second": 1, "ten": 10, "forty": 40, "hour": 3600}
        if name == "invite":
            fresh = Caller(call_id=caller.call_id, tag=caller.tag, cseq=caller.cseq)
            self.invite = fresh.invite(headers=self.headers, offer=self.offer)
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

    def described(self, method: str, headers: str = "") -> Request:
        body = offer_of(ALICE).serialize()
        return self.caller.write(method, headers=headers, body=body, content_type="application/sdp")

    def reply(self, status: int) -> None:
        requests = [message for _, message, _ in self.solo.sent if isinstance(message, Request)]
        if requests and requests[-1].method != "ACK":
            self.solo.receive(answered(requests[-1], status))

    def ask(self, name: str) -> None:
        endpoint, now = self.solo.endpoint, self.solo.now
        for event in self.received[-1:]:
            session = event.session
            try:
                match name:
                    case "ring":
                        endpoint.ring(session, now)
                    case "progress":
                        endpoint.progress(session, now)
                    case "early media":
                        endpoint.progress(session, now, sdp=offer_of(BOB))
                    case "offer":
                        endpoint.offer(session, offer_of(BOB), now)
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
                if "RSeq" in message.headers:
                    self.rack = f"{message.headers.get('RSeq')} {message.cseq.number} INVITE"


def answered(request: Request, status: int) -> Response:
    """A response that carries whatever a peer may put there."""
    response = Response.to_request(request, status)
    response.headers.set("WWW-Authenticate" if status == 401 else "Proxy-Authenticate", 'Digest realm="r", nonce="n"')
    response.headers.set("Min-SE", "200")
    response.headers.set("Session-Expires", "90;refresher=uac")
    if request.method in ("INVITE", "UPDATE") and status < 300:
        response.headers.set("Content-Type", "application/sdp")
        response.body = offer_of(ALICE).serialize()
    return response


@settings(max_examples=500, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=25), headers=st.sampled_from(KINDS), offer=st.booleans())
def test_any_order_of_requests_answers_and_time_ends_clean(steps: list[str], headers: str, offer: bool) -> None:
    storm = Storm(headers, offer=offer)
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
        lambda: caller.invite(headers="Require: 100rel, timer\nSession-Expires: 90;refresher=uas\nMin-SE: 90"),
        lambda: caller.write("PRACK", headers="RAck: 1 1 INVITE"),
        lambda: caller.write("UPDATE", headers="Session-Expires: 90"),
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


CALLEE = ("1xx", "reliable", "skipped", "other reliable", "200", "other 200", "486", "407", "422", "503", "bye",
          "update", "update offer", "reinvite", "ack", "reply 200", "reply 481", "reply 491", "reply 422", "reply 407",
          "reply 405", "hang up", "offer", "answer offer", "refuse offer", "second", "ten", "forty",
          "hour")  # fmt: skip


class Callee:
    """A peer that answers our INVITE with anything, against an application that asks for anything."""

    def __init__(self) -> None:
        self.solo, self.session, invite = calling(Credentials(username="pay", password="not-a-real-one"))
        self.peer = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
        self.rseq = 0

    @property
    def sent(self) -> list[Request]:
        return [message for _, message, _ in self.solo.sent if isinstance(message, Request)]

    def step(self, name: str) -> None:
        solo, peer, endpoint = self.solo, self.peer, self.solo.endpoint
        waits = {"second": 1, "ten": 10, "forty": 40, "hour": 3600}
        invite = [request for request in self.sent if request.method == "INVITE" and request.to.tag is None][-1]
        tag = "other" if name.startswith("other") else "theirs"
        if name in waits:
            solo.after(waits[name])
        elif name.endswith("reliable") or name == "skipped":
            self.rseq += 2 if name == "skipped" else 1
            solo.receive(reply(invite, 183, tag, headers=f"Require: 100rel\nRSeq: {self.rseq}\nAllow: UPDATE"))
        elif name == "1xx":
            solo.receive(reply(invite, 183))
        elif name.endswith("200") and not name.startswith("reply"):
            solo.receive(reply(invite, 200, tag, headers="Session-Expires: 90;refresher=uac\nAllow: UPDATE"))
        elif name.isdigit():
            response = answered(invite, int(name))
            response.headers.set("To", str(invite.to.with_tag(tag)))
            solo.receive(response)
        elif name.startswith("reply"):
            others = [request for request in self.sent if request.to.tag is not None and request.method != "ACK"]
            if others:
                solo.receive(answered(others[-1], int(name.split()[1])))
        elif name in ("bye", "ack"):
            solo.receive(peer.bye() if name == "bye" else peer.ack())
        elif name == "reinvite":
            solo.receive(peer.invite())
        elif name.startswith("update"):
            body = offer_of(ALICE).serialize() if name.endswith("offer") else b""
            solo.receive(peer.write("UPDATE", body=body, content_type="application/sdp" if body else None))
        else:
            try:
                if name == "hang up":
                    endpoint.hang_up(self.session, solo.now)
                elif name == "offer":
                    endpoint.offer(self.session, offer_of(BOB), solo.now)
                elif name == "answer offer":
                    endpoint.answer_offer(self.session, offer_of(BOB), solo.now)
                else:
                    endpoint.refuse_offer(self.session, 488, solo.now)
            except LocalProtocolError:
                pass  # forbidden in this state: it says so and does nothing
            solo.collect()


@settings(max_examples=500, deadline=None)
@given(steps=st.lists(st.sampled_from(CALLEE), max_size=25))
@example(steps=["reliable", "422", "reply 407"])  # a challenge to the PRACK of an INVITE that was replaced
def test_any_order_of_responses_requests_and_time_ends_our_call_clean(steps: list[str]) -> None:
    callee = Callee()
    for step in steps:
        callee.step(step)
    callee.solo.endpoint.hang_up(callee.session, callee.solo.now)
    callee.solo.collect()
    callee.solo.after(600)
    callee.solo.assert_nothing_left()
    kinds = [type(event) for event in callee.solo.events]
    assert kinds.count(SessionEnded) == 1
    assert kinds[-1] is SessionEnded


def test_the_deep_states_are_reached() -> None:
    callee = Callee()
    for step in ("reliable", "reply 200", "offer", "reply 200", "200", "offer", "reply 491", "ten", "reply 200", "bye"):
        callee.step(step)
    kinds = Counter(type(event) for event in callee.solo.events)
    assert kinds == Counter({SessionRinging: 1, OfferAnswered: 2, SessionAnswered: 1, SessionEnded: 1})
    distinct = dict.fromkeys((one.method, one.cseq.number) for one in callee.sent)  # without what is repeated
    methods = [method for method, _ in distinct]
    assert methods == ["INVITE", "PRACK", "UPDATE", "ACK", "INVITE", "ACK", "INVITE", "ACK"]


def test_the_application_can_be_told_of_offers_in_a_storm() -> None:
    # The generator above reaches the deep states: a check that it is not blind.
    storm = Storm()
    for step in ("invite", "answer", "ack", "reinvite", "answer offer", "late ack", "offerless", "refuse offer", "bye"):
        storm.step(step)
    kinds = Counter(type(event) for event in storm.solo.events)
    assert kinds == Counter(
        {InviteReceived: 1, SessionConfirmed: 2, OfferReceived: 1, OfferRequested: 1, SessionEnded: 1}
    )
