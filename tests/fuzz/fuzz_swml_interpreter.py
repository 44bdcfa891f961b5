"""Fuzz SWML documents that run on a call: any steps, any text, and anything that happens, in any order.

The first byte says what kind of call it is. Up to the first zero byte each byte is something that happens; behind it,
up to the next ones, stand the documents: the first one, and what later requests are answered with. A document is a text
when its first byte is ``{``, ``[`` or a letter; otherwise the bytes behind that choose steps, and it is served as JSON
or, which must make no difference, as YAML. What must hold: nothing is raised; tokens are new, one is open at most, and
what was stopped, answered or never begun changes nothing; what needs an answered call has one; no warning repeats a
value; turns are short and bounded; `Finished` comes once and last, and comes when whatever is open has been answered
often enough or the call has ended.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.swml.commands import (
    AnswerCall,
    Begin,
    BeginRecordCall,
    Command,
    FetchDocument,
    Finished,
    KeyDigits,
    Source,
    Stop,
    Wait,
    Warn,
)
from engine.dialects.swml.interpreter import MAX_STEPS_IN_A_ROW, STEPS_A_TURN, Interpreter
from engine.dialects.swml.methods import Connect, Request

__all__ = ("SEEDS", "Case", "document_of", "one_input")

URL = "https://app.example.com/a/b?c=d"
FALLBACK = "https://fallback.example.com/"
PLANTED = "8642097531"
CALL = {"call_id": "c-1", "call_state": "created", "from": "+15550001", "headers": []}
MAX_HAPPENINGS = 120
MAX_PAGES = 5
MAX_STEPS = 24
MAX_DEPTH = 4
SECTIONS = ("main", "a", "b")
TEXTS = ("say:x", "say:${v}", "say:%{n + 1}", "silence:1", "ring:2:us", "https://app.example.com/x.wav", "${v}")
CONDITIONS = ("n < 3", "v == 'x'", "${prompt_value} == '1'", "((", "true", "pay_result == 'success' || n", "params.n")
VALUES = (1, "x", "${n}", "${n + 1}", "${v}${v}", ["${v}", "${l}"], {"k": "${params}"}, "${1 +}", None, True, "${l[0]}")
NAMES = ("n", "v", "l", "o.p", "vars.v", "params.n", "l[0]", "")
DESTS = (
    *("a", "b", "main", "https://u:p@app.example.com/next", "./next", "nowhere", "ftp://x/y", "${v}"),
    '{"sections": {"main": [{"return": "${n}"}]}}',
    "sections:\n  main:\n  - set: {n: 5}\n  - transfer: {dest: main}\n",
)
OUTCOMES: tuple[dict[str, Any], ...] = (
    {},
    {"pay_result": "success", "pay_payment_results": {"payment_token": "t"}},
    {"prompt_result": "match_digits", "prompt_value": PLANTED},
    {"prompt_value": "1", "request_response_headers.x-y": "z", "request_response.a.b": [PLANTED]},
    {"connect_result": "connected"},
    {"connect_result": "failed", "": 1, "call.x": 2, "v.w": PLANTED},
    {"n": 0, "v": PLANTED},
    {"huge": "x" * (1 << 21)},
)
SEEDS = (
    b"\x00\x10\x20\x21\x22\x23\0\x81\x02\x01\x03\x01\x04\x05",
    b"\x04\x20\x21\x22\x23\0\x81\x0a\x01\x00\x00\x0b\x02\x0c\x03\x0d\0\x82\x0e\x0f\x10",
    b"\x06\x10\x20\x30\x40\x50\x20\x20\0\x81\x0f\x00\x10\x01\x11\x02\x12\x03\x13\x04\x14\x05",
    b'\x00\x20\x10\x21\x60\0{"sections": {"main": [{"answer": {}}, {"play": {"url": "say:hi"}}, {"hangup": {}}]}}',
    b"\x08\x2c\x20\0sections:\n  main:\n  - label: l\n  - sleep: 1\n  - goto: {label: l, max: 2}\n",
    b'\x04\x20\0{"sections": {"main": [{"cond": [{"when": "(((", "then": []}, {"else": [{"return": 1}]}]}]}}',
    b'\x04\x10\x20\x22\0{"sections": {"main": [{"pay": {"payment_connector_url": "https://a.example.com"}}]}}',
)


class _Choices:
    """Bytes that choose; zeros when they are at an end."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)
        self.left = MAX_STEPS

    def of(self, choices: tuple[Any, ...]) -> Any:
        return choices[next(self._data, 0) % len(choices)]

    def number(self, n: int) -> int:
        return next(self._data, 0) % n


