from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.timers import Timer, TimerQueue, TimerValues


class Owner:
    def __init__(self) -> None:
        self.fired: list[tuple[Timer, float]] = []

    def handle_timer(self, timer: Timer, now: float) -> None:
        self.fired.append((timer, now))


def test_timers_come_out_by_deadline_and_not_before() -> None:
    queue, owner = TimerQueue(), Owner()
    for timer, at in ((Timer.B, 3.0), (Timer.A, 1.0), (Timer.D, 2.0)):
        queue.arm(owner, timer, at)
    assert queue.next_at() == 1.0
    assert queue.pop_due(0.9) is None
    popped = [queue.pop_due(5.0) for _ in range(4)]
    assert [due[1] for due in popped if due] == [Timer.A, Timer.D, Timer.B]
    assert queue.next_at() is None


def test_arming_again_replaces_the_deadline() -> None:
    queue, owner = TimerQueue(), Owner()
    queue.arm(owner, Timer.A, 1.0)
    queue.arm(owner, Timer.A, 9.0)
    assert len(queue) == 1
    assert queue.next_at() == 9.0


def test_a_stopped_timer_does_not_fire() -> None:
    queue, owner, other = TimerQueue(), Owner(), Owner()
    queue.arm(owner, Timer.A, 1.0)
    queue.arm(owner, Timer.B, 2.0)
    queue.arm(other, Timer.A, 3.0)
    queue.disarm(owner, Timer.A)
    queue.disarm(owner, Timer.A)
    assert queue.next_at() == 2.0
    queue.disarm_all(owner)
    queue.disarm_all(owner)
    assert queue.next_at() == 3.0
    assert not queue.is_armed(owner, Timer.B)
    assert queue.is_armed(other, Timer.A)


def test_dead_entries_do_not_pile_up() -> None:
    queue, owner = TimerQueue(), Owner()
    for number in range(10_000):
        queue.arm(owner, Timer.REFRESH, 1000.0 + number)
    assert len(queue._heap) < 200
    assert queue.next_at() == 10_999.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["arm", "disarm", "all"]),
            st.integers(0, 3),
            st.sampled_from(list(Timer)[:4]),
            st.integers(0, 50),
        )
    )
)
def test_the_queue_agrees_with_a_plain_dictionary(steps: list[tuple[str, int, Timer, int]]) -> None:
    queue, owners = TimerQueue(), [Owner() for _ in range(4)]
    model: dict[tuple[int, Timer], float] = {}
    for what, index, timer, at in steps:
        if what == "arm":
            queue.arm(owners[index], timer, float(at))
            model[index, timer] = float(at)
        elif what == "disarm":
            queue.disarm(owners[index], timer)
            model.pop((index, timer), None)
        else:
            queue.disarm_all(owners[index])
            model = {key: value for key, value in model.items() if key[0] != index}
        assert len(queue) == len(model)
        assert queue.next_at() == min(model.values(), default=None)
    deadlines = sorted(model.values())
    while (due := queue.next_at()) is not None:
        assert due == deadlines.pop(0)
        assert queue.pop_due(due) is not None
    assert deadlines == []


@pytest.mark.parametrize(
    ("timer", "unreliable", "reliable"),
    [
        (Timer.A, 0.5, None),
        (Timer.B, 32, 32),
        (Timer.D, 32, 0),
        (Timer.E, 0.5, None),
        (Timer.F, 32, 32),
        (Timer.G, 0.5, None),
        (Timer.H, 32, 32),
        (Timer.I, 5, 0),
        (Timer.J, 32, 0),
        (Timer.K, 5, 0),
        (Timer.L, 32, 32),
        (Timer.M, 32, 32),
    ],
)
def test_timers_have_the_values_of_table_4(timer: Timer, unreliable: float, reliable: float | None) -> None:
    values = TimerValues()
    assert values.first_s(timer) == unreliable
    assert values.first_s(timer, reliable=True) == reliable


def test_timer_d_is_never_below_32_s() -> None:
    assert TimerValues(t1_s=0.1).first_s(Timer.D) == 32
    assert TimerValues(t1_s=1.0).first_s(Timer.D) == 64
