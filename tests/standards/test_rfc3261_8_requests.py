"""RFC 3261 §8.2: what becomes of a request before and outside of a session, §11: OPTIONS, and what other documents add:
RFC 6665 (events), RFC 6086 (INFO packages), RFC 3428 and 3903 (methods that are not taken).

The malformed ones are in ``test_rfc4475_uas.py``.
"""

from __future__ import annotations

import pytest

from sip.agent import ALLOW, SUPPORTED
from sip.events import InfoDigitReceived, InfoReceived, InviteReceived, SessionConfirmed, SessionId
from sip.message import Request, Response
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller


def established() -> tuple[Solo, Caller, SessionId]:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite())
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    return solo, caller, session


def answer(solo: Solo, request: Request) -> Response:
    """Return the one response to a request; nothing else happens."""
    (response,) = solo.receive(request)
    assert isinstance(response, Response)
    return response


def refused(request: Request) -> Response:
    """Send a request to an idle endpoint; it is answered without state and without an event."""
    solo = Solo.at()
    response = answer(solo, request)
    assert response.to.tag
    assert not solo.events
    solo.assert_nothing_left()
    return response


# -- §8.2.1: the method ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REGISTER", "MESSAGE", "PUBLISH", "UNHEARD-OF", "invite"])
def test_a_method_that_is_not_taken_gets_405_with_those_that_are(method: str) -> None:
    response = refused(Caller().write(method))
    assert response.status == 405
    assert response.headers.get_all("Allow") == list(ALLOW)


@pytest.mark.parametrize("method", ["MESSAGE", "PUBLISH", "UNHEARD-OF"])
def test_in_a_session_it_gets_the_same_and_the_session_goes_on(method: str) -> None:
    solo, caller, _ = established()
    response = answer(solo, caller.write(method, body=b"hello", content_type="text/plain"))
    assert (response.status, response.headers.get_all("Allow")) == (405, list(ALLOW))
    assert answer(solo, caller.bye()).status == 200


@pytest.mark.parametrize("method", ["BYE", "INFO", "CANCEL"])
def test_what_belongs_into_a_dialog_gets_481_without_one(method: str) -> None:
    assert refused(Caller().write(method)).status == 481
    assert refused(Caller(to_tag="gone").write(method)).status == 481


def test_an_ack_is_never_answered() -> None:
    solo = Solo.at()
    for headers in ("", "Require: golden"):
        assert solo.receive(Caller().write("ACK", headers=headers)) == []
    assert solo.receive(Caller(target="soap.beep:x").write("ACK")) == []
    solo.assert_nothing_left()


# -- RFC 6665: events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["SUBSCRIBE", "NOTIFY"])
@pytest.mark.parametrize(
    "event", ["Event: presence", "Event: message-summary;id=3", "o: dialog", "Subject: none", "Event: ;"]
)
def test_an_unknown_event_gets_489_with_those_that_are_known(method: str, event: str) -> None:
    response = refused(Caller().write(method, headers=event))
    assert (response.status, response.headers.get("Allow-Events")) == (489, "refer")


def test_nobody_subscribes_to_what_only_a_refer_begins() -> None:
    assert refused(Caller().write("SUBSCRIBE", headers="Event: refer")).status == 403
    assert refused(Caller().write("NOTIFY", headers="Event: refer")).status == 481


# -- §8.2.2: the Request-URI, loops, and what is required ------------------------------------------------------------


@pytest.mark.parametrize("target", ["im:pay@192.0.2.2", "http://192.0.2.2/", "urn:service:sos"])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REFER"])
def test_a_scheme_that_is_not_called_gets_416(target: str, method: str) -> None:
    assert refused(Caller(target=target).write(method)).status == 416


def test_a_telephone_number_is_called() -> None:
    solo, caller = Solo.at(), Caller(target="tel:+15550100;phone-context=example.com")
    assert answer(solo, caller.invite()).status == 100
    assert solo.take(InviteReceived).request_uri.user == "+15550100"


def test_only_what_is_unknown_is_named_as_unsupported() -> None:
    known = ", ".join(SUPPORTED)
    response = refused(Caller().invite(headers=f"Require: {known}, golden\nRequire: Silver"))
    assert (response.status, response.headers.get_all("Unsupported")) == (420, ["golden", "Silver"])
    assert answer(Solo.at(), Caller().invite(headers="Require: Replaces, norefersub")).status == 100


def test_proxy_require_is_not_ours_to_read() -> None:
    assert answer(Solo.at(), Caller().invite(headers="Proxy-Require: golden")).status == 100


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_max_forwards_of_0_reaches_whom_it_was_sent_to(method: str) -> None:
    # §16.3 step 3 and §11 speak of who forwards; the request is here.
    request = Caller().write(method)
    request.headers.set("Max-Forwards", "0")
    assert answer(Solo.at(), request).status in (100, 200)


def test_the_same_request_by_another_path_gets_482() -> None:
    solo, caller = Solo.at(), Caller()
    assert answer(solo, caller.invite()).status == 100
    again = caller.write("INVITE", cseq=caller.cseq)
    assert answer(solo, again).status == 482


# -- §8.2.3: the body ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ("Subject: x", "text/plain"),
        ("Content-Encoding: gzip", "application/sdp"),
        ("Subject: x", "multipart/alternative"),
    ],
)
def test_a_body_that_is_not_understood_gets_415_with_what_is(headers: str, kind: str) -> None:
    response = refused(Caller().write("INVITE", body=b"v=0", content_type=kind, headers=headers))
    assert response.status == 415
    assert response.headers.get_all("Accept") == ["application/sdp", "multipart/mixed"]
    assert response.headers.get("Accept-Encoding") == "identity"


