"""Fuzz target: bytes as the attributes and prompts of a ``<Pay>``, on to its order and to a payment by it.

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any document: a request whose URLs are absolute and
https, with prompts in their bounds, or a refusal with a number of the vendor's; and a payment by that order that can be
begun and ended, once, with parameters that a form body can hold.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.connectors.protocol import Capabilities
from engine.dialects.twilio import form_body
from engine.dialects.twiml.pay import (
    MAX_ACTIONS,
    PayRefused,
    PaySettings,
    pay_request,
    refusal_parameters,
    result_parameters,
    status_parameters,
)
from engine.dialects.twiml.verbs import Pause, Pay, PayPrompt, Play, Say, Spoken
from engine.pay.commands import EmitStatus, Finish
from engine.pay.machine import PayMachine
from engine.pay.rules import PayErrorCode
from engine.pay.submission import PaymentMethod, TokenType

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b"chargeAmount=10.50&currency=eur&action=/done&statusCallback=status",
    b"paymentMethod=ach-debit&bankAccountType=consumer-savings\x00for=bank-account-number&requireMatchingInputs=true",
    b"validCardTypes=['visa', 'jcb']&postalCode=94105\x00for=security-code&cardType=visa&attempt=[1, 2]&say=Code",
    b"paymentConnectorUrl=https://gw.example/&tokenType=one-time\x00name=postal-code&errorType=timeout&play=ding.wav",
    b"language=sv-SE&timeout=600&maxAttempts=3&minPostalCodeLength=5\x00for=expiration-date&pause=9",
    b"action=https://[::1&input=dtmf",
)
SETTINGS = PaySettings(
    base_url="https://app.example/voice/pay",
    connectors={
        "sandbox": Capabilities(methods=frozenset(PaymentMethod), token_types=frozenset(TokenType)),
    },
    default_connector="sandbox",
)


def one_input(data: bytes) -> None:
    """Make a ``<Pay>`` of the bytes and check; raises whatever should not happen."""
    head, *rest = data.decode("utf-8", "replace").split("\x00")
    pay = Pay(attributes=_attributes(head), prompts=tuple(map(_prompt, rest[:8])), parameters=(("name", head[:20]),))
    try:
        request = pay_request(pay, SETTINGS)
    except PayRefused as refused:
        PayErrorCode(refused.code)
        form_body(refusal_parameters(refused, pay))
        return
    for url in (request.action, request.status_callback, request.connector_url):
        assert not url or url.startswith("https://")
    order = request.order
    assert all(0 < len(rule.actions) <= MAX_ACTIONS for rule in order.prompts)
    machine = PayMachine(order, today=lambda: date(2026, 11, 22), transaction_id=lambda: "t")
    machine.start(0.0)
    for key in data[:40]:
        machine.digit(key % 12, 0.0)
    machine.stop(0.0)
    machine.hang_up(0.0)
    finished = 0
    while (command := machine.next_command()) is not None:
        if isinstance(command, EmitStatus):
            form_body(status_parameters("AC", "0" * 32, order, command.status))
        elif isinstance(command, Finish):
            form_body(result_parameters(command.result, order))
            finished += 1
    assert finished <= 1  # a payment that is at its connector waits for the answer


def _attributes(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split("&") if "=" in part)


def _prompt(text: str) -> PayPrompt:
    attributes = _attributes(text)
    spoken: list[Spoken] = [Say(text=attributes.pop("say", "?"), loop=len(text) % 40)]
    if "play" in attributes:
        spoken.append(Play(url=attributes.pop("play")))
    if "pause" in attributes:
        spoken.append(Pause(length_s=len(attributes.pop("pause")) * 100.0))
    return PayPrompt(attributes=attributes, spoken=tuple(spoken))


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
