from collections.abc import Mapping
from enum import IntEnum
from typing import Any, final

from numpy.typing import NDArray

KEY_CODES: tuple[int, ...]

class State(IntEnum):
    IDLE = 0
    MAYBE = 1
    HELD = 2

class Input(IntEnum):
    MISS = 0
    HIT = 1
    HIT_AGAIN = 2
    HIT_ENOUGH = 3
    PRESENT = 4
    ABSENT = 5
    GAP = 6
    LOSS = 7

class Action(IntEnum):
    NONE = 0
    ARM = 1
    COUNT = 2
    DROP = 3
    START = 4
    HOLD = 5
    WAIT = 6
    END = 7

TRANSITIONS: Mapping[tuple[State, Input], tuple[State, Action]]
IGNORED: frozenset[tuple[State, Input]]

@final
class Detector:
    def __new__(cls, params: dict[str, float]) -> Detector: ...
    def reset(self) -> None: ...
    def lost(self, n: int) -> None: ...
    def process(self, samples: NDArray[Any]) -> list[tuple[int, int, int, int, float, float]]: ...
    @property
    def position(self) -> int: ...
    @property
    def state(self) -> State: ...

@final
class Oscillator:
    def __new__(cls, code: int, level_dbm0: float, on_samples: int, ramp: int) -> Oscillator: ...
    def fill(self, out: NDArray[Any]) -> int: ...

def default_params() -> dict[str, float]: ...
def max_events(n: int) -> int: ...
