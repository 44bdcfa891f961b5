"""Whatever a server answers, a file from the web becomes a clip or an AudioFileError, asked for once at most."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.cache import DiskCache
from prompts.errors import AudioFileError
from prompts.remote import MAX_FRESH_S, FetchedFile, RemoteFiles, shown_url
from tests.support.speech import FakeReader

NOW = 1_800_000_000.0
DATES = st.sampled_from(
    ["Sun, 06 Nov 1994 08:49:37 GMT", "0", "-1", "Thu, 31 Feb 2030 99:99:99 GMT", "Fri, 01 Jan 9999"]
)
DIRECTIVES = st.sampled_from(["max-age=60", "max-age=", "max-age=-5", "max-age=1e9", "no-store", "no-cache", "private"])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "cache-control": st.lists(DIRECTIVES | st.text(max_size=8), max_size=4).map(",".join),
        "expires": DATES | st.text(max_size=20),
        "last-modified": DATES | st.text(max_size=20),
        "date": DATES | st.text(max_size=20),
        "age": st.text(max_size=12) | st.integers(-10, 10**12).map(str),
        "etag": st.text(max_size=20),
        "content-type": st.sampled_from(["audio/PCMU", "audio/wav", "text/html"]) | st.text(max_size=20),
    },
)
BODIES = st.sampled_from([b"", b"RIFF\x00\x00\x00\x00WAVEfmt ", b"fLaC", b"\xff\xfb"]) | st.binary(max_size=40)
ANSWERS = st.builds(FetchedFile, status=st.sampled_from([200, 200, 200, 304, 404, 500]), headers=HEADERS, body=BODIES)


@settings(max_examples=300, deadline=None)
@given(
    answers=st.lists(st.tuples(ANSWERS | st.none(), st.floats(0, 2 * MAX_FRESH_S)), min_size=1, max_size=6),
    url=st.text(max_size=30).map(lambda tail: f"https://user:pass@example.com/{tail}"),
)
def test_any_answers_give_a_clip_or_the_documented_error(
    answers: list[tuple[FetchedFile | None, float]], url: str
) -> None:
    asyncio.run(_play(answers, url))


async def _play(answers: list[tuple[FetchedFile | None, float]], url: str) -> None:
    now = NOW
    coming = [answer for answer, _ in answers]
    asked = 0

    async def fetch(url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        nonlocal asked
        answer = coming[asked]
        asked += 1
        for value in headers.values():
            assert value.isascii()
            assert value.isprintable()
        if answer is None:
            raise AudioFileError(f"{shown_url(url)}: no answer")
        return answer

    with tempfile.TemporaryDirectory() as directory:
        cache = DiskCache(Path(directory), max_bytes=1_000_000)
        files = RemoteFiles(cache, FakeReader(), fetch, now=lambda: now, warn=lambda text: None)
        for number in range(len(answers)):
            before = asked
            try:
                clip = await files.clip(url)
            except AudioFileError as error:
                message = str(error)
            else:
                message = ""
                assert len(clip.pcmu) == len(clip.pcma) > 0
            assert "pass" not in message.partition("example.com")[0]
            assert asked - before <= 1
            assert asked == before + 1 or not message, "only a server that was asked gives an error"
            now += answers[number][1]
