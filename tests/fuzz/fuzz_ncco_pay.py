"""Fuzz target: bytes as the members of ``pay`` in NCCOs, on to an order and a payment by it.

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any JSON: a charge of the amount that was written,
or a refusal with its place, which repeats no value; and a payment by that order that can be begun and ended, once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.connectors.protocol import Capabilities
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.pay import (
    MAX_PROMPTS,
    PayRequest,
    PaySettings,
    check_pay,
    pay_request,
    payment_details,
    payment_status,
)
from engine.pay.commands import Finish, Submit
from engine.pay.machine import PayMachine
from engine.pay.money import parse_amount
from engine.pay.order import PayOrder

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b'{"amount":25.5,"currency":"eur","voice":{"language":"en-GB","style":3}}4111111111111111#1228123',
    b'{"amount":"500.0","currency":"jpy","prompts":{"type":"CardNumber","text":"Number"}}378282246310005#*',
    b'{"amount":1E+2,"prompts":[{"type":"SecurityCode","text":"Code","errors":{"InvalidSecurityCode":{"text":"No"},'
    b'"Timeout":{"text":"Hello?"}}},{"type":"ExpirationDate","text":"Date"}],"voice":{"language":"pl-PL"}}4111#4111#',
    b'{"amount":0.001,"currency":null,"prompts":[],"voice":null}',
    b'{"amount":1e999999,"prompts":[[]]}',
)
WHERE = "[3]"


def one_input(data: bytes) -> None:
    """Take the bytes for members and, behind them, keys; raises whatever should not happen."""
    try:
        text = data.decode()
        members, end = json.JSONDecoder(parse_float=Decimal).raw_decode(text)
    except (ValueError, RecursionError, InvalidOperation):  # the last is a number that no Decimal is
        return
    if not isinstance(members, dict):
        return
    checked, asked = _refusal(lambda: check_pay(members, WHERE)), _refusal(lambda: _request(members))
    assert checked == asked
    if asked:
        return
    order = _request(members).order
    _charges(order, members["amount"])
    _pay(order, text[end:])


def _request(members: dict[str, Any]) -> PayRequest:
    return pay_request(members, PaySettings(capabilities=Capabilities()), WHERE)


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except NccoError as error:
        refused = error
    else:
        return ""
    assert refused.where.startswith(WHERE)
    assert refused.reason
    assert len(str(refused)) < 1000
    str(refused).encode()
    return str(refused)


def _charges(order: PayOrder, given: Any) -> None:
    assert not order.tokenizes
    assert parse_amount(order.amount, order.currency) == Decimal(given.strip() if isinstance(given, str) else given)
    assert order.valid_card_types == ("visa", "mastercard")
    assert len(order.prompts) <= MAX_PROMPTS * 4 + 12


def _pay(order: PayOrder, keys: str) -> None:
    machine = PayMachine(order, today=lambda: date(2026, 11, 22), transaction_id=lambda: "t")
    machine.start(0.0)
    for key in keys[:40]:
        machine.digit(ord(key) % 12, 0.0)
    machine.stop(0.0)
    machine.hang_up(0.0)
    finished = submitted = 0
    while (command := machine.next_command()) is not None:
        if isinstance(command, Submit):
            submitted += 1
        elif isinstance(command, Finish):
            result = command.result
            assert payment_status(result.result) == "failure"
            json.dumps(
                payment_details(
                    result=result.result,
                    error=result.payment_error,
                    charge_id=result.charge_id,
                    card_number=result.card_number,
                )
            )
            finished += 1
    assert finished + submitted == 1  # a payment that is at its connector waits for the answer


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
