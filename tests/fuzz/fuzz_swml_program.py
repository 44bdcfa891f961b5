"""Fuzz a call of a SWML application: any documents, and anything that happens, in any order, with the real actions.

What an input means, and what must hold: nothing is raised; the call ends once; after its end nothing is played, asked
for or answered; and no task is left (``tests.support.fuzzed_call``). There is no gateway: a ``pay`` is refused.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.config import parse
from engine.dialects.swml.commands import Source
from engine.net.web_client import WebClient
from engine.programs.swml.program import SwmlProgram
from tests.support.call_control import FakeCall
from tests.support.exchange import Clocked, FakeExchange
from tests.support.fuzzed_call import FuzzedCall, Input, served, written
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, context_of

__all__ = ("SEEDS", "one_input")

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


def _seed(way: bytes, happenings: Sequence[str], *pages: Sequence[int]) -> bytes:
    return written(way, happenings, *pages, parts=len(STEPS))


SEEDS = (
    # A menu, a request by the key, a hang-up of the document.
    _seed(b"\x02", ("settle", "start", "settle", "played", "key", "settle"), (16, 0, 2, 11), (19,)),
    # A payment that is refused, recordings beside a document, an execute that cannot be had.
    _seed(b"\x02", ("settle", "start", "settle", "played", "settle"), (16, 5, 3, 6, 12), (255, 1)),
    # A call out that connects another, transfers, and is hung up while it plays.
    _seed(b"\x01", ("start", "settle", "leg answers", "settle", "leg ends", "hang up"), (7, 13), (1,)),
    # Groups of devices; the caller hangs up while one rings.
    _seed(b"\x02", ("settle", "start", "settle", "time", "hang up"), (16, 8, 10, 17)),
    # Digits that are keyed, a refer, a condition that ends the call.
    _seed(b"\x02", ("settle", "start", "played", "time", "let go"), (16, 9, 14, 2, 18, 20)),
)


def _document(steps: Iterable[int]) -> Any:
    return {"sections": {"main": [{"label": "again"}, *(STEPS[byte % len(STEPS)] for byte in steps)]}}


def one_input(data: bytes) -> None:
    """Run a case; raises whatever should not happen."""
    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(_run(Input(data, _document)))


async def _run(case: Input) -> None:
    web = FakeWeb()
    first, *others = case.pages
    web.pages = {APP: first, NEXT: [*others, *[served(_document((0,)))] * 1000]}
    exchange = FakeExchange()
    context = context_of(web, FakePrompts(), FakeOutbox(), config=CONFIG, exchange=exchange)
    context = replace(context, web=WebClient(web, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)))
    call = FakeCall(direction=case.direction)
    call.program = SwmlProgram(call, Source(url=APP), context, label="shop")
    await FuzzedCall(call, context, web=web, exchange=exchange).live(case.happenings, {})
    assert len(asyncio.all_tasks()) == 1


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
