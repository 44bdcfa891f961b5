"""The methods of a SWML document that take time, as actions on the call: what they tell, and what variables they set.

===========  =========================  ===============================================================================
method       events to ``status_url``   variables (`dialects.md` §3.5, §3.6)
===========  =========================  ===============================================================================
play         calling.call.play          none
prompt       calling.call.collect       prompt_result: match_digits, no_input, failed; prompt_value,
                                        prompt_digit_terminator
record       calling.call.record        record_result: success, no_input, failed; record_url
record_call  calling.call.record        record_control_id, record_call_result: success, failed; record_call_url
connect      calling.call.connect and   connect_result: connected, failed; connect_failed_reason
             calling.call.state
send_digits  none                       send_digits_result: success, failed
sip_refer    calling.call.refer         sip_refer_result: success, failed; sip_refer_to, sip_refer_response_code
pay          calling.call.pay           pay_result, pay_payment_results
request      none                       see ``engine.programs.swml.requests``
===========  =========================  ===============================================================================

Laws: each method sets all of its variables whatever happens, so that none of an earlier one is left to be taken for its
own; what a caller keyed at a prompt goes to the document by design, into a post only with whatever may be a card number
masked (the outbox keeps posts), and into no log. Hooks hold neither the run nor an action.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from engine.dialects.signalwire.digits import Collected, Ended
from engine.dialects.signalwire.identity import NODE_ID, device_of, direction_of, end_reason
from engine.dialects.signalwire.pay import PayRefused
from engine.dialects.signalwire.pay_events import refused_variables, result_variables
from engine.dialects.swml.commands import Outcome, Work
from engine.dialects.swml.methods import Connect, Pay, Play, Prompt, Record, RecordCall, Request, SipRefer
from engine.log import fields
from engine.pay.order import PayOrder
from engine.pay.results import PayResult, Result
from engine.pay.rules import Dialect
from engine.program import CallControl
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.connecting import ConnectAction, ConnectState
from engine.programs.actions.keying import KeyingAction
from engine.programs.actions.pay import PayAction
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.actions.protocol import Action
from engine.programs.actions.recording import RecordAction, RecordedInfo, RecordState
from engine.programs.actions.referring import ReferAction, ReferReport, ReferState
from engine.programs.context import ProgramContext
from engine.programs.swml.requests import RequestAction, failed_request
from engine.programs.swml.status import StatusPosts
from engine.redact import redact_text

__all__ = ("Works",)

log = logging.getLogger("engine.programs.swml")

_Told = Callable[[Outcome], None]
_PLAY, _COLLECT, _RECORD = "calling.call.play", "calling.call.collect", "calling.call.record"
_CONNECT, _STATE, _REFER = "calling.call.connect", "calling.call.state", "calling.call.refer"


class Works:
    """Makes the actions of one call (``engine.programs.swml.run.MakesActions``)."""

    def __init__(
        self, call: CallControl, context: ProgramContext, posts: StatusPosts, *, channel: str, allow_insecure: bool
    ) -> None:
        """``call`` is a proxy of the call; ``channel`` the ``event_channel`` of what payments tell."""
        self._call = call
        self._context = context
        self._posts = posts
        self._channel = channel
        self._allow_insecure = allow_insecure

    def begin(self, work: Work, base_url: str, ended: _Told) -> Action:
        """Return the action of a method, not started; raise ``ProgramError`` when it cannot be."""
        match work:
            case Play():
                return self._play(work, base_url, ended)
            case Prompt():
                return self._prompt(work, base_url, ended)
            case Record():
                return self._record(work, ended)
            case Connect():
                return self._connect(work, base_url, ended)
            case Pay():
                return self._pay(work, ended)
            case Request():
                return RequestAction(
                    work,
                    self._context,
                    call_id=self._call.facts.call_id,
                    allow_insecure=self._allow_insecure,
                    ended=ended,
                )
            case SipRefer():
                return self._refer(work, ended)
        assert_never(work)

    def key(self, digits: str, ended: _Told) -> Action:
        """Return what keys digits."""
        return KeyingAction(digits, self._call, self._context, on_done=lambda: ended({"send_digits_result": "success"}))

    def failed(self, work: Work, error: Exception) -> Outcome:
        """Return the variables of a method that could not begin, or broke down."""
        call_id = self._call.facts.call_id
        if isinstance(error, PayRefused):
            log.warning("a pay was refused: %s", error, extra=fields(call=call_id, parameter=error.parameter))
            return refused_variables(error)
        # No text of the exception: it may hold what the document says, or what was keyed.
        extra = fields(call=call_id, method=type(work).__name__, error=type(error).__name__)
        log.error("a method cannot be carried out", extra=extra)
        match work:
            case Play():
                return {}
            case Prompt():
                return _prompt_outcome("failed")
            case Record():
                return {"record_result": "failed", "record_url": ""}
            case Connect():
                return {"connect_result": "failed", "connect_failed_reason": "error"}
            case Pay():
                return {**refused_variables(PayRefused("", "internal error")), "pay_result": str(Result.INTERNAL_ERROR)}
            case Request():
                return failed_request(work)
            case SipRefer():
                return _refer_outcome(work, "failed", 0)
        assert_never(work)

    # -- what is heard and keyed ---------------------------------------------------------------------------------

    def _play(self, work: Play, base_url: str, ended: _Told) -> Action:
        tell = self._teller(work.status_url, _PLAY)

        def told(state: PlayState) -> None:
            tell({"state": str(state)})
            if state in (PlayState.FINISHED, PlayState.ERROR):
                ended({})

        return PlayAction(
            work.items, self._call, self._context, on_state=told, volume_db=work.volume_db, base_url=base_url
        )

    def _prompt(self, work: Prompt, base_url: str, ended: _Told) -> Action:
        tell = self._teller(work.status_url, _COLLECT)

        def told(found: Collected) -> None:
            tell({"state": "finished", "final": True, "result": _collect_result(found)})
            results = {Ended.DIGITS: "match_digits", Ended.NO_INPUT: "no_input", Ended.STOPPED: "failed"}
            ended(_prompt_outcome(results[found.ended], found))

        return CollectAction(
            work.digits,
            self._call,
            self._context,
            on_result=told,
            items=work.items,
            volume_db=work.volume_db,
            base_url=base_url,
        )

    # -- payments ------------------------------------------------------------------------------------------------

    def _pay(self, work: Pay, ended: _Told) -> Action:
        order: list[PayOrder] = []  # known once the properties are judged, which is before any end

        def told(result: PayResult) -> None:
            ended(result_variables(result, order[0]))

        action = PayAction(
            work.properties,
            self._call,
            self._context,
            dialect=Dialect.SWML,
            control_id=str(uuid.uuid4()),
            channel=self._channel,
            on_result=told,
        )
        order.append(action.request.order)
        return action

    # -- recordings ----------------------------------------------------------------------------------------------

    def _record(self, work: Record, ended: _Told) -> Action:
        tell = self._teller(work.status_url, _RECORD)

        def told(state: RecordState, found: RecordedInfo) -> None:
            tell(_record_params(state, found))
            if state in _RECORD_RESULTS:
                ended({"record_result": _RECORD_RESULTS[state], "record_url": found.url})

        return RecordAction(work, self._call, self._context, on_state=told)

    def record_call(self, command: RecordCall, tell: _Told, ended: Callable[[], None]) -> Action:
        """Return a recording beside the document."""
        post = self._teller(command.record.status_url, _RECORD, command.control_id)

        def told(state: RecordState, found: RecordedInfo) -> None:
            post(_record_params(state, found))
            if state in _RECORD_RESULTS:
                result = "success" if state is RecordState.FINISHED else "failed"
                tell({"record_call_result": result, "record_call_url": found.url})
                ended()

        return RecordAction(command.record, self._call, self._context, on_state=told)

    # -- others --------------------------------------------------------------------------------------------------

    def _connect(self, work: Connect, base_url: str, ended: _Told) -> Action:
        tell = self._teller(work.call_state_url, _CONNECT)
        states = self._posts
        facts = self._call.facts

        def told(state: ConnectState, peer: CallControl | None, reason: str) -> None:
            tell({"connect_state": str(state), **_peer(peer)})
            heard = {ConnectState.CONNECTED: "answered", ConnectState.DISCONNECTED: "ended"}.get(state)
            if peer is not None and heard is not None and heard in work.call_state_events:
                states.tell(work.call_state_url, _STATE, _state_params(peer, heard, facts.call_id))
            if state is ConnectState.DISCONNECTED:
                ended({"connect_result": "connected", "connect_failed_reason": ""})
            elif state is ConnectState.FAILED:
                ended({"connect_result": "failed", "connect_failed_reason": reason})

        return ConnectAction(
            work.devices,
            self._call,
            self._context,
            on_state=told,
            ringback=work.ringback,
            max_duration_s=work.max_duration_s,
            base_url=base_url,
        )

    def _refer(self, work: SipRefer, ended: _Told) -> Action:
        tell = self._teller(work.status_url, _REFER)

        def told(state: ReferState, report: ReferReport) -> None:
            codes = {
                "sip_refer_response_code": report.refer_status or 0,
                "sip_notify_response_code": report.notify_status or 0,
            }
            tell({"state": str(state), "sip_refer_to": work.to_uri, **codes})
            if state is not ReferState.IN_PROGRESS:
                result = "success" if state is ReferState.SUCCESS else "failed"
                ended(_refer_outcome(work, result, report.refer_status or 0))

        return ReferAction(work.to_uri, self._call, self._context, on_state=told)

    def _teller(self, url: str, event_type: str, control_id: str = "") -> Callable[[Mapping[str, Any]], None]:
        """Return what tells the events of one method."""
        posts, control_id = self._posts, control_id or str(uuid.uuid4())
        return lambda params: posts.tell(url, event_type, {"control_id": control_id, **params})


_RECORD_RESULTS = {RecordState.FINISHED: "success", RecordState.NO_INPUT: "no_input", RecordState.ERROR: "failed"}


def _prompt_outcome(result: str, found: Collected | None = None) -> dict[str, Any]:
    digits, terminator = ("", "") if found is None else (found.digits, found.terminator)
    return {"prompt_result": result, "prompt_value": digits, "prompt_digit_terminator": terminator}


def _collect_result(found: Collected) -> dict[str, Any]:
    if found.ended is Ended.DIGITS:
        digits = redact_text(found.digits)
        return {"type": "digit", "params": {"digits": digits, "terminator": found.terminator}}
    return {"type": "no_input" if found.ended is Ended.NO_INPUT else "error"}


def _record_params(state: RecordState, found: RecordedInfo) -> dict[str, Any]:
    return {"state": str(state), "url": found.url, "duration": found.duration_s, "size": found.size}


def _peer(peer: CallControl | None) -> dict[str, Any]:
    if peer is None:
        return {}
    return {"peer": {"call_id": peer.facts.call_id, "node_id": NODE_ID, "device": device_of(peer.facts)}}


def _state_params(peer: CallControl, state: str, parent_id: str) -> dict[str, Any]:
    """Return the event of a called side's state."""
    ended = {"end_reason": end_reason(peer.cause)} if state == "ended" else {}
    return {
        "call_id": peer.facts.call_id,
        "call_state": state,
        "direction": direction_of(peer.facts),
        "device": device_of(peer.facts),
        "parent": {"call_id": parent_id, "node_id": NODE_ID},
        **ended,
    }


def _refer_outcome(work: SipRefer, result: str, status: int) -> dict[str, Any]:
    return {"sip_refer_result": result, "sip_refer_to": work.to_uri, "sip_refer_response_code": status}
