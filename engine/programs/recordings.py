"""Recordings of calls: who may begin one, what becomes of its file, and who is told.

`Recordings` joins the media plane's recorder, the ledger's table and the outbox. A recording is a `CallRecording`; it
runs beside its call's program until it is stopped, its limit comes or the call ends. Then its file is made ready in a
thread, the ledger learns of it, webhooks are put in, and `on_done` is called, in this order: whoever is told finds it.

Laws: a call has one recording at a time, for a leg has one tap. What a call's captures keep out (`hold_recording`) is
never in the file, whatever an application pauses and resumes. Names of files are made here, of identities alone. A
disk that fails costs its recordings and no call. A recording that a crash left behind is settled at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from engine.config import Config, TwimlApp
from engine.dialects.twilio import API_VERSION, call_sid, form_body, id_of, recording_sid, rfc2822_date
from engine.errors import LedgerError, MediaError
from engine.ledger import Ledger, RecordingRecord, WebhookPolicy
from engine.log import fields
from engine.media.recorder import (
    Channels,
    Recorder,
    RecorderEvent,
    RecordingFailed,
    RecordingFinished,
    RecordingLagging,
)
from engine.net.signatures import SignatureKind
from engine.outbox import Outbox
from engine.program import CallControl, CallState
from engine.programs.call_recording import CallRecording, Outcome, RecordingCallback, RecordingError, Status, error_code
from engine.programs.recorded_audio import Finish
from engine.programs.recording_files import outcome_of, prepared, recording_path, settled, unlink, unusable

__all__ = (
    "CallRecording",
    "RecordingCallback",
    "RecordingError",
    "Recordings",
    "allows_insecure",
    "api_base",
    "recording_url",
    "seconds",
)

log = logging.getLogger("engine.programs")

FORM = "application/x-www-form-urlencoded"
FIRST_AFTER_S = 60.0
"Seconds before what is too old is first looked for: a start has other things to do."
PASS_EVERY_S = 3600.0
BATCH = 100
STOP_S = 10.0
"How long a disk may take for what is under way when the engine stops."


class Recordings:
    """All recordings of an engine. Made by ``await Recordings.open(...)``, given back by ``await close()``."""

    def __init__(
        self,
        recorder: Recorder,
        config: Config,
        *,
        ledger: Ledger,
        outbox: Outbox,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.sleep = sleep
        "How time passes for what watches a recording."
        self._recorder = recorder
        self._config = config
        self._ledger = ledger
        self._outbox = outbox
        self._clock = clock
        self._by_path: dict[Path, CallRecording] = {}
        "Until the file is ready and the ledger knows."
        self._by_id: dict[str, CallRecording] = {}
        self._by_call: dict[str, CallRecording] = {}
        "What has the call's tap."
        self._begun: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        config: Config,
        *,
        ledger: Ledger,
        outbox: Outbox,
        wake_fd: int,
        clock: Callable[[], datetime],
    ) -> Recordings:
        """Open the directory of ``[recording]``, and settle what a crash left there.

        ``wake_fd`` is the media plane's: `drain` is to be called when it is readable. Raise ``ConfigError``, with the
        remedy, for a directory that cannot be had, and ``LedgerError``.
        """
        recorder = Recorder(prepared(config.recording.directory), wake_fd=wake_fd)
        try:
            recorder.start()
        except MediaError as error:
            raise unusable(config.recording.directory, str(error)) from None
        recordings = cls(recorder, config, ledger=ledger, outbox=outbox, clock=clock)
        try:
            await recordings.settle()
        except LedgerError:
            recorder.stop()
            raise
        recordings.keep()
        return recordings

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self._recorder.directory

    def url_of(self, recording_id: str, *, account: str = "") -> str:
        """Return where a recording can be had by HTTP (``RecordingUrl``); ``.wav`` behind it is the same audio.

        ``account`` is whose credentials open it, empty: those of ``[twilio]``.
        """
        return recording_url(self._config, recording_id, account=account)

    # -- beginning

    def start(
        self,
        call: CallControl,
        *,
        source: str,
        channels: Channels = "mono",
        limit_s: float | None = None,
        on_done: Callable[[CallRecording], None] | None = None,
        callback: RecordingCallback | None = None,
        finish: Callable[[], Finish | None] = lambda: None,
        channels_kept: int | None = None,
    ) -> CallRecording:
        """Record a call from now on, until `CallRecording.stop`, the limit, or the end of the call.

        ``source`` is the dialect's word for who asks. ``limit_s`` counts up to ``[recording] max_hours``, which holds
        when it is None. ``on_done`` is called once, when the file is ready, absent or lost. ``finish`` is asked at the
        end what is to be done to the file; ``channels_kept`` are what it leaves, if not all. The mask's line
        (``call.mask_line``) has to be there before, for whoever wants one. Raise `RecordingError` when the call is
        recorded already or is not up.
        """
        call_id = call.facts.call_id
        if call.state in (CallState.QUEUED, CallState.ENDED):
            raise RecordingError("the call is not up: it can be recorded from its ringing to its end")
        if call_id in self._by_call:
            raise RecordingError("the call is being recorded already: stop that recording first")
        recording_id = uuid.uuid4().hex
        most_s = self._config.recording.max_hours * 3600.0
        file = f"{recording_sid(recording_id)}.wav"
        recorded_channels = 1 if channels == "mono" else 2
        try:
            recording = self._recorder.open(
                file, channels=channels, limit_s=most_s if limit_s is None else min(limit_s, most_s)
            )
        except MediaError as error:
            raise RecordingError(str(error)) from None
        one = CallRecording(
            call,
            recording,
            recording_id=recording_id,
            source=source,
            recorded_channels=recorded_channels,
            channels=channels_kept or recorded_channels,
            started_at=self._clock(),
            finish=finish,
            on_done=on_done,
            callback=callback,
        )
        self._by_path[recording.path] = self._by_id[recording_id] = self._by_call[call_id] = one
        self._begun[recording_id] = self._task(self._begin(one, file))
        try:
            call.record(recording)
        except MediaError as error:
            one.give_up()
            raise RecordingError(str(error)) from None
        call.attach(one)
        log.info("recording", extra=fields(call=call_id, recording=one.sid, source=source))
        return one

    async def _begin(self, one: CallRecording, file: str) -> None:
        await self._note(one, file)
        if one.callback is not None and "in-progress" in one.callback.events:
            await self._tell(one, "in-progress")

    async def _note(self, one: CallRecording, file: str) -> None:
        try:
            await self._ledger.recordings.begin(
                one.recording_id, call_id=one.call_id, source=one.source, channels=one.channels, file=file
            )
        except LedgerError as error:
            log.error("a recording could not be noted: %s", error, extra=fields(call=one.call_id, recording=one.sid))

    # -- what there is

    def of_call(self, call_id: str) -> CallRecording | None:
        """Return the recording that runs on a call; None when there is none."""
        one = self._by_call.get(call_id)
        return one if one is not None and one.is_running else None

    def live(self, recording_id: str) -> CallRecording | None:
        """Return a recording that runs or is being made ready; None: the ledger knows all that there is to know."""
        return self._by_id.get(recording_id)

    def file_of(self, record: RecordingRecord) -> Path | None:
        """Return where the audio of a recording is; None when there is none (any more).

        A name that leads out of the directory is none, whoever wrote it into the table.
        """
        name = record.file
        if not name.endswith(".wav") or not id_of(name.removesuffix(".wav"), "RE"):
            return None
        path = self.directory / name
        return path if path.is_file() and not path.is_symlink() else None

    async def delete(self, recording_id: str) -> bool:
        """Delete a recording that is over, audio and record; return False when there is none.

        Raise `RecordingError` for one that is not over, and ``LedgerError``.
        """
        if recording_id in self._by_id:
            raise RecordingError("the recording is not over: stop it first")
        record = await self._ledger.recordings.get(recording_id)
        if record is None:
            return False
        # The audio first: what is left of a crash between the two is a record without audio, never audio without one.
        await asyncio.to_thread(unlink, recording_path(self.directory, recording_id))
        return await self._ledger.recordings.remove(recording_id)

    # -- the recorder's events

    def drain(self) -> None:
        """Take what the recorder has to tell: when the media plane's descriptor is readable."""
        for event in self._recorder.drain_events():
            self._event(event)

    def _event(self, event: RecorderEvent) -> None:
        one = self._by_path.get(event.path)
        if one is None:
            return
        if isinstance(event, RecordingLagging):
            log.warning(
                "audio of a recording is lost: the disk is too slow",
                extra=fields(call=one.call_id, recording=one.sid, lost_ms=event.lost_ms),
            )
            return
        finish = one.over()
        if self._by_call.get(one.call_id) is one:
            del self._by_call[one.call_id]
        self._task(self._conclude(one, event, finish))

    async def _conclude(
        self, one: CallRecording, event: RecordingFinished | RecordingFailed, finish: Finish | None
    ) -> None:
        outcome = await asyncio.to_thread(outcome_of, event, finish)
        await asyncio.wait([self._begun.pop(one.recording_id)])  # what it came to is told by `_task_done`
        try:
            await self._write(one, outcome)
        except LedgerError as error:
            log.error("a recording's end is not noted: %s", error, extra=fields(call=one.call_id, recording=one.sid))
        level = logging.WARNING if outcome.status == "failed" else logging.INFO
        told = fields(call=one.call_id, recording=one.sid, status=outcome.status, ms=outcome.duration_ms)
        log.log(level, "recording ended%s", f": {outcome.error}" if outcome.error else "", extra=told)
        one.duration_ms, one.error = outcome.duration_ms, outcome.error
        if (
            one.callback is not None
            and ("absent" if outcome.status == "absent" else "completed") in one.callback.events
        ):
            await self._tell(one, outcome.status)
        del self._by_path[event.path], self._by_id[one.recording_id]
        one.ended(outcome)

    async def _write(self, one: CallRecording, outcome: Outcome) -> None:
        for _ in range(2):
            if await self._ledger.recordings.finish(
                one.recording_id,
                status=outcome.status,
                duration_ms=outcome.duration_ms,
                paused_ms=outcome.paused_ms,
                error=outcome.error,
            ):
                return
            # Its beginning could not be noted.
            await self._note(one, one.path.name)

    async def _tell(self, one: CallRecording, status: Status) -> None:
        callback, twilio = one.callback, self._config.twilio
        assert callback is not None
        is_over = status in ("completed", "failed")
        parameters = [
            ("AccountSid", twilio.account_sid),
            ("CallSid", call_sid(one.call_id)),
            ("RecordingSid", one.sid),
            ("RecordingUrl", self.url_of(one.recording_id)),
            ("RecordingStatus", status),
            *([("RecordingDuration", str(seconds(one.duration_ms or 0)))] if is_over else []),
            ("RecordingChannels", str(one.channels)),
            ("RecordingStartTime", rfc2822_date(one.started_at) or ""),
            ("RecordingSource", one.source),
            ("RecordingTrack", "both"),
            ("ErrorCode", str(error_code(status, one.error))),
        ]
        try:
            await self._outbox.enqueue(
                one.recording_id,
                callback.url,
                form_body(parameters),
                method=callback.method,
                content_type=FORM,
                signature=SignatureKind.TWILIO,
                key_env=twilio.auth_token_env,
                policy=WebhookPolicy.STATUS if status == "in-progress" else WebhookPolicy.RESULT,
                allow_insecure=allows_insecure(self._config),
            )
        except (LedgerError, ValueError) as error:
            log.error("a recording's webhook is lost: %s", error, extra=fields(call=one.call_id, recording=one.sid))

    # -- what a crash left, and what is too old

    async def settle(self) -> None:
        """Conclude what this node left under way when it went: only at start. Raise ``LedgerError``."""
        for record in await self._ledger.recordings.unfinished():
            outcome = await asyncio.to_thread(settled, recording_path(self.directory, record.recording_id))
            await self._ledger.recordings.finish(
                record.recording_id, status=outcome.status, duration_ms=outcome.duration_ms, error=outcome.error
            )
            told = fields(recording=recording_sid(record.recording_id), status=outcome.status, ms=outcome.duration_ms)
            log.warning("a recording was left in the middle; it is settled now", extra=told)

    def keep(self) -> None:
        """Begin to delete what is older than is kept, once an hour; nothing when all is kept for ever."""
        if self._config.recording.keep_days and self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        pause_s = FIRST_AFTER_S
        while True:
            await self.sleep(pause_s)
            pause_s = PASS_EVERY_S
            try:
                count = await self.delete_old()
            except (LedgerError, OSError) as error:
                log.error("old recordings could not be deleted: %s", error)
            else:
                if count:
                    log.info("deleted recordings older than are kept", extra=fields(recordings=count))

    async def delete_old(self) -> int:
        """Delete what is too old now; return how many. Raise ``LedgerError`` and ``OSError``."""
        before = self._clock() - timedelta(days=self._config.recording.keep_days)
        count = 0
        while batch := await self._ledger.recordings.older(before, limit=BATCH):
            for record in batch:
                count += await self.delete(record.recording_id)
        return count

    # -- the end

    async def close(self) -> None:
        """Stop what runs, wait until it is on the disk and noted, within limits."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        for one in list(self._by_path.values()):
            one.stop()
        await asyncio.to_thread(self._recorder.stop, timeout_s=STOP_S)
        self.drain()
        await self.idle()

    async def idle(self) -> None:
        """Wait until all that has ended is noted and told."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a recording's task failed", exc_info=error)


