"""RFC 3261 §10.2 and §22: registration as a client. §10.2.4 (refresh), §10.2.8 (423), §10.2.2 (removal), digest with
MD5 and SHA-256 (RFC 7616, RFC 8760), stale nonces."""

from __future__ import annotations

import pytest

from sip import register
from sip.address import Address, Transport
from sip.auth import Challenge, verify
from sip.endpoint import Credentials
from sip.errors import LocalProtocolError
from sip.events import EndCause, RegistrationChanged, RegistrationStatus, SessionAnswered, SessionEnded
from sip.message import Request
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_registrar import (
    PASSWORD,
    REGISTRAR,
    accepted,
    account,
    registering,
    reply,
    requests_in,
    states,
)


def challenge(nonce: str = "n1", *, algorithm: str | None = "MD5", stale: bool = False) -> Challenge:
    return Challenge(realm="pbx", nonce=nonce, algorithm=algorithm, qop=("auth",), stale=stale)


def registered(expires_s: int = 300) -> tuple[Solo, Request]:
    solo, request = registering()
    solo.receive(accepted(request, expires_s))
    assert states(solo) == [RegistrationStatus.REGISTERING, RegistrationStatus.REGISTERED]
    return solo, request


def test_each_pair_of_state_and_input_is_in_the_table_or_ignored() -> None:
    for state in register.State:
        for event in register.Input:
            pair = (state, event)
            assert (pair in register.TABLE) != (pair in register.IGNORED), pair


def test_a_register_says_who_where_and_how_long() -> None:
    solo, request = registering(display_name="Pay")
    assert solo.sent[-1][2] == REGISTRAR
    assert (request.method, str(request.uri)) == ("REGISTER", "sip:pbx.example")
    assert str(request.to) == '"Pay" <sip:pay@pbx.example>'
    assert request.from_.uri == request.to.uri
    assert str(request.contact) == "<sip:pay@192.0.2.2:5060>"
    assert request.headers.get("Expires") == "300"


def test_the_binding_is_kept_as_long_as_the_registrar_says_for_our_contact() -> None:
    solo, request = registering()
    solo.receive(accepted(request, 120))
    event = [event for event in solo.events if isinstance(event, RegistrationChanged)][-1]
    assert (event.state, event.expires_s, event.status) == (RegistrationStatus.REGISTERED, 120, 200)


@pytest.mark.parametrize("expires_s", [60, 300, 3600])
def test_the_binding_is_renewed_between_half_and_nine_tenths_of_its_time(expires_s: int) -> None:
    solo, request = registered(expires_s)
    waited_s, refresh = solo.next_request()
    assert 0.5 * expires_s <= waited_s <= 0.9 * expires_s
    assert refresh.call_id == request.call_id
    assert refresh.from_.tag == request.from_.tag
    assert refresh.cseq.number == request.cseq.number + 1
    solo.receive(accepted(refresh, expires_s))
    assert states(solo) == []  # nothing has changed


def test_accounts_do_not_renew_all_at_once() -> None:
    solo = Solo.at()
    for number in range(50):
        solo.endpoint.register(account(id=f"a{number}", aor=Uri(user=f"u{number}", host="pbx.example")), solo.now)
    solo.collect()
    for _, request, _ in list(solo.sent):
        assert isinstance(request, Request)
        solo.receive(accepted(request))
    seconds = {int(when) for when, _ in solo.until(solo.now + 280)}
    assert len(seconds) > 25


