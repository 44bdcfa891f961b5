from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from prompts.catalog import Catalog
from prompts.errors import AudioFileError, PromptError, SynthesisError
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.remote import FetchedFile
from prompts.sentences import sentences
from prompts.store import MAX_AHEAD, SENTENCE_PAUSE_MS, PromptStore
from tests.support.speech import FakeReader, FakeSynthesizer

pytestmark = pytest.mark.asyncio


class Fixture:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.synthesizer = FakeSynthesizer()
        self.reader = FakeReader()
        self.store = self.another_store()

    def another_store(self) -> PromptStore:
        return PromptStore(self.directory, self.synthesizer, reader=self.reader)

    def cached(self) -> list[Path]:
        return sorted(self.directory.glob("*"))


@pytest_asyncio.fixture
async def given(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path / "cache")


@pytest.mark.parametrize("key", [key for key in PromptKey if key not in PLACEHOLDERS])
async def test_every_english_prompt_is_there_at_once(given: Fixture, key: PromptKey) -> None:
    clip = given.store.default(str(key), "en-US")
    assert clip.name == key
    assert len(clip.pcma) == len(clip.pcmu) > 4000
    assert given.store.default(key, "en") is clip
    assert given.synthesizer.spoken == []


async def test_another_locale_is_there_once_it_was_prepared(given: Fixture) -> None:
    with pytest.raises(PromptError, match="not rendered in 'fr-FR': prepare"):
        given.store.default("finish-key", "fr-FR")
    assert await given.store.prepare("fr-FR") == ""
    clip = given.store.default("finish-key", "fr-FR")
    assert clip.name == "finish-key"
    assert clip.pcmu.decode() == Catalog.load().text("finish-key", "fr-FR")
    assert {locale for _, locale, _ in given.synthesizer.spoken} == {"fr-FR"}
    count = len(given.synthesizer.spoken)
    await given.store.prepare("fr-FR")
    assert len(given.synthesizer.spoken) == count


async def test_a_language_without_texts_is_served_in_english_with_a_warning(given: Fixture) -> None:
    assert "sv-SE" in await given.store.prepare("sv-SE")
    assert given.store.default("finish-key", "sv-SE") is given.store.default("finish-key", "en-US")


async def test_prepare_fails_when_a_prompt_cannot_be_had(given: Fixture) -> None:
    given.synthesizer.failure = SynthesisError("no espeak-ng")
    with pytest.raises(SynthesisError):
        await given.store.prepare("de-DE")


async def test_an_unknown_key_is_named(given: Fixture) -> None:
    with pytest.raises(PromptError, match="no-such-prompt"):
        given.store.default("no-such-prompt", "en-US")


async def test_a_changed_text_is_not_answered_with_the_shipped_recording(given: Fixture, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "en-US.toml").write_text('[texts]\npayment-completed = "Thanks from Acme."\n')
    store = PromptStore(given.directory, given.synthesizer, reader=given.reader, catalog=Catalog.load(overlay))
    with pytest.raises(PromptError, match="not rendered"):
        store.default("payment-completed", "en-US")
    assert (await store.prompt("payment-completed", "en-US")).pcmu == b"Thanks from Acme."
    assert [text for text, _, _ in given.synthesizer.spoken] == ["Thanks from Acme."]


async def test_the_same_text_is_rendered_once_and_is_the_same_object(given: Fixture) -> None:
    first = await given.store.speech("Hello there", locale="en-US")
    assert await given.store.speech("Hello there", locale="en-US") is first
    assert len(given.synthesizer.spoken) == 1
    assert first.name == "Hello there"


async def test_a_cached_text_is_not_rendered_by_the_next_process(given: Fixture) -> None:
    first = await given.store.speech("Hello there", locale="en-US")
    again = await given.another_store().speech("Hello there", locale="en-US")
    assert again == first
    assert len(given.synthesizer.spoken) == 1


