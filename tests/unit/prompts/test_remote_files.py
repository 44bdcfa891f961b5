"""Files from the web: RFC 9111 (freshness, validation, stale copies), limits, and what is never shown or stored."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from dsp import g711
from prompts import remote
from prompts.cache import DiskCache
from prompts.clip import Clip
from prompts.errors import AudioFileError
from prompts.remote import FetchedFile, RemoteFiles, is_url, shown_url
from prompts.synth.file import AudioFileReader, read_file
from tests.support.speech import FakeReader

pytestmark = pytest.mark.asyncio

URL = "https://user:secret@example.com/prompts/welcome.wav?signature=s3cr3t#part"
SHOWN = "https://example.com/prompts/welcome.wav"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt one"
OTHER_WAV = b"RIFF\x24\x00\x00\x00WAVEfmt two"
NOW = 1_800_000_000.0


class Server:
    """Answers as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], float]] = []
        self.answer: Callable[[Mapping[str, str]], FetchedFile] = lambda headers: self.ok()
        self.gate: asyncio.Event | None = None
        self.under_way = 0
        self.most_under_way = 0

    @staticmethod
    def ok(body: bytes = WAV, **headers: str) -> FetchedFile:
        named = {"content-type": "audio/wav"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return FetchedFile(status=200, headers=named, body=body)

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        self.asked.append((url, dict(headers), timeout_s))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            return self.answer(headers)
        finally:
            self.under_way -= 1

    def is_down(self) -> None:
        def down(headers: Mapping[str, str]) -> FetchedFile:
            raise AudioFileError(f"{SHOWN}: no answer")

        self.answer = down


class Given:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = Server()
        self.reader = FakeReader()
        self.now = NOW
        self.warnings: list[str] = []
        self.files = self.another_process()

    def another_process(self) -> RemoteFiles:
        cache = DiskCache(self.directory, max_bytes=1_000_000)
        return RemoteFiles(cache, self.reader, self.server, now=lambda: self.now, warn=self.warnings.append)

    async def get(self, url: str = URL) -> Clip:
        return await self.files.clip(url)

    @property
    def requests(self) -> int:
        return len(self.server.asked)


@pytest_asyncio.fixture
async def given(tmp_path: Path) -> Given:
    return Given(tmp_path / "cache")


async def test_the_address_is_asked_as_it_stands_and_the_clip_is_named_without_its_query(given: Given) -> None:
    clip = await given.get()
    assert clip.pcmu == WAV
    assert clip.name == "welcome.wav"
    assert given.server.asked == [(URL, {"Accept": "audio/*"}, remote.TIMEOUT_S)]


async def test_nothing_on_disk_holds_the_address_or_the_file_that_was_decoded(given: Given) -> None:
    given.server.answer = lambda headers: given.server.ok(etag='"1"', cache_control="max-age=60")
    await given.get()
    found = {path.suffix: path.read_bytes() for path in given.directory.iterdir()}
    assert set(found) == {".clip", ".note"}
    for content in found.values():
        for part in (b"example.com", b"secret", b"s3cr3t", b"welcome"):
            assert part not in content


# -- freshness: RFC 9111 §4.2 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "fresh_s"),
    [
        ({"cache-control": "public, max-age=600"}, 600),
        ({"cache-control": 'MAX-AGE="600"'}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "junk"}, 600),
        ({"cache-control": "max-age=600", "expires": formatdate(NOW + 9, usegmt=True)}, 600),
        ({"cache-control": "s-maxage=600"}, 0),
        ({"cache-control": "max-age=-1"}, 0),
        ({"cache-control": "max-age=soon"}, 0),
        ({"cache-control": "no-cache, max-age=600"}, 0),
        ({"expires": formatdate(NOW + 300, usegmt=True)}, 300),
        ({"expires": formatdate(NOW + 300, usegmt=True), "date": formatdate(NOW + 100, usegmt=True)}, 200),
        ({"expires": "0"}, 0),
        ({"last-modified": formatdate(NOW - 10_000, usegmt=True)}, 1000),
        ({"last-modified": formatdate(NOW - 10_000_000, usegmt=True)}, 24 * 3600),
        ({"last-modified": formatdate(NOW + 10_000, usegmt=True)}, 0),
        ({"last-modified": "yesterday"}, 0),
        ({}, 0),
        ({"cache-control": "max-age=9999999999"}, 365 * 24 * 3600),
    ],
)
async def test_a_fresh_copy_is_played_without_a_question(given: Given, headers: dict[str, str], fresh_s: float) -> None:
    given.server.answer = lambda _: FetchedFile(status=200, headers=headers, body=WAV)
    await given.get()
    if fresh_s:
        given.now = NOW + fresh_s - 1
        await given.get()
        assert given.requests == 1
    given.now = NOW + fresh_s
    await given.get()
    assert given.requests == 2


