"""Fuzz target: bytes as the properties of ``pay`` in SWML and RELAY, on to an order and a payment by it.

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any JSON: a request whose URLs are https, with
prompts in their bounds, or a refusal by a code of RELAY's; and a payment by that order that can be begun and ended,
once, with statuses, variables and events that JSON can hold.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.signalwire.pay import MAX_ACTIONS, MAX_PROMPTS, PayRefused, PayRequest, PaySettings, pay_request
from engine.dialects.signalwire.pay_events import (
    refused_variables,
    relay_event_params,
    result_variables,
    status_params,
)
from engine.pay.commands import EmitStatus, Finish
from engine.pay.machine import PayMachine
from engine.pay.results import PayResult, PayStatus
from engine.pay.rules import Dialect

__all__ = ("SEEDS", "one_input")

_URL = b'{"payment_connector_url":"https://gw.example/pay"'
SEEDS = (
    _URL + b',"charge_amount":"10.50","currency":"eur","status_url":"https://app.example/status","timeout":7}',
    _URL + b',"charge_amount":29.99,"security_code":"false","postal_code":"94105","max_attempts":"3"}',
    _URL + b',"valid_card_types":"visa, jcb","parameters":[{"name":"shop","value":"7"}],"token_type":"one-time"}',
    _URL + b',"prompts":[{"for":"payment-card-number","attempts":"2 3","error_type":"timeout","card_type":"visa amex",'
    b'"actions":[{"type":"Say","phrase":"Number"},{"type":"Play","phrase":"https://app.example/ding.wav"}]}]}',
    _URL + b',"input":"speech","language":"pl-PL","voice":"woman","min_postal_code_length":5,"description":null}',
    b'{"payment_connector_url":"https://[::1","prompts":[[]]}',
)
IDS = {"call_id": "c" * 32, "control_id": "p"}


def one_input(data: bytes) -> None:
    """Take the bytes for properties and check; raises whatever should not happen."""
    try:
        properties = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(properties, dict):
        return
    for dialect in (Dialect.SWML, Dialect.RELAY):
        asked = _asked(properties, dialect)
        if isinstance(asked, PayRefused):
            assert asked.code == "422"
            assert asked.reason
            json.dumps(refused_variables(asked)).encode()
            continue
        request = asked
        assert request.connector_url.lower().startswith("https://")
        assert request.status_url.lower().startswith("https://") or not request.status_url
        assert len(request.order.prompts) <= MAX_PROMPTS * 10
        assert all(0 < len(rule.actions) <= MAX_ACTIONS for rule in request.order.prompts)
        _pay(request, data)


def _asked(properties: Mapping[str, Any], dialect: Dialect) -> PayRequest | PayRefused:
    try:
        return pay_request(properties, PaySettings(dialect=dialect))
    except PayRefused as refused:
        return refused


def _pay(request: PayRequest, keys: bytes) -> None:
    machine = PayMachine(request.order, today=lambda: date(2026, 11, 22), transaction_id=lambda: "t")
    machine.start(0.0)
    for key in keys[:40]:
        machine.digit(key % 12, 0.0)
    machine.stop(0.0)
    machine.hang_up(0.0)
    finished = 0
    while (command := machine.next_command()) is not None:
        match command:
            case EmitStatus():
                _told(request, command.status)
            case Finish():
                _told(request, command.result)
                json.dumps(result_variables(command.result, request.order))
                finished += 1
    assert finished <= 1  # a payment that is at its connector waits for the answer


def _told(request: PayRequest, what: PayStatus | PayResult) -> None:
    json.dumps(status_params(request, what, **IDS)).encode()
    json.dumps(relay_event_params(request, what, **IDS)).encode()


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
