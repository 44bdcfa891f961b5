"""The gate of an endpoint: it is asked before any answer tells what is here, and for nothing that belongs to a call."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sip.address import Address
from sip.events import InviteReceived, SessionEnded
from sip.gate import ADMIT, DROP, Admission, Refusal, Verdict
from sip.message import Request, Response
from tests.support.sip_pair import BOB, Solo, answer_of, entropy_of, make_endpoint
from tests.support.sip_peer import Caller, request

CHALLENGE = ("WWW-Authenticate", 'Digest realm="here", nonce="1"')
REVEALING = ["INVITE", "OPTIONS", "REGISTER", "BYE", "INFO", "MESSAGE", "CANCEL", "NONSENSE"]


@dataclass
class ScriptedGate:
    """Gives one verdict to all, and remembers who asked for what."""

    verdict: Verdict = ADMIT
    is_welcome: bool = True
    asked: list[str] = field(default_factory=list)
    malformed: int = 0

    def judge(self, request: Request, source: Address, now: float) -> Verdict:
        self.asked.append(request.method)
        return self.verdict

    def judge_malformed(self, source: Address, now: float) -> bool:
        self.malformed += 1
        return self.is_welcome

    def is_open(self, source: Address) -> bool:
        return self.is_welcome


def behind(gate: ScriptedGate) -> Solo:
    config = make_endpoint(BOB)._agent.config
    return Solo(type(make_endpoint(BOB))(config, entropy=entropy_of("gate"), gate=gate))


@pytest.mark.parametrize("method", REVEALING)
def test_whoever_is_dropped_gets_no_answer_whatever_is_asked(method: str) -> None:
    solo = behind(ScriptedGate(DROP))
    assert solo.receive(Caller().write(method)) == []
    assert solo.events == []
    solo.assert_nothing_left()


@pytest.mark.parametrize(
    "line",
    [
        "Require: nothing-known",
        "Content-Type: text/unknown",
        "Content-Encoding: gzip",
    ],
)
def test_a_dropped_invite_is_not_told_what_is_wrong_with_it(line: str) -> None:
    solo = behind(ScriptedGate(DROP))
    assert solo.receive(Caller().write("INVITE", headers=line)) == []


def test_an_unknown_scheme_is_not_told_to_a_stranger() -> None:
    caller = Caller(target="urn:service:sos")
    assert behind(ScriptedGate(DROP)).receive(caller.write("INVITE")) == []
    assert [
        r.status for r in behind(ScriptedGate(ADMIT)).receive(caller.write("INVITE")) if isinstance(r, Response)
    ] == [416]


def test_a_refusal_carries_the_headers_of_the_gate_and_leaves_nothing_behind() -> None:
    solo = behind(ScriptedGate(Refusal(401, (CHALLENGE,))))
    (answer,) = solo.receive(Caller().invite())
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("WWW-Authenticate")) == (401, CHALLENGE[1])
    solo.assert_nothing_left()


def test_the_ack_to_a_refusal_is_neither_answered_nor_judged() -> None:
    gate = ScriptedGate(Refusal(401, (CHALLENGE,)))
    solo, caller = behind(gate), Caller()
    caller.learn(solo.receive(caller.invite())[0])
    assert solo.receive(caller.ack_refusal()) == []
    assert gate.asked == ["INVITE"]


def test_a_cancel_that_matches_nothing_is_never_challenged() -> None:
    caller = Caller()
    invite = caller.invite()
    assert behind(ScriptedGate(Refusal(401, (CHALLENGE,)))).receive(caller.cancel()) == []
    (answer,) = behind(ScriptedGate(ADMIT)).receive(caller.cancel())
    assert isinstance(answer, Response)
    assert answer.status == 481
    assert invite.method == "INVITE"


def test_what_belongs_to_a_call_passes_though_the_gate_has_closed_since() -> None:
    gate = ScriptedGate(Admission(rule="phones", user="frontdesk", is_trusted=True))
    solo, caller = behind(gate), Caller()
    invite = caller.invite()
    solo.receive(invite)
    gate.verdict = DROP
    received = solo.take(InviteReceived)
    assert (received.admitted_by, received.is_trusted) == ("phones:frontdesk", True)
    assert solo.receive(invite)  # the retransmission gets its 100 again
    assert received.offer is not None
    solo.endpoint.answer(received.session, answer_of(BOB, received.offer), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    (answer,) = solo.receive(caller.bye())
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert solo.take(SessionEnded)
    assert gate.asked == ["INVITE"]


def test_a_cancel_that_matches_passes_though_the_gate_has_closed_since() -> None:
    gate = ScriptedGate()
    solo, caller = behind(gate), Caller()
    solo.receive(caller.invite())
    gate.verdict = DROP
    answers = solo.receive(caller.cancel())
    assert {r.status for r in answers if isinstance(r, Response)} == {200, 487}


def test_a_request_in_a_dialog_that_nobody_knows_is_judged() -> None:
    gate = ScriptedGate(DROP)
    solo = behind(gate)
    assert solo.receive(Caller(to_tag="guessed").bye()) == []
    assert gate.asked == ["BYE"]


MALFORMED = Caller().invite().serialize().replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE")


def test_a_malformed_message_is_answered_to_the_welcome_only_and_always_counted() -> None:
    gate = ScriptedGate(is_welcome=False)
    solo = behind(gate)
    assert solo.receive(MALFORMED) == []
    assert solo.receive(b"\x00\x01garbage") == []
    assert gate.malformed == 2
    gate.is_welcome = True
    (answer,) = solo.receive(MALFORMED)
    assert isinstance(answer, Response)
    assert answer.status == 400


def test_without_a_gate_everybody_may_call_and_nobody_is_trusted() -> None:
    solo = Solo.at()
    solo.receive(Caller().invite())
    received = solo.take(InviteReceived)
    assert (received.admitted_by, received.is_trusted) == ("", False)


def test_the_challenge_does_not_show_where_a_refusal_is_printed() -> None:
    assert "nonce" not in repr(Refusal(401, (CHALLENGE,)))


def test_ack_is_given_to_no_gate_even_when_it_stands_alone() -> None:
    gate = ScriptedGate(Refusal(403))
    text = request(Caller().write("ACK").serialize().decode().partition("\r\nContent-Length")[0])
    assert behind(gate).receive(text) == []
    assert gate.asked == []
