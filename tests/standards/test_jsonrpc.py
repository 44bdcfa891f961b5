"""JSON-RPC 2.0 (revision of 2013-01-04): the examples of §7, as far as a RELAY client may send them."""

from __future__ import annotations

import json

import pytest

from engine.dialects.relay.frames import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Malformed,
    Request,
    Response,
    error_text,
    parse,
    request_text,
    result_text,
)


def test_named_parameters() -> None:
    text = '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}'
    assert parse(text) == Request(3, "subtract", {"subtrahend": 23, "minuend": 42})


def test_positional_parameters_are_not_those_of_any_method_here() -> None:
    frame = parse('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}')
    assert isinstance(frame, Malformed)
    assert (frame.code, frame.id) == (INVALID_PARAMS, 1)


def test_a_notification_has_no_id() -> None:
    assert parse('{"jsonrpc": "2.0", "method": "foobar"}') == Request(None, "foobar", {})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', PARSE_ERROR),
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', INVALID_REQUEST),
        ("[]", INVALID_REQUEST),
        ("[1]", INVALID_REQUEST),
        ("[1,2,3]", INVALID_REQUEST),
        ('[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}]', INVALID_REQUEST),
    ],
)
def test_what_is_invalid_is_answered_with_a_null_id(text: str, code: int) -> None:
    frame = parse(text)
    assert isinstance(frame, Malformed)
    answer = json.loads(error_text(frame.id, frame.code, frame.message))
    assert answer == {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": frame.message}}


def test_answers_hold_either_result_or_error() -> None:
    assert parse('{"jsonrpc": "2.0", "result": 19, "id": 1}') == Response(1, 19)
    error = '{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}'
    assert parse(error) == Response("1", {"code": METHOD_NOT_FOUND, "message": "Method not found"}, is_error=True)
    both = parse('{"jsonrpc": "2.0", "result": 19, "error": {}, "id": 1}')
    assert isinstance(both, Malformed)


def test_every_frame_of_ours_says_its_version() -> None:
    for text in (request_text("1", "m", {}), result_text("1", {}), error_text("1", -1, "no")):
        frame = json.loads(text)
        assert frame["jsonrpc"] == "2.0"
        assert frame["id"] == "1"
