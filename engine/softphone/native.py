"""A softphone on our own stack: where pjsua2 has no wheel (Python 3.13, aarch64), and for more than four calls.

It is no independent judge of the engine: both ends are the same code. It cannot put a call on hold (the endpoint sends
no re-INVITE of its own), and it has a loudspeaker but no microphone.
"""

from __future__ import annotations

import time
import wave
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import numpy as np

from dsp import g711
from engine.errors import MediaError, SoftphoneError
from engine.media import MediaEvent, PlayFinished
from engine.softphone.audio import FRAME_BYTES, RATE_HZ, SoundCard
from engine.softphone.backend import Emit
from engine.softphone.hearing import SoundDetector
from engine.softphone.protocol import (
    Answer,
    Call,
    CallState,
    Command,
    Failure,
    HangUp,
    Hold,
    Incoming,
    KeyMode,
    Keys,
    KeysDone,
    Media,
    Play,
    PlayDone,
    Quit,
    Ready,
    Record,
    Register,
    Registered,
    Sound,
    State,
    Unhold,
    Unregister,
)
from engine.softphone.stack import CODECS, NativeCall, NativeStack
from prompts.clip import Clip
from sip.crypto_attribute import SrtpPolicy
from sip.errors import ParseError
from sip.events import RegistrationChanged, RegistrationStatus
from sip.uri import Uri

__all__ = ("EVENT_CODES", "NativePhone", "info_body", "parse_uri", "read_clip")

EVENT_CODES = {key: code for code, key in enumerate("0123456789*#ABCD")}
"RFC 4733 §3.2."
KEYS_AT_A_TIME = 32
"Half of what a leg holds."
MIN_EVENT_OFF_MS = 40
"The end packets of an event are repeated for so long (RFC 4733 §2.5.1.4)."
MAX_PLAY_S = 600


@dataclass(slots=True)
class _KeyRun:
    """A ``keys`` command under way."""

    mode: KeyMode
    on_ms: int
    off_ms: int
    left: deque[str] = field(repr=False)
    next_at: float


