"""RFC 4028: session timers. §4 (Session-Expires), §5 (Min-SE), §6 (422), §7 (caller: asking, 422, refreshes), §9
(callee), §10 (BYE before the interval is over)."""

from __future__ import annotations

from typing import Any

import pytest

from sip.credentials import Credentials
from sip.errors import LocalProtocolError
from sip.events import EndCause, OfferAnswered, SessionAnswered, SessionEnded
from sip.message import Request, Response
from tests.support.sip_call import (
    ALLOW_ALL,
    OUR_ANSWER,
    answer,
    called,
    calling,
    established,
    invited,
    methods,
    reply,
    requests,
    statuses,
)
from tests.support.sip_pair import ALICE, BOB, Solo, make_endpoint, offer_of
from tests.support.sip_peer import Caller

KNOWN = "Supported: timer"
THEY_REFRESH = f"Supported: timer\nSession-Expires: 1800;refresher=uac\n{ALLOW_ALL}"
WE_REFRESH = f"Supported: timer\nSession-Expires: 1800;refresher=uas\n{ALLOW_ALL}"


def session_expires(message: Request | Response) -> str | None:
    return message.headers.get("Session-Expires")


def accepted(headers: str, **config: Any) -> Response:
    solo, caller, session = invited(headers, **config)
    return answer(solo, caller, session)


# -- §9: as callee ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "granted", "required"),
    [
        ("", None, False),  # who knows no timers gets none
        (KNOWN, "1800;refresher=uas", False),
        (f"{KNOWN}\nSession-Expires: 600", "600;refresher=uas", False),
        (f"{KNOWN}\nSession-Expires: 600;refresher=uac", "600;refresher=uac", True),
        (f"{KNOWN}\nSession-Expires: 600;refresher=uas", "600;refresher=uas", False),
        (f"{KNOWN}\nx: 600;foo=bar;Refresher=UAS", "600;refresher=uas", False),
        ("Session-Expires: 600", "600;refresher=uas", False),  # a proxy asks, the caller cannot
        (f"{KNOWN}\nSession-Expires: 7200", "1800;refresher=uas", False),  # shorter is allowed
        (f"{KNOWN}\nSession-Expires: 7200\nMin-SE: 3600", "3600;refresher=uas", False),  # not below their minimum
        (f"{KNOWN}\nMin-SE: 3600", "3600;refresher=uas", False),
        (f"{KNOWN}\nSession-Expires: nonsense", "1800;refresher=uas", False),
        (f"{KNOWN}\nSession-Expires: 0", "1800;refresher=uas", False),
        ("Require: timer\nSession-Expires: 90", "90;refresher=uas", False),
        ("Require: timer\nSession-Expires: 90; refresher=uac", "90;refresher=uac", True),
    ],
)
def test_9_the_200_says_who_refreshes_and_how_often(headers: str, granted: str | None, required: bool) -> None:
    response = accepted(headers)
    assert session_expires(response) == granted
    assert ("timer" in response.headers.get_all("Require")) is required
    assert "timer" in response.headers.get_all("Supported")


def test_9_who_is_told_to_ask_for_none_does_what_the_caller_asks() -> None:
    assert session_expires(accepted(KNOWN, session_expires_s=None)) is None
    assert session_expires(accepted(f"{KNOWN}\nSession-Expires: 9000", session_expires_s=None)) == "9000;refresher=uas"


def test_6_an_interval_below_ours_gets_422_with_min_se_and_no_state() -> None:
    solo = Solo.at(min_se_s=120)
    sent = solo.receive(Caller().invite(headers=f"{KNOWN}\nSession-Expires: 90"))
    assert statuses(sent) == [422]
    assert sent[0].headers.get("Min-SE") == "120"
    solo.assert_nothing_left()


def test_9_who_cannot_be_told_so_is_taken_and_refreshed_no_more_often_than_our_minimum() -> None:
    solo, caller, session = invited("Session-Expires: 2")
    assert session_expires(answer(solo, caller, session)) == "2;refresher=uas"
    solo.receive(caller.ack())
    waited, _ = solo.next_request()
    assert waited == 45


