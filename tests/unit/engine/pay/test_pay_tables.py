"""The tables of both pay machines are complete, consistent, and can always end."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from types import ModuleType

import pytest

from engine.pay import capture, capture_states, machine, states
from engine.pay.base import Outside

TABLES = pytest.mark.parametrize("table", [states, capture_states], ids=["asking", "capture"])
PAIRS = [
    pytest.param(table, *pair, id=f"{name}-{pair[0].name}-{pair[1].name}")
    for name, table in (("asking", states), ("capture", capture_states))
    for pair in sorted(product(table.State, table.Input))
]


@pytest.mark.parametrize(("table", "state", "event"), PAIRS)
def test_every_pair_is_in_the_table_or_ignored_and_never_both(
    table: ModuleType, state: StrEnum, event: StrEnum
) -> None:
    assert ((state, event) in table.TABLE) != ((state, event) in table.IGNORED)


@TABLES
def test_nothing_else_is_in_the_table_or_ignored(table: ModuleType) -> None:
    assert len(table.TABLE) + len(table.IGNORED) == len(table.State) * len(table.Input)


@pytest.mark.parametrize(
    ("table", "actions"), [(states, machine._ACTIONS), (capture_states, capture._ACTIONS)], ids=["asking", "capture"]
)
def test_every_action_is_used_and_can_be_done(table: ModuleType, actions: dict[StrEnum, object]) -> None:
    assert {do for _, do in table.TABLE.values()} == set(table.Do)
    assert set(actions) == set(table.Do)


@TABLES
def test_every_state_can_be_reached_and_finished_is_left_by_nothing(table: ModuleType) -> None:
    reached = {table.State.IDLE}
    for _ in table.State:
        reached |= {after for (before, _), (after, _) in table.TABLE.items() if before in reached}
    assert reached == set(table.State)
    assert not [pair for pair in table.TABLE if pair[0] is table.State.FINISHED]


@TABLES
def test_whatever_comes_from_outside_is_an_input(table: ModuleType) -> None:
    assert {what.name for what in Outside} <= set(table.Input.__members__)
