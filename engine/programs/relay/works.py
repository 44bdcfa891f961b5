"""From commands of a RELAY client to things that run on its call, and from what becomes of them to events.

Laws: each ``control_id`` has one last event; what is refused is refused before anything begins. Events are told in the
order in which things happen. The hooks of what runs hold neither this nor the program.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from engine.dialects.relay import events
from engine.dialects.relay.reading import BUSY, GONE, RequestRefused
from engine.dialects.relay.requests import (
    Collect,
    Connect,
    Control,
    Detect,
    Disconnect,
    Pay,
    Play,
    RecordAudio,
    Refer,
    SendDigits,
)
from engine.dialects.signalwire.digits import Collected, Ended
from engine.dialects.signalwire.pay import PayRequest
from engine.dialects.signalwire.pay_events import relay_event_params
from engine.pay.results import PayResult, PayStatus, Result
from engine.pay.rules import Dialect
from engine.program import CallControl, CallFacts, CallState
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.connecting import ConnectAction, ConnectState
from engine.programs.actions.keying import KeyingAction
from engine.programs.actions.pay import PayAction, check_properties
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.actions.protocol import Action
from engine.programs.actions.recording import RecordAction, RecordedInfo, RecordState
from engine.programs.actions.referring import ReferAction, ReferReport, ReferState
from engine.programs.context import ProgramContext
from engine.programs.relay.detecting import FINISHED, DigitDetection
from engine.programs.relay.late import LateAction
from engine.programs.relay.running import Kind, Running, Work
from engine.programs.weak import weakly

__all__ = ("Begins", "Works")

log = logging.getLogger("engine.programs.relay")

CONNECT = "\x00connect"
REFER = "\x00refer"
"Names of what clients give none: no ``control_id`` holds a control character."
Begins = Play | Collect | RecordAudio | SendDigits | Detect | Connect | Refer | Pay
Tell = Callable[[str, Mapping[str, Any]], None]


class Works:
    """Makes and controls what runs on one call."""

    def __init__(self, call: CallControl, context: ProgramContext, running: Running, tell: Tell, channel: str) -> None:
        """``call`` is a proxy; ``tell`` must not hold the program; ``channel`` is the ``event_channel`` of posts."""
        self._call = call
        self._facts: CallFacts = call.facts
        self._context = context
        self._running = running
        self._tell = tell
        self._channel = channel

    # -- beginning -----------------------------------------------------------------------------------------------

    def begin(self, command: Begins) -> dict[str, Any]:
        """Begin something and return the result of the command; raise `RequestRefused`, `PayRefused`, `CallError`."""
        control_id = self._name_of(command)
        if self._running.has(control_id):
            raise RequestRefused(BUSY, "control_id: it is in use on this call")
        if self._running.is_full:
            raise RequestRefused(BUSY, "too much runs on this call at a time")
        kind, action, speaks, is_endless = self._made(command, control_id)
        self._running.add(
            Work(
                kind=kind,
                control_id=control_id,
                action=action,
                breaks=partial(weakly(self._broke), control_id, kind),
                speaks=speaks,
                is_endless=is_endless,
            )
        )
        shown = "" if isinstance(command, Connect | Refer) else control_id
        return events.accepted(call_id=self._facts.call_id, control_id=shown)

    def _name_of(self, command: Begins) -> str:
        if isinstance(command, Connect):
            return CONNECT
        return REFER if isinstance(command, Refer) else command.control_id

    def _made(self, command: Begins, name: str) -> tuple[Kind, Action, bool, bool]:
        """Return the kind of what is begun, the action, whether it speaks, whether it is without end."""
        call, context = self._call, self._context
        match command:
            case Play():
                play = PlayAction(
                    command.items,
                    call,
                    context,
                    on_state=partial(weakly(self._played), name),
                    volume_db=command.volume_db,
                    loop=command.loop,
                )
                return "play", play, True, command.loop == 0
            case Collect():
                return "collect", self._collect(command, name), bool(command.items), False
            case RecordAudio():
                on_record = partial(weakly(self._recorded), name, _audio(command))
                record = RecordAction(command.settings, call, context, on_state=on_record)
                return "record", record, command.settings.beep, False
            case SendDigits():
                keying = KeyingAction(command.digits, call, context, on_done=partial(weakly(self._sent), name))
                return "send_digits", keying, False, False
            case Detect():
                on_event = partial(weakly(self._detected), name)
                detection = DigitDetection(command.digits, timeout_s=command.timeout_s, on_event=on_event)
                return "detect", detection, False, False
            case Connect():
                connect = ConnectAction(
                    command.devices,
                    call,
                    context,
                    on_state=partial(weakly(self._connected), command.tag),
                    ringback=command.ringback,
                    max_duration_s=command.max_duration_s,
                )
                return "connect", connect, True, False
            case Refer():
                refer = ReferAction(command.to, call, context, on_state=partial(weakly(self._referred), command.to))
                return "refer", refer, False, False
            case Pay():
                return "pay", self._pay(command, name), True, False

    def _collect(self, command: Collect, name: str) -> CollectAction:
        told = [not command.tells_start]
        return CollectAction(
            command.rules,
            self._call,
            self._context,
            on_result=partial(weakly(self._collected), name),
            on_key=partial(weakly(self._keyed), name, told, command.tells_partial),
            items=command.items,
            volume_db=command.volume_db,
            on_play=partial(weakly(self._prompted), name),
            start_timers=command.starts_timers,
            continuous=command.is_continuous,
        )

    def _pay(self, command: Pay, name: str) -> Action:
        if self._running.has_kind("pay"):
            raise RequestRefused(BUSY, "session-in-progress: the call has a payment already")
        if self._call.state is CallState.ANSWERED:
            return self._pay_now(command, name)
        # The ACK may be behind the command: what is wrong with the command is refused at once all the same.
        check_properties(command.properties, Dialect.RELAY, self._context)
        make = partial(Works._pay_now, weakref.proxy(self), command, name)
        return LateAction(make, never=partial(weakly(self._never_paid), name))

    def _pay_now(self, command: Pay, name: str) -> PayAction:
        request: list[PayRequest] = []
        action = PayAction(
            command.properties,
            self._call,
            self._context,
            dialect=Dialect.RELAY,
            control_id=name,
            channel=self._channel,
            on_status=partial(weakly(self._paying), name, request),
            on_result=partial(weakly(self._paid), name, request),
        )
        request.append(action.request)
        return action

    # -- controlling ---------------------------------------------------------------------------------------------

    def control(self, command: Control) -> dict[str, Any]:
        """Do something to what runs, and return the result; raise `RequestRefused`."""
        work = self._running.find(command.control_id, command.kind)
        answer = events.accepted(call_id=self._facts.call_id, control_id=command.control_id)
        now = self._context.now()
        if work is None:
            if command.verb == "stop":  # it has just ended by itself, and its last event is on the way
                return answer
            raise RequestRefused(GONE, "control_id: nothing runs by that name")
        action = work.action
        match command.verb:
            case "stop":
                action.stop(now)
            case "volume" if isinstance(action, PlayAction | CollectAction):
                action.set_volume(command.volume_db)
            case "pause" if isinstance(action, PlayAction | RecordAction):
                action.pause()
            case "resume" if isinstance(action, PlayAction | RecordAction):
                action.resume()
            case "start_input_timers" if isinstance(action, CollectAction):
                action.start_timers(now)
        return answer

    def disconnect(self, command: Disconnect) -> dict[str, Any]:
        """Part the call from the one that it was connected with; of no effect when it is not."""
        work = self._running.find(CONNECT, "connect")
        if work is not None and isinstance(work.action, ConnectAction):
            work.action.disconnect(self._context.now())
        return events.accepted(call_id=self._facts.call_id)

    # -- what becomes of it --------------------------------------------------------------------------------------

    def _played(self, name: str, state: PlayState) -> None:
        if self._running.has(name):
            self._tell(events.PLAY, events.of_action(self._facts, name, str(state)))
            if state in (PlayState.FINISHED, PlayState.ERROR):
                self._running.over(name)

    def _prompted(self, name: str, state: PlayState) -> None:
        if self._running.has(name):
            self._tell(events.PLAY, events.of_action(self._facts, name, str(state)))
            if state in (PlayState.FINISHED, PlayState.ERROR):
                self._running.spoken(name)

    def _keyed(self, name: str, told: list[bool], tells_partial: bool, digits: str) -> None:
        if not self._running.has(name):
            return
        if not told[0]:
            told[0] = True
            self._tell(events.COLLECT, events.start_of_input(self._facts, name))
        if tells_partial:
            self._tell(events.COLLECT, events.partial(self._facts, name, digits))

    def _collected(self, name: str, result: Collected) -> None:
        work = self._running.find(name, "collect")
        if work is None:
            return
        self._tell(events.COLLECT, events.collected(self._facts, name, result))
        if isinstance(work.action, CollectAction) and work.action.is_over:
            self._running.over(name)

    def _recorded(self, name: str, audio: Mapping[str, Any], state: RecordState, info: RecordedInfo) -> None:
        if not self._running.has(name):
            return
        # The vendor's client ends what it waits for by ``finished`` and ``no_input``, and by nothing else.
        told = RecordState.NO_INPUT if state is RecordState.ERROR else state
        params = events.recorded(
            self._facts,
            name,
            str(told),
            url=info.url,
            duration_s=info.duration_s,
            size=info.size,
            audio=audio,
        )
        self._tell(events.RECORD, params)
        if state is RecordState.RECORDING:
            self._running.spoken(name)
        elif state is not RecordState.PAUSED:
            self._running.over(name)

    def _sent(self, name: str) -> None:
        if self._running.has(name):
            self._tell(events.SEND_DIGITS, events.of_action(self._facts, name, "finished"))
            self._running.over(name)

    def _detected(self, name: str, event: str) -> None:
        if self._running.has(name):
            self._tell(events.DETECT, events.detected(self._facts, name, event))
            if event == FINISHED:
                self._running.over(name)

    def _connected(self, tag: str, state: ConnectState, peer: CallControl | None, reason: str) -> None:
        if not self._running.has(CONNECT):
            return
        facts = None if peer is None else peer.facts
        self._tell(events.CONNECT, events.connected(self._facts, str(state), facts, tag=tag, reason=reason))
        if state is ConnectState.CONNECTED:
            self._running.spoken(CONNECT)
        elif state is not ConnectState.CONNECTING:
            self._running.over(CONNECT)

    def _referred(self, to: str, state: ReferState, report: ReferReport) -> None:
        if self._running.has(REFER):
            params = events.referred(
                self._facts,
                str(state),
                to,
                response=report.refer_status or 0,
                notified=report.notify_status or 0,
            )
            self._tell(events.REFER, params)
            if state is not ReferState.IN_PROGRESS:
                self._running.over(REFER)

    def _paying(self, name: str, request: list[PayRequest], status: PayStatus) -> None:
        if self._running.has(name):
            params = relay_event_params(request[0], status, call_id=self._facts.call_id, control_id=name)
            self._tell(events.PAY, params)

    def _paid(self, name: str, request: list[PayRequest], result: PayResult) -> None:
        if self._running.has(name):
            params = relay_event_params(request[0], result, call_id=self._facts.call_id, control_id=name)
            self._tell(events.PAY, params)
            self._running.over(name)

    def _never_paid(self, name: str, reason: str) -> None:
        """Tell that a payment was over before it began: refused for ``reason``, or stopped."""
        if self._running.has(name):
            result = Result.VALIDATION_ERROR if reason else Result.RELAY_PAY_STOP
            params = events.of_action(self._facts, name, "error")
            self._tell(events.PAY, params | {"result": str(result), "payment_error": reason})
            self._running.over(name)

    def _broke(self, name: str, kind: Kind) -> None:
        """Tell that something is over because of a fault of ours."""
        facts = self._facts
        match kind:
            case "collect":
                told = events.COLLECT, events.collected(facts, name, Collected(ended=Ended.STOPPED))
            case "record":
                told = (
                    events.RECORD,
                    events.recorded(facts, name, "finished", url="", duration_s=0.0, size=0, audio={}),
                )
            case "detect":
                told = events.DETECT, events.detected(facts, name, FINISHED)
            case "connect":
                told = events.CONNECT, events.connected(facts, "failed", None)
            case "refer":
                told = events.REFER, events.referred(facts, "error", "")
            case "send_digits":
                told = events.SEND_DIGITS, events.of_action(facts, name, "finished")
            case "play":
                told = events.PLAY, events.of_action(facts, name, "error")
            case "pay":
                told = events.PAY, events.of_action(facts, name, "error") | {"result": "internal-error"}
        self._tell(*told)


def _audio(command: RecordAudio) -> dict[str, Any]:
    """Return a recording's settings as events tell them; only wav is written."""
    settings = command.settings
    return {"format": "wav", "stereo": settings.stereo, "direction": settings.direction}
