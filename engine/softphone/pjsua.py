"""A softphone on PJSIP (the pjsua2 wheel): a SIP and RTP stack that shares no line with the engine's.

The wheel takes at most four calls, SIP over UDP, and has no sound device of its own compiled in: the conference bridge
runs on its null device, and microphone and loudspeaker come through PyAudio (`engine.softphone.audio`).

Everything of PJSIP's runs on one thread, the loop's: no worker threads, callbacks from `libHandleEvents` only
(``mainThreadOnly``). Its media threads are C and never enter Python, but for the sound card's port.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import pjsua2 as pj

from engine.errors import SoftphoneError
from engine.softphone.audio import SoundCard
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

__all__ = ("MAX_CALLS", "PjsuaPhone")

MAX_CALLS = 4
"Compiled into the wheel (PJSUA_MAX_CALLS)."
CLOCK_RATE_HZ = 8000
FRAME_MS = 20
TONE_AMPLITUDE = 9050
"Peak of each tone, of 32767: -8 dBm0 a tone (0 to -25 dBm is in order, Q.24 table A-1)."
ACTIVE_LEVEL = 8
"PJMEDIA's signal level (0 to 127, a mu-law magnitude) above which the other end is heard: about -45 dBm0."
TONES_AT_A_TIME = 16
"PJMEDIA_TONES_AT_A_TIME."
# Below the engine's own range (20000 up) and below what the system hands out (32768 up).
RTP_PORTS = range(12_000, 19_000, 2)
RTP_PORT_SPAN = 900
# The first is offered first. G.722 is offered as real phones do, so that the other end has something to leave out.
CODEC_PRIORITIES = {"PCMU/8000": 255, "PCMA/8000": 254, "G722/16000": 100}

_STATES = {
    pj.PJSIP_INV_STATE_CALLING: CallState.CALLING,
    pj.PJSIP_INV_STATE_INCOMING: CallState.INCOMING,
    pj.PJSIP_INV_STATE_EARLY: CallState.EARLY,
    pj.PJSIP_INV_STATE_CONFIRMED: CallState.CONFIRMED,
    pj.PJSIP_INV_STATE_DISCONNECTED: CallState.DISCONNECTED,
}


@dataclass(slots=True)
class _KeyRun:
    """A ``keys`` command under way: what is still to be pressed, and when."""

    mode: KeyMode
    on_ms: int
    off_ms: int
    left: deque[str] = field(repr=False)
    next_at: float


class _Player(pj.AudioMediaPlayer):  # type: ignore[misc]
    """A file player that says when it came to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = False

    def onEof2(self) -> None:  # noqa: N802 - PJSUA2's name
        self.ended = True