@pytest.mark.parametrize(
    ("status", "ask", "answer"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", None])
def test_a_challenge_is_answered_with_the_next_cseq(status: int, ask: str, answer: str, algorithm: str | None) -> None:
    solo, request = registering()
    asked = challenge(algorithm=algorithm)
    sent = requests_in(solo.receive(reply(request, status, **{ask: str(asked)})))
    value = sent[0].headers.get(answer) or ""
    assert sent[0].cseq.number == request.cseq.number + 1
    assert sent[0].call_id == request.call_id
    assert verify(value, challenge=asked, method="REGISTER", password=PASSWORD)
    solo.receive(accepted(sent[0]))
    assert states(solo)[-1] is RegistrationStatus.REGISTERED


def test_of_several_challenges_the_strongest_is_answered() -> None:
    solo, request = registering()
    response = reply(request, 401)
    for asked in (challenge("md5"), challenge("sha", algorithm="SHA-256")):
        response.headers.add("WWW-Authenticate", str(asked))
    response.headers.add("WWW-Authenticate", "NoOneKnows realm=x")
    sent = requests_in(solo.receive(response))
    assert 'nonce="sha"' in (sent[0].headers.get("Authorization") or "")


def test_a_nonce_is_used_again_with_a_higher_count() -> None:
    solo, request = registering()
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge()))))[0]
    solo.receive(accepted(second))
    _, third = solo.next_request()
    assert "nc=00000001" in (second.headers.get("Authorization") or "")
    assert "nc=00000002" in (third.headers.get("Authorization") or "")
    assert verify(third.headers.get("Authorization") or "", challenge=challenge(), method="REGISTER", password=PASSWORD)


def test_a_password_that_is_refused_is_not_tried_again_at_once() -> None:
    solo, request = registering()
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge("n1")))))[0]
    assert requests_in(solo.receive(reply(second, 401, WWW_Authenticate=str(challenge("n2"))))) == []
    assert states(solo) == [RegistrationStatus.REGISTERING, RegistrationStatus.FAILED]


def test_a_stale_nonce_is_answered_with_the_new_one() -> None:
    solo, request = registering()
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge("n1")))))[0]
    third = requests_in(solo.receive(reply(second, 401, WWW_Authenticate=str(challenge("n2", stale=True)))))[0]
    assert 'nonce="n2"' in (third.headers.get("Authorization") or "")
    assert "nc=00000001" in (third.headers.get("Authorization") or "")


def test_a_registrar_that_calls_every_nonce_stale_is_given_up() -> None:
    solo, request = registering()
    for number in range(10):
        sent = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge(f"n{number}", stale=True)))))
        if not sent:
            break
        request = sent[0]
    assert number == 4
    assert states(solo)[-1] is RegistrationStatus.FAILED


def test_423_is_followed_once_it_makes_sense() -> None:
    solo, request = registering(expires_s=60)
    second = requests_in(solo.receive(reply(request, 423, Min_Expires="600")))[0]
    assert second.headers.get("Expires") == "600"
    assert requests_in(solo.receive(reply(second, 423, Min_Expires="600"))) == []
    assert states(solo)[-1] is RegistrationStatus.FAILED


@pytest.mark.parametrize("value", ["", "0", "-5", "many", "99999999999999", "900000"])
def test_423_with_nonsense_is_a_refusal(value: str) -> None:
    solo, request = registering()
    assert requests_in(solo.receive(reply(request, 423, Min_Expires=value))) == []
    assert states(solo)[-1] is RegistrationStatus.FAILED


def test_a_refused_registration_is_tried_again_after_30_s_then_twice_as_long_up_to_30_min() -> None:
    solo, request = registering()
    waits = []
    for _ in range(9):
        solo.receive(reply(request, 500))
        waited_s, request = solo.next_request()
        waits.append(waited_s)
    assert waits == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_retry_after_is_waited_for() -> None:
    solo, request = registering()
    solo.receive(reply(request, 503, Retry_After="120 (busy)"))
    assert solo.next_request()[0] == 120


def test_a_registrar_that_does_not_answer_is_tried_again() -> None:
    solo, _ = registering()
    solo.until(solo.now + 32)
    assert states(solo) == [RegistrationStatus.REGISTERING, RegistrationStatus.FAILED]
    solo.until(solo.now + 30)
    assert states(solo) == [RegistrationStatus.REGISTERING]


def test_unregister_removes_the_binding_and_is_told() -> None:
    solo, _ = registered()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    removal = solo.last(Request)
    assert removal.headers.get("Expires") == "0"
    solo.receive(reply(removal, 200))
    assert states(solo) == [RegistrationStatus.UNREGISTERING, RegistrationStatus.UNREGISTERED]
    solo.until(solo.now + 5000)
    solo.assert_nothing_left()
    assert solo.endpoint.statistics.registrations == 0


def test_unregister_answers_a_challenge() -> None:
    solo, _ = registered()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    asked = challenge()
    removal = requests_in(solo.receive(reply(solo.last(Request), 401, WWW_Authenticate=str(asked))))[0]
    assert removal.headers.get("Expires") == "0"
    assert verify(removal.headers.get("Authorization") or "", challenge=asked, method="REGISTER", password=PASSWORD)


