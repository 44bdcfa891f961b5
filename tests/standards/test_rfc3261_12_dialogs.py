"""RFC 3261 §12: dialogs. §12.1 (what makes one), §12.2.1 (requests in it, loose and strict routes), §12.2.2 (order,
target refresh, 481), §8.2 (the checks outside of dialogs)."""

from __future__ import annotations

import pytest

from sip.address import Address
from sip.agent import ALLOW, SUPPORTED
from sip.events import InviteReceived, OfferReceived, SessionConfirmed, SessionId
from sip.message import Request, Response
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller, request


def established(invite_headers: str = "", *, source: Address = ALICE) -> tuple[Solo, Caller, SessionId]:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite(headers=invite_headers), source)
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack(), source)
    solo.take(SessionConfirmed)
    return solo, caller, session


def hung_up(solo: Solo, session: SessionId) -> tuple[Request, Address]:
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    return solo.last(Request), solo.sent[-1][2]


def statuses(messages: list[Request | Response]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]


def test_a_request_of_ours_goes_to_the_remote_target() -> None:
    solo, caller, session = established()
    bye, destination = hung_up(solo, session)
    assert destination == ALICE
    assert str(bye.uri) == "sip:alice@192.0.2.1:5060"
    assert (bye.from_.tag, bye.to.tag) == (caller.to_tag, caller.tag)
    assert bye.call_id == caller.call_id
    assert bye.max_forwards == 70


def test_a_request_follows_the_record_route_loosely() -> None:
    solo, _, session = established("Record-Route: <sip:192.0.2.9;lr>\nRecord-Route: <sip:192.0.2.10:5080;lr>")
    bye, destination = hung_up(solo, session)
    assert destination == Address("192.0.2.9", 5060)
    assert str(bye.uri) == "sip:alice@192.0.2.1:5060"
    assert [str(route) for route in bye.routes] == ["<sip:192.0.2.9;lr>", "<sip:192.0.2.10:5080;lr>"]


def test_a_strict_router_gets_itself_in_the_request_uri() -> None:
    solo, _, session = established("Record-Route: <sip:192.0.2.9>, <sip:192.0.2.10;lr>")
    bye, destination = hung_up(solo, session)
    assert destination == Address("192.0.2.9", 5060)
    assert str(bye.uri) == "sip:192.0.2.9"
    assert [str(route) for route in bye.routes] == ["<sip:192.0.2.10;lr>", "<sip:alice@192.0.2.1:5060>"]


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:alice@phone.example>",  # a name: no DNS here
        "<sip:alice@0.0.0.0>",
        "<sip:alice@224.0.1.75>",
        "<sip:alice@255.255.255.255>",
        "<sip:alice@10.0.0.5:5060>",  # behind NAT
        "<sip:alice@[2001:db8::1]>",  # a family that the packets do not come in
        "<sip:alice@192.0.2.1:5060;transport=tcp>",
        "<sip:alice@192.0.2.1:0>",
        "<tel:+15550100>",
    ],
)
def test_an_unusable_contact_is_replaced_by_where_the_packets_come_from(contact: str) -> None:
    nat = Address("8.8.4.4", 33333)
    solo, caller = Solo.at(), Caller()
    invite = caller.invite()
    invite.headers.set("Contact", contact)
    solo.receive(invite, nat)
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack(), nat)
    bye, destination = hung_up(solo, session)
    assert destination == nat
    assert f"<{bye.uri}>" == contact  # only the address changes, never the Request-URI


def test_a_reinvite_moves_the_remote_target_once_it_is_accepted() -> None:
    solo, caller, session = established()
    reinvite = caller.invite()
    reinvite.headers.set("Contact", "<sip:alice@192.0.2.44:5066>")
    solo.receive(reinvite)
    solo.take(OfferReceived)
    solo.endpoint.answer_offer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    solo.receive(caller.ack())
    bye, destination = hung_up(solo, session)
    assert (str(bye.uri), destination) == ("sip:alice@192.0.2.44:5066", Address("192.0.2.44", 5066))


def test_a_refused_reinvite_does_not_move_the_remote_target() -> None:
    solo, caller, session = established()
    reinvite = caller.invite()
    reinvite.headers.set("Contact", "<sip:alice@192.0.2.44:5066>")
    solo.receive(reinvite)
    solo.endpoint.refuse_offer(session, 488, solo.now)
    solo.collect()
    assert hung_up(solo, session)[1] == ALICE


