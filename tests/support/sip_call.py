"""One call with the test as the peer, in either role, up to the point where a test begins."""

from __future__ import annotations

from typing import Any

from sip.credentials import Credentials
from sip.events import InviteReceived, SessionAnswered, SessionConfirmed, SessionId
from sip.message import Request, Response
from sip.offer_answer import make_offer
from sip.sdp import SessionDescription
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, capabilities, offer_of
from tests.support.sip_peer import Caller

ALLOW_ALL = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK"
OUR_ANSWER = answer_of(BOB, offer_of(ALICE))


def new_offer(version: int = 2) -> SessionDescription:
    """An offer of ours that differs from the first."""
    return make_offer(capabilities(BOB, session_version=version, direction="sendonly"))


def statuses(messages: list[Request | Response]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]


def methods(messages: list[Request | Response]) -> list[str]:
    return [message.method for message in messages if isinstance(message, Request)]


def requests(solo: Solo, method: str) -> list[Request]:
    return [message for _, message, _ in solo.sent if isinstance(message, Request) and message.method == method]


def invited(headers: str = "", *, offer: bool = True, **config: Any) -> tuple[Solo, Caller, SessionId]:
    """We are called, and have said nothing but 100."""
    solo, caller = Solo.at(**config), Caller()
    solo.receive(caller.invite(headers=headers, offer=offer))
    return solo, caller, solo.take(InviteReceived).session


def answer(solo: Solo, caller: Caller, session: SessionId) -> Response:
    solo.endpoint.answer(session, OUR_ANSWER, solo.now)
    solo.collect()
    return caller.learn(solo.last(Response))


def established(headers: str = "", **config: Any) -> tuple[Solo, Caller, SessionId]:
    """We are called, and talk."""
    solo, caller, session = invited(headers, **config)
    answer(solo, caller, session)
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    return solo, caller, session


def calling(credentials: Credentials | None = None, **config: Any) -> tuple[Solo, SessionId, Request]:
    """We call, and have heard nothing."""
    solo = Solo.at(**config)
    session = solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
        credentials=credentials,
    )
    solo.collect()
    return solo, session, solo.last(Request)


def reply(
    request: Request, status: int, tag: str | None = "theirs", *, sdp: bool | None = None, headers: str = ""
) -> Response:
    """A response of the peer; 183 and 200 to an INVITE have a description unless ``sdp`` says otherwise."""
    response = Response.to_request(request, status, to_tag=tag)
    response.headers.set("Contact", f"<sip:alice@{ALICE.host}>")
    for line in filter(None, headers.splitlines()):
        name, _, value = line.partition(":")
        response.headers.add(name.strip(), value.strip())
    if sdp or (sdp is None and request.method == "INVITE" and status in (183, 200)):
        response.headers.set("Content-Type", "application/sdp")
        response.body = answer_of(ALICE, offer_of(BOB)).serialize()
    return response


def called(headers: str = "", **config: Any) -> tuple[Solo, Caller, SessionId]:
    """We have called, and talk."""
    solo, session, invite = calling(**config)
    solo.receive(reply(invite, 200, headers=headers))
    solo.take(SessionAnswered)
    return solo, Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag), session
