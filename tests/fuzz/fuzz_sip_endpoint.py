"""Fuzz target: datagrams, answers and time into one endpoint.

Runs under atheris (``python tests/fuzz/fuzz_sip_endpoint.py [corpus]``). The input is cut at ``SEPARATOR``;
each piece is a datagram. Nothing may raise, and once every call is hung up and every timer has fired nothing may be
left. ``tests/property/test_sip_endpoint.py`` feeds it without atheris.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.endpoint import Endpoint
from sip.errors import LocalProtocolError
from sip.events import (
    InviteReceived,
    OfferReceived,
    OfferRequested,
    ReferReceived,
    SessionConfirmed,
    SessionEnded,
    SessionId,
)
from sip.message import Response
from sip.parser import parse_message
from tests.support.sip_pair import ALICE, BOB, make_endpoint, offer_of
from tests.support.sip_peer import Caller

__all__ = ("SEEDS", "SEPARATOR", "one_input")

SEPARATOR = b"\n%%\n"
MAX_DATAGRAMS = 32
MAX_STEPS = 10_000
STEP_S = 0.3


def one_input(data: bytes) -> None:
    """Run one input."""
    endpoint, now = make_endpoint(BOB, max_sessions=4), 0.0
    live: set[SessionId] = set()
    for number, datagram in enumerate(data.split(SEPARATOR)[:MAX_DATAGRAMS]):
        endpoint.receive_datagram(datagram, ALICE, now)
        _act(endpoint, live, now, len(datagram) + number)
        now += STEP_S
        endpoint.handle_timer(now)
    for session in sorted(live):
        endpoint.hang_up(session, now)
    for _ in range(MAX_STEPS):
        _act(endpoint, live, now, 0)
        due = endpoint.next_timer()
        if due is None:
            break
        now = due
        endpoint.handle_timer(now)
    statistics = endpoint.statistics
    if live or statistics.sessions or statistics.dialogs or statistics.transactions or endpoint.next_timer():
        raise AssertionError(f"left behind: {statistics}")


def _act(endpoint: Endpoint, live: set[SessionId], now: float, choice: int) -> None:
    """Do what an application does on each event; ``choice`` decides what."""
    while (event := endpoint.next_event()) is not None:
        match event:
            case InviteReceived():
                live.add(event.session)
                if choice % 3 == 0:
                    endpoint.reject(event.session, 486, now)
                elif choice % 3 == 1:
                    endpoint.progress(event.session, now, sdp=offer_of(BOB) if choice % 2 else None)
                    endpoint.answer(event.session, offer_of(BOB), now)
            case OfferReceived() | OfferRequested():
                if choice % 2:
                    endpoint.answer_offer(event.session, offer_of(BOB), now)
                else:
                    endpoint.refuse_offer(event.session, 488, now)
            case SessionConfirmed() if choice % 5 == 0:
                endpoint.hang_up(event.session, now)
            case SessionConfirmed() if choice % 5 == 1:
                with suppress(LocalProtocolError):
                    endpoint.offer(event.session, offer_of(BOB), now)
            case ReferReceived() if choice % 3 == 0:
                endpoint.accept_refer(event.session, event.refer_id, now)
                endpoint.notify_refer(event.session, event.refer_id, 200, "OK", now, final=bool(choice % 2))
            case SessionEnded():
                live.remove(event.session)  # KeyError: it ended twice
    endpoint.datagrams_to_send(now)


def _flow(*methods: str, require: str = "") -> bytes:
    """Return a call that is answered, with requests in it: the endpoint's tag is the same whenever it is made."""
    caller, endpoint = Caller(), make_endpoint(BOB, max_sessions=4)
    headers = "Supported: timer, 100rel\nSession-Expires: 1800" + (f"\nRequire: {require}" if require else "")
    invite = caller.invite(headers=headers)
    while len(invite.serialize()) % 3 != 1:  # what `_act` answers
        invite.headers.set("X-Pad", (invite.headers.get("X-Pad") or "") + "x")
    endpoint.receive_datagram(invite.serialize(), ALICE, 0.0)
    event = endpoint.next_event()
    assert isinstance(event, InviteReceived)
    endpoint.ring(event.session, 0.0)
    ringing = parse_message(endpoint.datagrams_to_send(0.0)[-1][0])
    assert isinstance(ringing, Response)
    caller.learn(ringing)
    made = [invite]
    if require:
        made.append(caller.write("PRACK", headers=f"RAck: {ringing.headers.get('RSeq')} 1 INVITE"))
    made.append(caller.ack(cseq=1))
    extras = {"REFER": "Refer-To: <sip:agent@192.0.2.9>", "NOTIFY": "Event: refer\nSubscription-State: active"}
    for method in methods:
        body = offer_of(ALICE).serialize() if method in ("UPDATE", "INVITE") else b""
        made.append(
            caller.write(
                method, body=body, content_type="application/sdp" if body else None, headers=extras.get(method, "")
            )
        )
    return SEPARATOR.join(message.serialize() for message in made)


SEEDS = (
    _flow("BYE"),
    _flow("UPDATE", "INFO", "BYE"),
    _flow("INVITE", "OPTIONS", "REFER", "BYE"),
    _flow("SUBSCRIBE", "NOTIFY", "MESSAGE", "BYE"),
    _flow("BYE", require="100rel"),
    b"OPTIONS sip:b SIP/2.0\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nFrom: <sip:a>;tag=a\nTo: <sip:b>\nCall-ID: 1\n"
    b"CSeq: 1 OPTIONS\n\n",
)

if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
