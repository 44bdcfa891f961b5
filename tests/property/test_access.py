"""Whatever a stranger sends, an endpoint behind access rules does not raise, and says nothing but "who are you"."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.access import Access
from engine.config import SipConfig
from sip.address import Address, Transport
from sip.auth import authorization, parse_challenge
from sip.endpoint import Endpoint
from sip.events import InviteReceived
from sip.message import Response
from tests.support.shared import VECTORS
from tests.support.sip_pair import BOB, Solo, entropy_of, make_endpoint
from tests.support.sip_peer import Caller

PASSWORD = "correct horse battery"
CONFIG = SipConfig.model_validate(
    {
        "access": [
            {"name": "phones", "listener": "inside", "require": "digest", "to": ["pay"], "algorithms": ["SHA-256"]},
            {"name": "trunk", "listener": "trunk", "require": "certificate"},
        ],
        "user": {"frontdesk": {"password_env": "UNUSED"}},
    }
)
INSIDE = Address("198.51.100.20", 40000, listener=1)
TRUNK = Address("198.51.100.21", 40000, Transport.TLS, listener=2, flow=6)
NOWHERE = Address("198.51.100.22", 5060, listener=3)
TORTURE = [path.read_bytes() for path in sorted((VECTORS / "sip").rglob("*.dat"))]
METHODS = st.sampled_from(["INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "INFO", "MESSAGE", "ACK"])
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, categories=("L", "N", "P", "S")), max_size=80)


def behind_rules() -> Solo:
    access = Access(
        CONFIG,
        listeners={"inside": (1,), "trunk": (2,)},
        passwords={"frontdesk": PASSWORD},
        entropy=entropy_of("rules"),
    )
    return Solo(Endpoint(make_endpoint(BOB)._agent.config, entropy=entropy_of("behind"), gate=access))


def statuses(solo: Solo) -> set[int]:
    return {message.status for _, message, _ in solo.sent if isinstance(message, Response)}


def test_the_torture_messages_were_found() -> None:
    assert len(TORTURE) > 40


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(METHODS, st.sampled_from(["", "Digest ", "Basic "]), TEXT), max_size=12))
def test_no_answer_that_was_made_up_opens_the_door(tries: list[tuple[str, str, str]]) -> None:
    for source, allowed in ((INSIDE, {401}), (TRUNK, set()), (NOWHERE, set())):
        solo = behind_rules()
        for number, (method, scheme, text) in enumerate(tries):
            header = f"Authorization: {scheme}{text.strip() or 'x'}"
            solo.receive(Caller(call_id=f"call-{number}").write(method, headers=header), source)
            solo.now += 10
        assert statuses(solo) <= allowed
        assert not solo.events


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(TORTURE), st.integers(0, 2000), st.binary(max_size=12))
def test_no_octets_get_more_than_a_challenge(message: bytes, at: int, noise: bytes) -> None:
    for source in (INSIDE, TRUNK, NOWHERE):
        solo = behind_rules()
        solo.receive(message, source)
        solo.receive(message[:at] + noise + message[at:], source)
        assert statuses(solo) <= ({401} if source == INSIDE else set())
        assert not solo.events


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_answer_that_was_changed_in_any_octet_of_its_proof_is_refused(data: st.DataObject) -> None:
    solo = behind_rules()
    (first,) = solo.receive(Caller().invite(), INSIDE)
    challenge = parse_challenge(first.headers.get("WWW-Authenticate") or "")
    right = authorization(
        challenge, username="frontdesk", password=PASSWORD, method="INVITE", uri=f"sip:pay@{BOB.host}", cnonce="00aa11"
    )
    start = right.index('response="') + len('response="')
    at = data.draw(st.integers(start, start + 63))
    other = data.draw(st.sampled_from([c for c in "0123456789abcdef" if c != right[at]]))
    wrong = right[:at] + other + right[at + 1 :]
    solo.receive(Caller(call_id="wrong").invite(headers=f"Authorization: {wrong}"), INSIDE)
    assert not solo.events
    solo.receive(Caller(call_id="right").invite(headers=f"Authorization: {right}"), INSIDE)
    assert solo.take(InviteReceived).admitted_by == "phones:frontdesk"
