"""TwiML: no text of a document is lost or made up, and whatever happens on a call, it comes to one end."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dialects.twiml.document import parse
from engine.dialects.twiml.keys import MAX_AHEAD, Entry, TypeAhead
from engine.dialects.twiml.pace import BURST, BURST_S, MAX_IN_A_ROW, Pace
from engine.dialects.twiml.verbs import Gather, Say
from engine.dialects.urls import MAX_URL_CHARS, host_of, resolved, without_credentials
from tests.fuzz import fuzz_twiml

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="￾￿"), max_size=40)
SSML = st.recursive(
    TEXTS.map(lambda text: (text, escape(text))),
    lambda inner: st.tuples(st.sampled_from(["p", "prosody", "amazon:effect"]), st.lists(inner, max_size=4)).map(
        lambda made: (
            "".join(text for text, _ in made[1]),
            f"<{made[0]} rate={quoteattr('a<b>&')}>{''.join(markup for _, markup in made[1])}</{made[0]}>",
        )
    ),
    max_leaves=8,
)
VERBS = st.sampled_from(
    [
        "<Say>x</Say>",
        "<Play>x.wav</Play>",
        "<Pause/>",
        "<Pause length='0'/>",
        "<Gather numDigits='3'><Say>x</Say></Gather>",
        "<Gather bargeIn='false' finishOnKey='*' actionOnEmptyResult='true'><Say>x</Say></Gather>",
        "<Gather timeout='0'/>",
        "<Pay action='/paid'/>",
        "<Pay/>",
        "<Pay action='http://app.example.com/'/>",
        "<Record/>",
        "<Record action='/r'/>",
        "<Dial>1</Dial>",
        "<Dial action='/d' answerOnBridge='true'>1</Dial>",
        "<Enqueue action='/q'>a</Enqueue>",
        "<Leave/>",
        "<Redirect>x</Redirect>",
        "<Redirect>ftp://x</Redirect>",
        "<Reject/>",
        "<Hangup/>",
        "<Unknown/>",
    ]
)
HAPPENS = st.lists(st.integers(0, 0xAF), min_size=1, max_size=40)


@given(kind=st.integers(0, 31), happens=HAPPENS, verbs=st.lists(VERBS, max_size=8))
@example(kind=5, happens=[0x01], verbs=[])
@example(kind=0, happens=[0x38, 0x11, 0x38, 0x90], verbs=["<Pay/>"])
def test_whatever_happens_a_call_comes_to_one_end(kind: int, happens: list[int], verbs: list[str]) -> None:
    script = bytes([kind, *(what or 1 for what in happens)])
    fuzz_twiml.one_input(script + b"\0<Response>" + "".join(verbs).encode() + b"</Response>")


@settings(max_examples=40)
@given(document=st.binary(max_size=80) | TEXTS.map(str.encode))
def test_any_bytes_are_a_document_or_refused(document: bytes) -> None:
    fuzz_twiml.one_input(b"\x04\x10\x30\0" + document)
    fuzz_twiml.one_input(b"\x04\x10\x30\0<Response>" + document + b"</Response>")


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz_twiml.SEEDS:
        fuzz_twiml.one_input(seed)


@given(text=TEXTS, encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-8-sig"]))
def test_a_text_is_said_as_it_is(text: str, encoding: str) -> None:
    body = f"<Response><Say>{escape(text)}</Say></Response>".encode(encoding)
    said = [verb.text for verb in parse(body).verbs if isinstance(verb, Say)]
    assert said == ([" ".join(text.split())] if text.split() else [])


@given(made=SSML)
def test_markup_in_a_text_stays_what_it_was(made: tuple[str, str]) -> None:
    text, markup = made
    body = f"<Response><Say>{markup}<break/></Say></Response>".encode()
    (say,) = parse(body).verbs
    assert isinstance(say, Say)
    said = ElementTree.fromstring(say.text.replace("amazon:", "amazon-"))
    wanted = ElementTree.fromstring(f"<speak>{markup}<break/></speak>".replace("amazon:", "amazon-"))
    assert [(e.tag, e.attrib) for e in said.iter()] == [(e.tag, e.attrib) for e in wanted.iter()]
    assert "".join(said.itertext()).split() == "".join(wanted.itertext()).split()
    assert "".join("".join(said.itertext()).split()) == "".join(text.split())


@given(
    base=st.sampled_from(["", "https://a.example/b/c?d=e", "http://u:p@[::1]:8/"]) | st.text(max_size=20), url=st.text()
)
@example(base="", url="http://[::1")
@example(base="", url="https://a:0/")
@example(base="", url="https://a:99999/")
@example(base="https://a/", url="//\u00e9/")
@example(base="https://a/", url="x" * 5000)
def test_a_url_is_a_web_address_or_none(base: str, url: str) -> None:
    whole = resolved(base, url)
    if whole:
        assert re.fullmatch(r"https?://[!-~]+", whole)
        assert len(whole) <= MAX_URL_CHARS
        assert host_of(whole)
        assert host_of(without_credentials(whole)) == host_of(whole)
        assert "#" not in whole
        assert resolved("", whole) == whole


@given(codes=st.lists(st.integers(0, 11), max_size=200))
@example(codes=[1] * (MAX_AHEAD + 1))
def test_keys_pressed_ahead_come_out_in_order_and_are_bounded(codes: list[int]) -> None:
    ahead = TypeAhead()
    for code in codes:
        ahead.keep(code)
    taken = []
    while (code_taken := ahead.take()) is not None:
        taken.append(code_taken)
    assert taken == codes[:MAX_AHEAD]


@given(steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 11)), max_size=30))
def test_keys_that_follow_a_payment_without_a_pause_are_dropped(steps: list[tuple[float, int]]) -> None:
    ahead = TypeAhead()
    ahead.deafen(0.0)
    now, paused = 0.0, False
    for step, code in steps:
        now += step
        paused = paused or step >= 1.0
        if abs(step - 1.0) > 1e-6:
            assert ahead.hears(code, now) == paused
        else:
            return


@given(
    wanted=st.none() | st.integers(1, 5),
    finish=st.sampled_from(["", "#", "*#", "0"]),
    codes=st.lists(st.integers(0, 11), max_size=12),
)
def test_an_entry_ends_at_its_length_or_its_key(wanted: int | None, finish: str, codes: list[int]) -> None:
    entry = Entry(Gather(num_digits=wanted, finish_on_key=finish))
    keys = "".join("0123456789*#"[code] for code in codes)
    before = re.split(f"[{finish}]", keys)[0] if finish else keys
    ends = next((index for index, code in enumerate(codes) if entry.press(code)), None)
    if wanted is not None and len(before) >= wanted:
        assert (entry.digits, entry.finished_on, ends) == (keys[:wanted], "", wanted - 1)
    elif len(before) < len(keys):
        assert (entry.digits, entry.finished_on, ends) == (before, keys[len(before)], len(before))
    else:
        assert (entry.digits, entry.finished_on, ends) == (keys, "", None)


@given(steps=st.lists(st.floats(0, 0.3), max_size=200))
def test_documents_are_bounded_in_number_and_in_pace(steps: list[float]) -> None:
    pace = Pace()
    now, times = 0.0, []
    for step in steps:
        now += step
        if not pace.allows(now):
            break
        times.append(now)
    assert len(times) <= MAX_IN_A_ROW
    for first, last in zip(times, times[BURST:], strict=False):
        assert last - first >= BURST_S
