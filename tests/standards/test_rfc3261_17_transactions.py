"""RFC 3261 §17: the four transactions. Tables (§17.1.1, §17.1.2, §17.2.1, §17.2.2), timers A to K, matching (§17.1.3,
§17.2.3), ACK to a refusal (§17.1.1.3); RFC 4320 (no 408 to a non-INVITE, no 1xx but 100)."""

from __future__ import annotations

from enum import StrEnum
from types import ModuleType

import pytest

from sip.address import Address, Listener, Transport
from sip.message import Request, Response
from sip.timers import Timer, TimerQueue, TimerValues
from sip.transaction import (
    ClientTransaction,
    Failure,
    Input,
    InviteServerTransaction,
    TransactionLayer,
    invite_client,
    invite_server,
    non_invite_client,
    non_invite_server,
)
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, entropy_of, offer_of
from tests.support.sip_peer import Caller, request

MACHINES = (invite_client, invite_server, non_invite_client, non_invite_server)
NAMES = [module.__name__.rpartition(".")[2] for module in MACHINES]


class Bench:
    """A layer whose sends are recorded, with the test as the transactions' user."""

    def __init__(self, *, transport: Transport = Transport.UDP, tcp_above: int | None = None) -> None:
        self.peer = ALICE._replace(transport=transport)
        self.now = 0.0
        self.sent: list[tuple[float, str, Address]] = []
        self.responses: list[int] = []
        self.failures: list[Failure] = []
        self.acks = 0
        self.local_tag = "local"
        self.timers = TimerQueue()
        self.layer = TransactionLayer(
            values=TimerValues(),
            timers=self.timers,
            send=self.send,
            entropy=entropy_of("bench"),
            listeners=(Listener(id=1, host="192.0.2.2", port=5060),),
            tcp_above=tcp_above,
        )

    def send(self, data: bytes, destination: Address, *, again: bool) -> None:
        self.sent.append((self.now, data.split(b"\r\n")[0].decode().removesuffix(" SIP/2.0"), destination))

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.responses.append(response.status)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self.failures.append(failure)

    def on_ack(self, ack: Request, now: float) -> None:
        self.acks += 1

    def on_cancel(self, transaction: InviteServerTransaction, cancel: Request, now: float) -> None:
        raise AssertionError("not here")

    def until(self, at: float) -> None:
        while (due := self.timers.next_at()) is not None and due <= at:
            self.now = due
            owner, timer = self.timers.pop_due(due) or pytest.fail("no timer")
            owner.handle_timer(timer, due)
        self.now = at

    def times(self, start: str) -> list[float]:
        return [when for when, line, _ in self.sent if line.startswith(start)]

    def client(self, method: str) -> ClientTransaction:
        outgoing = Caller(address=BOB).write(method)
        outgoing.headers.remove("Via")
        return self.layer.request(outgoing, self.peer, self, self.now)

    def respond(self, transaction: ClientTransaction, status: int, tag: str = "t") -> None:
        response = Response.to_request(transaction.request, status, to_tag=tag)
        assert self.layer.receive_response(response, self.now)


@pytest.mark.parametrize("module", MACHINES, ids=NAMES)
def test_each_pair_of_state_and_input_is_in_the_table_or_ignored(module: ModuleType) -> None:
    for state in module.State:
        for event in module.INPUTS:
            pair = (state, event)
            assert (pair in module.TABLE) != (pair in module.IGNORED), pair


@pytest.mark.parametrize("module", MACHINES, ids=NAMES)
def test_the_tables_hold_no_pair_beyond_states_and_inputs(module: ModuleType) -> None:
    pairs = {(state, event) for state in module.State for event in module.INPUTS}
    assert set(module.TABLE) | set(module.IGNORED) == pairs


@pytest.mark.parametrize("module", MACHINES, ids=NAMES)
def test_a_timer_that_runs_in_a_state_is_an_input_of_it(module: ModuleType) -> None:
    for state in module.State:
        if state != "terminated":
            running: tuple[StrEnum, ...] = module.TIMERS[state]
            taken = {event for where, event in module.TABLE if where == state and isinstance(event, Timer)}
            assert set(running) == taken


