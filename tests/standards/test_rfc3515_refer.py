"""RFC 3515 (REFER), RFC 3892 (Referred-By), RFC 4488 (Refer-Sub) and RFC 6665 (events), inside a session.

First the peer asks us to call somebody, then we ask the peer; RFC 5589 calls both transfer.
"""

from __future__ import annotations

import pytest

from sip import refer
from sip.credentials import Credentials
from sip.errors import LocalProtocolError
from sip.events import InviteReceived, ReferProgress, ReferReceived, SessionConfirmed, SessionEnded, SessionId
from sip.message import Request, Response
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller

AGENT = "sip:agent@192.0.2.77"


def established(solo: Solo | None = None, caller: Caller | None = None) -> tuple[Solo, Caller, SessionId]:
    solo, caller = solo or Solo.at(), caller or Caller()
    solo.receive(caller.invite())
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    return solo, caller, session


def sent_since(solo: Solo, before: int) -> list[Request | Response]:
    solo.collect()
    return [message for _, message, _ in solo.sent[before:]]


def seen(messages: list[Request | Response]) -> list[int | str]:
    return [message.status if isinstance(message, Response) else message.method for message in messages]


def referred(headers: str = f"Refer-To: <{AGENT}>") -> tuple[Solo, Caller, SessionId, ReferReceived]:
    solo, caller, session = established()
    assert solo.receive(caller.write("REFER", headers=headers)) == []
    return solo, caller, session, solo.take(ReferReceived)


def accepted(headers: str = f"Refer-To: <{AGENT}>") -> tuple[Solo, Caller, SessionId, int]:
    solo, caller, session, event = referred(headers)
    solo.endpoint.accept_refer(session, event.refer_id, solo.now)
    solo.collect()
    return solo, caller, session, event.refer_id


def referring(**how: object) -> tuple[Solo, Caller, SessionId, Request]:
    solo, caller, session = established()
    solo.endpoint.refer(session, Uri.parse(AGENT), solo.now, **how)  # type: ignore[arg-type]
    solo.collect()
    return solo, caller, session, solo.last(Request)


def report(
    caller: Caller, status: str, state: str = "active;expires=60", event: str = "refer", body: str | None = None
) -> Request:
    return caller.write(
        "NOTIFY",
        headers=f"Event: {event}\nSubscription-State: {state}",
        content_type="message/sipfrag;version=2.0",
        body=(f"SIP/2.0 {status}\r\n" if body is None else body).encode(),
    )


def progress(solo: Solo) -> tuple[int | None, str, bool]:
    event = solo.take(ReferProgress)
    return event.status, event.reason, event.final


@pytest.mark.parametrize(
    ("states", "inputs", "table", "ignored"),
    [
        (refer.InState, refer.InInput, refer.INCOMING_TABLE, refer.INCOMING_IGNORED),
        (refer.OutState, refer.OutInput, refer.OUTGOING_TABLE, refer.OUTGOING_IGNORED),
    ],
)
def test_each_pair_of_state_and_input_is_in_the_table_or_ignored(states, inputs, table, ignored) -> None:  # type: ignore[no-untyped-def]
    for state in states:
        for event in inputs:
            assert ((state, event) in table) != ((state, event) in ignored), (state, event)


# -- the peer refers us ----------------------------------------------------------------------------------------------


def test_the_application_hears_whom_to_call_and_who_asks() -> None:
    headers = f'Refer-To: "Agent" <{AGENT};user=phone>\nReferred-By: <sip:alice@192.0.2.1>;cid="2"'
    _, _, session, event = referred(headers)
    assert event.session == session
    assert (event.refer_to.display_name, str(event.refer_to.uri)) == ("Agent", f"{AGENT};user=phone")
    assert event.replaces is None
    assert event.referred_by == '<sip:alice@192.0.2.1>;cid="2"'


def test_the_compact_names_are_understood() -> None:
    event = referred(f"r: <{AGENT}>\nb: <sip:alice@192.0.2.1>")[3]
    assert (str(event.refer_to.uri), event.referred_by) == (AGENT, "<sip:alice@192.0.2.1>")


