"""``<Record>`` on a call: a tone, then what the caller says, until silence, a key, the limit or the end of the call.

The recording is the caller alone, for nothing else is played meanwhile. Keys are no part of it: while one is down
nothing is taken, and what was heard of it before it was known is cut off or silenced (`RecordedKeys`). Silence is found
in the file itself, which is on the disk a second behind the call: the timeout comes up to 1.3 s late, and what it let
in is trimmed. Who says nothing has no recording, and the document goes on (`dialects.md` §4.6).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import cache
from urllib.parse import urljoin

import numpy as np

from dsp.g711 import alaw_encode, ulaw_encode
from dsp.levels import peak_of_dbm0
from engine.dialects.twiml.commands import Parameters, StartRecord
from engine.log import fields
from engine.payment_run import TOKENS
from engine.program import CallControl
from engine.programs.call_recording import CallRecording, RecordingCallback, RecordingError
from engine.programs.context import ProgramContext
from engine.programs.recorded_audio import RATE_HZ, Finish, SoundWatch
from engine.programs.recorded_keys import RecordedKeys
from engine.programs.recordings import Recordings, seconds
from engine.programs.verb import Ended
from engine.programs.weak import held_weakly
from prompts.clip import Clip

__all__ = ("RecordVerb", "beep")

log = logging.getLogger("engine.programs")

BEEP_HZ, BEEP_MS, BEEP_DBM0 = 1000.0, 300, -13.0
"No frequency of a key, and no louder than speech."
RAMP_MS = 5
"Rise and fall of the tone: it begins and ends without a click."
LOOK_S = 0.25
"Between two looks at the file."
DONE_S = 15.0
"How long the end of a call waits for a file; a disk that hangs keeps no call."
CANNOT_RECORD = 13253
"Code of the warning, as of a Dial that cannot be recorded."


@cache
def beep() -> Clip:
    """Return the tone that says: speak now."""
    n = RATE_HZ * BEEP_MS // 1000
    tone = peak_of_dbm0(BEEP_DBM0) * np.sin(2 * np.pi * BEEP_HZ / RATE_HZ * np.arange(n))
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(RATE_HZ * RAMP_MS // 1000) / (RATE_HZ * RAMP_MS // 1000))
    tone[: len(ramp)] *= ramp
    tone[-len(ramp) :] *= ramp[::-1]
    samples = np.round(tone).astype(np.int16)
    return Clip(name="beep", pcmu=ulaw_encode(samples), pcma=alaw_encode(samples))


class RecordVerb:
    """A ``Verb`` (``engine.programs.verb``): one ``<Record>``."""

    def __init__(
        self, command: StartRecord, call: CallControl, context: ProgramContext, base_url: str, ended: Ended
    ) -> None:
        self._record = command.record
        # Programs hold their call by a proxy, and of that there is no other one.
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        self._base_url = base_url
        self._ended: Ended | None = ended
        self._token = 0
        self._recording: CallRecording | None = None
        self._watching: asyncio.Task[None] | None = None
        self._keys = RecordedKeys(self._call, terminators=self._record.finish_on_key)
        self._hung_up = False
        self._over = asyncio.Event()

    # -- its beginning and end -----------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Sound the tone, then record; without a place for recordings warn, and let the document go on."""
        if self._context.recordings is None:
            self._cannot("[recording] names no directory: name one, and calls can be recorded")
        elif self._record.play_beep:
            self._token = next(TOKENS)
            self._call.play([beep()], self._token, interruptible=False)
        else:
            self._begin(self._context.recordings)

    def _begin(self, recordings: Recordings) -> None:
        record = self._record
        callback = None
        if record.status_callback:
            callback = RecordingCallback(
                url=urljoin(self._base_url, record.status_callback), method=record.status_method
            )
        try:
            self._recording = recordings.start(
                self._call,
                source="RecordVerb",
                channels="mono",
                limit_s=record.max_length_s,
                on_done=self._ready,
                callback=callback,
                finish=self._finish,
            )
        except RecordingError as error:
            self._cannot(str(error))
            return
        self._watching = asyncio.get_running_loop().create_task(self._watch(recordings, self._recording))

    def _cannot(self, why: str) -> None:
        log.warning("<Record> is passed over: %s", why, extra=fields(call=self._call_id, code=CANNOT_RECORD))
        self._tell(())

    async def _watch(self, recordings: Recordings, one: CallRecording) -> None:
        """End the recording once there was silence for as long as the document says."""
        follower = one.follower()
        heard = SoundWatch()
        looked_at = 0
        try:
            while one.is_running and heard.silent_ms < self._record.timeout_s * 1000:
                await recordings.sleep(LOOK_S)
                if (on_disk := one.on_disk_bytes) > looked_at:
                    looked_at = on_disk
                    heard.look(await asyncio.to_thread(follower.read))
        except OSError as error:
            # The recorder finds out too, and ends the recording.
            log.warning("a recording cannot be followed: %s", error.strerror, extra=fields(call=self._call_id))
            return
        finally:
            follower.close()
        one.stop()

    def _finish(self) -> Finish:
        """Say what becomes of the file."""
        self._keys.digit_ended(self._recording)
        return Finish(trim=self._record.trim, blank=tuple(self._keys.spans), end=self._keys.end)

    def _ready(self, one: CallRecording) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if one.status != "completed" or self._context.recordings is None:
            self._tell(())  # nothing was heard, or the disk failed: there is nothing to be had
            return
        parameters = [
            ("RecordingUrl", self._context.recordings.url_of(one.recording_id)),
            ("RecordingSid", one.sid),
            ("RecordingDuration", str(seconds(one.duration_ms or 0))),
        ]
        if ended_by := self._keys.ended_by or ("hangup" if self._hung_up else ""):
            parameters.append(("Digits", ended_by))
        self._tell(tuple(parameters))

    def _tell(self, parameters: Parameters) -> None:
        ended, self._ended = self._ended, None
        self._over.set()
        if ended is not None:
            ended(parameters)

    # -- what happens on the call --------------------------------------------------------------------------------

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Begin once the tone is over, however it ended."""
        if token == self._token and self._recording is None and self._ended is not None:
            self._token = 0
            if self._context.recordings is not None:
                self._begin(self._context.recordings)

    def digit(self, code: int, now: float) -> None:
        """End the recording by a key that does, and take none of any."""
        self._keys.digit(code, self._recording)

    def digit_ended(self, now: float) -> None:
        """Take again what is said."""
        self._keys.digit_ended(self._recording)

    def count_digit(self, source: str) -> None:
        """Nothing: keys of a recording are not counted."""

    def hang_up(self, now: float) -> None:
        """Keep what was said until now."""
        if self._recording is None:
            self._tell(())
        else:
            self._hung_up = True
            self._recording.stop()

    def stop(self, now: float) -> None:
        """Give up; what was said until now stays a recording, and its webhook is sent."""
        self._ended = None
        if self._recording is not None:
            self._recording.stop()
        elif self._token:
            self._token = 0
            self._call.stop_playing()
        self._over.set()

    def told(self, delivered: bool) -> None:
        """Nothing: the recording stays, and can be asked for."""

    async def done(self) -> None:
        """Wait until the outcome is told, as long as a disk may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DONE_S):
                await self._over.wait()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
