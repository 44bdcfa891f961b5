from typing import TypedDict, final, type_check_only

@type_check_only
class Summary(TypedDict):
    loss_rate: int
    discard_rate: int
    burst_density: int
    gap_density: int
    burst_ms: int
    gap_ms: int
    loss_share: float
    burst_ratio: float

@final
class Bursts:
    def __new__(cls) -> Bursts: ...
    def received(self, n: int = 1) -> None: ...
    def lost(self, n: int = 1) -> None: ...
    def discarded(self, n: int = 1) -> None: ...
    def summary(self, packet_ms: int) -> Summary: ...
