"""The files of recordings: their directory, how each is made ready at its end, and what a crash left of them.

What blocks says so: it belongs into a thread.
"""

from __future__ import annotations

import logging
import os
import wave
from contextlib import suppress
from pathlib import Path

from engine.dialects.twilio import recording_sid
from engine.errors import ConfigError
from engine.media.recorder import RecordingFailed, RecordingFinished
from engine.programs.call_recording import TOO_SHORT, Outcome
from engine.programs.recorded_audio import FRAME_MS, Finish, duration_of, finish_file

__all__ = ("outcome_of", "prepared", "recording_path", "settled", "unlink", "unusable")

log = logging.getLogger("engine.programs")

ENGINE_STOPPED = "the engine was stopped in the middle"


def prepared(directory: str) -> Path:
    """Return the directory of recordings, made for its owner alone if it is not there; raise ``ConfigError``."""
    path = Path(directory).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise unusable(directory, error.strerror or str(error)) from None
    if mode & 0o077:
        log.warning("others may read the directory of recordings: chmod 700 %s", path)
    return path


def unusable(directory: str, why: str) -> ConfigError:
    """Return the error for a directory that cannot be had."""
    return ConfigError(
        f"recordings cannot be written to {directory}: {why}",
        where="[recording] directory",
        remedy="name a directory that the engine's user can create or write to, or leave it out: nothing is recorded",
    )


def recording_path(directory: Path, recording_id: str) -> Path:
    """Return where the audio of a recording is."""
    return directory / f"{recording_sid(recording_id)}.wav"


def outcome_of(event: RecordingFinished | RecordingFailed, finish: Finish | None) -> Outcome:
    """Make a file ready that the recorder has completed; return how its recording ended. Blocks."""
    if isinstance(event, RecordingFailed):
        return Outcome(status="failed", error=event.reason)
    duration_ms: int | None = event.duration_ms
    if finish is not None:
        try:
            duration_ms = finish_file(event.path, finish)
        except (OSError, ValueError) as error:  # it was cut, replaced or deleted under us
            why = getattr(error, "strerror", None) or "the file cannot be read"
            return Outcome(status="failed", paused_ms=event.paused_ms, error=why)
    if not duration_ms:
        with suppress(OSError):
            unlink(event.path)
        why = "" if event.duration_ms else TOO_SHORT
        return Outcome(status="absent", paused_ms=event.paused_ms, error=why)
    return Outcome(status="completed", duration_ms=duration_ms, paused_ms=event.paused_ms)


def settled(path: Path) -> Outcome:
    """Look what a recording has left: the file, or what was written of it (valid up to the last second). Blocks."""
    part = path.with_name(path.name + ".part")
    try:
        if not path.exists() and part.exists() and duration_of(part) >= FRAME_MS:
            os.link(part, path)  # never in place of another
            part.unlink()
        if path.exists():
            return Outcome(status="completed", duration_ms=duration_of(path), error=ENGINE_STOPPED)
        unlink(path)
    except (OSError, EOFError, wave.Error) as error:
        return Outcome(status="failed", error=f"{ENGINE_STOPPED}: {error}")
    return Outcome(status="absent", error=ENGINE_STOPPED)


def unlink(path: Path) -> None:
    """Delete a recording's file, and what may be left of its making. Blocks; raises ``OSError``."""
    for name in (path, path.with_name(path.name + ".part"), path.with_name(path.name + ".new")):
        name.unlink(missing_ok=True)
