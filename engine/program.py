"""What runs on a call, and what it may ask of the call: the two sides of one contract, without a word of SIP.

A *program* decides what happens on a call: the built-in form (``engine.form``), a dialect's document
(``engine.programs``). The call (``engine.call``) hands it what happens, in this order, each at most once but keys and
prompts::

    offered   a call in rings and waits for our word: `CallControl.answer` or `CallControl.reject`
    start     both sides hear each other
    digit, digit_ended, play_finished, ...
    hang_up   the call is over, or about to be: nothing more is heard
    done      awaited before the call is forgotten; a payment under way may take its time

A call out is not `offered`; one that nobody answers goes straight to `hang_up`. `Exchange` is where programs find and
make other calls. A `Companion` is something that runs beside the program of a call, such as the payment that an agent
captures: while it wants the keys it gets them, and the program does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from dsp.mask import MaskFill
from engine.media import Room
from engine.media.recorder import Recording
from engine.net.dialling import OutboundCall
from engine.payment_run import PaymentGuard
from prompts.clip import Clip

__all__ = (
    "CallControl",
    "CallFacts",
    "CallState",
    "Companion",
    "Exchange",
    "Program",
    "TakesTransfers",
    "Transfer",
)


class CallState(StrEnum):
    """Where a call stands."""

    QUEUED = "queued"
    "A call out that has not been sent yet."
    RINGING = "ringing"
    "A call in that waits for our answer, or a call out that rings at the far end."
    ANSWERED = "answered"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What is known of a call from its beginning."""

    call_id: str
    "32 hexadecimal digits."
    direction: Literal["in", "out"]
    caller: str
    "User part of who calls, or ``anonymous``."
    dialled: str
    "User part of who is called."
    caller_name: str = ""
    "Display name, of a call in."
    forwarded_from: str = ""
    "Whom the call was meant for before it was forwarded (RFC 7044, RFC 5806), of a call in."
    parent_id: str = ""
    "The call whose program made this one; empty: none did."
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    "X- headers of the INVITE of a call in, names as they came."


class Program(Protocol):
    """What runs on a call."""

    @property
    def label(self) -> str:
        """What the call's record and the log call it: a form's or an application's name."""

    def offered(self, now: float) -> None:
        """Take a call in that rings; answer or reject it, now or later."""

    def start(self, now: float) -> None:
        """Begin: both sides hear each other."""

    def digit(self, code: int, now: float) -> None:
        """Take a key that was pressed (RFC 4733 event code); one may come before `start`."""

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over: to its end, stopped, or ended by a key."""

    def hang_up(self, now: float) -> None:
        """Note that the call is over, or about to be; may come more than once."""

    async def done(self) -> None:
        """Wait until all that the program still owes somebody is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What a peer asks for by REFER (RFC 3515): connect who it talks to with somebody else."""

    to: str = field(repr=False)
    "Whom to call: a SIP URI without headers, or a ``tel:`` URI."
    replaces: str = field(default="", repr=False)
    "The call that ours shall take the place of at its peer (RFC 3891), of an attended transfer."
    referred_by: str = field(default="", repr=False)
    "Who asked, as they say themselves (RFC 3892)."
    report: Callable[[int, str], None]
    "Tell the peer a SIP status of that call and its phrase; one of 200 and more is the last word."


@runtime_checkable
class TakesTransfers(Protocol):
    """A program that follows a REFER of its call's peer; all others have it declined."""

    def transfer(self, wanted: Transfer) -> bool:
        """Begin to follow it and return True, or False when it cannot be done now.

        Raise ``CallError`` or ``ConfigError`` for what cannot be called.
        """


class Companion(Protocol):
    """What runs beside the program of a call, for as long as it is attached to it."""

    @property
    def wants_digits(self) -> bool:
        """Whether keys go to the companion now, and not to the program."""

    def digit(self, code: int, now: float) -> None:
        """Take a key that was pressed."""

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go; told also when `wants_digits` is false by now."""

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over; those of others are to be passed over."""

    def hang_up(self, now: float) -> None:
        """Note that the call is over, or about to be."""

    async def done(self) -> None:
        """Wait until all that is owed is written."""


