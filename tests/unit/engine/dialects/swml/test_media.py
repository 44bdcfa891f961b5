"""What ``play`` names: the URL forms of SWML, to items that can be heard."""

from __future__ import annotations

import pytest

from engine.dialects.spoken import Pause, Play, Ring, Say, Spoken
from engine.dialects.swml.media import (
    MAX_ITEMS,
    MAX_LENGTH_S,
    MAX_TEXT_CHARS,
    MediaRefused,
    items_of,
)
from engine.dialects.urls import MAX_URL_CHARS


@pytest.mark.parametrize(
    ("url", "item"),
    [
        ("https://cdn.example/a.mp3", Play(url="https://cdn.example/a.mp3")),
        ("HTTP://cdn.example/a b.mp3", Play(url="HTTP://cdn.example/a b.mp3")),
        ("say:Good evening: it is late", Say(text="Good evening: it is late")),
        ("say: Zażółć", Say(text="Zażółć")),
        ("silence:2", Pause(length_s=2.0)),
        ("silence: 1.5", Pause(length_s=1.5)),
        ("ring:us", Ring(country="us")),
        ("ring: PL", Ring(country="pl")),
        ("ring:10:gb", Ring(country="gb", length_s=10.0)),
        ("ring: 2.5: de", Ring(country="de", length_s=2.5)),
    ],
)
def test_each_form_of_a_url_is_an_item(url: str, item: Spoken) -> None:
    assert items_of([url]) == items_of([f"  {url}"]) == (item,)


@pytest.mark.parametrize(
    "url",
    [
        *["", "hello", "ftp://a.example/b", "//cdn.example/a", "https://", "https://a.example:port/"],
        *["silence:", "silence:.", "silence:-1", "silence:soon", "silence:1:2", f"silence:{MAX_LENGTH_S + 1}"],
        *["ring:", "ring:usa", "ring:1:", "ring:x:us", "ring:1:2:us", "ring:99999:us"],
        "https://a.example/\n" + "x",
        "https://a.example/" + "x" * MAX_URL_CHARS,
        "say:" + "x" * (MAX_TEXT_CHARS + 1),
        *[7, None, ["say:x"]],
    ],
)
def test_what_is_of_no_form_is_refused_by_its_index(url: object) -> None:
    with pytest.raises(MediaRefused, match="item 1: ") as caught:
        items_of(["say:x", url, "say:x"])
    assert caught.value.index == 1


def test_a_text_is_spoken_as_what_stands_beside_it_wants() -> None:
    said = items_of(["say:a", "silence:1"], say_voice="Polly.Salli", say_language="pl-PL", say_gender="male")
    assert said == (Say(text="a", voice="Polly.Salli", language="pl-PL"), Pause(length_s=1.0))


@pytest.mark.parametrize("url", ["4111", "ring:4111", "silence:4111x", "https://4111:x", "https://a\n4111"])
def test_a_refusal_repeats_nothing_of_the_item(url: str) -> None:
    with pytest.raises(MediaRefused) as caught:
        items_of([url])
    assert "4111" not in str(caught.value)


@pytest.mark.parametrize(("gender", "voice"), [("female", "woman"), ("Male", "man"), ("", ""), ("neuter", "")])
def test_a_gender_chooses_a_voice_where_none_is_named(gender: str, voice: str) -> None:
    assert items_of(["say:a"], say_gender=gender) == (Say(text="a", voice=voice),)


def test_a_text_that_an_unset_variable_left_empty_is_passed_over() -> None:
    assert items_of(["say:", "say: ", "silence:1"]) == (Pause(length_s=1.0),)


def test_items_are_bounded() -> None:
    assert len(items_of(["say:a"] * MAX_ITEMS)) == MAX_ITEMS
    with pytest.raises(MediaRefused, match=f"item {MAX_ITEMS}: at most"):
        items_of(["say:a"] * (MAX_ITEMS + 1))
