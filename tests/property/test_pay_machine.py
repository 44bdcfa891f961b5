"""Whatever a caller, a connector and the clock do, a payment ends exactly once and leaves no digit behind."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pay.commands import Finish
from engine.pay.order import PayOrder
from engine.pay.results import Result
from engine.pay.states import TABLE, State
from tests.fuzz.fuzz_pay_machine import ANSWERS, CODE, KEYS, ORDERS, PAN, Case, run

START = 255
ANSWER = 215


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ORDERS) - 1), st.binary(max_size=60))
def test_any_inputs_in_any_order_end_in_one_result_and_wiped_secrets(order: int, inputs: bytes) -> None:
    run(bytes([order, START]) + inputs)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_a_machine_that_was_perhaps_never_started_ends_too(inputs: bytes) -> None:
    run(inputs)


# What leads into each state; from there anything may happen.
PATHS = {
    State.IDLE: (),
    State.PROMPTING: ("start",),
    State.WAITING: ("start", "prompt"),
    State.COLLECTING: ("start", "4"),
    State.PROCESSING: ("start", PAN + "#1229", CODE[:3], "1#"),
    State.AWAITING: ("start", PAN + "#1229", CODE[:3], "1#", "prompt"),
    State.ANSWERED: ("start", PAN + "#1229", CODE[:3], "1#", "paid"),
    State.COMPLETING: ("start", PAN + "#1229", CODE[:3], "1#", "prompt", "paid"),
    State.RETRYING: ("start", PAN + "#1229", CODE[:3], "1#", "prompt", "declined"),
    State.FAILING: ("start", PAN + "#1229", CODE[:3], "1#", "prompt", "unknown"),
    State.CANCELING: ("start", "*"),
    State.ABANDONED: ("start", PAN + "#1229", CODE[:3], "1#", "hang up"),
    State.FINISHED: ("start", "hang up"),
}


def led_to(state: State) -> Case:
    case = Case(PayOrder(amount="1.00"))
    for move in PATHS[state]:
        if move == "start":
            case.machine.start(case.now)
        elif move == "prompt":
            case.machine.prompt_finished(case.token, case.now)
        elif move == "hang up":
            case.machine.hang_up(case.now)
        elif move in {"paid", "declined", "unknown"}:
            case.answer(ANSWERS[("paid", "declined", "", "", "unknown").index(move)])
        else:
            case.keys(move)
        case.check()
    return case


@pytest.mark.parametrize("state", State)
def test_the_paths_lead_to_their_states(state: State) -> None:
    assert led_to(state).machine.state is state
    assert set(PATHS) == {before for before, _ in TABLE} | {State.FINISHED}


@pytest.mark.parametrize("state", State)
@settings(max_examples=30, deadline=None)
@given(inputs=st.binary(max_size=30))
def test_from_every_state_any_inputs_end_in_one_result(state: State, inputs: bytes) -> None:
    case = led_to(state)
    for opcode in inputs:
        case.step(opcode)
    case.end()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(KEYS)), max_size=80), st.integers(0, len(ORDERS) - 1))
def test_keys_alone_never_make_a_result_other_than_canceled_or_given_up(keys: list[str], order: int) -> None:
    case = Case(ORDERS[order])
    case.machine.start(case.now)
    case.keys("".join(keys))
    if case.finished:
        last = case.log[-1]
        assert isinstance(last, Finish)
        assert last.result.result in {Result.CALLER_INTERRUPTED_WITH_STAR, Result.TOO_MANY_FAILED_ATTEMPTS}
    case.end()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["4242424242424242#", "378282246310005", "5555555555554444", "4222222222222#"]),
    st.dates(date(2026, 11, 21), date(2046, 10, 1)),
    st.text("0123456789", min_size=1, max_size=11),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_what_was_keyed_is_what_is_submitted(number: str, expiry: date, postal: str, waits: list[bool]) -> None:
    case = Case(PayOrder(amount="1.00"))
    code = "1234" if number.startswith("37") else "123"
    case.machine.start(case.now)
    case.check()
    for entry, wait in zip((number, f"{expiry:%m%y}", code, postal + "#"), waits, strict=True):
        if wait:
            case.machine.prompt_finished(case.token, case.now)
            case.now += 4.9
            case.check()
        case.keys(entry)
    (submission,) = case.submissions
    assert submission.card_number is not None
    assert submission.security_code is not None
    assert bytes(submission.card_number.view()) == number.rstrip("#").encode()
    assert bytes(submission.security_code.view()) == code.encode()
    assert submission.expiry_month + submission.expiry_year == f"{expiry:%m%y}"
    assert submission.postal_code == postal
    case.end()