def test_a_request_out_of_order_gets_500() -> None:
    solo, caller, _ = established()
    assert statuses(solo.receive(caller.write("INFO", cseq=10))) == [200]
    assert statuses(solo.receive(caller.write("INFO", cseq=9))) == [500]
    assert statuses(solo.receive(caller.write("INFO", cseq=10))) == [500]
    assert statuses(solo.receive(caller.write("BYE", cseq=3))) == [500]
    assert solo.endpoint.statistics.sessions == 1


def test_cseq_may_jump() -> None:
    solo, caller, _ = established()
    assert statuses(solo.receive(caller.write("INFO", cseq=4_000_000_000))) == [200]


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "OPTIONS", "UPDATE", "PRACK"])
@pytest.mark.parametrize("wrong", ["to_tag", "tag", "call_id"])
def test_a_request_with_a_wrong_dialog_gets_481(method: str, wrong: str) -> None:
    solo, caller, _ = established()
    setattr(caller, wrong, "wrong")
    assert statuses(solo.receive(caller.write(method))) == [481]
    assert solo.endpoint.statistics.sessions == 1
    solo.after(40)
    assert solo.endpoint.statistics.transactions == 0


def test_an_ack_for_nothing_is_ignored() -> None:
    solo, caller, _ = established()
    caller.to_tag = "wrong"
    assert solo.receive(caller.ack()) == []
    assert solo.endpoint.statistics.strays == 1


def test_options_in_a_dialog_is_answered() -> None:
    solo, caller, _ = established()
    assert statuses(solo.receive(caller.write("OPTIONS"))) == [200]


def test_an_old_peer_without_a_from_tag_has_a_dialog_too() -> None:
    solo = Solo.at()
    text = f"""{{method}} sip:pay@{BOB.host} SIP/2.0
        Via: SIP/2.0/UDP {ALICE.host}
        From: <sip:alice@{ALICE.host}>
        To: <sip:pay@{BOB.host}>{{tag}}
        Call-ID: old
        CSeq: {{cseq}} {{method}}"""
    solo.receive(request(text.format(method="INVITE", tag="", cseq=1)))
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, offer_of(BOB), solo.now)
    solo.collect()
    tag = f";tag={solo.last(Response).to.tag}"
    assert solo.receive(request(text.format(method="ACK", tag=tag, cseq=1))) == []
    solo.take(SessionConfirmed)
    assert statuses(solo.receive(request(text.format(method="BYE", tag=tag, cseq=2)))) == [200]


# -- outside of dialogs ----------------------------------------------------------------------------------------------


def test_options_is_answered_with_what_we_can_and_leaves_nothing_behind() -> None:
    solo = Solo.at()
    for number in range(100):
        sent = solo.receive(Caller(call_id=f"probe-{number}").write("OPTIONS"))
        assert statuses(sent) == [200]
    headers = sent[0].headers
    assert headers.get("Allow") == ", ".join(ALLOW)
    assert headers.get_all("Supported") == list(SUPPORTED)
    assert "application/sdp" in (headers.get("Accept") or "")
    solo.assert_nothing_left()


@pytest.mark.parametrize("method", ["REGISTER", "MESSAGE", "PUBLISH", "NEW"])
def test_a_method_that_is_not_ours_gets_405_with_allow(method: str) -> None:
    solo = Solo.at()
    sent = solo.receive(Caller().write(method))
    assert statuses(sent) == [405]
    assert "INVITE" in (sent[0].headers.get("Allow") or "")
    solo.assert_nothing_left()


@pytest.mark.parametrize("method", ["BYE", "INFO", "CANCEL", "UPDATE", "PRACK"])
def test_what_needs_a_dialog_or_a_transaction_gets_481_without(method: str) -> None:
    solo = Solo.at()
    assert statuses(solo.receive(Caller().write(method))) == [481]
    solo.assert_nothing_left()


def test_a_required_extension_gets_420_that_names_it() -> None:
    solo = Solo.at()
    sent = solo.receive(Caller().invite(headers="Require: 100rel, nothingSIPbrings, Timer\nRequire: eventlist"))
    assert statuses(sent) == [420]
    assert sent[0].headers.get_all("Unsupported") == ["nothingSIPbrings", "eventlist"]
    solo.assert_nothing_left()