class NativePhone:
    """The `engine.softphone.backend.Backend` on `engine.softphone.stack`."""

    def __init__(
        self,
        emit: Emit,
        *,
        host: str,
        sip_port: int,
        audio: bool,
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        codecs: tuple[str, ...] = CODECS,
    ) -> None:
        self._emit = emit
        self._stack = NativeStack(self, host=host, sip_port=sip_port, srtp=srtp, codecs=codecs)
        self._card = SoundCard() if audio else None
        self._keys: dict[int, deque[_KeyRun]] = {}
        self._ears: dict[int, SoundDetector] = {}
        self._plays: dict[int, int] = {}
        self._play_count = 0
        self._record_to: str | None = None
        self._recorders: dict[int, wave.Wave_write] = {}

    def start(self) -> None:
        """Bind, and emit ``ready``."""
        self._stack.start()
        if self._card is not None:
            self._card.open()
        self._emit(Ready(sip_port=self._stack.sip_port, backend="native"))

    def close(self) -> None:
        """End everything; safe to call twice."""
        self._stack.close()
        for number in list(self._recorders):
            self._finish_recording(number)
        if self._card is not None:
            self._card.close()

    def poll(self, timeout_s: float) -> None:
        """Let the stack work; press the keys that are due; write what was heard."""
        self._stack.poll(timeout_s)
        for call in list(self._stack.calls.values()):
            self._press_due_keys(call)
            self._take_heard(call)

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(self, command: Command) -> None:
        """Carry out one command."""
        match command:
            case Register():
                registrar = parse_uri(command.registrar)
                self._stack.register(registrar, command.username, command.password, command.expires_s)
            case Unregister():
                self._stack.unregister()
            case Call():
                self._stack.place(parse_uri(command.uri), credentials=self._stack.credentials)
            case Answer():
                self._stack.answer(self._find(command.call), command.status)
            case Keys():
                self._press(command)
            case Play():
                self._play(command)
            case Record():
                self._record_to = command.file
                for call in self._stack.calls.values():
                    if call.state is CallState.CONFIRMED:
                        self._start_recording(call)
            case Hold() | Unhold():
                raise SoftphoneError("this backend cannot hold a call; use --backend pjsua")
            case HangUp():
                self._stack.hang_up(self._find(command.call))
            case Quit():
                self.close()
            case _:
                assert_never(command)

    def _press(self, command: Keys) -> None:
        call = self._find(command.call)
        if call.media is None:
            raise SoftphoneError("the call has no audio yet")
        if command.mode is KeyMode.TELEPHONE_EVENT and call.media.event_send_pt is None:
            raise SoftphoneError("the other end takes no telephone-events; key in-band or by info")
        off_ms = max(command.off_ms, MIN_EVENT_OFF_MS) if command.mode is KeyMode.TELEPHONE_EVENT else command.off_ms
        run = _KeyRun(command.mode, command.on_ms, off_ms, deque(command.keys), time.monotonic())
        self._keys.setdefault(call.number, deque()).append(run)

    def _play(self, command: Play) -> None:
        call = self._find(command.call)
        if call.media is None:
            raise SoftphoneError("the call has no audio yet")
        clip = read_clip(Path(command.file))
        self._play_count += 1
        self._plays[self._play_count] = call.number
        self._stack.play(call, [clip], self._play_count)

    def _find(self, number: int) -> NativeCall:
        call = self._stack.calls.get(number or max(self._stack.calls, default=0))
        if call is None:
            raise SoftphoneError("there is no such call")
        return call

    # -- from the stack ------------------------------------------------------------------------------------------

    def call_came_in(self, call: NativeCall, from_uri: str) -> None:
        """Tell of an incoming call."""
        self._emit(Incoming(call=call.number, from_uri=from_uri))
        self._emit(State(call=call.number, state=CallState.INCOMING, status=100, reason="Trying"))

    def call_changed(self, call: NativeCall, status: int, reason: str) -> None:
        """Tell of a call's state; its recording is complete before its end is told."""
        if call.state is CallState.CONFIRMED:
            call.recording = self._card is not None
            self._start_recording(call)
        elif call.state is CallState.DISCONNECTED:
            self._end_keys(call)
            self._ears.pop(call.number, None)
            self._take_heard(call)
            self._finish_recording(call.number)
        self._emit(State(call=call.number, state=call.state, status=status, reason=reason))

    def media_changed(self, call: NativeCall) -> None:
        """Tell whether audio flows."""
        assert call.media is not None
        srtp = call.media.srtp.suite if call.media.srtp is not None else ""
        self._emit(Media(call=call.number, active=not call.media.held, codec=call.media.codec, srtp=srtp))

    def heard(self, call: NativeCall, active: bool, now: float) -> None:
        """Tell when sound begins and ends."""
        change = self._ears.setdefault(call.number, SoundDetector()).feed(active, now)
        if change is not None:
            self._emit(Sound(call=call.number, state=change))

    def media_event(self, event: MediaEvent) -> None:
        """Tell of a file's end; keys that the other end sends are nobody's business here."""
        if isinstance(event, PlayFinished) and event.token in self._plays:
            number = self._plays.pop(event.token)
            if event.completed:
                self._emit(PlayDone(call=number))

    def registration_changed(self, event: RegistrationChanged) -> None:
        """Tell of the registration, once an answer came."""
        if event.state not in (RegistrationStatus.REGISTERING, RegistrationStatus.UNREGISTERING):
            registered = event.state is RegistrationStatus.REGISTERED
            self._emit(Registered(registered=registered, status=event.status or 408, reason=event.reason))

    # -- keys ----------------------------------------------------------------------------------------------------

    def _press_due_keys(self, call: NativeCall) -> None:
        runs = self._keys.get(call.number)
        now = time.monotonic()
        while runs and runs[0].next_at <= now:
            run = runs[0]
            if not run.left:
                runs.popleft()
                if runs:
                    runs[0].next_at = now
                self._emit(KeysDone(call=call.number))
                continue
            try:
                count = self._send_message(call, run) if run.mode is KeyMode.INFO else self._send_media(call, run)
            except SoftphoneError as error:
                self._emit(Failure(message=str(error), command=Keys.NAME))
                self._end_keys(call)
                return
            run.next_at = now + count * (run.on_ms + run.off_ms) / 1000

    def _end_keys(self, call: NativeCall) -> None:
        for _ in self._keys.pop(call.number, ()):
            self._emit(KeysDone(call=call.number, completed=False))

    def _send_media(self, call: NativeCall, run: _KeyRun) -> int:
        count = min(len(run.left), KEYS_AT_A_TIME)
        codes = [EVENT_CODES[run.left.popleft()] for _ in range(count)]
        in_band = run.mode is KeyMode.IN_BAND
        try:
            call.leg.send_digits(
                codes, mode="in-band" if in_band else "telephone-event", on_ms=run.on_ms, off_ms=run.off_ms
            )
        except MediaError as error:
            raise SoftphoneError(f"the keys could not be sent ({error})") from None
        return count

    def _send_message(self, call: NativeCall, run: _KeyRun) -> int:
        self._stack.send_info(call, "application/dtmf-relay", info_body(run.left.popleft(), run.on_ms))
        return 1

    # -- recording -----------------------------------------------------------------------------------------------

    def _start_recording(self, call: NativeCall) -> None:
        if self._record_to is None or call.number in self._recorders:
            return
        path, self._record_to = self._record_to, None
        try:
            recorder = wave.open(path, "wb")  # noqa: SIM115 - it lives as long as the call
        except OSError:
            message = "cannot record to that file; does its folder exist?"
            self._emit(Failure(message=message, command=Record.NAME))
            return
        recorder.setnchannels(1)
        recorder.setsampwidth(2)
        recorder.setframerate(RATE_HZ)
        self._recorders[call.number] = recorder
        call.recording = True

    def _take_heard(self, call: NativeCall) -> None:
        pcm = bytes(call.heard)
        call.heard.clear()
        recorder = self._recorders.get(call.number)
        if recorder is not None and pcm:
            recorder.writeframesraw(pcm)
        if self._card is not None:
            for start in range(0, len(pcm), FRAME_BYTES):
                self._card.write_loudspeaker(pcm[start : start + FRAME_BYTES])

    def _finish_recording(self, number: int) -> None:
        recorder = self._recorders.pop(number, None)
        if recorder is not None:
            recorder.close()


