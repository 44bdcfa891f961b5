"""``<Dial><Conference>``: calls that meet in a room, by name.

A room begins when two are in it of whom one may begin it (``startConferenceOnEnter``); until then each hears music, or
what ``waitUrl`` says. It ends with the last one, or with one who ends it (``endConferenceOnExit``): then the documents
of all others go on.

Laws: every call gets the mask's delay line before it is heard, so whose payment is captured is masked for all; no tone
of the room is played to a call with a payment in progress; events are told in order, and what is told of a room costs
no call anything.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from dsp.mask import MaskFill
from engine.dialects.twilio import API_VERSION, call_sid, form_body, rfc2822_date
from engine.dialects.twiml.commands import DialOut
from engine.dialects.twiml.verbs import Conference
from engine.dialects.urls import resolved
from engine.errors import LedgerError, MediaError
from engine.ledger import WebhookPolicy
from engine.log import fields
from engine.media import Room
from engine.net.signatures import FORM, SignatureKind
from engine.payment_run import TOKENS
from engine.program import CallControl, CallState
from engine.programs.call_recording import CallRecording
from engine.programs.context import ProgramContext
from engine.programs.dial_recording import begin_recording
from engine.programs.shared_room import MAX_IN_ROOM, SharedRoom
from engine.programs.tones import enter_tone, exit_tone
from engine.programs.verb import Ended
from engine.programs.waiting import Waiting
from engine.programs.weak import weakly
from prompts.clip import Clip

__all__ = ("MAX_IN_ROOM", "ConferenceVerb", "MeetingRoom")

log = logging.getLogger("engine.programs.rooms")

STAR = 10


class _Teller:
    """Puts a room's webhooks into the outbox, one after the other."""

    def __init__(self) -> None:
        self._last: asyncio.Task[None] | None = None

    def tell(self, job: Callable[[], Awaitable[object]]) -> None:
        """Do a job after those before it."""
        self._last = asyncio.get_running_loop().create_task(self._after(self._last, job))

    async def _after(self, before: asyncio.Task[None] | None, job: Callable[[], Awaitable[object]]) -> None:
        if before is not None:
            await before
        try:
            await job()
        except (LedgerError, ValueError) as error:
            log.error("what happens in a room cannot be told: %s", error)
        except Exception as error:
            log.error("what happens in a room is lost", extra=fields(error=type(error).__name__))

    async def done(self) -> None:
        """Wait until all is put in."""
        if self._last is not None:
            await self._last


class MeetingRoom(SharedRoom["ConferenceVerb"]):
    """One conference, from the first who comes to the last who goes."""

    def __init__(self, name: str, context: ProgramContext) -> None:
        super().__init__(context.exchange)
        self.sid = f"CF{uuid.uuid4().hex}"
        self.name = name
        self.teller = _Teller()
        self._context = context
        self._plan: tuple[str, str, frozenset[str]] | None = None
        "URL, method and events of who came first and wants to hear."
        self._told = 0

    def enter(self, member: ConferenceVerb) -> None:
        """Let somebody in, who waits or hears the others; raise ``MediaError`` when there is no place."""
        spec = member.spec
        self.let_in(member, may_begin=spec.start_on_enter, at_most=spec.max_participants)
        if self.has_begun and spec.beep in ("true", "onEnter"):
            self._sound(enter_tone())

    def came(self, member: ConferenceVerb) -> None:
        """Tell it."""
        spec = member.spec
        if self._plan is None and spec.status_callback and (url := resolved(member.base_url, spec.status_callback)):
            self._plan = (url, spec.status_method, frozenset(spec.status_events))
        self._context.rooms.add(self)
        self._tell("join", "participant-join", member)

    def began(self) -> None:
        """Tell it."""
        self._tell("start", "conference-start", None)

    def went(self, member: ConferenceVerb) -> None:
        """Tell it, and let the others hear it."""
        self._tell("leave", "participant-leave", member)
        if self.has_begun and self.members and member.spec.beep in ("true", "onExit"):
            self._sound(exit_tone())

    def over(self, *, had_begun: bool) -> None:
        """Tell it, and be forgotten."""
        if had_begun:
            self._tell("end", "conference-end", None)
        self._context.rooms.forget(self)

    def _sound(self, tone: Clip) -> None:
        for member in self.members:
            member.hear(tone)

    def _tell(self, event: str, name: str, member: ConferenceVerb | None) -> None:
        if self._plan is None or event not in self._plan[2]:
            return
        url, method, _ = self._plan
        self._told += 1
        twilio = self._context.config.twilio
        parameters = [
            ("AccountSid", twilio.account_sid),
            ("ApiVersion", API_VERSION),
            ("ConferenceSid", self.sid),
            ("FriendlyName", self.name),
            ("StatusCallbackEvent", name),
            ("SequenceNumber", str(self._told)),
            ("Timestamp", rfc2822_date(self._context.clock()) or ""),
        ]
        if member is not None:
            parameters += [
                ("CallSid", call_sid(member.call_id)),
                ("Muted", str(member.spec.muted).lower()),
                ("Hold", "false"),
                ("StartConferenceOnEnter", str(member.spec.start_on_enter).lower()),
                ("EndConferenceOnExit", str(member.spec.end_on_exit).lower()),
            ]
        self.teller.tell(
            partial(
                self._context.outbox.enqueue,
                session=self.sid,
                url=url,
                body=form_body(parameters),
                method=method,
                content_type=FORM,
                signature=SignatureKind.TWILIO,
                key_env=twilio.auth_token_env,
                policy=WebhookPolicy.STATUS,
                allow_insecure=url.startswith("http:"),
            )
        )


