"""The recorder: calls as WAV files, written beside the clock threads and never in them.

Python opens recordings and drains events; a leg pushes frames into ``Recording.tap``; a mover and a writer thread do
the rest without the GIL (``engine/media/_recorder_threads.pyx``). A slow or a full disk loses audio of recordings,
counted and told, and disturbs no call. What must never be in a recording, and whose duty that is: docs/recording.md.

No asyncio here: give the media plane's ``event_fd()``, and call ``drain_events()`` when it is readable. All methods are
for one thread, the one that owns the recorder.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
import time
import wave
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from engine.errors import MediaError
from engine.media._recorder import RecordingCore
from engine.media._recorder_threads import RecorderThreads

__all__ = (
    "Channels",
    "ManualRecorder",
    "PausedFrames",
    "Recorder",
    "RecorderEvent",
    "RecorderStatistics",
    "Recording",
    "RecordingFailed",
    "RecordingFinished",
    "RecordingLagging",
    "RecordingStatistics",
)

Channels = Literal["stereo", "mono"]
PausedFrames = Literal["silence", "left-out"]

RATE_HZ = 8000
FRAME_MS = 20
BUFFER_BYTES = 256_000_000
"""Choice: each recording fills a block of 32 kB; 5,000 of them leave 3,000 blocks for a disk that stumbles."""
BUFFER_S = 10
"""Choice: seconds of one recording that may wait for the disk."""
LIMIT_S = 4 * 3600.0
"""Choice: a forgotten call fills 460 MB and no more."""
MAX_LIMIT_S = 134_000.0
"""RIFF sizes have 32 bits: in stereo they last for 134,217 s."""
RESUME_TAIL_MS = 100
"""A mask's delay of 60 ms and a tail of 40 ms behind the last key: 2 ms of a key's tone tell which key it was."""

# engine/media/_recorder_threads.pyx
_BLOCK_BYTES = 32_016
_FINISHED, _FAILED, _LAGGING = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFinished:
    """The file is complete and has its name. Of each recording this or `RecordingFailed` comes, once."""

    path: Path
    duration_ms: int
    "Of the file, silence for what is missing included."
    lost_ms: int
    "Silence because the disk was too slow, or because the media clock stood still."
    paused_ms: int
    "Not recorded on request; part of the duration unless paused frames are left out."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFailed:
    """The recording ended early; what was written until then stays as a valid file beside `path`, with ``.part``."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingLagging:
    """Audio of a recording is being lost because the disk is too slow; once until all was caught up."""

    path: Path
    lost_ms: int
    "So far."


RecorderEvent = RecordingFinished | RecordingFailed | RecordingLagging


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStatistics:
    """One recording's figures; frames are 20 ms."""

    frames: int
    "In the file or on their way to it, silence included."
    lost: int
    "Came while the ring was full; silence in the file."
    skipped: int
    "Never came, because the media clock gave up cycles; silence in the file."
    paused: int
    bytes: int
    "Audio in the file."
    lagging: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStatistics:
    """Figures of a recorder since it began."""

    recordings: int
    "Open now, or being completed."
    lagging: int
    "... of them losing audio now."
    finished: int
    failed: int
    lost_ms: int
    "Of the recordings open now and of those that ended."
    buffer_bytes: int
    "Memory taken for audio under way to the disk; it grows to the bound and stays."


class Recording:
    """One file being made. Made by `Recorder.open`."""

    def __init__(self, path: Path, tap: RecordingCore) -> None:
        self.path = path
        self.tap = tap
        "What a leg records into."

    def pause(self) -> None:
        """Store nothing from the next frame on, until `resume`. Frames heard before are stored."""
        self.tap.pause()

    def resume(self) -> None:
        """Store again, ``resume_tail_ms`` from now; a capture that pauses on its own goes on doing so.

        Not before the last key has ended (`DigitEnded`): a key that is still held would be in the recording.
        """
        self.tap.resume()

    def hold(self, held: bool) -> None:
        """Pause or resume as a capture of keys does: apart from `pause` and `resume`, which are the application's."""
        self.tap.pause_capture(held)

    def close(self) -> None:
        """Take no more, and complete the file; RecordingFinished or RecordingFailed follows. Safe to call twice."""
        self.tap.close()

    def statistics(self) -> RecordingStatistics:
        """Return a snapshot; after the last event the last one."""
        counters = self.tap.counters()
        return RecordingStatistics(bytes=counters.pop("octets"), **counters)