def document_of(data: bytes) -> dict[str, Any]:
    """Return the document that bytes choose."""
    choices = _Choices(data[1:])
    return {"sections": {name: _steps(choices, 0) for name in SECTIONS}}


def _steps(choices: _Choices, depth: int) -> list[dict[str, Any]]:
    labels = [{"label": "l"}] if depth == 0 else []
    steps = []
    for _ in range(choices.number(4) if depth else 1 + choices.number(8)):
        if choices.left:
            choices.left -= 1
            steps.append(_STEPS[choices.number(len(_STEPS))](choices, depth))
    return [*labels, *steps]


def _cond(choices: _Choices, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return [{"else": []}]
    items: list[dict[str, Any]] = []
    for _ in range(1 + choices.number(2)):
        items.append({"when": choices.of(CONDITIONS), "then": _steps(choices, depth + 1)})
        if choices.number(4) == 0:
            items[-1]["else"] = _steps(choices, depth + 1)
    if choices.number(2):
        items.append({"else": _steps(choices, depth + 1)})
    return items


def _switch(choices: _Choices, depth: int) -> Any:
    made: dict[str, Any] = {"variable": choices.of((*CONDITIONS, *NAMES[:4]))}
    made["case"] = {str(value): _steps(choices, depth + 1) if depth < MAX_DEPTH else [] for value in ("x", 1)}
    if choices.number(4):
        made["default"] = _steps(choices, depth + 1) if depth < MAX_DEPTH else []
    return made


def _execute(choices: _Choices, depth: int) -> Any:
    made: dict[str, Any] = {"dest": choices.of(DESTS), "params": {"n": choices.of(VALUES)}}
    if choices.number(2):
        made["on_return"] = _steps(choices, depth + 1) if depth < MAX_DEPTH else []
    if choices.number(2):
        made["result"] = choices.of((_cond, _switch))(choices, depth)
    return {"execute": made}


def _connect(choices: _Choices, depth: int) -> Any:
    made: dict[str, Any] = {"to": "+1555", "answer_on_bridge": bool(choices.number(2)), "confirm": [{"sleep": 1}]}
    if choices.number(2):
        made["result"] = choices.of((_cond, _switch))(choices, depth)
    if choices.number(3) == 0:
        made["transfer_after_bridge"] = choices.of(DESTS)
    return {"connect": made}


_STEPS: tuple[Callable[[_Choices, int], dict[str, Any]], ...] = (
    lambda c, _: {"play": {"url": c.of(TEXTS)}},
    lambda c, _: {"play": {"urls": [c.of(TEXTS)], "auto_answer": bool(c.number(2)), "volume": c.of((1, "${n}"))}},
    lambda c, _: {"prompt": {"play": c.of(TEXTS), "max_digits": c.of((1, "${n}", 4))}},
    lambda c, _: {"pay": {"payment_connector_url": "https://a.example.com/", "parameters": c.of(VALUES)}},
    lambda c, _: {"answer": {}},
    lambda c, _: {"hangup": {"reason": c.of(("hangup", "busy", "decline", "${v}"))}},
    lambda c, _: {"set": {c.of(NAMES[:4]): c.of(VALUES), "q": c.of(VALUES)}},
    lambda c, _: {"set": {c.of(NAMES) or "x": c.of(VALUES)}},
    lambda c, _: {"unset": c.of(NAMES)},
    lambda c, d: {"cond": _cond(c, d)},
    lambda c, d: {"switch": _switch(c, d)},
    lambda c, _: {"goto": {"label": "l", "max": c.of((1, 2, 100))}},
    lambda c, _: {"goto": {"label": "l", "when": c.of(CONDITIONS)}},
    _execute,
    lambda c, _: {"transfer": {"dest": c.of(DESTS), "params": {"n": 1}}},
    lambda c, _: {"return": c.of(VALUES)},
    lambda c, _: {"sleep": c.of((0, 1, -1, "${n}", {"duration": 5}))},
    _connect,
    lambda c, _: {"request": {"url": "https://a.example.com/${v}", "method": "POST", "body": {"a": c.of(VALUES)}}},
    lambda c, _: {"record": {}},
    lambda c, _: {"record_call": {"control_id": c.of(("r", "${v}"))}},
    lambda c, _: {"stop_record_call": {}},
    lambda c, _: {"send_digits": {"digits": c.of(("1w#", "${n}"))}},
    lambda c, _: {"sip_refer": {"to_uri": "sip:a@example.com"}},
    lambda c, _: {"user_event": {"event": {"a": c.of(VALUES)}}},
)


def _body_of(page: bytes, *, as_yaml: bool) -> bytes:
    if page[:1].isalpha() or page[:1] in (b"{", b"["):
        return page
    text = json.dumps(document_of(page))
    # Read again, no value stands in it twice, which YAML would write as an alias.
    return (yaml.safe_dump(json.loads(text), sort_keys=False) if as_yaml else text).encode()


class Case:
    """One call with its application."""

    def __init__(self, kind: int, pages: list[bytes], *, as_yaml: bool = False) -> None:
        bodies = [_body_of(page, as_yaml=as_yaml) for page in pages] or [b"{}"]
        self.bodies: Iterator[bytes] = iter(bodies * 40)
        fallback = FALLBACK if kind & 2 else ""
        source = (
            Source(text=next(self.bodies).decode("utf-8", "replace"), fallback_url=fallback)
            if kind & 4
            else Source(url=URL, fallback_url=fallback)
        )
        self.up = bool(kind & 8)
        call = {**CALL, "call_state": "answered"} if self.up else CALL
        self.interpreter = Interpreter(source, call=call, envs={"E": "1"}, max_document=65_536)
        self.now = 0.0
        self.open: Command | None = None
        "What waits for an answer."
        self.seen = 0
        self.turns = 0
        "In a row."
        self.finished = self.hung_up = False
        self.log: list[Command] = []

    def took(self) -> list[Command]:
        """Take the commands that are due, and look at each."""
        commands: list[Command] = []
        while (command := self.interpreter.next_command()) is not None:
            assert not self.finished, "a command after Finished"
            commands.append(command)
            self._look_at(command)
        assert len(commands) <= 4 * STEPS_A_TURN + 4
        assert self.interpreter.is_over == self.finished
        assert self.interpreter.next_timer() is None or not (self.finished or self.open)
        self.log += commands
        return commands

    def _look_at(self, command: Command) -> None:
        if self.hung_up:
            assert isinstance(command, Stop | Finished)
        match command:
            case Finished():
                self.finished = True
                assert self.open is None or isinstance(self.open, Begin)
                self.open = None
            case Stop():
                assert self.open is not None, "stopped what did not run"
                assert not isinstance(self.open, Begin | AnswerCall)
                self.open = None
            case Warn():
                assert PLANTED not in repr(command)
                assert len(command.reason) < 400
            case FetchDocument() | Begin() | Wait() | KeyDigits():
                assert command.token > self.seen, "a token came twice"
                assert self.open is None, "two at once"
                self.seen, self.open = command.token, command
                self._check_up(command)
                if isinstance(command, FetchDocument):
                    assert command.url.startswith(("https://", "http://"))
                    json.dumps([command.vars, command.params, command.meta])
            case BeginRecordCall():
                self._check_up(command)

    def _check_up(self, command: Command) -> None:
        """What speaks, listens or keys has an answered call."""
        if isinstance(command, FetchDocument | Wait) or self.up:
            return
        assert isinstance(command, Begin)
        work = command.work
        assert isinstance(work, Request) or (isinstance(work, Connect) and work.answer_on_bridge)

    def happen(self, what: int) -> None:
        """Let something happen: the upper half says what, the lower one the variant."""
        kind, variant = what >> 4, what & 15
        self.now += (0.0, 0.02, 0.5, 3.0)[variant & 3]
        interpreter, now = self.interpreter, self.now
        match kind:
            case 0:
                interpreter.start(now)
            case 1:
                self.up = True
                interpreter.answered(now)
            case 3:
                self._answer_wrong(variant)
            case 4:
                interpreter.set_variables(OUTCOMES[variant % len(OUTCOMES)], now)
            case 5:
                interpreter.call_changed({**CALL, "call_state": PLANTED})
            case 6 if variant < 4:
                self._hang_up()
            case _:
                self._answer(variant)
        self.took()

    def _hang_up(self) -> None:
        self.hung_up = True
        self.interpreter.hang_up(self.now)

    def _answer(self, variant: int) -> None:
        """Answer what is open; or let the interpreter have its turn."""
        command, self.open = self.open, None
        match command:
            case None:
                self._turn()
            case FetchDocument():
                self._answer_request(command.token, variant)
            case Begin() | Wait() | KeyDigits():
                self.turns = 0
                self.interpreter.ended(command.token, OUTCOMES[variant % len(OUTCOMES)], self.now)

    def _turn(self) -> None:
        due = self.interpreter.next_timer()
        if due is not None:
            self.turns += 1
            assert self.turns <= MAX_STEPS_IN_A_ROW // STEPS_A_TURN + 2
            assert due <= self.now
            self.interpreter.handle_timer(self.now)

    def _answer_request(self, token: int, variant: int) -> None:
        self.turns = 0
        if variant & 12 == 12:
            self.interpreter.fetch_failed(token, "timeout" * 100, self.now)
            return
        status = 200 if variant & 12 else (204, 302, 404, 503)[variant & 3]
        body = next(self.bodies, b"")
        self.interpreter.fetched(token, status=status, content_type="", body=body, url="", now=self.now)

    def _answer_wrong(self, variant: int) -> None:
        """Answer what was never asked, was stopped, or in the wrong way; nothing may come of it."""
        self.took()
        wrong = [self.seen + 1, -variant]
        if self.open is None and self.seen:
            wrong.append(self.seen)
        token = 0 if self.open is None else self.seen
        for other in (*wrong, *([token] if not isinstance(self.open, FetchDocument) else [])):
            self.interpreter.fetched(other, status=200, content_type="", body=b"{}", url="", now=self.now)
            self.interpreter.fetch_failed(other, "", self.now)
        for other in (*wrong, *([token] if isinstance(self.open, FetchDocument) else [])):
            self.interpreter.ended(other, OUTCOMES[1], self.now)
        assert self.took() == []

    def end(self) -> None:
        """Answer what is open for a while, then end the call: it must be over then."""
        self.happen(0)
        self.happen(0x10)
        for variant in range(30):
            self.happen(0x20 | (variant & 7))
        if not self.finished:
            self._hang_up()
            self.took()
        assert self.finished
        self._hang_up()
        assert self.took() == []


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""
    happens, *pages = data.split(b"\0", MAX_PAGES)
    kind, happens = happens[0] if happens else 0, happens[1 : 1 + MAX_HAPPENINGS]
    cases = [Case(kind, pages)]
    if kind & 16:
        cases.append(Case(kind, pages, as_yaml=True))
    for case in cases:
        for what in b"\x00" + happens:
            case.happen(what)
        case.end()
    assert cases[0].log == cases[-1].log, "JSON and YAML make a difference"


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
