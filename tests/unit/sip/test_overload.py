"""An endpoint that is late: new calls are refused before they are parsed, everything else goes its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.address import Address, Transport
from sip.errors import LocalProtocolError
from sip.events import InviteReceived
from sip.gate import ADMIT, Refusal, Verdict
from sip.message import Request, Response
from sip.overload import OverloadController, quick_refusal
from sip.parser import parse_message
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, entropy_of, make_endpoint
from tests.support.sip_peer import Caller

SECRET = bytes(16)
FAR = Address("198.51.100.7", 40000)


def refusal_of(data: bytes, source: Address = ALICE) -> tuple[bytes, Address] | None:
    return quick_refusal(data, source, is_known=lambda via: False, secret=SECRET, headers=(("Retry-After", "3"),))


def late(solo: Solo) -> Solo:
    """Let it have worked 50 ms behind for a quarter of a second."""
    for tick in range(100):
        solo.endpoint.observe_delay(0.05, solo.now - (100 - tick) * 0.0025)
    solo.endpoint.observe_delay(0.05, solo.now)
    return solo


def test_the_quick_refusal_says_what_the_slow_one_says() -> None:
    slow, invite = Solo.at(), Caller(rport=False).invite()
    slow.endpoint.set_accepting(False)
    (expected,) = slow.receive(invite.serialize(), FAR)
    assert isinstance(expected, Response)
    found = refusal_of(invite.serialize(), FAR)
    assert found is not None
    data, destination = found
    answer = parse_message(data)
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason) == (expected.status, expected.reason)
    for name in ("Via", "From", "Call-ID", "CSeq"):
        assert answer.headers.get_all(name) == expected.headers.get_all(name)
    assert answer.to.uri == expected.to.uri
    assert answer.to.tag
    assert answer.headers.get("Retry-After") == "3"
    assert destination == slow.sent[-1][2]


def test_every_via_and_the_same_tag_come_back() -> None:
    data = Caller().invite().serialize()
    two = data.replace(b"\r\nMax", b", SIP/2.0/UDP a.example;branch=z9hG4bKa\r\nv: SIP/2.0/TCP b.example\r\nMax", 1)
    first, second = refusal_of(two), refusal_of(two)
    assert first is not None
    assert first == second
    answer = parse_message(first[0])
    assert [via.host for via in answer.vias] == [ALICE.host, "a.example", "b.example"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"INVITE sip", b"OPTIONS sip"),
        (b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia"),
        (b"To: <sip:pay@192.0.2.2>", b"To: <sip:pay@192.0.2.2>;tag=1"),
        (b"To: <sip:pay@192.0.2.2>", b"t: sip:pay@192.0.2.2;TAG=1"),
        (b"To: <sip:pay@192.0.2.2>", b"To: <sip:pay@192.0.2.2>\r\n ;tag=1"),
        (b"To: <sip:pay@192.0.2.2>", b"To: <sip:pay@192.0.2.2>\nX: 1"),
        (b"To: <sip:pay@192.0.2.2>", b"To: <sip:pay@192.0.2.2>\rX: 1"),
        (b"To: <sip:pay@192.0.2.2>", b"To: <sip:pay@192.0.2.2>\r\nTo: <sip:other@192.0.2.2>"),
        (b"Call-ID", b"X-Call-ID"),
        (b"branch=z9hG4bK", b"branch="),
        (b"Via: SIP", b"Via: @"),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_what_is_not_plainly_a_new_call_is_looked_at_closely(old: bytes, new: bytes) -> None:
    data = Caller().invite().serialize()
    assert refusal_of(data) is not None
    assert old in data
    assert refusal_of(data.replace(old, new, 1)) is None


@given(st.binary(max_size=600), st.integers(0, 400), st.integers(0, 50))
def test_no_octets_make_it_raise_or_write_what_cannot_be_read(noise: bytes, at: int, cut: int) -> None:
    data = Caller().invite().serialize()
    made = refusal_of(data[:at] + noise + data[at + cut :])
    if made is not None:
        head = made[0].partition(b"\r\n\r\n")[0]
        assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
        assert made[1].host == ALICE.host


def test_a_new_call_is_refused_without_a_trace_and_a_dispatcher_is_told() -> None:
    solo = late(Solo.at())
    (answer,) = solo.receive(Caller().invite())
    assert isinstance(answer, Response)
    assert answer.status == 503
    assert 1 <= int(answer.headers.get("Retry-After") or "0") <= 10
    assert (solo.endpoint.statistics.shed, solo.endpoint.statistics.refusals) == (1, 1)
    (answer,) = solo.receive(Caller(call_id="ping").write("OPTIONS"))
    assert isinstance(answer, Response)
    assert answer.status == 503
    solo.assert_nothing_left()


def test_an_invite_that_needs_a_closer_look_is_refused_as_well() -> None:
    solo = late(Solo.at())
    folded = Caller().invite().serialize().replace(b"To: <", b"To:\r\n <", 1)
    (answer,) = solo.receive(folded)
    assert isinstance(answer, Response)
    assert answer.status == 503
    assert solo.endpoint.statistics.shed == 1


def test_who_is_in_a_call_is_served() -> None:
    solo, caller = Solo.at(), Caller()
    invite = caller.invite()
    solo.receive(invite)
    received = solo.take(InviteReceived)
    late(solo)
    (again,) = solo.receive(invite)
    assert isinstance(again, Response)
    assert again.status == 100
    assert received.offer is not None
    solo.endpoint.answer(received.session, answer_of(BOB, received.offer), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    solo.receive(caller.invite())  # to a tag of ours: a re-INVITE
    answers = solo.receive(caller.bye())
    assert {r.status for r in answers if isinstance(r, Response)} == {200, 487}
    assert not [m for _, m, _ in solo.sent if isinstance(m, Response) and m.status == 503]


def test_a_second_later_calls_are_taken_again() -> None:
    solo = late(Solo.at())
    solo.now += 1.0
    solo.endpoint.observe_delay(0.0, solo.now)
    solo.receive(Caller().invite())
    assert solo.take(InviteReceived)


class AskingGate:
    """Knows Alice by her address, and asks everybody else for a password."""

    def judge(self, request: Request, source: Address, now: float) -> Verdict:
        return ADMIT if self.is_open(source) or "Authorization" in request.headers else Refusal(401)

    def judge_malformed(self, source: Address, now: float) -> bool:
        return self.is_open(source)

    def is_open(self, source: Address) -> bool:
        return source == ALICE


@pytest.mark.parametrize(
    ("source", "headers", "statuses"),
    [
        (ALICE, "", [503]),
        (FAR, "", []),  # no time to ask: the INVITE comes again
        (FAR, "aUTHORIZATION: Digest x", [503]),
        (FAR._replace(transport=Transport.TLS, flow=1), "", [401]),  # it would not come again
    ],
)
def test_a_stranger_is_not_told_that_there_is_an_overload(source: Address, headers: str, statuses: list[int]) -> None:
    endpoint = make_endpoint(BOB)
    solo = late(Solo(type(endpoint)(endpoint._agent.config, entropy=entropy_of("late"), gate=AskingGate())))
    answers = solo.receive(Caller().invite(headers=headers), source)
    assert [answer.status for answer in answers if isinstance(answer, Response)] == statuses
    solo.assert_nothing_left()


@pytest.mark.parametrize("target_s", [0.0, -1.0, 10.0, float("nan")])
def test_a_target_that_is_none_is_refused(target_s: float) -> None:
    with pytest.raises(LocalProtocolError):
        OverloadController(target_s=target_s, entropy=entropy_of("target"))
