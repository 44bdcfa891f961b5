"""``conversation``: calls of one application that meet under a name.

What a room is, is said in ``engine.programs.shared_room``; of conversations besides:

1. A name is the application's own: conversations of two applications never meet.
2. The line gets the mask's delay before anybody hears it: no key of a payment is heard by the others.
3. Who waits hears ``musicOnHoldUrl`` over and over, silence without it; a payment's prompts are never talked over.
4. All that hear each other get one mix: ``canSpeak`` and ``canHear`` can let everybody or nobody through. A list of
   some of them is told in the log, and lets everybody through.
5. Whoever is sent away has left, and the room is empty and forgotten, before any NCCO goes on.
6. One recording is the room's: that of the first who meets the others and wants one; it ends when they leave.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from dsp.mask import MaskFill
from engine.dialects.ncco.actions import Conversation, Record
from engine.dialects.ncco.identity import named_conversation
from engine.dialects.spoken import Play
from engine.errors import MediaError, ProgramError
from engine.log import fields
from engine.media import Room
from engine.program import CallControl, CallState, Exchange
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.actions.protocol import Action
from engine.programs.context import ProgramContext
from engine.programs.meeting import Rooms
from engine.programs.ncco.legs import Leg
from engine.programs.shared_room import SharedRoom
from engine.programs.weak import held_weakly, weakly

__all__ = ("ConversationAction", "ConversationRoom", "MakeRecording")

log = logging.getLogger("engine.programs.ncco")

MakeRecording = Callable[[Record, str, Callable[[], None]], Action]
"""Makes a recording beside the NCCO, not started, that tells its event: of what is wanted, what a relative URL is
resolved against, and what is called at the end."""


class ConversationRoom(SharedRoom["ConversationAction"]):
    """One conversation while somebody is in it."""

    def __init__(self, name: str, rooms: Rooms[ConversationRoom], exchange: Exchange) -> None:
        """``name`` is that of `named_conversation`."""
        super().__init__(exchange)
        self.name = name
        self._rooms = rooms

    def came(self, member: ConversationAction) -> None:
        """Be found from now on."""
        self._rooms.add(self)

    def over(self, *, had_begun: bool) -> None:
        """Be forgotten."""
        self._rooms.forget(self)


class ConversationAction:
    """An ``Action``: one who is in a conversation."""

    def __init__(
        self,
        work: Conversation,
        call: CallControl,
        context: ProgramContext,
        *,
        leg: Leg,
        base_url: str,
        on_over: Callable[[], None],
        record: MakeRecording | None = None,
    ) -> None:
        """``on_over`` is called once, when it is over for this call. Without ``record`` it is not recorded."""
        self._work = work
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        self._leg = leg
        self._on_over: Callable[[], None] | None = on_over
        self._base_url = base_url
        self._make_recording = record
        self._recording: Action | None = None
        self._came_from = leg.conversation_uuid
        self._name = named_conversation(leg.application_id, work.name)
        self._room: ConversationRoom | None = None
        "While the call is in it."
        self._has_muted = self._has_earmuffed = False
        self._music: PlayAction | None = None
        if work.music_on_hold:
            self._music = PlayAction(
                (Play(url=work.music_on_hold),),
                self._call,
                context,
                on_state=_passed_over,
                loop=0,
                base_url=base_url,
                gives_way=True,
            )

    @property
    def is_over(self) -> bool:
        """Whether the end was told."""
        return self._on_over is None

    @property
    def wants_digits(self) -> bool:
        """Never: keys mean nothing here."""
        return False

    # -- Action --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Enter the room."""
        if self.is_over or self._room is not None:
            return
        rooms = self._context.conversations
        self._warn_of_lists()
        try:
            if self._call.state is CallState.RINGING:
                self._call.answer()
            self._call.mask_line(fill=MaskFill(self._context.config.twilio.mask_fill))
            room = rooms.find(self._name) or ConversationRoom(self._name, rooms, self._context.exchange)
            self._room = room
            room.let_in(self, may_begin=self._work.start_on_enter)
        except MediaError as error:
            log.warning("a conversation cannot be entered: %s", error, extra=fields(call=self._call_id))
            self._tell_error(f"the conversation cannot be entered: {error}")
            self._over_soon()
            return
        self._tell_moved(self._name)

    def digit(self, code: int, now: float) -> None:
        """Nothing."""

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Let the music go on."""
        if self._music is not None:
            self._music.play_finished(token, by_digit, now)
        if self._recording is not None:
            self._recording.play_finished(token, by_digit, now)

    def stop(self, now: float) -> None:
        """Leave: the call goes elsewhere."""
        self._over()

    def hang_up(self, now: float) -> None:
        """The call is gone: leave, and stay in the conversation as far as is told."""
        self._over(goes_back=False)

    async def done(self) -> None:
        """Wait until nothing is rendered any more, and the recording is there."""
        if self._music is not None:
            await self._music.done()
        if self._recording is not None:
            await self._recording.done()

    # -- engine.programs.shared_room.Member ----------------------------------------------------------------------

    def wait(self) -> None:
        """Hear music, where that is wanted; a payment's prompts are heard in its place."""
        if self._music is not None:
            self._music.start(self._context.now())

    def meet(self, media: Room) -> None:
        """Hear the others, and be heard as far as the NCCO says; who cannot be goes on with the NCCO."""
        if self._music is not None:
            self._music.stop(self._context.now())
        # Before the others are there: not a syllable of who is muted may be heard.
        if self._work.mute or self._work.can_speak == ():
            self._has_muted = True
            self._call.mute(True)
        if self._work.can_hear == ():
            self._has_earmuffed = True
            self._call.earmuff(True)
        try:
            self._call.join(media)
        except MediaError as error:
            log.error("a call cannot be in a conversation: %s", error, extra=fields(call=self._call_id))
            self._tell_error("the call cannot be in the conversation: it has no media")
            self._over_soon()
            return
        if self._work.record:
            self._record()

    def sent_away(self) -> None:
        """Leave now, and go on once all others have left."""
        self._let_go()
        self._over_soon()

    # -- within --------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        if self._make_recording is None:
            log.warning("a conversation is not recorded: nothing does it", extra=fields(call=self._call_id))
            return
        if self._room is None or not self._room.take_recording():
            return
        wanted = Record(format="wav", event=self._work.event)
        try:
            self._recording = self._make_recording(wanted, self._base_url, _nothing)
            self._recording.start(self._context.now())
        except ProgramError as error:
            self._recording = None
            log.warning("a conversation is not recorded: %s", error, extra=fields(call=self._call_id))

    def _warn_of_lists(self) -> None:
        for name, legs in (("canSpeak", self._work.can_speak), ("canHear", self._work.can_hear)):
            if legs:
                log.warning(
                    "%s names some legs of a conversation: all are let through, for all that hear each other get one "
                    "mix; an empty list lets nobody through",
                    name,
                    extra=fields(call=self._call_id),
                )

    def _tell_error(self, reason: str) -> None:
        if (legs := self._context.ncco) is not None:
            legs.tell_error(self._leg, reason)

    def _tell_moved(self, conversation: str) -> None:
        if (legs := self._context.ncco) is not None:
            legs.moved(self._leg, conversation)

    def _over_soon(self) -> None:
        """Come to an end behind whoever is at it: another NCCO may go into the same room."""
        asyncio.get_running_loop().call_soon(weakly(self._over))

    def _over(self, *, goes_back: bool = True) -> None:
        tell, self._on_over = self._on_over, None
        if tell is None:
            return
        self._let_go()
        if goes_back and self._leg.conversation_uuid == self._name:
            self._tell_moved(self._came_from)
        tell()

    def _let_go(self) -> None:
        room, self._room = self._room, None
        if room is None:
            return
        now = self._context.now()
        if self._music is not None:
            self._music.stop(now)
        if self._recording is not None:
            self._recording.stop(now)
        self._call.leave_room()
        if self._has_muted:
            self._call.mute(False)
        if self._has_earmuffed:
            self._call.earmuff(False)
        room.let_out(self, ends=self._work.end_on_exit)


def _passed_over(state: PlayState) -> None:
    """Take a state of the music: without it there is silence, and the log says why."""


def _nothing() -> None:
    """Take the end of the recording: who recorded it tells it."""
