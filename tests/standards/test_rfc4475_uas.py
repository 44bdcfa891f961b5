"""RFC 4475 (SIP torture tests) and RFC 5118 (IPv6 in SIP): what a user agent answers to each message.

``expected.tsv`` allows some freedom; here stands what ours does within it, so that a change is seen.
"""

from __future__ import annotations

import csv
import re

import pytest

from sip.address import Address
from sip.events import Event, InviteReceived
from tests.support.shared import VECTORS
from tests.support.sip_pair import BOB, make_endpoint

ROOT = VECTORS / "sip"
SOURCE = Address("192.0.2.199", 5060)


def _rows() -> dict[str, dict[str, str]]:
    with (ROOT / "expected.tsv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


ROWS = _rows()

DROPPED: tuple[int, ...] = ()
CALL = (100,)  # taken as a call: the application decides

ANSWERS: dict[str, tuple[int, ...]] = {
    "rfc4475/wsinv.dat": (481,),
    "rfc4475/intmeth.dat": (405,),
    "rfc4475/esc01.dat": CALL,
    "rfc4475/escnull.dat": (405,),
    "rfc4475/esc02.dat": (405,),
    "rfc4475/lwsdisp.dat": (200,),
    "rfc4475/longreq.dat": CALL,
    "rfc4475/dblreq.dat": (405,),
    "rfc4475/semiuri.dat": (200,),
    "rfc4475/transports.dat": (200,),
    "rfc4475/mpart01.dat": (405,),
    "rfc4475/unreason.dat": DROPPED,
    "rfc4475/noreason.dat": DROPPED,
    "rfc4475/badinv01.dat": DROPPED,  # no Via that an answer could be sent to
    "rfc4475/clerr.dat": (400,),
    "rfc4475/ncl.dat": (400,),
    "rfc4475/scalar02.dat": (400,),
    "rfc4475/scalarlg.dat": DROPPED,
    "rfc4475/quotbal.dat": (400,),
    "rfc4475/ltgtruri.dat": (400,),
    "rfc4475/lwsruri.dat": (400,),
    "rfc4475/lwsstart.dat": (400,),
    "rfc4475/trws.dat": (400,),
    "rfc4475/escruri.dat": (400,),
    "rfc4475/baddate.dat": CALL,  # the Date is never read
    "rfc4475/regbadct.dat": (400,),
    "rfc4475/badaspec.dat": (400,),
    "rfc4475/baddn.dat": (200,),  # taken as if it were quoted
    "rfc4475/badvers.dat": (505,),
    "rfc4475/mismatch01.dat": (400,),
    "rfc4475/mismatch02.dat": (400,),
    "rfc4475/bigcode.dat": DROPPED,
    "rfc4475/badbranch.dat": (200,),
    "rfc4475/insuf.dat": (400,),
    "rfc4475/unkscm.dat": (416,),
    "rfc4475/novelsc.dat": (416,),
    "rfc4475/unksm2.dat": (405,),
    "rfc4475/bext01.dat": (420,),
    "rfc4475/invut.dat": (415,),
    "rfc4475/regaut01.dat": (405,),
    "rfc4475/multi01.dat": (400,),
    "rfc4475/mcl01.dat": (400,),
    "rfc4475/bcast.dat": DROPPED,
    "rfc4475/zeromf.dat": (200,),
    "rfc4475/cparam01.dat": (405,),
    "rfc4475/cparam02.dat": (405,),
    "rfc4475/regescrt.dat": (405,),
    "rfc4475/sdp01.dat": CALL,  # liberal: who writes an Accept without SDP and sends SDP means it
    "rfc4475/inv2543.dat": CALL,
    "rfc5118/ipv6-good.dat": (405,),
    "rfc5118/ipv6-bad.dat": (400,),
    "rfc5118/port-ambiguous.dat": (405,),
    "rfc5118/port-unambiguous.dat": (405,),
    "rfc5118/via-received-param-with-delim.dat": (481,),
    "rfc5118/via-received-param-no-delim.dat": (200,),
    "rfc5118/ipv6-in-sdp.dat": CALL,
    "rfc5118/mult-ip-in-header.dat": (481,),
    "rfc5118/mult-ip-in-sdp.dat": CALL,
    "rfc5118/ipv4-mapped-ipv6.dat": CALL,
    "rfc5118/ipv6-bug-abnf-3-colons.dat": (400,),
    "rfc5118/ipv6-correct-abnf-2-colons.dat": (200,),
}


def answer_to(data: bytes) -> tuple[list[bytes], list[Event]]:
    endpoint = make_endpoint(BOB)
    endpoint.receive_datagram(data, SOURCE, 1.0)
    sent = [datagram for datagram, destination in endpoint.datagrams_to_send(1.0) if destination.host == SOURCE.host]
    events = []
    while (event := endpoint.next_event()) is not None:
        events.append(event)
    return sent, events


def statuses(sent: list[bytes]) -> tuple[int, ...]:
    return tuple(int(match.group(1)) for data in sent if (match := re.match(rb"SIP/2\.0 (\d{3}) ", data)))


def test_every_message_of_the_vectors_has_an_expectation() -> None:
    assert set(ANSWERS) == set(ROWS)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_torture_message_gets_the_answer_it_deserves(name: str) -> None:
    sent, events = answer_to((ROOT / name).read_bytes())
    assert statuses(sent) == ANSWERS[name], ROWS[name]["wire_expectation_for_a_UAS"]
    assert len(events) == (1 if ANSWERS[name] is CALL else 0)


@pytest.mark.parametrize("name", sorted(name for name, row in ROWS.items() if row["verdict"] == "accept"))
def test_a_message_that_is_valid_is_never_called_bad(name: str) -> None:
    sent, _ = answer_to((ROOT / name).read_bytes())
    assert 400 not in statuses(sent)


def test_the_unknown_extensions_are_named() -> None:
    sent, _ = answer_to((ROOT / "rfc4475/bext01.dat").read_bytes())
    assert b"\r\nUnsupported: nothingSupportsThis, nothingSupportsThisEither\r\n" in sent[0]


def test_the_description_that_is_understood_is_named() -> None:
    sent, _ = answer_to((ROOT / "rfc4475/invut.dat").read_bytes())
    assert b"\r\nAccept: application/sdp" in sent[0]


def test_the_second_request_of_a_datagram_is_not_processed() -> None:
    sent, _ = answer_to((ROOT / "rfc4475/dblreq.dat").read_bytes())
    assert len(sent) == 1
    assert b"REGISTER" in sent[0]


def test_an_escaped_user_is_not_split() -> None:
    _, events = answer_to((ROOT / "rfc4475/esc01.dat").read_bytes())
    assert isinstance(events[0], InviteReceived)
    assert events[0].request_uri.user == "sips%3Auser%40example.com"