async def test_a_file_is_at_hand_while_it_is_fresh(given: Given) -> None:
    given.server.answer = lambda headers: given.server.ok(cache_control="max-age=60")
    assert given.files.at_hand(URL) is None
    clip = await given.get()
    assert given.files.at_hand(URL) is clip
    given.now += 60
    assert given.files.at_hand(URL) is None


async def test_the_next_process_plays_the_fresh_copy_too(given: Given) -> None:
    given.server.answer = lambda headers: given.server.ok(cache_control="max-age=60")
    first = await given.get()
    assert await given.another_process().clip(URL) == first
    assert given.requests == 1
    assert len(given.reader.paths) == 1


# -- validation: RFC 9110 §13, RFC 9111 §4.3 ---------------------------------------------------------------------


async def test_a_stale_copy_is_asked_for_with_its_validators_and_played_when_nothing_changed(given: Given) -> None:
    modified = formatdate(NOW - 50, usegmt=True)
    given.server.answer = lambda _: given.server.ok(etag='W/"7"', last_modified=modified, cache_control="max-age=10")
    first = await given.get()
    given.now += 10
    given.server.answer = lambda _: FetchedFile(status=304, headers={"cache-control": "max-age=100"})
    assert await given.get() is first
    url, headers, timeout_s = given.server.asked[1]
    assert url == URL
    assert headers == {"Accept": "audio/*", "If-None-Match": 'W/"7"', "If-Modified-Since": modified}
    assert timeout_s == remote.REVALIDATE_TIMEOUT_S
    given.now += 99
    assert await given.get() is first
    assert given.requests == 2
    given.now += 1
    await given.get()
    assert given.server.asked[2][1]["If-None-Match"] == 'W/"7"', "a 304 without validators keeps those there were"


async def test_a_304_without_a_word_about_freshness_keeps_the_copy_for_a_moment(given: Given) -> None:
    given.server.answer = lambda _: given.server.ok(etag='"1"')
    await given.get()
    given.server.answer = lambda _: FetchedFile(status=304, headers={})
    await given.get()
    await given.get()
    assert given.requests == 2
    given.now += remote.RETRY_S
    await given.get()
    assert given.requests == 3


async def test_a_changed_file_replaces_the_copy(given: Given) -> None:
    given.server.answer = lambda _: given.server.ok(etag='"1"')
    await given.get()
    given.server.answer = lambda _: given.server.ok(OTHER_WAV, etag='"2"')
    assert (await given.get()).pcmu == OTHER_WAV
    await given.get()
    assert given.server.asked[2][1]["If-None-Match"] == '"2"'


@pytest.mark.parametrize("etag", ['"a\r\nX-Evil: 1"', '"' + "x" * 2000 + '"', '"\x00"', '"é"'])
async def test_a_validator_that_could_not_be_sent_back_is_not_kept(given: Given, etag: str) -> None:
    given.server.answer = lambda _: given.server.ok(etag=etag)
    await given.get()
    await given.get()
    assert "If-None-Match" not in given.server.asked[1][1]


async def test_a_304_that_was_not_asked_for_is_an_error(given: Given) -> None:
    given.server.answer = lambda _: FetchedFile(status=304, headers={})
    with pytest.raises(AudioFileError, match="the server answers 304"):
        await given.get()


