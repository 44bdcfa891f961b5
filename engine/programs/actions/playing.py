"""Playing to a call: texts, files, silence and tones in their order, over and over where that is wanted.

Laws:

- ``PLAYING`` is told with the first sound, or when a pause is over that began before it; then ``PAUSED`` and
  ``PLAYING`` in turns as the application wants it. The last state is ``FINISHED``, or ``ERROR`` where not one item
  could be said or had.
- Loudness and a pause are those of the action: what follows in the list begins as loud as what was before, and held
  while the action is.
- A call plays one thing at a time: whoever begins another playing stops this one first. A payment need not: what it
  takes the place of does not go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum

from engine.dialects.spoken import Play, Say, Spoken
from engine.errors import MediaError
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.speech import Speech
from engine.programs.weak import held_weakly, weakly

__all__ = ("MAX_VOLUME_DB", "PlayAction", "PlayState")

MAX_VOLUME_DB = 40.0
"Either way, as the dialects have it; the call cuts off what its player does not do."
SHORTEST_ROUND_MS = 20
"Of what is repeated without end: less is not played again."


class PlayState(StrEnum):
    """Where it stands."""

    PLAYING = "playing"
    PAUSED = "paused"
    FINISHED = "finished"
    ERROR = "error"


class PlayAction:
    """An ``Action``: what is played to who is on the call."""

    def __init__(
        self,
        items: Sequence[Spoken],
        call: CallControl,
        context: ProgramContext,
        *,
        on_state: Callable[[PlayState], None],
        volume_db: float = 0.0,
        loop: int = 1,
        interruptible: bool = False,
        base_url: str = "",
        gives_way: bool = False,
    ) -> None:
        """``volume_db`` is -40 to 40, ``loop`` how often all items are heard, 0 without end.

        ``interruptible``: a key ends it. URLs that are not absolute are resolved against ``base_url``. ``gives_way``:
        what is not ready before a payment begins is not heard; of what is nobody's turn, such as music.
        """
        if loop <= 0 and len(items) == 1 and isinstance(items[0], Say | Play):
            items, loop = (replace(items[0], loop=0),), 1  # repeated by the player, without a gap
        self._items = tuple(items)
        self._call = held_weakly(call)
        self._context = context
        self._on_state: Callable[[PlayState], None] | None = on_state
        self._volume_db = _volume(volume_db)
        self._rounds = max(loop, 0)
        "That are left; 0: without end."
        self._interruptible = interruptible
        self._base_url = base_url
        self._gives_way = gives_way
        self._speech: Speech | None = None
        self._round_ms = 0
        self._is_heard = self._is_told = False
        self._is_paused = False

    @property
    def is_over(self) -> bool:
        """Whether the last state was told."""
        return self._on_state is None

    @property
    def wants_digits(self) -> bool:
        """While a key would end it."""
        return self._interruptible and not self.is_over

    # -- Action --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to render the first item."""
        if not self.is_over and self._speech is None:
            self._begin()

    def digit(self, code: int, now: float) -> None:
        """End it, where a key does."""
        if self._speech is not None:
            self._speech.digit()

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Go on with what follows, unless a payment has begun: then its prompts are what is to be heard."""
        if self._speech is None:
            return
        if self._call.guard.busy and self._speech.give_way(token):
            self._end(PlayState.FINISHED)
        else:
            self._speech.play_finished(token, by_digit)

    def stop(self, now: float) -> None:
        """Be silent."""
        self._end(PlayState.FINISHED)

    def hang_up(self, now: float) -> None:
        """Nobody hears it any more."""
        self._end(PlayState.FINISHED)

    async def done(self) -> None:
        """Wait until nothing is rendered any more."""
        if self._speech is not None:
            await self._speech.done()

    # -- what an application may want meanwhile ------------------------------------------------------------------

    def pause(self) -> None:
        """Hold it where it is; without effect when it is held or over."""
        if self.is_over or self._is_paused:
            return
        self._is_paused = True
        with suppress(MediaError):
            self._call.pause_playing()
        self._tell(PlayState.PAUSED)

    def resume(self) -> None:
        """Go on where it was held."""
        if self.is_over or not self._is_paused:
            return
        self._is_paused = False
        with suppress(MediaError):
            self._call.resume_playing()
        self._is_told = True
        self._tell(PlayState.PLAYING)

    def set_volume(self, volume_db: float) -> None:
        """Make it louder or softer from now on, -40 to 40 dB."""
        if self.is_over:
            return
        self._volume_db = _volume(volume_db)
        if self._is_heard:
            with suppress(MediaError):
                self._call.set_volume(self._volume_db)

    # -- within --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._round_ms = 0
        self._speech = Speech(
            self._items,
            self._call,
            self._context,
            weakly(self._spoken),
            base_url=self._base_url,
            interruptible=self._interruptible,
            begun=weakly(self._begun),
            gives_way=self._gives_way,
        )
        self._speech.start()

    def _begun(self, duration_ms: int) -> None:
        """Note that something plays: a new playlist begins at 0 dB, and not held."""
        if self.is_over:
            return
        self._round_ms += duration_ms
        with suppress(MediaError):
            if self._volume_db:
                self._call.set_volume(self._volume_db)
            if self._is_paused:
                self._call.pause_playing()
        self._is_heard = True
        if not self._is_told and not self._is_paused:
            self._is_told = True
            self._tell(PlayState.PLAYING)

    def _spoken(self, by_digit: bool) -> None:
        if self.is_over:
            return
        if by_digit or self._rounds == 1 or self._round_ms < SHORTEST_ROUND_MS:
            self._end(PlayState.FINISHED if by_digit or self._is_heard else PlayState.ERROR)
            return
        self._rounds = max(self._rounds - 1, 0)
        self._begin()

    def _tell(self, state: PlayState) -> None:
        if self._on_state is not None:
            self._on_state(state)

    def _end(self, state: PlayState) -> None:
        tell, self._on_state = self._on_state, None
        if tell is None:
            return
        if self._speech is not None:
            self._speech.stop()
        tell(state)


def _volume(volume_db: float) -> float:
    return min(max(volume_db, -MAX_VOLUME_DB), MAX_VOLUME_DB)
