from typing import final

import numpy as np
from numpy.typing import NDArray

from engine.rtp._srtp import SrtpCore

@final
class Generator:
    def __new__(
        cls,
        rtp_fds: list[int],
        rtcp_fds: list[int],
        ports: list[int],
        *,
        background: bytes,
        clips: bytes,
        clip_frames: int,
        event_frames: int,
        phases: int = 4,
    ) -> Generator: ...
    def plan(self, mode: str, first: NDArray[np.int32], cycle: NDArray[np.int32], clip: NDArray[np.int32]) -> None: ...
    def secure(self, cores: list[SrtpCore]) -> None: ...
    def run(self, cycles: int) -> None: ...
    def stop(self) -> None: ...
    def totals(self) -> dict[str, int]: ...
    def caller(self, index: int) -> tuple[int, int, int, int, int, int]: ...
