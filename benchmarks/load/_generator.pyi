from typing import final

from typing_extensions import Buffer

@final
class Generator:
    def __new__(
        cls,
        rtp_fds: list[int],
        rtcp_fds: list[int],
        ports: list[int],
        *,
        background: Buffer,
        clips: Buffer,
        clip_frames: int,
        event_frames: int,
        phases: int = 4,
    ) -> Generator: ...
    def plan(self, mode: str, first: Buffer, cycle: Buffer, clip: Buffer) -> None: ...
    def run(self, cycles: int) -> None: ...
    def stop(self) -> None: ...
    def totals(self) -> dict[str, int]: ...
    def caller(self, index: int) -> tuple[int, int, int, int, int, int]: ...
