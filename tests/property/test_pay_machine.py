"""Whatever a caller, a connector and the clock do, a payment ends exactly once and leaves no digit behind."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pay.commands import Finish
from engine.pay.fields import Step
from engine.pay.order import PayOrder
from engine.pay.results import Result
from engine.pay.states import TABLE, State
from tests.fuzz.fuzz_pay_machine import ACCOUNT, AMEX, ANSWERS, CARD_STEPS, CODE, KEYS, ORDERS, PAN, ROUTING, Case, run

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
CARD = (PAN + "#1229", CODE[:3], "1#")
PATHS = {
    State.IDLE: (),
    State.PROMPTING: ("start",),
    State.WAITING: ("start", "prompt"),
    State.COLLECTING: ("start", "4"),
    State.CONFIRMING: ("start", *CARD),
    State.DECIDING: ("start", *CARD, "prompt"),
    State.PROCESSING: ("start", *CARD, "1"),
    State.AWAITING: ("start", *CARD, "1", "prompt"),
    State.ANSWERED: ("start", *CARD, "1", "paid"),
    State.COMPLETING: ("start", *CARD, "1", "prompt", "paid"),
    State.RETRYING: ("start", *CARD, "1", "prompt", "declined"),
    State.FAILING: ("start", *CARD, "1", "prompt", "unknown"),
    State.CANCELING: ("start", "*"),
    State.ABANDONED: ("start", *CARD, "1", "hang up"),
    State.FINISHED: ("start", "hang up"),
}
CONFIRMED = PayOrder(amount="1.00", confirm=True)

# Both entries of steps that have to match, at every place of the second one.
TWICE = PayOrder(amount="1.00", matching=frozenset({Step.CARD_NUMBER, Step.SECURITY_CODE}), max_attempts=2)
BANK_TWICE = PayOrder(amount="1.00", method="ach-debit", matching=frozenset({Step.ACCOUNT_NUMBER}), confirm=True)
SECOND_ENTRIES: dict[str, tuple[PayOrder, tuple[str, ...]]] = {
    "asked": (TWICE, ("start", PAN + "#")),
    "being keyed": (TWICE, ("start", PAN + "#", "424")),
    "not the same": (TWICE, ("start", PAN + "#", AMEX)),
    "silent": (TWICE, ("start", PAN + "#", "prompt", "#")),
    "code": (TWICE, ("start", (PAN + "#") * 2, "1229", CODE[:3])),
    "account": (BANK_TWICE, ("start", ROUTING, ACCOUNT + "#")),
    "account confirmed": (BANK_TWICE, ("start", ROUTING, (ACCOUNT + "#") * 2, "1")),
}


def led(order: PayOrder, moves: tuple[str, ...]) -> Case:
    case = Case(order)
    for move in moves:
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
    assert led(CONFIRMED, PATHS[state]).machine.state is state
    assert set(PATHS) == {before for before, _ in TABLE} | {State.FINISHED}


@pytest.mark.parametrize("state", State)
@settings(max_examples=30, deadline=None)
@given(inputs=st.binary(max_size=30))
def test_from_every_state_any_inputs_end_in_one_result(state: State, inputs: bytes) -> None:
    case = led(CONFIRMED, PATHS[state])
    for opcode in inputs:
        case.step(opcode)
    case.end()


@pytest.mark.parametrize("place", SECOND_ENTRIES)
@settings(max_examples=30, deadline=None)
@given(inputs=st.binary(max_size=30))
def test_from_every_place_of_a_second_entry_any_inputs_end_in_one_result(place: str, inputs: bytes) -> None:
    case = led(*SECOND_ENTRIES[place])
    assert not case.finished
    for opcode in inputs:
        case.step(opcode)
    case.end()


@pytest.mark.parametrize("end", ["hang up", "stop", "fault", "*"])
@pytest.mark.parametrize("place", SECOND_ENTRIES)
def test_both_entries_are_wiped_however_it_ends(place: str, end: str) -> None:
    case = led(*SECOND_ENTRIES[place])
    assert any(len(secret) for secret in case.secrets.values()) or place == "not the same"
    if end == "*":
        case.keys(end)
    elif end == "hang up":
        case.machine.hang_up(case.now)
    elif end == "stop":
        case.machine.stop(case.now)
    else:
        case.fault()
    case.check()
    if case.submissions:
        case.answer(ANSWERS[3])
    assert all(secret.wiped or len(secret) == 0 for secret in case.secrets.values())
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
        assert last.result.result in {
            Result.CALLER_INTERRUPTED_WITH_STAR,
            Result.TOO_MANY_FAILED_ATTEMPTS,
            *([Result.CANCELED] if ORDERS[order].confirm else []),
        }
    case.end()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["4242424242424242#", "378282246310005", "5555555555554444", "4222222222222#"]),
    st.dates(date(2026, 11, 21), date(2046, 10, 1)),
    st.text("0123456789", min_size=1, max_size=11),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.sets(st.sampled_from(CARD_STEPS)),
)
def test_what_was_keyed_is_what_is_submitted(
    number: str, expiry: date, postal: str, waits: list[bool], matching: set[Step]
) -> None:
    case = Case(PayOrder(amount="1.00", matching=frozenset(matching)))
    code = "1234" if number.startswith("37") else "123"
    case.machine.start(case.now)
    case.check()
    entries = (number, f"{expiry:%m%y}", code, postal + "#")
    for step, entry, wait in zip(CARD_STEPS, entries, waits, strict=True):
        if wait:
            case.machine.prompt_finished(case.token, case.now)
            case.now += 4.9
            case.check()
        case.keys(entry * (2 if step in matching else 1))
    (submission,) = case.submissions
    assert submission.card_number is not None
    assert submission.security_code is not None
    assert bytes(submission.card_number.view()) == number.rstrip("#").encode()
    assert bytes(submission.security_code.view()) == code.encode()
    assert submission.expiry_month + submission.expiry_year == f"{expiry:%m%y}"
    assert submission.postal_code == postal
    case.end()