@pytest.mark.parametrize("module", MACHINES, ids=NAMES)
def test_every_state_leads_to_terminated(module: ModuleType) -> None:
    reached = {module.State.TERMINATED}
    for _ in module.State:
        reached |= {state for (state, _), (target, _) in module.TABLE.items() if target in reached}
    assert reached == set(module.State)


def test_timer_a_doubles_without_a_cap_and_timer_b_ends_it_after_64_t1() -> None:
    bench = Bench()
    bench.client("INVITE")
    bench.until(100)
    assert bench.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.failures == [Failure.TIMEOUT]
    assert len(bench.layer) == 0


def test_an_invite_is_not_repeated_after_a_provisional_and_has_no_timeout() -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    bench.until(0.2)
    bench.respond(transaction, 100)
    bench.until(500)
    assert bench.times("INVITE") == [0]
    assert transaction.state == invite_client.State.PROCEEDING
    assert bench.timers.next_at() is None


def test_timer_e_doubles_up_to_t2_and_timer_f_ends_it_after_64_t1() -> None:
    bench = Bench()
    bench.client("BYE")
    bench.until(100)
    assert bench.times("BYE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.failures == [Failure.TIMEOUT]
    assert len(bench.layer) == 0


def test_timer_e_is_t2_once_a_non_invite_has_a_provisional() -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    bench.until(0.1)
    bench.respond(transaction, 100)
    bench.until(20)
    assert bench.times("BYE") == [0, 0.5, 4.5, 8.5, 12.5, 16.5]


def test_timer_f_ends_a_non_invite_that_got_a_provisional_only() -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    bench.respond(transaction, 100)
    bench.until(31.9)
    assert bench.failures == []
    bench.until(32)
    assert bench.failures == [Failure.TIMEOUT]


def test_timer_k_absorbs_repeated_final_responses_for_t4() -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    bench.respond(transaction, 200)
    bench.respond(transaction, 200)
    bench.until(4.9)
    assert bench.responses == [200]
    assert len(bench.layer) == 1
    bench.until(5)
    assert len(bench.layer) == 0


def test_each_refusal_of_an_invite_is_acknowledged_and_told_once_until_timer_d() -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    bench.respond(transaction, 486)
    bench.respond(transaction, 486)
    assert bench.responses == [486]
    assert len(bench.times("ACK")) == 2
    bench.until(31.9)
    assert len(bench.layer) == 1
    bench.until(32)
    assert len(bench.layer) == 0


def test_the_ack_to_a_refusal_is_the_invites_twin() -> None:
    solo = Solo.at()
    solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        headers=[("Route", "<sip:192.0.2.9;lr>")],
        now=solo.now,
    )
    solo.collect()
    invite = solo.last(Request)
    ack = solo.receive(Response.to_request(invite, 404, to_tag="theirs"))[0]
    assert isinstance(ack, Request)
    assert (ack.method, str(ack.uri)) == ("ACK", str(invite.uri))
    assert ack.headers.lines("Via") == invite.headers.lines("Via")
    assert ack.headers.lines("Route") == invite.headers.lines("Route")
    assert ack.from_ == invite.from_
    assert ack.to.tag == "theirs"
    assert (ack.cseq.number, ack.cseq.method) == (invite.cseq.number, "ACK")
    assert ack.body == b""


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_transport_error_before_any_response_ends_a_client_transaction(method: str) -> None:
    bench = Bench()
    bench.client(method)
    bench.layer.transport_error(BOB, 0.1)
    assert bench.failures == []  # another peer's
    bench.layer.transport_error(ALICE, 0.1)
    assert bench.failures == [Failure.TRANSPORT]
    assert len(bench.layer) == 0
    assert bench.timers.next_at() is None


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_transport_error_after_a_response_changes_nothing(method: str) -> None:
    bench = Bench()
    transaction = bench.client(method)
    bench.respond(transaction, 100)
    bench.layer.transport_error(ALICE, 0.1)
    assert bench.failures == []
    assert len(bench.layer) == 1


def test_timer_g_repeats_a_refusal_with_a_cap_of_t2_and_timer_h_ends_it() -> None:
    bench = Bench()
    transaction = bench.layer.serve_invite(Caller().invite(), ALICE, bench)
    transaction.respond(Response.to_request(transaction.request, 486), 0)
    bench.until(100)
    assert bench.times("SIP/2.0 486") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len(bench.layer) == 0