def info_body(key: str, duration_ms: int) -> bytes:
    """Return an ``application/dtmf-relay`` body for one key."""
    return f"Signal={key}\r\nDuration={duration_ms}\r\n".encode("ascii")


def read_clip(path: Path) -> Clip:
    """Return a mono 8 kHz 16-bit WAV file as a clip; raises `SoftphoneError`."""
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE_HZ):
                raise SoftphoneError("the file cannot be played; it must be WAV, mono, 16 bit, 8 kHz")
            pcm = file.readframes(min(file.getnframes(), MAX_PLAY_S * RATE_HZ))
    except FileNotFoundError:
        raise SoftphoneError("no such file") from None
    except (OSError, EOFError, wave.Error):
        raise SoftphoneError("the file cannot be played; it must be WAV, mono, 16 bit, 8 kHz") from None
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.int16)
    return Clip(name=path.name, pcmu=g711.ulaw_encode(samples), pcma=g711.alaw_encode(samples))


def parse_uri(text: str) -> Uri:
    """Return a SIP URI with a host; raises `SoftphoneError`."""
    try:
        uri = Uri.parse(text)
    except ParseError:
        raise SoftphoneError("cannot call that URI: it must look like sip:pay@192.0.2.1:5060") from None
    if uri.scheme != "sip" or not uri.host:
        raise SoftphoneError("cannot call that URI: it must look like sip:pay@192.0.2.1:5060")
    return uri