def test_7_4_a_short_interval_in_a_refresh_gets_422_and_the_call_goes_on() -> None:
    solo, caller, _ = established(THEY_REFRESH)
    for method in ("UPDATE", "INVITE"):
        sent = solo.receive(caller.write(method, headers=f"{KNOWN}\nSession-Expires: 30"))
        assert statuses(sent) == [422]
        assert sent[0].headers.get("Min-SE") == "90"
    assert solo.endpoint.statistics.sessions == 1


def test_9_a_refresh_of_the_peer_begins_the_interval_anew() -> None:
    solo, caller, _ = established(THEY_REFRESH)
    for _ in range(5):
        assert solo.after(900) == []
        sent = solo.receive(caller.write("UPDATE", headers=f"{KNOWN}\nSession-Expires: 1800;refresher=uac"))
        assert session_expires(sent[0]) == "1800;refresher=uac"
    waited, bye = solo.next_request()
    assert (bye.method, waited) == ("BYE", 1800 - 32)


def test_9_a_reinvite_is_a_refresh_too() -> None:
    solo, caller, session = established(THEY_REFRESH)
    solo.after(1000)
    solo.receive(caller.invite(headers=THEY_REFRESH))
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.collect()
    assert session_expires(solo.last(Response)) == "1800;refresher=uac"
    solo.receive(caller.ack())
    waited, bye = solo.next_request()
    assert (bye.method, waited) == ("BYE", 1768)


def test_9_a_request_that_no_longer_knows_timers_ends_them() -> None:
    solo, caller, _ = established(THEY_REFRESH)
    sent = solo.receive(caller.write("UPDATE"))
    assert session_expires(sent[0]) is None
    assert solo.after(4000) == []


# -- §10: without a refresh ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval_s", "hung_up_s"), [(1800, 1768), (90, 60), (95, 95 - 95 / 3)])
def test_10_without_the_peers_refresh_bye_is_sent_before_the_end(interval_s: int, hung_up_s: float) -> None:
    solo, _, _ = established(f"{KNOWN}\nSession-Expires: {interval_s};refresher=uac")
    waited, bye = solo.next_request()
    assert bye.method == "BYE"
    assert waited == pytest.approx(hung_up_s)
    assert 'text="Session timer expired"' in (bye.headers.get("Reason") or "")
    solo.receive(Response.to_request(bye, 200))
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT
    solo.after(40)
    solo.assert_nothing_left()


# -- §7.4, §10: our refresh ------------------------------------------------------------------------------------------


def test_7_4_we_refresh_at_half_of_the_interval_by_update_without_a_body() -> None:
    solo, _, _ = established(WE_REFRESH)
    for _ in range(3):
        waited, refresh = solo.next_request()
        assert waited == 900
        assert (refresh.method, refresh.body) == ("UPDATE", b"")
        assert session_expires(refresh) == "1800;refresher=uac"
        assert "timer" in refresh.headers.get_all("Supported")
        solo.receive(reply(refresh, 200, headers="Session-Expires: 1800;refresher=uac"))
    assert not [event for event in solo.events if isinstance(event, OfferAnswered)]


def test_7_4_without_update_we_refresh_by_a_reinvite_that_changes_nothing() -> None:
    solo, _, _ = established("Supported: timer\nSession-Expires: 1800;refresher=uas")
    for _ in range(2):
        waited, refresh = solo.next_request()
        assert (waited, refresh.method, refresh.body) == (900, "INVITE", OUR_ANSWER.serialize())
        answered = reply(refresh, 200, sdp=False, headers="Session-Expires: 1800;refresher=uac")
        answered.headers.set("Content-Type", "application/sdp")
        answered.body = offer_of(ALICE).serialize()  # as in its INVITE
        assert methods(solo.receive(answered)) == ["ACK"]
    assert not [event for event in solo.events if isinstance(event, OfferAnswered)]


