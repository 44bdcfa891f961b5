"""SSML to pieces: what each element becomes, and what is refused."""

from __future__ import annotations

import pytest

from prompts.errors import MarkupError
from prompts.pieces import Emphasis, Pause, Span, Speech
from prompts.ssml import MAX_DEPTH, MAX_MARKUP_CHARS, looks_like_ssml, parse


def pieces(markup: str, locale: str = "en-US") -> list[Span | Pause]:
    parsed = parse(markup, locale=locale)
    assert parsed.warnings == ()
    return list(parsed.speech.pieces)


def said(markup: str, locale: str = "en-US") -> str:
    return Speech(tuple(pieces(markup, locale))).text


def test_a_document_and_a_fragment_of_one_are_read_alike() -> None:
    document = '<?xml version="1.0"?>\n<speak version="1.1" xml:lang="en-US"> Good\n  day. </speak>'
    assert pieces(document) == pieces("Good day.") == [Span("Good day.")]
    assert looks_like_ssml(document)
    assert looks_like_ssml("<speak/>")
    assert not looks_like_ssml("<break/> speak")


@pytest.mark.parametrize(
    ("element", "ms"),
    [
        ('<break time="500ms"/>', 500),
        ('<break time="1.5s"/>', 1500),
        ('<break time=".25s"/>', 250),
        ('<break time="+2s"/>', 2000),
        ("<break/>", 400),
        ('<break strength="weak"/>', 200),
        ('<break strength="x-strong"/>', 1000),
        ('<break time="300ms"/><break time="200ms"></break>', 500),
        ('<break time="500ms" strength="x-strong"/>', 500),
    ],
)
def test_a_break_is_a_pause_of_its_time_or_strength(element: str, ms: int) -> None:
    assert pieces(f"Wait {element} now") == [Span("Wait"), Pause(ms), Span("now")]


@pytest.mark.parametrize("element", ['<break strength="none"/>', '<break time="0ms"/>'])
def test_a_break_of_nothing_parts_nothing(element: str) -> None:
    assert pieces(f"Wait {element} now") == [Span("Wait now")]


def test_breaks_at_the_ends_are_kept_and_those_of_paragraphs_are_not() -> None:
    assert pieces('<break time="1s"/>Hi<break time="2s"/>') == [Pause(1000), Span("Hi"), Pause(2000)]
    assert pieces("<p>One.</p> <p><s>Two.</s> <s>Three.</s></p>") == [
        *(Span("One."), Pause(600), Span("Two."), Pause(350), Span("Three.")),
    ]


def test_a_break_between_two_sentences_stands_for_theirs_when_it_is_longer() -> None:
    assert pieces('<s>One.</s><break time="1s"/><s>Two.</s>') == [Span("One."), Pause(1000), Span("Two.")]
    assert pieces('<s>One.</s><break time="1ms"/><s>Two.</s>') == [Span("One."), Pause(350), Span("Two.")]


@pytest.mark.parametrize(
    ("rate", "expected"), [("80%", 0.8), ("slow", 0.75), ("x-fast", 1.6), ("+10%", 1.1), ("-20%", 0.8), ("medium", 1.0)]
)
def test_prosody_gives_a_rate(rate: str, expected: float) -> None:
    (span,) = pieces(f'<prosody rate="{rate}">Slowly</prosody>')
    assert isinstance(span, Span)
    assert span.text == "Slowly"
    assert span.rate == pytest.approx(expected)


def test_emphasis_and_rate_go_together_and_end_with_their_elements() -> None:
    assert pieces('Key <prosody rate="80%">it <emphasis level="strong">now</emphasis></prosody>.') == [
        Span("Key "),
        Span("it ", 0.8),
        Span("now", 0.8, Emphasis.STRONG),
        Span("."),
    ]


