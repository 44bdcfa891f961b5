"""What programs of applications share with the engine, as doubles: the web, the prompts, the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl

from engine.config import Config, parse
from engine.dialects.twiml.commands import Parameters
from engine.errors import LedgerError
from engine.events import EngineEvent
from engine.net.http import HttpResponse
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.payment_run import PaymentContext
from engine.program import CallControl, Exchange
from engine.programs.context import ProgramContext
from engine.programs.status import CallStatusTeller
from engine.programs.verb import VerbMakers
from prompts.clip import Clip
from prompts.errors import AudioFileError, SynthesisError
from prompts.store import PromptStore

__all__ = (
    "ACCOUNT",
    "TOKEN",
    "FakeOutbox",
    "FakePrompts",
    "FakeVerb",
    "FakeWeb",
    "Sent",
    "config_of",
    "context_of",
    "settle",
)

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "an-auth-token-for-tests"
_NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

_CONFIG = f"""
[connector.sandbox]
type = "sandbox"

[twilio]
account_sid = "{ACCOUNT}"
auth_token_env = "TWILIO_TOKEN"
"""


def config_of(more: str = "") -> Config:
    """Return a configuration with an account; ``more`` goes on in ``[twilio]``."""
    return parse(_CONFIG + more)


async def settle() -> None:
    """Let everything happen that waits for nothing from outside."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it went out."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    allow_insecure: bool

    @property
    def parameters(self) -> dict[str, str]:
        """The form parameters, of the body."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


class FakeWeb:
    """A ``WebSender`` whose pages are a dictionary; a page may be a text, an answer, an error, or an event."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        "By URL without its query: TwiML, `HttpResponse`, an exception, or a future to be waited for first."
        self.sent: list[Sent] = []

    async def __call__(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytes,
        timeout_s: float,
        max_response: int,
        allow_insecure: bool,
        redirects: bool,
        is_repeatable: bool,
    ) -> HttpResponse:
        self.sent.append(Sent(method, url, headers, body, allow_insecure))
        page = self.pages.get(url.partition("?")[0], 404)
        if isinstance(page, asyncio.Future):
            page = await page
        if isinstance(page, list):
            page = page.pop(0)
        if isinstance(page, Exception):
            raise page
        if isinstance(page, int):
            return HttpResponse(status=page, headers=(), body=b"")
        if isinstance(page, HttpResponse):
            return page
        return HttpResponse(status=200, headers=((b"content-type", b"text/xml"),), body=page.encode())

    @property
    def urls(self) -> list[str]:
        """What was asked for, in order."""
        return [sent.url for sent in self.sent]


class FakePrompts:
    """A prompt store that is ready at once, but for what a test holds back."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        "Text, locale and voice of what the store may keep."
        self.said_in_confidence: list[str] = []
        "Texts that go to the synthesiser alone."
        self.files: list[str] = []
        self.fetched_ahead: list[str] = []
        self.broken: set[str] = set()
        "Texts, URLs, voices and languages that cannot be had."
        self.held: dict[str, asyncio.Event] = {}
        "Texts and URLs that take until their event is set."
        self.synthesizer = self

    def ahead(self, sources: list[str]) -> None:
        self.fetched_ahead += sources

    async def speech(self, text: str, *, locale: str, voice: str = "") -> Clip:
        self.said.append((text, locale, voice))
        if voice in self.broken or locale in self.broken:
            raise SynthesisError("no such voice")
        return await self._clip(text, SynthesisError("no such voice"))

    async def synthesize(self, text: str, *, locale: str, voice: str) -> Clip:
        self.said_in_confidence.append(text)
        return await self._clip(text, SynthesisError("no such voice"))

    async def file(self, source: str) -> Clip:
        self.files.append(source)
        return await self._clip(source, AudioFileError("the server answers 404"))

    async def _clip(self, name: str, error: Exception) -> Clip:
        if (event := self.held.get(name)) is not None:
            await event.wait()
        if name in self.broken:
            raise error
        return Clip(name=name, pcmu=b"\xff" * 800, pcma=b"\xd5" * 800)


@dataclass
class FakeOutbox:
    """Writes down what is to be delivered."""

    items: list[dict[str, Any]] = field(default_factory=list)
    is_broken: bool = False

    async def enqueue(self, session: str, url: str, body: bytes, **more: Any) -> None:
        if self.is_broken:
            raise LedgerError("the database is gone")
        parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
        self.items.append({"session": session, "url": url, "parameters": parameters, **more})


class FakeVerb:
    """A verb that a test brings to its end; it may be told to fail."""

    def __init__(
        self,
        command: Any,
        call: CallControl,
        context: ProgramContext,
        base_url: str,
        ended: Callable[[Parameters], None],
    ) -> None:
        self.command = command
        self.base_url = base_url
        self.ended = ended
        self.happened: list[Any] = []
        self.over = asyncio.Event()
        self.ends_at_hang_up = True
        self.fails_at = ""

    def _happens(self, what: str, *more: Any) -> None:
        self.happened.append((what, *more) if more else what)
        if what == self.fails_at:
            raise RuntimeError("a fault of the verb")

    def end(self, *parameters: tuple[str, str]) -> None:
        self.over.set()
        self.ended(parameters)

    def start(self, now: float) -> None:
        self._happens("start")

    def digit(self, code: int, now: float) -> None:
        self._happens("digit", code)

    def digit_ended(self, now: float) -> None:
        self._happens("digit_ended")

    def count_digit(self, source: str) -> None:
        self._happens("count_digit", source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        self._happens("play_finished", token)

    def hang_up(self, now: float) -> None:
        self._happens("hang_up")
        if self.ends_at_hang_up:
            self.end(("Result", "caller-hung-up"))

    def stop(self, now: float) -> None:
        self._happens("stop")
        self.over.set()

    def told(self, delivered: bool) -> None:
        self._happens("told", delivered)

    async def done(self) -> None:
        await self.over.wait()


def context_of(
    web: FakeWeb,
    prompts: FakePrompts,
    outbox: FakeOutbox | None = None,
    *,
    config: Config | None = None,
    verbs: VerbMakers | None = None,
    exchange: Any = None,
    notify: Callable[[EngineEvent], None] = lambda event: None,
) -> ProgramContext:
    """Return what programs share; call it on the loop."""
    config = config or config_of()
    box = cast("Outbox", outbox or FakeOutbox())

    def clock() -> datetime:
        return _NOW

    unused: Any = None
    return ProgramContext(
        config=config,
        exchange=cast("Exchange", exchange),
        web=WebClient(web, clock=clock, key_for={"TWILIO_TOKEN": TOKEN}.__getitem__),
        outbox=box,
        payments=PaymentContext(charging=unused, ledger=unused, notify=notify, now=asyncio.get_running_loop().time),
        prompts=cast("PromptStore", prompts),
        today=lambda: _NOW.date(),
        clock=clock,
        status=CallStatusTeller(box, config.twilio, clock=clock),
        verbs=verbs or {},
    )
