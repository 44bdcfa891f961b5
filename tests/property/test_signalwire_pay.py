"""Whatever ``pay`` of SWML and RELAY says: an order or a refusal. Whatever is keyed: nothing told holds a secret."""

from __future__ import annotations

import json
import re
from datetime import date
from itertools import count
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dialects.signalwire.pay import (
    OTHER_PROPERTIES,
    PROMPT_PROPERTIES,
    PROPERTIES,
    PayRefused,
    PayRequest,
    PaySettings,
    pay_request,
)
from engine.dialects.signalwire.pay_events import (
    refused_variables,
    relay_event_params,
    result_variables,
    status_params,
)
from engine.pay.commands import EmitStatus, Finish, Submit
from engine.pay.fields import ErrorType, Step
from engine.pay.machine import PayMachine
from engine.pay.rules import Dialect
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.fuzz import fuzz_signalwire_pay

DIALECTS = st.sampled_from((Dialect.SWML, Dialect.RELAY))
WORDS = st.one_of(
    st.sampled_from(
        (
            *("", "true", "FALSE", "0", "1", "3", "11", "10.50", "-1", "1e9", "usd", "JPY", "zzz", "dtmf", "speech"),
            *("credit-card", "visa amex", "one-time", "reusable", "en", "pl-PL", "94105", "2 3"),
            *("https://app.example/", "http://app.example/", "https://[", "mailto:x"),
            *map(str, Step),
            *map(str, ErrorType),
        )
    ),
    st.text(max_size=12),
)
VALUES = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
PROMPTS = st.lists(
    st.dictionaries(
        st.sampled_from(PROMPT_PROPERTIES),
        st.one_of(
            VALUES,
            st.lists(
                st.fixed_dictionaries({"type": st.sampled_from(("Say", "Play", "x")), "phrase": VALUES}), max_size=3
            ),
        ),
    ),
    max_size=3,
)
ALL = st.dictionaries(
    st.sampled_from((*PROPERTIES, *OTHER_PROPERTIES, "other")), st.one_of(VALUES, PROMPTS), max_size=6
)
URL = {"payment_connector_url": "https://gw.example/pay"}


@given(DIALECTS, ALL, st.booleans())
@settings(max_examples=60, deadline=None)
def test_properties_are_a_request_or_a_refusal(dialect: Dialect, properties: dict[str, Any], insecure: bool) -> None:
    refusal: PayRefused | None = None
    try:
        request = pay_request({**URL, **properties}, PaySettings(dialect=dialect, allow_insecure=insecure))
    except PayRefused as refused:
        refusal = refused
    if refusal is not None:
        assert refusal.code == "422"
        assert refusal.reason
        variables = refused_variables(refusal)
        assert variables["pay_result"] == "validation-error"
        json.dumps(variables).encode()
        return
    assert request.connector_url.lower().startswith(("https://", "http://") if insecure else "https://")
    assert all(0 < len(rule.actions) <= 32 for rule in request.order.prompts)


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz_signalwire_pay.SEEDS:
        fuzz_signalwire_pay.one_input(seed)


CARD, AMEX, CODE = "4000000000000000006", "378282246310005", "739"
KEYS = st.lists(
    st.sampled_from((f"{CARD}#", AMEX, "4111#", "1228", "1399", f"{CODE}#", "94105#", "#", "*")), max_size=14
)
LONG = re.compile("[0-9]{12}")
IDS = {"call_id": "c" * 32, "control_id": "p"}


class Payment:
    """A payment whose connector repeats in every field what it was sent; all that is told of it is kept."""

    def __init__(self, request: PayRequest, outcome: Outcome) -> None:
        ids = count()
        self.request = request
        self.outcome = outcome
        self.machine = PayMachine(
            request.order, today=lambda: date(2026, 11, 22), transaction_id=lambda: f"t{next(ids)}"
        )
        self.told: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.n_results = 0
        self.machine.start(0.0)
        self.drain()

    def answer_to(self, submission: Submission) -> ConnectorAnswer:
        assert submission.card_number is not None
        code = bytes(submission.security_code.view()).decode() if submission.security_code is not None else "none"
        number = bytes(submission.card_number.view()).decode()
        return ConnectorAnswer(
            outcome=self.outcome,
            charge_id=f"ch_{number}",
            token_id=f"tok_{number}",
            error_code=number,
            error_message=f"no to {number} with {code}",
            error_type="card-declined" if self.outcome is Outcome.DECLINED else "",
        )

    def drain(self) -> None:
        while (command := self.machine.next_command()) is not None:
            match command:
                case EmitStatus(status):
                    self.tell(relay_event_params(self.request, status, **IDS))
                    self.told.append(status_params(self.request, status, **IDS))
                case Finish(result):
                    self.tell(relay_event_params(self.request, result, **IDS))
                    self.told += [
                        status_params(self.request, result, **IDS),
                        result_variables(result, self.request.order)["pay_payment_results"],
                    ]
                    self.n_results += 1
                case Submit(submission):
                    self.machine.connector_answered(self.answer_to(submission), 0.0)

    def tell(self, event: dict[str, Any]) -> None:
        self.states.append(event["state"])
        self.told.append(event)

    def key(self, text: str) -> None:
        for key in text:
            self.machine.digit({"*": 10, "#": 11}[key] if key in "*#" else int(key), 0.0)
            self.drain()


@given(
    DIALECTS,
    st.fixed_dictionaries(
        {},
        optional={
            "charge_amount": st.just("10"),
            "max_attempts": st.sampled_from((0, "1", 3)),
            "security_code": st.booleans(),
            "postal_code": st.booleans(),
        },
    ),
    KEYS,
    st.sampled_from(Outcome),
)
@example(Dialect.RELAY, {"charge_amount": "10"}, [f"{CARD}#", "1228", CODE, "94105#"], Outcome.SUCCEEDED)
@example(Dialect.SWML, {"charge_amount": "10"}, [f"{CARD}#", "1228", CODE, "94105#"], Outcome.DECLINED)
@settings(max_examples=60, deadline=None)
def test_nothing_told_holds_a_secret_and_the_end_is_told_once(
    dialect: Dialect, properties: dict[str, Any], keyed: list[str], outcome: Outcome
) -> None:
    payment = Payment(pay_request({**URL, **properties}, PaySettings(dialect=dialect)), outcome)
    for entry in keyed:
        payment.key(entry)
    payment.machine.hang_up(0.0)
    payment.drain()
    assert payment.n_results == 1
    assert set(payment.states[:-1]) <= {"collecting"}
    assert payment.states[-1] in ("finished", "error")
    for told in payment.told:
        for name, value in told.items():
            text = json.dumps(value)
            assert LONG.search(text) is None, name
            if name in ("security_code", "payment_card_security_code"):
                assert set(value) <= {"*"}
            if name == "payment_card_number":
                assert sum(char.isdigit() for char in value) in (0, 4)
            if name in ("payment_error", "connector_error"):
                assert CODE not in text
