"""The actions of an NCCO that take time, as actions on the call, and what they tell.

Laws: what a caller keyed goes to the application by design, as the outcome of an `Input`, and into no log. A URL that
is relative is resolved against where the NCCO came from. Hooks hold neither the run nor an action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from engine.dialects.ncco.actions import Connect, Conversation, EventTarget, Input, Pay, Record, Stream, Talk
from engine.dialects.ncco.commands import Begin, Outcome, Source
from engine.dialects.ncco.events import record_event
from engine.dialects.ncco.identity import call_uuid
from engine.dialects.ncco.interpreter import Interpreter
from engine.dialects.signalwire.digits import Collected, DigitRules, Ended
from engine.dialects.swml.methods import Record as RecordSettings
from engine.dialects.twilio import id_of
from engine.dialects.urls import resolved
from engine.ledger import WebhookPolicy
from engine.program import CallControl
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.actions.protocol import Action
from engine.programs.actions.recording import RecordAction, RecordedInfo, RecordState
from engine.programs.context import ProgramContext
from engine.programs.leg_program import Redirectable
from engine.programs.ncco.connect import MakeNccoProgram, MakeNccoWhisper, NccoConnectAction
from engine.programs.ncco.conversation import ConversationAction
from engine.programs.ncco.legs import Leg, NccoLegs
from engine.programs.ncco.live import DB_PER_LEVEL, spoken_of
from engine.programs.ncco.pay import NccoPayAction
from engine.programs.ncco.run import NccoRun
from engine.programs.recordings import api_base

__all__ = ("Works",)

_Told = Callable[[Outcome], None]


class Works:
    """Makes the actions of one call (``engine.programs.ncco.run.MakesActions``)."""

    def __init__(self, call: CallControl, context: ProgramContext, *, leg: Leg, legs: NccoLegs) -> None:
        """``call`` is a proxy of the call."""
        self._call = call
        self._context = context
        self._leg = leg
        self._legs = legs

    def begin(self, command: Begin, ended: _Told) -> Action:
        """Return the action of a work, not started; raise ``ProgramError`` when it cannot be."""
        work, base_url = command.work, command.base_url

        def over() -> None:
            ended({})

        match work:
            case Talk() | Stream():
                return self._play(work, base_url, over)
            case Input():
                return self._collect(work, command.heard_first, base_url, ended)
            case Conversation():
                return ConversationAction(
                    work,
                    self._call,
                    self._context,
                    leg=self._leg,
                    base_url=base_url,
                    on_over=over,
                    record=self.record,
                )
            case Connect():
                return NccoConnectAction(
                    work,
                    self._call,
                    self._context,
                    leg=self._leg,
                    base_url=base_url,
                    make_program=self._program_maker(),
                    make_whisper=self._whisper_maker(),
                    on_over=ended,
                )
            case Pay():
                return NccoPayAction(work, self._call, self._context, leg=self._leg, base_url=base_url, on_over=over)
        assert_never(work)

    # -- what is heard and keyed ---------------------------------------------------------------------------------

    def _play(self, work: Talk | Stream, base_url: str, over: Callable[[], None]) -> Action:
        def told(state: PlayState) -> None:
            if state in (PlayState.FINISHED, PlayState.ERROR):
                over()

        return PlayAction(
            [spoken_of(work)],
            self._call,
            self._context,
            on_state=told,
            volume_db=DB_PER_LEVEL * work.level,
            base_url=base_url,
        )

    def _collect(self, work: Input, heard_first: Sequence[Talk | Stream], base_url: str, ended: _Told) -> Action:
        def told(found: Collected) -> None:
            ended(_entry(found, work))

        return CollectAction(
            DigitRules(
                max_digits=work.max_digits,
                terminators="#" if work.submit_on_hash else "",
                digit_timeout_s=work.timeout_s,
                initial_timeout_s=work.timeout_s,
            ),
            self._call,
            self._context,
            on_result=told,
            items=[spoken_of(one) for one in heard_first],
            volume_db=DB_PER_LEVEL * heard_first[0].level if heard_first else 0.0,
            base_url=base_url,
        )

    # -- who is called -------------------------------------------------------------------------------------------

    def _program_maker(self) -> MakeNccoProgram:
        """Return what leads a called side elsewhere, where REST wants that."""
        context, app = self._context, self._leg.app

        def make(call: CallControl, source: Source) -> Redirectable:
            from engine.programs.ncco.program import NccoProgram  # which has these works made

            return NccoProgram(call, source, context, app=app)

        return make

    def _whisper_maker(self) -> MakeNccoWhisper:
        """Return what makes the run of an NCCO that a called side hears before it is connected.

        What it makes takes whether the called side is to be connected: not, where the NCCO cannot be had or run.
        """
        context, leg, legs = self._context, self._leg, self._legs

        def make(answer: EventTarget, call: CallControl, heard: Callable[[bool], None]) -> NccoRun:
            whose = legs.watch(call.facts, app=leg.app, conversation=leg.conversation_uuid)
            return NccoRun(
                Interpreter(Source(answer=answer), max_bytes=context.config.vonage.max_document_kb * 1024),
                call,
                context,
                Works(call, context, leg=whose, legs=legs),
                lambda reason: heard(reason == ""),
                leg=whose,
                legs=legs,
            )

        return make

    # -- recordings ----------------------------------------------------------------------------------------------

    def record(self, record: Record, base_url: str, ended: Callable[[], None]) -> Action:
        """Return a recording beside the NCCO; its event is told when the file is there."""
        context, leg, legs = self._context, self._leg, self._legs
        target = _absolute(record.event, base_url)
        begun: list[datetime] = []

        def told(state: RecordState, found: RecordedInfo) -> None:
            if state is RecordState.RECORDING and not begun:
                begun.append(context.clock())
            if state not in (RecordState.FINISHED, RecordState.NO_INPUT, RecordState.ERROR):
                return
            if state is RecordState.FINISHED:
                recording = call_uuid(id_of(found.sid, "RE"))
                members = record_event(
                    leg.conversation_uuid,
                    recording=recording,
                    url=f"{api_base(context.config)}/v1/files/{recording}",
                    size=found.size,
                    started_at=begun[0],
                    ended_at=begun[0] + timedelta(seconds=found.duration_s),
                )
                legs.tell(leg, members, target=target, policy=WebhookPolicy.RESULT)
            elif state is RecordState.ERROR:
                why = (
                    "nothing could be recorded" if context.recordings else "recording is off: set [recording] directory"
                )
                legs.tell_error(leg, f"record: {why}")
            ended()

        settings = RecordSettings(
            stereo=record.split,
            direction="both",
            terminators=record.end_on_key,
            beep=record.beep_start,
            initial_timeout_s=record.end_on_silence_s,
            end_silence_timeout_s=record.end_on_silence_s,
            max_length_s=record.timeout_s,
        )
        return RecordAction(settings, self._call, context, on_state=told)


def _entry(found: Collected, work: Input) -> Outcome:
    """Return what was keyed; it timed out where neither a key nor the number of keys has ended it."""
    is_complete = bool(found.terminator) or len(found.digits) >= work.max_digits
    return {"digits": found.digits, "timed_out": found.ended is not Ended.STOPPED and not is_complete}


def _absolute(target: EventTarget | None, base_url: str) -> EventTarget | None:
    """Return where an event is told; the application's event URL (None) where a URL is none."""
    url = "" if target is None else resolved(base_url, target.url)
    return EventTarget(url=url, method=target.method) if target is not None and url else None
