from __future__ import annotations

import pytest

from sip.dialog import IGNORED, TABLE, Dialog, Input, State, dialog_id_of_request
from sip.message import Response
from tests.support.sip_pair import ALICE, BOB
from tests.support.sip_peer import Caller


def dialog() -> Dialog:
    return Dialog.of_server(Caller().invite(), "ours", ALICE, first_cseq=7)


def test_each_pair_of_state_and_input_is_in_the_table_or_ignored() -> None:
    for state in State:
        for event in Input:
            assert ((state, event) in TABLE) != ((state, event) in IGNORED), (state, event)


def test_a_dialog_begins_early_and_ends_once() -> None:
    one, states = dialog(), []
    # REFUSED there is that of a re-INVITE.
    for event in (Input.SUCCESS, Input.REFUSED, Input.BYE, Input.SUCCESS):
        states.append(one.state)
        one.feed(event)
    assert [*states, one.state] == [
        State.EARLY, State.CONFIRMED, State.CONFIRMED, State.TERMINATED, State.TERMINATED,
    ]  # fmt: skip


def test_its_identity_is_what_the_peers_requests_name() -> None:
    caller = Caller(to_tag="ours")
    assert dialog().id == dialog_id_of_request(caller.bye()) == ("call-1", "ours", "alice-tag")


def test_our_cseq_counts_and_an_ack_takes_that_of_its_invite() -> None:
    one = dialog()
    assert [one.request(method).cseq.number for method in ("INFO", "BYE")] == [8, 9]
    assert one.request("ACK", cseq=3).cseq.number == 3
    assert one.request("INFO").cseq.number == 10


@pytest.mark.parametrize(("number", "taken"), [(2, True), (500, True), (1, False), (0, False)])
def test_the_peers_cseq_must_rise(number: int, taken: bool) -> None:
    one = dialog()
    assert one.accept(Caller(to_tag="ours").write("INFO", cseq=number), BOB) is taken
    assert one.last_source == (BOB if taken else ALICE)


def test_the_route_set_of_a_caller_is_the_record_route_reversed() -> None:
    invite = Caller(address=BOB).invite()
    response = Response.to_request(invite, 200, to_tag="theirs")
    response.headers.set("Record-Route", ["<sip:192.0.2.10;lr>", "<sip:192.0.2.9;lr>"])
    response.headers.set("Contact", "<sip:alice@192.0.2.1>")
    one = Dialog.of_client(invite, response, ALICE)
    assert [str(route) for route in one.route_set] == ["<sip:192.0.2.9;lr>", "<sip:192.0.2.10;lr>"]
    assert str(one.target) == "sip:alice@192.0.2.1"
    assert one.remote.tag == "theirs"


def test_the_2xx_replaces_the_route_set_of_the_1xx() -> None:
    invite = Caller(address=BOB).invite()
    early = Response.to_request(invite, 180, to_tag="theirs")
    one = Dialog.of_client(invite, early, ALICE)
    final = Response.to_request(invite, 200, to_tag="theirs")
    final.headers.set("Record-Route", ["<sip:192.0.2.10;lr>"])
    final.headers.set("Contact", "<sip:alice@192.0.2.99>")
    one.confirm(invite, final)
    assert [str(route) for route in one.route_set] == ["<sip:192.0.2.10;lr>"]
    assert str(one.target) == "sip:alice@192.0.2.99"
    assert one.state is State.CONFIRMED