# -- when the server is down: RFC 9111 §4.2.4 --------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["down", 500, 503, 408, 429])
async def test_the_stale_copy_is_played_with_a_warning_when_the_server_is_down(
    given: Given, trouble: str | int
) -> None:
    given.server.answer = lambda _: given.server.ok(etag='"1"')
    first = await given.get()
    if isinstance(trouble, int):
        given.server.answer = lambda _: FetchedFile(status=trouble, headers={})
    else:
        given.server.is_down()
    assert await given.get() is first
    (warning,) = given.warnings
    assert warning.startswith(SHOWN)
    assert warning.endswith("the copy that was fetched before is played")
    assert await given.get() is first
    assert given.requests == 2, "a server that is down is not asked by every call"
    given.now += remote.RETRY_S
    await given.get()
    assert given.requests == 3


@pytest.mark.parametrize("control", ["must-revalidate, max-age=5", "no-cache"])
async def test_no_stale_copy_is_played_where_the_server_forbids_it(given: Given, control: str) -> None:
    given.server.answer = lambda _: given.server.ok(cache_control=control)
    await given.get()
    given.now += 5
    given.server.is_down()
    with pytest.raises(AudioFileError, match="no answer"):
        await given.get()
    assert given.warnings == []


@pytest.mark.parametrize("status", [404, 410, 403, 204, 206])
async def test_a_file_that_is_gone_is_not_played_any_more(given: Given, status: int) -> None:
    await given.get()
    given.server.answer = lambda _: FetchedFile(status=status, headers={})
    with pytest.raises(AudioFileError, match=f"welcome.wav: the server answers {status}"):
        await given.get()
    given.server.is_down()
    with pytest.raises(AudioFileError, match="no answer"):
        await given.get()


async def test_what_must_not_be_stored_is_played_and_not_stored(given: Given) -> None:
    given.server.answer = lambda _: given.server.ok(cache_control="no-store, max-age=600")
    assert (await given.get()).pcmu == WAV
    assert not given.directory.exists() or list(given.directory.iterdir()) == []
    await given.get()
    assert given.requests == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"clip": 1, "fresh_until": "x", "may_be_stale": 1}'])
async def test_a_note_that_cannot_be_read_means_fetching_again(given: Given, damage: bytes) -> None:
    given.server.answer = lambda _: given.server.ok(cache_control="max-age=600")
    await given.get()
    (path,) = given.directory.glob("*.note")
    DiskCache(given.directory, max_bytes=1_000_000).put_note(path.stem, damage)
    assert (await given.another_process().clip(URL)).pcmu == WAV
    assert given.requests == 2


async def test_a_copy_that_was_evicted_is_fetched_again(given: Given) -> None:
    given.server.answer = lambda _: given.server.ok(cache_control="max-age=600", etag='"1"')
    await given.get()
    (clip,) = given.directory.glob("*.clip")
    clip.unlink()
    assert (await given.another_process().clip(URL)).pcmu == WAV
    assert "If-None-Match" not in given.server.asked[1][1]


# -- what is taken -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "content_type", "body", "law"),
    [
        ("https://example.com/p?x=1", "audio/PCMU", b"\x11" * 160, "ulaw"),
        ("https://example.com/p", "audio/basic; rate=8000", b"\x11" * 160, "ulaw"),
        ("https://example.com/p", "audio/x-alaw", b"\x11" * 160, "alaw"),
        ("https://example.com/p.ulaw?x=1", "application/octet-stream", b"\xff\xfb" * 80, "ulaw"),
        ("https://example.com/p.AL", "", b"\x11" * 160, "alaw"),
    ],
)
async def test_headerless_g711_is_told_by_its_type_or_its_name(
    given: Given, url: str, content_type: str, body: bytes, law: str
) -> None:
    given.server.answer = lambda _: FetchedFile(status=200, headers={"content-type": content_type}, body=body)
    clip = await given.get(url)
    assert given.reader.paths == []
    assert (clip.pcmu if law == "ulaw" else clip.pcma) == body
    assert clip.pcma == (g711.ulaw_to_alaw(body) if law == "ulaw" else body)