@pytest.mark.parametrize(
    ("text", "locale", "voice"), [("Hello", "en-GB", ""), ("Hello", "en-US", "woman"), ("Hullo", "en-US", "")]
)
async def test_another_text_locale_or_voice_is_rendered_anew(
    given: Fixture, text: str, locale: str, voice: str
) -> None:
    await given.store.speech("Hello", locale="en-US")
    await given.store.speech(text, locale=locale, voice=voice)
    assert given.synthesizer.spoken == [("Hello", "en-US", ""), (text, locale, voice)]


async def test_another_renderer_renders_anew(given: Fixture) -> None:
    await given.store.speech("Hello", locale="en-US")
    given.synthesizer.identity = "another"
    await given.another_store().speech("Hello", locale="en-US")
    assert len(given.synthesizer.spoken) == 2


async def test_a_damaged_cache_entry_is_rendered_again(given: Fixture) -> None:
    await given.store.speech("Hello", locale="en-US")
    (path,) = given.cached()
    path.write_bytes(path.read_bytes()[:-3])
    store = given.another_store()
    assert (await store.speech("Hello", locale="en-US")).pcmu == b"Hello"
    assert len(given.synthesizer.spoken) == 2
    assert store.stats.corrupt == 1


async def test_a_cache_that_cannot_be_written_does_not_stop_the_call(given: Fixture) -> None:
    given.directory.write_text("a file where the directory should be")
    assert (await given.store.speech("Hello", locale="en-US")).pcmu == b"Hello"
    assert given.store.stats.write_errors == 1


async def test_requests_for_one_text_at_the_same_time_render_it_once(given: Fixture) -> None:
    clips = await asyncio.gather(*(given.store.speech("Hello", locale="en-US") for _ in range(50)))
    assert len(given.synthesizer.spoken) == 1
    assert len({id(clip) for clip in clips}) == 1


async def test_one_caller_hanging_up_leaves_the_rendering_to_the_others(given: Fixture) -> None:
    given.synthesizer.gate = asyncio.Event()
    gone = asyncio.create_task(given.store.speech("Hello", locale="en-US"))
    stays = asyncio.create_task(given.store.speech("Hello", locale="en-US"))
    while not given.synthesizer.spoken:
        await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    given.synthesizer.gate.set()
    assert (await stays).pcmu == b"Hello"
    assert len(given.synthesizer.spoken) == 1


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered(given: Fixture) -> None:
    given.synthesizer.failure = SynthesisError("broken")
    failed = await asyncio.gather(
        *(given.store.speech("Hello", locale="en-US") for _ in range(3)), return_exceptions=True
    )
    assert [str(error) for error in failed] == ["broken"] * 3
    given.synthesizer.failure = None
    assert (await given.store.speech("Hello", locale="en-US")).pcmu == b"Hello"


async def test_what_a_caller_keyed_is_spoken_and_kept_nowhere(given: Fixture) -> None:
    clip = await given.store.prompt("confirm-last-four", "en-US", digits="4242")
    assert given.synthesizer.spoken[0][0].endswith("four, two, four, two.")
    assert clip.name == "confirm-last-four"
    assert given.cached() == []
    await given.store.prompt("confirm-last-four", "en-US", digits="4242")
    assert len(given.synthesizer.spoken) == 2


async def test_a_prompt_in_a_chosen_voice_is_spoken_in_it(given: Fixture) -> None:
    clip = await given.store.prompt("finish-key", "en-US", voice="woman")
    assert given.synthesizer.spoken == [(Catalog.load().text("finish-key", "en-US"), "en-US", "woman")]
    assert clip.name == "finish-key"
    shipped = await given.store.prompt("finish-key", "en-US")
    assert shipped is given.store.default("finish-key", "en-US")


async def test_the_memory_is_bounded(given: Fixture) -> None:
    given.synthesizer.audio = lambda text: text[:1].encode() * 9_000_000
    for letter in "abcd":
        await given.store.speech(letter, locale="en-US")
    await given.store.speech("d", locale="en-US")
    assert len(given.synthesizer.spoken) == 4
    held = list(given.store._memory.values())
    assert [clip.name for clip in held] == ["d"]


