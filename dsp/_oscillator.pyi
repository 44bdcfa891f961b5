from typing import Any, final

from numpy.typing import NDArray

@final
class Oscillator:
    def __new__(
        cls,
        code: int,
        level_dbm0: float,
        on_samples: int,
        ramp: int,
        high_minus_low_db: float = ...,
        low_offset: float = ...,
        high_offset: float = ...,
        low_phase: float = ...,
        high_phase: float = ...,
    ) -> Oscillator: ...
    def fill(self, out: NDArray[Any]) -> int: ...
