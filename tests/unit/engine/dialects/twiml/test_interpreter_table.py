"""The table of states and inputs at the head of the interpreter is what it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest

from engine.dialects.twiml import interpreter as module
from engine.dialects.twiml.commands import Command, Fetch, Finished, Source, Stop
from engine.dialects.twiml.interpreter import Interpreter, State

URL = "https://app.example.com/voice"
DOCUMENTS = {
    State.ANSWERING: "<Say>x</Say>",
    State.PAUSED: "<Pause/><Hangup/>",
    State.SPEAKING: "<Say>x</Say>",
    State.PROMPTING: "<Gather><Say>x</Say></Gather><Hangup/>",
    State.COLLECTING: "<Gather/><Hangup/>",
    State.RUNNING: "<Enqueue action='done'>x</Enqueue>",
    State.ENDING: "<Pay/>",
}
NOW = 10.0


def drain(interpreter: Interpreter) -> list[Command]:
    commands = []
    while (command := interpreter.next_command()) is not None:
        commands.append(command)
    return commands


def in_state(state: State, *, waiting: bool = False) -> Interpreter:
    """Return an interpreter in a state, its commands taken."""
    rings = state in (State.ANSWERING, State.PAUSED)
    interpreter = Interpreter(Source(url=URL), is_inbound=rings, waiting=waiting)
    if state is not State.IDLE:
        interpreter.start(NOW)
    if state in DOCUMENTS:
        body = f"<Response>{DOCUMENTS[state]}</Response>".encode()
        interpreter.fetched(1, status=200, content_type="", body=body, url="", now=NOW)
    if state is State.ENDING:
        interpreter.hang_up(NOW)
    assert interpreter.state is state
    drain(interpreter)
    return interpreter


def fetched(interpreter: Interpreter) -> None:
    for token in (1, 2):  # of the document, or of none
        interpreter.fetched(token, status=200, content_type="", body=b"<Response/>", url="", now=NOW)


def told(interpreter: Interpreter) -> None:
    """Answer the request for the outcome that an ENDING interpreter waits for."""
    interpreter.ended(2, (("Result", "success"),), NOW)
    drain(interpreter)
    interpreter.fetched(3, status=200, content_type="", body=b"<Response/>", url="", now=NOW)


INPUTS: Mapping[str, Callable[[Interpreter], None]] = {
    "start": lambda i: i.start(NOW),
    "fetched": fetched,
    "answered": lambda i: i.answered(NOW),
    "spoken": lambda i: i.spoken(2, False, NOW),
    "digit": lambda i: i.digit(1, NOW + 0.5),
    "timer": lambda i: i.handle_timer(NOW + 9.0),
    "ended": lambda i: i.ended(2, (("Result", "success"),), NOW),
    "redirect": lambda i: i.redirect(Source(url=URL), NOW),
    "leave": lambda i: i.leave(NOW),
    "hang_up": lambda i: i.hang_up(NOW),
}


def table() -> list[tuple[str, State, str]]:
    """Return input, state and what follows, of each cell."""
    assert module.__doc__ is not None
    head, *rows = re.findall(r"^ {4,}\S.*$", module.__doc__, re.MULTILINE)
    columns = [(found.start(), State[found[0]]) for found in re.finditer(r"[A-Z]+", head)]
    ends = [start for start, _ in columns[1:]] + [200]
    return [
        (row.split()[0], state, row[start:end].strip())
        for row in rows
        for (start, state), end in zip(columns, ends, strict=True)
    ]


def test_the_table_names_every_input_and_every_state_but_the_last() -> None:
    cells = table()
    assert {name for name, _, _ in cells} == set(INPUTS)
    assert {state for _, state, _ in cells} == set(State) - {State.OVER}
    assert len(cells) == len(INPUTS) * (len(State) - 1)


@pytest.mark.parametrize(("name", "state", "follows"), table(), ids=lambda value: getattr(value, "name", value) or "-")
def test_what_follows_an_input(name: str, state: State, follows: str) -> None:
    waiting = name == "leave" and follows == "finish"
    interpreter = in_state(state, waiting=waiting)
    timer = interpreter.next_timer()
    act = told if (name, state) == ("fetched", State.ENDING) else INPUTS[name]
    act(interpreter)
    commands = drain(interpreter)
    kinds = [type(command) for command in commands]
    match follows:
        case "" | "noted" | "kept":
            assert (commands, interpreter.state, interpreter.next_timer()) == ([], state, timer)
        case "begin":
            assert kinds[-1:] == [Fetch]
            assert interpreter.state is State.FETCHING
        case "run, fail" | "go on" | "submit":
            assert commands
            assert interpreter.state is not state
        case "collect":
            assert (commands, interpreter.state) == ([], State.COLLECTING)
        case "barge in":
            assert (kinds, interpreter.state) == ([Stop], State.COLLECTING)
        case "take it":
            assert (commands, interpreter.state) == ([], state)
            assert interpreter.next_timer() != timer
        case "tell":
            (request,) = commands
            assert isinstance(request, Fetch)
            assert request.about
        case "finish":
            assert kinds[-1:] == [Finished]
            assert interpreter.is_over
        case "ENDING":
            assert (commands, interpreter.state) == ([], State.ENDING)
        case _:
            pytest.fail(f"the table says {follows}")


@pytest.mark.parametrize("name", INPUTS)
def test_nothing_follows_the_end(name: str) -> None:
    interpreter = in_state(State.SPEAKING)
    interpreter.hang_up(NOW)
    assert drain(interpreter) == [Finished(reason="hung-up")]
    INPUTS[name](interpreter)
    assert drain(interpreter) == []
    assert interpreter.is_over
