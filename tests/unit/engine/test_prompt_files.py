"""Files from the web for the prompts, over a real server on loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.config import Config, FormConfig
from engine.config.webhooks import WebhooksConfig
from engine.errors import ConfigError
from engine.form import FormPrompts
from engine.net.egress import Egress
from engine.net.http import HttpResponse
from engine.net.http_pool import HttpPool
from engine.prompt_files import PromptFetcher, open_prompts, prepare_locales, worker_count
from prompts.errors import AudioFileError, SynthesisError
from prompts.remote import FetchedFile
from prompts.store import PromptStore
from tests.support.speech import FakeReader, FakeSynthesizer

pytestmark = pytest.mark.asyncio

MAX_BYTES = 10_000


async def fetch(url: str, *, allow: Sequence[str] = ("127.0.0.1",), **headers: str) -> FetchedFile:
    pool = HttpPool(Egress(allow))
    try:
        return await PromptFetcher(pool.request)(url, headers=headers, timeout_s=5.0, max_bytes=MAX_BYTES)
    finally:
        await pool.close()


class Server:
    """Answers every request with the same bytes, or those of its path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.at: dict[str, bytes] = {}
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: audio/PCMU\r\n\r\nhello"
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        writer.write(self.at.get(self.requests[-1].split(" ")[1], self.answer))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"http://user:secret@127.0.0.1:{port}/a.ulaw?signature=s3cr3t"
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


async def test_a_file_is_fetched_with_the_query_and_credentials_of_its_address() -> None:
    async with running_server() as server:
        found = await fetch(server.url, **{"If-None-Match": '"1"'})
    assert found.status == 200
    assert found.body == b"hello"
    assert found.headers["content-type"] == "audio/PCMU"
    (request,) = server.requests
    assert request.startswith("GET /a.ulaw?signature=s3cr3t HTTP/1.1\r\n")
    assert 'if-none-match: "1"' in request.lower()
    assert "authorization: basic" in request.lower()


async def test_not_modified_is_an_answer_with_headers() -> None:
    async with running_server() as server:
        server.answer = b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=7\r\n\r\n"
        found = await fetch(server.url)
        assert (found.status, found.headers["cache-control"]) == (304, "max-age=7")


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_without_the_credentials_of_the_first_address(status: int) -> None:
    async with running_server() as server:
        origin = server.url.partition("@")[2].partition("/")[0]
        server.at["/a.ulaw?signature=s3cr3t"] = redirect("/b", status)
        server.at["/b"] = redirect(f"http://{origin}/c?x=1", status)
        assert (await fetch(server.url)).body == b"hello"
        assert [request.split(" ")[1] for request in server.requests] == ["/a.ulaw?signature=s3cr3t", "/b", "/c?x=1"]
        assert "authorization" not in server.requests[2].lower()


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("/a.ulaw?signature=s3cr3t", "redirects more than 3 times"),
        ("", "redirects to nowhere"),
        ("file:///etc/passwd", "must start with https"),
        ("http://127.0.0.2/inside", "127.0.0.2 is an address inside"),
        ("http://169.254.169.254/latest", "169.254.169.254 is an address inside"),
    ],
)
async def test_a_redirect_leads_nowhere_that_an_address_may_not(location: str, complaint: str) -> None:
    async with running_server() as server:
        server.at["/a.ulaw?signature=s3cr3t"] = redirect(location)
        with pytest.raises(AudioFileError, match=complaint) as caught:
            await fetch(server.url)
    assert "s3cr3t" not in str(caught.value)


async def test_no_redirect_leads_from_https_to_http() -> None:
    asked: list[tuple[str, bool]] = []

    async def get(method: str, url: str, *, allow_insecure: bool, **more: object) -> HttpResponse:
        asked.append((url, allow_insecure))
        headers = [(b"location", b"http://example.com/b")]
        return HttpResponse(status=302 if len(asked) == 1 else 200, headers=headers, body=b"")

    await PromptFetcher(get)("https://example.com/a", headers={}, timeout_s=5.0, max_bytes=MAX_BYTES)
    assert asked == [("https://example.com/a", True), ("http://example.com/b", False)]


async def test_an_address_inside_is_asked_only_where_it_is_allowed() -> None:
    async with running_server() as server:
        with pytest.raises(AudioFileError, match=r"127\.0\.0\.1 is an address inside; add it to webhooks\.allow"):
            await fetch(server.url, allow=())
        assert server.requests == []


