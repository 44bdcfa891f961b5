"""What a caller hears who waits, in a queue or for a room to open: music, silence, or a document of the application."""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine.dialects.twiml.commands import Parameters
from engine.dialects.twiml.verbs import Method
from engine.dialects.urls import resolved
from engine.log import fields
from engine.payment_run import TOKENS
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.document_run import DocumentRun
from engine.programs.side_document import wait_on
from engine.programs.tones import hold_music
from engine.programs.weak import weakly

__all__ = ("Waiting",)

log = logging.getLogger("engine.programs.waiting")


class Waiting:
    """Runs from `start` to `stop`. ``left`` is called, once, where the document wants the wait to end."""

    def __init__(
        self,
        call: CallControl,
        context: ProgramContext,
        *,
        url: str | None,
        method: Method,
        base_url: str,
        left: Callable[[], None],
        parameters: Callable[[], Parameters] = tuple,
    ) -> None:
        """``url`` of None is music, an empty one silence. ``parameters`` go with each request of the document.

        Neither ``left`` nor ``parameters`` may hold this.
        """
        self._call = call
        self._stopped: list[DocumentRun] = []
        "Documents that are over and still waited for."
        self._left: Callable[[], None] | None = left
        self._music = url is None
        self._token = 0
        "Of the music; 0: none plays."
        self._document: DocumentRun | None = None
        absolute = resolved(base_url, url) if url else ""
        if url and not absolute:
            log.warning("waitUrl is no URL that can be fetched: there is music", extra=fields(call=call.facts.call_id))
            self._music = True
        elif absolute:
            self._document = wait_on(context, absolute, method, base_url, call, weakly(self._over), parameters)

    def start(self, now: float) -> None:
        """Begin."""
        if self._document is not None:
            self._document.begin(now)
            self._document.answered(now)
        elif self._music:
            self._play()

    def stop(self, now: float) -> None:
        """Be silent; safe to call twice."""
        self._left = None
        document, self._document = self._document, None
        if document is not None:
            document.stop(now)
            self._stopped.append(document)
        if self._token:
            self._token = 0
            self._call.stop_playing()

    def digit(self, code: int, now: float) -> None:
        """Take a key: the document may ask for one."""
        if self._document is not None:
            self._document.digit(code, now)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over: where something else plays now, that is not ours to stop."""
        if token == self._token:
            self._token = 0
        if self._document is not None:
            self._document.play_finished(token, by_digit, now)

    async def done(self) -> None:
        """Wait until nothing is rendered or asked for any more."""
        for document in (*self._stopped, *filter(None, (self._document,))):
            await document.done()

    def _over(self, reason: str) -> None:
        """The document is over: left, or it cannot be run, and then there is music."""
        left, document = self._left, self._document
        self._document = None
        if document is not None:
            self._stopped.append(document)
        if left is None:
            return
        if reason == "hangup":
            self._call.hang_up("")
        elif reason == "leave":
            self._left = None
            left()
        else:
            self._play()

    def _play(self) -> None:
        # Whoever pays meanwhile hears the payment's prompts.
        if self._call.state is not CallState.ENDED and not self._call.guard.busy:
            self._token = next(TOKENS)
            self._call.play((hold_music(),), self._token, interruptible=False, loop=True)
