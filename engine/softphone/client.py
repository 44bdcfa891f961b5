"""Drive a softphone process from asyncio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import ClassVar, TypeVar

from engine.errors import SoftphoneError
from engine.softphone.backend import BackendName
from engine.softphone.protocol import (
    MAX_LINE_BYTES,
    Answer,
    Call,
    CallState,
    Command,
    Event,
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
    SoundState,
    State,
    Unhold,
    Unregister,
    decode_event,
    encode,
)
from sip.crypto_attribute import SrtpPolicy

__all__ = ("Softphone",)

START_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
MAX_STDERR_BYTES = 4000

_ORDER = {state: index for index, state in enumerate(CallState)}
_Kind = TypeVar("_Kind", bound=Event)


class Softphone:
    """One softphone process.

    ::

        async with Softphone() as phone:
            await phone.call("sip:pay@127.0.0.1:5060")
            await phone.wait_state(CallState.CONFIRMED)
            await phone.wait_for_prompt()
            await phone.keys("4242#", mode=KeyMode.IN_BAND)

    Calls are numbered from 1; ``call=0`` means the latest. A command that fails raises `SoftphoneError` with the
    process's words. No method logs or stores keys.
    """

    MODULE: ClassVar[str] = "engine.softphone"
    "What the process runs; whatever speaks the same lines can stand there."

    def __init__(
        self,
        *,
        backend: BackendName = BackendName.AUTO,
        host: str = "127.0.0.1",
        sip_port: int = 0,
        audio: bool = False,
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        codec: str = "",
    ) -> None:
        self._arguments = ["--backend", backend, "--host", host, "--sip-port", str(sip_port), "--srtp", srtp]
        if codec:
            self._arguments += ["--codec", codec]
        if audio:
            self._arguments.append("--audio")
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self._closed = False
        self._stderr = b""
        self._sounds_seen = 0
        self.events: list[Event] = []
        "Everything the process said, oldest first."
        self.sip_port = 0
        self.host = host
        self.backend = ""

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process and wait until it listens; raises `SoftphoneError`."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.MODULE,
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
        )
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_stderr())]
        try:
            ready = await self._next(Ready, lambda event: True, 0, START_TIMEOUT_S, "to start")
        except BaseException:
            await self.close()
            raise
        self.sip_port, self.backend = ready.sip_port, ready.backend

    async def close(self) -> None:
        """End all calls and the process; kills it by its PID when it does not go by itself. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            try:
                process.stdin.write(encode(Quit()))
                process.stdin.close()
                await process.stdin.wait_closed()
            except (BrokenPipeError, ConnectionResetError):
                pass
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with suppress(ProcessLookupError):  # it went, and its pipes were slower
                process.kill()
            await process.wait()
        finally:
            await asyncio.gather(*self._readers, return_exceptions=True)

    async def __aenter__(self) -> Softphone:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def uri(self) -> str:
        """Where this softphone can be called."""
        return f"sip:phone@{self.host}:{self.sip_port}"

    # -- commands ------------------------------------------------------------------------------------------------

    async def register(
        self,
        registrar: str,
        username: str,
        password: str,
        *,
        expires_s: int = 300,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> Registered:
        """Register and wait for the answer; raises `SoftphoneError` when it is refused."""
        start = len(self.events)
        command = Register(registrar=registrar, username=username, password=password, expires_s=expires_s)
        await self._send(command)
        result = await self._next(Registered, lambda event: True, start, timeout_s, "for the registrar's answer")
        if not result.registered:
            raise SoftphoneError(f"registration refused: {result.status} {result.reason}")
        return result

    async def unregister(self, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Unregister and wait for the answer."""
        start = len(self.events)
        await self._send(Unregister())
        await self._next(Registered, lambda event: not event.registered, start, timeout_s, "for the registrar's answer")

    async def call(self, uri: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> int:
        """Call a SIP URI; return the call's number once the INVITE is out."""
        start = len(self.events)
        await self._send(Call(uri=uri))
        state = await self._next(
            State, lambda event: event.state is CallState.CALLING, start, timeout_s, "for the call to go out"
        )
        return state.call

    async def wait_incoming(self, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Incoming:
        """Wait until somebody calls (or return the last call that came in)."""
        known = [event for event in self.events if isinstance(event, Incoming)]
        if known:
            return known[-1]
        return await self._next(Incoming, lambda event: True, 0, timeout_s, "for a call to come in")

    async def answer(self, *, call: int = 0, status: int = 200) -> None:
        """Answer the ringing call, or refuse it with a status from 300 on."""
        await self._send(Answer(call=call, status=status))

    async def keys(
        self,
        keys: str,
        *,
        mode: KeyMode = KeyMode.TELEPHONE_EVENT,
        on_ms: int = 80,
        off_ms: int = 80,
        call: int = 0,
    ) -> None:
        """Press keys and wait until the last one is out; raises `SoftphoneError` when the call ended first."""
        start = len(self.events)
        await self._send(Keys(keys=keys, mode=mode, on_ms=on_ms, off_ms=off_ms, call=call))
        timeout_s = COMMAND_TIMEOUT_S + len(keys) * (on_ms + off_ms) / 1000
        done = await self._next(
            KeysDone, lambda event: call in (0, event.call), start, timeout_s, "for the keys to be sent"
        )
        if not done.completed:
            raise SoftphoneError("the call ended before all keys were sent")

    async def play(self, file: str, *, call: int = 0, timeout_s: float = 60.0) -> None:
        """Play a WAV file into the call and wait for its end."""
        start = len(self.events)
        await self._send(Play(file=file, call=call))
        await self._next(PlayDone, lambda event: call in (0, event.call), start, timeout_s, "for the file's end")

    async def record(self, file: str) -> None:
        """Record what the current or the next call hears; the file is complete once that call is disconnected."""
        await self._send(Record(file=file))

    async def hold(self, *, call: int = 0, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Put the call on hold and wait for the other end's answer."""
        await self._media_command(Hold(call=call), call, timeout_s, active=False)

    async def unhold(self, *, call: int = 0, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Take the call off hold and wait for the other end's answer."""
        await self._media_command(Unhold(call=call), call, timeout_s, active=True)

    async def hang_up(self, *, call: int = 0, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """End the call and wait until it is over."""
        start = len(self.events)
        await self._send(HangUp(call=call))
        await self._next(
            State,
            lambda event: event.state is CallState.DISCONNECTED and call in (0, event.call),
            start,
            timeout_s,
            "for the call to end",
        )

    # -- waiting -------------------------------------------------------------------------------------------------

    async def wait_state(self, state: CallState, *, timeout_s: float = COMMAND_TIMEOUT_S, call: int = 0) -> State:
        """Wait until the call (0: the latest) has reached the state, or return at once if it has.

        Raises `SoftphoneError` when the call ended without reaching it, with the status and reason it ended with.
        """
        number = call or max((event.call for event in self.events if isinstance(event, State | Incoming)), default=1)
        reached = await self._next(
            State,
            lambda event: event.call == number and _ORDER[event.state] >= _ORDER[state],
            0,
            timeout_s,
            f"for call {number} to be {state}",
        )
        if reached.state is CallState.DISCONNECTED and state is not CallState.DISCONNECTED:
            raise SoftphoneError(f"the call ended before it was {state}: {reached.status} {reached.reason}")
        return reached

    async def wait_sound(self, state: SoundState, *, timeout_s: float = 30.0) -> Sound:
        """Wait for the next ``began`` or ``ended`` after the last one waited for."""
        sound = await self._next(
            Sound, lambda event: event.state is state, self._sounds_seen, timeout_s, f"for sound {state}"
        )
        self._sounds_seen = next(i for i, event in enumerate(self.events) if event is sound) + 1
        return sound

    async def wait_for_prompt(self, *, timeout_s: float = 30.0) -> None:
        """Wait until a prompt began and ended (0.8 s of silence)."""
        await self.wait_sound(SoundState.BEGAN, timeout_s=timeout_s)
        await self.wait_sound(SoundState.ENDED, timeout_s=timeout_s)

    # -- the process ---------------------------------------------------------------------------------------------

    async def _media_command(self, command: Hold | Unhold, call: int, timeout_s: float, *, active: bool) -> None:
        start = len(self.events)
        await self._send(command)
        await self._next(
            Media,
            lambda event: event.active is active and call in (0, event.call),
            start,
            timeout_s,
            f"for the answer to {command.NAME}",
        )

    async def _send(self, command: Command) -> None:
        if self._process is None or self._process.stdin is None or self._closed:
            raise SoftphoneError(self._gone())
        try:
            self._process.stdin.write(encode(command))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise SoftphoneError(self._gone()) from None

    async def _next(
        self, kind: type[_Kind], matches: Callable[[_Kind], bool], start: int, timeout_s: float, what: str
    ) -> _Kind:
        """Return the first matching event from index ``start`` on; an ``error`` event on the way raises."""
        index = start
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while True:
                    while index < len(self.events):
                        event = self.events[index]
                        index += 1
                        if isinstance(event, kind) and matches(event):
                            return event
                        if isinstance(event, Failure) and start > 0:
                            raise SoftphoneError(f"{event.command or 'softphone'}: {event.message}")
                        if isinstance(event, Failure) and kind is Ready:
                            raise SoftphoneError(event.message)
                    if self._closed:
                        raise SoftphoneError(self._gone())
                    await self._changed.wait()
        except TimeoutError:
            raise SoftphoneError(f"waited {timeout_s:g} s in vain {what}") from None

    def _gone(self) -> str:
        last = self._stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return "the softphone process is gone; start it again" + (f" ({last})" if last else "")

    async def _read_events(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                event = decode_event(line)
                async with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._closed = True
                self._changed.notify_all()

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(1000):
            self._stderr = (self._stderr + chunk)[-MAX_STDERR_BYTES:]