class ConferenceVerb:
    """``engine.programs.verb.Verb`` for a ``Dial`` with a conference in it: one who is in the room."""

    def __init__(
        self,
        command: DialOut,
        spec: Conference,
        call: CallControl,
        context: ProgramContext,
        base_url: str,
        ended: Ended,
    ) -> None:
        self.spec = spec
        self.call_id = call.facts.call_id
        self._dial = command.dial
        self._call = call
        self._context = context
        self.base_url = base_url
        self._ended: Ended | None = ended
        self._room = context.rooms.find(spec.name) or MeetingRoom(spec.name, context)
        self._since: float | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._has_met = False
        self._recording: CallRecording | None = None
        self._waiting = Waiting(
            call,
            context,
            url=spec.wait_url,
            method=spec.wait_method,
            base_url=base_url,
            left=weakly(self.sent_away),
        )

    # -- engine.programs.verb.Verb -------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Enter the room."""
        loop = asyncio.get_running_loop()
        if self._call.state is CallState.RINGING:
            self._call.answer()
        self._call.mask_line(fill=MaskFill(self._context.config.twilio.mask_fill))
        try:
            self._room.enter(self)
        except MediaError as error:
            log.warning("a conference cannot be entered: %s", error, extra=fields(call=self.call_id))
            # The document goes on behind us, not within us.
            loop.call_soon(self._finish, "failed")
            return
        self._since = now
        self._limit = loop.call_later(max(1.0, float(self._dial.time_limit_s)), self._finish, "answered")

    def digit(self, code: int, now: float) -> None:
        """Leave on ``*``, where the document wants that."""
        if code == STAR and self._dial.hangup_on_star:
            self._finish("answered")
        elif not self._has_met:
            self._waiting.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        self._waiting.play_finished(token, by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is gone: leave."""
        self._finish("answered")

    def stop(self, now: float) -> None:
        """The document goes on elsewhere: leave."""
        self._ended = None
        self._let_go(now)

    def told(self, delivered: bool) -> None:
        """Nothing."""

    async def done(self) -> None:
        """Wait until what the room tells is put in."""
        await self._waiting.done()
        await self._room.teller.done()

    # -- in the room ---------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Nobody else is there, or nobody may begin."""
        self._waiting.start(self._context.now())

    def meet(self, media: Room) -> None:
        """Hear the others, and be heard; who cannot be goes on with the document."""
        self._waiting.stop(self._context.now())
        self._has_met = True
        try:
            self._call.join(media, muted=self.spec.muted)
        except MediaError as error:
            log.error("a call cannot be in a conference: %s", error, extra=fields(call=self.call_id))
            asyncio.get_running_loop().call_soon(self._finish, "failed")
            return
        # Whoever is recorded hears all others: one recording is the room's.
        if self.spec.record and self._room.take_recording():
            self._recording = begin_recording(
                self._context,
                self._call,
                self.base_url,
                source="Conference",
                is_dual=False,
                callback_url=self.spec.recording_callback,
                callback_method=self.spec.recording_method,
            )

    def hear(self, tone: Clip) -> None:
        """Hear a tone of the room, but not in place of a payment's prompt."""
        if not self._call.guard.busy:
            self._call.play((tone,), next(TOKENS), interruptible=False)

    def sent_away(self) -> None:
        """Somebody ended the room."""
        self._finish("answered")

    def _finish(self, status: str) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        now = self._context.now()
        since = self._since
        self._let_go(now)
        outcome = [("DialCallStatus", status), ("ConferenceSid", self._room.sid)]
        if since is not None:
            outcome.append(("DialCallDuration", str(round(max(0.0, now - since)))))
        ended(tuple(outcome))

    def _let_go(self, now: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._waiting.stop(now)
        if self._recording is not None:
            self._recording.stop()
        self._call.leave_room()
        self._room.let_out(self, ends=self.spec.end_on_exit)
