"""What the Voice API does to any call that is up: speaks, plays a file, keys digits.

Laws:

1. A call plays one thing at a time: a talk or a stream takes the place of what plays, also of an NCCO's own, and of the
   one that was begun here before; `stop_talk` ends a talk of here only, `stop_stream` a stream.
2. Nothing is begun while a payment is in progress on the call (its prompts and keys are not to be disturbed), and what
   plays does not go on once one has begun; keys that are not sent by then never are.
3. Keys are sent in the order in which they were asked for; no more than `MAX_KEYS` wait.
4. What plays is a companion of its call, from the first request to the call's end; nothing else holds it.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from dsp.dtmf import CODES
from engine.dialects.ncco.actions import Stream, Talk
from engine.dialects.spoken import Play, Say, Spoken
from engine.errors import ProgramError
from engine.program import CallControl, CallState
from engine.programs.actions.keying import KeyingAction
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.actions.protocol import Action
from engine.programs.context import ProgramContext
from engine.programs.weak import held_weakly, weakly

__all__ = ("DB_PER_LEVEL", "MAX_KEYS", "LiveControl", "LivePlaying", "spoken_of")

DB_PER_LEVEL = 12.0
"Loudness: a ``level`` is -1 to 1."
MAX_KEYS = 1000
"Of one call that wait to be sent; ``w`` is one too."
_Kind = Literal["talk", "stream"]


def spoken_of(work: Talk | Stream) -> Spoken:
    """Return what is heard of an action; its level is no part of it."""
    if isinstance(work, Talk):
        return Say(text=work.text, language=work.language, loop=work.loop)
    return Play(url=work.url, loop=work.loop)


class LivePlaying:
    """A ``Companion``: what was begun on one call."""

    def __init__(self, call: CallControl, context: ProgramContext) -> None:
        self._call = held_weakly(call)
        self._context = context
        self._playing: PlayAction | None = None
        self._kind: _Kind = "talk"
        self._keying: KeyingAction | None = None
        self._keys = ""
        "That wait until those before them are sent."
        self._is_over = False
        self._leaving: set[asyncio.Task[None]] = set()
        "Of what is over: nothing is rendered any more when they are."

    @property
    def plays(self) -> _Kind | None:
        """What plays now, or is being made; None: nothing."""
        return None if self._playing is None or self._playing.is_over else self._kind

    def play(self, kind: _Kind, item: Spoken, volume_db: float) -> None:
        """Play something in place of what was begun before."""
        if self._is_over:
            return
        self.stop_playing()
        self._kind = kind
        self._playing = PlayAction(
            (item,), self._call, self._context, on_state=weakly(self._played), volume_db=volume_db, gives_way=True
        )
        self._playing.start(self._context.now())

    def stop_playing(self) -> None:
        """Be silent."""
        if self._playing is not None:
            self._playing.stop(self._context.now())

    def key(self, digits: str) -> None:
        """Send keys (``w``: half a second), behind those that wait; raise ``ProgramError`` for too many."""
        digits = "".join(key for key in digits.upper() if key in CODES or key == "W")
        if len(self._keys) + len(digits) > MAX_KEYS:
            raise ProgramError(f"no more than {MAX_KEYS} keys can wait to be sent")
        self._keys += digits
        if self._keying is None and not self._is_over:
            self._next_key()

    # -- engine.program.Companion --------------------------------------------------------------------------------

    @property
    def wants_digits(self) -> bool:
        """Never."""
        return False

    def digit(self, code: int, now: float) -> None:
        """Nothing: no key comes here."""

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        if self._playing is not None:
            self._playing.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """Nobody hears it any more."""
        self._is_over = True
        self._keys = ""
        for action in (self._playing, self._keying):
            if action is not None:
                action.hang_up(now)

    async def done(self) -> None:
        """Wait until nothing is rendered any more."""
        while self._leaving:
            await asyncio.wait(self._leaving)

    # -- within --------------------------------------------------------------------------------------------------

    def _played(self, state: PlayState) -> None:
        if state in (PlayState.FINISHED, PlayState.ERROR):
            over, self._playing = self._playing, None
            if over is not None:
                self._see_off(over)

    def _next_key(self) -> None:
        """Send one: a payment may begin behind each."""
        self._keying = None
        if self._call.guard.busy:
            self._keys = ""
        key, self._keys = self._keys[:1], self._keys[1:]
        if key:
            self._keying = KeyingAction(key, self._call, self._context, on_done=weakly(self._keyed))
            self._keying.start(self._context.now())

    def _keyed(self) -> None:
        if self._keying is not None and not self._keying.is_complete:
            self._keys = ""  # there is nobody to send them to
        self._next_key()

    def _see_off(self, action: Action) -> None:
        task = asyncio.get_running_loop().create_task(action.done())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class LiveControl:
    """One request's hold of a call; made anew for each, what it begins stays with the call."""

    def __init__(self, call: CallControl, context: ProgramContext) -> None:
        self._call = call
        self._context = context

    def talk(self, work: Talk) -> None:
        """Speak; raise ``ProgramError`` when the call is not up, or a payment in progress."""
        self._begin().play("talk", spoken_of(work), DB_PER_LEVEL * work.level)

    def stream(self, work: Stream) -> None:
        """Play a file, its URL absolute; raise as `talk`. One that cannot be had is told in the log."""
        self._begin().play("stream", spoken_of(work), DB_PER_LEVEL * work.level)

    def stop_talk(self) -> bool:
        """Stop speaking; return whether there was a talk. Raise ``ProgramError`` when the call is not up."""
        return self._stop("talk")

    def stop_stream(self) -> bool:
        """Stop playing; as `stop_talk`."""
        return self._stop("stream")

    def send_digits(self, digits: str) -> None:
        """Key 0-9 * # A-D, with ``p`` or ``w`` for half a second; raise as `talk`, and when too many wait."""
        self._begin().key(digits.upper().replace("P", "W"))

    def _stop(self, kind: _Kind) -> bool:
        self._check_up()
        live = self._context.live.get(self._call.facts.call_id)
        if live is None or live.plays != kind:
            return False
        live.stop_playing()
        return True

    def _begin(self) -> LivePlaying:
        self._check_up()
        if self._call.guard.busy:
            raise ProgramError("a payment is in progress on the call")
        live = self._context.live.get(self._call.facts.call_id)
        if live is None:
            live = LivePlaying(self._call, self._context)
            self._context.live[self._call.facts.call_id] = live
            self._call.attach(live)
        return live

    def _check_up(self) -> None:
        if self._call.state is not CallState.ANSWERED:
            raise ProgramError("the call is not up")