def test_the_call_to_replace_comes_out_of_the_uri() -> None:
    uri = f"{AGENT}?Replaces=12345%40192.0.2.7%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994&Subject=x"
    event = referred(f"Refer-To: <{uri}>")[3]
    assert event.replaces is not None
    assert (event.replaces.call_id, event.replaces.to_tag, event.replaces.from_tag) == (
        "12345@192.0.2.7", "12345", "5FFE-3994",
    )  # fmt: skip
    assert str(event.replaces) == "12345@192.0.2.7;to-tag=12345;from-tag=5FFE-3994"


def test_brackets_that_were_forgotten_are_not_missed() -> None:
    event = referred(f"Refer-To: {AGENT};user=phone?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3")[3]
    assert event.refer_to.uri.param("user") == "phone"
    assert event.replaces is not None
    assert event.replaces.dialog_id == ("1", "2", "3")


def test_acceptance_is_202_and_a_notify_at_once() -> None:
    solo, caller, session, event = referred()
    before = len(solo.sent)
    solo.endpoint.accept_refer(session, event.refer_id, solo.now)
    answer, notify = sent_since(solo, before)
    assert isinstance(answer, Response)
    assert isinstance(notify, Request)
    assert (answer.status, str(answer.contact)) == (202, "<sip:pay@192.0.2.2:5060>")
    assert notify.method == "NOTIFY"
    assert notify.headers.get("Event") == "refer"
    assert notify.headers.get("Subscription-State") == "active;expires=300"
    assert notify.content_type == "message/sipfrag;version=2.0".partition(";")[0]
    assert notify.body == b"SIP/2.0 100 Trying\r\n"
    assert notify.to.tag == caller.tag
    assert notify.contact is not None


def test_the_last_report_ends_the_subscription() -> None:
    solo, _, session, refer_id = accepted()
    before = len(solo.sent)
    solo.endpoint.notify_refer(session, refer_id, 180, "", solo.now)
    solo.endpoint.notify_refer(session, refer_id, 200, "OK", solo.now, final=True)
    solo.endpoint.notify_refer(session, refer_id, 200, "OK", solo.now, final=True)  # over: nothing
    ringing, done = sent_since(solo, before)
    assert isinstance(ringing, Request)
    assert isinstance(done, Request)
    assert ringing.body == b"SIP/2.0 180 Ringing\r\n"
    assert (ringing.headers.get("Subscription-State") or "").startswith("active")
    assert done.body == b"SIP/2.0 200 OK\r\n"
    assert done.headers.get("Subscription-State") == "terminated;reason=noresource"


def test_a_final_status_is_the_last_report_without_being_called_so() -> None:
    solo, _, session, refer_id = accepted()
    solo.endpoint.notify_refer(session, refer_id, 486, "Busy Here", solo.now)
    solo.collect()
    assert solo.last(Request).headers.get("Subscription-State") == "terminated;reason=noresource"


def test_the_second_refer_of_a_session_has_an_id() -> None:
    solo, caller, session, _ = accepted()
    solo.receive(caller.write("REFER", headers=f"Refer-To: <{AGENT}>"))
    second = solo.take(ReferReceived).refer_id
    solo.endpoint.accept_refer(session, second, solo.now)
    solo.collect()
    assert solo.last(Request).headers.get("Event") == f"refer;id={second}"
    assert second == caller.cseq


@pytest.mark.parametrize("status", [403, 603])
def test_a_refused_refer_leaves_the_session_as_it_was(status: int) -> None:
    solo, caller, session, event = referred()
    before = len(solo.sent)
    solo.endpoint.refuse_refer(session, event.refer_id, status, solo.now)
    solo.endpoint.refuse_refer(session, event.refer_id, status, solo.now)  # over: nothing
    assert seen(sent_since(solo, before)) == [status]
    assert seen(solo.receive(caller.bye())) == [200]
    solo.after(40)
    solo.assert_nothing_left()


def test_what_nobody_decides_is_declined() -> None:
    solo, *_ = referred()
    assert [(round(when - 1000), m.status) for when, m in solo.after(60) if isinstance(m, Response)] == [(4, 603)]