class Recorder:
    """All recordings of a process.

    Files go into `directory`. `wake_fd` is an eventfd, written to when events wait; it is duplicated. Audio on its way
    to the disk takes at most `buffer_bytes` in all, and `buffer_s` of a recording (each rounded to blocks of 1 s).
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        wake_fd: int | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        buffer_s: int = BUFFER_S,
    ) -> None:
        blocks = buffer_bytes // _BLOCK_BYTES
        if not 1 <= blocks <= 1 << 20 or not 1 <= buffer_s <= 3600:
            raise MediaError("a recorder buffers 33 kB to 33 GB in all, and 1 to 3600 s of a recording")
        self.directory = Path(directory).absolute()
        self._wake_fd = -1 if wake_fd is None else os.dup(wake_fd)
        self._core = RecorderThreads(self._wake_fd, blocks=blocks, blocks_each=buffer_s)
        self._recordings: dict[int, Recording] = {}
        self._serials = count(1)
        self._threads: list[threading.Thread] = []
        self._started = False
        self._stopped = False
        self._finished = 0
        self._failed = 0
        self._lost_ms_ended = 0
        self._ended = False

    def start(self) -> None:
        """Look whether the directory takes files, and start; raise MediaError, with the remedy, when it does not."""
        if self._started or self._stopped:
            raise MediaError("a recorder is started once")
        self._check_directory()
        self._started = True
        self._run()

    def _run(self) -> None:
        for name, run in (("recorder-mover", self._core.run_mover), ("recorder-writer", self._core.run_writer)):
            thread = threading.Thread(target=run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _check_directory(self) -> None:
        if not self.directory.is_dir():
            raise MediaError(f"there is no directory {self.directory} for recordings: create it, or name another")
        try:
            # 0600, and gone again at once.
            with tempfile.NamedTemporaryFile(dir=self.directory, prefix=".paytone-", suffix=".part") as file:
                file.write(b"\0" * 4096)
        except OSError as error:
            raise MediaError(
                f"recordings cannot be written to {self.directory} ({error.strerror}): "
                "let the engine's user write there, and see to free space, or name another directory"
            ) from error

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Close all recordings, wait until they are complete, and end the threads; safe to call twice.

        After `timeout_s` a disk that takes nothing is left alone: the recordings fail, and their ``.part`` files stay.
        The last events are drained afterwards.
        """
        if self._stopped:
            return
        self._stopped = True
        for recording in self._recordings.values():
            recording.close()
        self._core.stop()
        self._ended = self._end(timeout_s)
        if self._ended and self._wake_fd >= 0:
            os.close(self._wake_fd)

    def _end(self, timeout_s: float) -> bool:
        """Return whether both threads have ended; after the timeout they end as soon as the system lets them."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._core.abandon()
        # A thread that does not stand in a system call returns within a round.
        for thread in self._threads:
            thread.join(0.5)
        return not any(thread.is_alive() for thread in self._threads)

    def open(
        self,
        path: str | os.PathLike[str],
        *,
        channels: Channels = "stereo",
        limit_s: float = LIMIT_S,
        paused: PausedFrames = "silence",
        resume_tail_ms: int = RESUME_TAIL_MS,
    ) -> Recording:
        """Begin a recording: WAV, 8 kHz, 16 bit, left the caller and right what is played to them, or both mixed.

        `path` lies in the directory; nothing there is overwritten. At `limit_s` the recording completes itself.
        Paused frames become silence of the same length, or are left out; a resumption takes effect after
        `resume_tail_ms`. Raises MediaError for what cannot be meant; what the disk refuses is told by RecordingFailed.
        """
        target = self.directory / path
        if ".." in target.parts or "\0" in str(target) or self.directory not in target.parents:
            raise MediaError(f"a recording lies below {self.directory}: name it without .. and without another root")
        return self._open(target, -1, channels, limit_s, paused, resume_tail_ms)

    def open_descriptor(
        self,
        fd: int,
        path: str | os.PathLike[str],
        *,
        channels: Channels = "stereo",
        limit_s: float = LIMIT_S,
        paused: PausedFrames = "silence",
        resume_tail_ms: int = RESUME_TAIL_MS,
    ) -> Recording:
        """Begin a recording into a pipe or a device in place of a file; `path` is what events call it.

        The descriptor is the recorder's from now on, and closed at the end. Where it cannot seek, the header goes on
        saying that there is no audio. Otherwise as `open`.
        """
        return self._open(Path(path), fd, channels, limit_s, paused, resume_tail_ms)

    def _open(
        self, path: Path, fd: int, channels: Channels, limit_s: float, paused: PausedFrames, resume_tail_ms: int
    ) -> Recording:
        if not self._started or self._stopped:
            raise MediaError("the recorder does not run")
        if channels not in ("stereo", "mono"):
            raise MediaError(f"a recording has channels stereo or mono, not {channels!r}")
        if paused not in ("silence", "left-out"):
            raise MediaError(f"paused frames become silence or are left-out, not {paused!r}")
        if not 0 < limit_s <= MAX_LIMIT_S:
            raise MediaError(f"a recording lasts more than 0 and at most {MAX_LIMIT_S:.0f} s (RIFF sizes have 32 bits)")
        if not 0 <= resume_tail_ms <= 60_000:
            raise MediaError("the tail after a resumption is 0 to 60000 ms")
        core = RecordingCore(
            next(self._serials),
            os.fsencode(f"{path}.part"),
            os.fsencode(path),
            _header(1 if channels == "mono" else 2),
            stereo=channels == "stereo",
            limit_frames=max(1, round(limit_s * 1000 / FRAME_MS)),
            leave_out=paused == "left-out",
            tail_frames=-(-resume_tail_ms // FRAME_MS),
            fd=fd,
        )
        if not self._core.add(core):
            raise MediaError("the recorder takes no more recordings now: its mover stands still")
        recording = Recording(path, core)
        self._recordings[core.serial] = recording
        return recording

    def drain_events(self) -> list[RecorderEvent]:
        """Return what happened since the last call; a recording's last event comes last."""
        events = [event for raw in self._core.drain() if (event := self._event(*raw)) is not None]
        if self._stopped:
            events += [self._give_up(recording) for recording in self._recordings.values()]
            self._recordings.clear()
        return events

    def _give_up(self, recording: Recording) -> RecordingFailed:
        if self._ended:
            recording.tap.give_back()
        self._failed += 1
        return RecordingFailed(path=recording.path, reason="the disk was too slow to complete it before the stop")

    def _event(self, serial: int, kind: int, error: int) -> RecorderEvent | None:
        recording = self._recordings.get(serial)
        if recording is None:
            return None
        figures = recording.statistics()
        lost_ms = (figures.lost + figures.skipped) * FRAME_MS
        if kind == _LAGGING:
            return RecordingLagging(path=recording.path, lost_ms=lost_ms)
        # Both threads have let go of it.
        del self._recordings[serial]
        recording.tap.give_back()
        self._lost_ms_ended += lost_ms
        if kind == _FAILED:
            self._failed += 1
            return RecordingFailed(path=recording.path, reason=os.strerror(error))
        self._finished += 1
        return RecordingFinished(
            path=recording.path,
            duration_ms=figures.frames * FRAME_MS,
            lost_ms=lost_ms,
            paused_ms=figures.paused * FRAME_MS,
        )

    def statistics(self) -> RecorderStatistics:
        """Return a snapshot over all recordings."""
        figures = [recording.statistics() for recording in self._recordings.values()]
        return RecorderStatistics(
            recordings=len(figures),
            lagging=sum(one.lagging for one in figures),
            finished=self._finished,
            failed=self._failed,
            lost_ms=self._lost_ms_ended + sum(one.lost + one.skipped for one in figures) * FRAME_MS,
            buffer_bytes=self._core.counters()["buffer_bytes"],
        )


class ManualRecorder(Recorder):
    """A recorder without threads: mover and writer are driven by hand. For tests and offline work."""

    def _run(self) -> None:
        pass

    def _end(self, timeout_s: float) -> bool:
        """Complete everything; there is nobody to wait for."""
        idle = 0
        while idle < 3:
            self._core.move()
            idle = 0 if self._core.write(1 << 20) else idle + 1
        return True

    def move(self, rounds: int = 1) -> None:
        """Empty the rings, as the mover does every 100 ms; for several rounds without the GIL."""
        self._core.move(rounds)

    def write(self, jobs: int = 1 << 20) -> int:
        """Do up to `jobs` of what waits for the disk: openings, blocks of 1 s, ends; return how many were done."""
        return self._core.write(jobs)


def _header(n_channels: int) -> bytes:
    """Return the header of a WAV file without audio."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(n_channels)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(b"")
    return buffer.getvalue()
