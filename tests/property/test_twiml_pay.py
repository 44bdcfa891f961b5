"""Whatever a ``<Pay>`` says: an order or a number of the vendor's. Whatever is keyed: no parameter tells a secret."""

from __future__ import annotations

import re
from datetime import date
from itertools import count

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.connectors.protocol import Capabilities
from engine.dialects.twilio import form_body
from engine.dialects.twiml.pay import (
    ATTRIBUTES,
    OTHER_ATTRIBUTES,
    PROMPT_ATTRIBUTES,
    PayRefused,
    PaySettings,
    pay_request,
    refusal_parameters,
    result_parameters,
    status_parameters,
)
from engine.dialects.twiml.verbs import Pause, Pay, PayPrompt, Play, Say
from engine.pay.commands import EmitStatus, Finish, Submit
from engine.pay.fields import ErrorType, Step
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.rules import PayErrorCode
from engine.pay.submission import ConnectorAnswer, Outcome, PaymentMethod, Submission, TokenType
from tests.fuzz import fuzz_twiml_pay

FULL = Capabilities(methods=frozenset(PaymentMethod), token_types=frozenset(TokenType))
WORDS = st.one_of(
    st.sampled_from(
        (
            *(
                "",
                "true",
                "FALSE",
                "0",
                "1",
                "3",
                "11",
                "10.50",
                "-1",
                "1e9",
                "usd",
                "JPY",
                "zzz",
                "Default",
                "sandbox",
            ),
            *("ach-debit", "credit-card", "visa amex", "['visa', 'jcb']", "[1, 2]", "consumer-checking", "one-time"),
            *(
                "/done",
                "https://app.example/",
                "http://app.example/",
                "//[",
                "mailto:x",
                "GET",
                "post",
                "dtmf",
                "en-GB",
            ),
            *(str(step) for step in Step),
            *(str(error) for error in ErrorType),
        )
    ),
    st.text(max_size=12),
)
SPOKEN = st.one_of(
    st.builds(Say, text=st.text(max_size=20), loop=st.integers(-1, 1000)),
    st.builds(Play, url=WORDS, digits=st.text("0123456789w*#", max_size=4), loop=st.integers(-1, 1000)),
    st.builds(Pause, length_s=st.floats(-1, 1e9)),
)
PROMPTS = st.lists(
    st.builds(
        PayPrompt,
        attributes=st.dictionaries(st.sampled_from((*PROMPT_ATTRIBUTES, "name")), WORDS),
        spoken=st.lists(SPOKEN, max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)
PAYS = st.builds(
    Pay,
    attributes=st.dictionaries(st.sampled_from((*ATTRIBUTES, *OTHER_ATTRIBUTES)), WORDS, max_size=6),
    prompts=PROMPTS,
    parameters=st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=3).map(tuple),
)


def settings_of(base_url: str = "https://app.example/pay", *, allow_insecure: bool = False) -> PaySettings:
    return PaySettings(
        base_url=base_url, connectors={"sandbox": FULL}, default_connector="sandbox", allow_insecure=allow_insecure
    )


@given(PAYS, st.sampled_from(("", "https://app.example/pay", "http://app.example/", "nonsense")), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_pay_is_a_request_or_a_number(pay: Pay, base_url: str, insecure: bool) -> None:
    refusal: PayRefused | None = None
    try:
        request = pay_request(pay, settings_of(base_url, allow_insecure=insecure))
    except PayRefused as refused:
        refusal = refused
    if refusal is not None:
        assert refusal.code in tuple(PayErrorCode)
        assert dict(refusal_parameters(refusal, pay))["Result"] == "validation-error"
        assert form_body(refusal_parameters(refusal, pay))
        return
    assert request.action.startswith(("https://", "http://") if insecure else "https://")
    assert bool(request.connector) != bool(request.connector_url)
    assert all(len(rule.actions) <= 32 for rule in request.order.prompts)


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz_twiml_pay.SEEDS:
        fuzz_twiml_pay.one_input(seed)


CARD, AMEX, ROUTING, ACCOUNT, CODE = "4000000000000000006", "378282246310005", "021000021", "98765432109876", "739"
KEYS = st.lists(
    st.sampled_from(
        (f"{CARD}#", AMEX, "4111#", "1228", "1399", f"{CODE}#", "94105#", ROUTING, f"{ACCOUNT}#", "#", "*")
    ),
    max_size=14,
)
OUTCOMES = st.sampled_from(Outcome)
LONG = re.compile("[0-9]{12}")


class Payment:
    """A payment at whose end the connector repeats in every field what it was sent."""

    def __init__(self, order: PayOrder, outcome: Outcome) -> None:
        ids = count()
        self.order = order
        self.outcome = outcome
        self.machine = PayMachine(order, today=lambda: date(2026, 11, 22), transaction_id=lambda: f"t{next(ids)}")
        self.told: list[tuple[str, str]] = []
        self.n_results = 0
        self.machine.start(0.0)
        self.drain()

    def answer_to(self, submission: Submission) -> ConnectorAnswer:
        source = submission.card_number or submission.account_number
        assert source is not None
        code = bytes(submission.security_code.view()).decode() if submission.security_code is not None else "none"
        number = bytes(source.view()).decode()
        return ConnectorAnswer(
            outcome=self.outcome,
            charge_id=f"ch_{number}",
            token_id=f"tok_{number}",
            error_code=number,
            error_message=f"no to {number} with {code}",
            parameters={"echo": number},
        )

    def drain(self) -> None:
        while (command := self.machine.next_command()) is not None:
            if isinstance(command, EmitStatus):
                self.told += status_parameters("AC", "0" * 32, self.order, command.status)
            elif isinstance(command, Finish):
                self.told += result_parameters(command.result, self.order)
                self.n_results += 1
            elif isinstance(command, Submit):
                self.machine.connector_answered(self.answer_to(command.submission), 0.0)

    def key(self, text: str) -> None:
        for key in text:
            self.machine.digit({"*": 10, "#": 11}[key] if key in "*#" else int(key), 0.0)
            self.drain()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "paymentMethod": st.sampled_from(("credit-card", "ach-debit")),
            "chargeAmount": st.just("10"),
            "maxAttempts": st.sampled_from(("1", "3")),
            "securityCode": st.sampled_from(("true", "false")),
            "postalCode": st.sampled_from(("true", "false")),
        },
    ),
    KEYS,
    OUTCOMES,
)
@example({"chargeAmount": "10"}, [f"{CARD}#", "1228", CODE, "94105#"], Outcome.SUCCEEDED)
@example({"chargeAmount": "10"}, [f"{CARD}#", "1228", CODE, "94105#"], Outcome.DECLINED)
@example({"paymentMethod": "ach-debit"}, [ROUTING, f"{ACCOUNT}#"], Outcome.DECLINED)
@settings(max_examples=60, deadline=None)
def test_no_parameter_tells_a_secret(attributes: dict[str, str], keyed: list[str], outcome: Outcome) -> None:
    payment = Payment(pay_request(Pay(attributes=attributes), settings_of()).order, outcome)
    for entry in keyed:
        payment.key(entry)
    payment.machine.hang_up(0.0)
    payment.drain()
    assert payment.n_results == 1
    for name, value in payment.told:
        if name == "CallSid":
            continue
        assert LONG.search(value) is None, name
        if name == "SecurityCode":
            assert set(value) == {"x"}
        if name in ("PaymentCardNumber", "BankAccountNumber"):
            assert sum(char.isdigit() for char in value) == (4 if name == "PaymentCardNumber" else 2)
        if name == "PaymentError":
            assert CODE not in value
