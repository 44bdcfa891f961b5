"""Fuzz requests to the Voice API: any octets are a body and a token; none is a fault of ours.

Runs by ``tests/fuzz/drive.py`` or under atheris; ``one_input(data)`` is one case, and the property tests call it too.
What must hold: whatever cannot be meant is a ``VoiceError`` of 400 in the vendor's shape, whose text repeats nothing of
the request; a call that is ordered can be dialled, without a line break or a header of others' making, and has an NCCO
that can be run; nobody is let in who has not the key.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.api.vonage.answers import VoiceError, read_object, refusal
from engine.api.vonage.orders import call_change, call_order, digits_order, stream_order, talk_order
from engine.api.vonage.tokens import TokenError, Tokens, acl_allows, bearer_token
from engine.config import Config, NccoApp
from engine.dialects.ncco.commands import Source
from engine.dialects.ncco.reading import read_ncco
from engine.errors import CallError
from engine.net.dialling import OutboundCall, plan_call
from tests.support.voice import SHOP, token_of, voice_config

__all__ = ("SEEDS", "one_input")

NOW = 1_800_000_000.0
NCCO = [{"action": "talk", "text": "Hello"}]
GOOD = {"to": [{"type": "phone", "number": "15550100777"}], "from": {"type": "phone", "number": "15550100001"}}
SIP = {"type": "sip", "uri": "sip:a@b:5070;transport=tcp", "headers": {"A": "1", "B": "2"}}
DESTINATION = {"type": "ncco", "ncco": NCCO}
SEEDS = (
    *tuple(
        json.dumps(body).encode()
        for body in (
            GOOD | {"ncco": NCCO, "ringing_timer": 20, "length_timer": 90},
            GOOD | {"ncco": [{"action": "pay", "amount": 9.99, "currency": "usd"}]},
            GOOD | {"to": [SIP], "answer_url": ["https://a.example/b"], "answer_method": "POST"},
            GOOD | {"from": None, "random_from_number": True, "ncco": NCCO, "event_url": ["https://a.example/e"]},
            {"action": "transfer", "destination": DESTINATION},
            {"action": "transfer", "destination": {"type": "ncco", "url": ["https://a.example/b"]}},
            {"action": "hangup"},
            {"text": "<speak>Hello</speak>", "language": "de-DE", "loop": 0, "level": -0.5, "style": 3},
            {"stream_url": ["https://a.example/b.wav"], "loop": 2, "level": 1},
            {"digits": "12p#"},
            {"paths": {"/*/calls/**": {"methods": ["GET"]}}},
        )
    ),
    b"eyJhbGciOiJub25lIn0.e30.",
    b"eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.AAAA",
    b'{"a": 1, "a": 2}',
    b"[[[[",
)


@cache
def _world() -> tuple[Config, NccoApp, Tokens]:
    with tempfile.TemporaryDirectory() as directory:
        config = voice_config(Path(directory))
        app = config.apps[SHOP]
        assert isinstance(app, NccoApp)
        return config, app, Tokens(config)


def one_input(data: bytes) -> None:
    """Try one input in every place where a stranger can put it."""
    config, app, tokens = _world()
    _token(tokens, data.decode("latin-1"))
    try:
        body = read_object(data)
    except VoiceError as error:
        _check(error)
        return
    acl_allows(body, "/v1/calls", "GET")
    for order in (talk_order, stream_order, digits_order):
        try:
            order(body)
        except VoiceError as error:
            _check(error)
    try:
        change = call_change(body, app, config)
        assert (change.source is not None) is (change.action == "transfer")
        _source(change.source, config)
    except VoiceError as error:
        _check(error)
    _order(body, app, config)


def _order(body: dict[str, Any], app: NccoApp, config: Config) -> None:
    try:
        order = call_order(body, app, config)
    except VoiceError as error:
        _check(error)
        return
    assert 1.0 <= order.ring_s <= 120.0
    _source(order.source, config)
    wanted = OutboundCall(to=order.to.to, caller=order.caller, ring_s=order.ring_s, headers=order.headers)
    try:
        plan = plan_call(wanted, config, own_host="127.0.0.1", own_port=5060)
    except CallError:
        return
    said = f"{plan.target}{plan.from_}{plan.headers(plan.target)!s}"
    assert said.isprintable(), "a line break would be a header"
    assert all(name.lower().startswith("x-") for name, _ in plan.headers(plan.target))


def _source(source: Source | None, config: Config) -> None:
    if source is None:
        return
    assert bool(source.text) is (source.answer is None)
    if source.text:
        read_ncco(source.text, max_bytes=config.vonage.max_document_kb * 1024)


@cache
def _good_token() -> tuple[str, str, str]:
    head, claims, signature = token_of(now=NOW).split(".")
    return head, claims, signature


def _token(tokens: Tokens, text: str) -> None:
    head, claims, signature = _good_token()
    for token in (text, f"{head}.{claims}.{text}", f"{head}.{text}.{signature}", f"{text}.{claims}.{signature}"):
        error = _refused(tokens, bearer_token(f"Bearer {token}"))
        assert len(str(error)) < 100
        assert len(token) < 12 or token not in str(error)


def _refused(tokens: Tokens, token: str) -> TokenError:
    try:
        tokens.check(token, "/v1/calls", "GET", NOW)
    except TokenError as error:
        return error
    raise AssertionError("let in")


def _check(error: VoiceError) -> None:
    assert error.status == 400
    answer = refusal(error)
    assert answer.text is not None
    assert len(answer.text) < 1000
    assert json.loads(answer.text)["type"] == "BAD_REQUEST"


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