def test_an_answer_to_a_refresh_that_differs_is_told() -> None:
    solo, _, _ = established("Supported: timer\nSession-Expires: 1800;refresher=uas")
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, 200, headers="Session-Expires: 1800;refresher=uac"))
    assert solo.take(OfferAnswered).answer is not None


@pytest.mark.parametrize("status", [405, 501])
def test_a_peer_that_takes_no_update_after_all_is_refreshed_by_reinvite(status: int) -> None:
    solo, _, _ = established(WE_REFRESH)
    _, refresh = solo.next_request()
    assert methods(solo.receive(reply(refresh, status))) == ["INVITE"]
    solo.receive(reply(solo.last(Request), 200, headers="Session-Expires: 1800;refresher=uac"))
    assert solo.next_request()[1].method == "INVITE"


def test_a_2xx_without_session_expires_ends_the_timer() -> None:
    solo, _, _ = established(WE_REFRESH)
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, 200))
    assert [message for _, message in solo.after(4000)] == []
    assert solo.endpoint.statistics.sessions == 1


def test_7_4_the_peer_may_take_over_the_refreshing() -> None:
    solo, _, _ = established(WE_REFRESH)
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, 200, headers="Require: timer\nSession-Expires: 1800;refresher=uas"))
    waited, bye = solo.next_request()
    assert (waited, bye.method) == (1768, "BYE")


@pytest.mark.parametrize("status", [408, 481])
def test_10_a_refresh_that_finds_no_call_ends_it(status: int) -> None:
    solo, _, _ = established(WE_REFRESH)
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, status))
    assert solo.take(SessionEnded).status == status


def test_10_a_refresh_without_an_answer_hangs_up() -> None:
    solo, _, _ = established(WE_REFRESH)
    solo.next_request()
    assert "BYE" in methods([message for _, message in solo.after(33)])


def test_14_1_a_refresh_that_meets_491_is_tried_again() -> None:
    solo, _, _ = established(WE_REFRESH)
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, 491))
    waited, again = solo.next_request()
    assert (again.method, waited <= 2) == ("UPDATE", True)


def test_10_a_refused_refresh_is_tried_again_and_leaves_the_call_until_its_end() -> None:
    solo, _, _ = established(WE_REFRESH)
    begin = solo.now
    sent: list[tuple[float, str]] = []
    while not sent or sent[-1][1] != "BYE":
        _, request = solo.next_request()
        sent.append((solo.now - begin, request.method))
        solo.receive(reply(request, 500 if request.method == "UPDATE" else 200))
    assert sent == [(900, "UPDATE"), (1125, "UPDATE"), (1350, "UPDATE"), (1575, "UPDATE"), (1768, "BYE")]


def test_10_a_refresh_that_the_network_refuses_is_tried_again() -> None:
    solo, _, _ = established(WE_REFRESH)
    solo.next_request()
    solo.endpoint.transport_error(ALICE, solo.now)
    solo.collect()
    waited, again = solo.next_request()
    assert (waited, again.method) == (225, "UPDATE")
    solo.receive(reply(again, 200, headers="Session-Expires: 1800;refresher=uac"))
    assert solo.next_request()[0] == 900


def test_6_a_refresh_that_meets_422_is_sent_again_with_the_longer_interval() -> None:
    solo, _, _ = established(WE_REFRESH)
    _, refresh = solo.next_request()
    (again,) = solo.receive(reply(refresh, 422, headers="Min-SE: 3600"))
    assert isinstance(again, Request)
    assert (session_expires(again), again.headers.get("Min-SE")) == ("3600;refresher=uac", "3600")


def test_22_2_a_challenged_refresh_is_answered() -> None:
    solo, _, invite = calling(Credentials(username="pay", password="not-a-real-one"))
    solo.receive(reply(invite, 200, headers=f"Session-Expires: 1800;refresher=uac\n{ALLOW_ALL}"))
    solo.take(SessionAnswered)
    _, refresh = solo.next_request()
    (again,) = solo.receive(
        reply(refresh, 407, headers='Proxy-Authenticate: Digest realm="r", nonce="n", algorithm=MD5')
    )
    assert isinstance(again, Request)
    assert (again.method, "Proxy-Authorization" in again.headers) == ("UPDATE", True)


