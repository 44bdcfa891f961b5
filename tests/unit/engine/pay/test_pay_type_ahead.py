"""Keys pressed early are given back in order, and leave nothing behind."""

from __future__ import annotations

import pytest

from engine.pay.secret import MAX_CAPACITY
from engine.pay.type_ahead import TypeAhead

FINISH = 11


def taken(queue: TypeAhead) -> list[int]:
    codes = []
    while (code := queue.take()) is not None:
        codes.append(code)
    return codes


def test_keys_come_back_in_order() -> None:
    queue = TypeAhead()
    pressed = [FINISH, 4, 1, FINISH, FINISH, 0, 9, FINISH]
    for code in pressed:
        queue.keep(code)
    assert len(queue) == len(pressed)
    assert taken(queue) == pressed
    assert len(queue) == 0


def test_keys_may_be_added_while_others_are_taken() -> None:
    queue = TypeAhead()
    queue.keep(1)
    assert queue.take() == 1
    queue.keep(FINISH)
    queue.keep(2)
    assert taken(queue) == [FINISH, 2]


def test_as_many_keys_as_a_payment_has_fit() -> None:
    queue = TypeAhead()
    for _ in range(MAX_CAPACITY):
        queue.keep(7)
    assert taken(queue) == [7] * MAX_CAPACITY


@pytest.mark.parametrize("code", [7, FINISH])
def test_more_keys_than_fit_are_forgotten_all_and_not_cut_short(code: int) -> None:
    queue = TypeAhead()
    view = queue._digits.view()
    for _ in range(MAX_CAPACITY + 1):
        queue.keep(code)
    assert len(queue) == 0
    assert not any(view)
    queue.keep(4)
    queue.keep(FINISH)
    assert taken(queue) == []
    queue.flush()
    queue.keep(5)
    assert taken(queue) == [5]


def test_flushing_zeroes_the_digits_and_takes_new_ones() -> None:
    queue = TypeAhead()
    for code in (4, 1, FINISH, 1):
        queue.keep(code)
    view = queue._digits.view()
    assert queue.take() == 4
    queue.flush()
    assert bytes(view) == bytes(3)
    assert taken(queue) == []
    queue.keep(5)
    assert taken(queue) == [5]


def test_wiping_is_for_good() -> None:
    queue = TypeAhead()
    queue.keep(4)
    queue.keep(FINISH)
    queue.wipe()
    assert queue._digits.wiped
    assert taken(queue) == []
