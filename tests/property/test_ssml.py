"""SSML of any kind: pieces or a refusal, and every character of a text is kept."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from hypothesis import given
from hypothesis import strategies as st

from prompts.errors import MarkupError
from prompts.pieces import MAX_PAUSE_MS, MAX_RATE, MIN_RATE, Emphasis, Pause, Piece, Span, Speech
from prompts.ssml import parse
from prompts.synth.wire import pack_speech, unpack_speech
from tests.fuzz import fuzz_ssml

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="￾￿"), max_size=30)
ELEMENTS = st.sampled_from(["p", "s", "emphasis", "prosody", "lang", "w"])
MARKUP = st.recursive(
    TEXTS.map(lambda text: (text, escape(text))),
    lambda inner: st.tuples(ELEMENTS, st.lists(inner, max_size=4)).map(
        lambda made: (
            "".join(text for text, _ in made[1]),
            f"<{made[0]}>{''.join(markup for _, markup in made[1])}</{made[0]}>",
        )
    ),
    max_leaves=8,
)
SPANS = st.builds(
    Span, st.text(max_size=20), st.floats(MIN_RATE, MAX_RATE), st.none() | st.sampled_from(list(Emphasis))
)
PIECES: st.SearchStrategy[Piece] = SPANS | st.builds(Pause, st.integers(1, MAX_PAUSE_MS))


@given(made=MARKUP, locale=st.sampled_from(["en-US", "pl-PL", "sv-SE"]))
def test_no_word_of_a_document_is_lost_or_made_up(made: tuple[str, str], locale: str) -> None:
    text, markup = made
    spoken = parse(markup, locale=locale).speech.text
    assert "".join(spoken.split()) == "".join(text.split())


@given(alias=TEXTS)
def test_an_alias_is_spoken_as_it_is(alias: str) -> None:
    spoken = parse(f"<sub alias={quoteattr(alias)}>x</sub>", locale="en-US").speech.text
    assert spoken.split() == alias.split()


@given(markup=st.text(alphabet="<>/&;='\" abps-", max_size=60) | st.text(max_size=60))
def test_any_text_gives_pieces_or_is_refused(markup: str) -> None:
    fuzz_ssml.one_input(markup.encode("utf-8", "surrogatepass"))


@given(pieces=st.lists(PIECES, max_size=8))
def test_pieces_reach_the_worker_as_they_are(pieces: list[Piece]) -> None:
    speech = Speech(tuple(pieces))
    assert unpack_speech(pack_speech(speech)) == speech
    before_ms, core, after_ms = speech.parted()
    pauses = sum(piece.ms for piece in pieces if isinstance(piece, Pause))
    assert before_ms + after_ms + sum(p.ms for p in core.pieces if isinstance(p, Pause)) == pauses
    assert [p for p in core.pieces if isinstance(p, Span)] == [p for p in pieces if isinstance(p, Span)]
    assert not core.pieces or (isinstance(core.pieces[0], Span) and isinstance(core.pieces[-1], Span))


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz_ssml.SEEDS:
        fuzz_ssml.one_input(seed)
    assert any(isinstance(_refusal(seed), MarkupError) for seed in fuzz_ssml.SEEDS)


def _refusal(seed: bytes) -> MarkupError | None:
    try:
        parse(seed.decode(), locale="en-US")
    except MarkupError as error:
        return error
    return None
