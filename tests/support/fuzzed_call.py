"""A call of an application in a fuzz target: what an input means, what happens in which order, what must hold then.

Up to the first zero byte of an input stands what happens; behind it, up to the next, the parts of the first document,
then those of the documents, or the faults, that answer later requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from engine.net.http import HttpResponse, NotSent
from engine.program import CallState
from engine.programs.context import ProgramContext
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later
from tests.support.programs import FakeWeb, settle

__all__ = ("HAPPENINGS", "FuzzedCall", "Input", "served", "written")

HAPPENINGS = ("settle", "key", "played", "let go", "start", "leg answers", "leg ends", "time", "hang up")
"That befall a call of any dialect."
FAULTS = (404, 503, NotSent("no connection"))
MAX_HAPPENINGS = 40
MAX_PAGES = 8
MAX_PARTS = 6
_FAULT = b"\xff"


def served(document: Any) -> HttpResponse:
    """Return the answer with a document."""
    headers = ((b"content-type", b"application/json"),)
    return HttpResponse(status=200, headers=headers, body=json.dumps(document).encode())


def written(
    way: bytes, happenings: Sequence[str], *pages: Sequence[int], parts: int, known: Sequence[str] = HAPPENINGS
) -> bytes:
    """Return the input that means this; ``pages`` by the numbers of their parts, of which there are so many."""

    def some(number: int, of: int) -> int:
        return number or of  # a zero byte parts pages

    head = way + bytes(some(known.index(happening), len(known)) for happening in happenings)
    return b"\0".join((head, *(bytes(some(part, parts) for part in page) for page in pages)))


class Input:
    """What an input means; ``document_of`` makes a document of the bytes that stand for its parts."""

    def __init__(
        self, data: bytes, document_of: Callable[[Iterable[int]], Any], happenings: Sequence[str] = HAPPENINGS
    ) -> None:
        self.head, *pages = data.split(b"\0", 1 + MAX_PAGES)
        self.direction = "out" if self.head[:1] == b"\x01" else "in"
        self.happenings = [happenings[byte % len(happenings)] for byte in self.head[1 : 1 + MAX_HAPPENINGS]]
        self.pages = [
            FAULTS[len(page) % len(FAULTS)] if page[:1] == _FAULT else served(document_of(page[:MAX_PARTS]))
            for page in pages[:MAX_PAGES]
        ] or [served(document_of(()))]


class FuzzedCall:
    """A call and the program that runs on it; notes what asyncio says of faults."""

    def __init__(self, call: FakeCall, context: ProgramContext, *, web: FakeWeb, exchange: FakeExchange) -> None:
        """Take a call with its program."""
        self.call = call
        self._context = context
        self._web = web
        self._exchange = exchange
        self._faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: self._faults.append(fault))
        program = call.program
        call.on_hang_up = lambda: program.hang_up(context.now())

    async def live(self, happenings: Sequence[str], more: Mapping[str, Callable[[], object]]) -> None:
        """Let happen what there is, end the call, and see that it is over; ``more`` is what else may happen."""
        call, program, now = self.call, self.call.program, self._context.now
        if call.facts.direction == "in":
            program.offered(now())
        for happening in [*happenings, "settle"]:
            if happening in more:
                more[happening]()
            else:
                await self._happens(happening)
        call.state = CallState.ENDED
        program.hang_up(now())
        await settle()
        asked_by_then, wanted_by_then = len(self._web.sent), len(call.asked)
        async with asyncio.timeout(20):
            await program.done()
        await settle()
        assert self._faults == [], self._faults
        assert call.times_hung_up + sum(what == "reject" for what, _ in call.asked) <= 1
        assert not {"play", "answer", "hang_up", "reject"} & {what for what, _ in call.asked[wanted_by_then:]}
        for leg in self._exchange.calls:  # those that were called are calls of their own
            if leg.state is not CallState.ENDED:
                self._exchange.end(self._exchange.calls.index(leg), "remote_bye")
        await settle()
        for leg in self._exchange.calls:
            await leg.program.done()
        assert len(self._web.sent) == asked_by_then

    async def _happens(self, happening: str) -> None:
        call, program, exchange, now = self.call, self.call.program, self._exchange, self._context.now()
        leg = exchange.calls[-1] if exchange.calls else None
        match happening:
            case "start" if call.state is CallState.RINGING:
                call.state = CallState.ANSWERED
                program.start(now)
            case "key":
                program.count_digit("in-band")
                program.digit(4, now)
            case "let go":
                program.digit_ended(now)
            case "played":
                program.play_finished(call.tokens[-1] if call.tokens else 1, False, now)
            case "leg answers" if leg is not None and leg.state is CallState.QUEUED:
                exchange.answer(len(exchange.calls) - 1)
            case "leg played" if leg is not None and leg.tokens:
                leg.program.play_finished(leg.tokens[-1], False, now)
            case "leg ends" if leg is not None and leg.state is not CallState.ENDED:
                exchange.end(len(exchange.calls) - 1, "busy")
            case "time":
                await later(1.0)
            case "hang up":
                call.state = CallState.ENDED
                program.hang_up(now)
            case _:
                await settle()
