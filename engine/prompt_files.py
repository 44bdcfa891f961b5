"""The engine's prompts: the store as the configuration wants it, files from the web for it, and rendering at start.

``prompts`` has no network, no log and no configuration; this file gives it all three.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

from engine.config import Config
from engine.log import fields
from engine.net.egress import Egress
from engine.net.http import HttpError, HttpResponse
from engine.net.http_pool import HttpPool
from engine.net.tls import client_context
from prompts.errors import AudioFileError, PromptError
from prompts.remote import FetchedFile, shown_url
from prompts.store import PromptStore
from prompts.synth.factory import maker

__all__ = ("Get", "PromptFetcher", "open_prompts", "prepare_locales", "worker_count")

log = logging.getLogger("engine.prompts")

MAX_WORKERS = 4
"Processes that speak and decode, of some 110 MB each, a third of it shared; a sentence takes one of them 0.03 s."
PROGRESS_S = 2.0
MAX_REDIRECTS = 3


class Get(Protocol):
    """What sends a GET: ``engine.net.http_pool.HttpPool.request``, behind the rules of where requests may go."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        max_response: int,
        allow_insecure: bool,
        redirects: bool,
    ) -> Awaitable[HttpResponse]:
        """Return the answer, a redirect too; raise ``ValueError`` or ``HttpError``."""


class PromptFetcher:
    """Fetches audio files for ``prompts.remote``.

    Redirects are followed `MAX_REDIRECTS` times, each by the same rules as the first address, within one limit of time,
    and never from https to http.
    """

    def __init__(self, get: Get, *, allow_insecure: bool = True) -> None:
        """``allow_insecure`` admits http: what is fetched is played to a caller and is no secret."""
        self._get = get
        self._allow_insecure = allow_insecure

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        """Send one GET and return its answer; raise ``AudioFileError`` (see ``prompts.remote.Fetch``)."""
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._followed(url, headers=headers, timeout_s=timeout_s, max_bytes=max_bytes)
        except TimeoutError:
            raise AudioFileError(f"{shown_url(url)}: no answer within {timeout_s:g} s") from None
        except (HttpError, ValueError) as error:
            raise AudioFileError(f"{shown_url(url)}: {error}") from None
        found: dict[str, str] = {}
        for name, value in answer.headers:
            text = value.decode("latin-1")
            key = name.decode("latin-1").lower()
            # RFC 9110 §5.3: a list may come in several lines.
            found[key] = f"{found[key]}, {text}" if key == "cache-control" and key in found else text
        return FetchedFile(status=answer.status, headers=found, body=answer.body)

    async def _followed(
        self, url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int
    ) -> HttpResponse:
        target = url
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._get(
                "GET",
                target,
                headers=headers,
                timeout_s=timeout_s,
                max_response=max_bytes,
                allow_insecure=self._allow_insecure and not (target != url and _is_https(url)),
                redirects=True,
            )
            # RFC 9110 §15.4: 300 is a choice for people, 304 is no redirect, 305 and 306 are not used any more.
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            location = answer.header("location")
            if not location:
                raise ValueError("the server redirects to nowhere")
            target = urljoin(target, location)
        raise ValueError(f"the server redirects more than {MAX_REDIRECTS} times")


def _is_https(url: str) -> bool:
    return url[:8].lower() == "https://"


def worker_count() -> int:
    """Return how many processes speak where the configuration leaves it open: one a core, `MAX_WORKERS` at most."""
    return max(1, min(MAX_WORKERS, os.cpu_count() or 1))


def open_prompts(config: Config, *, cache: Path | None = None) -> PromptStore:
    """Return the store of a configuration; raise ``CatalogError``. ``cache`` stands in for the configured directory.

    Files from the web come from where webhooks may go (``webhooks.allow``, ``webhooks.ca``).
    """
    settings = config.prompts
    tls = client_context(config.webhooks.ca) if config.webhooks.ca else None
    pool = HttpPool(Egress(config.webhooks.allow), tls=tls)
    return PromptStore.open(
        cache or settings.cache,
        overlay=settings.overlay,
        workers=settings.workers or worker_count(),
        timeout_s=settings.timeout_s,
        synthesizer=maker(
            settings.synthesizer,
            piper_voices=settings.piper_voices,
            piper_threads=settings.piper.threads,
            warn=log.warning,
        ),
        fetch=PromptFetcher(pool.request),
        warn=log.warning,
        # The shipped audio is espeak-ng's voice, which would change from sentence to sentence beside another one's.
        with_shipped=settings.synthesizer == "espeak-ng",
        closing=pool.close,
    )


async def prepare_locales(store: PromptStore, locales: Iterable[str]) -> None:
    """Start the workers and render what is missing of these locales, all together, with its progress in the log.

    A locale that cannot be rendered is left to whoever asks for it, who can say what it was wanted for.
    """
    wanted = sorted({store.catalog.resolve(locale).texts.locale for locale in locales})
    total = sum(len(store.missing(locale)) for locale in wanted)
    loop = asyncio.get_running_loop()
    began = said = loop.time()
    done = 0

    def progress() -> None:
        nonlocal done, said
        done += 1
        if loop.time() - said >= PROGRESS_S:
            said = loop.time()
            log.info("rendering prompts", extra=fields(done=done, of=total))

    try:
        await store.start()
    except PromptError as error:
        log.warning("the speech workers do not start: %s", error)
        return
    found = await asyncio.gather(
        *(store.prepare(locale, progress=progress) for locale in wanted), return_exceptions=True
    )
    for locale, result in zip(wanted, found, strict=True):
        if isinstance(result, BaseException):
            if not isinstance(result, PromptError):
                raise result
            log.warning("prompts were not rendered: %s", result, extra=fields(locale=locale))
    if total:
        log.info(
            "prompts are ready",
            extra=fields(locales=",".join(wanted), done=done, of=total, seconds=round(loop.time() - began, 2)),
        )
