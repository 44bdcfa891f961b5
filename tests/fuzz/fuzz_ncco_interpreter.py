"""Fuzz NCCOs that run on a call: any actions, any text, and anything that happens, in any order.

The first byte says what kind of call it is. Up to the first zero byte each byte is something that happens; behind it,
up to the next ones, stand the NCCOs: the first one, and what later requests are answered with. One is a text when its
first byte is ``{``, ``[`` or a letter; otherwise the bytes behind that choose actions. What must hold: nothing is
raised; tokens are new, one is open at most, and what was stopped, answered or never begun changes nothing; what needs
an answered call has one, and the call is answered once; nothing repeats a value; `Finished` comes once and last, and
comes when whatever is open has been answered often enough or the call has ended.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.ncco.actions import EventTarget, Input
from engine.dialects.ncco.commands import (
    AnswerCall,
    Begin,
    BeginRecording,
    Command,
    FetchNcco,
    Finished,
    Outcome,
    Source,
    Stop,
    TellError,
    Wait,
    Warn,
)
from engine.dialects.ncco.interpreter import Interpreter, State

__all__ = ("SEEDS", "Case", "ncco_of", "one_input")

URL = "https://app.example.com/a/b?c=d"
ANSWER = EventTarget(url=URL, method="GET")
FALLBACK = EventTarget(url="https://fallback.example.com/")
PLANTED = "8642097531"
MAX_HAPPENINGS = 120
MAX_PAGES = 5
MAX_CHOSEN = 12
OUTCOMES: tuple[Outcome, ...] = (
    {},
    {"digits": PLANTED, "timed_out": False},
    {"digits": "", "timed_out": True},
    {"status": "busy"},
    {"status": PLANTED},
    {"status": "timeout", "digits": PLANTED},
)
NUMBER = {"type": "phone", "number": "15551234567"}
SEEDS = (
    b"\x00\x10\x20\x21\x22\x23\0\x81\x01\x01\x03\x01\x04\x05",
    b"\x04\x20\x21\x22\x23\0\x81\x00\x01\x00\x03\x02\x04\0\x82\x05\x06\x07",
    b"\x0c\x20\x21\x40\x41\x20\x20\0\x81\x04\x02\x05\x01\x06\x03\x07\0[]\0\x81\x02\x01",
    b'\x04\x10\x20\x21\0[{"action":"talk","text":"hi","bargeIn":true},{"action":"input"}]\0[{"action":"pay","amount":1}]',
    b'\x04\x20\x20\x20\x20\0[{"action":"notify","payload":{},"eventUrl":"/n"}]\0[{"action":"dance"}]\0{}',
    b"\x06\x10\x20\x60\0\x81\x04\x05\x06",
    b"\x0c\x40\x10\x20\x2c\x30\0\x81\x09\x03\x01\0not a list",
)


class _Choices:
    """Bytes that choose; zeros when they are at an end."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def of(self, choices: tuple[Any, ...]) -> Any:
        return choices[next(self._data, 0) % len(choices)]

    def number(self, n: int) -> int:
        return next(self._data, 0) % n


def ncco_of(data: bytes) -> list[dict[str, Any]]:
    """Return the NCCO that bytes choose."""
    choices = _Choices(data[1:])
    return [choices.of(_ACTIONS)(choices) for _ in range(1 + choices.number(MAX_CHOSEN))]


_ACTIONS: tuple[Callable[[_Choices], dict[str, Any]], ...] = (
    lambda c: {"action": "talk", "text": "Hi", "bargeIn": bool(c.number(2)), "loop": c.number(3)},
    lambda c: {"action": "stream", "streamUrl": ["a.wav"], "bargeIn": c.of(("false", True))},
    lambda c: {"action": "input", "type": c.of((["dtmf"], ["dtmf", "speech"])), "eventUrl": c.of(([], ["/e"]))},
    lambda c: {"action": "notify", "payload": {"a": PLANTED}, "eventUrl": ["/n"], "eventMethod": c.of(("GET", "POST"))},
    lambda c: {"action": "connect", "endpoint": [NUMBER], **c.of(({}, {"eventType": "synchronous"}))},
    lambda c: {"action": "wait", "timeout": c.number(20)},
    lambda c: {"action": "record", "format": c.of(("wav", "mp3"))},
    lambda c: {"action": "conversation", "name": "room", "endOnExit": bool(c.number(2))},
    lambda c: {"action": "pay", "amount": c.of((1, "9.99", 0.5))},
    lambda c: {"action": c.of(("talk", "dance", PLANTED))},
)


def _body_of(page: bytes) -> bytes:
    return page if page[:1].isalpha() or page[:1] in (b"{", b"[") else json.dumps(ncco_of(page)).encode()


