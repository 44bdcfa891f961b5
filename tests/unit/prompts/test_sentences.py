from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.sentences import MAX_CHARS, MIN_CHARS, sentences

FIRST = "Thank you for calling the Acme hardware store in Springfield today."
SECOND = "We are open from nine to five on every day of the week but Sunday."
THIRD = "Is there anything that we may do for you before we hang up now?"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [""]),
        ("Hello. World.", ["Hello. World."]),
        (f"{FIRST} {SECOND}", [FIRST, SECOND]),
        (f"{FIRST} {SECOND}  {THIRD}", [FIRST, SECOND, THIRD]),
        (f"{FIRST} {SECOND} Bye.", [FIRST, f"{SECOND} Bye."]),
        (f"Hi. {FIRST} {SECOND}", [f"Hi. {FIRST}", SECOND]),
        (f"{FIRST[:-1]}!» {SECOND}", [f"{FIRST[:-1]}!»", SECOND]),
        (f"{FIRST[:-1]} 3.5 {SECOND}", [f"{FIRST[:-1]} 3.5 {SECOND}"]),
        (f"{FIRST[:-1]} John F. Smith. {SECOND}", [f"{FIRST[:-1]} John F. Smith.", SECOND]),
        (f"{FIRST[:-1]}\n\n{SECOND}", [FIRST[:-1], SECOND]),
        (f"<speak>{FIRST} {SECOND}</speak>", [f"<speak>{FIRST} {SECOND}</speak>"]),
    ],
)
def test_a_text_is_cut_where_a_sentence_ends(text: str, pieces: list[str]) -> None:
    assert sentences(text) == pieces


def test_what_has_no_end_is_cut_at_a_comma_or_else_at_a_space() -> None:
    with_commas = sentences(("so it goes, " * 60).strip())
    assert all(piece.endswith(",") for piece in with_commas[:-1])
    with_spaces = sentences("so it goes " * 60)
    assert all(MIN_CHARS < len(piece) <= MAX_CHARS for piece in with_spaces[:-1])
    assert [len(piece) for piece in sentences("x" * 700)] == [MAX_CHARS, MAX_CHARS, 700 - 2 * MAX_CHARS]


@given(st.text(alphabet="ab .,!?\n„“é9", max_size=1500))
def test_nothing_but_white_space_is_lost_and_no_piece_is_empty(text: str) -> None:
    pieces = sentences(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(pieces) or not text.strip()
    assert all(len(piece) <= 2 * MAX_CHARS for piece in pieces)