def test_an_unknown_scheme_gets_416() -> None:
    caller = Caller(target="mailto:pay@example.com")
    solo = Solo.at()
    assert statuses(solo.receive(caller.invite())) == [416]
    solo.assert_nothing_left()


def test_a_telephone_number_can_be_called() -> None:
    solo = Solo.at()
    solo.receive(Caller(target="tel:+15550100").invite())
    assert solo.take(InviteReceived).request_uri.user == "+15550100"


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [("application/unknown", ""), ("application/sdp", "Content-Encoding: gzip")],
)
def test_a_body_that_cannot_be_read_gets_415_with_what_could(content_type: str, headers: str) -> None:
    solo = Solo.at()
    invite = Caller().write("INVITE", body=b"v=0\r\n", content_type=content_type, headers=headers)
    sent = solo.receive(invite)
    assert statuses(sent) == [415]
    assert "application/sdp" in (sent[0].headers.get("Accept") or "")
    assert sent[0].headers.get("Accept-Encoding") == "identity"
    solo.assert_nothing_left()


def test_a_body_that_need_not_be_understood_is_passed_over() -> None:
    solo = Solo.at()
    solo.receive(
        Caller().write(
            "INVITE", body=b"x", content_type="image/png", headers="Content-Disposition: icon;handling=optional"
        )
    )
    assert solo.take(InviteReceived).offer is None


def test_a_broken_description_gets_400() -> None:
    solo = Solo.at()
    assert statuses(solo.receive(Caller().invite(body=b"this is no sdp"))) == [400]
    solo.assert_nothing_left()


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_the_description_is_found_among_the_parts_of_a_multipart(end: str) -> None:
    offer = offer_of(ALICE)
    parts = [
        f"--edge{end}Content-Type: application/pidf+xml{end}{end}<presence/>{end}",
        f"--edge{end}Content-Disposition: session{end}content-type: application/SDP{end}{end}",
    ]
    body = (parts[0] + parts[1]).encode() + offer.serialize() + f"{end}--edge--{end}".encode()
    solo = Solo.at()
    solo.receive(Caller().write("INVITE", body=body, content_type='multipart/mixed;boundary="edge"'))
    assert solo.take(InviteReceived).offer == offer


def test_a_request_that_came_on_two_paths_gets_482_on_the_second() -> None:
    solo, caller = Solo.at(), Caller()
    invite = caller.invite()
    solo.receive(invite)
    merged = caller.write("INVITE", cseq=invite.cseq.number, body=invite.body, content_type="application/sdp")
    assert statuses(solo.receive(merged)) == [482]
    assert solo.endpoint.statistics.sessions == 1


def test_above_the_limit_invite_and_options_get_503_with_retry_after_and_no_state() -> None:
    solo = Solo.at(max_sessions=2)
    for number in range(5):
        sent = solo.receive(Caller(call_id=f"call-{number}").invite())
        assert statuses(sent) == [100 if number < 2 else 503]
    assert int(sent[0].headers.get("Retry-After") or "0") > 0
    assert statuses(solo.receive(Caller(call_id="probe").write("OPTIONS"))) == [503]
    assert solo.endpoint.statistics.sessions == 2
    assert solo.endpoint.statistics.transactions == 2


def test_a_drained_endpoint_refuses_calls_and_lets_those_that_run_go_on() -> None:
    solo, caller, _ = established()
    solo.endpoint.set_accepting(False)
    assert statuses(solo.receive(Caller(call_id="new").invite())) == [503]
    assert statuses(solo.receive(Caller(call_id="probe").write("OPTIONS"))) == [503]
    assert statuses(solo.receive(caller.info("application/dtmf", b"1"))) == [200]
    assert statuses(solo.receive(caller.bye())) == [200]
    solo.endpoint.set_accepting(True)
    assert statuses(solo.receive(Caller(call_id="probe-2").write("OPTIONS"))) == [200]


def test_a_refusal_without_state_has_the_same_tag_each_time_and_another_for_another_call() -> None:
    solo, caller = Solo.at(), Caller()
    probe = caller.write("OPTIONS")
    first, second = solo.receive(probe)[0], solo.receive(probe)[0]
    other = solo.receive(Caller(call_id="other").write("OPTIONS"))[0]
    assert first.to.tag == second.to.tag != other.to.tag