def test_a_contact_that_the_registrar_rewrote_is_still_ours_when_it_is_alone() -> None:
    solo, request = registering()
    solo.receive(reply(request, 200, Contact="<sip:pay@203.0.113.7>;expires=90", Expires="77"))
    event = [event for event in solo.events if isinstance(event, RegistrationChanged)][-1]
    assert event.expires_s == 90


def test_unregister_removes_what_an_older_register_may_have_bound() -> None:
    solo, _ = registered()
    _, refresh = solo.next_request()
    solo.endpoint.unregister("trunk", solo.now)
    removal = requests_in(solo.receive(reply(refresh, 500)))[0]
    assert removal.headers.get("Expires") == "0"


def test_unregister_waits_for_the_answer_that_is_out() -> None:
    solo, request = registering()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    assert solo.last(Request) is request  # §10.2: one REGISTER at a time
    removal = requests_in(solo.receive(accepted(request)))[0]
    assert removal.headers.get("Expires") == "0"


@pytest.mark.parametrize("status", [401, 403, 423, 500])
def test_unregister_ends_whatever_the_registrar_says(status: int) -> None:
    solo, _ = registered()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    solo.receive(reply(solo.last(Request), status, Min_Expires="600"))
    assert states(solo)[-1] is RegistrationStatus.UNREGISTERED
    solo.until(solo.now + 5000)
    solo.assert_nothing_left()


def test_unregister_ends_without_any_answer() -> None:
    solo, _ = registered()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    solo.until(solo.now + 5000)
    assert states(solo)[-1] is RegistrationStatus.UNREGISTERED
    solo.assert_nothing_left()


def test_a_failed_registration_can_be_given_up_and_an_unknown_one_is_no_matter() -> None:
    solo, request = registering()
    solo.receive(reply(request, 403))
    solo.endpoint.unregister("trunk", solo.now)
    solo.endpoint.unregister("nobody", solo.now)
    solo.collect()
    assert states(solo)[-1] is RegistrationStatus.UNREGISTERED
    solo.until(solo.now + 5000)
    solo.assert_nothing_left()


def test_an_account_is_registered_once() -> None:
    solo, _ = registered()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.register(account(), solo.now)


def test_a_password_shows_nowhere() -> None:
    assert PASSWORD not in repr(account())
    assert PASSWORD not in repr(Credentials(username="u", password=PASSWORD))


# -- the same credentials on calls -----------------------------------------------------------------------------------


def test_an_invite_answers_a_challenge_once_and_its_ack_carries_the_credentials() -> None:
    solo = Solo.at()
    solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        credentials=Credentials(username="pay", password=PASSWORD),
        now=solo.now,
    )
    solo.collect()
    first = solo.last(Request)
    asked = challenge(algorithm="SHA-256")
    ack, second = requests_in(solo.receive(reply(first, 407, Proxy_Authenticate=str(asked))))
    assert (ack.method, second.method) == ("ACK", "INVITE")
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.cseq.number == first.cseq.number + 1
    assert second.via.branch != first.via.branch
    assert verify(second.headers.get("Proxy-Authorization") or "", challenge=asked, method="INVITE", password=PASSWORD)
    success = reply(second, 200, Contact=f"<sip:alice@{ALICE.host}>", Content_Type="application/sdp")
    success.body = answer_of(ALICE, offer_of(BOB)).serialize()
    final_ack = requests_in(solo.receive(success))[0]
    assert final_ack.headers.get("Proxy-Authorization") == second.headers.get("Proxy-Authorization")
    session = solo.take(SessionAnswered).session
    # A PBX that challenges BYE too.
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    fresh = challenge("n9", algorithm="SHA-256")
    again = requests_in(solo.receive(reply(bye, 407, Proxy_Authenticate=str(fresh))))[0]
    assert again.cseq.number == bye.cseq.number + 1
    assert verify(again.headers.get("Proxy-Authorization") or "", challenge=fresh, method="BYE", password=PASSWORD)
    solo.receive(reply(again, 200))
    assert solo.take(SessionEnded).cause is EndCause.LOCAL_BYE