async def test_cache_control_in_several_lines_is_one_list() -> None:
    async with running_server() as server:
        server.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nCache-Control: max-age=5\r\nCACHE-CONTROL: no-store\r\n\r\nx"
        )
        found = await fetch(server.url)
    assert found.headers["cache-control"] == "max-age=5, no-store"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n" + b"x" * 10_001, "more than 10000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", "not HTTP"),
        (b"\x00garbage\r\n\r\n", "not HTTP"),
        (b"", "without an answer"),
    ],
)
async def test_what_cannot_be_used_is_told_without_the_query_and_credentials(answer: bytes, complaint: str) -> None:
    async with running_server() as server:
        server.answer = answer
        with pytest.raises(AudioFileError, match=complaint) as caught:
            await fetch(server.url)
    assert str(caught.value).startswith("http://127.0.0.1:")
    assert "secret" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://example.com/a", "http:///a", "https://example.com:99999/", "http://a\u00fc/"])
async def test_an_address_that_cannot_be_asked_is_told(url: str) -> None:
    with pytest.raises(AudioFileError):
        await fetch(url)


async def test_http_can_be_forbidden() -> None:
    pool = HttpPool(Egress(()))
    fetcher = PromptFetcher(pool.request, allow_insecure=False)
    with pytest.raises(AudioFileError, match="must start with https"):
        await fetcher("http://127.0.0.1/a.wav?x=s3cr3t", headers={}, timeout_s=5.0, max_bytes=MAX_BYTES)
    await pool.close()


async def test_the_store_of_a_configuration_fetches_plays_and_keeps_a_file(tmp_path: Path) -> None:
    config = Config(webhooks=WebhooksConfig(allow=("127.0.0.1",)))
    store = open_prompts(config, cache=tmp_path)
    async with running_server() as server:
        server.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: audio/PCMU\r\n"
            b"Cache-Control: max-age=600\r\n\r\nhello"
        )
        clip = await store.file(server.url)
        assert (await store.file(server.url)).pcmu == clip.pcmu == b"hello"
        assert len(server.requests) == 1
    await store.close()
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_form_that_plays_a_file_from_the_web_has_it_fetched_before_the_first_call(tmp_path: Path) -> None:
    store = open_prompts(Config(webhooks=WebhooksConfig(allow=("127.0.0.1",))), cache=tmp_path)
    async with running_server() as server:
        form = FormConfig.model_validate({"prompt": [{"for": "payment-card-number", "play": server.url}]})
        await FormPrompts(store, default_locale="en-US").prepare({"donation": form})
        assert len(server.requests) == 1
        server.answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        with pytest.raises(ConfigError, match=r"a\.ulaw: the server answers 404") as caught:
            await FormPrompts(store, default_locale="en-US").prepare({"donation": form})
    await store.close()
    assert "form.donation.prompt[0]" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


async def test_another_voice_speaks_all_prompts_also_those_that_are_shipped(tmp_path: Path) -> None:
    piper = Config().prompts.model_copy(update={"synthesizer": "piper"})
    store = open_prompts(Config().model_copy(update={"prompts": piper}), cache=tmp_path)
    assert len(store.missing("en-US")) == 29
    await store.close()
    store = open_prompts(Config(), cache=tmp_path)
    assert store.missing("en-US") == ()
    await store.close()


def store_of(synthesizer: FakeSynthesizer, directory: Path) -> PromptStore:
    return PromptStore(directory, synthesizer, reader=FakeReader())


async def test_all_locales_of_the_forms_are_rendered_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="engine.prompts")
    synthesizer = FakeSynthesizer()
    store = store_of(synthesizer, tmp_path)
    await prepare_locales(store, ["de-DE", "de", "pl-PL", "en-US"])
    assert synthesizer.started
    assert store.missing("de-DE") == store.missing("pl-PL") == ()
    assert {locale for _, locale, _ in synthesizer.spoken} == {"de-DE", "pl-PL"}
    assert caplog.messages == ["prompts are ready"]
    await prepare_locales(store, ["de-DE"])
    assert caplog.messages == ["prompts are ready"], "nothing was to be done"


async def test_a_locale_that_cannot_be_rendered_is_told_and_left_to_whoever_wants_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    synthesizer = FakeSynthesizer()
    synthesizer.failure = SynthesisError("no espeak-ng")
    store = store_of(synthesizer, tmp_path)
    await prepare_locales(store, ["de-DE", "en-US"])
    assert "prompts were not rendered: no espeak-ng" in caplog.messages
    with pytest.raises(SynthesisError):
        await store.prepare("de-DE")


async def test_workers_that_do_not_start_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeSynthesizer):
        async def start(self) -> None:
            raise SynthesisError("no memory")

    await prepare_locales(store_of(Broken(), tmp_path), ["de-DE"])
    assert caplog.messages == ["the speech workers do not start: no memory"]


async def test_there_is_a_worker_even_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((None, 1), (1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert worker_count() == workers
