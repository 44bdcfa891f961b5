"""Fuzz a call of an NCCO application: any NCCOs, and anything that happens, in any order, with the real actions.

What an input means, and what must hold: nothing is raised; the call ends once; after its end nothing is played, asked
for or answered; the calls that are known are those that are not over; and no task is left
(``tests.support.fuzzed_call``). There is no connector: a ``pay`` is an error that is told.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterable, Sequence
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
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.programs.ncco.legs import NccoLegs
from engine.programs.ncco.program import NccoProgram
from tests.support.call_control import FakeCall
from tests.support.exchange import Clocked, FakeExchange
from tests.support.fuzzed_call import HAPPENINGS, FuzzedCall, Input, served, written
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, context_of, settle

__all__ = ("SEEDS", "one_input")

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
KNOWN = (*HAPPENINGS, "leg played", "transfer", "transfer to a URL")


def _seed(way: bytes, happenings: Sequence[str], *pages: Sequence[int]) -> bytes:
    return written(way, happenings, *pages, parts=len(ACTIONS), known=KNOWN)


SEEDS = (
    # A text with barge-in, an input whose answer replaces what is left.
    _seed(b"\x02", ("settle", "start", "settle", "key", "key", "settle", "played"), (1, 3, 0), (0, 13)),
    # A payment that cannot be carried out, a record that is waited for, an answer URL that fails.
    _seed(b"\x02", ("settle", "start", "settle", "key", "settle"), (5, 6, 0), (255, 1)),
    # A call out into a conversation, and out of it by a transfer.
    _seed(b"\x01", ("start", "settle", "transfer", "settle", "hang up"), (8, 9)),
    # A connect with keys and a text for the called side, whose state is asked about.
    _seed(b"\x02", ("settle", "start", "settle", "leg answers", "settle", "leg played", "leg ends"), (11, 0), (2,)),
    # Keys before the NCCO, then another one by URL.
    _seed(b"\x03", ("settle", "start", "settle", "played", "transfer to a URL", "settle", "time"), (10, 12), (14, 7)),
)


def _ncco(actions: Iterable[int]) -> list[dict[str, Any]]:
    return [ACTIONS[byte % len(ACTIONS)] for byte in actions]


def one_input(data: bytes) -> None:
    """Run a case; raises whatever should not happen."""
    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(_run(Input(data, _ncco, KNOWN)))


async def _run(case: Input) -> None:
    web = FakeWeb()
    first, *others = case.pages
    web.pages = {APP: [first] * 1000, NEXT: [*others, *[served(_ncco((0,)))] * 1000]}
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
    dtmf_answer = "1p2" if case.head[:1] == b"\x03" else ""
    program = call.program = NccoProgram(call, source, context, app="shop", dtmf_answer=dtmf_answer)

    def transfer(source: Source) -> None:
        with suppress(ProgramError):
            program.transfer(source)

    more = {
        "transfer": lambda: transfer(Source(text=json.dumps(_ncco((0, 4, 5))).encode())),
        "transfer to a URL": lambda: transfer(Source(answer=EventTarget(url=NEXT))),
    }
    await FuzzedCall(call, context, web=web, exchange=exchange).live(case.happenings, more)
    await legs.close()
    await settle()
    assert len(asyncio.all_tasks()) == 1


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