def test_a_call_with_the_wrong_password_is_rejected() -> None:
    solo = Solo.at()
    solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        credentials=Credentials(username="pay", password=PASSWORD),
        now=solo.now,
    )
    solo.collect()
    asked = str(challenge())
    second = requests_in(solo.receive(reply(solo.last(Request), 401, WWW_Authenticate=asked)))[1]
    solo.receive(reply(second, 401, WWW_Authenticate=asked))
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REJECTED, 401)


# -- several addresses of one registrar (RFC 3263 §4.3) ----------------------------------------------------------------

SECOND, THIRD = Address("192.0.2.201", 5060), Address("192.0.2.202", 5060)
BY_TCP, SECOND_BY_TCP = (address._replace(transport=Transport.TCP) for address in (REGISTRAR, SECOND))
THREE = (REGISTRAR, SECOND, THIRD)


def hops(solo: Solo) -> list[Address]:
    """Return where requests went, retransmissions counted once."""
    went: list[Address] = []
    for _, message, destination in solo.sent:
        if isinstance(message, Request) and (not went or went[-1] != destination):
            went.append(destination)
    return went


def test_3263_4_3_an_address_that_answers_503_gives_way_to_the_next() -> None:
    solo, request = registering(next_hops=THREE)
    second = requests_in(solo.receive(reply(request, 503, Retry_After="600")))[0]
    assert solo.sent[-1][2] == SECOND
    assert (second.call_id, second.cseq.number) == (request.call_id, request.cseq.number + 1)
    solo.receive(accepted(second))
    assert states(solo) == [RegistrationStatus.REGISTERING, RegistrationStatus.REGISTERED]


def test_3263_4_3_an_address_that_is_silent_gives_way_to_the_next() -> None:
    solo, _ = registering(next_hops=(REGISTRAR, SECOND))
    solo.after(32)
    solo.receive(accepted(solo.last(Request)))
    assert hops(solo) == [REGISTRAR, SECOND]
    assert states(solo)[-1] is RegistrationStatus.REGISTERED


def test_3263_4_3_an_address_that_the_network_refuses_gives_way_to_the_next() -> None:
    solo, _ = registering(next_hops=(BY_TCP, SECOND_BY_TCP))
    solo.endpoint.transport_error(BY_TCP, solo.now)
    solo.collect()
    assert hops(solo) == [BY_TCP, SECOND_BY_TCP]


def test_a_refusal_is_not_carried_to_the_next_address() -> None:
    solo, request = registering(next_hops=THREE)
    assert requests_in(solo.receive(reply(request, 403))) == []
    assert states(solo)[-1] is RegistrationStatus.FAILED


def test_the_address_that_works_is_kept() -> None:
    solo, request = registering(next_hops=THREE)
    second = requests_in(solo.receive(reply(request, 503)))[0]
    solo.receive(accepted(second))
    for _ in range(3):
        _, refresh = solo.next_request()
        assert solo.sent[-1][2] == SECOND
        solo.receive(accepted(refresh))
    assert solo.endpoint.account_next_hop("trunk") == SECOND


def test_when_every_address_failed_all_are_tried_again_after_30_s_or_what_they_asked_for() -> None:
    solo, request = registering(next_hops=THREE)
    for retry_after in ("", "90", ""):
        solo.receive(reply(request, 503, Retry_After=retry_after))
        request = solo.last(Request)
    assert states(solo)[-1] is RegistrationStatus.FAILED
    assert solo.next_request()[0] == 90
    assert hops(solo) == [*THREE, REGISTRAR]


def test_each_address_may_challenge() -> None:
    solo, request = registering(next_hops=(REGISTRAR, SECOND))
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge("n1")))))[0]
    third = requests_in(solo.receive(reply(second, 503)))[0]
    fourth = requests_in(solo.receive(reply(third, 401, WWW_Authenticate=str(challenge("n2")))))[0]
    assert 'nonce="n2"' in (fourth.headers.get("Authorization") or "")


def test_a_binding_is_removed_by_the_next_address_when_the_first_is_gone() -> None:
    solo, request = registering(next_hops=(REGISTRAR, SECOND))
    solo.receive(accepted(request))
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    removal = requests_in(solo.receive(reply(solo.last(Request), 503)))[0]
    assert removal.headers.get("Expires") == "0"
    solo.receive(reply(removal, 503))
    assert states(solo)[-1] is RegistrationStatus.UNREGISTERED
    solo.after(5000)
    solo.assert_nothing_left()