def test_a_body_that_may_be_left_unread_is_left_unread() -> None:
    request = Caller().write(
        "INVITE", body=b"x", content_type="text/plain", headers="Content-Disposition: render;handling=optional"
    )
    solo = Solo.at()
    assert answer(solo, request).status == 100
    assert solo.take(InviteReceived).offer is None


@pytest.mark.parametrize("accept", ["text/plain", "application/sdp;q=0", "*/*", ""])
def test_a_caller_with_a_description_takes_one_whatever_its_accept_says(accept: str) -> None:
    # RFC 4475 §3.3.15 allows 406 and allows this; who sends a description can read one.
    assert answer(Solo.at(), Caller().invite(headers=f"Accept: {accept}")).status == 100


# -- §11: OPTIONS ----------------------------------------------------------------------------------------------------


def check_capabilities(response: Response) -> None:
    headers = response.headers
    assert response.status == 200
    assert headers.get_all("Allow") == list(ALLOW)
    assert headers.get_all("Accept")[:2] == ["application/sdp", "multipart/mixed"]
    assert {"application/dtmf", "application/dtmf-relay"} <= set(headers.get_all("Accept"))
    assert (headers.get("Accept-Encoding"), headers.get("Accept-Language")) == ("identity", "en")
    assert set(SUPPORTED) <= set(headers.get_all("Supported"))
    assert headers.get("Allow-Events") == "refer"


def test_options_tells_what_we_can() -> None:
    check_capabilities(refused(Caller().write("OPTIONS")))


def test_options_in_a_session_tells_the_same_and_changes_nothing() -> None:
    solo, caller, _ = established()
    check_capabilities(answer(solo, caller.write("OPTIONS")))
    assert not solo.events
    assert answer(solo, caller.bye()).status == 200


def test_a_node_that_takes_no_calls_says_so() -> None:
    solo = Solo.at()
    solo.endpoint.set_accepting(False)
    for request in (Caller().write("OPTIONS"), Caller(call_id="call-2").invite()):
        response = answer(solo, request)
        assert response.status == 503
        assert int(response.headers.get("Retry-After") or 0) > 0
    solo.endpoint.set_accepting(True)
    assert answer(solo, Caller(call_id="call-3").write("OPTIONS")).status == 200


def test_a_full_node_says_so_and_its_calls_go_on() -> None:
    solo, caller = Solo.at(max_sessions=1), Caller()
    solo.receive(caller.invite())
    session = solo.take(InviteReceived).session
    assert answer(solo, Caller(call_id="call-2").write("OPTIONS")).status == 503
    assert answer(solo, Caller(call_id="call-3").invite()).status == 503
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    assert answer(solo, caller.write("OPTIONS")).status == 200


# -- RFC 6086: INFO --------------------------------------------------------------------------------------------------


def test_an_info_package_nobody_asked_for_gets_469() -> None:
    solo, caller, _ = established()
    request = caller.write(
        "INFO", headers="Info-Package: foo", content_type="application/dtmf-relay", body=b"Signal=5\r\n"
    )
    response = answer(solo, request)
    assert (response.status, response.headers.lines("Recv-Info")) == (469, [""])
    assert not solo.events
    assert answer(solo, caller.bye()).status == 200


def test_an_unknown_info_body_gets_415_and_is_told() -> None:
    solo, caller, session = established()
    response = answer(solo, caller.info("application/x-vendor", b"1"))
    assert response.status == 415
    assert response.headers.get_all("Accept") == ["application/dtmf-relay", "application/dtmf"]
    assert solo.take(InfoReceived).session == session


def test_an_empty_info_is_a_sign_of_life() -> None:
    solo, caller, _ = established()
    assert answer(solo, caller.write("INFO")).status == 200
    assert not solo.events


@pytest.mark.parametrize(
    ("content_type", "body", "event"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", 5),
        ("application/dtmf-relay", b"Signal= 5\r\nDuration= 160", 5),
        ("application/dtmf-relay;charset=utf-8", b"Signal=5\nDuration=160\n", 5),
        ("Application/DTMF-Relay ; charset=UTF-8", b"signal=5", 5),
        ("application/dtmf-relay", b"Signal=*\r\nDuration=100\r\n", 10),
        ("application/dtmf-relay", b"Signal=#\r\nDuration=100\r\nVolume=10\r\nX: y\r\n", 11),
        ("application/dtmf-relay", b"Signal=10\r\nDuration=100\r\n", 10),
        ("application/dtmf-relay", b"Signal=11\r\nDuration=100\r\n", 11),
        ("application/dtmf-relay", b"Duration=100\r\nSignal=d\r\n", 15),
        ("application/dtmf", b"5", 5),
        ("application/dtmf", b"#\r\n", 11),
        ("application/dtmf", b"10", 10),
        ("application/dtmf", b"Signal=11\r\n", 11),
    ],
)
def test_every_layout_of_a_key_is_heard_once(content_type: str, body: bytes, event: int) -> None:
    solo, caller, session = established()
    assert answer(solo, caller.info(content_type, body)).status == 200
    heard = solo.take(InfoDigitReceived)
    assert (heard.session, heard.event) == (session, event)


@pytest.mark.parametrize(
    "body", [b"Signal=16\r\n", b"Signal=flash\r\n", b"Signal=hash\r\n", b"Signal=\r\n", b"\xff\xfe"]
)
def test_what_is_no_key_is_answered_and_not_heard(body: bytes) -> None:
    solo, caller, _ = established()
    assert answer(solo, caller.info("application/dtmf-relay", body)).status == 200
    assert not solo.events
