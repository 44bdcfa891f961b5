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
    def give_back(self) -> None: ...
    def read_tap(self) -> bytes: ...
    def counters(self) -> dict[str, Any]: ...

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
    ) -> None: ...

@final
class ClockThread:
    def __new__(cls, wake_fd: int, cname: bytes) -> ClockThread: ...
    def add(self, leg: LegCore, phase: int) -> bool: ...
    def remove(self, leg: LegCore) -> bool: ...
    def configure(
        self,
        leg: LegCore,
        *,
        family: int,
        remote: tuple[bytes, int],
        remote_rtcp: tuple[bytes, int],
        codec: int,
        send_pt: int,
        carries: dict[int, int],
        event_send_pt: int,
        event_rate_hz: int,
        packet_samples: int,
        sending: bool,
        receiving: bool,
        timeout_ms: int,
    ) -> bool: ...
    def play(self, leg: LegCore, playlist: PlaylistCore) -> bool: ...
    def stop_playing(self, leg: LegCore) -> bool: ...
    def key(self, leg: LegCore, code: int, *, in_band: bool, on_samples: int, off_samples: int) -> bool: ...
    def drain(self) -> list[tuple[int, int, int, int, int, int, float, int, int, bool, bool]]: ...
    def counters(self) -> dict[str, int]: ...
    def stop(self) -> None: ...
    def run(self) -> None: ...
    def tick(self, now_ns: int) -> None: ...