class CallControl(Protocol):
    """What a program may ask of its call. A method that comes too late (the call is over) does nothing."""

    @property
    def facts(self) -> CallFacts:
        """What is known from the beginning."""

    @property
    def state(self) -> CallState:
        """Where the call stands."""

    @property
    def cause(self) -> str:
        """Why the call is over, as its record has it: ``busy``, ``no-answer``, ``remote_bye``, ...; empty before."""

    @property
    def guard(self) -> PaymentGuard:
        """One payment at a time."""

    @property
    def program(self) -> Program:
        """What runs on it."""

    # -- its beginning and end

    def answer(self) -> None:
        """Answer a call in that rings."""

    def reject(self, status: int) -> None:
        """Refuse a call in that rings, with a final SIP status of 400 to 699."""

    def hang_up(self, reason: str) -> None:
        """End the call."""

    @property
    def on_hold(self) -> bool:
        """Whether the far end is held."""

    def put_on_hold(self, on: bool) -> None:
        """Hold the far end, or let it go on (RFC 3264 §8.4); without effect when it is so.

        Nothing of who is held is heard or detected, from the word on, whatever the far end makes of it; they hear what
        is played, else silence. A bridge is parted meanwhile. Raise ``ProgramError`` while a payment is under way.
        """

    def refer(self, to: str, report: Callable[[int | None, str, bool], None]) -> None:
        """Ask the far end to call somebody (RFC 3515): a ``sip:``, ``sips:`` or ``tel:`` URI. The call goes on.

        ``report`` takes the SIP status of the answer, then of what the far end tells of its call, None when nobody
        said; the reason; and whether it is the last word. It must not hold the program. Raise ``CallError`` when that
        cannot be asked: the call is not up, a payment is under way, or another REFER.
        """

    # -- what is heard

    def play(self, clips: Sequence[Clip], token: int, *, interruptible: bool, loop: bool = False) -> None:
        """Play clips one after the other in place of what plays; `Program.play_finished` follows in any case.

        With ``interruptible`` the first key ends it in the same tick. Tokens are unique in the process:
        ``payment_run.TOKENS``.
        """

    def stop_playing(self) -> None:
        """Stop what plays."""

    def pause_playing(self) -> None:
        """Hold what plays: silence until `resume_playing`, or until something else is played."""

    def resume_playing(self) -> None:
        """Let what plays go on where it was held."""

    def set_volume(self, volume_db: float) -> None:
        """Make what plays louder or softer from now on: -60 to +12 dB, what is beyond is cut off; 0 at the start."""

    def send_digits(self, codes: Sequence[int]) -> None:
        """Key digits (RFC 4733 codes) towards the far end, as telephone-events where it takes them, else in-band."""

    # -- who else hears it

    def mask_line(self, *, fill: MaskFill = MaskFill.TONE) -> None:
        """Put the mask's delay line (60 ms) in the way, before a bridge or a recording begins; it stays there."""

    def mask(self, on: bool) -> None:
        """Take keys out of what others hear of this call, or take that back.

        Counted, for several may want it: the end of one capture must not let out the keys of another. Without a mask
        line nobody else hears the call; one that comes later begins masked. Raise ``MediaError`` when it cannot be.
        """

    def record(self, recording: Recording | None) -> None:
        """Record the call from now on; None ends it. While the recording is held it begins with silence."""

    def hold_recording(self) -> None:
        """Keep the caller out of every recording until `release_recording`: before the question that keys answer.

        Counted, for several may hold. What records those who hear this call, over a bridge or in a room, is held too.
        """

    def release_recording(self) -> None:
        """Take one hold back, once the last key was let go; 100 ms after the last hold it is recorded again."""

    def bridge(self, other: CallControl, *, relay_keys: bool = True) -> None:
        """Let this call and another one that is answered hear each other, until `unbridge` or the end of either.

        Raise ``MediaError`` when they cannot be.
        """

    def unbridge(self) -> None:
        """Part the call from the one it is bridged with."""

    def join(self, room: Room, *, muted: bool = False) -> None:
        """Let this call and those in a room of `Exchange.open_room` hear each other, until `leave_room` or a bridge.

        Nobody hears it while it is ``muted``; to join again changes only that. Keys go to nobody as telephone-events.
        Raise ``MediaError`` when the room is full or closed, or the call not up.
        """

    def leave_room(self) -> None:
        """Take the call out of the room that it is in."""

    def mute(self, on: bool) -> None:
        """Let those who hear this call hear nothing of it, or all again; its keys are heard here all the same.

        It holds for every bridge and room from now on, apart from ``muted`` of `join`; recordings go on.
        """

    def earmuff(self, on: bool) -> None:
        """Let the far end hear nothing of those it is connected with, or all again; what is played it hears.

        It holds for every bridge and room from now on.
        """

    @property
    def bridged_with(self) -> CallControl | None:
        """The call that is heard here now."""

    # -- what runs on it

    def attach(self, companion: Companion) -> None:
        """Let something run beside the program."""

    def detach(self, companion: Companion) -> None:
        """Let it go; it is still waited for before the call is forgotten."""


class Exchange(Protocol):
    """The calls of an engine, for programs and for the API."""

    def call(self, call_id: str) -> CallControl | None:
        """Return a call that is up or ringing; None when there is no such (any more)."""

    def open_room(self) -> Room:
        """Return an empty room for `CallControl.join`; close it when all have left. Raise ``MediaError`` at the end."""

    def place(
        self,
        wanted: OutboundCall,
        make_program: Callable[[CallControl], Program],
        *,
        beside: CallControl | None = None,
    ) -> CallControl:
        """Call somebody and run a program once they answer; return at once.

        With ``beside`` the new call can be bridged with that one, which becomes its parent. Raise ``CallError`` for
        what cannot be called, ``ConfigError`` for an account without its password.
        """