def test_new_addresses_are_taken_and_what_failed_is_tried_with_them_at_once() -> None:
    solo, request = registering()
    solo.receive(reply(request, 500))
    solo.endpoint.update_account("trunk", (REGISTRAR,), solo.now)
    solo.collect()
    assert hops(solo) == [REGISTRAR]  # nothing new
    solo.endpoint.update_account("trunk", (SECOND, REGISTRAR), solo.now)
    solo.collect()
    assert len(requests_in([message for _, message, _ in solo.sent])) == 2
    assert hops(solo) == [REGISTRAR]  # the address that is still there goes on


def test_a_registration_moves_with_its_next_refresh_when_its_address_is_withdrawn() -> None:
    solo, _ = registered()
    solo.endpoint.update_account("trunk", (SECOND,), solo.now)
    solo.collect()
    assert hops(solo) == [REGISTRAR]
    solo.next_request()
    assert hops(solo) == [REGISTRAR, SECOND]
    with pytest.raises(LocalProtocolError):
        solo.endpoint.update_account("trunk", (), solo.now)
    solo.endpoint.update_account("nobody", (SECOND,), solo.now)


def test_an_account_needs_a_next_hop() -> None:
    with pytest.raises(LocalProtocolError):
        account(next_hops=())


# -- refusals, back-off, what registrars say wrong ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404])
def test_an_account_that_is_refused_is_tried_again_slowly(status: int) -> None:
    solo, request = registering()
    waits = []
    for _ in range(5):
        solo.receive(reply(request, status))
        waited_s, request = solo.next_request()
        waits.append(waited_s)
    assert waits == [300, 600, 1200, 1800, 1800]


def test_a_wrong_password_is_tried_again_slowly() -> None:
    solo, request = registering()
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge("n1")))))[0]
    solo.receive(reply(second, 401, WWW_Authenticate=str(challenge("n2"))))
    assert solo.next_request()[0] == 300


@pytest.mark.parametrize("text", ["", "-1", "many", "9" * 30, "1e9", "12.5"])
def test_a_retry_after_that_is_none_changes_nothing_and_a_long_one_is_cut(text: str) -> None:
    solo, request = registering()
    solo.receive(reply(request, 500, Retry_After=text))
    assert solo.next_request()[0] == 30
    solo.receive(reply(solo.last(Request), 500, Retry_After="999999"))
    assert solo.next_request()[0] == 1800


@pytest.mark.parametrize(
    "headers",
    [
        {"Contact": "<sip:"},
        {"Contact": "*"},
        {"Contact": ""},
        {"Contact": "<sip:a@h>;expires=never"},
        {"Contact": "<sip:a@h>;expires=0", "Expires": "0"},
        {"Expires": "-1"},
        {"Service_Route": "sip:no-brackets;lr"},
        {"Service_Route": "<<>>"},
        {"Flow_Timer": "soon"},
        {"Authentication_Info": 'nextnonce="'},
        {"Contact": '<sip:a@h>;pub-gruu="<>";+sip.instance=x'},
    ],
)
def test_a_2xx_full_of_nonsense_is_survived(headers: dict[str, str]) -> None:
    solo, request = registering(instance_id="here", outbound=True)
    solo.receive(reply(request, 200, **headers))
    if solo.endpoint.account_next_hop("trunk") is not None:
        solo.next_request()
    assert solo.endpoint.account_route("trunk") == ()
    assert solo.endpoint.account_contact("trunk") is None


def test_several_accounts_at_several_registrars_do_not_touch_each_other() -> None:
    solo = Solo.at()
    for number in range(3):
        host = f"192.0.2.{210 + number}"
        one = account(
            id=f"a{number}",
            aor=Uri(user=f"u{number}", host=host),
            registrar=Uri(host=host),
            next_hops=(Address(host, 5060),),
        )
        solo.endpoint.register(one, solo.now)
    solo.collect()
    first, second, third = requests_in([message for _, message, _ in solo.sent])
    assert len({request.call_id for request in (first, second, third)}) == 3
    solo.receive(accepted(first))
    solo.receive(reply(second, 403))
    solo.receive(reply(third, 401, WWW_Authenticate=str(challenge())))
    told = {event.account_id: event.state for event in solo.events if isinstance(event, RegistrationChanged)}
    assert told == {
        "a0": RegistrationStatus.REGISTERED, "a1": RegistrationStatus.FAILED, "a2": RegistrationStatus.REGISTERING,
    }  # fmt: skip
    assert solo.sent[-1][2].host == "192.0.2.212"


