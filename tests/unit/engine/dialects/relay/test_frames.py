"""RELAY's frames: what is taken, what is refused, and that no text breaks anything."""

from __future__ import annotations

import json

import pytest

from engine.dialects.relay.frames import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_DEPTH,
    MAX_ID,
    MAX_TEXT,
    PARSE_ERROR,
    Malformed,
    Request,
    Response,
    error_text,
    parse,
    request_text,
    result_text,
)


def nested(depth: int) -> str:
    """A request that is nested so deep."""
    inner = depth - 2  # the frame, and its parameters
    return '{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + "[" * inner + "]" * inner + "}}"


def test_requests_and_answers_are_told_apart() -> None:
    assert parse(request_text("a", "calling.play", {"x": [1]})) == Request("a", "calling.play", {"x": [1]})
    assert parse('{"jsonrpc":"2.0","method":"m"}') == Request(None, "m", {})
    assert parse(result_text(7, {"code": "200"})) == Response(7, {"code": "200"})
    assert parse(error_text(7, -1, "no")) == Response(7, {"code": -1, "message": "no"}, is_error=True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", PARSE_ERROR),
        ("{", PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":NaN}', PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":-Infinity}}', PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1e999}}', PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}', PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\\ud800"}}', PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + "1" * 5000 + "}}", PARSE_ERROR),
        ("[]", INVALID_REQUEST),
        ('"text"', INVALID_REQUEST),
        ('{"id":1,"method":"m"}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":null,"method":"m"}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":true,"method":"m"}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":{},"method":"m"}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":1,"method":5}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":1,"method":""}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","result":{}}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}', INVALID_PARAMS),
    ],
)
def test_what_is_no_frame_has_the_code_of_its_mistake(text: str, code: int) -> None:
    frame = parse(text)
    assert isinstance(frame, Malformed)
    assert frame.code == code


def test_an_answer_to_a_bad_request_names_it_where_it_can() -> None:
    frame = parse('{"jsonrpc":"2.0","id":"mine","method":"m","params":5}')
    assert isinstance(frame, Malformed)
    assert frame.id == "mine"


def test_frames_are_nested_so_deep_and_no_deeper() -> None:
    assert isinstance(parse(nested(MAX_DEPTH)), Request)
    assert isinstance(parse(nested(MAX_DEPTH + 1)), Malformed)
    assert isinstance(parse("[" * MAX_TEXT), Malformed)
    assert isinstance(parse('{"a":' * (MAX_TEXT // 5)), Malformed)


def test_frames_and_ids_are_so_long_and_no_longer() -> None:
    assert isinstance(parse(request_text("i" * MAX_ID, "m" * MAX_ID, {})), Request)
    assert isinstance(parse(request_text("i" * (MAX_ID + 1), "m", {})), Malformed)
    assert isinstance(parse(request_text("i", "m" * (MAX_ID + 1), {})), Malformed)
    assert isinstance(parse(request_text(1 << 63, "m", {})), Malformed)
    frame = request_text("i", "m", {"a": ""})
    filler = "a" * (MAX_TEXT - len(frame))
    assert isinstance(parse(request_text("i", "m", {"a": filler})), Request)
    assert isinstance(parse(request_text("i", "m", {"a": filler + "a"})), Malformed)


def test_texts_of_other_scripts_come_through() -> None:
    frame = parse(request_text(1, "m", {"text": "zażółć \U0001f600"}))
    assert isinstance(frame, Request)
    assert frame.params["text"] == "zażółć \U0001f600"


def test_parameters_are_shown_by_no_repr() -> None:
    assert "4242" not in repr(parse(request_text(1, "m", {"digits": "4242"})))
    assert "4242" not in repr(parse(result_text(1, {"digits": "4242"})))


def test_an_error_without_an_id_says_null() -> None:
    assert json.loads(error_text(None, PARSE_ERROR, "no"))["id"] is None
