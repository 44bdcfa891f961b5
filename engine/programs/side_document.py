"""Documents beside the one of a call: what a called side hears first, what who waits hears, and what leads a leg away.

They are ``document_run.DocumentRun``s on an interpreter that says, plays, gathers and redirects. None answers or ends
its call: whoever made it decides what its end means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.dialects.twiml.commands import Command, Fetch, Parameters, Source
from engine.dialects.twiml.interpreter import Interpreter
from engine.dialects.twiml.verbs import Method
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.document_run import DocumentRun

if TYPE_CHECKING:
    from engine.programs.twiml import TwimlProgram

__all__ = ("program_on", "wait_on", "whisper_on")


def program_on(context: ProgramContext, call: CallControl, source: Source) -> TwimlProgram:
    """Return a program that leads a call by a document from now on; its progress is told as before."""
    from engine.programs.twiml import TwimlProgram  # whose verbs import this

    return TwimlProgram(call, source, context, label="twiml", status=context.status.plan(call.facts.call_id))


def whisper_on(
    context: ProgramContext, url: str, method: Method, base_url: str, call: CallControl, heard: Callable[[bool], None]
) -> DocumentRun:
    """Return what says a document to a called side; ``heard`` takes whether it is to be connected.

    It is not where the document hangs up, or cannot be run: who answers there may not be who was meant. ``heard`` must
    not hold the run.
    """
    interpreter = Interpreter(
        Source(url=url, method=method),
        is_inbound=False,
        whisper=True,
        max_document=context.config.twilio.max_document_kb * 1024,
    )
    return DocumentRun(
        interpreter,
        call,
        context,
        lambda reason: heard(reason == ""),
        allow_insecure=_takes_http(context, base_url),
    )


def wait_on(
    context: ProgramContext,
    url: str,
    method: Method,
    base_url: str,
    call: CallControl,
    over: Callable[[str], None],
    parameters: Callable[[], Parameters],
) -> DocumentRun:
    """Return what says a document to who waits, again and again; ``over`` takes why it ended.

    ``parameters`` go with each of its requests, beyond the standard ones. Neither must hold the run.
    """
    interpreter = _Waiting(
        Source(url=url, method=method),
        parameters,
        max_document=context.config.twilio.max_document_kb * 1024,
    )
    return DocumentRun(interpreter, call, context, over, allow_insecure=_takes_http(context, base_url))


def _takes_http(context: ProgramContext, base_url: str) -> bool:
    """Whether a document that a document names may come by http: where that one did, or the operator allows it."""
    return context.config.twilio.allow_insecure_callbacks or base_url.startswith("http:")


class _Waiting(Interpreter):
    """An interpreter of a document that is heard by who waits, with parameters of the queue in each request."""

    def __init__(self, source: Source, parameters: Callable[[], Parameters], *, max_document: int) -> None:
        super().__init__(source, is_inbound=False, waiting=True, max_document=max_document)
        self._of_the_queue = parameters

    def next_command(self) -> Command | None:
        """Return the next thing to do."""
        command = super().next_command()
        if isinstance(command, Fetch):
            return replace(command, parameters=(*self._of_the_queue(), *command.parameters))
        return command