@pytest.mark.parametrize(
    ("content_type", "body", "complaint"),
    [
        ("text/html", b"<html>Log in</html>", "is no audio that is known here (it is served as text/html)"),
        ("audio/wav", b"<html>Log in</html>", "is no audio that is known here (it is served as audio/wav)"),
        ("audio/mp4", b"\x00\x00\x00\x20ftypM4A ", "is no audio that is known here (it is served as audio/mp4)"),
        ("te\x1bxt", b"?", "(it is served as te?xt)"),
        ("", b"nothing", "is no audio that is known here: serve WAV"),
        ("audio/wav", b"", "is empty"),
        ("audio/PCMU", b"\x11" * (600 * 8000 + 1), "is longer than 600 s"),
    ],
)
async def test_what_is_no_audio_by_its_bytes_is_refused_and_named_without_its_query(
    given: Given, content_type: str, body: bytes, complaint: str
) -> None:
    given.server.answer = lambda _: FetchedFile(status=200, headers={"content-type": content_type}, body=body)
    with pytest.raises(AudioFileError) as caught:
        await given.get()
    assert str(caught.value).startswith(SHOWN)
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)
    assert given.reader.paths == []


async def test_a_file_over_the_limit_is_refused(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_FETCH_BYTES", 10)
    with pytest.raises(AudioFileError, match="has 19 bytes: 10 are the most"):
        await given.get()


async def test_a_real_file_is_decoded_in_the_worker_and_named_by_its_address_when_it_is_broken(tmp_path: Path) -> None:
    time_s = np.arange(12_000) / 8000
    samples = 0.3 * np.sin(2 * np.pi * 440 * time_s) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time_s))
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="FLAC")
    (tmp_path / "same.flac").write_bytes(file.getvalue())
    server = Server()
    server.answer = lambda _: server.ok(file.getvalue())
    reader = AudioFileReader()
    files = RemoteFiles(
        DiskCache(tmp_path / "cache", max_bytes=1_000_000), reader, server, now=lambda: NOW, warn=lambda text: None
    )
    clip = await files.clip(URL)
    assert (clip.pcmu, clip.pcma) == read_file(tmp_path / "same.flac")
    server.answer = lambda _: server.ok(b"fLaC" + bytes(200))
    with pytest.raises(AudioFileError) as caught:
        await files.clip(URL)
    assert str(caught.value).startswith(f"{SHOWN} cannot be read as audio")
    assert not list((tmp_path / "cache").glob("*.part"))
    await reader.close()


async def test_a_cache_that_cannot_be_written_does_not_stop_the_file(given: Given) -> None:
    given.directory.write_text("a file where the directory should be")
    given.server.answer = lambda _: given.server.ok(cache_control="max-age=60")
    assert (await given.get()).pcmu == WAV
    assert (await given.get()).pcmu == WAV
    assert given.requests == 1, "it is still kept in memory"


async def test_the_memory_is_bounded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_MEMORY_BYTES", 100)
    given.server.answer = lambda _: given.server.ok(cache_control="max-age=60")
    for number in range(20):
        await given.get(f"https://example.com/{number}.wav")
    assert len(given.files._memory) == 2
    assert given.files._memory_bytes <= 100


async def test_only_so_many_files_are_fetched_at_a_time(given: Given) -> None:
    given.server.gate = asyncio.Event()
    tasks = [asyncio.create_task(given.get(f"https://example.com/{number}.wav")) for number in range(30)]
    while given.requests < remote.MAX_FETCHES:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    given.server.gate.set()
    await asyncio.gather(*tasks)
    assert given.server.most_under_way == remote.MAX_FETCHES


async def test_without_a_fetcher_every_address_is_refused(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, max_bytes=1_000_000)
    files = RemoteFiles(cache, FakeReader(), None, now=lambda: NOW, warn=lambda text: None)
    with pytest.raises(AudioFileError, match=f"{SHOWN}: files from the web are not fetched here"):
        await files.clip(URL)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, SHOWN),
        ("http://[::1]:8080/a.wav?x", "http://[::1]:8080/a.wav"),
        ("http://[::1", "the address"),
        ("http://example.com/a b\n.wav", "http://example.com/a?b.wav"),
    ],
)
async def test_an_address_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


async def test_a_path_is_no_address() -> None:
    assert [is_url(text) for text in ("http://a/", "HTTPS://a/", "file:///a", "httpd/a.wav", "/a.wav")] == [
        True,
        True,
        False,
        False,
        False,
    ]