class Case:
    """One call with its application."""

    def __init__(self, kind: int, pages: list[bytes]) -> None:
        bodies = [_body_of(page) for page in pages] or [b"[]"]
        self.bodies: Iterator[bytes] = iter(bodies * 40)
        self.fallback = FALLBACK if kind & 2 else None
        self.interpreter = Interpreter(self.source(is_text=bool(kind & 4)), max_bytes=65_536)
        self.up = bool(kind & 8)
        self.now = 0.0
        if self.up:
            self.interpreter.answered(self.now)
        self.open: Command | None = None
        "What waits for an answer."
        self.seen = self.n_answers = 0
        self.finished = self.hung_up = self.replaced = False

    def source(self, *, is_text: bool) -> Source:
        """Return where an NCCO is."""
        if is_text:
            return Source(text=next(self.bodies, b""), fallback=self.fallback)
        return Source(answer=ANSWER, fallback=self.fallback)

    def took(self) -> list[Command]:
        """Take the commands that are due, and look at each."""
        commands: list[Command] = []
        while (command := self.interpreter.next_command()) is not None:
            assert not self.finished, "a command after Finished"
            commands.append(command)
            self._look_at(command)
        assert len(commands) <= 2 * MAX_CHOSEN + 400
        assert self.interpreter.is_over == self.finished
        if not self.finished and self.interpreter.state is not State.IDLE:
            # Whatever is not over waits for something.
            assert self.open is not None or self.interpreter.state is State.ANSWERING
        return commands

    def _look_at(self, command: Command) -> None:
        if self.hung_up:
            assert isinstance(command, Stop | Finished)
        assert PLANTED not in repr(command)
        match command:
            case Finished():
                self.finished = True
                assert self.open is None or isinstance(self.open, Begin)
                self.open = None
            case Stop():
                assert self.open is not None, "stopped what did not run"
                assert self.replaced or not isinstance(self.open, Begin)
                assert command.token == self.seen
                self.open = None
            case AnswerCall():
                self.n_answers += 1
                assert self.n_answers == 1
                assert not self.up
            case TellError():
                assert len(command.reason) < 400
            case Warn():
                assert len(command.where) + len(command.reason) < 400
            case BeginRecording():
                assert self.up
            case FetchNcco() | Begin() | Wait():
                assert command.token > self.seen, "a token came twice"
                assert self.open is None, "two at once"
                self.seen, self.open = command.token, command
                self._look_at_begun(command)

    def _look_at_begun(self, command: FetchNcco | Begin | Wait) -> None:
        match command:
            case FetchNcco():
                json.dumps(dict(command.members), allow_nan=False)
                assert command.fallback is self.fallback
                assert (command.asking == "answer") <= (command.target is not None)
            case Begin():
                assert self.up
                assert isinstance(command.work, Input) or not command.heard_first
            case Wait():
                assert self.up
                assert command.seconds > 0

    def happen(self, what: int) -> None:
        """Let something happen: the upper half says what, the lower one the variant."""
        kind, variant = what >> 4, what & 15
        self.now += (0.0, 0.02, 0.5, 3.0)[variant & 3]
        match kind:
            case 0:
                self.interpreter.start(self.now)
            case 1:
                self.up = True
                self.interpreter.answered(self.now)
            case 3:
                self._answer_wrong(variant)
            case 4:
                self.replaced = True
                self.interpreter.replace(self.source(is_text=bool(variant & 1)), self.now)
            case 6 if variant < 4:
                self._hang_up()
            case _:
                self._answer(variant)
        self.took()
        self.replaced = False

    def _hang_up(self) -> None:
        self.hung_up = True
        self.interpreter.hang_up(self.now)

    def _answer(self, variant: int) -> None:
        """Answer what is open."""
        command, self.open = self.open, None
        match command:
            case FetchNcco() if variant & 12 == 12:
                self.interpreter.fetch_failed(command.token, "it answers 503" * 100, self.now)
            case FetchNcco():
                self.interpreter.fetched(command.token, next(self.bodies, b""), URL, self.now)
            case Begin() | Wait():
                self.interpreter.ended(command.token, OUTCOMES[variant % len(OUTCOMES)], self.now)

    def _answer_wrong(self, variant: int) -> None:
        """Answer what was never asked, was stopped, or in the wrong way; nothing may come of it."""
        self.took()
        wrong = [self.seen + 1, -variant, 0]
        if self.open is None and self.seen:
            wrong.append(self.seen)
        token = 0 if self.open is None else self.seen
        for other in (*wrong, *([token] if not isinstance(self.open, FetchNcco) else [])):
            self.interpreter.fetched(other, b"[]", "", self.now)
            self.interpreter.fetch_failed(other, "", self.now)
        for other in (*wrong, *([token] if isinstance(self.open, FetchNcco) else [])):
            self.interpreter.ended(other, OUTCOMES[1], self.now)
        assert self.took() == []


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""
    happens, *pages = data[1:].split(b"\0")
    case = Case(data[0] if data else 0, [page for page in pages if page][:MAX_PAGES])
    case.took()
    case.interpreter.start(case.now)
    case.took()
    for what in happens[:MAX_HAPPENINGS]:
        case.happen(what)
    if len(happens) % 2:
        # An application that goes on as before comes to the end of its pages, and by empty answers to the NCCO's.
        case.up = True
        case.interpreter.answered(case.now)
        case.took()
        for _ in range(40 * MAX_PAGES * 220):
            if case.finished:
                break
            case.now += 1.0
            case.happen(0x20)
    case._hang_up()
    case.took()
    assert case.finished
    case._answer_wrong(1)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
