"""What an INVITE says of its caller: RFC 3325 (P-Asserted-Identity), 3323 (Privacy), 5806 (Diversion), 7044
(History-Info), 7433 (User-to-User), 7989 (Session-ID), 3261 §20.4 (Alert-Info), and headers of private use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.headers import Headers
from sip.identity import MAX_ENTRIES, MAX_VALUE, CallerIdentity, caller_identity

OURS = "ab30317f1a784dc48ff824d0d3715d86"


def read(*fields: tuple[str, str], trusted: bool = True) -> CallerIdentity:
    return caller_identity(Headers(fields), trusted=trusted)


def asserted(*fields: tuple[str, str], trusted: bool = True) -> list[str]:
    return [str(one) for one in read(*fields, trusted=trusted).asserted]


# -- who calls -------------------------------------------------------------------------------------------------------


def test_an_asserted_identity_counts_from_a_trusted_peer_only() -> None:
    field = ("P-Asserted-Identity", '"Cullen Jennings" <sip:fluffy@example.com>, <tel:+14155550100>')
    assert asserted(field) == ['"Cullen Jennings" <sip:fluffy@example.com>', "<tel:+14155550100>"]
    assert asserted(field, trusted=False) == []


def test_two_lines_are_two_identities() -> None:
    lines = [("P-Asserted-Identity", "tel:+14155550100"), ("P-Asserted-Identity", "<sip:a@example.com>")]
    assert asserted(*lines) == ["<tel:+14155550100>", "<sip:a@example.com>"]


def test_an_identity_is_sip_or_tel() -> None:
    assert asserted(("P-Asserted-Identity", "<mailto:a@example.com>")) == []


def test_remote_party_id_stands_in_for_it() -> None:
    party = ("Remote-Party-ID", '"A" <sip:+14155550100@example.com>;party=calling;screen=yes;privacy=off')
    called = ("Remote-Party-ID", "<sip:pay@example.com>;party=called")
    assert asserted(called, party) == [
        '"A" <sip:+14155550100@example.com>;party=calling;screen=yes;privacy=off',
    ]
    assert asserted(party, trusted=False) == []
    assert asserted(party, ("P-Asserted-Identity", "<sip:b@example.com>")) == ["<sip:b@example.com>"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("id", {"id"}),
        ("header;session;user", {"header", "session", "user"}),
        ("ID ; Critical", {"id", "critical"}),
        ("none", set()),
        ("id, history", {"id", "history"}),
        ("nonsense;;", set()),
    ],
)
def test_privacy_names_what_is_withheld(text: str, wanted: set[str]) -> None:
    found = read(("Privacy", text))
    assert found.privacy == wanted
    assert found.is_anonymous == bool(wanted & {"id", "user", "header"})


def test_privacy_of_a_remote_party_is_the_same_wish() -> None:
    assert read(("Remote-Party-ID", "<sip:a@h>;privacy=full")).is_anonymous
    assert not read(("Remote-Party-ID", "<sip:a@h>;privacy=off")).is_anonymous


# -- how the call came -----------------------------------------------------------------------------------------------


def test_diversions_are_told_latest_first() -> None:
    found = read(
        ("Diversion", '"Bob" <sip:bob@example.com>;reason=user-busy;counter=2;privacy=off'),
        ("Diversion", '<tel:+14155550100>;reason="No-Answer", <sip:c@example.com>'),
    ).diversions
    assert [(str(one.by.uri), one.reason, one.counter) for one in found] == [
        ("sip:bob@example.com", "user-busy", 2),
        ("tel:+14155550100", "no-answer", None),
        ("sip:c@example.com", "", None),
    ]


def test_history_is_told_oldest_first_with_causes() -> None:
    found = read(
        (
            "History-Info",
            "<sip:bob@example.com>;index=1,"
            "<sip:bob@192.0.2.4?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1.1;rc=1,"
            "<sip:office@example.com;cause=408>;index=1.2;mp=1",
        )
    ).history
    assert [(one.target.uri.user, one.index, one.cause) for one in found] == [
        ("bob", "1", None),
        ("bob", "1.1", 302),
        ("office", "1.2", 408),
    ]


@pytest.mark.parametrize("index", ["x", "1..2", ".1", "1.2.", "9" * 50])
def test_an_index_that_is_none_is_left_out(index: str) -> None:
    (entry,) = read(("History-Info", f"<sip:a@h>;index={index}")).history
    assert entry.index == ""


# -- what travels along ----------------------------------------------------------------------------------------------


def test_user_to_user_stays_as_it_came_and_does_not_show() -> None:
    found = read(("User-to-User", "56a390f3d2b7310023a2;encoding=hex;content=foo"), ("User-to-User", '"text;x"'))
    assert found.user_to_user == ("56a390f3d2b7310023a2;encoding=hex;content=foo", '"text;x"')
    assert "56a390" not in repr(found)


def test_headers_of_private_use_keep_their_names_and_do_not_show() -> None:
    found = read(("X-Order-ID", "4711"), ("x-queue", "a, b"), ("X-Order-ID", "4712"), ("Subject", "no"))
    assert dict(found.other) == {"X-Order-ID": ("4711", "4712"), "x-queue": ("a, b",)}
    assert "4711" not in repr(found)
    with pytest.raises(TypeError):
        found.other["X-New"] = ()  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2",
            "ab30317f1a784dc48ff824d0d3715d86",
        ),
        ("AB30317F1A784DC48FF824D0D3715D86", "ab30317f1a784dc48ff824d0d3715d86"),
        ("00000000000000000000000000000000;remote=47755a9de7794ba387653f2099600ef2", ""),
        ("ab30317f", ""),
        ("", ""),
    ],
)
def test_the_session_id_is_the_callers_half(text: str, wanted: str) -> None:
    assert read(("Session-ID", text)).session_id == wanted


def test_alert_info_is_told_as_it_came() -> None:
    assert read(("Alert-Info", "<urn:alert:source:internal>;info=x")).alert_info == (
        "<urn:alert:source:internal>;info=x",
    )


# -- garbage ---------------------------------------------------------------------------------------------------------


def test_nothing_said_is_nothing_known() -> None:
    assert read() == CallerIdentity()


def test_what_a_peer_can_write_is_bounded() -> None:
    lines = [
        (name, f"<sip:{number}@h>")
        for name in ("P-Asserted-Identity", "Diversion", "History-Info", "User-to-User", "Alert-Info", "X-One")
        for number in range(100)
    ]
    found = read(*lines, *((f"X-{number}", "v") for number in range(100)))
    for kept in (found.asserted, found.diversions, found.history, found.user_to_user, found.alert_info):
        assert len(kept) == MAX_ENTRIES
    assert len(found.other) == MAX_ENTRIES
    assert len(found.other["X-One"]) == MAX_ENTRIES
    long = read(("X-Long", "x" * (MAX_VALUE + 1)), ("User-to-User", "x" * (MAX_VALUE + 1)), ("X-" + "n" * 100, "v"))
    assert long == CallerIdentity()


NAMES = (
    "P-Asserted-Identity", "Remote-Party-ID", "Privacy", "Diversion", "History-Info", "User-to-User", "Alert-Info",
    "Session-ID", "X-Any",
)  # fmt: skip
PIECES = ("<sip:a@h>", ";", ",", '"', "<", ">", "?Reason=", "cause=", "index=1.", "%3B", "privacy=", "\x00", "ü", " ")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_garbage_says_nothing_and_breaks_nothing(fields: list[tuple[str, str]], trusted: bool) -> None:
    found = caller_identity(Headers(fields), trusted=trusted)
    assert trusted or not found.asserted
    assert len(repr(found)) < 100_000
