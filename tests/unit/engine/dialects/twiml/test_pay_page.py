"""docs/twilio-pay.md names every attribute, every prompt's attribute and every parameter."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.dialects.twiml.pay import (
    ATTRIBUTES,
    OTHER_ATTRIBUTES,
    PROMPT_ATTRIBUTES,
    result_parameters,
    status_parameters,
)
from engine.pay.results import ConnectorFault, PayResult, PayStatus, Result
from engine.pay.rules import RULES, Dialect, order_for
from engine.pay.submission import Operation, Outcome, PaymentMethod

PAGE = (Path(__file__).parents[5] / "docs" / "twilio-pay.md").read_text(encoding="utf-8")
EVERYTHING = {
    "card_number": "x",
    "card_type": "x",
    "expiration_date": "x",
    "security_code": "x",
    "postal_code": "x",
    "account_number": "x",
    "routing_number": "x",
}


def parameters() -> set[str]:
    order = order_for(Dialect.TWIML)
    found: set[str] = set()
    for method in PaymentMethod:
        status = PayStatus(step=order.steps[0], payment_method=method, **EVERYTHING)  # type: ignore[arg-type]
        found |= dict(status_parameters("AC", "c", order, status)).keys()
        for result in (Result.SUCCESS, Result.PAYMENT_CONNECTOR_ERROR):
            end = PayResult(
                result=result,
                operation=Operation.CHARGE,
                payment_method=method,
                outcome=Outcome.DECLINED,
                charge_id="x",
                token_id="x",
                profile_id="x",
                payment_error="x",
                connector_error=ConnectorFault(code="x", message="x"),
                **EVERYTHING,  # type: ignore[arg-type]
            )
            found |= dict(result_parameters(end, order)).keys()
    return found


@pytest.mark.parametrize("name", [*ATTRIBUTES, *OTHER_ATTRIBUTES, *PROMPT_ATTRIBUTES])
def test_an_attribute_is_described(name: str) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", sorted(parameters()))
def test_a_parameter_is_described(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("result", [result for result in Result if RULES[Dialect.TWIML].result_name(result)])
def test_a_result_is_described(result: Result) -> None:
    assert f"`{RULES[Dialect.TWIML].result_name(result)}`" in PAGE
