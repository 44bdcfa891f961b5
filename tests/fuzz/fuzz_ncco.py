"""Fuzz target: octets as an NCCO.

Runs by ``tests/fuzz/drive.py`` or under atheris; ``one_input(data)`` is one case, and the property tests call it too.
What must hold: any octets are an NCCO or an `NccoError`; an error is short, can be printed, and repeats no value; what
was read is the same when it is written as JSON and read again, and when it comes as data; every action has values
within its range, and what is sent on can be written as JSON.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_never

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.ncco.actions import (
    Connect,
    Conversation,
    Input,
    NccoAction,
    Notify,
    Pay,
    Record,
    Stream,
    Talk,
    Wait,
)
from engine.dialects.ncco.endpoints import MAX_HEADERS, endpoint_of
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.reading import MAX_ACTIONS, MAX_TALK_CHARS, actions_of, read_ncco

__all__ = ("PLANTED", "SEEDS", "one_input")

MAX_BYTES = 4096
MAX_ERROR_CHARS = 400
PLANTED = "4111111111111111"
"It may be a value, never stands in an error."
SEEDS = (
    b'[{"action":"talk","text":"<speak>Hi</speak>","language":"en-GB","style":"2","level":-0.5,"loop":0,"bargeIn":true},'
    b'{"action":"stream","streamUrl":["a.mp3"],"bargeIn":"false","level":"1"},'
    b'{"action":"input","type":["dtmf","speech"],"dtmf":{"timeOut":10,"maxDigits":20,"submitOnHash":"true"}}]',
    b'[{"action":"input","timeOut":5,"maxDigits":1,"submitOnHash":true,"eventUrl":["https://a.example/"],"eventMethod":'
    b'"GET"},{"action":"record","format":"wav","split":"conversation","channels":2,"endOnSilence":3,"endOnKey":"#"}]',
    b'[{"action":"conversation","name":"a","musicOnHoldUrl":["https://a.example/m"],"startOnEnter":false,"canHear":[],'
    b'"canSpeak":["63f61863-4a51-4f0c-8b21-00a1b2c3d4e5"],"mute":true,"record":true,"endOnExit":null}]',
    b'[{"action":"connect","endpoint":[{"type":"phone","number":"15551234567","dtmfAnswer":"1p2","onAnswer":{"url":'
    b'"/w","ringbackTone":"/r"}}],"from":"15557654321","timeout":45,"limit":7200,"eventType":"synchronous"}]',
    b'[{"action":"connect","endpoint":{"type":"sip","uri":"sip:a@b.example","headers":{"a":"b"}},"ringbackTone":"/r"},'
    b'{"action":"connect","randomFromNumber":true,"endpoint":[{"type":"vbc","extension":"100"}]}]',
    b'[{"action":"notify","payload":{"a":[1.5,null,{}]},"eventUrl":["/n"],"eventMethod":"post"},'
    b'{"action":"wait","timeout":1e3},{"action":"wait","timeout":"0.1"}]',
    b'[{"action":"pay","amount":9.99,"currency":"gbp","eventUrl":["https://a.example/"],"voice":{"language":"en-GB",'
    b'"style":0},"prompts":[{"type":"CardNumber","text":"Card","errors":{"Timeout":{"text":"Again"}}}]}]',
    b'[{"action":"connect","endpoint":[{"type":"websocket","uri":"wss://a.example/"}]},{"action":"transfer"}]',
    b'[{"action":"talk","text":"4111111111111111","level":"4111111111111111"}]',
)


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""
    try:
        ncco = read_ncco(data, max_bytes=MAX_BYTES)
    except NccoError as error:
        _look_at(error)
        _try_as_endpoint(data)
        return
    assert len(ncco) <= MAX_ACTIONS
    for action in ncco:
        _check(action)
    value = json.loads(data.decode("utf-8-sig"), parse_float=Decimal)
    assert actions_of(value) == ncco
    again = json.dumps(value, default=_number).encode()
    if b"Decimal" not in again:
        assert [type(action) for action in read_ncco(again, max_bytes=16 * MAX_BYTES)] == [type(a) for a in ncco]


def _number(value: object) -> object:
    assert isinstance(value, Decimal)
    return float(value)


def _look_at(error: NccoError) -> None:
    text = str(error)
    assert len(text) <= MAX_ERROR_CHARS
    assert text.isprintable()
    assert PLANTED not in text


def _try_as_endpoint(data: bytes) -> None:
    """Take what is no NCCO for an endpoint, as it stands in a request of REST."""
    try:
        value = json.loads(data[:MAX_BYTES])
    except (ValueError, RecursionError):
        return
    try:
        endpoint = endpoint_of(value, "to[0]")
    except NccoError as error:
        _look_at(error)
    else:
        _check_line(endpoint.to)


def _check_line(text: str) -> None:
    """What goes into an INVITE is one line of ASCII."""
    assert text.isascii()
    assert text.isprintable()


def _check(action: NccoAction) -> None:
    match action:
        case Talk():
            assert action.text.strip()
            assert len(action.text) - _in_tags(action.text) <= MAX_TALK_CHARS
            _check_sound(action.loop, action.level)
        case Stream():
            assert action.url
            _check_sound(action.loop, action.level)
        case Input():
            assert 0 <= action.timeout_s <= 10
            assert 1 <= action.max_digits <= 20
        case Record():
            assert 1 <= action.channels <= 32
            assert action.channels > 1 or not action.split
            assert action.end_on_silence_s == 0 or 3 <= action.end_on_silence_s <= 10
            assert action.timeout_s == 0 or 3 <= action.timeout_s <= 7200
            assert len(action.end_on_key) <= 1
        case Conversation():
            assert action.name.strip()
        case Connect():
            assert 1 <= action.timeout_s <= 7200
            assert 1 <= action.limit_s <= 7200
            _check_line(action.caller)
            _check_line(action.endpoint.to)
            assert len(action.endpoint.headers) <= MAX_HEADERS
            for name, value in action.endpoint.headers:
                _check_line(name + value)
            assert set(action.endpoint.dtmf_answer) <= set("0123456789*#p")
        case Notify():
            json.dumps(action.payload, allow_nan=False)
        case Wait():
            assert 0.1 <= action.timeout_s <= 7200
        case Pay():
            assert not {"action", "eventUrl", "eventMethod"} & action.properties.keys()
            assert not _has_float(action.properties)
        case _:
            assert_never(action)
    _check_hidden(action)


def _check_sound(loop: int, level: float) -> None:
    assert loop >= 0
    assert -1 <= level <= 1


def _in_tags(text: str) -> int:
    """Return how many characters of a text may stand in tags."""
    return len(text[text.find("<") : text.rfind(">") + 1]) if "<" in text else 0


def _has_float(value: Any) -> bool:
    """Whether there is binary floating point in data that were read of a text."""
    if isinstance(value, dict):
        return any(map(_has_float, value.values()))
    if isinstance(value, list):
        return any(map(_has_float, value))
    return isinstance(value, float)


def _check_hidden(action: NccoAction) -> None:
    """What an action looks like in a log: no text, no URL, nobody's number."""
    if not isinstance(action, Conversation | Talk):  # a room's name and a language may be anything
        assert PLANTED not in repr(action)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