async def test_a_file_is_read_once_until_it_changes(given: Fixture, tmp_path: Path) -> None:
    path = tmp_path / "hello.ulaw"
    path.write_bytes(b"one")
    assert (await given.store.file(path)).pcmu == b"one"
    assert (await given.store.file(str(path))).pcmu == b"one"
    assert len(given.reader.paths) == 1
    path.write_bytes(b"three")
    assert (await given.store.file(path)).pcmu == b"three"


async def test_a_file_from_the_web_is_fetched_once_at_a_time_and_asked_for_again(given: Fixture) -> None:
    gate, asked = asyncio.Event(), []

    async def fetch(url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        asked.append(url)
        await gate.wait()
        return FetchedFile(status=200, headers={"content-type": "audio/PCMU"}, body=b"hello")

    store = PromptStore(given.directory, given.synthesizer, reader=given.reader, fetch=fetch)
    url = "https://example.com/a.ulaw?signature=1"
    store.ahead([url, "/absent/file.wav"])
    waiting = [asyncio.create_task(store.file(url)) for _ in range(5)]
    while not asked:
        await asyncio.sleep(0)
    gate.set()
    clips = await asyncio.gather(*waiting)
    assert asked == [url]
    assert len({id(clip) for clip in clips}) == 1
    assert clips[0].pcmu == b"hello"
    await store.file(url)
    assert asked == [url, url], "the server did not say that it stays fresh"
    await store.close()


async def test_whoever_waits_for_a_file_from_the_web_is_told_that_the_store_was_closed(given: Fixture) -> None:
    begun = asyncio.Event()

    async def fetch(url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    store = PromptStore(given.directory, given.synthesizer, reader=given.reader, fetch=fetch)
    waiting = asyncio.create_task(store.file("https://example.com/a.wav?secret"))
    await begun.wait()
    await store.close()
    with pytest.raises(AudioFileError, match=r"https://example.com/a.wav: the prompts were closed$"):
        await waiting


async def test_so_many_files_are_fetched_ahead_and_no_more(given: Fixture) -> None:
    async def fetch(url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        await asyncio.Event().wait()
        raise AssertionError

    store = PromptStore(given.directory, given.synthesizer, reader=given.reader, fetch=fetch)
    store.ahead(f"https://example.com/{number}.wav" for number in range(MAX_AHEAD + 100))
    assert len(store._ahead) == MAX_AHEAD
    await store.close()
    assert not store._ahead


LONG = " ".join(f"This is sentence {word} of a text that takes a while to be said in full." for word in ("a", "b", "c"))


async def test_a_long_text_is_spoken_sentence_by_sentence_with_a_pause_between(given: Fixture) -> None:
    clips = [clip async for clip in given.store.stream(LONG, locale="en-GB", voice="woman")]
    assert [text for text, _, _ in given.synthesizer.spoken] == sentences(LONG)
    assert {(locale, voice) for _, locale, voice in given.synthesizer.spoken} == {("en-GB", "woman")}
    assert [clip.pcmu.decode("latin-1") for clip in clips[::2]] == sentences(LONG)
    assert [clip.duration_ms for clip in clips[1::2]] == [SENTENCE_PAUSE_MS] * 2
    assert {clip.pcmu for clip in clips[1::2]} == {b"\xff" * 2400}


async def test_the_first_sentence_is_there_while_the_next_is_rendered(given: Fixture) -> None:
    stream = given.store.stream(LONG, locale="en-GB")
    first = await anext(stream)
    assert first.pcmu.decode() == sentences(LONG)[0]
    assert len(given.synthesizer.spoken) == 1
    given.synthesizer.gate = asyncio.Event()
    while len(given.synthesizer.spoken) < 2:
        await asyncio.sleep(0)
    await stream.aclose()
    given.synthesizer.gate.set()


async def test_a_sentence_that_cannot_be_spoken_ends_the_stream(given: Fixture) -> None:
    stream = given.store.stream(LONG, locale="en-GB")
    await anext(stream)
    given.synthesizer.failure = SynthesisError("broken")
    with pytest.raises(SynthesisError, match="broken"):
        await anext(stream)


async def test_locales_are_prepared_as_many_texts_at_a_time_as_there_are_workers(given: Fixture) -> None:
    store = PromptStore(given.directory, given.synthesizer, reader=given.reader, parallel=3)
    given.synthesizer.gate = asyncio.Event()
    done: list[int] = []
    preparing = asyncio.gather(*(store.prepare(tag, progress=lambda: done.append(1)) for tag in ("de-DE", "pl-PL")))
    while len(given.synthesizer.spoken) < 3:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(given.synthesizer.spoken) == 3
    assert len(store.missing("de-DE")) == 29
    given.synthesizer.gate.set()
    assert await preparing == ["", ""]
    assert len(done) == 58
    assert store.missing("de-DE") == store.missing("pl-PL") == ()


async def test_what_was_rendered_before_a_failure_is_kept_and_nothing_goes_on_behind_it(given: Fixture) -> None:
    count = 0

    def audio(text: str) -> bytes:
        nonlocal count
        count += 1
        if count == 5:
            raise SynthesisError("the worker died")
        return text.encode()

    given.synthesizer.audio = audio
    with pytest.raises(SynthesisError, match="died"):
        await given.store.prepare("de-DE")
    assert len(given.store.missing("de-DE")) == 25
    assert count <= 6, "one more may have begun in the turn of the failed one"
    given.synthesizer.audio = lambda text: text.encode()
    await given.store.prepare("de-DE")
    assert given.store.missing("de-DE") == ()


async def test_what_is_cached_is_told_without_rendering(given: Fixture) -> None:
    assert await given.store.cached("finish-key", "de-DE") is None
    assert await given.store.cached("confirm-last-four", "de-DE") is None
    await given.store.prepare("de-DE")
    count = len(given.synthesizer.spoken)
    another = given.another_store()
    clip = await another.cached("finish-key", "de-DE")
    assert clip is not None
    assert clip.pcmu.decode() == Catalog.load().text("finish-key", "de-DE")
    assert clip.name == "finish-key"
    assert len(given.synthesizer.spoken) == count
    assert another.shipped(PromptKey.FINISH_KEY, "en")
    assert not another.shipped(PromptKey.FINISH_KEY, "de-DE")


async def test_a_clip_that_plays_survives_the_eviction_of_its_file(given: Fixture) -> None:
    given.synthesizer.audio = lambda text: text[:1].encode() * 30_000
    store = PromptStore(given.directory, given.synthesizer, reader=given.reader, max_bytes=100_000)
    plays = await store.speech("a", locale="en-US")
    for letter in "bcdefg":
        await store.speech(letter, locale="en-US")
    assert store.stats.evicted > 0
    assert plays.pcmu == b"a" * 30_000
    assert await store.speech("a", locale="en-US") is plays


async def test_a_name_that_is_none_is_refused(given: Fixture) -> None:
    with pytest.raises(AudioFileError, match="is not the name of a file"):
        await given.store.file("/absent/\0.wav")


async def test_a_file_that_is_not_there_is_named(given: Fixture) -> None:
    with pytest.raises(AudioFileError, match=r"/absent/hello\.wav: No such file"):
        await given.store.file("/absent/hello.wav")


async def test_the_workers_can_be_started_before_the_first_call(given: Fixture) -> None:
    assert not given.synthesizer.started
    await given.store.start()
    assert given.synthesizer.started


async def test_close_ends_everything_and_whoever_waits_is_told(given: Fixture) -> None:
    given.synthesizer.gate = asyncio.Event()
    waiting = asyncio.create_task(given.store.speech("Hello", locale="en-US"))
    while not given.synthesizer.spoken:
        await asyncio.sleep(0)
    await given.store.close()
    with pytest.raises(SynthesisError, match="closed"):
        await waiting
    assert given.synthesizer.closed
    assert given.reader.closed
