"""Fuzz a call of a SWML application: any documents, and anything that happens, in any order, with the real actions.

Up to the first zero byte stands what happens; behind it, up to the next, the steps of the first document, then those of
the documents, or the faults, that answer later requests. What must hold: nothing is raised; the call ends once; after
its end nothing is played, asked for or answered; and no task is left. There is no gateway: a ``pay`` is refused.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.config import parse
from engine.dialects.swml.commands import Source
from engine.net.http import HttpResponse, NotSent
from engine.net.web_client import WebClient
from engine.program import CallState
from engine.programs.swml.program import SwmlProgram
from tests.support.call_control import FakeCall
from tests.support.exchange import Clocked, FakeExchange, later
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, context_of, settle

__all__ = ("SEEDS", "Case", "one_input")

logging.getLogger("engine").addHandler(logging.NullHandler())  # documents are full of faults here

CONFIG = parse('[connector.sandbox]\ntype = "sandbox"\n[signalwire]\nproject = "P"\n')
APP = "https://app.example/swml"
NEXT = "https://app.example/next"
STATUS = "https://app.example/status"
STEPS: tuple[dict[str, Any], ...] = (
    {"play": {"url": "say:Hello.", "status_url": STATUS}},
    {"play": {"urls": ["silence:1", "ring:us", "https://app.example/a.wav"], "volume": 5}},
    {"prompt": {"play": "say:Key.", "max_digits": 2, "terminators": "#", "status_url": STATUS}},
    {"pay": {"payment_connector_url": "https://gateway.example/", "timeout": "x"}},
    {"record": {"beep": True}},
    {"record_call": {"control_id": "a"}},
    {"stop_record_call": {}},
    {"connect": {"to": "+15550100", "call_state_url": STATUS}},
    {"connect": {"serial": [{"to": "+15550100"}, {"to": "sip:a@pbx.example"}], "answer_on_bridge": True}},
    {"send_digits": {"digits": "1w2"}},
    {"sleep": 700},
    {"request": {"url": NEXT, "method": "POST", "body": "${prompt_value}", "save_variables": True}},
    {"execute": {"dest": NEXT, "on_return": [{"set": {"a": "%{return_value}"}}]}},
    {"transfer": {"dest": NEXT}},
    {"sip_refer": {"to_uri": "sip:b@pbx.example"}},
    {"user_event": {"event": {"a": 1}}},
    {"answer": {"max_duration": 3}},
    {"goto": {"label": "again", "max": 2}},
    {"cond": [{"when": "prompt_value == '4'", "then": [{"hangup": {"reason": "decline"}}]}]},
    {"hangup": {"reason": "busy"}},
    {"broken": {}},
)
FAULTS = (404, 503, NotSent("no connection"))
HAPPENINGS = ("settle", "key", "played", "let go", "start", "leg answers", "leg ends", "time", "hang up")
MAX_HAPPENINGS = 40
MAX_PAGES = 8
MAX_STEPS = 6
SEEDS = (
    b"\x02\x04\x00\x02\x00\x01\x01\x00\0\x00\x02\x0b\0\x13",
    b"\x02\x00\x04\x05\x00\x06\x00\0\x07\x09\0\xff\x00",
    b"\x01\x04\x00\x07\x07\x08\0\x0c\x0d\0\x00\0\xff",
    b"\x02\x08\x04\x00\x05\x02\0\x08\x0e\x04",
)


class Case:
    """What an input means: the way of the call, what is served, and what happens in which order."""

    def __init__(self, data: bytes) -> None:
        head, *pages = data.split(b"\0", 1 + MAX_PAGES)
        self.direction = "out" if head[:1] == b"\x01" else "in"
        self.happenings = [HAPPENINGS[byte % len(HAPPENINGS)] for byte in head[1 : 1 + MAX_HAPPENINGS]]
        self.pages = [_page(page) for page in pages[:MAX_PAGES]] or [_document(())]


def _document(steps: Iterable[int]) -> HttpResponse:
    main = [{"label": "again"}, *(STEPS[byte % len(STEPS)] for byte in steps)]
    body = json.dumps({"sections": {"main": main}}).encode()
    return HttpResponse(status=200, headers=((b"content-type", b"application/json"),), body=body)


def _page(data: bytes) -> Any:
    return FAULTS[len(data) % len(FAULTS)] if data[:1] == b"\xff" else _document(data[:MAX_STEPS])


def one_input(data: bytes) -> None:
    """Run a case; raises whatever should not happen."""
    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(_run(Case(data)))


async def _run(case: Case) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    web = FakeWeb()
    first, *others = case.pages
    web.pages = {APP: first, NEXT: [*others, *[_document((0,))] * 1000]}
    exchange = FakeExchange()
    context = context_of(web, FakePrompts(), FakeOutbox(), config=CONFIG, exchange=exchange)
    context = replace(context, web=WebClient(web, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)))
    call = FakeCall(direction=case.direction)
    program = call.program = SwmlProgram(call, Source(url=APP), context, label="shop")
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
            case "leg ends" if exchange.calls and exchange.calls[-1].state is not CallState.ENDED:
                exchange.end(len(exchange.calls) - 1, "busy")
            case "time":
                await later(1.0)
            case "hang up":
                call.state = CallState.ENDED
                program.hang_up(context.now())
            case _:
                await settle()
    call.state = CallState.ENDED
    program.hang_up(context.now())
    asked_by_then, wanted_by_then = len(web.sent), len(call.asked)
    async with asyncio.timeout(20):
        await program.done()
    await settle()
    assert faults == [], faults
    assert call.times_hung_up + sum(what == "reject" for what, _ in call.asked) <= 1
    assert len(web.sent) == asked_by_then
    assert not {"play", "answer", "hang_up", "reject"} & {what for what, _ in call.asked[wanted_by_then:]}
    for leg in exchange.calls:  # those that were called are calls of their own
        if leg.state is not CallState.ENDED:
            exchange.end(exchange.calls.index(leg), "remote_bye")
    await settle()
    for leg in exchange.calls:
        await leg.program.done()
    assert len(asyncio.all_tasks()) == 1


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
