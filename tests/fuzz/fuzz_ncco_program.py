"""Fuzz a call of an NCCO application: any NCCOs, and anything that happens, in any order, with the real actions.

Up to the first zero byte stands what happens; behind it, up to the next, the actions of the first NCCO, then those of
the NCCOs, or the faults, that answer later requests. What must hold: nothing is raised; the call ends once; after its
end nothing is played, asked for or answered; the calls that are known are those that are not over; and no task is
left. There is no connector: a ``pay`` is an error that is told.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.config import parse
from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.commands import Source
from engine.errors import ProgramError
from engine.net.http import HttpResponse, NotSent
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.program import CallState
from engine.programs.ncco.legs import NccoLegs
from engine.programs.ncco.program import NccoProgram
from tests.support.call_control import FakeCall
from tests.support.exchange import Clocked, FakeExchange, later
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, context_of, settle

__all__ = ("SEEDS", "Case", "one_input")

logging.getLogger("engine").addHandler(logging.NullHandler())  # NCCOs are full of faults here

APP = "https://app.example/answer"
NEXT = "https://app.example/next"
CONFIG = parse(f"""
[connector.sandbox]
type = "sandbox"
[app.shop]
dialect = "ncco"
answer_url = "{APP}"
event_url = "https://app.example/events"
fallback_url = "{NEXT}"
""")
NUMBER = {"type": "phone", "number": "15550100"}
ACTIONS: tuple[dict[str, Any], ...] = (
    {"action": "talk", "text": "Hello."},
    {"action": "talk", "text": "Key.", "bargeIn": True, "level": 0.5, "loop": 0},
    {"action": "stream", "streamUrl": ["a.wav"], "bargeIn": True},
    {"action": "input", "type": ["dtmf"], "dtmf": {"maxDigits": 2, "submitOnHash": True}, "eventUrl": [NEXT]},
    {"action": "input", "type": ["dtmf"]},
    {"action": "pay", "amount": 10},
    {"action": "record", "beepStart": True, "endOnKey": "*"},
    {"action": "record"},
    {"action": "conversation", "name": "room", "musicOnHoldUrl": ["music.wav"]},
    {"action": "conversation", "name": "room", "startOnEnter": False, "endOnExit": True, "mute": True},
    {"action": "connect", "endpoint": [NUMBER], "timeout": 5},
    {
        "action": "connect",
        "endpoint": [{**NUMBER, "dtmfAnswer": "1p2", "onAnswer": {"url": NEXT}}],
        "eventType": "synchronous",
        "eventUrl": [NEXT],
    },
    {"action": "notify", "payload": {"a": 1}, "eventUrl": [NEXT]},
    {"action": "wait", "timeout": 2},
    {"action": "dance"},
)
FAULTS = (404, 503, NotSent("no connection"))
HAPPENINGS = (
    "settle",
    "key",
    "played",
    "let go",
    "start",
    "leg answers",
    "leg played",
    "leg ends",
    "time",
    "transfer",
    "transfer to a URL",
    "hang up",
)
MAX_HAPPENINGS = 40
MAX_PAGES = 8
MAX_ACTIONS = 6
SEEDS = (
    b"\x02\x04\x00\x02\x00\x01\x01\x00\0\x00\x02\x03\0\x13",
    b"\x02\x00\x04\x00\x01\x01\x00\x02\0\x01\x03\x00\0\x07\x09\0\xff\x00",
    b"\x01\x04\x00\x05\x00\x06\x07\x08\0\x0a\x0b\0\x00\0\xff",
    b"\x02\x00\x04\x00\x08\x09\x02\x0a\x00\x07\0\x08\x0e\x04\0\x06\x07",
    b"\x02\x00\x04\x00\x05\x06\x06\x05\x07\0\x0b\x0c\x05\0\x03",
)


class Case:
    """What an input means: the way of the call, what is served, and what happens in which order."""

    def __init__(self, data: bytes) -> None:
        head, *pages = data.split(b"\0", 1 + MAX_PAGES)
        self.direction = "out" if head[:1] == b"\x01" else "in"
        self.dtmf_answer = "1p2" if head[:1] == b"\x03" else ""
        self.happenings = [HAPPENINGS[byte % len(HAPPENINGS)] for byte in head[1 : 1 + MAX_HAPPENINGS]]
        self.pages = [_page(page) for page in pages[:MAX_PAGES]] or [_answer(())]


def _ncco(actions: Iterable[int]) -> bytes:
    return json.dumps([ACTIONS[byte % len(ACTIONS)] for byte in actions]).encode()


def _answer(actions: Iterable[int]) -> HttpResponse:
    return HttpResponse(status=200, headers=((b"content-type", b"application/json"),), body=_ncco(actions))


def _page(data: bytes) -> Any:
    return FAULTS[len(data) % len(FAULTS)] if data[:1] == b"\xff" else _answer(data[:MAX_ACTIONS])


def one_input(data: bytes) -> None:
    """Run a case; raises whatever should not happen."""
    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(_run(Case(data)))


async def _run(case: Case) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    web = FakeWeb()
    first, *others = case.pages
    web.pages = {APP: [first] * 1000, NEXT: [*others, *[_answer((0,))] * 1000]}
    exchange = FakeExchange()
    outbox = FakeOutbox()
    context = context_of(web, FakePrompts(), outbox, config=CONFIG, exchange=exchange)
    legs = NccoLegs(cast("Outbox", outbox), CONFIG, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    nothing: Any = SimpleNamespace(connectors={})
    context = replace(
        context,
        web=WebClient(web, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)),
        ncco=legs,
        payments=replace(context.payments, charging=nothing),
    )
    call = FakeCall(direction=case.direction)
    source = Source(answer=EventTarget(url=APP, method="GET"), fallback=EventTarget(url=NEXT))
    program = call.program = NccoProgram(call, source, context, app="shop", dtmf_answer=case.dtmf_answer)
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
                program.count_digit("in-band")
                program.digit(4, context.now())
            case "let go":
                program.digit_ended(context.now())
            case "played":
                program.play_finished(call.tokens[-1] if call.tokens else 1, False, context.now())
            case "leg answers" if exchange.calls and exchange.calls[-1].state is CallState.QUEUED:
                exchange.answer(len(exchange.calls) - 1)
            case "leg played" if exchange.calls and exchange.calls[-1].tokens:
                exchange.calls[-1].program.play_finished(exchange.calls[-1].tokens[-1], False, context.now())
            case "leg ends" if exchange.calls and exchange.calls[-1].state is not CallState.ENDED:
                exchange.end(len(exchange.calls) - 1, "busy")
            case "time":
                await later(1.0)
            case "transfer":
                with suppress(ProgramError):
                    program.transfer(Source(text=_ncco((0, 4, 5))))
            case "transfer to a URL":
                with suppress(ProgramError):
                    program.transfer(Source(answer=EventTarget(url=NEXT)))
            case "hang up":
                call.state = CallState.ENDED
                program.hang_up(context.now())
            case _:
                await settle()
    call.state = CallState.ENDED
    program.hang_up(context.now())
    await settle()
    asked_by_then, wanted_by_then = len(web.sent), len(call.asked)
    async with asyncio.timeout(20):
        await program.done()
    await settle()
    assert faults == [], faults
    assert call.times_hung_up + sum(what == "reject" for what, _ in call.asked) <= 1
    assert not {"play", "answer", "hang_up", "reject"} & {what for what, _ in call.asked[wanted_by_then:]}
    for leg in exchange.calls:  # those that were called are calls of their own
        if leg.state is not CallState.ENDED:
            exchange.end(exchange.calls.index(leg), "remote_bye")
    await settle()
    for leg in exchange.calls:
        await leg.program.done()
    await legs.close()
    await settle()
    assert len(web.sent) == asked_by_then
    assert len(asyncio.all_tasks()) == 1


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