def test_white_space_between_two_elements_parts_their_words() -> None:
    assert said("<emphasis>one</emphasis> <emphasis>two</emphasis>") == "one two"
    assert said("un<emphasis>like</emphasis>ly") == "unlikely"


@pytest.mark.parametrize(
    ("element", "locale", "expected"),
    [
        ('<say-as interpret-as="digits">4242</say-as>', "en-US", "four, two, four, two"),
        ('<say-as interpret-as="digits">42</say-as>', "de-DE", "vier, zwei"),
        ('<say-as interpret-as="digits">42</say-as>', "sv-SE", "4, 2"),
        ('<say-as interpret-as="characters">a1-b</say-as>', "en-US", "A, one, B"),
        ('<say-as interpret-as="telephone">+1 (800) 5</say-as>', "en-US", "plus, one, eight, zero, zero, five"),
        ('<say-as interpret-as="cardinal">1,234</say-as>', "en-GB", "one thousand two hundred and thirty-four"),
        ('<say-as interpret-as="number">2.5</say-as>', "fr-FR", "deux virgule cinq"),
        ('<say-as interpret-as="cardinal">12</say-as>', "sv-SE", "12"),
        ('<say-as interpret-as="ordinal">3rd</say-as>', "en-US", "third"),
        ('<say-as interpret-as="ordinal">3</say-as>', "es-MX", "tercero"),
        ('<say-as interpret-as="currency">$25.10</say-as>', "en-US", "twenty-five dollars and ten cents"),
        ('<say-as interpret-as="currency">$2</say-as>', "en-CA", "two dollars"),
        ('<say-as interpret-as="currency">$2</say-as>', "de-DE", "zwei US-Dollar"),
        ('<say-as interpret-as="currency">2.05 EUR</say-as>', "de-DE", "zwei Euro und fünf Cent"),
        ('<say-as interpret-as="currency">PLN5</say-as>', "pl-PL", "pięć złotych"),
        (
            '<say-as interpret-as="date" format="mdy">12/31/2026</say-as>',
            "en-US",
            "December thirty-first, twenty twenty-six",
        ),
        ('<say-as interpret-as="date">2026-05-01</say-as>', "fr-FR", "premier mai deux mille vingt-six"),
        ('<say-as interpret-as="date" format="my">12/27</say-as>', "en-US", "December twenty twenty-seven"),
        ('<sub alias="World Wide Web">WWW</sub>', "en-US", "World Wide Web"),
    ],
)
def test_say_as_and_sub_become_words_in_the_language_of_the_text(element: str, locale: str, expected: str) -> None:
    assert said(f"So {element} it is", locale) == f"So {expected} it is"


@pytest.mark.parametrize(
    ("markup", "text", "warning"),
    [
        ('<audio src="x.wav">Hello</audio>', "Hello", "<audio> is not known"),
        ('<amazon:effect name="x">Hello</amazon:effect>', "Hello", "<amazon:effect> is not known"),
        ('<prosody pitch="high" rate="80%">Hello</prosody>', "Hello", "pitch of <prosody> is left out"),
        ('<prosody rate="quickly">Hello</prosody>', "Hello", "rate of <prosody> is no percentage"),
        ('<prosody rate="900%">Hello</prosody>', "Hello", "kept within 50% and 200%"),
        ('<emphasis level="loud">Hello</emphasis>', "Hello", "level of <emphasis> is none of"),
        ('<break time="soon"/>Hello', "Hello", "time of <break>"),
        ('<break time="11s"/>Hello', "Hello", "a break is 10 s at most"),
        ('<break strength="huge"/>Hello', "Hello", "strength of <break> is none of"),
        ('<say-as interpret-as="song">Hello</say-as>', "Hello", "interpret-as of <say-as> is none of"),
        ("<say-as>Hello</say-as>", "Hello", "interpret-as of <say-as> is none of"),
        ('<say-as interpret-as="cardinal">Hello</say-as>', "Hello", "<say-as interpret-as='cardinal'> is none"),
        ('<say-as interpret-as="date">31.2.2026</say-as>', "31.2.2026", "<say-as interpret-as='date'> is none"),
        ('<say-as interpret-as="digits">a1</say-as>', "a1", "<say-as interpret-as='digits'> is none"),
        (f'<say-as interpret-as="digits">{"1" * 65}</say-as>', "1" * 65, "<say-as interpret-as='digits'> is none"),
        ('<say-as interpret-as="ordinal">0</say-as>', "0", "<say-as interpret-as='ordinal'> is none"),
        ('<say-as interpret-as="currency">5</say-as>', "5", "<say-as interpret-as='currency'> is none"),
    ],
)
def test_what_is_not_understood_is_spoken_with_a_warning(markup: str, text: str, warning: str) -> None:
    parsed = parse(markup, locale="en-US")
    assert parsed.speech.text.strip() == text
    (given,) = parsed.warnings
    assert warning in given


