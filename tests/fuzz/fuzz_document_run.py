"""Fuzz a call of an application: any documents, and anything that happens, in any order.

Up to the first zero byte stands what happens; behind it, up to the next, the verbs of the first document, then those of
the documents, or the faults, that answer later requests. What must hold: nothing is raised; the call ends once; every
outcome of a verb is told once, but of one that was stopped; after the hang-up nothing is requested but actions; and no
task is left.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.twiml.commands import DialOut, Queue, Source, StartPay, StartRecord
from engine.errors import ProgramError
from engine.net.http import NotSent
from engine.program import CallState
from engine.programs.twiml import TwimlProgram
from tests.support.call_control import FakeCall
from tests.support.programs import FakePrompts, FakeVerb, FakeWeb, context_of, settle

__all__ = ("SEEDS", "Case", "one_input")

logging.getLogger("engine.programs").addHandler(logging.NullHandler())  # documents are full of faults here

APP = "https://app.example/voice"
VERBS = (
    "<Say>Hello.</Say>",
    "<Play>a.wav</Play>",
    '<Play digits="1w2"/>',
    "<Pause/>",
    '<Gather numDigits="2"><Say>Key two.</Say></Gather>',
    '<Pay action="/next"/>',
    '<Record action="/next"/>',
    '<Dial action="/next"><Number>+15550003</Number></Dial>',
    '<Enqueue action="/next">line</Enqueue>',
    "<Redirect>/next</Redirect>",
    "<Hangup/>",
    "<Reject/>",
    "<Broken",
)
REDIRECTED = '<Response><Pay action="https://app.example/next"/><Say>Instead.</Say></Response>'
FAULTS = (404, 503, NotSent("no connection"))
HAPPENINGS = ("settle", "key", "played", "end", "start", "redirect", "let go", "hang up")
MAX_HAPPENINGS = 40
MAX_PAGES = 8
MAX_VERBS = 6
SEEDS = (
    b"\x02\x04\x08\x02\x08\x02\x08\x01\x01\x08\0\x00\x04\0\x00\x0a",
    b"\x02\x08\x04\x08\x01\x03\x08\x02\x08\0\x05\x00\0\xff\x00",
    b"\x01\x04\x08\x03\x05\x08\x03\x08\x07\0\x06\0\x07\0\x08\0\xff",
    b"\x02\x08\x04\x08\x07\x03\x08\0\x05",
)


class Call(FakeCall):
    """A call whose verbs and time belong to the test."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self.verbs: list[FakeVerb] = []

    def make(self, *arguments: Any) -> FakeVerb:
        self.verbs.append(FakeVerb(*arguments))
        return self.verbs[-1]


class Case:
    """What an input means: the way of the call, what is served, and what happens in which order."""

    def __init__(self, data: bytes) -> None:
        head, *pages = data.split(b"\0", 1 + MAX_PAGES)
        self.direction = "out" if head[:1] == b"\x01" else "in"
        self.happenings = [HAPPENINGS[byte % len(HAPPENINGS)] for byte in head[1 : 1 + MAX_HAPPENINGS]]
        first, *self.answers = [_page(page) for page in pages[:MAX_PAGES]] or [_document(())]
        self.first = first if isinstance(first, str) else _document(())


def _document(verbs: Iterable[int]) -> str:
    return f"<Response>{''.join(VERBS[byte % len(VERBS)] for byte in verbs)}</Response>"


def _page(data: bytes) -> Any:
    if data[:1] == b"\xff":
        return FAULTS[len(data) % len(FAULTS)]
    return _document(data[:MAX_VERBS])


def one_input(data: bytes) -> None:
    """Run a case; raises whatever should not happen."""
    asyncio.run(_run(Case(data)))


async def _run(case: Case) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    web = FakeWeb()
    web.pages = {
        APP: case.first,
        "https://app.example/next": [*case.answers, *[f"<Response>{VERBS[0]}</Response>"] * 100],
    }
    call = Call(direction=case.direction)
    makers = dict.fromkeys((StartPay, StartRecord, DialOut, Queue), call.make)
    context = context_of(web, FakePrompts(), verbs=makers)
    program = call.program = TwimlProgram(call, Source(url=APP), context, label="shop")
    call.on_hang_up = lambda: program.hang_up(context.now())
    started = False
    if case.direction == "in":
        program.offered(context.now())
    for happening in [*case.happenings, "settle"]:
        match happening:
            case "start" if not started and call.state is CallState.RINGING:
                started, call.state = True, CallState.ANSWERED
                program.start(context.now())
            case "key":
                program.digit(4, context.now())
            case "let go":
                program.digit_ended(context.now())
            case "played":
                program.play_finished(call.tokens[-1] if call.tokens else 1, False, context.now())
            case "end" if call.verbs and not call.verbs[-1].over.is_set():
                call.verbs[-1].end(("Result", "success"))
            case "redirect":
                try:
                    program.redirect(Source(text=REDIRECTED))
                except ProgramError:
                    assert call.state is CallState.ENDED
            case "hang up":
                call.state = CallState.ENDED
                program.hang_up(context.now())
            case _:
                await settle()
    asked_by_then = len(web.sent)
    call.state = CallState.ENDED
    program.hang_up(context.now())
    async with asyncio.timeout(20):
        await program.done()
    assert faults == []
    assert call.times_hung_up <= 1
    for verb in call.verbs:
        told = [one for one in verb.happened if isinstance(one, tuple) and one[0] == "told"]
        assert len(told) == (0 if "stop" in verb.happened else 1)
        assert verb.happened[0] == "start"
        assert verb.happened.count("start") == 1
    # After the hang-up nothing is asked for but the action of what ended by it.
    assert all("Result" in sent.parameters for sent in web.sent[asked_by_then:])
    assert len(asyncio.all_tasks()) == 1


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