def api_base(config: Config) -> str:
    """Return what the interface's URLs begin with: ``[api] public_url``, else where it listens; empty without one."""
    api = config.api
    host = api.tls_listen or api.listen
    for anywhere in ("0.0.0.0:", "[::]:"):
        host = host.replace(anywhere, "localhost:") if host.startswith(anywhere) else host
    return api.public_url or (f"{'https' if api.tls_listen else 'http'}://{host}" if host else "")


def recording_url(config: Config, recording_id: str, *, account: str = "") -> str:
    """Return where the interface offers a recording, below `api_base`.

    Without an interface it is a path alone: there is nobody to ask for it.
    """
    return (
        f"{api_base(config)}/{API_VERSION}/Accounts/{account or config.twilio.account_sid}"
        f"/Recordings/{recording_sid(recording_id)}"
    )


def seconds(duration_ms: int) -> int:
    """Return a duration as the vendor tells it: whole seconds, and 1 for what is shorter but there."""
    return max(1, round(duration_ms / 1000)) if duration_ms > 0 else 0


def allows_insecure(config: Config) -> bool:
    """Whether http: is taken for callbacks: on demand, or as long as an application itself is reached by it."""
    return config.twilio.allow_insecure_callbacks or any(
        isinstance(app, TwimlApp) and app.url.startswith("http:") for app in config.apps.values()
    )
