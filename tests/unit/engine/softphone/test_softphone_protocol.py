"""The softphone's line protocol: what goes over the pipe, and that no key shows anywhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SoftphoneError
from engine.softphone import protocol
from engine.softphone.protocol import (
    Answer,
    Call,
    CallState,
    Command,
    Event,
    Failure,
    HangUp,
    Hold,
    Incoming,
    KeyMode,
    Keys,
    KeysDone,
    Media,
    Play,
    PlayDone,
    Quit,
    Ready,
    Record,
    Register,
    Registered,
    Sound,
    SoundState,
    State,
    Unhold,
    Unregister,
    decode_command,
    decode_event,
    encode,
)

COMMANDS: tuple[Command, ...] = (
    Register(registrar="sip:127.0.0.1:5060", username="pay", password="secret-word"),
    Unregister(),
    Call(uri="sip:pay@127.0.0.1:5060"),
    Answer(call=2, status=486),
    Keys(keys="0123456789*#ABCD", mode=KeyMode.IN_BAND, on_ms=50, off_ms=50),
    Play(file="a.wav"),
    Record(file="b.wav"),
    Hold(call=1),
    Unhold(call=1),
    HangUp(),
    Quit(),
)
EVENTS: tuple[Event, ...] = (
    Ready(sip_port=5060, backend="pjsua"),
    Incoming(call=1, from_uri="sip:a@b"),
    State(call=1, state=CallState.DISCONNECTED, status=486, reason="Busy Here"),
    Media(call=1, active=False, codec="PCMU"),
    Registered(registered=True, status=200, reason="OK"),
    KeysDone(call=1, completed=False),
    PlayDone(call=1),
    Sound(call=1, state=SoundState.BEGAN),
    Failure(message="no", command="keys"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.NAME)
def test_a_command_survives_its_line(command: Command) -> None:
    line = encode(command)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_command(line) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.NAME)
def test_an_event_survives_its_line(event: Event) -> None:
    assert decode_event(encode(event)) == event


def test_every_command_and_event_is_tried_here() -> None:
    assert {command.NAME for command in COMMANDS} == set(protocol._COMMANDS)
    assert {event.NAME for event in EVENTS} == set(protocol._EVENTS)


def test_a_line_may_leave_out_what_has_a_default() -> None:
    assert decode_command(b'{"do":"keys","keys":"1#"}') == Keys(keys="1#")
    assert decode_command(b'{"do":"answer"}') == Answer(call=0, status=200)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"4242424242424242",
        b"[4242424242424242]",
        b'{"do":"4242424242424242"}',
        b'{"do":["keys"],"keys":"4242"}',
        b'{"keys":"4242424242424242"}',
        b'{"do":"keys"}',
        b'{"do":"keys","keys":4242424242424242}',
        b'{"do":"keys","keys":"4242 4242 4242 4242"}',
        b'{"do":"keys","keys":""}',
        b'{"do":"keys","keys":"4242","4242":1}',
        b'{"do":"keys","keys":"4242","mode":"4242"}',
        b'{"do":"keys","keys":"4242","on_ms":1}',
        b'{"do":"keys","keys":"4242","off_ms":"4242"}',
        b'{"do":"keys","keys":"4242","call":true}',
        b'{"do":"keys","keys":"' + b"4" * 300 + b'"}',
        b'{"do":"call","uri":null}',
        b"\xff\xfe{}",
        b"[" * 5000,
    ],
)
def test_a_malformed_line_is_refused_without_repeating_it(line: bytes) -> None:
    with pytest.raises(SoftphoneError) as caught:
        decode_command(line)
    assert "4242" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_neither_keys_nor_passwords_show_in_a_repr() -> None:
    assert "4242" not in repr(Keys(keys="4242"))
    assert "hush" not in repr(Register(registrar="sip:a", username="b", password="hush"))


def test_no_event_has_a_field_for_keys() -> None:
    names = {name for event in EVENTS for name in json.loads(encode(event))}
    assert names.isdisjoint({"keys", "key", "digit", "digits", "password"})


@given(st.binary(max_size=300))
def test_any_bytes_are_a_command_or_refused(line: bytes) -> None:
    try:
        command = decode_command(line)
    except SoftphoneError:
        return
    assert decode_command(encode(command)) == command


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(protocol._COMMANDS)), st.dictionaries(st.sampled_from(["keys", "call", "uri"]), JSON))
def test_any_field_of_any_type_is_a_command_or_refused(name: str, body: dict[str, Any]) -> None:
    line = json.dumps({"do": name, **body}).encode()
    try:
        command = decode_command(line)
    except SoftphoneError:
        return
    assert name == command.NAME
