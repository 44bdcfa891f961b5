"""The softphone process's loop: lines in, events out, whatever the backend does."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator

import pytest

from engine.errors import SoftphoneError
from engine.softphone.__main__ import LineReader, serve, write_event
from engine.softphone.backend import BackendName, choose_backend, create_backend
from engine.softphone.native import NativePhone
from engine.softphone.protocol import (
    MAX_LINE_BYTES,
    Call,
    Command,
    Event,
    Failure,
    HangUp,
    Keys,
    Quit,
    Ready,
    decode_event,
    encode,
)
from sip.crypto_attribute import SrtpPolicy


class FakeBackend:
    """Remembers commands; refuses calls."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.polls = 0
        self.on_poll: list[bytes] = []
        self.write_fd = -1

    def start(self) -> None:
        raise AssertionError("the loop gets a started backend")

    def execute(self, command: Command) -> None:
        if isinstance(command, Call):
            raise SoftphoneError("cannot call that URI")
        self.commands.append(command)

    def poll(self, timeout_s: float) -> None:
        self.polls += 1
        if self.on_poll:
            os.write(self.write_fd, self.on_poll.pop(0))
        elif self.polls == 100:
            os.close(self.write_fd)

    def close(self) -> None:
        raise AssertionError("the loop leaves closing to its caller")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        try:
            os.close(fd)
        except OSError:
            continue  # closed by the test


def served(pipe: tuple[int, int], *chunks: bytes) -> tuple[FakeBackend, list[Event]]:
    backend = FakeBackend()
    backend.write_fd = pipe[1]
    backend.on_poll = list(chunks)
    events: list[Event] = []
    serve(backend, LineReader(pipe[0]), events.append)
    return backend, events


def test_commands_are_executed_in_order_until_quit(pipe: tuple[int, int]) -> None:
    lines = encode(Keys(keys="12#")) + encode(HangUp()) + encode(Quit()) + encode(HangUp(call=9))
    backend, events = served(pipe, lines)
    assert backend.commands == [Keys(keys="12#"), HangUp()]
    assert events == []


def test_a_line_may_come_in_pieces(pipe: tuple[int, int]) -> None:
    line = encode(Keys(keys="12#")) + encode(Quit())
    backend, _ = served(pipe, *(line[i : i + 7] for i in range(0, len(line), 7)))
    assert backend.commands == [Keys(keys="12#")]


def test_a_command_that_fails_is_an_event_and_the_next_is_executed(pipe: tuple[int, int]) -> None:
    backend, events = served(pipe, encode(Call(uri="x")) + b"\n  \nnonsense\n" + encode(HangUp()) + encode(Quit()))
    assert events == [
        Failure(message="cannot call that URI", command="call"),
        Failure(message="a line is one JSON object"),
    ]
    assert backend.commands == [HangUp()]


def test_the_end_of_input_ends_the_loop(pipe: tuple[int, int]) -> None:
    backend, events = served(pipe, encode(HangUp()))
    assert backend.commands == [HangUp()]
    assert events == []


def test_a_line_without_end_is_refused_and_memory_is_bounded(pipe: tuple[int, int]) -> None:
    half = b"x" * (MAX_LINE_BYTES // 2)
    backend, events = served(pipe, half, half, half, b"\n" + encode(HangUp()) + encode(Quit()))
    assert backend.commands == [HangUp()]
    assert next(event.message for event in events if isinstance(event, Failure)) == (
        f"a line is at most {MAX_LINE_BYTES} bytes"
    )


def test_an_event_is_one_whole_line(pipe: tuple[int, int]) -> None:
    event = Ready(sip_port=5060, backend="native")
    write_event(pipe[1], event)
    assert decode_event(os.read(pipe[0], 1000)) == event


def test_a_reader_that_has_gone_away_is_no_error(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    write_event(pipe[1], Ready(sip_port=5060, backend="native"))


def test_auto_takes_pjsua_where_its_wheel_is_and_our_own_stack_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_backend(BackendName.AUTO) is BackendName.NATIVE
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert choose_backend(BackendName.AUTO) is BackendName.PJSUA
    assert choose_backend(BackendName.NATIVE) is BackendName.NATIVE


def test_a_missing_wheel_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pjsua2", None)
    monkeypatch.delitem(sys.modules, "engine.softphone.pjsua", raising=False)
    with pytest.raises(SoftphoneError, match=r"paytone\[softphone\].*--backend native"):
        create_backend(BackendName.PJSUA, lambda event: None, host="127.0.0.1", sip_port=0, audio=False)


@pytest.mark.parametrize(("srtp", "codec"), [(SrtpPolicy.REQUIRED, ""), (SrtpPolicy.OFF, "PCMA")])
def test_srtp_and_codec_are_chosen_on_our_own_stack(srtp: SrtpPolicy, codec: str) -> None:
    def create(name: BackendName) -> object:
        return create_backend(
            name, lambda event: None, host="127.0.0.1", sip_port=0, audio=False, srtp=srtp, codec=codec
        )

    assert isinstance(create(BackendName.AUTO), NativePhone)
    with pytest.raises(SoftphoneError, match="--backend native"):
        create(BackendName.PJSUA)
