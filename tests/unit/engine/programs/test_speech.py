"""What a document says: clips in order, the first at once, what cannot be had left out, keys that end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from engine.dialects.twiml.verbs import Pause, Play, Say, Spoken
from engine.programs import speech as module
from engine.programs.speech import Speech, clips_of
from prompts.clip import Clip
from tests.support.call_control import FakeCall
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

pytestmark = pytest.mark.asyncio


class Scene:
    """A call on which something is said."""

    def __init__(self) -> None:
        self.prompts = FakePrompts()
        self.call = FakeCall()
        self.ends: list[bool] = []
        self.context = context_of(FakeWeb(), self.prompts)

    async def say(self, *items: Spoken, base_url: str = "", interruptible: bool = False) -> Speech:
        speech = Speech(
            items, self.call, self.context, self.ends.append, base_url=base_url, interruptible=interruptible
        )
        speech.start()
        await settle()
        return speech

    def finish(self, speech: Speech, *, by_digit: bool = False) -> None:
        """Let what plays come to its end."""
        speech.play_finished(self.call.tokens[-1], by_digit)

    async def hear_out(self, speech: Speech, *, at_most: int = 50) -> None:
        for _ in range(at_most):
            if self.ends:
                return
            self.finish(speech)
            await settle()

    @property
    def heard(self) -> list[str]:
        return [name for play in self.call.heard for name in play]


async def test_items_are_heard_in_their_order_and_their_end_is_told_once() -> None:
    scene = Scene()
    speech = await scene.say(Say(text="Hello."), Play(url="https://a.example/one.wav"), Say(text="Goodbye."))
    await scene.hear_out(speech)
    assert scene.heard == ["Hello.", "https://a.example/one.wav", "Goodbye."]
    assert scene.ends == [False]


async def test_the_first_sentence_is_heard_while_the_next_one_is_rendered() -> None:
    scene = Scene()
    first, second = "Welcome to the shop of many things, where all of us are glad.", "Please hold the line for us."
    third = " It will not take very long at all, and somebody will speak to you soon."
    pieces = [first, second + third]
    scene.prompts.held[pieces[1]] = asyncio.Event()
    speech = await scene.say(Say(text=" ".join(pieces)))
    assert scene.call.heard == [(first,)]
    scene.finish(speech)
    await settle()
    assert scene.ends == []  # the caller waits for the rest
    scene.prompts.held[pieces[1]].set()
    await settle()
    assert scene.call.heard[1:] == [("pause", pieces[1])]
    await scene.hear_out(speech)
    assert scene.ends == [False]


async def test_what_is_ready_is_played_without_a_gap() -> None:
    scene = Scene()
    speech = await scene.say(Say(text="One."), Say(text="Two."), Say(text="Three."))
    scene.finish(speech)
    assert scene.call.heard == [("One.",), ("Two.", "Three.")]


async def test_voice_and_language_go_to_the_store_and_an_empty_one_is_the_default() -> None:
    scene = Scene()
    await scene.say(Say(text="Hallo.", language="de-DE", voice="Polly.Vicki"), Say(text="Hi."))
    assert scene.prompts.said == [("Hallo.", "de-DE", "Polly.Vicki"), ("Hi.", "en-US", "")]


@pytest.mark.parametrize("text", ["Your card 4242 was taken.", "You keyed 1 2 3 4.", "<speak>1-2-3-4</speak>"])
async def test_a_text_that_may_repeat_what_was_keyed_is_kept_nowhere(text: str) -> None:
    scene = Scene()
    speech = await scene.say(Say(text=text))
    assert scene.prompts.said == []
    assert scene.prompts.said_in_confidence == [text]
    assert scene.heard == ["say"]  # nor is it the name of a clip
    await scene.hear_out(speech)


async def test_a_menu_is_kept() -> None:
    scene = Scene()
    await scene.say(Say(text="For sales press 1, for service press 2, or press 3 to hear this again."))
    assert len(scene.prompts.said) == 1


async def test_loops_repeat_and_are_bounded() -> None:
    scene = Scene()
    speech = await scene.say(Say(text="Again.", loop=3), Play(url="https://a.example/a.wav", loop=2))
    await scene.hear_out(speech)
    assert scene.heard == ["Again."] * 3 + ["https://a.example/a.wav"] * 2


async def test_loop_0_repeats_until_it_is_stopped() -> None:
    scene = Scene()
    speech = await scene.say(Play(url="https://a.example/music.wav", loop=0), Say(text="Never heard."))
    scene.finish(speech)
    await settle()
    assert [loop for what, loop in scene.call.asked if what == "play"] == [False, True]
    assert scene.call.heard[-1] == ("https://a.example/music.wav",)
    speech.stop()
    assert scene.call.asked[-1] == ("stop_playing", None)
    assert "Never heard." not in scene.heard
    assert scene.ends == []


async def test_a_pause_is_silence_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    clips = await clips_of((Pause(length_s=2.5),), "", context=scene.context, call_id="c")
    assert [clip.duration_ms for clip in clips] == [1000, 1000, 500]
    assert set(clips[0].pcmu) == {0xFF}
    monkeypatch.setattr(module, "MAX_SPOKEN_MS", 3000)
    endless = await scene.say(Pause(length_s=1e9))
    await scene.hear_out(endless)
    assert scene.heard == ["pause"] * 3


async def test_more_than_may_be_said_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_SPOKEN_MS", 450)
    scene = Scene()
    speech = await scene.say(Say(text="Again.", loop=1000))  # 100 ms each
    await scene.hear_out(speech, at_most=2000)
    assert scene.ends == [False]
    assert len(scene.heard) <= 4
    assert "says too much" in caplog.text


async def test_keys_are_sent_with_their_pauses() -> None:
    scene = Scene()
    speech = await scene.say(Play(digits="ww12#w*"))
    await scene.hear_out(speech)
    sent = [argument for what, argument in scene.call.asked if what == "send_digits"]
    assert sent == [(1, 2, 11), (10,)]
    # one second before the first key; each key has its time before the next thing is heard
    assert scene.heard == ["pause"] * 4


async def test_a_relative_url_is_taken_from_where_the_document_came_from() -> None:
    scene = Scene()
    await scene.say(Play(url="../audio/a.wav"), base_url="https://u:p@a.example/apps/one")
    assert scene.prompts.files == ["https://u:p@a.example/audio/a.wav"]
    assert scene.prompts.fetched_ahead == scene.prompts.files


@pytest.mark.parametrize("url", ["audio/a.wav", "/etc/passwd", "file:///etc/passwd", "http://[::1", ""])
async def test_a_document_never_names_a_file_of_this_machine(url: str, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    speech = await scene.say(Play(url=url), Say(text="After it."))
    await scene.hear_out(speech)
    assert scene.prompts.files == []
    assert scene.heard == ["After it."]
    assert "11200" in str([getattr(record, "fields", record.__dict__) for record in caplog.records])


@pytest.mark.parametrize(
    ("item", "code"), [(Say(text="Broken."), 13520), (Play(url="https://a.example/none.wav"), 11200)]
)
async def test_what_cannot_be_had_is_left_out_and_what_follows_is_heard(
    item: Spoken, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene()
    scene.prompts.broken |= {"Broken.", "https://a.example/none.wav"}
    speech = await scene.say(item, Say(text="After it."))
    await scene.hear_out(speech)
    assert scene.heard == ["After it."]
    assert scene.ends == [False]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(code) in str(caplog.records[0].__dict__)


@pytest.mark.parametrize(("language", "voice"), [("xx-none", ""), ("", "none"), ("xx-none", "none")])
async def test_a_text_whose_voice_is_not_there_is_said_in_the_default_one(
    language: str, voice: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene()
    scene.prompts.broken |= {"xx-none", "none"}
    speech = await scene.say(Say(text="Hello.", language=language, voice=voice))
    assert scene.prompts.said[-1] == ("Hello.", "en-US", "")
    await scene.hear_out(speech)
    assert scene.heard == ["Hello."]
    assert "default voice" in caplog.text


async def test_what_takes_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENDER_LIMIT_S", 0.0)
    scene = Scene()
    scene.prompts.held["Slow."] = asyncio.Event()
    speech = await scene.say(Say(text="Slow."))
    await settle()
    assert scene.ends == [False]
    await speech.done()


async def test_nothing_to_say_is_over_at_once() -> None:
    scene = Scene()
    await scene.say(Say(text="  "))
    assert scene.ends == [False]
    assert scene.call.heard == []


async def test_a_fault_of_the_synthesiser_does_not_hold_the_call(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()

    async def fails(text: str, *, locale: str, voice: str = "") -> Clip:
        raise RuntimeError(f"cannot say {text}")

    scene.prompts.speech = fails  # type: ignore[method-assign]
    await scene.say(Say(text="My secret."))
    assert scene.ends == [False]
    assert "My secret" not in caplog.text


class TestKeys:
    async def test_a_key_that_the_media_heard_ends_it(self) -> None:
        scene = Scene()
        speech = await scene.say(Say(text="One."), Say(text="Two."), interruptible=True)
        assert scene.call.interruptible == [True]
        scene.finish(speech, by_digit=True)
        assert scene.ends == [True]
        assert scene.heard == ["One."]

    async def test_a_key_that_came_as_info_stops_what_plays(self) -> None:
        scene = Scene()
        speech = await scene.say(Say(text="One."), interruptible=True)
        speech.digit()
        assert scene.call.asked[-1] == ("stop_playing", None)
        scene.finish(speech)
        assert scene.ends == [True]

    async def test_a_key_in_the_gap_before_a_clip_ends_it_at_once(self) -> None:
        scene = Scene()
        scene.prompts.held["Slow."] = asyncio.Event()
        speech = await scene.say(Say(text="Slow."), interruptible=True)
        speech.digit()
        assert scene.ends == [True]
        await speech.done()
        assert scene.call.heard == []

    async def test_a_key_does_nothing_to_what_is_not_to_be_interrupted(self) -> None:
        scene = Scene()
        speech = await scene.say(Say(text="One."))
        speech.digit()
        assert scene.call.interruptible == [False]
        await scene.hear_out(speech)
        assert scene.ends == [False]


class TestStop:
    async def test_nothing_is_told_after_a_stop(self) -> None:
        scene = Scene()
        speech = await scene.say(Say(text="One."), interruptible=True)
        token = scene.call.tokens[-1]
        speech.stop()
        speech.play_finished(token, False)
        speech.digit()
        speech.stop()
        await speech.done()
        assert scene.ends == []
        assert [what for what, _ in scene.call.asked] == ["play", "stop_playing"]

    async def test_a_rendering_is_given_up(self) -> None:
        scene = Scene()
        scene.prompts.held["Slow."] = asyncio.Event()
        speech = await scene.say(Say(text="Slow."))
        speech.stop()
        await asyncio.wait_for(speech.done(), 1)
        assert scene.call.heard == []

    async def test_playlists_of_others_are_passed_over(self) -> None:
        scene = Scene()
        speech = await scene.say(Say(text="One."))
        speech.play_finished(scene.call.tokens[-1] + 1, False)
        assert scene.ends == []


class TestClipsOf:
    async def names(self, *items: Spoken, **more: Any) -> Sequence[str]:
        scene = Scene()
        scene.prompts.broken.add("Broken.")
        clips = await clips_of(items, "https://a.example/x", context=scene.context, call_id="c", **more)
        return [clip.name for clip in clips]

    async def test_it_gives_what_is_heard_in_order(self) -> None:
        names = await self.names(Say(text="One.", loop=2), Say(text="Broken."), Play(url="b.wav"), Play(digits="1"))
        assert names == ["One.", "One.", "https://a.example/b.wav"]

    async def test_what_has_no_end_is_there_once(self) -> None:
        assert await self.names(Say(text="One.", loop=0)) == ["One."]

    async def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_CLIPS_MS", 250)
        assert await self.names(Say(text="One.", loop=1000)) == ["One."] * 2
