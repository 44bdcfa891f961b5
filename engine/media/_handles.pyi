from typing import Any, final

@final
class LegCore:
    def __new__(
        cls, leg_id: int, rtp_fd: int, rtcp_fd: int, entropy: bytes, *, record: bool, detect_in_band: bool
    ) -> LegCore: ...
    def __init__(
        self, leg_id: int, rtp_fd: int, rtcp_fd: int, entropy: bytes, *, record: bool, detect_in_band: bool
    ) -> None: ...
    @property
    def released(self) -> bool: ...
    @property
    def size(self) -> int: ...
    def give_back(self) -> None: ...
    def read_tap(self) -> bytes: ...
    def counters(self) -> dict[str, Any]: ...

@final
class RoomCore:
    def __new__(cls) -> RoomCore: ...
    @property
    def released(self) -> bool: ...
    def give_back(self) -> None: ...

@final
class PlaylistCore:
    def __new__(
        cls,
        serial: int,
        token: int,
        clips: list[tuple[bytes, bytes]],
        *,
        interruptible: bool,
        loop: bool,
        gap_samples: int,
        gain: int,
        report_samples: int,
        paused: bool,
    ) -> PlaylistCore: ...
    def __init__(
        self,
        serial: int,
        token: int,
        clips: list[tuple[bytes, bytes]],
        *,
        interruptible: bool,
        loop: bool,
        gap_samples: int,
        gain: int,
        report_samples: int,
        paused: bool,
    ) -> None: ...