def test_an_offer_asked_for_during_a_refresh_follows_it() -> None:
    solo, _, session = established(WE_REFRESH)
    _, refresh = solo.next_request()
    solo.endpoint.offer(session, OUR_ANSWER, solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.offer(session, OUR_ANSWER, solo.now)
    sent = solo.receive(reply(refresh, 200, headers="Session-Expires: 1800;refresher=uac"))
    assert methods(sent) == ["INVITE"]


def test_the_timer_stops_when_we_hang_up() -> None:
    solo, _, session = established(WE_REFRESH)
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    solo.receive(Response.to_request(solo.last(Request), 200))
    solo.after(40)
    solo.assert_nothing_left()


# -- §7: as caller ---------------------------------------------------------------------------------------------------


def test_7_1_our_invite_asks_and_leaves_the_role_open() -> None:
    _, _, invite = calling()
    assert session_expires(invite) == "1800"
    assert "timer" in invite.headers.get_all("Supported")


def test_7_1_it_can_be_left_out() -> None:
    _, _, invite = calling(session_expires_s=None)
    assert session_expires(invite) is None
    assert "timer" in invite.headers.get_all("Supported")


def test_7_3_after_422_the_invite_asks_for_what_is_wanted() -> None:
    solo, _, invite = calling(session_expires_s=600)
    sent = solo.receive(reply(invite, 422, headers="Min-SE: 1200"))
    assert methods(sent) == ["ACK", "INVITE"]
    again = sent[1]
    assert (session_expires(again), again.headers.get("Min-SE")) == ("1200", "1200")
    assert (again.call_id, again.from_.tag) == (invite.call_id, invite.from_.tag)
    assert again.cseq.number == invite.cseq.number + 1
    assert isinstance(again, Request)
    solo.receive(reply(again, 200))
    solo.take(SessionAnswered)


@pytest.mark.parametrize("headers", ["", "Min-SE: 5", "Min-SE: 100000", "Min-SE: x"])
def test_7_3_a_422_that_asks_for_nothing_sensible_is_a_refusal(headers: str) -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 422, headers=headers))
    assert solo.take(SessionEnded).status == 422


def test_7_3_422_for_ever_is_a_refusal() -> None:
    solo, _, invite = calling()
    for number in range(4):
        solo.receive(reply(solo.last(Request), 422, headers=f"Min-SE: {2000 + number}"))
        assert solo.last(Request).method == "INVITE"
    solo.receive(reply(solo.last(Request), 422, headers="Min-SE: 3000"))
    assert solo.take(SessionEnded).status == 422
    assert invite.method == "INVITE"


@pytest.mark.parametrize("value", ["1800;refresher=uac", "1800", "1800;x=y; refresher = UAC "])
def test_7_2_the_200_makes_us_the_refresher(value: str) -> None:
    solo, _, _ = called(f"Session-Expires: {value}\n{ALLOW_ALL}")
    waited, refresh = solo.next_request()
    assert (waited, refresh.method) == (900, "UPDATE")


def test_7_2_the_200_makes_the_peer_the_refresher() -> None:
    solo, _, _ = called("Require: timer\nSession-Expires: 1800;refresher=uas")
    waited, bye = solo.next_request()
    assert (waited, bye.method) == (1768, "BYE")


def test_7_2_a_peer_without_timers_is_called_without() -> None:
    solo, _, _ = called()
    assert [message for _, message in solo.after(8000)] == []
    assert solo.endpoint.statistics.sessions == 1
    assert len(requests(solo, "INVITE")) == 1


@pytest.mark.parametrize("changes", [{"min_se_s": 0}, {"session_expires_s": 60}, {"session_expires_s": 0}])
def test_a_configuration_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        make_endpoint(BOB, **changes)