def test_the_ack_stops_timer_g_and_timer_i_absorbs_its_repetitions() -> None:
    bench, caller = Bench(), Caller()
    transaction = bench.layer.serve_invite(caller.invite(), ALICE, bench)
    transaction.respond(Response.to_request(transaction.request, 486), 0)
    bench.until(0.6)
    assert bench.layer.receive_request(caller.ack_refusal(), 0.6)
    assert bench.layer.receive_request(caller.ack_refusal(), 0.6)
    bench.until(5.5)
    assert bench.times("SIP/2.0 486") == [0, 0.5]
    assert len(bench.layer) == 1
    bench.until(5.6)
    assert len(bench.layer) == 0
    assert bench.acks == 0  # such an ACK is the transaction's own affair


def test_a_repeated_invite_gets_the_last_provisional_again() -> None:
    bench, caller = Bench(), Caller()
    invite = caller.invite()
    transaction = bench.layer.serve_invite(invite, ALICE, bench)
    assert bench.layer.receive_request(invite, 0)  # nothing was answered yet, so nothing is repeated
    assert bench.sent == []
    transaction.respond(Response.to_request(invite, 100), 0)
    transaction.respond(Response.to_request(invite, 180), 0)
    bench.layer.receive_request(invite, 0)
    assert [line for _, line, _ in bench.sent] == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 180 Ringing"]


def test_a_final_response_is_the_last_one() -> None:
    bench = Bench()
    transaction = bench.layer.serve_invite(Caller().invite(), ALICE, bench)
    for status in (486, 180, 200, 500):
        transaction.respond(Response.to_request(transaction.request, status), 0)
    assert [line for _, line, _ in bench.sent] == ["SIP/2.0 486 Busy Here"]


def test_timer_j_absorbs_a_repeated_request_for_64_t1_and_answers_it_again() -> None:
    bench, caller = Bench(), Caller(to_tag="ours")
    bye = caller.bye()
    transaction = bench.layer.serve(bye, ALICE)
    assert bench.layer.receive_request(bye, 0)
    assert bench.sent == []  # §17.2.2 Trying: discarded
    transaction.respond(Response.to_request(bye, 200), 0)
    bench.layer.receive_request(bye, 0)
    transaction.respond(Response.to_request(bye, 500), 0)
    assert [line for _, line, _ in bench.sent] == ["SIP/2.0 200 OK"] * 2
    bench.until(31.9)
    assert len(bench.layer) == 1
    bench.until(32)
    assert len(bench.layer) == 0


def test_on_a_reliable_transport_nothing_is_repeated_and_nothing_absorbed() -> None:
    bench = Bench(transport=Transport.TCP)
    invite, bye = bench.client("INVITE"), bench.client("BYE")
    bench.until(31)
    assert len(bench.sent) == 2
    bench.respond(invite, 486)
    bench.respond(bye, 200)
    bench.until(31)
    assert len(bench.layer) == 0  # D and K are zero
    transaction = bench.layer.serve_invite(Caller().invite(), bench.peer, bench)
    transaction.respond(Response.to_request(transaction.request, 486), 31)
    bench.until(62)
    assert len(bench.times("SIP/2.0 486")) == 1  # no timer G
    bench.until(63)
    assert len(bench.layer) == 0  # but timer H


def fits_udp(transaction: ClientTransaction) -> bool:
    return transaction.destination.transport is Transport.UDP


def test_a_request_above_the_mtu_goes_by_tcp_and_by_udp_when_that_is_refused() -> None:
    """RFC 3261 §18.1.1; the Via says which it is."""
    bench = Bench(tcp_above=1300)
    outgoing = Caller(address=BOB).write("INFO", body=b"x" * 1200)
    outgoing.headers.remove("Via")
    transaction = bench.layer.request(outgoing, ALICE, bench, 0)
    by_tcp = ALICE._replace(transport=Transport.TCP)
    assert [destination for _, _, destination in bench.sent] == [by_tcp]
    assert transaction.request.via.transport == "TCP"
    branch = transaction.request.via.branch
    bench.until(3)
    assert len(bench.sent) == 1  # nothing is repeated on a reliable transport
    bench.layer.transport_error(by_tcp, 3)
    assert [destination for _, _, destination in bench.sent] == [by_tcp, ALICE]
    assert transaction.request.via.transport == "UDP"
    assert transaction.request.via.branch != branch
    assert len(bench.layer) == 1
    bench.until(3.5)
    assert len(bench.sent) == 3  # timer E runs now
    bench.respond(transaction, 200)
    assert (bench.responses, bench.failures) == ([200], [])