# -- how it is reached -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [(), (("lr", None),)])
def test_an_outbound_proxy_is_a_loose_route(lr: tuple[tuple[str, None], ...]) -> None:
    proxy = Uri(host="proxy.example", params=lr)
    solo, request = registering(outbound_proxy=proxy)
    assert [str(route) for route in request.routes] == ["<sip:proxy.example;lr>"]
    assert str(request.uri) == "sip:pbx.example"
    assert [str(route) for route in solo.endpoint.account_route("trunk")] == ["<sip:proxy.example;lr>"]


def test_a_contact_may_have_a_user_of_its_own() -> None:
    solo, request = registering(contact_user="line-1")
    assert str(request.contact) == "<sip:line-1@192.0.2.2:5060>"
    assert request.to.uri.user == "pay"
    solo.receive(reply(request, 200, Contact=f"<sip:x@h>;expires=9, {request.contact};expires=120"))
    event = [event for event in solo.events if isinstance(event, RegistrationChanged)][-1]
    assert event.expires_s == 120


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS, Transport.WS])
def test_the_transport_is_that_of_the_next_hop(transport: Transport) -> None:
    hop = REGISTRAR._replace(transport=transport)
    solo, request = registering(next_hops=(hop,))
    assert solo.sent[-1][2] == hop
    assert request.via.transport == transport
    assert request.contact is not None
    assert request.contact.uri.param("transport") == transport.lower()


def test_8_1_1_8_a_sips_registrar_gets_a_sips_contact() -> None:
    hop = Address("192.0.2.200", 5061, Transport.TLS, name="pbx.example")
    solo, request = registering(registrar=Uri(scheme="sips", host="pbx.example"), next_hops=(hop,))
    assert str(request.uri) == "sips:pbx.example"
    assert str(request.contact) == "<sips:pay@192.0.2.2:5060>"
    assert solo.sent[-1][2].name == "pbx.example"


def test_rfc_3327_5_1_path_is_offered_and_what_comes_of_it_left_alone() -> None:
    solo, request = registering()
    assert request.headers.get_all("Supported") == ["path"]
    response = accepted(request)
    response.headers.set("Path", "<sip:edge.example;lr>")
    solo.receive(response)
    assert states(solo)[-1] is RegistrationStatus.REGISTERED
    assert solo.endpoint.account_route("trunk") == ()


def test_7616_3_5_the_next_nonce_of_a_2xx_is_used_for_the_refresh() -> None:
    solo, request = registering()
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge("n1")))))[0]
    response = accepted(second)
    response.headers.set("Authentication-Info", 'nextnonce="n2"')
    solo.receive(response)
    _, refresh = solo.next_request()
    text = refresh.headers.get("Authorization") or ""
    assert 'nonce="n2"' in text
    assert "nc=00000001" in text


def test_a_registrar_that_does_not_prove_the_password_is_told_of_and_kept() -> None:
    solo, request = registering()
    second = requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(challenge("n1")))))[0]
    for _ in range(2):
        response = accepted(second)
        response.headers.set("Authentication-Info", f'rspauth="{"0" * 32}", qop=auth')
        solo.events.clear()
        solo.receive(response)
        event = [event for event in solo.events if isinstance(event, RegistrationChanged)][-1]
        assert event.state is RegistrationStatus.REGISTERED
        assert "rspauth" in event.reason
        _, second = solo.next_request()


def test_only_the_realm_of_the_account_is_answered() -> None:
    solo, request = registering(realm="pbx")
    elsewhere = Challenge(realm="elsewhere", nonce="n1", qop=("auth",))
    assert requests_in(solo.receive(reply(request, 401, WWW_Authenticate=str(elsewhere)))) == []
    assert states(solo)[-1] is RegistrationStatus.FAILED
