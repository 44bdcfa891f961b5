"""RFC 7989 (Session-ID): what a peer names its call by comes back in every message of ours, next to our own half."""

from __future__ import annotations

import re

import pytest

from sip.events import InviteReceived
from sip.message import Request, Response
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller

THEIRS = "ab30317f1a784dc48ff824d0d3715d86"
NIL = "0" * 32
FIELD = f"Session-ID: {THEIRS};remote={NIL}"


def session_ids(messages: list[Request | Response]) -> list[str | None]:
    return [message.headers.get("Session-ID") for message in messages]


def test_every_message_of_a_call_carries_both_halves() -> None:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite(headers=FIELD))
    session = solo.take(InviteReceived).session
    solo.endpoint.ring(session, solo.now)
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    solo.receive(caller.write("OPTIONS", headers=FIELD))
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert solo.last(Request).method == "BYE"
    said = session_ids([message for _, message, _ in solo.sent])
    assert len(said) == 5  # 100, 180, 200, 200 to OPTIONS, BYE
    assert len(set(said)) == 1
    ours, _, rest = (said[0] or "").partition(";")
    assert re.fullmatch("[0-9a-f]{32}", ours)
    assert ours not in (THEIRS, NIL)
    assert rest == f"remote={THEIRS}"


def test_another_call_and_another_node_have_another_half() -> None:
    def half(solo: Solo, call_id: str) -> str | None:
        (answer,) = solo.receive(Caller(call_id=call_id).write("OPTIONS", headers=FIELD))
        return answer.headers.get("Session-ID")

    one, other = Solo.at(BOB), Solo.at(ALICE)
    assert len({half(one, "a"), half(one, "b"), half(other, "a")}) == 3
    assert half(one, "a") == half(one, "a")


def test_who_sends_the_old_form_gets_its_half_back() -> None:
    (answer,) = Solo.at().receive(Caller().write("OPTIONS", headers=f"Session-ID: {THEIRS.upper()}"))
    assert (answer.headers.get("Session-ID") or "").endswith(f";remote={THEIRS}")


@pytest.mark.parametrize(
    "value", ["", "x", THEIRS[1:], f"{THEIRS}0", f"{NIL};remote={THEIRS}", f"{THEIRS};{'x' * 300}"]
)
def test_who_names_nothing_is_told_nothing(value: str) -> None:
    (answer,) = Solo.at().receive(Caller().write("OPTIONS", headers=f"Session-ID: {value}"))
    assert "Session-ID" not in answer.headers