def test_a_peer_that_refused_tcp_is_not_asked_again_for_a_while() -> None:
    bench = Bench(tcp_above=10)
    by_tcp = ALICE._replace(transport=Transport.TCP)
    for at, transport in ((2, Transport.TCP), (3, Transport.UDP), (601, Transport.UDP), (603, Transport.TCP)):
        bench.now = at
        transaction = bench.client("BYE")
        assert transaction.destination.transport is transport, at
        bench.layer.transport_error(by_tcp, at)
        bench.respond(transaction, 200)


def test_a_short_request_stays_on_udp() -> None:
    assert fits_udp(Bench(tcp_above=1300).client("BYE"))


def test_a_connection_that_closes_ends_what_waits_on_it() -> None:
    bench = Bench()
    bench.peer = ALICE._replace(transport=Transport.TCP, flow=7)
    bench.client("BYE")
    bench.layer.flow_closed(8, 1)
    assert bench.failures == []
    bench.layer.flow_closed(7, 1)
    assert bench.failures == [Failure.TRANSPORT]
    assert len(bench.layer) == 0


def test_a_response_is_matched_by_branch_and_cseq_method() -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    other_branch = Response.to_request(transaction.request, 200)
    other_branch.headers.set_first("Via", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKother")
    assert not bench.layer.receive_response(other_branch, 0)
    other_method = Response.to_request(transaction.request, 200)
    other_method.headers.set("CSeq", "1 INFO")
    assert not bench.layer.receive_response(other_method, 0)
    assert bench.responses == []


def test_a_request_is_matched_by_branch_sent_by_and_method() -> None:
    bench = Bench()
    first = Caller(to_tag="ours").bye()
    bench.layer.serve(first, ALICE)
    elsewhere = Caller(to_tag="ours", address=Address("192.0.2.77", 5060)).write("BYE", branch=first.via.branch)
    assert not bench.layer.receive_request(elsewhere, 0)
    info = Caller(to_tag="ours").write("INFO", branch=first.via.branch)
    assert not bench.layer.receive_request(info, 0)
    assert bench.layer.receive_request(first, 0)


OLD_INVITE = """INVITE sip:pay@192.0.2.2 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1:5060
    From: <sip:alice@192.0.2.1>
    To: <sip:pay@192.0.2.2>{tag}
    Call-ID: {call_id}
    CSeq: 1 {method}"""


def test_without_the_magic_cookie_a_request_is_matched_as_rfc_2543_did() -> None:
    bench = Bench()
    old = request(OLD_INVITE.format(tag="", call_id="a", method="INVITE"))
    transaction = bench.layer.serve_invite(old, ALICE, bench)
    transaction.respond(Response.to_request(old, 486, to_tag="ours"), 0)
    assert not bench.layer.receive_request(request(OLD_INVITE.format(tag="", call_id="b", method="INVITE")), 0)
    assert bench.layer.receive_request(old, 0)
    ack = request(OLD_INVITE.format(tag=";tag=ours", call_id="a", method="INVITE").replace("INVITE", "ACK"))
    assert bench.layer.receive_request(ack, 0)
    assert transaction.state == invite_server.State.CONFIRMED


def test_no_input_moves_a_transaction_that_is_over() -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    bench.until(40)
    assert transaction.state == non_invite_client.State.TERMINATED
    transaction.feed(Input.R2XX, 40)
    assert bench.responses == []


def test_an_unanswered_non_invite_is_never_answered_408() -> None:
    # RFC 4320 §4.2: here every non-INVITE is answered at once, by the endpoint and not by a timer.
    solo, caller = Solo.at(), Caller()
    answers = [solo.receive(caller.write(method)) for method in ("OPTIONS", "REGISTER", "BYE", "INFO", "MESSAGE")]
    assert [[message.status for message in sent if isinstance(message, Response)] for sent in answers] == [
        [200], [405], [481], [481], [405],
    ]  # fmt: skip
    solo.assert_nothing_left()