class _Account(pj.Account):  # type: ignore[misc]
    """Hands incoming calls and registration results to the phone."""

    def __init__(self, phone: PjsuaPhone) -> None:
        super().__init__()
        self._phone = phone

    def onRegState(self, prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        self._phone.registration_changed(
            Registered(registered=bool(info.regIsActive), status=int(prm.code), reason=str(prm.reason))
        )

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        self._phone.call_came_in(self, int(prm.callId))


class _Call(pj.Call):  # type: ignore[misc]
    """One call and the media objects that hang on it.

    The callbacks only take note; the phone acts on it after `libHandleEvents` returned, because PJSUA must not be
    re-entered from all of them and an exception in one would end the process.
    """

    def __init__(self, account: pj.Account, number: int, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.number = number
        self.states: deque[tuple[CallState, int, str]] = deque()
        self.media_changed = False
        self.answered = False
        self.audio: Any = None
        self.tones: pj.ToneGenerator | None = None
        self.recorder: pj.AudioMediaRecorder | None = None
        self.player: _Player | None = None
        self.keys: deque[_KeyRun] = deque()
        self.ear = SoundDetector()
        self.hold_wanted = False

    def onCallState(self, prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        state = _STATES.get(info.state)
        if state is not None:
            self.states.append((state, int(info.lastStatusCode), str(info.lastReason)))

    def onCallMediaState(self, prm: Any) -> None:  # noqa: N802
        self.media_changed = True


class PjsuaPhone:
    """The `engine.softphone.backend.Backend` on pjsua2."""

    def __init__(self, emit: Emit, *, host: str, sip_port: int, audio: bool) -> None:
        self._emit = emit
        self._host = host
        self._sip_port = sip_port
        self._endpoint: pj.Endpoint | None = None
        self._account: _Account | None = None
        self._registered_account: _Account | None = None
        self._calls: dict[int, _Call] = {}
        self._count = 0
        self._record_to: str | None = None
        self._registrations: deque[Registered] = deque()
        self._incoming: deque[_Call] = deque()
        self._card = SoundCard() if audio else None
        self._card_port: _CardPort | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the transport and emit ``ready``."""
        endpoint = pj.Endpoint()
        self._endpoint = endpoint
        with _failing("the SIP stack could not start"):
            endpoint.libCreate()
            endpoint.libInit(_endpoint_config())
            transport = pj.TransportConfig()
            transport.port = self._sip_port
            transport.boundAddress = self._host
            transport_id = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
            endpoint.libStart()
            endpoint.audDevManager().setNullDev()
            for codec in endpoint.codecEnum2():
                name = str(codec.codecId).rsplit("/", 1)[0]
                endpoint.codecSetPriority(codec.codecId, CODEC_PRIORITIES.get(name, 0))
            address = str(endpoint.transportGetInfo(transport_id).localName)
            self._sip_port = int(address.rsplit(":", 1)[1])
            self._account = self._create_account(self._account_config(f"sip:phone@{address}"))
        if self._card is not None:
            self._card.open()
            self._card_port = _CardPort(self._card)
        self._emit(Ready(sip_port=self._sip_port, backend="pjsua"))

    def close(self) -> None:
        """End the calls, unregister and destroy the stack."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            return
        for call in self._calls.values():
            _release_media(call)
        # PJSUA objects must go before the library does; libDestroy sends BYE and the un-REGISTER itself.
        for step in (endpoint.hangupAllCalls, self._drop_objects, endpoint.libDestroy):
            try:
                step()
            except pj.Error:
                continue
        if self._card is not None:
            self._card.close()

    def _drop_objects(self) -> None:
        self._calls.clear()
        self._incoming.clear()
        self._card_port = None
        for account in (self._registered_account, self._account):
            if account is not None:
                account.shutdown()
        self._registered_account = self._account = None

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(self, command: Command) -> None:
        """Carry out one command."""
        match command:
            case Register():
                self._register(command)
            case Unregister():
                self._unregister()
            case Call():
                self._place(command.uri)
            case Answer():
                self._answer(command)
            case Keys():
                self._press(command)
            case Play():
                self._play(command)
            case Record():
                self._record_to = command.file
                for call in self._calls.values():
                    self._start_recorder(call)
            case Hold() | Unhold():
                self._hold(command)
            case HangUp():
                call = self._find(command.call)
                with _failing("the call could not be ended"):
                    call.hangup(_parameters(0))
            case Quit():
                self.close()
            case _:
                assert_never(command)

    def _register(self, command: Register) -> None:
        realm_host = command.registrar.removeprefix("sip:").partition(";")[0].rpartition("@")[2]
        config = self._account_config(f"sip:{command.username}@{realm_host}")
        config.regConfig.registrarUri = command.registrar
        config.regConfig.timeoutSec = command.expires_s
        config.regConfig.registerOnAdd = True
        credentials = pj.AuthCredInfo("digest", "*", command.username, 0, command.password)
        config.sipConfig.authCreds.append(credentials)
        with _failing("the account is not usable"):
            if self._registered_account is not None:
                self._registered_account.shutdown()
            self._registered_account = self._create_account(config)

    def _unregister(self) -> None:
        if self._registered_account is None:
            raise SoftphoneError("not registered")
        with _failing("unregister failed"):
            self._registered_account.setRegistration(False)

    def _place(self, uri: str) -> None:
        if len(self._calls) >= MAX_CALLS:
            raise SoftphoneError(f"the pjsua2 wheel takes {MAX_CALLS} calls; --backend native takes more")
        call = _Call(self._registered_account or self._account, self._next_number())
        self._calls[call.number] = call
        try:
            with _failing("cannot call that URI"):
                call.makeCall(uri, _parameters(0))
        except SoftphoneError:
            self._flush(call)
            self._calls.pop(call.number, None)
            raise

    def _answer(self, command: Answer) -> None:
        call = self._find(command.call)
        with _failing("the call could not be answered"):
            call.answer(_parameters(command.status))

    def _hold(self, command: Hold | Unhold) -> None:
        call = self._find(command.call)
        call.hold_wanted = isinstance(command, Hold)
        parameters = _parameters(0)
        with _failing("the re-INVITE could not be sent; is one still under way?"):
            if call.hold_wanted:
                call.setHold(parameters)
            else:
                parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
                call.reinvite(parameters)

    def _press(self, command: Keys) -> None:
        call = self._find(command.call)
        if call.audio is None:
            raise SoftphoneError("the call has no audio yet")
        run = _KeyRun(command.mode, command.on_ms, command.off_ms, deque(command.keys), time.monotonic())
        call.keys.append(run)

    def _play(self, command: Play) -> None:
        call = self._find(command.call)
        if call.audio is None:
            raise SoftphoneError("the call has no audio yet")
        if not Path(command.file).is_file():
            raise SoftphoneError("no such file")
        player = _Player()
        with _failing("the file cannot be played; it must be WAV, mono, 16 bit"):
            player.createPlayer(command.file, pj.PJMEDIA_FILE_NO_LOOP)
            player.startTransmit(call.audio)
        call.player = player

    def _find(self, number: int) -> _Call:
        call = self._calls.get(number or max(self._calls, default=0))
        if call is None:
            raise SoftphoneError("there is no such call")
        return call

    def _next_number(self) -> int:
        self._count += 1
        return self._count

    # -- from the stack ------------------------------------------------------------------------------------------

    def registration_changed(self, event: Registered) -> None:
        """Take note of a registration result (a callback of the account)."""
        self._registrations.append(event)

    def call_came_in(self, account: _Account, call_id: int) -> None:
        """Take note of an incoming call and let it ring (a callback of the account)."""
        call = _Call(account, self._next_number(), call_id)
        self._calls[call.number] = call
        self._incoming.append(call)

    def poll(self, timeout_s: float) -> None:
        """Let the stack work, then say what came of it and press the keys that are due."""
        endpoint = self._endpoint
        if endpoint is None:
            time.sleep(timeout_s)
            return
        endpoint.libHandleEvents(int(timeout_s * 1000))
        while self._registrations:
            self._emit(self._registrations.popleft())
        while self._incoming:
            call = self._incoming.popleft()
            self._emit(Incoming(call=call.number, from_uri=str(call.getInfo().remoteUri)))
            if call.isActive():
                call.answer(_parameters(180))
        for call in list(self._calls.values()):
            try:
                with _failing("the call is in a state that was not expected"):
                    self._flush(call)
                    self._listen(call)
                    self._press_due_keys(call)
            except SoftphoneError as error:
                self._emit(Failure(message=str(error)))

    def _flush(self, call: _Call) -> None:
        """Emit what the call's callbacks noted."""
        while call.states:
            state, status, reason = call.states.popleft()
            if state is CallState.DISCONNECTED:
                # The recording is complete before anybody hears that the call is over.
                self._end_keys(call)
                _release_media(call)
                self._calls.pop(call.number, None)
            self._emit(State(call=call.number, state=state, status=status, reason=reason))
        if call.media_changed and call.number in self._calls:
            call.media_changed = False
            self._connect_media(call)

    def _connect_media(self, call: _Call) -> None:
        info = call.getInfo()
        active = any(
            media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE for media in info.media
        )
        codec = ""
        if active:
            call.audio = call.getAudioMedia(-1)
            codec = str(call.getStreamInfo(0).codecName)
            assert self._endpoint is not None
            # Somebody must listen, or the bridge does not measure the level of what arrives.
            call.audio.startTransmit(self._endpoint.audDevManager().getPlaybackDevMedia())
            if call.tones is None:
                call.tones = pj.ToneGenerator()
                call.tones.createToneGenerator(CLOCK_RATE_HZ, 1)
            call.tones.startTransmit(call.audio)
            if call.recorder is not None:
                call.audio.startTransmit(call.recorder)
            if self._card_port is not None:
                call.audio.startTransmit(self._card_port)
                self._card_port.startTransmit(call.audio)
            self._start_recorder(call)
        else:
            call.audio = None
        self._emit(Media(call=call.number, active=active, codec=codec))

    def _start_recorder(self, call: _Call) -> None:
        if self._record_to is None or call.audio is None or call.recorder is not None:
            return
        path, self._record_to = self._record_to, None
        recorder = pj.AudioMediaRecorder()
        try:
            with _failing("cannot record to that file; does its folder exist, and does it end in .wav?"):
                recorder.createRecorder(path)
                call.audio.startTransmit(recorder)
        except SoftphoneError as error:
            self._emit(Failure(message=str(error), command=Record.NAME))
            return
        call.recorder = recorder

    def _listen(self, call: _Call) -> None:
        if call.audio is None:
            return
        # "Tx" is what the call's port transmits to the bridge: what comes from the other end.
        change = call.ear.feed(call.audio.getTxLevel() > ACTIVE_LEVEL, time.monotonic())
        if change is not None:
            self._emit(Sound(call=call.number, state=change))
        if call.player is not None and call.player.ended:
            call.player = None
            self._emit(PlayDone(call=call.number))

    # -- keys ----------------------------------------------------------------------------------------------------

    def _press_due_keys(self, call: _Call) -> None:
        now = time.monotonic()
        while call.keys and call.keys[0].next_at <= now:
            run = call.keys[0]
            if not run.left:
                call.keys.popleft()
                if call.keys:
                    call.keys[0].next_at = now
                self._emit(KeysDone(call=call.number))
                continue
            try:
                with _failing("the keys could not be sent"):
                    count = _send_tones(call, run) if run.mode is KeyMode.IN_BAND else _send_message(call, run)
            except SoftphoneError as error:
                self._emit(Failure(message=str(error), command=Keys.NAME))
                self._end_keys(call)
                return
            run.next_at = now + count * (run.on_ms + run.off_ms) / 1000

    def _end_keys(self, call: _Call) -> None:
        while call.keys:
            call.keys.popleft()
            self._emit(KeysDone(call=call.number, completed=False))

    # -- configuration -------------------------------------------------------------------------------------------

    def _account_config(self, identity: str) -> pj.AccountConfig:
        config = pj.AccountConfig()
        config.idUri = identity
        config.regConfig.registerOnAdd = False
        config.mediaConfig.transportConfig.boundAddress = self._host
        # Several softphones on one machine: each tries from a place of its own.
        config.mediaConfig.transportConfig.port = secrets.choice(RTP_PORTS)
        config.mediaConfig.transportConfig.portRange = RTP_PORT_SPAN
        config.natConfig.contactRewriteUse = 0
        config.natConfig.sdpNatRewriteUse = 0
        config.natConfig.viaRewriteUse = 0
        return config

    def _create_account(self, config: pj.AccountConfig) -> _Account:
        account = _Account(self)
        account.create(config)
        return account


class _CardPort(pj.AudioMediaPort):  # type: ignore[misc]
    """The sound card as a port of the conference bridge. Its callbacks run on the bridge's clock thread."""

    def __init__(self, card: SoundCard) -> None:
        super().__init__()
        self._card = card
        form = pj.MediaFormatAudio()
        form.init(pj.PJMEDIA_FORMAT_PCM, CLOCK_RATE_HZ, 1, FRAME_MS * 1000, 16)
        self.createPort("sound-card", form)

    def onFrameRequested(self, frame: Any) -> None:  # noqa: N802
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf = pj.ByteVector(self._card.read_microphone())

    def onFrameReceived(self, frame: Any) -> None:  # noqa: N802
        self._card.write_loudspeaker(bytes(frame.buf))


class _failing:  # noqa: N801 - reads as a clause: with _failing("...")
    """Turn PJSUA2's error into ours, with our words and its status."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pj.Error):
            raise SoftphoneError(f"{self._message} ({error.reason})") from None


def _endpoint_config() -> pj.EpConfig:
    config = pj.EpConfig()
    # No log at any level: PJSIP's would show INFO bodies and the digits of events.
    config.logConfig.level = 0
    config.logConfig.consoleLevel = 0
    config.logConfig.msgLogging = 0
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.uaConfig.maxCalls = MAX_CALLS
    config.uaConfig.userAgent = "paytone-softphone-pjsua"
    config.medConfig.clockRate = CLOCK_RATE_HZ
    config.medConfig.audioFramePtime = FRAME_MS
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    return config


def _parameters(status: int) -> pj.CallOpParam:
    parameters = pj.CallOpParam(True)
    parameters.opt.audioCount = 1
    parameters.opt.videoCount = 0
    if status:
        parameters.statusCode = status
    return parameters


def _send_tones(call: _Call, run: _KeyRun) -> int:
    """Hand as many keys to the tone generator as it takes; return how many."""
    digits = pj.ToneDigitVector()
    count = min(len(run.left), TONES_AT_A_TIME)
    for _ in range(count):
        digit = pj.ToneDigit()
        digit.digit = run.left.popleft()
        digit.on_msec, digit.off_msec, digit.volume = run.on_ms, run.off_ms, TONE_AMPLITUDE
        digits.append(digit)
    assert call.tones is not None
    call.tones.playDigits(digits)
    return count


def _send_message(call: _Call, run: _KeyRun) -> int:
    """Send the next key as RFC 4733 event or as SIP INFO; return 1."""
    parameters = pj.CallSendDtmfParam()
    parameters.method = pj.PJSUA_DTMF_METHOD_RFC2833
    if run.mode is KeyMode.INFO:
        parameters.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
    parameters.duration = run.on_ms
    parameters.digits = run.left.popleft()
    call.sendDtmf(parameters)
    return 1


def _release_media(call: _Call) -> None:
    """Drop the call's media objects; dropping the recorder completes its file."""
    call.audio = call.tones = call.recorder = call.player = None
