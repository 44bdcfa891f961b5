"""``<Dial>`` to numbers, SIP addresses and names: all ring at once, the first who answers is connected.

The caller hears the ringback tone of a country meanwhile. Then the two hear each other until one hangs up, the time is
over, or a document of REST leads one of them away; the outcome goes to the document (`dialects.md` §4.6).

Laws:

1. Both legs get the mask's delay line before they are connected: a payment may begin on either at any time, and
   switching its mask splices nothing. That is 60 ms each way, always.
2. Who goes first decides nothing: when the called side goes, the caller's document and a payment on the caller's leg
   go on; when the caller goes, all that was dialled is hung up or given up.
3. The outcome is told once; after `stop` never.
4. A transfer (REFER) is a call of ours under the rules of every other one (``net.dialling``), and only where
   ``[twilio] allow_transfers`` says so. Until the new side answers the caller stays with the old one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, unquote

from dsp.mask import MaskFill
from engine.dialects.twilio import call_sid
from engine.dialects.twiml.commands import DialOut
from engine.dialects.twiml.verbs import Client, Noun, Number, Sip
from engine.dialects.urls import resolved
from engine.errors import CallError, ConfigError, MediaError
from engine.log import fields
from engine.net.dialling import RING_RANGE_S, OutboundCall
from engine.payment_run import TOKENS
from engine.program import CallControl, CallState, Transfer
from engine.programs.call_recording import CallRecording
from engine.programs.context import ProgramContext
from engine.programs.dial_recording import begin_recording
from engine.programs.leg_program import LegProgram, MakeWhisper
from engine.programs.queue import TakeVerb
from engine.programs.rooms import ConferenceVerb
from engine.programs.side_document import program_on, whisper_on
from engine.programs.status import StatusPlan
from engine.programs.tones import DEFAULT_COUNTRY, ringback
from engine.programs.verb import Ended, Verb
from sip.errors import ParseError
from sip.uri import Uri

__all__ = ("MAX_NOUNS", "CalleesVerb", "make_dial")

log = logging.getLogger("engine.programs.dial")

MAX_NOUNS = 10
"Called at once; the vendor's bound."
HANDED_OVER_S = 4.0
"How long who handed the caller over may stay on the line."
STAR = 10
"RFC 4733 code."
_CALLER = re.compile(r"\+?[A-Za-z0-9._~*#-]{1,64}")
# The outcome of a dial is that of the callee who came nearest to an answer.
_STATUSES = {"busy": "busy", "no-answer": "no-answer", "cancelled": "canceled"}
_RANK = ("busy", "no-answer", "failed", "canceled")
_SIP_STATUSES = {
    "busy": (486, "Busy Here"),
    "no-answer": (480, "Temporarily Unavailable"),
    "not-found": (404, "Not Found"),
    "no-media": (488, "Not Acceptable Here"),
    "refused": (603, "Decline"),
    "cancelled": (487, "Request Terminated"),
}


def make_dial(command: DialOut, call: CallControl, context: ProgramContext, base_url: str, ended: Ended) -> Verb:
    """Return the verb of a ``Dial``: to somebody, into a room, or to who waits in a queue (``verb.MakeVerb``)."""
    if command.dial.conference is not None:
        return ConferenceVerb(command, command.dial.conference, call, context, base_url, ended)
    if command.dial.queue is not None:
        return TakeVerb(command, command.dial.queue, call, context, base_url, ended)
    return CalleesVerb(command, call, context, base_url, ended)


class CalleesVerb:
    """``engine.programs.verb.Verb`` for a ``Dial`` with nouns to be called; a ``LegOwner``."""

    def __init__(
        self, command: DialOut, call: CallControl, context: ProgramContext, base_url: str, ended: Ended
    ) -> None:
        self._dial = command.dial
        self._call = call
        self._context = context
        self._base_url = base_url
        self._ended: Ended | None = ended
        self._legs: list[LegProgram] = []
        "That ring or are up and belong to us."
        self._leg: LegProgram | None = None
        "Who answered first, or took that one's place."
        self._sid = ""
        "Of `_leg`, else of who was called last."
        self._outcomes: list[str] = []
        self._bridged_at: float | None = None
        self._ring_token = 0
        self._limit: asyncio.TimerHandle | None = None
        self._transfer: tuple[LegProgram, Transfer] | None = None
        self._recording: CallRecording | None = None

    # -- engine.programs.verb.Verb -------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Call everybody."""
        for noun in self._dial.nouns[:MAX_NOUNS]:
            self._place_noun(noun)
        if len(self._dial.nouns) > MAX_NOUNS:
            log.warning("at most ten are called at once; the rest of a Dial is passed over", extra=self._fields())
        if self._legs:
            self._ring()
            if "ringing" in self._dial.record:
                self._record()
        else:
            # The document goes on behind us, not within us.
            asyncio.get_running_loop().call_soon(self._finish, "failed")

    def digit(self, code: int, now: float) -> None:
        """Hang up on ``*``, where the document wants that."""
        if code == STAR and self._dial.hangup_on_star and self._leg is not None:
            self._finish("completed")

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing: keys are passed on by the media plane."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that something else plays in place of the ringback tone: that is not ours to stop."""
        if token == self._ring_token:
            self._ring_token = 0

    def hang_up(self, now: float) -> None:
        """The caller is gone: so is everybody else."""
        self._finish("completed" if self._leg is not None or self._bridged_at is not None else "canceled")

    def stop(self, now: float) -> None:
        """The document goes on elsewhere: part, and end what was dialled."""
        self._ended = None
        self._let_go()

    def told(self, delivered: bool) -> None:
        """Nothing: an outcome that nobody took is in the call's record."""

    async def done(self) -> None:
        """Nothing is owed: legs are calls of their own."""

    # -- calling -------------------------------------------------------------------------------------------------

    def _place_noun(self, noun: Number | Sip | Client) -> None:
        try:
            wanted, plan, status = self._wanted(noun), self._plan(noun), self._context.status
            leg = LegProgram(
                self,
                label="dial",
                make_program=partial(program_on, self._context),
                make_whisper=self._whisper(noun) if noun.url else None,
                send_digits=noun.send_digits if isinstance(noun, Number) else "",
                on_call=lambda call: status.watch(call.facts, plan),
            )
            self._place(wanted, leg)
        except (CallError, ConfigError) as error:
            log.warning("somebody cannot be dialled: %s", error, extra=self._fields())
            self._outcomes.append("failed")

    def _place(self, wanted: OutboundCall, leg: LegProgram) -> None:
        placed = self._context.exchange.place(wanted, leg.run_on, beside=self._call)
        self._sid = call_sid(placed.facts.call_id)
        self._legs.append(leg)

    def _whisper(self, noun: Noun) -> MakeWhisper:
        url = resolved(self._base_url, noun.url)
        if not url:
            raise CallError("the document of who is dialled has no URL that can be fetched")
        return partial(whisper_on, self._context, url, noun.method, self._base_url)

    def _plan(self, noun: Noun) -> StatusPlan | None:
        """Return where the application hears how the call of a noun goes."""
        if not noun.status_callback:
            return None
        url = resolved(self._base_url, noun.status_callback)
        if not url:
            log.warning("a statusCallback of a Dial is no URL: nothing is told", extra=self._fields())
            return None
        return StatusPlan(url=url, method=noun.status_method, events=noun.status_events)

    def _wanted(self, noun: Number | Sip | Client) -> OutboundCall:
        """Return the call of a noun; raise ``CallError`` for what cannot be called."""
        to, headers, username, password = "", dict[str, str](), "", ""
        match noun:
            case Number():
                to = noun.number
            case Sip():
                to, headers = _split_uri(noun.uri)
                username, password = noun.username, noun.password
            case Client():
                to = self._context.config.twilio.client_uri.replace("{name}", quote(noun.identity, safe="-_.~"))
                if not to:
                    raise CallError("<Client> needs [twilio] client_uri, a SIP URI with {name} in it")
        return OutboundCall(
            to=to,
            caller=self._caller(),
            ring_s=self._ring_s(),
            headers=headers,
            username=username,
            password=password,
        )

    def _caller(self) -> str:
        if self._dial.caller_id:
            return self._dial.caller_id
        # Who is called sees who calls, where that can be said.
        caller = self._call.facts.caller
        return caller if _CALLER.fullmatch(caller) else ""

    def _ring_s(self) -> float:
        low, high = RING_RANGE_S
        return min(max(self._dial.timeout_s, low), high)

    # -- engine.programs.leg_program.LegOwner --------------------------------------------------------------------

    def leg_answered(self, leg: LegProgram) -> bool:
        """Take the first who answers, and give the others up."""
        if self._transfer is not None and self._transfer[0] is leg:
            return True
        if self._leg is not None or leg not in self._legs:
            return False
        self._leg = leg
        self._sid = call_sid(leg.call.facts.call_id)
        others = [other for other in self._legs if other is not leg]
        self._legs = [leg]
        for other in others:
            other.give_up("somebody else answered")
        return True

    def leg_ready(self, leg: LegProgram) -> None:
        """Connect the two."""
        if self._transfer is not None and self._transfer[0] is leg:
            self._hand_over(leg, self._transfer[1])
        elif leg is self._leg and self._connect(leg):
            self._bridged_at = self._context.now()
            if "answer" in self._dial.record:
                self._record()
            self._limit = asyncio.get_running_loop().call_later(
                max(1.0, float(self._dial.time_limit_s)), self._finish, "completed"
            )

    def leg_left(self, leg: LegProgram) -> None:
        """A document of its own leads it now: we are over, if it was the one."""
        if leg in self._legs:
            self._legs.remove(leg)
        if leg is self._leg:
            self._call.unbridge()
            self._finish("completed")
        elif not self._legs:
            self._finish(self._worst())

    def leg_over(self, leg: LegProgram) -> None:
        """Somebody did not answer, or hung up."""
        if leg in self._legs:
            self._legs.remove(leg)
        if self._transfer is not None and leg is self._transfer[0]:
            _, wanted = self._transfer
            self._transfer = None
            wanted.report(*_SIP_STATUSES.get(leg.cause, (503, "Service Unavailable")))
            if self._leg is None:  # who handed the caller over is gone
                self._finish("completed")
            return
        if leg is self._leg:
            self._leg = None
            self._call.unbridge()
            if self._transfer is not None:
                self._ring()  # a blind transfer: the new side has not answered yet
            else:
                self._finish("completed")
            return
        self._outcomes.append(_STATUSES.get(leg.cause, "failed"))
        if not self._legs:
            self._finish(self._worst())

    def leg_transfer(self, leg: LegProgram, wanted: Transfer) -> bool:
        """Call whom the called side names; the caller is connected with them when they answer."""
        if leg is not self._leg or self._bridged_at is None or self._transfer is not None or self._ended is None:
            return False
        new = LegProgram(self, label="transfer", make_program=partial(program_on, self._context))
        sid = self._sid
        self._place(
            OutboundCall(
                to=wanted.to,
                caller=self._caller(),
                ring_s=self._ring_s(),
                replaces=wanted.replaces,
                referred_by=wanted.referred_by,
            ),
            new,
        )
        self._sid = sid
        self._transfer = (new, wanted)
        log.info("the called side hands the caller on", extra=self._fields())
        return True

    def _hand_over(self, leg: LegProgram, wanted: Transfer) -> None:
        old, self._transfer = self._leg, None
        if old is not None:
            old.leave_owner()
            self._legs.remove(old)
        self._leg = leg
        self._sid = call_sid(leg.call.facts.call_id)
        self._call.unbridge()
        if not self._connect(leg):
            wanted.report(503, "Service Unavailable")
            if old is not None:
                old.give_up("handed over")
            return
        wanted.report(200, "OK")
        if old is not None:
            # It hangs up itself (RFC 5589 §6.1), or we do.
            asyncio.get_running_loop().call_later(HANDED_OVER_S, old.give_up, "handed over")

    # -- connected -----------------------------------------------------------------------------------------------

    def _connect(self, leg: LegProgram) -> bool:
        self._stop_ringing()
        fill = MaskFill(self._context.config.twilio.mask_fill)
        try:
            self._call.mask_line(fill=fill)
            leg.call.mask_line(fill=fill)
            if self._call.state is CallState.RINGING:
                self._call.answer()
            self._call.bridge(leg.call)
        except MediaError as error:
            log.error("two calls cannot be connected: %s", error, extra=self._fields())
            self._finish("failed")
            return False
        return True

    def _record(self) -> None:
        dial = self._dial
        self._call.mask_line(fill=MaskFill(self._context.config.twilio.mask_fill))
        self._recording = begin_recording(
            self._context,
            self._call,
            self._base_url,
            source="DialVerb",
            is_dual=dial.record.endswith("-dual"),
            callback_url=dial.status_callback,
            callback_method=dial.status_method,
        )

    def _ring(self) -> None:
        # Whoever pays meanwhile hears the payment's prompts.
        if self._call.state is CallState.ANSWERED and not self._call.guard.busy:
            self._ring_token = next(TOKENS)
            tone = ringback(self._dial.ring_tone or DEFAULT_COUNTRY)
            self._call.play((tone,), self._ring_token, interruptible=False, loop=True)

    def _stop_ringing(self) -> None:
        if self._ring_token:
            self._ring_token = 0
            self._call.stop_playing()

    # -- ending --------------------------------------------------------------------------------------------------

    def _worst(self) -> str:
        return next((status for status in _RANK if status in self._outcomes), "failed")

    def _finish(self, status: str) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        now = self._context.now()
        self._let_go()
        outcome: list[tuple[str, str]] = [("DialCallStatus", status)]
        if self._sid:
            outcome.append(("DialCallSid", self._sid))
        bridged_at = self._bridged_at
        if bridged_at is not None:
            outcome.append(("DialCallDuration", str(round(max(0.0, now - bridged_at)))))
        outcome.append(("DialBridged", "true" if bridged_at is not None else "false"))
        if self._recording is not None and self._context.recordings is not None:
            outcome.append(("RecordingUrl", self._context.recordings.url_of(self._recording.recording_id)))
            outcome.append(("RecordingSid", self._recording.sid))
        ended(tuple(outcome))

    def _let_go(self) -> None:
        """Part, and hang up everybody that was called."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._stop_ringing()
        if self._recording is not None:
            self._recording.stop()
        legs, self._legs = self._legs, []
        self._leg = None
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer[1].report(487, "Request Terminated")
        if legs:
            self._call.unbridge()
        for leg in legs:
            leg.give_up("the caller is gone")

    def _fields(self) -> dict[str, Mapping[str, object]]:
        return fields(call=self._call.facts.call_id)


def _split_uri(text: str) -> tuple[str, dict[str, str]]:
    """Return a SIP URI without its headers, and those of them whose names begin with X-; raise ``CallError``."""
    try:
        uri = Uri.parse(text.strip())
    except ParseError:
        raise CallError("<Sip> holds no SIP URI") from None
    kept = {name: unquote(value or "") for name, value in uri.headers if name.lower().startswith("x-")}
    return str(uri.without_headers()), kept
