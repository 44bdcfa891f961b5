from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from engine.rtp._opus import OpusPair

NONE: int
PCMU: int
PCMA: int
G722: int
L16: int
OPUS: int
JOIN: int
STATE_SIZE: int

def clock_hz(kind: int) -> int: ...
def timestamp_divisor(kind: int) -> int: ...

@final
class Codec:
    def __new__(cls, opus: OpusPair | None = None) -> Codec: ...
    def decode(
        self, kind: int, payload: bytes | bytearray | memoryview | NDArray[Any], max: int = 1920
    ) -> NDArray[np.int16] | None: ...
    def encode(self, kind: int, samples: NDArray[Any], max: int = 4096) -> bytes | None: ...
    def reset_decoder(self, kind: int) -> None: ...
    def reset_encoder(self, kind: int) -> None: ...
