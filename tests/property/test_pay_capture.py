"""Whatever an agent, a caller, a connector and the clock do, a session ends exactly once and leaves no digit behind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pay.capture_states import TABLE, State
from engine.pay.commands import Finish
from engine.pay.order import PayOrder
from engine.pay.results import Result
from tests.fuzz.fuzz_pay_capture import ANSWERS, CARD, CODE, ORDERS, SEEDS, Case, run

STEPS = ("payment-card-number", "expiration-date", "security-code", "postal-code")
ENTRIES = (CARD + "#", "1229", CODE[:3], "94105#")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_seeds_lead_to_payments(seed: bytes) -> None:
    last = run(seed).log[-1]
    assert isinstance(last, Finish)
    assert last.result.attempts == 1


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ORDERS) - 1), st.binary(max_size=60))
def test_any_inputs_in_any_order_end_in_one_result_and_wiped_secrets(order: int, inputs: bytes) -> None:
    run(bytes([order]) + inputs)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_a_machine_that_was_perhaps_never_started_ends_too(inputs: bytes) -> None:
    case = Case(ORDERS[1])
    for opcode in inputs:
        case.step(opcode)
    case.end()


# What leads into each state; from there anything may happen.
ALL = tuple(item for pair in zip(STEPS, ENTRIES, strict=True) for item in pair)
PATHS = {
    State.IDLE: (),
    State.OPEN: ("start",),
    State.ARMED: ("start", STEPS[0]),
    State.KEYING: ("start", STEPS[0], "4"),
    State.READING: ("start", *ALL, "complete"),
    State.CONFIRMING: ("start", *ALL, "complete", "prompt"),
    State.SUBMITTED: ("start", *ALL, "complete", "1"),
    State.FINISHED: ("start", *ALL, "complete", "1", "answer"),
}


def led_to(state: State) -> Case:
    case = Case(PayOrder(amount="1.00", confirm=True))
    for move in PATHS[state]:
        if move == "start":
            case.start()
        elif move == "complete":
            case.complete()
        elif move == "prompt":
            case.machine.prompt_finished(case.token, case.now)
            case.check()
        elif move == "answer":
            case.answer(ANSWERS[0])
        elif move in STEPS:
            case.capture(move)
        else:
            case.keys(move)
    return case


@pytest.mark.parametrize("state", State)
def test_the_paths_lead_to_their_states(state: State) -> None:
    assert led_to(state).machine.state is state
    assert set(PATHS) == {before for before, _ in TABLE} | {State.FINISHED}


@pytest.mark.parametrize("state", State)
@settings(max_examples=40, deadline=None)
@given(inputs=st.binary(max_size=30))
def test_from_every_state_any_inputs_end_in_one_result(state: State, inputs: bytes) -> None:
    case = led_to(state)
    for opcode in inputs:
        case.step(opcode)
    case.end()


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.booleans())
def test_steps_in_any_order_that_is_possible_are_what_is_submitted(places: list[int], again: bool) -> None:
    case = Case(PayOrder(amount="1.00"))
    case.start()
    for place in places:
        case.capture(STEPS[place])
        case.keys(ENTRIES[place])
        if again:  # a second time changes nothing
            case.capture(STEPS[place])
            case.keys(ENTRIES[place])
    if places.index(2) < places.index(0):
        assert case.machine.required == ("security-code",)
        case.capture("security-code")
        case.keys(ENTRIES[2])
    case.complete()
    (submission,) = case.submissions
    assert submission.card_number is not None
    assert submission.security_code is not None
    assert bytes(submission.card_number.view()) == CARD.encode()
    assert bytes(submission.security_code.view()) == CODE[:3].encode()
    assert (submission.expiry_month + submission.expiry_year, submission.postal_code) == ("1229", "94105")
    case.end()


@settings(max_examples=100, deadline=None)
@given(st.text("0123456789#*", max_size=80))
def test_without_the_agent_a_caller_cannot_do_anything(keys: str) -> None:
    case = Case(PayOrder(amount="1.00"))
    case.start()
    case.keys(keys)
    assert case.log == []
    case.end()
    last = case.log[-1]
    assert isinstance(last, Finish)
    assert last.result.result is Result.CALLER_HUNG_UP