def test_what_the_state_forbids_is_a_local_error() -> None:
    solo, _, session, event = referred()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.notify_refer(session, event.refer_id, 180, "Ringing", solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.refuse_refer(session, event.refer_id, 200, solo.now)
    solo.endpoint.accept_refer(session, event.refer_id, solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.accept_refer(session, event.refer_id, solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.notify_refer(session, event.refer_id, 200, "OK\r\nX: y", solo.now)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Subject: nobody", 400),
        (f"Refer-To: <{AGENT}>\nRefer-To: <{AGENT}>", 400),
        (f"Refer-To: <{AGENT}>, <{AGENT}>", 400),
        ("Refer-To: <sip:>", 400),
        (f"Refer-To: <{AGENT}?Replaces=1%3Bto-tag%3D2>", 400),
        ("Refer-To: <isbn:2983792873>", 416),
        ("Refer-To: <http://192.0.2.1/>", 416),
        (f"Refer-To: <{AGENT};method=BYE>", 403),
    ],
)
def test_a_refer_that_cannot_be_followed_is_refused(headers: str, status: int) -> None:
    solo, caller, _ = established()
    assert seen(solo.receive(caller.write("REFER", headers=headers))) == [status]
    assert not solo.events


def test_refer_outside_of_a_session_is_refused() -> None:
    solo = Solo.at()
    assert seen(solo.receive(Caller().write("REFER", headers=f"Refer-To: <{AGENT}>"))) == [403]
    assert seen(solo.receive(Caller(to_tag="gone").write("REFER", headers=f"Refer-To: <{AGENT}>"))) == [481]
    solo.assert_nothing_left()


def test_before_the_call_is_confirmed_a_refer_is_put_off() -> None:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite())
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    number = caller.cseq
    (answer,) = solo.receive(caller.write("REFER", headers=f"Refer-To: <{AGENT}>"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Retry-After")) == (500, "10")
    assert seen(solo.receive(report(caller, "200 OK"))) == [481]
    solo.receive(caller.ack(cseq=number))
    assert solo.receive(caller.write("REFER", headers=f"Refer-To: <{AGENT}>")) == []
    assert solo.take(ReferReceived)


def test_more_refers_than_anybody_needs_are_put_off() -> None:
    solo, caller, _ = established()
    for _ in range(refer.MAX_INCOMING):
        assert solo.receive(caller.write("REFER", headers=f"Refer-To: <{AGENT}>")) == []
    assert seen(solo.receive(caller.write("REFER", headers=f"Refer-To: <{AGENT}>"))) == [500]


def test_a_referrer_that_wants_no_reports_gets_none() -> None:
    solo, _, session, event = referred(f"Refer-To: <{AGENT}>\nRefer-Sub: false\nRequire: norefersub")
    before = len(solo.sent)
    solo.endpoint.accept_refer(session, event.refer_id, solo.now)
    solo.endpoint.notify_refer(session, event.refer_id, 200, "OK", solo.now, final=True)
    (answer,) = sent_since(solo, before)
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Refer-Sub")) == (202, "false")


def test_the_subscription_ends_when_its_time_is_up() -> None:
    solo, _, _, _ = accepted()
    solo.receive(Response.to_request(solo.last(Request), 200))
    waited, notify = solo.next_request()
    assert waited == pytest.approx(300)
    assert notify.headers.get("Subscription-State") == "terminated;reason=timeout"
    assert notify.body == b"SIP/2.0 100 Trying\r\n"


@pytest.mark.parametrize("status", [481, 489])
def test_a_referrer_that_does_not_know_the_subscription_hears_no_more(status: int) -> None:
    solo, caller, session, refer_id = accepted()
    solo.receive(Response.to_request(solo.last(Request), status))
    before = len(solo.sent)
    solo.endpoint.notify_refer(session, refer_id, 200, "OK", solo.now)
    assert sent_since(solo, before) == []
    assert seen(solo.receive(caller.bye())) == [200]


def test_before_our_bye_the_referrer_hears_the_last_word() -> None:
    solo, _, session, refer_id = accepted()
    solo.endpoint.notify_refer(session, refer_id, 180, "Ringing", solo.now)
    solo.collect()
    before = len(solo.sent)
    solo.endpoint.hang_up(session, solo.now)
    notify, bye = sent_since(solo, before)
    assert isinstance(notify, Request)
    assert isinstance(bye, Request)
    assert (notify.method, bye.method) == ("NOTIFY", "BYE")
    assert notify.body == b"SIP/2.0 180 Ringing\r\n"
    assert notify.headers.get("Subscription-State") == "terminated;reason=noresource"
    for request in (notify, bye):
        solo.receive(Response.to_request(request, 200))
    solo.after(400)
    assert solo.take(SessionEnded)
    solo.assert_nothing_left()


def test_a_bye_of_the_referrer_ends_an_undecided_refer() -> None:
    solo, caller, session, event = referred()
    assert sorted(map(str, seen(solo.receive(caller.bye())))) == ["200", "481"]
    solo.endpoint.accept_refer(session, event.refer_id, solo.now)  # too late: nothing
    assert solo.after(40) == []
    solo.assert_nothing_left()


def test_a_subscribe_renews_or_ends_the_subscription() -> None:
    solo, caller, _, _ = accepted()
    answer, notify = solo.receive(caller.write("SUBSCRIBE", headers="Event: refer\nExpires: 600"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Expires")) == (200, "300")
    assert seen([notify]) == ["NOTIFY"]
    answer, notify = solo.receive(caller.write("SUBSCRIBE", headers="Event: refer\nExpires: 0"))
    assert isinstance(notify, Request)
    assert notify.headers.get("Subscription-State") == "terminated;reason=timeout"
    assert seen(solo.receive(caller.write("SUBSCRIBE", headers="Event: refer"))) == [403]
    assert seen(solo.receive(caller.write("SUBSCRIBE", headers="Event: dialog"))) == [489]


# -- we refer the peer -----------------------------------------------------------------------------------------------


def test_our_refer_names_whom_to_call_and_who_asks() -> None:
    _, _, _, request = referring()
    assert request.method == "REFER"
    assert request.headers.get("Refer-To") == f"<{AGENT}>"
    assert request.headers.get("Referred-By") == "<sip:pay@192.0.2.2>"
    assert request.contact is not None
    other = referring(referred_by=Uri.parse("sip:desk@example.com"))[3]
    assert other.headers.get("Referred-By") == "<sip:desk@example.com>"


def test_202_and_the_reports_are_told_in_order() -> None:
    solo, caller, _, request = referring()
    solo.receive(Response.to_request(request, 202))
    assert progress(solo) == (202, "Accepted", False)
    for status, final in (("100 Trying", False), ("180 Ringing", False)):
        assert seen(solo.receive(report(caller, status))) == [200]
        number, _, phrase = status.partition(" ")
        assert progress(solo) == (int(number), phrase, final)
    assert seen(solo.receive(report(caller, "200 OK", "terminated;reason=noresource"))) == [200]
    assert progress(solo) == (200, "OK", True)
    assert seen(solo.receive(report(caller, "200 OK", "terminated;reason=noresource"))) == [481]
    assert not solo.events


def test_a_refusal_is_the_last_word() -> None:
    solo, caller, _, request = referring()
    solo.receive(Response.to_request(request, 603))
    assert progress(solo) == (603, "Decline", True)
    assert seen(solo.receive(report(caller, "100 Trying"))) == [481]


def test_no_answer_is_the_last_word_and_the_session_goes_on() -> None:
    solo, caller, _, _ = referring()
    solo.after(33)
    assert progress(solo) == (None, "no response (timeout)", True)
    assert seen(solo.receive(caller.bye())) == [200]


def test_a_notify_may_overtake_the_202() -> None:
    solo, caller, _, request = referring()
    assert seen(solo.receive(report(caller, "100 Trying"))) == [200]
    assert progress(solo) == (100, "Trying", False)
    solo.receive(Response.to_request(request, 202))
    assert not solo.events
    assert seen(solo.receive(report(caller, "200 OK"))) == [200]
    assert progress(solo) == (200, "OK", True)


def test_the_last_notify_may_overtake_the_202() -> None:
    solo, caller, _, request = referring()
    solo.receive(report(caller, "200 OK", "terminated;reason=noresource"))
    assert progress(solo) == (200, "OK", True)
    solo.receive(Response.to_request(request, 202))
    solo.after(400)
    assert not solo.events


def test_after_a_final_status_the_rest_of_the_subscription_is_quiet() -> None:
    solo, caller, _, request = referring()
    solo.receive(Response.to_request(request, 202))
    solo.events.clear()
    solo.receive(report(caller, "200 OK", "active;expires=60"))
    assert progress(solo)[2]
    assert seen(solo.receive(report(caller, "200 OK", "terminated"))) == [200]
    assert not solo.events


@pytest.mark.parametrize(("event", "status"), [("dialog", 489), ("refer;id=99999", 481), ("Refer", 200)])
def test_a_notify_of_something_else_is_refused(event: str, status: int) -> None:
    solo, caller, _, request = referring()
    solo.receive(Response.to_request(request, 202))
    assert seen(solo.receive(report(caller, "100 Trying", event=event))) == [status]


def test_a_notify_names_our_refer_by_its_cseq() -> None:
    solo, caller, _, request = referring()
    assert seen(solo.receive(report(caller, "100 Trying", event=f"refer;id={request.cseq.number}"))) == [200]


def test_a_notify_without_a_subscription_is_refused() -> None:
    solo, caller, _ = established()
    assert seen(solo.receive(report(caller, "200 OK"))) == [481]
    assert seen(solo.receive(caller.write("NOTIFY"))) == [489]
    stranger = Caller(call_id="other")
    assert seen(solo.receive(report(stranger, "200 OK"))) == [481]
    (answer,) = solo.receive(report(stranger, "", event="message-summary"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Allow-Events")) == (489, "refer")


@pytest.mark.parametrize("body", ["", "hello", "SIP/2.0 999 No\r\n", "SIP/2.0\r\n", "\x00\xff" * 500])
def test_a_report_that_cannot_be_read_says_nothing(body: str) -> None:
    solo, caller, _, request = referring()
    solo.receive(Response.to_request(request, 202))
    solo.events.clear()
    assert seen(solo.receive(report(caller, "", body=body))) == [200]
    assert not solo.events
    solo.receive(report(caller, "", "terminated;reason=noresource", body=body))
    assert progress(solo) == (None, "", True)


def test_a_report_with_headers_behind_the_status_line_is_read() -> None:
    solo, caller, _, _ = referring()
    solo.receive(report(caller, "", body="SIP/2.0 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n"))
    assert progress(solo) == (503, "Service Unavailable", True)


def test_a_peer_that_accepts_and_never_reports_is_given_up() -> None:
    solo, _, _, request = referring()
    solo.receive(Response.to_request(request, 202))
    solo.events.clear()
    solo.after(31.9)
    assert not solo.events
    solo.after(0.2)
    assert progress(solo) == (None, "no report in time", True)


@pytest.mark.parametrize(("state", "limit_s"), [("active;expires=60", 60), ("active", 300), ("active;expires=1x", 300)])
def test_a_subscription_without_an_end_is_given_up(state: str, limit_s: float) -> None:
    solo, caller, _, _ = referring()
    solo.receive(report(caller, "100 Trying", state))
    solo.events.clear()
    solo.after(limit_s - 0.1)
    assert not solo.events
    solo.after(0.2)
    assert progress(solo) == (None, "no report in time", True)


def test_a_peer_that_grants_no_subscription_has_said_all() -> None:
    solo, _, _, request = referring()
    answer = Response.to_request(request, 202)
    answer.headers.set("Refer-Sub", "false")
    solo.receive(answer)
    assert progress(solo) == (202, "Accepted", True)


def test_a_peer_that_hangs_up_first_leaves_the_outcome_open() -> None:
    solo, caller, session, request = referring()
    solo.receive(Response.to_request(request, 202))
    solo.events.clear()
    solo.receive(caller.bye())
    told, ended = solo.events
    assert told == ReferProgress(session=session, status=None, reason="session ended", final=True)
    assert isinstance(ended, SessionEnded)
    assert seen(solo.receive(report(caller, "200 OK", "terminated"))) == [481]
    solo.after(40)
    solo.assert_nothing_left()


def test_a_challenge_to_our_refer_is_answered_and_its_cseq_is_the_new_one() -> None:
    solo = Solo.at()
    session = solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
        credentials=Credentials(username="pay", password="not a secret"),
    )
    solo.collect()
    invite = solo.last(Request)
    answer = Response.to_request(invite, 200, to_tag="theirs")
    answer.headers.set("Contact", "<sip:alice@192.0.2.1>")
    answer.headers.set("Content-Type", "application/sdp")
    answer.body = answer_of(ALICE, offer_of(BOB)).serialize()
    solo.receive(answer)
    solo.endpoint.refer(session, Uri.parse(AGENT), solo.now)
    solo.collect()
    first = solo.last(Request)
    challenge = Response.to_request(first, 401)
    challenge.headers.set("WWW-Authenticate", 'Digest realm="pbx", nonce="n1", qop="auth"')
    (again,) = solo.receive(challenge)
    assert isinstance(again, Request)
    assert 'username="pay"' in (again.headers.get("Authorization") or "")
    assert again.cseq.number == first.cseq.number + 1
    for name in ("Refer-To", "Referred-By"):
        assert again.headers.lines(name) == first.headers.lines(name)
    solo.receive(Response.to_request(first, 603))  # late and of the one before: nothing
    assert not [event for event in solo.events if isinstance(event, ReferProgress)]
    solo.receive(Response.to_request(again, 401))
    assert progress(solo) == (401, "Unauthorized", True)


def test_one_refer_at_a_time_and_another_after_it() -> None:
    solo, _, session, request = referring()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.refer(session, Uri.parse(AGENT), solo.now)
    solo.receive(Response.to_request(request, 603))
    solo.endpoint.refer(session, Uri.parse(AGENT), solo.now)
    solo.collect()
    assert solo.last(Request).cseq.number == request.cseq.number + 1


def test_refer_needs_an_established_session_and_somebody_to_call() -> None:
    solo = Solo.at()
    solo.receive(Caller().invite())
    session = solo.take(InviteReceived).session
    with pytest.raises(LocalProtocolError):
        solo.endpoint.refer(session, Uri.parse(AGENT), solo.now)
    solo, _, session = established()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.refer(session, None, solo.now)


def test_an_attended_transfer_names_the_other_call_as_its_peer_sees_it() -> None:
    solo, _, session = established()
    _, other_caller, other = established(solo, Caller(call_id="call-2@192.0.2.1", tag="agent-tag"))
    solo.endpoint.refer(session, None, solo.now, replaces=other)
    solo.collect()
    refer_to = solo.last(Request).headers.get("Refer-To")
    to_tag = other_caller.to_tag
    assert refer_to == (
        f"<sip:alice@192.0.2.1:5060?Replaces=call-2%40192.0.2.1%3Bto-tag%3Dagent-tag%3Bfrom-tag%3D{to_tag}>"
    )


def test_only_another_established_session_can_be_replaced() -> None:
    solo, _, session = established()
    solo.receive(Caller(call_id="call-2").invite())
    ringing = solo.take(InviteReceived).session
    for other in (session, ringing):
        with pytest.raises(LocalProtocolError):
            solo.endpoint.refer(session, Uri.parse(AGENT), solo.now, replaces=other)


def test_what_is_asked_of_a_session_that_ended_does_nothing() -> None:
    solo, caller, session = established()
    solo.receive(caller.bye())
    solo.endpoint.refer(session, Uri.parse(AGENT), solo.now)
    solo.endpoint.accept_refer(session, 1, solo.now)
    solo.endpoint.refuse_refer(session, 1, 603, solo.now)
    solo.endpoint.notify_refer(session, 1, 200, "OK", solo.now)
    before = len(solo.sent)
    assert sent_since(solo, before) == []
