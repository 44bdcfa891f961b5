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
from sip.events import InviteReceived, OfferReceived, OfferRequested, SessionConfirmed, SessionEnded, SessionId
from tests.support.sip_pair import ALICE, BOB, make_endpoint, offer_of

__all__ = ("SEPARATOR", "one_input")

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
            case SessionEnded():
                live.remove(event.session)  # KeyError: it ended twice
    endpoint.datagrams_to_send(now)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