def test_sentences_of_one_letter_do_not_add_up_to_minutes() -> None:
    spoken = pieces("<s>a</s>" * 500)
    assert sum(piece.ms for piece in spoken if isinstance(piece, Pause)) == 60_000


def test_breaks_are_a_minute_in_all_at_most() -> None:
    parsed = parse('a<break time="10s"/>' * 9, locale="en-US")
    assert sum(piece.ms for piece in parsed.speech.pieces if isinstance(piece, Pause)) == 60_000
    assert parsed.warnings == ("breaks are 60 s in all at most",)


@pytest.mark.parametrize(
    ("markup", "where"),
    [
        ("Tom & Jerry", "line 1, column 6"),
        ("<speak>a\nb</p></speak>", "line 2, column 4"),
        ("<speak>a", "line 1, column 9"),
        ("a<5", "line 1, column 3"),
        ("</speak><speak>", "broken"),
        ("<speak>a</speak>b", "broken"),
        ("\x00", "broken"),
        ('<break time="1s" time="2s"/>', "duplicate attribute"),
    ],
)
def test_broken_markup_is_told_with_its_place_and_not_its_text(markup: str, where: str) -> None:
    with pytest.raises(MarkupError, match=where) as caught:
        parse(markup, locale="en-US")
    assert "Jerry" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE speak [<!ENTITY x "y">]><speak>&x;</speak>',
        '<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak/>',
        '<?xml version="1.0"?><!DOCTYPE speak [<!ENTITY % x SYSTEM "http://192.0.2.1/">%x;]><speak/>',
    ],
)
def test_a_document_type_is_refused_before_anything_of_it_is_followed(document: str) -> None:
    with pytest.raises(MarkupError, match="document type"):
        parse(document, locale="en-US")


def test_depth_and_length_have_bounds() -> None:
    parse("<p>" * (MAX_DEPTH - 1) + "</p>" * (MAX_DEPTH - 1), locale="en-US")
    with pytest.raises(MarkupError, match="nested too deep"):
        parse("<p>" * MAX_DEPTH + "</p>" * MAX_DEPTH, locale="en-US")
    with pytest.raises(MarkupError, match="too many"):
        parse("x" * (MAX_MARKUP_CHARS + 1), locale="en-US")


def test_escaped_markup_stays_text() -> None:
    assert pieces("a &lt;break time='9s'/&gt; <![CDATA[<p>]]>") == [Span("a <break time='9s'/> <p>")]


def test_what_sounds_different_has_another_key() -> None:
    keys = {
        parse(markup, locale="en-US").speech.key
        for markup in (
            *("a b", "a <break/> b", "a <break time='1s'/> b", "<emphasis>a b</emphasis>"),
            *("<prosody rate='80%'>a b</prosody>", "a <emphasis>b</emphasis>", "<break/>a b"),
        )
    }
    assert len(keys) == 7
    assert Speech((Span("a b"),)).key == "a b"
